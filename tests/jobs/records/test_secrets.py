"""What lies in the database itself, and who can read it."""

from pathlib import Path

import pytest

from tests.jobs.records.samples import (
    ACME,
    ACME_APP,
    PLENTY,
    a_job,
    a_message,
    an_account,
    an_app,
)
from tests.support.postgres import PostgresServer
from worker.errors import RecordsDown
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.records.schema import access_keys, apps
from worker.jobs.values import AccessKey, RecordCallback, Reply

OLD = b"the old sealing key, of 32 bytes"
NEW = b"the new sealing key, of 32 bytes"
DIGEST = bytes(range(32))
PLANTED = "PLANTED"


async def _plant(records: Records) -> None:
    """One of everything that is secret; and an account's name, to show that names are found."""
    await records.add_account(an_account(name="not-a-secret"))
    await records.add_key(AccessKey("AK", ACME, f"{PLANTED}-sk", 1))
    await records.add_app(an_app(app_key=f"{PLANTED}-app-key"), quota=PLENTY)
    callback = RecordCallback(f"https://{PLANTED}@there/", f"{PLANTED}-auth-key", 1)
    await records.set_callback(ACME, ACME_APP, callback)
    await records.claim_request(DIGEST, 100)
    await records.keep_reply(DIGEST, Reply(200, f"{PLANTED}-reply".encode()))
    secret = {"secret": f"{PLANTED}-document"}
    job = a_job(document=secret, asked={"publish_param": {"rtmp_urls": [f"rtmp://x/{PLANTED}"]}})
    await records.add_job(job, rule_id=None, quota=PLENTY)
    await records.change_job(job.job_id, lambda old: old)
    await records.add_message(a_message())


async def _read_all(records: Records) -> None:
    """Raises `RecordsDown` if one of the secrets does not open."""
    key, app = await records.key("AK"), await records.app(ACME, ACME_APP)
    reply, job = await records.kept_reply(DIGEST), await records.any_job(a_job().job_id)
    assert key is not None
    assert reply is not None
    assert job is not None
    assert app.callback is not None
    secrets = [key.secret, app.app_key, app.callback.auth_key, app.callback.url, reply.body]
    assert all(PLANTED in str(secret) for secret in (*secrets, job.document, job.asked))


async def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    async with open_records(f"sqlite:///{tmp_path / 'records.db'}", seal=Seal([OLD])) as records:
        await _plant(records)
        await _read_all(records)
        _assert_sealed(tmp_path)
    _assert_sealed(tmp_path)


def _assert_sealed(folder: Path) -> None:
    """The database, its log and its index."""
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"not-a-secret" in content
    assert PLANTED.encode() not in content


async def test_no_secret_is_in_the_server(postgres: PostgresServer) -> None:
    postgres.sql("CREATE DATABASE secrets")
    async with open_records(postgres.url("secrets"), seal=Seal([OLD])) as records:
        await _plant(records)
        await _read_all(records)
    tables = ("accounts", "access_keys", "apps", "requests", "jobs")
    content = "".join(
        # bytea as text, or a planted word would be in hexadecimal digits
        postgres.sql(f"SET bytea_output = 'escape'; SELECT * FROM {table}", database="secrets")
        for table in tables
    )
    assert "not-a-secret" in content
    assert PLANTED not in content


async def test_keys_can_be_rotated(empty_url: str) -> None:
    async with open_records(empty_url, seal=Seal([OLD])) as records:
        await _plant(records)

    async with open_records(empty_url, seal=Seal([NEW, OLD])) as records:
        await _read_all(records)
    # That was enough: the old one is not needed any more.
    async with open_records(empty_url, seal=Seal([NEW])) as records:
        await _read_all(records)
    with pytest.raises(RecordsDown, match="no key was given"):
        async with open_records(empty_url, seal=Seal([OLD])):
            pass


async def test_a_control_plane_that_has_the_new_key_already_goes_on_beside_the_next(
    empty_url: str,
) -> None:
    async with open_records(empty_url, seal=Seal([OLD, NEW])) as records:
        await _plant(records)
        async with open_records(empty_url, seal=Seal([NEW, OLD])) as other:
            await _read_all(records)
            await _read_all(other)


def test_a_sealed_value_opens_in_its_own_place_only() -> None:
    seal = Seal([OLD])
    sealed = seal.encrypt(b"plain", apps.c.app_key, "1")

    assert seal.decrypt(sealed, apps.c.app_key, "1") == b"plain"
    for column, row in (
        (apps.c.app_key, "2"),
        (apps.c.callback_url, "1"),
        (access_keys.c.secret, "1"),
    ):
        with pytest.raises(RecordsDown):
            seal.decrypt(sealed, column, row)


def test_a_changed_value_does_not_open() -> None:
    seal = Seal([OLD])
    sealed = seal.encrypt(b"plain", apps.c.app_key, "1")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(RecordsDown):
            seal.decrypt(bytes(changed), apps.c.app_key, "1")
    for length in range(len(sealed)):
        with pytest.raises(RecordsDown):
            seal.decrypt(sealed[:length], apps.c.app_key, "1")


def test_equal_values_are_sealed_differently() -> None:
    seal = Seal([OLD])
    assert len({seal.encrypt(b"plain", apps.c.app_key, "1") for _ in range(100)}) == 100


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b"short"]])
def test_keys_have_their_length(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Seal(keys)


def test_keys_are_not_printed() -> None:
    assert "old" not in repr(Seal([OLD]))
