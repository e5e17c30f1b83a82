"""Who is told of an application's recordings (operations 14 and 15)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.api.errors import URL_UNAVAILABLE
from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.app import AppCallbackTold, CallbackRequest, callback_of, callback_told
from worker.errors import DestinationError
from worker.jobs.ports import Records

LOOK_UP_S = 5.0
SHORT_KEY_CHARS = 32
"""Shorter ones are taken, as in the API's own example, but not liked."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the operations need.

    *check_address* looks an address up and raises `DestinationError` when it may not be called.
    """

    records: Records
    unix_ms: Callable[[], int]
    check_address: Callable[[str], Awaitable[object]]

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        path = "/v2/apps/{app_id}/record-callback"
        return [
            Operation(
                method="PUT",
                path=path,
                name="update_record_callback",
                handler=self._update,
                group=Group.SETUP,
                request=CallbackRequest,
                responses={200: AppCallbackTold},
                refusals={DestinationError: URL_UNAVAILABLE},
            ),
            Operation(
                method="GET",
                path=path,
                name="show_record_callback",
                handler=self._show,
                group=Group.SETUP,
                responses={200: AppCallbackTold},
            ),
        ]

    async def _update(self, call: Call[CallbackRequest, None]) -> Answer:
        callback = callback_of(call.body, self.unix_ms())
        account_id, app_id = call.account.account_id, call.path["app_id"]
        # Nobody may have names looked up for an application that isn't theirs.
        await self.records.app(account_id, app_id)
        try:
            async with asyncio.timeout(LOOK_UP_S):
                await self.check_address(callback.url)
        except TimeoutError:
            raise DestinationError("the name server does not answer") from None
        app = await self.records.set_callback(account_id, app_id, callback)
        if len(callback.auth_key) < SHORT_KEY_CHARS:
            log.warning(
                "callbacks are signed with a short key, or none",
                extra={"app_id": app_id, "request_id": call.request_id},
            )
        return Answer(200, callback_told(app))

    async def _show(self, call: Call[None, None]) -> Answer:
        app = await self.records.app(call.account.account_id, call.path["app_id"])
        return Answer(200, callback_told(app))
