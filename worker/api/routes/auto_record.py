"""Automatic recording of an application (operations 12 and 13)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.app import (
    AppAutoRecordTold,
    AutoRecordRequest,
    auto_record_of,
    auto_record_told,
)
from worker.jobs.ports import Records


@dataclass(frozen=True, slots=True)
class AutoRecording:
    """What the operations need."""

    records: Records
    unix_ms: Callable[[], int]

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        path = "/v2/apps/{app_id}/auto-record-mode"
        return [
            Operation(
                method="PUT",
                path=path,
                name="update_auto_record",
                handler=self._update,
                group=Group.SETUP,
                request=AutoRecordRequest,
                responses={200: AppAutoRecordTold},
            ),
            Operation(
                method="GET",
                path=path,
                name="show_auto_record",
                handler=self._show,
                group=Group.SETUP,
                responses={200: AppAutoRecordTold},
            ),
        ]

    async def _update(self, call: Call[AutoRecordRequest, None]) -> Answer:
        app = await self.records.set_auto_record(
            call.account.account_id, call.path["app_id"], auto_record_of(call.body, self.unix_ms())
        )
        return Answer(200, auto_record_told(app))

    async def _show(self, call: Call[None, None]) -> Answer:
        app = await self.records.app(call.account.account_id, call.path["app_id"])
        return Answer(200, auto_record_told(app))
