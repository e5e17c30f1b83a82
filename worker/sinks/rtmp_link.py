"""One connection to an RTMP server: its session on a socket. Nothing here can block."""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from worker.errors import DestinationError, DestinationRefused
from worker.net.dial import Dialer
from worker.sinks.rtmp_session import NONCE_BYTES, Phase, PublishSession
from worker.sinks.rtmp_url import RtmpTarget

ANSWER_S = 5.0
"""Patience with one answer of a server, and with its TLS."""
CLOSE_S = 1.0


class AddressForbidden(DestinationRefused):
    """The address is one that the worker may not call, whatever its server would say."""


class RtmpLink(asyncio.Protocol):
    """Feeds a session from a socket and writes what it answers."""

    def __init__(self, session: PublishSession) -> None:
        self.session = session
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1
        self._failure: DestinationError | None = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            self.session.receive(data)
        except DestinationError as exc:
            self._fail(exc)
            return
        self.flush()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.session.phase in (Phase.CONNECT, Phase.CREATE, Phase.PUBLISH):
            # Many servers, nginx among them, say no by hanging up.
            asked = self.session.phase.value
            self._fail(DestinationRefused(f"the server hung up when asked to {asked}"))
        else:
            self._fail(DestinationError("the server closed the connection"))

    def flush(self) -> None:
        """Hand what the session has to say to the socket; never waits."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self.session.outgoing())

    @property
    def queued_bytes(self) -> int:
        """What the peer's kernel has not confirmed."""
        if self._transport is None:
            return 0
        return self._transport.get_write_buffer_size() + _unconfirmed(self._descriptor)

    @property
    def is_lost(self) -> bool:
        """It has ended, by whomever."""
        return self._transport is None

    def raise_failure(self) -> None:
        """Raise what ended this connection, if something did."""
        if self._failure is not None:
            raise self._failure

    async def publish(self) -> None:
        """Wait until the server wants media. Raises `DestinationError`."""
        while (phase := self.session.phase) is not Phase.LIVE:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._answer_to(phase)
            except TimeoutError:
                raise DestinationError(f"the server did not answer the {phase.value}") from None

    async def close(self) -> None:
        """Close in good order; whatever takes longer than a second is cut off."""
        if self._transport is not None:
            self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._transport is not None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _answer_to(self, phase: Phase) -> None:
        while True:
            self.raise_failure()
            if self.session.phase is not phase:
                return
            self._changed.clear()
            await self._changed.wait()

    def _fail(self, error: DestinationError) -> None:
        self._failure = self._failure or error
        self._changed.set()
        self.abort()


@asynccontextmanager
async def rtmp_link(
    target: RtmpTarget, dialer: Dialer, tls: ssl.SSLContext, *, window_bytes: int
) -> AsyncIterator[RtmpLink]:
    """A connection that is live; left, it is cut off.

    Raises `DestinationError`: `AddressForbidden` when nobody was called, `DestinationRefused` when
    the server said no.
    """
    session = PublishSession(target, nonce=os.urandom(NONCE_BYTES), window_bytes=window_bytes)
    link = RtmpLink(session)
    try:
        await _connect(link, target, dialer, tls)
        await link.publish()
        yield link
    finally:
        link.abort()


async def _connect(link: RtmpLink, target: RtmpTarget, dialer: Dialer, tls: ssl.SSLContext) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            try:
                connection = await dialer.connect(target.host, target.port)
            except DestinationRefused as exc:
                raise AddressForbidden(str(exc)) from exc
            await _start(link, connection, target, tls)
    except TimeoutError:
        raise DestinationError("the server did not answer") from None
    except ssl.SSLCertVerificationError as exc:
        raise DestinationRefused(f"the certificate is not valid: {exc.verify_message}") from exc
    except ssl.SSLError as exc:
        raise DestinationError(f"TLS failed: {exc.reason}") from exc
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else "the connection was lost"
        raise DestinationError(f"TLS failed: {reason}") from exc


async def _start(
    link: RtmpLink, connection: socket.socket, target: RtmpTarget, tls: ssl.SSLContext
) -> None:
    await asyncio.get_running_loop().create_connection(
        lambda: link,
        sock=connection,
        ssl=tls if target.is_encrypted else None,
        server_hostname=target.host if target.is_encrypted else None,
    )


def _unconfirmed(descriptor: int) -> int:
    """Bytes in the socket's send queue, sent or not; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return 0  # just closed
    return int(struct.unpack("i", answer)[0])
