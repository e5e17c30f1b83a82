"""Who has logged in to the dashboard: sessions in memory, known by a random secret in a cookie.

They end with the process; whoever was logged in logs in again.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.api.auth.refusals import Unauthenticated
from worker.jobs.ports import Records
from worker.jobs.values import Account

LIFE_MS = 8 * 60 * 60 * 1000
MAX_PER_ACCOUNT = 20
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Session:
    account_id: str
    password_hash: str | None = field(repr=False)
    """Of the login; a new password ends what went by the old one."""
    expires_unix_ms: int


class Sessions:
    """Begun, looked up and ended.

    Bounded by account; overflow policy `oldest_ended`: nobody can end another account's.
    """

    def __init__(self, *, records: Records, unix_ms: Callable[[], int]) -> None:
        self._records = records
        self._unix_ms = unix_ms
        self._sessions: dict[bytes, _Session] = {}
        """By the digest of the secret, the oldest first."""

    def begin(self, account: Account) -> str:
        """The secret of a new session."""
        now_unix_ms = self._unix_ms()
        self._sessions = {
            digest: session
            for digest, session in self._sessions.items()
            if session.expires_unix_ms > now_unix_ms
        }
        own = [
            digest
            for digest, session in self._sessions.items()
            if session.account_id == account.account_id
        ]
        for digest in own[: max(0, len(own) + 1 - MAX_PER_ACCOUNT)]:
            del self._sessions[digest]
        secret = secrets.token_urlsafe(_RANDOM_BYTES)
        self._sessions[_digest(secret)] = _Session(
            account.account_id, account.password_hash, now_unix_ms + LIFE_MS
        )
        return secret

    async def account(self, secret: str | None) -> Account:
        """Whose session it is. Raises `Unauthenticated`."""
        session = self._sessions.get(_digest(secret or ""))
        if session is None or session.expires_unix_ms <= self._unix_ms():
            raise Unauthenticated("log in first")
        account = await self._records.account(session.account_id)
        if account is None or account.password_hash != session.password_hash:
            raise Unauthenticated("log in again")
        return account

    def end(self, secret: str | None) -> None:
        """Nobody gets in with it any more."""
        self._sessions.pop(_digest(secret or ""), None)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
