"""What the rooms of applications are called at the room's server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.jobs.ports import RoomKeeper
from worker.ports import RoomPresence


@dataclass(frozen=True, slots=True)
class RoomNames:
    """By default as they are asked for, and all applications meet in the rooms of one server.

    `per_app`: `<app_id>-<room_id>`, so that nobody reaches a room through another application.
    """

    per_app: bool = False

    def at_server(self, app_id: str, room_id: str) -> str:
        """The name of an application's room."""
        return f"{app_id}-{room_id}" if self.per_app else room_id

    def of_app(self, app_id: str, name: str) -> str | None:
        """How the application calls the room *name*; None when it is none of its own."""
        if not self.per_app:
            return name
        prefix = f"{app_id}-"
        return name.removeprefix(prefix) if name.startswith(prefix) else None


@dataclass(frozen=True, slots=True)
class AppRooms:
    """`ports.RoomKeeper` of one application's rooms."""

    app_id: str
    names: RoomNames
    server: RoomKeeper

    async def dismiss(self, room_id: str) -> bool:
        return await self.server.dismiss(self.names.at_server(self.app_id, room_id))

    async def remove_users(self, room_id: str, user_ids: Sequence[str]) -> None:
        await self.server.remove_users(self.names.at_server(self.app_id, room_id), user_ids)

    async def people(self) -> Mapping[str, Sequence[RoomPresence]]:
        rooms = await self.server.people()
        return {
            room_id: people
            for name, people in rooms.items()
            if (room_id := self.names.of_app(self.app_id, name)) is not None
        }
