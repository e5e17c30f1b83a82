from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.s3 import BUCKET, KEYS, S3Server, s3_server
from tests.support.s3_faults import FaultProxy, fault_proxy
from worker.storage.s3_settings import S3Settings
from worker.storage.s3_store import S3Store


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    async with s3_server(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bucket(server: S3Server) -> AsyncIterator[S3Store]:
    """The server's bucket; every test has a folder of its own in it."""
    async with S3Store.open(s3_settings(server.endpoint)) as store:
        yield store


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_proxy(server: S3Server) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def proxy(running_proxy: FaultProxy) -> FaultProxy:
    """In front of the server, and without faults yet."""
    running_proxy.forget()
    return running_proxy


def s3_settings(endpoint: str, **changes: object) -> S3Settings:
    values: dict[str, object] = {
        "bucket": BUCKET,
        "endpoint": endpoint,
        "access_key": KEYS[0],
        "secret_key": KEYS[1],
    }
    return S3Settings(**(values | changes))  # type: ignore[arg-type]
