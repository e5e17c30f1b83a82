"""One attempt to deliver a callback, over HTTP or HTTPS.

Only status 200 counts. Redirects are answers like any other, never followed; nothing of the
environment (proxies, netrc) is used; each attempt looks the name up once, checks where it leads
and connects to what was checked.
"""

import asyncio
import os
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from worker.core.spec import CallbackSpec
from worker.errors import DestinationError
from worker.net.dial import Dialer
from worker.net.lookup import SocketAddress
from worker.notify.event_store import StoredEvent
from worker.notify.signature import EVENT_ID_HEADER, signature_headers

TIMEOUT_S = 10.0
"""For everything from looking up the name to the end of the answer's headers."""
READ_AHEAD_BYTES = 16 * 1024
"""Of an answer's body nothing is read; about as much may arrive before we hang up."""
OK, GONE = 200, 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt. `status` None: no answer; `trouble` says why, without secrets."""

    status: int | None
    trouble: str = ""
    retry_after_s: float | None = None
    """What the receiver asked for."""


class Post(Protocol):
    """Makes one attempt to deliver an event; never raises for what the receiver does."""

    async def __call__(self, event: StoredEvent) -> Answer: ...


class HttpPost:
    """Attempts at *target*, each signed anew, over connections of *dialer*'s choosing."""

    def __init__(
        self,
        target: CallbackSpec,
        *,
        dialer: Dialer,
        tls: ssl.SSLContext,
        unix_s: Callable[[], float],
        random_text: Callable[[], str] = lambda: secrets.token_hex(16),
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """*unix_s* is the wall clock."""
        self._target = target
        self._dialer = dialer
        self._tls = tls
        self._unix_s = unix_s
        self._random_text = random_text
        self._timeout_s = timeout_s

    async def __call__(self, event: StoredEvent) -> Answer:
        """One attempt."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._attempt(event)
        except TimeoutError:
            return Answer(None, "no answer in time")
        except DestinationError as exc:
            return Answer(None, str(exc))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Answer(None, _trouble(exc))

    async def _attempt(self, event: StoredEvent) -> Answer:
        url = URL(self._target.url)
        # Before aiohttp sees the address: one that is a number it would not have looked up.
        addresses = await self._dialer.addresses(url.host or "", url.port or 0)
        connector = aiohttp.TCPConnector(
            resolver=_LookedUp(addresses), use_dns_cache=False, force_close=True, ssl=self._tls
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_AHEAD_BYTES,
            ) as session,
            session.post(
                url, data=event.body, headers=self._headers(event), allow_redirects=False
            ) as response,
        ):
            retry_after_s = _retry_after_s(response.headers.get("Retry-After"), self._unix_s())
            # Closed, not released: whoever answers without end shall not be listened to.
            response.close()
            return Answer(response.status, f"HTTP {response.status}", retry_after_s)

    def _headers(self, event: StoredEvent) -> Mapping[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mixworker",
            "Accept-Encoding": "identity",
            EVENT_ID_HEADER: event.event_id,
        }
        if not (auth_key := self._target.auth_key):
            return headers
        signature = signature_headers(
            event.body,
            auth_key=auth_key,
            random_text=self._random_text(),
            timestamp=str(int(self._unix_s())),
        )
        return {**headers, **signature}


class _LookedUp(AbstractResolver):
    """The answer that is known already, for aiohttp."""

    def __init__(self, addresses: Sequence[SocketAddress]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=of_family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for of_family, address in self._addresses
        ]

    async def close(self) -> None:
        pass


def _trouble(exc: Exception) -> str:
    """What went wrong, without the texts of libraries: those repeat the address."""
    number = getattr(exc, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(exc).__name__


def _retry_after_s(text: str | None, now_unix_s: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: a number or a date)."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_unix_s
