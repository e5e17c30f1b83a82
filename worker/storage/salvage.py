"""What can be made of uploads whose spool is gone: the parts from the first on, as far as they go.

Of an MP4 that was still growing that is a fragmented MP4, cut somewhere in a fragment; players
show it up to there.

Nothing in a bucket says whose an upload is: metadata given at its beginning cannot be read before
its end. Taken for those of dead workers are uploads with a recording's ending, in parts cut as
ours are, of which none has come for a day, and that no spool here knows.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from worker.errors import KeyTaken, UploadGone
from worker.ports import OpenUpload, Store, StoredObject, StoredPart
from worker.storage.part_plan import part_range

log = logging.getLogger(__name__)

ENDINGS = (".mp4", ".ts")
"""Of the keys of files that may be uploaded in parts."""


class DatedStore(Store, Protocol):
    """A store that knows when parts came."""

    async def last_part_unix_s(self, key: str, upload_id: str) -> float | None:
        """When the newest part of an open upload came; None without one."""
        ...


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of one upload."""

    key: str
    stored: StoredObject | None = None
    left_because: str = ""
    """Why it is still open."""


async def salvage(
    store: DatedStore, prefix: str, *, quiet_since_unix_s: float, known: Collection[str]
) -> list[Salvaged]:
    """Complete uploads under *prefix* that nobody seems to be working on; nothing is removed.

    *quiet_since_unix_s*: no part has come since that instant. A worker that lives sends 5 MiB
    every few minutes, unless it cannot reach the store: should it come back, it begins anew under
    the next name, for its spool has everything. *known*: ids of uploads that a spool will see to.
    Raises `DestinationError`; may be called again.
    """
    found: list[Salvaged] = []
    for upload in await store.uploads(prefix):
        if upload.upload_id in known or not upload.key.endswith(ENDINGS):
            continue
        try:
            found.append(await _salvaged(store, upload, quiet_since_unix_s))
        except UploadGone:
            continue  # its worker lives, and has just come to its end
        except KeyTaken:
            found.append(Salvaged(upload.key, left_because="there is an object of that name"))
    return found


async def _salvaged(store: DatedStore, upload: OpenUpload, quiet_since_unix_s: float) -> Salvaged:
    last_unix_s = await store.last_part_unix_s(upload.key, upload.upload_id)
    if last_unix_s is None:
        return Salvaged(upload.key, left_because="nothing of it has come")
    if max(last_unix_s, upload.begun_unix_s) >= quiet_since_unix_s:
        return Salvaged(upload.key, left_because="it may be growing")
    parts = _from_the_first_on(await store.parts(upload.key, upload.upload_id))
    if not parts or parts[0].size != _extent(1):
        return Salvaged(upload.key, left_because="its beginning is missing, or is none of ours")
    return Salvaged(upload.key, await store.complete(upload.key, upload.upload_id, parts))


async def salvage_upload(store: Store, key: str, upload_id: str) -> StoredObject | None:
    """The object made of the parts of an upload that is known to be ours; None without any."""
    try:
        parts = _from_the_first_on(await store.parts(key, upload_id))
        if not parts:
            await store.abort(key, upload_id)
            return None
        return await store.complete(key, upload_id, parts)
    except UploadGone:
        return None
    except KeyTaken:
        log.warning("upload left alone, its key is taken", extra={"key": key})
        return None


def _from_the_first_on(there: Collection[StoredPart]) -> list[StoredPart]:
    """Parts without a hole between them; only the last may be shorter than those of a plan."""
    parts: list[StoredPart] = []
    for part in there:
        if part.number != len(parts) + 1:
            break
        parts.append(part)
        if part.size != _extent(part.number):
            break
    return parts


def _extent(number: int) -> int:
    start, end = part_range(number)
    return end - start
