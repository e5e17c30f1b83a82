"""Bodies of the requests about rooms (API reference section 4, RemoveUsersReq)."""

from typing import Annotated

from pydantic import Field

from worker.api.wire.mix_param import Id, WireModel

MAX_USERS = 500
"""As many may send in a room at once."""


class RemoveUsers(WireModel):
    """Who has to leave."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_USERS)]
