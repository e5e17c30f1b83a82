"""One file on its way into a store while it is written.

    grew ──► lanes (two at most, only while there is a whole part to send) ──► store
    seal ──► the rest, part 1 again if it has changed, complete, look

Closing an MP4 writes over bytes near its head, so part 1 goes early, for whoever has to make do
with what is in the bucket, and again at the end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from worker.errors import DestinationError, DestinationRefused, KeyTaken, UploadGone
from worker.ports import StoredObject
from worker.storage import journal as journals
from worker.storage.carrier import LANES, Carrier
from worker.storage.journal import Journal, Stage
from worker.storage.keys import alternatives, is_alternative, stem
from worker.storage.part_plan import PART_BYTES, etag_of, part_count, part_range
from worker.storage.upload import Upload, digest_etag, extent, is_ours

log = logging.getLogger(__name__)

MOST_ALTERNATIVES = 1000
_CLOCKS_APART_S = 600
"""How far the store's clock and ours may differ."""
MOST_UPLOADS = 10
"""A store that loses uploads over and over is not asked for ever."""


class SpoolParcel:
    """`ports.Parcel`. Made by `SpoolCourier`, which also closes what it runs on."""

    def __init__(
        self,
        carrier: Carrier,
        path: Path,
        journal: Journal,
        on_delivered: Callable[["SpoolParcel"], Awaitable[None]],
    ) -> None:
        """Raises `DestinationRefused` when the journal names a key that is none of ours."""
        self.path = path
        self.journal = journal
        self._carrier = carrier
        self._on_delivered = on_delivered
        self._size = 0
        self._is_sealed = False
        self._keys = islice(alternatives(journal.asked_key), MOST_ALTERNATIVES)
        self._key = next(self._keys)
        while self._key != journal.key:
            self._next_key()
        self._upload: Upload | None = None
        self._uploads_begun = 0
        self._opening = asyncio.Lock()
        self._journalling = asyncio.Lock()
        self._in_flight: set[int] = set()
        self._lanes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._failure: DestinationError | None = None
        self._may_be_stored = False
        """The store may have done what we did not hear of."""
        self._may_dangle = False
        """An upload may be open whose id we did not hear."""
        self._ready_s: dict[int, float] = {}
        """Since when parts could be in the store that are not."""

    @property
    def is_delivered(self) -> bool:
        return self.journal.stage is Stage.DELIVERED

    @property
    def pending_bytes(self) -> int:
        """What the file has and the store has not."""
        return max(0, self._size - (self._upload or Upload()).sent_bytes)

    def lag_s(self, now_s: float) -> float:
        """How long the oldest part has waited that could be in the store."""
        return now_s - min(self._ready_s.values(), default=now_s)

    def grew(self, size: int) -> None:
        """So many bytes will not change any more, but for the first part."""
        now_s = self._carrier.now_s()
        for number in range(part_count(max(1, self._size)), part_count(size + 1)):
            if part_range(number)[1] <= size:
                self._ready_s.setdefault(number, now_s)
        self._size = max(self._size, size)
        if self._failure is None:
            self._fill_lanes()

    async def seal(self) -> StoredObject:
        """Deliver what is missing. Raises `DestinationError`."""
        try:
            self._size = await self._carrier.in_thread(_size_of, self.path)
        except OSError as exc:
            raise DestinationRefused(f"{self.path.name} cannot be read: {exc.strerror}") from exc
        self._is_sealed = True
        self._failure = None  # whatever was refused before is tried once more
        if self._upload is not None:
            self._upload.trim(self._size)
        self._ready_s.setdefault(part_count(self._size), self._carrier.now_s())
        await self.keep(stage=Stage.SEALED)
        stored = await self._deliver()
        await self._abort_others()
        self._ready_s.clear()
        await self.keep(stage=Stage.DELIVERED, key=stored.key, size=stored.size, etag=stored.etag)
        await self._on_delivered(self)
        return stored

    async def resume(self) -> None:
        """Find out how far whoever wrote the journal had come."""
        if self.is_delivered:
            return
        # It may have been killed between the store's deed and taking note of it.
        self._may_be_stored = self.journal.stage is not Stage.GROWING
        self._may_dangle = True
        upload_id = self.journal.upload_id
        size = await self._carrier.in_thread(_size_of, self.path)
        if upload_id is None or size == 0:
            return
        store = self._carrier.store
        try:
            parts = await self._carrier.until_done(lambda: store.parts(self._key, upload_id))
        except UploadGone:
            self._may_be_stored = True
            return
        self._upload = Upload(self._key, upload_id)
        for part in parts:
            start, _ = part_range(part.number)
            if start < size and part.size == extent(part.number, size):
                md5 = await self._carrier.md5(self.path, start, start + part.size)
                if part.etag == md5.hex():
                    self._upload.sent[part.number] = (part, md5)

    async def abandon(self) -> None:
        """Leave nothing in the store."""
        await self._leave_upload()
        await self._abort_others()

    async def keep(self, **changes: object) -> None:
        """Change the journal, here and on the disk."""
        async with self._journalling:
            self.journal = replace(self.journal, **changes)  # type: ignore[arg-type]
            try:
                await self._carrier.in_thread(journals.keep, self.path, self.journal)
            except DestinationError as exc:
                # A full disk: all the more reason to get the file out of here.
                log.warning("journal not kept", extra={"file": self.path.name, "error": str(exc)})

    # --- parts --------------------------------------------------------------------------------

    def _fill_lanes(self) -> None:
        ready = sum(1 for _ in islice(self._ready_parts(), LANES))
        while self._lanes < LANES and ready > 0:
            ready -= 1
            self._carrier.spawn(f"parcel:{self.path.name}", self._lane())
            self._lanes += 1
            self._idle.clear()

    async def _lane(self) -> None:
        try:
            while self._failure is None and (number := next(self._ready_parts(), None)):
                self._in_flight.add(number)
                try:
                    await self._send(number)
                except UploadGone:
                    continue  # `_send` has seen to it; everything is to be sent anew
                finally:
                    self._in_flight.discard(number)
        except DestinationError as exc:
            self._failure = exc
        except Exception as exc:
            # Parcel boundary: a bug in carrying must not end a recording that is in the spool.
            log.exception("parcel failed", extra={"file": self.path.name})
            self._failure = DestinationRefused(f"{self.path.name}: {type(exc).__name__}, our bug")
        finally:
            self._lanes -= 1
            if self._lanes == 0:
                self._idle.set()

    def _ready_parts(self) -> Iterator[int]:
        """Numbers of parts that are whole, not stored and not under way, in order."""
        return (self._upload or Upload()).missing(
            self._size, is_whole=self._is_sealed, apart_from=self._in_flight
        )

    async def _send(self, number: int) -> None:
        upload = await self._opened()
        start, _ = part_range(number)
        store = self._carrier.store
        try:
            part, md5 = await self._carrier.send(
                self.path,
                start,
                start + extent(number, self._size),
                lambda data: store.put_part(upload.key, upload.upload_id, number, data),
            )
        except UploadGone:
            self._forget(upload)
            raise
        if number not in upload.sent:
            self._carrier.tally.uploaded_bytes += part.size
        upload.sent[number] = (part, md5)
        self._ready_s.pop(number, None)

    async def _opened(self) -> Upload:
        """The upload, begun under a name that is free."""
        async with self._opening:
            if self._upload is not None:
                return self._upload
            if self._uploads_begun == MOST_UPLOADS:
                raise DestinationRefused(f"{self._key}: the store does not keep the upload open")
            store = self._carrier.store
            while await self._carrier.until_done(lambda: store.head(self._key)) is not None:
                self._next_key()

            def unheard(_: DestinationError) -> None:
                self._may_dangle = True

            upload_id = await self._carrier.until_done(
                lambda: store.begin(self._key, content_type=self.journal.content_type),
                on_failure=unheard,
            )
            self._uploads_begun += 1
            self._upload = Upload(self._key, upload_id)
            await self.keep(key=self._key, upload_id=upload_id)
            return self._upload

    def _forget(self, upload: Upload) -> None:
        if self._upload is upload:
            self._upload = None

    # --- the end ------------------------------------------------------------------------------

    async def _deliver(self) -> StoredObject:
        while True:
            try:
                if self._upload is None and (there := await self._as_it_was_left()) is not None:
                    return there
                if self._upload is None and self._size <= PART_BYTES:
                    return await self._put_whole()
                await self._send_rest()
                return await self._complete()
            except KeyTaken:
                await self._leave_upload()
                self._next_key()
                self._may_be_stored = False
            except UploadGone:
                continue

    async def _as_it_was_left(self) -> StoredObject | None:
        """The object, if a life before this one has completed it and died."""
        if not self._may_be_stored:
            return None
        self._may_be_stored = False
        store = self._carrier.store
        there = await self._carrier.until_done(lambda: store.head(self._key))
        if there is None or there.size != self._size:
            return None
        if self.journal.upload_id is None:
            md5s = [await self._carrier.md5(self.path, 0, self._size)]
            return there if there.etag == md5s[0].hex() else None
        numbers = range(1, part_count(self._size) + 1)
        md5s = [
            await self._carrier.md5(self.path, start, min(end, self._size))
            for start, end in map(part_range, numbers)
        ]
        return there if there.etag == etag_of(md5s) else None

    async def _put_whole(self) -> StoredObject:
        store = self._carrier.store
        unheard: list[DestinationError] = []
        try:
            stored, _ = await self._carrier.send(
                self.path,
                0,
                self._size,
                lambda data: store.put(self._key, data, content_type=self.journal.content_type),
                on_failure=unheard.append,
            )
        except KeyTaken:
            md5 = await self._carrier.md5(self.path, 0, self._size)
            there = await self._carrier.until_done(lambda: store.head(self._key))
            if there is None or not is_ours(
                there, self._size, md5.hex(), was_unheard=bool(unheard)
            ):
                raise
            stored = there
        self._carrier.tally.uploaded_bytes += stored.size
        return stored

    async def _send_rest(self) -> None:
        """Everything that is not in the upload, and part 1 as it is now."""
        while next(self._ready_parts(), None) is not None or self._lanes:
            self._fill_lanes()
            await self._idle.wait()
            if self._failure is not None:
                raise self._failure
        upload = self._upload
        if upload is not None and self._size > 0:
            _, md5 = upload.sent[1]
            if await self._carrier.md5(self.path, 0, extent(1, self._size)) != md5:
                await self._send(1)

    async def _complete(self) -> StoredObject:
        upload = await self._opened()
        sent = upload.all_of(self._size)
        if sent is None:
            raise UploadGone(f"{upload.key}: begun anew")
        store = self._carrier.store
        unheard: list[DestinationError] = []
        parts = [part for part, _ in sent]
        try:
            stored = await self._carrier.until_done(
                lambda: store.complete(upload.key, upload.upload_id, parts),
                on_failure=unheard.append,
            )
        except (KeyTaken, UploadGone) as exc:
            there = await self._carrier.until_done(lambda: store.head(upload.key))
            if there is not None and is_ours(
                there, self._size, digest_etag(sent), was_unheard=bool(unheard)
            ):
                return there
            if isinstance(exc, UploadGone):
                self._forget(upload)
            raise
        there = await self._carrier.until_done(lambda: store.head(upload.key))
        if there is None or (there.size, there.etag) != (self._size, stored.etag):
            raise DestinationRefused(f"{upload.key}: what is stored is not what was sent")
        return there

    async def _leave_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            store = self._carrier.store
            await self._carrier.until_done(lambda: store.abort(upload.key, upload.upload_id))
            await self.keep(upload_id=None)

    async def _abort_others(self) -> None:
        """Uploads under our names that nobody knows of."""
        if not self._may_dangle:
            return
        store, asked = self._carrier.store, self.journal.asked_key
        oldest_unix_s = self.journal.file.start_unix_s - _CLOCKS_APART_S
        try:
            for upload in await self._carrier.until_done(lambda: store.uploads(stem(asked))):
                if is_alternative(upload.key, asked) and upload.begun_unix_s >= oldest_unix_s:
                    await self._carrier.until_done(
                        partial(store.abort, upload.key, upload.upload_id)
                    )
        except DestinationRefused as exc:
            # Not every key may list uploads; the bucket's own rules then remove what is left.
            log.warning("uploads not looked for", extra={"key": asked, "error": str(exc)})

    def _next_key(self) -> None:
        key = next(self._keys, None)
        if key is None:
            raise DestinationRefused(f"{self.journal.asked_key}: too many of this name")
        self._key = key


def _size_of(path: Path) -> int:
    return path.stat().st_size
