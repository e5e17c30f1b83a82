"""The account behind a request: by its signature, or by its token.

Source: API reference sections 9 and 11. Of both, the signature counts.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from worker.api.auth.lockout import Lockout
from worker.api.auth.refusals import Unauthenticated
from worker.api.auth.signature import WINDOW_MS, Signature, is_signed, read_signature
from worker.api.auth.sources import source
from worker.api.auth.tokens import Tokens
from worker.api.requests import read_body
from worker.jobs.ports import Records
from worker.jobs.values import Account

_NOT_SIGNED = "verify aksk signature fail"
_LOCKED = "AK access failed to reach the limit,forbidden"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is."""

    account: Account
    signature_digest: bytes | None = field(repr=False)
    """The same for requests with the same key and signature; None: not signed."""


class Authenticator:
    """Raises `Unauthenticated`; the text for an unknown key is that for a wrong signature."""

    def __init__(
        self, *, records: Records, tokens: Tokens, lockout: Lockout, unix_ms: Callable[[], int]
    ) -> None:
        self._records = records
        self._tokens = tokens
        self._lockout = lockout
        self._unix_ms = unix_ms
        self._nobodys_secret = secrets.token_urlsafe(30)

    async def caller(self, request: web.Request) -> Caller:
        """Reads the body of a signed request."""
        # An empty one is how the SDK is kept from signing, by who has a token.
        if any(request.headers.getall("Authorization", ())):
            caller = await self._signer(request)
        else:
            caller = await self._bearer(request)
        own = [caller.account.account_id]
        if request.headers.getall("X-Project-Id", own) != own:
            raise Unauthenticated("X-Project-Id is not the project of the account")
        return caller

    async def _bearer(self, request: web.Request) -> Caller:
        texts = request.headers.getall("X-Auth-Token", [])
        if len(texts) != 1:
            raise Unauthenticated("x-auth-token not found")
        token = await self._tokens.check(texts[0])
        return Caller(await self._account(token.account_id), None)

    async def _signer(self, request: web.Request) -> Caller:
        try:
            signature = read_signature(request.raw_headers)
        except ValueError:
            raise Unauthenticated(_NOT_SIGNED) from None
        self._check_date(signature)
        access_key, address = signature.access_key, source(request.remote)
        if self._lockout.is_locked(access_key, address, self._unix_ms()):
            raise Unauthenticated(_LOCKED)
        body = await read_body(request)
        key = await self._records.key(access_key)
        # As much work without a key, so that nobody can tell keys that exist.
        secret = self._nobodys_secret if key is None else key.secret
        target = request.raw_path.encode(errors="surrogateescape")
        is_valid = is_signed(signature, secret, request.method, target, body)
        if key is None or not is_valid:
            self._lockout.failed(access_key, address, self._unix_ms())
            raise Unauthenticated(_NOT_SIGNED)
        self._lockout.succeeded(access_key, address)
        digest = hashlib.sha256(f"{access_key} {signature.hexadecimal}".encode()).digest()
        return Caller(await self._account(key.account_id), digest)

    def _check_date(self, signature: Signature) -> None:
        now_unix_ms = self._unix_ms()
        if abs(now_unix_ms - signature.date_unix_ms) > WINDOW_MS:
            server = datetime.fromtimestamp(now_unix_ms // 1000, UTC)
            raise Unauthenticated(
                "calc ak sk signature fail:signature expired, "
                f"signature time:{signature.date},server time:{server:%Y%m%dT%H%M%SZ}"
            )

    async def _account(self, account_id: str) -> Account:
        account = await self._records.account(account_id)
        if account is None:  # removed since its key or token was read
            raise Unauthenticated(_NOT_SIGNED)
        return account
