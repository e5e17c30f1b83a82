"""Passwords, hashed with Argon2id, on a thread and one at a time.

A hash takes 64 MiB and a tenth of a second of one core, which other people's recordings need:
logins wait for each other, in a line of bounded length.
"""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from worker.api.auth.refusals import TooManyRequests

MOST_WAITING = 20
"""About three seconds of hashing."""
_RETRY_AFTER_S = 3


class Passwords:
    """Hashes and checks.

    Costs are the second recommendation of RFC 9106 section 4 on one lane and two passes: its four
    lanes would take four cores at once.
    """

    def __init__(self, *, time_cost: int = 2, memory_kib: int = 64 * 1024) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=1, hash_len=32, salt_len=16
        )
        self._nobodys_hash = (
            f"$argon2id$v=19$m={memory_kib},t={time_cost},p=1${_random(16)}${_random(32)}"
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What to keep of a password, with salt and costs in it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._hasher.hash, password)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait to be the only one who checks. Overflow policy `refuse`: `TooManyRequests`."""
        if self._waiting == MOST_WAITING:
            raise TooManyRequests(_RETRY_AFTER_S)
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; None is no password's hash, and takes as long."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._matches, password_hash or self._nobodys_hash, password
        )

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerifyMismatchError:
            return False


def _random(count: int) -> str:
    """Random bytes as the encoding of Argon2 hashes writes them."""
    return base64.b64encode(secrets.token_bytes(count)).decode().rstrip("=")
