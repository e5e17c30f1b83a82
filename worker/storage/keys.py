"""Object keys: what is accepted, and which name is next when one is taken."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import PurePosixPath

from worker.errors import DestinationRefused

LONGEST_KEY_BYTES = 1024
"""S3's limit."""
HIDDEN = ".mixworker-"
"""What stores keep for themselves begins so."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked(key: str) -> str:
    """*key*, if every store can hold it and nobody takes it for a way out of a directory.

    Raises `DestinationRefused`.
    """
    try:
        length = len(key.encode())
    except UnicodeEncodeError as exc:
        raise DestinationRefused("an object key is not Unicode text") from exc
    parts = key.split("/")
    if not 0 < length <= LONGEST_KEY_BYTES or _CONTROL.search(key):
        raise DestinationRefused("an object key is empty, too long or has control characters")
    if any(part in ("", ".", "..") or part.startswith(HIDDEN) for part in parts):
        raise DestinationRefused(f"{key!r} is no object key: a step is empty, dots or hidden")
    return key


def stem(key: str) -> str:
    """What all alternatives of *key* begin with."""
    return key.removesuffix(PurePosixPath(key).suffix)


def alternatives(key: str) -> Iterator[str]:
    """*key*, then `name_1.mp4`, `name_2.mp4`, … for `name.mp4`."""
    suffix = PurePosixPath(key).suffix
    yield key
    for number in count(1):
        yield f"{stem(key)}_{number}{suffix}"


def is_alternative(key: str, of: str) -> bool:
    """Whether *key* is among the alternatives of *of*."""
    suffix = PurePosixPath(of).suffix
    pattern = rf"{re.escape(stem(of))}(_[1-9]\d*)?{re.escape(suffix)}"
    return re.fullmatch(pattern, key) is not None
