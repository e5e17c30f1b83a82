"""Tokens that stand for an account for a day: random, and on record as a digest only.

There is nothing in a token to forge. Whoever reads the database cannot use what is there.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from worker.api.auth.refusals import Unauthenticated
from worker.jobs.ports import Records
from worker.jobs.values import Token

LIFE_MS = 24 * 60 * 60 * 1000
_RANDOM_BYTES = 32
_MOST_CHARS = 128
"""What is longer is not looked up: ours have 43."""


class Tokens:
    """Issued, looked up and revoked; revoking works at once, everywhere."""

    def __init__(self, *, records: Records, unix_ms: Callable[[], int]) -> None:
        self._records = records
        self._unix_ms = unix_ms

    async def issue(self, account_id: str) -> tuple[str, Token]:
        """A new token: its text, which is not kept, and what is on record of it."""
        text = secrets.token_urlsafe(_RANDOM_BYTES)
        now_unix_ms = self._unix_ms()
        token = Token(_digest(text), account_id, now_unix_ms, now_unix_ms + LIFE_MS)
        await self._records.add_token(token)
        return text, token

    async def check(self, text: str) -> Token:
        """What is on record of a valid token. Raises `Unauthenticated`."""
        token = None
        if len(text) <= _MOST_CHARS and text.isascii():
            token = await self._records.token(_digest(text))
        if token is None:
            raise Unauthenticated("decrypt token fail")
        if token.expires_unix_ms <= self._unix_ms():
            expired = datetime.fromtimestamp(token.expires_unix_ms // 1000, UTC)
            raise Unauthenticated(f"token expires, expires_at: {expired:%Y-%m-%dT%H:%M:%SZ}")
        return token

    async def revoke(self, token: Token) -> None:
        """Nobody gets in with it any more."""
        await self._records.revoke_token(token.digest)


def _digest(text: str) -> bytes:
    # The text has 256 random bits, so a fast digest is as hard to invert as a slow one.
    return hashlib.sha256(text.encode()).digest()
