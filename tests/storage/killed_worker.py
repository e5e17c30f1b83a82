"""A process that carries one file into a bucket until it is killed. Run by `test_recovery`.

Arguments: S3 endpoint, spool, the file to write, the key, and `seal` when it shall get that far.
"""

import asyncio
import sys
from pathlib import Path
from random import Random

from tests.storage.conftest import s3_settings
from tests.storage.material import QuickClock, recorded
from worker.media.leftover import finish_leftover
from worker.storage.courier import open_courier
from worker.storage.s3_store import S3Store
from worker.storage.spool import Spool

STEP_BYTES = 1 << 20


async def main(endpoint: str, spool: str, source: str, key: str, seal: str) -> None:
    data = await asyncio.to_thread(Path(source).read_bytes)
    with Spool(Path(spool), floor_bytes=0).claim("job") as job:
        path = job.directory / "f1.mp4"
        async with (
            S3Store.open(s3_settings(endpoint)) as store,
            open_courier(store, job.directory, clock=QuickClock(), random=Random(1)) as courier,
        ):
            with path.open("wb", buffering=0) as file:
                file.write(data[:1])
                parcel = courier.collect(recorded(key), path, key=key, content_type="video/mp4")
                for start in range(1, len(data), STEP_BYTES):
                    file.write(data[start : start + STEP_BYTES])
                    parcel.grew(min(len(data), start + STEP_BYTES))
                    await asyncio.sleep(0.01)
            if seal == "seal":
                await asyncio.to_thread(finish_leftover, path)
                await parcel.seal()
            await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
