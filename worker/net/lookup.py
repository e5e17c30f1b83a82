"""Names to addresses. The system's resolver blocks and cannot be stopped, so it gets threads.

They don't keep the process alive, and there are never more than a few.
"""

import asyncio
import socket
from collections.abc import Sequence
from threading import Thread
from typing import Any

from worker.errors import DestinationError

MOST_AT_ONCE = 8
"""Threads that may wait for a name server; policy beyond: the next look-up waits for one."""

SocketAddress = tuple[socket.AddressFamily, tuple[Any, ...]]
"""Family and what `connect` takes; its first item is the numeric address."""


class Lookup:
    """Asks the system; one instance for the process."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MOST_AT_ONCE)

    async def addresses(self, host: str, port: int) -> Sequence[SocketAddress]:
        """Addresses of *host* in the system's order of preference. Raises `DestinationError`.

        Cancelled, it returns at once; the thread goes on until the resolver gives up.
        """
        numeric = _ask(host, port, socket.AI_NUMERICHOST)
        if not isinstance(numeric, DestinationError):
            return numeric  # an address, however it is spelled: nobody has to be asked
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[SocketAddress]] = loop.create_future()

        def settle(found: Sequence[SocketAddress] | DestinationError) -> None:
            self._free.release()
            if answer.done():
                return
            if isinstance(found, DestinationError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def ask() -> None:
            found = _ask(host, port, 0)
            try:
                loop.call_soon_threadsafe(settle, found)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        Thread(target=ask, name="lookup", daemon=True).start()
        return await answer


def _ask(host: str, port: int, flags: int) -> Sequence[SocketAddress] | DestinationError:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except OSError as exc:
        return DestinationError(f"the host name was not found: {exc.strerror}")
    except ValueError:  # not encodable as a name, or a zero byte in it
        return DestinationError("this cannot be a host name")
    return [(socket.AddressFamily(family), address) for family, _, _, _, address in found]
