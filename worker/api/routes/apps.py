"""Applications (operations 1 to 6)."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.api.errors import APP_EXISTS, APPS_EXCEED, JOB_RUNNING
from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.app import (
    AppCreated,
    AppRequest,
    AppsQuery,
    AppStateTold,
    AppsTold,
    AppTold,
    app_state_told,
    app_told,
)
from worker.errors import InUse, NameTaken, QuotaExceeded
from worker.jobs.ports import Records
from worker.jobs.values import App, AppState


@dataclass(frozen=True, slots=True)
class Apps:
    """What the operations need; an account has *quota* applications at most."""

    records: Records
    unix_ms: Callable[[], int]
    quota: int = 20
    random_hex: Callable[[int], str] = secrets.token_hex
    """Text of twice as many digits."""

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        return [
            Operation(
                method="POST",
                path="/v2/apps",
                name="create_app",
                handler=self._create,
                group=Group.SETUP,
                request=AppRequest,
                responses={201: AppCreated},
                refusals={NameTaken: APP_EXISTS, QuotaExceeded: APPS_EXCEED},
            ),
            Operation(
                method="GET",
                path="/v2/apps",
                name="list_apps",
                handler=self._list,
                group=Group.SETUP,
                query=AppsQuery,
                responses={200: AppsTold},
            ),
            Operation(
                method="GET",
                path="/v2/apps/{app_id}",
                name="show_app",
                handler=self._show,
                group=Group.SETUP,
                responses={200: AppTold},
            ),
            Operation(
                method="DELETE",
                path="/v2/apps/{app_id}",
                name="delete_app",
                handler=self._delete,
                group=Group.SETUP,
                responses={204: None},
                refusals={InUse: JOB_RUNNING},
            ),
            Operation(
                method="POST",
                path="/v2/apps/{app_id}/enable",
                name="start_app",
                handler=self._start,
                group=Group.SETUP,
                responses={200: AppStateTold},
            ),
            Operation(
                method="POST",
                path="/v2/apps/{app_id}/disable",
                name="stop_app",
                handler=self._stop,
                group=Group.SETUP,
                responses={200: AppStateTold},
            ),
        ]

    async def _create(self, call: Call[AppRequest, None]) -> Answer:
        now_unix_ms = self.unix_ms()
        app = App(
            # The first four bytes of the original's ids are a time.
            app_id=f"{now_unix_ms // 1000:08x}{self.random_hex(8)}",
            account_id=call.account.account_id,
            name=call.body.app_name,
            state=AppState.ACTIVE,
            state_unix_ms=now_unix_ms,
            created_unix_ms=now_unix_ms,
            app_key=self.random_hex(16),
        )
        await self.records.add_app(app, quota=self.quota)
        return Answer(201, AppCreated(app_id=app.app_id))

    async def _list(self, call: Call[None, AppsQuery]) -> Answer:
        query = call.query
        if query.state == "ARREARS":
            return Answer(200, AppsTold(count=0, apps=[]))
        count, apps = await self.records.apps(
            call.account.account_id,
            state=query.app_state,
            page=query.offset,
            size=query.limit,
        )
        return Answer(
            200, AppsTold(count=count, apps=[app_told(app, call.account) for app in apps])
        )

    async def _show(self, call: Call[None, None]) -> Answer:
        app = await self.records.app(call.account.account_id, call.path["app_id"])
        return Answer(200, app_told(app, call.account))

    async def _delete(self, call: Call[None, None]) -> Answer:
        await self.records.remove_app(call.account.account_id, call.path["app_id"])
        return Answer(204)

    async def _start(self, call: Call[None, None]) -> Answer:
        return await self._set_state(call, AppState.ACTIVE)

    async def _stop(self, call: Call[None, None]) -> Answer:
        return await self._set_state(call, AppState.STOPPED)

    async def _set_state(self, call: Call[Any, Any], state: AppState) -> Answer:
        app = await self.records.set_app_state(
            call.account.account_id, call.path["app_id"], state, self.unix_ms()
        )
        return Answer(200, app_state_told(app))
