"""The control plane's keys, which lie outside its database."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import InvalidField
from worker.settings import ControlSettings

_KEY_BYTES = 32
_FOR_WORKERS = b"tokens of workers"


@dataclass(frozen=True, slots=True)
class Keys:
    """What seals secrets in the database (the first; any opens), and what signs workers' tokens."""

    seals: Sequence[bytes] = field(repr=False)
    workers: bytes = field(repr=False)


def control_keys(control: ControlSettings) -> Keys:
    """From the file of the settings, or one of our own that is made if it is not there.

    Raises `InvalidField` when it cannot be read.
    """
    own = Path(control.directory) / "keys"
    path = Path(control.keys_file) if control.keys_file else own
    try:
        if not control.keys_file and not own.exists():
            _make(own)
        lines = path.read_text(encoding="ascii").split()
        seals = [bytes.fromhex(line) for line in lines]
    except (OSError, ValueError) as exc:
        raise InvalidField("control.keys_file", "cannot be read") from exc
    if not seals or any(len(key) != _KEY_BYTES for key in seals):
        raise InvalidField("control.keys_file", "must have lines of 64 hexadecimal digits")
    # Of the oldest key: workers that run while keys are changed keep their tokens.
    return Keys(seals, hmac.new(seals[-1], _FOR_WORKERS, hashlib.sha256).digest())


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)  # whoever is first, if two start at once
    except FileExistsError:
        pass
    new.unlink()
