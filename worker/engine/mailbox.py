"""A bounded queue that can be closed, with its overflow policy chosen by name."""

import asyncio
from collections import deque
from enum import Enum
from typing import Generic, TypeVar


class Overflow(Enum):
    """What happens to an item that finds the mailbox full."""

    WAIT = "wait"
    """The sender waits: back-pressure."""
    FAIL = "fail"
    """`MailboxFull` is raised: falling behind is an error here, not a hole."""


class MailboxFull(Exception):
    """An item found a mailbox of policy FAIL full."""


class MailboxClosed(Exception):
    """Put after close."""


T = TypeVar("T")


class Mailbox(Generic[T]):
    """One sender, one receiver, at most *capacity* items between them."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: T) -> None:
        """Append *item*. Raises `MailboxClosed`, and `MailboxFull` where the policy says so."""
        while len(self._items) >= self._capacity and not self._closed:
            if self._overflow is Overflow.FAIL:
                raise MailboxFull
            await self._wait()
        if self._closed:
            raise MailboxClosed
        self._items.append(item)
        self._changed.set()

    async def get(self) -> T | None:
        """The oldest item, or None once the mailbox is closed and empty."""
        while not self._items:
            if self._closed:
                return None
            await self._wait()
        item = self._items.popleft()
        self._changed.set()
        return item

    async def get_all(self) -> list[T]:
        """Everything there is, at least one item; empty once closed and drained."""
        first = await self.get()
        if first is None:
            return []
        items = [first, *self._items]
        self._items.clear()
        self._changed.set()
        return items

    def close(self) -> None:
        """No more items will come; what is in can still be taken."""
        self._closed = True
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
