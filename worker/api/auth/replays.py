"""A signed request that comes again gets the first answer again, and has no second effect.

The signature scheme has no nonce, so whoever has seen a request can send it again while its date
is good. So can an HTTP library that lost the answer; it gets what it missed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from aiohttp import web

from worker.api.auth.refusals import TooManyRequests
from worker.api.auth.signature import WINDOW_MS
from worker.errors import RecordsDown
from worker.jobs.ports import Records
from worker.jobs.values import Reply

_KEPT_FOR_MS = 2 * WINDOW_MS
"""A date may be as far ahead of us as it may be behind."""
_PATIENCE_S = 10.0
"""How long a request waits for the answer to the first one."""
_POLL_S = 0.25
"""When it is another control plane's."""

log = logging.getLogger(__name__)


class Replays:
    """Answers requests that were sent before from what is on record."""

    def __init__(self, *, records: Records, unix_ms: Callable[[], int]) -> None:
        self._records = records
        self._unix_ms = unix_ms
        # As many as there are different requests being worked on here.
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def answer(
        self, digest: bytes, respond: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """What *respond* gives, which is called only for the first request with *digest*.

        Answers from 500 up, and exceptions, are not kept: such a request may be tried again. One
        whose answer never comes, because its control plane died or it was cancelled, may not:
        nobody knows what it did. Raises `TooManyRequests` for one that comes while the first is
        being worked on for too long.
        """
        turn = self._turns.setdefault(digest, asyncio.Lock())
        patience = asyncio.timeout(_PATIENCE_S)
        try:
            async with patience, turn:
                kept = await self._kept(digest)
                if kept is not None:
                    return _response(kept)
                patience.reschedule(None)
                return await self._first(digest, respond)
        except TimeoutError:
            if patience.expired():
                raise TooManyRequests(1) from None
            raise

    async def _kept(self, digest: bytes) -> Reply | None:
        """The first answer; None when this request is the first."""
        while True:
            reply = await self._records.kept_reply(digest)
            if reply is not None:
                return reply
            if await self._records.claim_request(digest, self._unix_ms() + _KEPT_FOR_MS):
                return None
            await asyncio.sleep(_POLL_S)

    async def _first(
        self, digest: bytes, respond: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await respond()
        except Exception:  # the request boundary answers it; here it only may be tried again
            await self._records.release_request(digest)
            raise
        try:
            await self._settle(digest, response)
        except RecordsDown:
            # What was done is done, and must be told; sent again, it will find no answer.
            log.warning("an answer could not be kept")
        return response

    async def _settle(self, digest: bytes, response: web.StreamResponse) -> None:
        if response.status >= 500:
            await self._records.release_request(digest)
            return
        body = response.body if isinstance(response, web.Response) else b""
        assert body is None or isinstance(body, bytes)
        await self._records.keep_reply(digest, Reply(response.status, body or b""))


def _response(reply: Reply) -> web.Response:
    if not reply.body:
        return web.Response(status=reply.status)
    return web.Response(
        status=reply.status, body=reply.body, content_type="application/json", charset="utf-8"
    )
