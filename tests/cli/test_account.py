"""Accounts from the command line."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer

from worker.api.auth.passwords import Passwords
from worker.cli.account import (
    add_account,
    add_key,
    change_password,
    drop_key,
    list_accounts,
    read_password,
    remove_account,
)
from worker.errors import InUse, InvalidField, NameTaken, NotFound
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.values import App, AppState, Token

NOW_UNIX_MS = 1_767_323_045_000
PASSWORD = "correct horse battery"


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    seal = Seal([b"k" * 32])
    async with open_records(f"sqlite:///{tmp_path}/records.db", seal=seal) as records:
        yield records


async def test_an_account_has_an_id_and_a_password_that_fits(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    await add_account(records, "alice", PASSWORD, NOW_UNIX_MS)

    account = await records.account_named("alice")
    assert account is not None
    assert account.created_unix_ms == NOW_UNIX_MS
    assert re.fullmatch("[0-9a-f]{32}", account.account_id)
    assert await Passwords().matches(account.password_hash, PASSWORD)
    assert capsys.readouterr().out == f"alice  {account.account_id}\n"


async def test_a_name_is_had_once(records: Records) -> None:
    await add_account(records, "alice", None, NOW_UNIX_MS)

    with pytest.raises(NameTaken):
        await add_account(records, "alice", None, NOW_UNIX_MS)


@pytest.mark.parametrize("name", ["", " alice", "alice ", "a\nb", "a" * 65])
async def test_names_that_nobody_could_type_are_refused(records: Records, name: str) -> None:
    with pytest.raises(InvalidField):
        await add_account(records, name, None, NOW_UNIX_MS)
    assert await records.accounts() == ()


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
async def test_passwords_that_are_too_short_or_too_long_are_refused(
    records: Records, password: str
) -> None:
    with pytest.raises(InvalidField) as refusal:
        await add_account(records, "alice", password, NOW_UNIX_MS)
    assert password == "" or password not in str(refusal.value)
    assert await records.accounts() == ()


async def test_a_secret_key_is_shown_once(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    await add_account(records, "alice", None, NOW_UNIX_MS)
    capsys.readouterr()
    await add_key(records, "alice", NOW_UNIX_MS)
    shown = re.fullmatch(r"AK ([A-Z0-9]{20})\nSK ([A-Za-z0-9]{40})\n", capsys.readouterr().out)
    assert shown
    ak, sk = shown.groups()
    key = await records.key(ak)
    assert key is not None and key.secret == sk

    await list_accounts(records)
    account = await records.account_named("alice")
    assert account is not None
    assert capsys.readouterr().out == (
        f"alice  {account.account_id}  2026-01-02  no password\n  {ak}  2026-01-02\n"
    )
    await drop_key(records, ak)
    assert await records.key(ak) is None
    with pytest.raises(NotFound):
        await drop_key(records, ak)


async def test_a_new_password_voids_tokens(records: Records) -> None:
    await add_account(records, "alice", PASSWORD, NOW_UNIX_MS)
    account = await records.account_named("alice")
    assert account is not None
    await records.add_token(Token(b"d" * 32, account.account_id, NOW_UNIX_MS, NOW_UNIX_MS + 1))
    await change_password(records, "alice", "another password")

    changed = await records.account_named("alice")
    assert changed is not None
    assert await Passwords().matches(changed.password_hash, "another password")
    assert await records.token(b"d" * 32) is None


async def test_an_account_goes_with_its_keys_unless_it_has_applications(records: Records) -> None:
    for name in ("alice", "bob"):
        await add_account(records, name, None, NOW_UNIX_MS)
        await add_key(records, name, NOW_UNIX_MS)
    alice, bob = await records.accounts()
    [key] = await records.keys(alice.account_id)
    app = App(
        app_id="0" * 24,
        account_id=bob.account_id,
        name="app",
        state=AppState.ACTIVE,
        state_unix_ms=NOW_UNIX_MS,
        created_unix_ms=NOW_UNIX_MS,
        app_key="app key",
    )
    await records.add_app(app, quota=20)

    await remove_account(records, "alice")
    assert await records.key(key.access_key) is None
    with pytest.raises(InUse):
        await remove_account(records, "bob")
    assert await records.accounts() == (bob,)


async def test_an_account_that_is_not_there_is_named(records: Records) -> None:
    for attempt in (
        add_key(records, "nobody", NOW_UNIX_MS),
        change_password(records, "nobody", PASSWORD),
        remove_account(records, "nobody"),
    ):
        with pytest.raises(NotFound, match="nobody"):
            await attempt


def test_a_password_is_the_first_line_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for text in ("pässword of mine\n", "pässword of mine\r\nsecond line", "pässword of mine"):
        file.write_bytes(text.encode())
        assert read_password(file) == "pässword of mine"
    file.write_bytes(b"")
    assert read_password(file) == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(InvalidField, match="password: No such file"):
        read_password(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidField, match="is not UTF-8"):
        read_password(file)


def test_without_a_file_it_is_asked_for_twice_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, object] = {}

    def prompt(text: str, **how: object) -> str:
        asked.update(how)
        return PASSWORD

    monkeypatch.setattr(typer, "prompt", prompt)

    assert read_password(None) == PASSWORD
    assert asked == {"hide_input": True, "confirmation_prompt": True}
