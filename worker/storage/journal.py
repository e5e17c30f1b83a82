"""What is kept beside a file in the spool, so that anybody can finish its delivery.

`a.mp4` has `a.mp4.parcel.json` from its first bytes until its completion was announced. Written
whole or not at all.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from worker.errors import DestinationError
from worker.ports import RecordedFile

SUFFIX = ".parcel.json"


class Stage(Enum):
    """How far a file has come."""

    GROWING = "growing"
    SEALED = "sealed"
    """Closed; from here on the store may have it without our knowing."""
    DELIVERED = "delivered"
    """It can be read from the store."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Everything about one file on its way."""

    file: RecordedFile
    asked_key: str
    """The key it should have had."""
    key: str
    """The key it has, or will have unless that is taken."""
    store: str
    """The store's address."""
    content_type: str
    stage: Stage = Stage.GROWING
    upload_id: str | None = None
    size: int = 0
    """Of the delivered object."""
    etag: str = ""


def path_of(path: Path) -> Path:
    """Where the journal of the spool file at *path* is."""
    return path.with_name(path.name + SUFFIX)


def file_of(path: Path) -> Path:
    """The spool file whose journal is at *path*."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def keep(path: Path, journal: Journal) -> None:
    """Write the journal of the spool file at *path*, to the disk. Raises `DestinationError`."""
    write_whole(path_of(path), json.dumps(asdict(journal) | {"stage": journal.stage.value}))


def read(path: Path) -> Journal:
    """The journal at *path*. Raises `DestinationError`."""
    try:
        told = json.loads(path.read_bytes())
        return Journal(
            **told | {"file": recorded_file(told["file"]), "stage": Stage(told["stage"])}
        )
    except OSError as exc:
        raise DestinationError(f"{path.name} cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError, KeyError) as exc:
        raise DestinationError(f"{path.name} is no journal of ours") from exc


def recorded_file(told: Mapping[str, Any]) -> RecordedFile:
    """Raises `TypeError` when something is missing or unknown."""
    return RecordedFile(**told)


def write_whole(path: Path, text: str) -> None:
    """Replace the file at *path* in one step. Raises `DestinationError`."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        raise DestinationError(f"{path.name} cannot be written: {exc.strerror}") from exc
