"""Connections to addresses that were checked, for every address that a tenant gave us.

A name is looked up once, every address it has is checked, and a checked one is connected to:
there is no second look-up that could answer differently, and no spelling to be clever about.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

from worker.errors import DestinationError, DestinationRefused
from worker.net.lookup import Lookup, SocketAddress
from worker.net.reach import Reach

CONNECT_S = 2.5
"""Patience with one address: the second one must get its turn within the caller's five seconds."""
MOST_ADDRESSES = 4
LOW_PORTS = frozenset({80, 443})
"""Below 1024 only these may be called: no mail, no databases, no shells."""

LookUp = Callable[[str, int], Awaitable[Sequence[SocketAddress]]]


class Dialer:
    """Calls whom *reach* includes. Time limits beyond one address are the caller's."""

    def __init__(
        self,
        reach: Reach,
        *,
        low_ports: frozenset[int] = LOW_PORTS,
        look_up: LookUp | None = None,
    ) -> None:
        self._reach = reach
        self._low_ports = low_ports
        self._look_up = look_up or Lookup().addresses

    async def addresses(self, host: str, port: int) -> Sequence[SocketAddress]:
        """Where *host* is, at least one address, all of them allowed.

        Raises `DestinationRefused` when one of them or the port is not, `DestinationError` when
        there are none.
        """
        if not (0 < port < 65536) or (port < 1024 and port not in self._low_ports):
            raise DestinationRefused("this port may not be called")
        found = await self._look_up(host, port)
        if not found:
            raise DestinationError("the host name has no address")
        if not all(self._reach.includes(ip_address(address[0])) for _, address in found):
            raise DestinationRefused("the host is at an address that may not be called")
        return found[:MOST_ADDRESSES]

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket. For TLS the name is still *host*.

        Raises as `addresses` does, and `DestinationError` when nobody answers.
        """
        reason = ""
        for family, address in await self.addresses(host, port):
            try:
                return await _connect(family, address)
            except OSError as exc:
                reason = os.strerror(exc.errno) if exc.errno else "no answer"
        raise DestinationError(f"cannot connect: {reason}")


async def _connect(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:  # cancellation too: the socket has no other owner yet
        connection.close()
        raise
    return connection
