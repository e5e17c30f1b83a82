"""The account behind a name and a password."""

from collections.abc import Callable

from worker.api.auth.limits import Limits
from worker.api.auth.lockout import Lockout
from worker.api.auth.passwords import Passwords
from worker.api.auth.refusals import Unauthenticated
from worker.api.auth.sources import source
from worker.jobs.ports import Records
from worker.jobs.values import Account

WRONG = "The username or password is wrong."
_LOCKED = "There were too many wrong passwords. Try again in five minutes."


class Login:
    """Takes as long, and says the same, for a name that exists and one that does not."""

    def __init__(
        self,
        *,
        records: Records,
        passwords: Passwords,
        lockout: Lockout,
        limits: Limits,
        unix_ms: Callable[[], int],
    ) -> None:
        self._records = records
        self._passwords = passwords
        self._lockout = lockout
        self._limits = limits
        self._unix_ms = unix_ms

    async def account(self, name: str, password: str, remote: str | None) -> Account:
        """Raises `Unauthenticated` (its `reason` is for people), and `TooManyRequests`.

        *remote* is the caller's address.
        """
        address = source(remote)
        self._limits.count_stranger(address)
        # In turn: guesses that arrive together must not all be made before the first one fails.
        async with self._passwords.turn():
            if self._lockout.is_locked(name, address, self._unix_ms()):
                raise Unauthenticated(_LOCKED)
            account = await self._records.account_named(name)
            password_hash = None if account is None else account.password_hash
            is_right = await self._passwords.matches(password_hash, password)
            if account is None or not is_right:
                self._lockout.failed(name, address, self._unix_ms())
                raise Unauthenticated(WRONG)
            self._lockout.succeeded(name, address)
        return account
