"""Accounts and their access keys, from the command line, straight into the records."""

import secrets
import string
from datetime import UTC, datetime
from pathlib import Path

import typer

from worker.api.auth.passwords import Passwords
from worker.errors import InvalidField, NotFound
from worker.jobs.ports import Records
from worker.jobs.values import AccessKey, Account

MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS = 12, 1024
_MAX_NAME_CHARS = 64
_ACCOUNT_ID_BYTES = 16
_ACCESS_KEY_CHARS = 20
_SECRET_CHARS = 40


async def add_account(records: Records, name: str, password: str | None, now_unix_ms: int) -> None:
    """Raises `InvalidField`, `NameTaken`; None: nobody can log in, keys work all the same."""
    if not 1 <= len(name) <= _MAX_NAME_CHARS or not name.isprintable() or name != name.strip():
        raise InvalidField("name", f"must be 1 to {_MAX_NAME_CHARS} printable characters")
    account = Account(
        account_id=secrets.token_hex(_ACCOUNT_ID_BYTES),
        name=name,
        created_unix_ms=now_unix_ms,
        password_hash=None if password is None else await _hashed(password),
    )
    await records.add_account(account)
    typer.echo(f"{account.name}  {account.account_id}")


async def list_accounts(records: Records) -> None:
    """A line for each account, and one for each of its keys, without secrets."""
    for account in await records.accounts():
        login = "password" if account.password_hash else "no password"
        day = _day(account.created_unix_ms)
        typer.echo(f"{account.name}  {account.account_id}  {day}  {login}")
        for key in await records.keys(account.account_id):
            typer.echo(f"  {key.access_key}  {_day(key.created_unix_ms)}")


async def add_key(records: Records, name: str, now_unix_ms: int) -> None:
    """Print a new key with its secret, which is never shown again. Raises `NotFound`."""
    account = await _named(records, name)
    key = AccessKey(
        access_key=_random(string.ascii_uppercase + string.digits, _ACCESS_KEY_CHARS),
        account_id=account.account_id,
        secret=_random(string.ascii_letters + string.digits, _SECRET_CHARS),
        created_unix_ms=now_unix_ms,
    )
    await records.add_key(key)
    typer.echo(f"AK {key.access_key}")
    typer.echo(f"SK {key.secret}")


async def drop_key(records: Records, access_key: str) -> None:
    """Requests signed with it are refused from now on. Raises `NotFound`."""
    await records.remove_key(access_key)


async def change_password(records: Records, name: str, password: str) -> None:
    """Tokens that were handed out are void from now on. Raises `InvalidField`, `NotFound`."""
    account = await _named(records, name)
    await records.set_password(account.account_id, await _hashed(password))


async def remove_account(records: Records, name: str) -> None:
    """Raises `NotFound`, and `InUse` while it has applications."""
    account = await _named(records, name)
    await records.remove_account(account.account_id)


def read_password(file: Path | None) -> str:
    """The first line of *file*, or what is typed, twice, without showing it.

    Never an argument: those are in the process list and in the shell's history. Raises
    `InvalidField`.
    """
    if file is None:
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise InvalidField(str(file), exc.strerror or "cannot be read") from exc
    except UnicodeDecodeError:
        raise InvalidField(str(file), "is not UTF-8") from None
    return lines[0] if lines else ""


async def _hashed(password: str) -> str:
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise InvalidField(
            "password", f"must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"
        )
    return await Passwords().hash(password)


async def _named(records: Records, name: str) -> Account:
    account = await records.account_named(name)
    if account is None:
        raise NotFound(f"there is no account {name}")
    return account


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _day(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d")
