"""A store that is a directory: objects are files, complete from the moment they have their name.

Everything is written beside its place first, under a hidden name, and linked to where it belongs,
which never replaces what is there. Open uploads are hidden directories.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from errno import EACCES, ENOENT, ENOTDIR, EOPNOTSUPP, EPERM, EROFS
from pathlib import Path
from typing import Self, TypeVar

from worker.errors import DestinationError, DestinationRefused, KeyTaken, UploadGone
from worker.ports import OpenUpload, StoredObject, StoredPart
from worker.storage.keys import HIDDEN, checked

UPLOADS = f"{HIDDEN}uploads"
SMALLEST_PART_BYTES = 5 << 20
"""As S3 has it, so that whoever works with one store works with the other."""

_ETAG = "user.mixworker.etag"
"""Extended attribute: etag, size and time of change, of which the latter say if it still holds."""
_HOPELESS = {EACCES, EPERM, EROFS, ENOENT, ENOTDIR}
_COPY_BYTES = 1 << 20

T = TypeVar("T")


class FileStore:
    """`ports.Store` in *directory*. Calls run on a thread of its own, at most two at a time."""

    def __init__(self, directory: Path, thread: ThreadPoolExecutor) -> None:
        self._root = directory.absolute()
        self._thread = thread

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator[Self]:
        """A store in *directory*, which is made when something is stored."""
        thread = ThreadPoolExecutor(2, "file-store")
        try:
            yield cls(directory, thread)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    @property
    def address(self) -> str:
        return self._root.as_uri()

    async def check(self) -> None:
        def check() -> None:
            probe = self._root / f"{HIDDEN}check-{secrets.token_hex(8)}"
            self._root.mkdir(parents=True, exist_ok=True)
            _write(probe, b"mixworker")
            probe.unlink()

        await self._run("the directory", check)

    async def put(
        self, key: str, data: bytes, *, content_type: str, replace: bool = False
    ) -> StoredObject:
        path = self._path(key)

        def put() -> StoredObject:
            etag = _md5(data)
            path.parent.mkdir(parents=True, exist_ok=True)
            written = _write(path.parent / _hidden_name(), data)
            return StoredObject(key, len(data), _settle(written, path, etag, replace=replace))

        return await self._run(key, put)

    async def begin(self, key: str, *, content_type: str) -> str:
        self._path(key)
        upload_id = secrets.token_hex(16)

        def begin() -> None:
            directory = self._root / UPLOADS / upload_id
            directory.mkdir(parents=True)
            _write(directory / "upload.json", json.dumps({"key": key}).encode())

        await self._run(key, begin)
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes) -> StoredPart:
        def put_part() -> StoredPart:
            directory = self._upload(key, upload_id)
            md5 = _md5(data)
            older = [path for path in directory.glob(f"{number:05}-*") if path.suffix != ".new"]
            written = _write(directory / f"{number:05}-{md5}.new", data)
            written.replace(written.with_suffix(""))
            for path in older:
                if path != written.with_suffix(""):
                    path.unlink()
            return StoredPart(number, len(data), md5)

        return await self._run(key, put_part)

    async def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        path = self._path(key)

        def complete() -> StoredObject:
            directory = self._upload(key, upload_id)
            if path.exists():
                raise KeyTaken(f"{key}: there is such a file already")
            if any(part.size < SMALLEST_PART_BYTES for part in parts[:-1]) or not parts:
                raise DestinationRefused(f"{key}: a part is smaller than 5 MiB, or there is none")
            pieces = [directory / f"{part.number:05}-{part.etag}" for part in parts]
            if not all(piece.exists() for piece in pieces):
                raise DestinationRefused(f"{key}: a part was not stored, or is another one")
            path.parent.mkdir(parents=True, exist_ok=True)
            written = path.parent / _hidden_name()
            try:
                _join(pieces, written)
                digests = b"".join(bytes.fromhex(part.etag) for part in parts)
                etag = _settle(written, path, f"{_md5(digests)}-{len(parts)}", replace=False)
            finally:
                written.unlink(missing_ok=True)
            shutil.rmtree(directory)
            return StoredObject(key, sum(part.size for part in parts), etag)

        return await self._run(key, complete)

    async def abort(self, key: str, upload_id: str) -> None:
        def abort() -> None:
            try:
                shutil.rmtree(self._upload(key, upload_id))
            except UploadGone:
                return

        await self._run(key, abort)

    async def uploads(self, prefix: str) -> Sequence[OpenUpload]:
        def uploads() -> list[OpenUpload]:
            found = []
            for note in (self._root / UPLOADS).glob("*/upload.json"):
                key = json.loads(note.read_bytes())["key"]
                if key.startswith(prefix):
                    found.append(OpenUpload(key, note.parent.name, note.stat().st_mtime))
            return sorted(found, key=lambda upload: (upload.key, upload.upload_id))

        return await self._run(prefix, uploads)

    async def parts(self, key: str, upload_id: str) -> Sequence[StoredPart]:
        def parts() -> list[StoredPart]:
            paths = sorted(self._upload(key, upload_id).glob("[0-9]*-*"))
            return [
                StoredPart(int(path.name[:5]), path.stat().st_size, path.name[6:])
                for path in paths
                if path.suffix != ".new"
            ]

        return await self._run(key, parts)

    async def last_part_unix_s(self, key: str, upload_id: str) -> float | None:
        """When its newest part came; None without one."""

        def look() -> float | None:
            paths = self._upload(key, upload_id).glob("[0-9]*-*")
            return max((path.stat().st_mtime for path in paths), default=None)

        return await self._run(key, look)

    async def head(self, key: str) -> StoredObject | None:
        path = self._path(key)

        def head() -> StoredObject | None:
            if not path.is_file():
                return None
            return StoredObject(key, path.stat().st_size, _etag(path))

        return await self._run(key, head)

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        path = self._path(key)

        def get() -> bytes:
            if not path.is_file():
                raise DestinationRefused(f"{key}: there is no such file")
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise DestinationRefused(f"{key}: larger than {max_bytes} bytes")
            return data

        return await self._run(key, get)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        await self._run(key, lambda: path.unlink(missing_ok=True))

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _upload(self, key: str, upload_id: str) -> Path:
        """Raises `UploadGone`."""
        directory = self._root / UPLOADS / upload_id
        note = directory / "upload.json"
        is_name = upload_id.isalnum()
        if not is_name or not note.exists() or json.loads(note.read_bytes())["key"] != key:
            raise UploadGone(f"{key}: the upload is not open")
        return directory

    async def _run(self, what: str, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except OSError as exc:
            text = f"{what}: {exc.strerror}"
            if exc.errno in _HOPELESS:
                raise DestinationRefused(text) from exc
            raise DestinationError(text) from exc


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _hidden_name() -> str:
    return f"{HIDDEN}{secrets.token_hex(8)}"


def _write(path: Path, data: bytes) -> Path:
    """On the disk, not only in memory, when this returns."""
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _join(pieces: Sequence[Path], to: Path) -> None:
    with to.open("xb") as file:
        for piece in pieces:
            with piece.open("rb") as source:
                shutil.copyfileobj(source, file, _COPY_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _settle(written: Path, path: Path, etag: str, *, replace: bool) -> str:
    """Give a finished file its name; returns the etag that will be read back later."""
    facts = written.stat()
    try:
        os.setxattr(written, _ETAG, f"{etag} {facts.st_size} {facts.st_mtime_ns}".encode())
    except OSError:
        # Not every file system keeps attributes: then inode, size and time stand in for it.
        etag = _etag(written)
    if replace:
        written.replace(path)
    else:
        try:
            _link(written, path)
        except FileExistsError as exc:
            raise KeyTaken(f"{path.name}: there is such a file already") from exc
        finally:
            written.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return etag


def _link(written: Path, path: Path) -> None:
    """Raises `FileExistsError`."""
    try:
        path.hardlink_to(written)
    except OSError as exc:
        if exc.errno not in (EPERM, EOPNOTSUPP):
            raise
        # A file system without hard links: claim the name, then take its place.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        written.replace(path)


def _etag(path: Path) -> str:
    facts = path.stat()
    try:
        etag, size, changed_ns = os.getxattr(path, _ETAG).decode().split()
        if (int(size), int(changed_ns)) == (facts.st_size, facts.st_mtime_ns):
            return etag
    except (OSError, ValueError):
        pass
    return f"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"
