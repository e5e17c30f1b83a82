"""`mixworker account ...`: who may use the API."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.exits import errors_in_words
from worker.jobs.ports import Records
from worker.settings import Settings

app = typer.Typer(
    name="account", help="Accounts of the API and their access keys.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The account's name.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="Its first line; else it is asked for.")
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    password_file: PasswordFile = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Access keys only, no tokens, no dashboard.")
    ] = False,
) -> None:
    """Add an account; its access keys come from `mixworker account key`."""
    from worker.cli.account import add_account, read_password

    with errors_in_words():
        password = None if no_password else read_password(password_file)
        _on_record(context, lambda records, now: add_account(records, name, password, now))


@app.command("list")
def list_all(context: typer.Context) -> None:
    """Accounts and their access keys, without secrets."""
    from worker.cli.account import list_accounts

    with errors_in_words():
        _on_record(context, lambda records, now: list_accounts(records))


@app.command()
def key(context: typer.Context, name: Name) -> None:
    """Make an access key; its secret is shown this once."""
    from worker.cli.account import add_key

    with errors_in_words():
        _on_record(context, lambda records, now: add_key(records, name, now))


@app.command()
def drop_key(
    context: typer.Context, access_key: Annotated[str, typer.Argument(metavar="AK")]
) -> None:
    """Make an access key useless."""
    from worker.cli.account import drop_key as drop

    with errors_in_words():
        _on_record(context, lambda records, now: drop(records, access_key))


@app.command()
def password(context: typer.Context, name: Name, password_file: PasswordFile = None) -> None:
    """Change the password; tokens that were handed out are void then."""
    from worker.cli.account import change_password, read_password

    with errors_in_words():
        new = read_password(password_file)
        _on_record(context, lambda records, now: change_password(records, name, new))


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove an account that has no applications any more."""
    from worker.cli.account import remove_account

    with errors_in_words():
        _on_record(context, lambda records, now: remove_account(records, name))


def _on_record(context: typer.Context, act: Callable[[Records, int], Awaitable[None]]) -> None:
    """Do it in the control plane's database, which may be in use by one that runs."""
    from worker.app.control_plane import records_of, unix_ms
    from worker.app.keys import control_keys

    settings: Settings = context.obj.settings

    async def main() -> None:
        async with records_of(settings, control_keys(settings.control)) as records:
            await act(records, unix_ms())

    asyncio.run(main())
