"""Applications."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, exists, func, select, update

from worker.errors import InUse, NameTaken, NotFound, QuotaExceeded
from worker.jobs.records.database import insert_new
from worker.jobs.records.schema import apps, jobs, rules
from worker.jobs.records.seal import Seal
from worker.jobs.records.tenancy import locked_account, owned_app
from worker.jobs.records.theme import Theme
from worker.jobs.values import App, AppState, AutoRecord, RecordCallback


class Apps(Theme):
    """As in `ports.Records`."""

    async def add_app(self, app: App, *, quota: int) -> None:
        async with self._database.write() as transaction:
            await locked_account(transaction, app.account_id)
            mine = apps.c.account_id == app.account_id
            taken = select(exists().where(mine, apps.c.name == app.name))
            if (await transaction.execute(taken)).scalar_one():
                raise NameTaken("there is an application of that name")
            count = select(func.count()).select_from(apps).where(mine)
            if (await transaction.execute(count)).scalar_one() >= quota:
                raise QuotaExceeded("there are as many applications as may be")
            if not await insert_new(transaction, apps, _row(self._seal, app)):
                raise NameTaken("there is such an application")

    async def app(self, account_id: str, app_id: str) -> App:
        async with self._database.read() as transaction:
            return _app(self._seal, await owned_app(transaction, account_id, app_id))

    async def apps(
        self, account_id: str, *, state: AppState | None, page: int, size: int
    ) -> tuple[int, Sequence[App]]:
        conditions = [apps.c.account_id == account_id]
        if state is not None:
            conditions.append(apps.c.state == state.value)
        async with self._database.read() as transaction:
            count = select(func.count()).select_from(apps).where(*conditions)
            total = (await transaction.execute(count)).scalar_one()
            rows = await transaction.execute(
                select(apps)
                .where(*conditions)
                .order_by(apps.c.created_unix_ms.desc(), apps.c.app_id.desc())
                .limit(size)
                .offset(page * size)
            )
            return total, tuple(_app(self._seal, row) for row in rows)

    async def auto_recording_apps(self) -> Sequence[App]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(apps).where(apps.c.auto_is_on, apps.c.state == AppState.ACTIVE.value)
            )
            return tuple(_app(self._seal, row) for row in rows)

    async def set_app_state(
        self, account_id: str, app_id: str, state: AppState, now_unix_ms: int
    ) -> App:
        return await self._change_app(
            account_id, app_id, {"state": state.value, "state_unix_ms": now_unix_ms}
        )

    async def set_callback(self, account_id: str, app_id: str, callback: RecordCallback) -> App:
        return await self._change_app(
            account_id, app_id, _callback_row(self._seal, app_id, callback)
        )

    async def set_auto_record(self, account_id: str, app_id: str, auto: AutoRecord) -> App:
        return await self._change_app(account_id, app_id, _auto_row(auto), rule_id=auto.rule_id)

    async def _change_app(
        self, account_id: str, app_id: str, values: dict[str, Any], *, rule_id: str = ""
    ) -> App:
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            await owned_app(transaction, account_id, app_id)
            if rule_id:
                known = select(exists().where(rules.c.rule_id == rule_id, rules.c.app_id == app_id))
                if not (await transaction.execute(known)).scalar_one():
                    raise NotFound("no such rule")
            await transaction.execute(update(apps).where(apps.c.app_id == app_id).values(values))
            return _app(self._seal, await owned_app(transaction, account_id, app_id))

    async def remove_app(self, account_id: str, app_id: str) -> None:
        """Jobs whose workers still deliver stay, unseen, until they are forgotten."""
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            await owned_app(transaction, account_id, app_id)
            lives = select(exists().where(jobs.c.app_id == app_id, jobs.c.state != "stopped"))
            if (await transaction.execute(lives)).scalar_one():
                raise InUse("the application has live jobs")
            await transaction.execute(delete(jobs).where(jobs.c.app_id == app_id, jobs.c.is_over))
            await transaction.execute(delete(apps).where(apps.c.app_id == app_id))


def _row(seal: Seal, app: App) -> dict[str, Any]:
    return {
        "app_id": app.app_id,
        "account_id": app.account_id,
        "name": app.name,
        "state": app.state.value,
        "state_unix_ms": app.state_unix_ms,
        "created_unix_ms": app.created_unix_ms,
        "app_key": seal.encrypt_text(app.app_key, apps.c.app_key, app.app_id),
        **(_callback_row(seal, app.app_id, app.callback) if app.callback else {}),
        **(_auto_row(app.auto_record) if app.auto_record else {}),
    }


def _callback_row(seal: Seal, app_id: str, callback: RecordCallback) -> dict[str, Any]:
    encrypt = seal.encrypt_text
    return {
        "callback_url": encrypt(callback.url, apps.c.callback_url, app_id),
        "callback_auth_key": encrypt(callback.auth_key, apps.c.callback_auth_key, app_id),
        "callback_updated_unix_ms": callback.updated_unix_ms,
    }


def _app(seal: Seal, row: Row[Any]) -> App:
    decrypt = seal.decrypt_text
    callback = auto = None
    if row.callback_url is not None:
        callback = RecordCallback(
            url=decrypt(row.callback_url, apps.c.callback_url, row.app_id),
            auth_key=decrypt(row.callback_auth_key, apps.c.callback_auth_key, row.app_id),
            updated_unix_ms=row.callback_updated_unix_ms,
        )
    if row.auto_is_on is not None:
        auto = AutoRecord(
            is_on=row.auto_is_on,
            rule_id=row.auto_rule_id,
            updated_unix_ms=row.auto_updated_unix_ms,
        )
    return App(
        app_id=row.app_id,
        account_id=row.account_id,
        name=row.name,
        state=AppState(row.state),
        state_unix_ms=row.state_unix_ms,
        created_unix_ms=row.created_unix_ms,
        app_key=decrypt(row.app_key, apps.c.app_key, row.app_id),
        callback=callback,
        auto_record=auto,
    )


def _auto_row(auto: AutoRecord) -> dict[str, Any]:
    return {
        "auto_is_on": auto.is_on,
        "auto_rule_id": auto.rule_id,
        "auto_updated_unix_ms": auto.updated_unix_ms,
    }
