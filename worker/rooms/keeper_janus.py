"""Administers rooms of Janus's VideoRoom plugin over its WebSocket API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from worker.errors import RoomError, RoomRefused
from worker.ports import RoomPresence
from worker.rooms.janus_link import (
    NO_SUCH_ROOM,
    NOT_ALLOWED,
    JanusAccess,
    JanusLink,
    RequestFailed,
)
from worker.rooms.janus_messages import Listed, participants, rooms_with_people
from worker.rooms.janus_roster import JanusNaming

WITHIN_S = 10.0
NO_SUCH_FEED = 428

T = TypeVar("T")


class JanusKeeper:
    """`jobs.ports.RoomKeeper` of one Janus. Each call is a session of its own."""

    def __init__(
        self,
        url: str,
        *,
        clock_ns: Callable[[], int],
        access: JanusAccess | None = None,
        room_secret: str | None = None,
        naming: JanusNaming | None = None,
        rooms_are_named: bool = False,
        recorder_name: str = "mixworker",
        destroys_rooms: bool = False,
    ) -> None:
        """*room_secret* is what the rooms' `secret` says; it has nothing to do with their pins.

        *rooms_are_named*: Janus runs with `string_ids`. *recorder_name*: display name of workers,
        which are left in the room. *destroys_rooms*: a dismissed room is destroyed, and its
        workers lose it; by default it stays, empty, for whoever made it.
        """
        self._url = url
        self._clock_ns = clock_ns
        self._access = access or JanusAccess()
        self._secret = {} if room_secret is None else {"secret": room_secret}
        self._naming = naming or JanusNaming()
        self._rooms_are_named = rooms_are_named
        self._recorder_name = recorder_name
        self._destroys_rooms = destroys_rooms

    async def dismiss(self, room_id: str) -> bool:
        """Put everybody out; False when Janus has no such room. Raises `RoomError`."""
        return await self._put_out(
            room_id,
            lambda who: who.is_publisher or who.display_name != self._recorder_name,
            then_destroy=self._destroys_rooms,
        )

    async def remove_users(self, room_id: str, user_ids: Sequence[str]) -> None:
        """Put out whichever of *user_ids* are there. Raises `RoomError`."""
        unwanted = frozenset(user_ids)
        await self._put_out(
            room_id, lambda who: self._naming.user_id(who.feed_id, who.display_name) in unwanted
        )

    async def people(self) -> Mapping[str, Sequence[RoomPresence]]:
        """Who publishes, in every room where anybody does; screens are not told apart.

        Raises `RoomError`.
        """

        async def listed(link: JanusLink, handle_id: int) -> dict[str, Sequence[RoomPresence]]:
            answer = await link.message(handle_id, {"request": "list"})
            found: dict[str, Sequence[RoomPresence]] = {}
            for room in rooms_with_people(answer.event):
                asked = {"request": "listparticipants", "room": room}
                present = participants((await link.message(handle_id, asked)).event)
                people = [
                    RoomPresence(self._naming.user_id(who.feed_id, who.display_name))
                    for who in present
                    if who.is_publisher
                ]
                if people:
                    found[str(room)] = people
            return found

        return await self._visit(listed)

    async def _put_out(
        self, room_id: str, is_unwanted: Callable[[Listed], bool], *, then_destroy: bool = False
    ) -> bool:
        """Whether there is such a room. Raises `RoomError`."""
        if not self._rooms_are_named and not room_id.isdecimal():
            return False
        room = {"room": room_id if self._rooms_are_named else int(room_id)}

        async def put_out(link: JanusLink, handle_id: int) -> None:
            answer = await link.message(handle_id, {"request": "listparticipants", **room})
            for who in filter(is_unwanted, participants(answer.event)):
                kick = {"request": "kick", "id": who.feed_id, **room, **self._secret}
                try:
                    await link.message(handle_id, kick)
                except RequestFailed as exc:
                    if exc.error_code != NO_SUCH_FEED:  # has just left
                        raise
            if then_destroy:
                await link.message(handle_id, {"request": "destroy", **room, **self._secret})

        try:
            await self._visit(put_out)
        except RequestFailed as exc:
            if exc.error_code == NO_SUCH_ROOM:
                return False
            if exc.error_code == NOT_ALLOWED:
                raise RoomRefused("the room does not accept our secret") from exc
            raise
        return True

    async def _visit(self, work: Callable[[JanusLink, int], Awaitable[T]]) -> T:
        """What *work* gives in a session of its own. Raises `RoomError`."""
        link = JanusLink(url=self._url, access=self._access, clock_ns=self._clock_ns)
        handle_id = 0

        async def attach(_has_resumed: bool) -> None:
            nonlocal handle_id
            handle_id = await link.attach(lambda _: None)

        failure: Exception
        try:
            async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
                staying = tasks.create_task(link.run(attach, lambda _: None), name="janus link")
                await link.is_up.wait()
                result = await work(link, handle_id)
                with suppress(RoomError):
                    await link.request("destroy")  # the session: it would outlive the socket
                staying.cancel()
            return result
        except* RoomError as failures:
            failure = failures.exceptions[0]
        except* TimeoutError:
            failure = RoomError("Janus does not answer")
        raise failure
