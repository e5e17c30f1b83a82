"""Names of recorded files: the macros of record_prefix, and keys that are not given out twice.

Source: API reference section 7, older macros included.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

DEFAULT_PREFIX = "{app_id}/{record_format}/{stream}_{file_start_time}/{stream}_{file_start_time}"
TIME_FORMAT = "%Y-%m-%d-%H-%M-%S"
"""UTC."""

MAX_PREFIX_BYTES = 512
"""Of a record_prefix once its macros are replaced."""
MAX_KEY_BYTES = 1024
"""Longest object key of S3."""
KEY_SUFFIX_BYTES = 32
"""Room for what is added to a key: a number, a segment's number, the extension."""

# Of the older macros the first stood for the domain of the app, the others never changed.
_PUBLISH_DOMAIN = "{app_id}.SparkRTC.myhuaweicloud.com"
_APP = "live"
_RECORD_TYPE = "continuous_record"

MACROS = frozenset(
    ("app_id", "record_format", "stream", "file_start_time", "publish_domain", "app", "record_type")
)

_MACRO = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_PART = re.compile(r"[^/]+")


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A record_prefix. Raises ValueError when it cannot make a key."""

    text: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        unknown = {name for name in _MACRO.findall(self.text) if name not in MACROS}
        if unknown or "{" in (rest := _MACRO.sub("", self.text)) or "}" in rest:
            raise ValueError("must have no macros but " + ", ".join(sorted(MACROS)))
        check_key(_MACRO.sub("x", self.text))

    def expand(self, *, app_id: str, stream: str, record_format: str, start_unix_s: float) -> str:
        """The prefix of one file that starts at *start_unix_s*; values are made safe for keys."""
        safe_app = _safe(app_id)
        values: Mapping[str, str] = {
            "app_id": safe_app,
            "stream": _safe(stream),
            "record_format": record_format.lower(),
            "file_start_time": datetime.fromtimestamp(start_unix_s, UTC).strftime(TIME_FORMAT),
            "publish_domain": _PUBLISH_DOMAIN.format(app_id=safe_app),
            "app": _APP,
            "record_type": _RECORD_TYPE,
        }
        return _MACRO.sub(lambda macro: values[macro[1]], self.text)


def check_key(key: str) -> None:
    """Raise ValueError unless *key* names an object that any store, or file system, can hold."""
    if not key.isprintable() or "\\" in key:
        raise ValueError("must be printable and without \\")
    parts = key.split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        raise ValueError("must neither begin nor end with /, nor have an empty part")
    if any(part in (".", "..") for part in parts):
        raise ValueError("must not have the parts . or ..")


class FileNames:
    """Gives every file of one format its key; never the same one twice."""

    def __init__(
        self,
        template: KeyTemplate,
        *,
        app_id: str,
        stream: str,
        record_format: str,
        extension: str,
        key_prefix: str,
    ) -> None:
        """Raises ValueError when keys would be too long."""
        self._template = template
        self._app_id = app_id
        self._stream = stream
        self._record_format = record_format
        self._extension = extension
        self._key_prefix = key_prefix
        self._taken: set[str] = set()
        # The length does not depend on the time.
        prefix = self._expand(0)
        if len(prefix.encode()) > MAX_PREFIX_BYTES:
            raise ValueError(f"is longer than {MAX_PREFIX_BYTES} bytes with its macros replaced")
        if len((key_prefix + prefix).encode()) > MAX_KEY_BYTES - KEY_SUFFIX_BYTES:
            raise ValueError(f"makes keys longer than {MAX_KEY_BYTES} bytes")

    def next(self, start_unix_s: float) -> str:
        """The key of a file that starts then; one that was given out before gets a number."""
        stem = self._key_prefix + self._expand(start_unix_s)
        key, number = stem, 0
        while key in self._taken:
            number += 1
            key = f"{stem}_{number}"
        self._taken.add(key)
        return key + self._extension

    def _expand(self, start_unix_s: float) -> str:
        return self._template.expand(
            app_id=self._app_id,
            stream=self._stream,
            record_format=self._record_format,
            start_unix_s=start_unix_s,
        )


def segment_key(playlist_key: str, number: int) -> str:
    """The key of segment *number*, from 0, of the playlist `<prefix>.m3u8`: `<prefix>_<n>.ts`."""
    stem, _, _ = playlist_key.rpartition(".")
    return f"{stem}_{number:05d}.ts"


def playlist_key(wanted: str, number: int, segment: str) -> str:
    """The key of a playlist, *wanted* unless its segment *number* had to be stored as *segment*.

    Playlists are replaced as they grow, so that a key that is taken shows only at the segments:
    `<prefix>_00000_1.ts` belongs to `<prefix>-1.m3u8`.
    """
    free, _, _ = segment_key(wanted, number).rpartition(".")
    added = segment.rpartition(".")[0].removeprefix(free).lstrip("_")
    stem, _, extension = wanted.rpartition(".")
    return f"{stem}-{added}.{extension}" if added else wanted


def _safe(value: str) -> str:
    """*value* as part of a key; what is only dots would be a path."""
    cleaned = _UNSAFE.sub("_", value)
    return cleaned if cleaned.strip(".") else cleaned.replace(".", "_")
