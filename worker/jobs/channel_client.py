"""The worker's end of the line to the control plane, which it dials.

The line may be down for hours: the job goes on, and everything is told once it is back.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

import aiohttp

from worker.core.backoff import Backoff
from worker.core.spec import ControlSpec
from worker.jobs.channel_messages import (
    CHANNEL_PATH,
    MAX_MESSAGE_BYTES,
    BadChannelMessage,
    Desired,
    Told,
    parse_desired,
    told_text,
)

log = logging.getLogger(__name__)

TELL_EVERY_S = 1.0
HEARTBEAT_S = 10.0
"""A line that is silent for longer is dialled anew."""
CONNECT_TIMEOUT_S = 10.0
MAX_BACKOFF_S = 3.0


class ControlLine:
    """Tells how the job is doing once a second and at once after `news`; obeys what is desired."""

    def __init__(
        self,
        control: ControlSpec,
        *,
        job_id: str,
        tls: ssl.SSLContext | None,
        told: Callable[[], Told],
        obey: Callable[[Desired], Awaitable[None]],
        still: Callable[[], Awaitable[bytes]],
    ) -> None:
        """*told* is asked for the state; *obey* gets every wish, known ones too; both on the loop.

        *still* may wait for the next frame.
        """
        path = CHANNEL_PATH.format(job_id=job_id, attempt=control.attempt)
        self._url = f"{control.url}{path}"
        self._headers = {"Authorization": f"Bearer {control.token}"}
        self._tls = tls
        self._told = told
        self._obey = obey
        self._still = still
        self._news = asyncio.Event()
        self._all_known = asyncio.Event()

    def news(self) -> None:
        """Something changed that the control plane should know at once."""
        self._news.set()

    async def take_leave(self, timeout_s: float) -> bool:
        """Wait until the last word is known, at most *timeout_s*; whether it is.

        From now on *told* must give the final state.
        """
        self.news()
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_known.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Keep the line up until cancelled."""
        backoff = Backoff(MAX_BACKOFF_S)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    async with session.ws_connect(
                        self._url,
                        headers=self._headers,
                        heartbeat=HEARTBEAT_S,
                        max_msg_size=MAX_MESSAGE_BYTES,
                        ssl=self._tls or True,
                    ) as socket:
                        backoff.reset()
                        await self._talk(socket)
                    why = "closed"
                except (aiohttp.ClientError, OSError, TimeoutError) as exc:
                    # Not the library's text: it repeats the address.
                    why = type(exc).__name__
                log.info("line to the control plane is down", extra={"why": why})
                await asyncio.sleep(backoff.next_s())

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell(socket), name="control:tell")
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                try:
                    desired = parse_desired(message.data)
                except BadChannelMessage as exc:
                    log.warning("nonsense from the control plane", extra={"why": str(exc)})
                    continue
                if desired is None:
                    group.create_task(self._send_still(socket), name="control:still")
                    continue
                if desired.has_all:
                    self._all_known.set()
                await self._obey(desired)
            telling.cancel()

    async def _tell(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not socket.closed:
            self._news.clear()
            try:
                await socket.send_str(told_text(self._told()))
            except ConnectionError:
                return  # the reader notices too
            try:
                async with asyncio.timeout(TELL_EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                pass  # time to tell again

    async def _send_still(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async with asyncio.timeout(TELL_EVERY_S):
                picture = await self._still()
            await socket.send_bytes(picture)
        except (TimeoutError, ConnectionError):
            pass  # no frame came, or nobody is there to look any more
