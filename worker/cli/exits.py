"""Exit codes: those of sysexits.h where one fits. `docs/operations.md` explains them."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

from worker.core.lifecycle import StopReason
from worker.errors import (
    DestinationError,
    RequestError,
    RoomError,
    RoomRefused,
    WorkerError,
)

if TYPE_CHECKING:  # the exit codes are needed before anything heavy is
    from worker.app import Outcome


class Exit(IntEnum):
    """How `mixworker run` ended."""

    FINISHED = 0
    """Recorded to a regular end: duration, idle, stop or first signal."""
    BAD_DOCUMENT = 64
    ROOM_UNAVAILABLE = 69
    """The room could not be joined, or was lost for good; what was recorded is kept."""
    INTERNAL = 70
    DESTINATION = 74
    """A recording could not be written, or stored."""
    LIVE_PUSH = 76
    """Everything was recorded and stored; a live push failed."""
    ROOM_REFUSED = 77
    ABORTED = 130
    """A second signal cut the drain short; the file is valid."""


def exit_for_error(error: WorkerError) -> Exit:
    """The exit code of an error that ended a command."""
    match error:
        case RequestError():
            return Exit.BAD_DOCUMENT
        case DestinationError():
            return Exit.DESTINATION
        case RoomRefused():
            return Exit.ROOM_REFUSED
        case RoomError():
            return Exit.ROOM_UNAVAILABLE
        case _:
            return Exit.INTERNAL


def exit_for_outcome(outcome: "Outcome") -> Exit:
    """The exit code of a job that got as far as a result."""
    if outcome.aborted:
        return Exit.ABORTED
    if outcome.reason is StopReason.ROOM_REFUSED:
        return Exit.ROOM_REFUSED
    if outcome.reason is StopReason.ROOM_LOST:
        return Exit.ROOM_UNAVAILABLE
    if outcome.error is not None:
        return exit_for_error(outcome.error)
    failed = [each for each in outcome.result["outputs"] if each["error"] is not None]
    if not failed:
        return Exit.FINISHED
    is_live = [each["location"].startswith(("rtmp://", "rtmps://")) for each in failed]
    return Exit.LIVE_PUSH if all(is_live) else Exit.DESTINATION


@contextmanager
def errors_in_words() -> Iterator[None]:
    """What went wrong as one line and an exit code, never a traceback (but for our own bugs)."""
    try:
        yield
    except WorkerError as exc:
        typer.echo(f"mixworker: {exc}", err=True)
        raise typer.Exit(exit_for_error(exc)) from exc
