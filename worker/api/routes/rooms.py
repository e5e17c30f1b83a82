"""Rooms: everybody out, or some (API reference section 3.7)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.mix_param import ID_PATTERN
from worker.api.wire.room_request import RemoveUsers
from worker.errors import NotFound
from worker.jobs.ports import Records, RoomKeeper

_ROOM = "/v2/apps/{app_id}/rooms/{room_id}"
_ROOM_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Operations 24 and 25 of the API reference.

    `keeper_for` gives who administers an application's rooms; None: nobody can, so that none of
    its rooms is there as far as these operations can see.
    """

    records: Records
    keeper_for: Callable[[str], RoomKeeper | None]

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        return (
            Operation(
                method="POST",
                path=f"{_ROOM}/dismiss",
                name="remove_room",
                handler=self._dismiss,
                responses={202: None},
                group=Group.ROOMS,
            ),
            Operation(
                method="POST",
                path=f"{_ROOM}/batch-remove-users",
                name="remove_users",
                handler=self._remove_users,
                request=RemoveUsers,
                responses={202: None},
                group=Group.ROOMS,
            ),
        )

    async def _dismiss(self, call: Call[None, None]) -> Answer:
        keeper = await self._keeper(call)
        if keeper is None or not await keeper.dismiss(call.path["room_id"]):
            raise NotFound("no such room")
        return Answer(202)

    async def _remove_users(self, call: Call[RemoveUsers, None]) -> Answer:
        keeper = await self._keeper(call)
        if keeper is not None:
            user_ids = tuple(dict.fromkeys(call.body.user_ids))
            await keeper.remove_users(call.path["room_id"], user_ids)
        return Answer(202)

    async def _keeper(self, call: Call[RemoveUsers, None] | Call[None, None]) -> RoomKeeper | None:
        """None also for what cannot be a room's id. Raises `NotFound` for the application."""
        app_id = call.path["app_id"]
        await self.records.app(call.account.account_id, app_id)
        if not _ROOM_ID.fullmatch(call.path["room_id"]):
            return None
        return self.keeper_for(app_id)
