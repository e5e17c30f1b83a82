#!/bin/sh
# Installs the named Debian packages that are missing; says which, and needs root (or sudo) then.
set -eu

missing=""
for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $name"
done
[ -z "$missing" ] && exit 0

echo "installing Debian packages:$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo"
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
