"""Encoded loops on disk, so that a scenario played again need not be encoded again.

A file is plain bytes: magic, SHA-256 of the rest, then per unit a flag byte (bit 0: keyframe), the
RFC 6464 level and the length. Whatever does not check out is simply built again.
"""

import hashlib
import logging
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_MAGIC = b"MXLOOP01"
_HEADER = struct.Struct(">BbI")
_DIGEST_BYTES = 32
_SUFFIX = ".loop"


@dataclass(frozen=True, slots=True)
class LoopUnit:
    """One encoded frame or Opus packet of a loop."""

    data: bytes
    keyframe: bool = False
    level_dbov: int = 0
    """Audio only: RFC 6464 level of the sound in it."""


Loop = tuple[LoopUnit, ...]


def default_directory() -> Path | None:
    """`$XDG_CACHE_HOME/mixworker/loops` or its usual stand-in; None without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "mixworker" / "loops"
    try:
        return Path.home() / ".cache" / "mixworker" / "loops"
    except RuntimeError:
        return None


class LoopCache:
    """Loops by key in *directory*, the least recently used deleted beyond *max_bytes*.

    Several processes may share a directory: files appear whole or not at all. A directory that
    cannot be written is worked without.
    """

    def __init__(self, directory: Path, max_bytes: int = 512 * 1024 * 1024) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    def load(self, key: str) -> Loop | None:
        """The loop stored under *key* (a file-name-safe text), or None."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return unpack(content)

    def store(self, key: str, loop: Loop) -> None:
        """Keep *loop*; failing to is not an error."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._directory, delete=False) as file:
                temporary = Path(file.name)
                file.write(pack(loop))
            temporary.replace(self._path(key))
            self._prune()
        except OSError as exc:
            log.warning("loop cache not written", extra={"reason": str(exc)})

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}{_SUFFIX}"

    def _prune(self) -> None:
        entries = []
        for path in self._directory.glob(f"*{_SUFFIX}"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another process prunes too
                continue
            entries.append((stat.st_mtime_ns, stat.st_size, path))
        total_bytes = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total_bytes <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total_bytes -= size


def pack(loop: Loop) -> bytes:
    """*loop* as the bytes of a cache file."""
    body = b"".join(
        _HEADER.pack(unit.keyframe, unit.level_dbov, len(unit.data)) + unit.data for unit in loop
    )
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> Loop | None:
    """The loop in the bytes of a cache file; None when they are not exactly what was packed."""
    start = len(_MAGIC) + _DIGEST_BYTES
    body = content[start:]
    if content[:start] != _MAGIC + hashlib.sha256(body).digest():
        return None
    units = []
    position = 0
    while position < len(body):
        if len(body) - position < _HEADER.size:
            return None
        keyframe, level_dbov, length = _HEADER.unpack_from(body, position)
        position += _HEADER.size
        if len(body) - position < length:
            return None
        units.append(LoopUnit(body[position : position + length], bool(keyframe), level_dbov))
        position += length
    return tuple(units)
