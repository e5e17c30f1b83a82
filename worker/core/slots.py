"""Who sits where in a gallery: places that survive their occupant."""

from collections import deque

from worker.core.identity import UserId
from worker.core.layout.gallery import MAX_USERS, grid_for


class GallerySlots:
    """The slots of one gallery, row by row; one owner.

    A leaver's slot stays empty until the next entrant takes it (the first empty slot), unless
    fewer rows or columns are needed now: then all move up in slot order. From the 26th user on
    everybody waits, in order of arrival, until a slot is free.
    """

    def __init__(self) -> None:
        self._slots: list[UserId | None] = []
        self._waiting: deque[UserId] = deque()

    @property
    def slots(self) -> tuple[UserId | None, ...]:
        """One entry per tile of the grid; None where nobody sits."""
        return tuple(self._slots)

    def enter(self, user_id: UserId) -> None:
        """Seat a user who is not here yet, or let it wait."""
        users = self._seated()
        if users == MAX_USERS:
            self._waiting.append(user_id)
            return
        self._fit_to(users + 1)
        self._slots[self._slots.index(None)] = user_id

    def leave(self, user_id: UserId) -> None:
        """Free the place of a user who is here."""
        if user_id in self._waiting:
            self._waiting.remove(user_id)
            return
        slot = self._slots.index(user_id)
        if self._waiting:
            self._slots[slot] = self._waiting.popleft()
            return
        self._slots[slot] = None
        self._fit_to(self._seated())

    def _seated(self) -> int:
        return len(self._slots) - self._slots.count(None)

    def _fit_to(self, users: int) -> None:
        # The capacity differs whenever rows or columns do: 0 1 2 4 6 9 12 16 20 25.
        capacity = grid_for(users).capacity
        if capacity < len(self._slots):
            self._slots = [occupant for occupant in self._slots if occupant is not None]
        self._slots += [None] * (capacity - len(self._slots))
