"""How a bucket is reached: keys, certificates, encryption; and what calls cost."""

import asyncio
import datetime
import ipaddress
import logging
import os
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.storage.conftest import s3_settings
from tests.storage.material import PART, GrowingFile, QuickClock, recorded
from tests.support.s3 import BUCKET, KEYS, S3Server, writing_client
from tests.support.s3_faults import Faults, fault_proxy
from worker.errors import DestinationError, DestinationRefused, KeyTaken
from worker.ports import StoredPart
from worker.storage.courier import open_courier
from worker.storage.file_store import FileStore
from worker.storage.s3_store import S3Store

pytestmark = pytest.mark.asyncio(loop_scope="module")


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """One that signs itself for 127.0.0.1, as a file to trust and as a server's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "storage test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    public, private = directory / "ca.pem", directory / "key.pem"
    public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


async def test_a_certificate_of_ones_own_is_trusted_when_it_is_given(
    server: S3Server, tmp_path: Path
) -> None:
    ca_file, context = certificate(tmp_path)
    async with fault_proxy(server.endpoint, context) as proxy:
        async with S3Store.open(s3_settings(proxy.endpoint, ca_file=ca_file)) as store:
            key = uuid4().hex
            await store.put(key, os.urandom(2 * PART), content_type="video/mp4")
            assert await store.head(key) is not None
        async with S3Store.open(s3_settings(proxy.endpoint)) as store:
            with pytest.raises(DestinationRefused, match="certificate is not trusted"):
                await store.check()
    with pytest.raises(DestinationRefused, match="no such file of certificates"):
        async with S3Store.open(s3_settings(server.endpoint, ca_file=tmp_path / "none")):
            pass


async def test_keys_come_from_the_environment_when_none_are_given(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = s3_settings(server.endpoint, access_key=None, secret_key=None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    async with S3Store.open(settings) as store:
        with pytest.raises(DestinationRefused, match="NoCredentials"):
            await store.check()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    async with S3Store.open(settings) as store:
        await store.check()


async def test_objects_are_encrypted_where_that_is_asked_for(
    server: S3Server, bucket: S3Store
) -> None:
    key = f"{uuid4().hex}/a.mp4"
    async with S3Store.open(s3_settings(server.endpoint, encryption="AES256")) as store:
        await store.put(key, b"x", content_type="video/mp4")
        upload = await store.begin(f"{key}.parts", content_type="video/mp4")
        part = await store.put_part(f"{key}.parts", upload, 1, b"y")
        await store.complete(f"{key}.parts", upload, [part])
    for each in (key, f"{key}.parts"):
        facts = await bucket._client.head_object(Bucket="rec", Key=each)
        assert facts["ServerSideEncryption"] == "AES256"


async def test_nothing_secret_is_logged_at_the_finest_level(
    server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = s3_settings(server.endpoint, session_token="planted-token")  # noqa: S106
    async with S3Store.open(settings) as store:
        with pytest.raises(DestinationRefused):
            await store.check()
    told = f"{caplog.text} {settings!r} {store.address}"
    assert [word for word in (*KEYS, "planted-token", "Signature") if word in told] == []


class CountingStore(FileStore):
    """Takes its time, and notes how much is in its hands at once."""

    at_once = 0
    most = 0
    by_key: dict[str, int]
    most_by_key = 0

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes) -> StoredPart:
        self.at_once += 1
        self.by_key[key] = self.by_key.get(key, 0) + 1
        self.most = max(self.most, self.at_once)
        self.most_by_key = max(self.most_by_key, *self.by_key.values())
        await asyncio.sleep(0.005)
        try:
            return await super().put_part(key, upload_id, number, data)
        finally:
            self.at_once -= 1
            self.by_key[key] -= 1


async def test_four_parts_are_in_memory_at_most_and_two_of_one_file(tmp_path: Path) -> None:
    names: Sequence[str] = [f"{number}.mp4" for number in range(4)]
    async with (
        CountingStore.open(tmp_path / "store") as store,
        open_courier(store, tmp_path, clock=QuickClock(), random=Random(1)) as courier,
        asyncio.TaskGroup() as group,
    ):
        store.by_key = {}
        for name in names:
            file = GrowingFile(tmp_path / name)
            parcel = courier.collect(
                recorded(name, file_id=name), file.path, key=name, content_type="video/mp4"
            )
            parcel.grew(file.append(4 * PART))
            group.create_task(parcel.seal())
    assert (store.most, store.most_by_key) == (4, 2)
    for name in names:
        assert (tmp_path / "store" / name).read_bytes() == (tmp_path / name).read_bytes()


async def test_sending_does_not_hold_up_the_loop(server: S3Server) -> None:
    async def beat() -> float:
        """Of this thread's own CPU, which does not depend on what else the machine does."""
        longest_s = 0.0
        while not done:
            before_s = time.thread_time()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.thread_time() - before_s)
        return longest_s

    done: list[bool] = []
    data = os.urandom(PART)
    async with S3Store.open(s3_settings(server.endpoint)) as store, asyncio.TaskGroup() as group:
        key = f"{uuid4().hex}/a"
        upload = await store.begin(key, content_type="video/mp4")
        await store.put_part(key, upload, 1, data)
        beating = group.create_task(beat())
        for number in range(2, 6):
            await store.put_part(key, upload, number, data)
        done.append(True)
    print(f"longest pause {beating.result() * 1000:.0f} ms")
    assert beating.result() < 0.1


async def test_a_store_that_fails_every_third_time_is_found_out_about_all_the_same(
    server: S3Server,
) -> None:
    """What it can do is learnt from several requests, of which no number in a row succeeds."""
    async with fault_proxy(server.endpoint) as proxy:
        proxy.faults = Faults(status=500, share=0.4)
        async with S3Store.open(s3_settings(proxy.endpoint, check_prefix="third/")) as store:
            key = f"{uuid4().hex}/a"
            for _ in range(8):
                try:
                    await store.put(key, b"x", content_type="text/plain")
                    break
                except DestinationError:
                    continue
            proxy.forget()
            with pytest.raises(KeyTaken):
                await store.put(key, b"y", content_type="text/plain")
            assert proxy.count("PUT") == 1, "it is known by now"
    async with writing_client(server.endpoint) as client:
        listing = await client.list_objects_v2(Bucket=BUCKET, Prefix="third/")
    assert listing["KeyCount"] == 0, "nothing is left of the check"
