#!/bin/sh
# Chromium sets the priority of its threads itself, above everybody's, the recorder's among them.
# Only root may do that, and root may be kept from it.
if [ "$(id -u)" -eq 0 ]; then
    exec setpriv --bounding-set=-sys_nice --inh-caps=-sys_nice /usr/bin/chromium "$@"
fi
exec /usr/bin/chromium "$@"
