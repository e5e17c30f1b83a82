"""What can be made of uploads whose spool is gone: the parts from the first on, as far as they go.

Of an MP4 that was still growing that is a fragmented MP4, cut somewhere in a fragment; players
show it up to there.
"""

import logging

from worker.errors import KeyTaken, UploadGone
from worker.ports import Store, StoredObject, StoredPart
from worker.storage.part_plan import part_range

log = logging.getLogger(__name__)


async def salvage(store: Store, prefix: str, *, before_unix_s: float) -> list[StoredObject]:
    """Complete every upload under *prefix* that was begun before an instant.

    The instant keeps it off uploads of workers that live. Uploads without a first part are
    aborted, others of which the key is taken are left alone. Raises `DestinationError`; may be
    called again.
    """
    saved = []
    for upload in await store.uploads(prefix):
        if upload.begun_unix_s >= before_unix_s:
            continue
        stored = await salvage_upload(store, upload.key, upload.upload_id)
        if stored is not None:
            saved.append(stored)
    return saved


async def salvage_upload(store: Store, key: str, upload_id: str) -> StoredObject | None:
    """The object made of an upload's parts; None when nothing could be made of it."""
    try:
        parts: list[StoredPart] = []
        for part in await store.parts(key, upload_id):
            start, end = part_range(part.number)
            if part.number != len(parts) + 1:
                break
            parts.append(part)
            if part.size != end - start:
                break
        if not parts:
            await store.abort(key, upload_id)
            return None
        return await store.complete(key, upload_id, parts)
    except UploadGone:
        return None
    except KeyTaken:
        log.warning("upload left alone, its key is taken", extra={"key": key})
        return None
