"""That everybody encodes alike: what x264 itself says of the settings it ran with."""

import re
from collections.abc import Mapping
from pathlib import Path

_OPTIONS = re.compile(rb"x264 - core (\d+).*? options: ([ -~]+)")
_MAY_DIFFER = frozenset(
    (
        "keyint",  # where keyframes are asked for one by one it is out of reach
        "keyint_min",  # follows keyint
        "bitrate",  # whole kbit/s with some
        "vbv_bufsize",  # from a duration with some, rounded
        "vbv_maxrate",  # where it cannot be told apart from the average
        "rc",  # x264 calls it cbr then
    )
)


def settings_of(recording: Path) -> Mapping[str, str]:
    """What x264 wrote into the first frame, with its build as `core`."""
    found = _OPTIONS.search(recording.read_bytes())
    if found is None:
        raise ValueError(f"{recording.name} does not say how it was encoded")
    pairs = (option.partition("=") for option in found[2].decode().split())
    return {"core": found[1].decode()} | {name: value for name, _, value in pairs}


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Mapping[str, str]:
    """Settings that are not the same, each as "ours / theirs"; x264's build is no setting."""
    names = (set(ours) | set(theirs)) - _MAY_DIFFER - {"core"}
    return {
        name: f"{ours.get(name)} / {theirs.get(name)}"
        for name in sorted(names)
        if ours.get(name) != theirs.get(name)
    }
