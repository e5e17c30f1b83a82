"""Encryption of single values at rest, by keys that are not in the database."""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column

from worker.errors import RecordsDown

KEY_BYTES = 32
MARK_BYTES = 4
"""Each sealed value begins with this many bytes that tell its key."""
_NONCE_BYTES = 12


class Seal:
    """AES-256-GCM. The first key encrypts, all of them decrypt.

    A sealed value is bound to its table, column and row: elsewhere it does not open. It is the
    key's mark, a random nonce, ciphertext and tag. Raises `ValueError` for a key that is not 32
    bytes long, and for none.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"each sealing key has {KEY_BYTES} bytes, and there is at least one")
        self._ciphers = {_mark(key): AESGCM(key) for key in keys}
        self._newest = _mark(keys[0])

    @property
    def newest_mark(self) -> bytes:
        """How values begin that are sealed with the first key."""
        return self._newest

    def encrypt(self, plain: bytes, column: Column[bytes], row: str | bytes) -> bytes:
        """For that column of the row whose primary key is *row*."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._ciphers[self._newest]
        return self._newest + nonce + cipher.encrypt(nonce, plain, _place(column, row))

    def decrypt(self, sealed: bytes, column: Column[bytes], row: str | bytes) -> bytes:
        """What was encrypted for that place. Raises `RecordsDown` when it does not open."""
        cipher = self._ciphers.get(sealed[:MARK_BYTES])
        if cipher is None:
            raise RecordsDown(f"no key was given that opens what is sealed in {column}")
        body = sealed[MARK_BYTES:]
        try:
            return cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], _place(column, row))
        except (InvalidTag, ValueError) as exc:  # the latter: cut short
            raise RecordsDown(f"a value in {column} was changed outside of this program") from exc

    def encrypt_text(self, plain: str, column: Column[bytes], row: str | bytes) -> bytes:
        return self.encrypt(plain.encode(), column, row)

    def decrypt_text(self, sealed: bytes, column: Column[bytes], row: str | bytes) -> str:
        return self.decrypt(sealed, column, row).decode()


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(b"mixworker sealing key" + key).digest()[:MARK_BYTES]


def _place(column: Column[bytes], row: str | bytes) -> bytes:
    return f"{column}\0".encode() + (row.encode() if isinstance(row, str) else row)
