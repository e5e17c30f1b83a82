"""A courier whose store is a directory, and events that are kept in a list."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from worker.errors import DestinationError
from worker.ports import RecordedFile, RecordEvent, StoredObject

Refusal = Callable[[str, str], DestinationError | None]
"""Asked with what is tried ("collect", "seal", "put") and the key."""


class FakeParcel:
    def __init__(self, courier: "FakeCourier", path: Path, key: str) -> None:
        self._courier = courier
        self._path = path
        self.key = key
        self.sizes: list[int] = []

    def grew(self, size: int) -> None:
        assert size >= (self.sizes[-1] if self.sizes else 0), "a file became shorter"
        assert self._path.stat().st_size >= size, "more than there is"
        self.sizes.append(size)

    async def seal(self) -> StoredObject:
        await self._courier.may("seal", self.key)
        data = self._path.read_bytes()
        assert self.sizes[-1] == len(data), "the file has more than was told"
        self._path.unlink()
        stem, _, extension = self.key.rpartition(".")
        is_taken = (self._courier.root / self.key).exists()
        return self._courier.keep(f"{stem}_1.{extension}" if is_taken else self.key, data)


class FakeCourier:
    """Copies what is sealed to `<root>/<key>`; *gate* holds everything up until it is set."""

    def __init__(self, root: Path, *, refusal: Refusal = lambda what, key: None) -> None:
        self.root = root
        self.refusal = refusal
        self.gate = asyncio.Event()
        self.gate.set()
        self.log: list[tuple[str, str]] = []
        """What was done to which key, in order."""
        self.files: dict[str, RecordedFile] = {}
        self.playlists: list[str] = []
        self.parcels: dict[str, FakeParcel] = {}

    def open_gate_after(self, seconds: float) -> None:
        self.gate.clear()
        asyncio.get_running_loop().call_later(seconds, self.gate.set)

    def collect(self, file: RecordedFile, path: Path, *, key: str, content_type: str) -> FakeParcel:
        if (error := self.refusal("collect", key)) is not None:
            raise error
        assert key not in self.files, f"{key} was collected before"
        self.log.append(("collect", key))
        self.files[key] = file
        self.parcels[key] = FakeParcel(self, path, key)
        return self.parcels[key]

    async def put(self, key: str, data: bytes, *, content_type: str) -> StoredObject:
        await self.may("put", key)
        self.playlists.append(data.decode())
        return self.keep(key, data)

    async def may(self, what: str, key: str) -> None:
        await self.gate.wait()
        await asyncio.sleep(0.05)
        if (error := self.refusal(what, key)) is not None:
            raise error
        self.log.append((what, key))

    def keep(self, key: str, data: bytes) -> StoredObject:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return StoredObject(key, len(data), hashlib.md5(data).hexdigest())


class FakeRecordEvents:
    def __init__(self) -> None:
        self.published: list[RecordEvent] = []

    async def publish(self, event: RecordEvent) -> None:
        self.published.append(event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.published]
