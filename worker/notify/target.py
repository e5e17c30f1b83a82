"""Where a job's callbacks go, kept beside its events until they are delivered.

Whoever opens the directory after a crash must be able to sign, so the key is on disk for that
long, in a file that only its owner may read.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.core.spec import CallbackEvent, CallbackSpec
from worker.errors import DestinationError

log = logging.getLogger(__name__)

_FILE = "target"


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """The receiver of one job's callbacks."""

    spec: CallbackSpec
    facts: Mapping[str, str] = field(default_factory=dict)
    """What bodies say beside their event, for whoever continues this job."""


def keep_target(directory: Path, target: CallbackTarget) -> None:
    """Write *target* into *directory*, readable by its owner only. Raises `DestinationError`."""
    spec = target.spec
    document = {
        "url": spec.url,
        "auth_key": spec.auth_key,
        "events": sorted(event.value for event in spec.events),
        "is_ours": spec.is_ours,
        "facts": dict(target.facts),
    }
    new = directory / f"{_FILE}.new"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(directory / _FILE)
    except OSError as exc:
        raise DestinationError(f"the callback target cannot be kept: {exc.strerror}") from exc


def kept_target(directory: Path) -> CallbackTarget | None:
    """The target of the events in *directory*, None when they are done with (or never were).

    Raises `DestinationError` when it cannot be read.
    """
    try:
        document = json.loads((directory / _FILE).read_text(encoding="utf-8"))
        events = frozenset(CallbackEvent(name) for name in document["events"])
        spec = CallbackSpec(
            document["url"], document["auth_key"], events, is_ours=document["is_ours"]
        )
        return CallbackTarget(spec, document["facts"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        # Not chained: a parser's text repeats what it read.
        raise DestinationError(
            f"the callback target cannot be read: {type(exc).__name__}"
        ) from None


def forget_target(directory: Path) -> None:
    """Remove what `keep_target` wrote."""
    try:
        (directory / _FILE).unlink(missing_ok=True)
    except OSError as exc:
        log.error("callback target cannot be removed", extra={"why": exc.strerror})
