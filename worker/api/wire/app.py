"""Applications, automatic recording and record callbacks as the API writes them.

Source: API reference sections 3.1, 3.3, 3.4 and 4.
"""

from typing import Annotated, Literal

from pydantic import Field

from worker.api.wire.addresses import callback_url
from worker.api.wire.mix_param import OptionalId, WireModel
from worker.api.wire.paging import Paging
from worker.api.wire.refusal import read
from worker.api.wire.times import instant
from worker.api.wire.told import Told
from worker.errors import Fault, InvalidField
from worker.jobs.values import Account, App, AppState, AutoRecord, RecordCallback

MAX_AUTH_KEY_CHARS = 128
JOIN_SIGNATURE_S = 300
DOMAIN = "{app_id}.SparkRTC.myhuaweicloud.com"
"""What {publish_domain} stands for in the names of files."""
SUBSCRIPTION = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "CLOUD_RECORD_OVER"]
"""Every application is told of all (section 15, no. 8)."""

_STATES = {AppState.ACTIVE: "ACTIVATION", AppState.STOPPED: "DEACTIVATION"}
_ON, _OFF = "AUTO_INDIVIDUAL_RECORD", "AUTO_RECORD_OFF"


class AppRequest(WireModel):
    """A new application."""

    app_name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,64}$")]
    """Unique in the account."""


class AppsQuery(Paging):
    """Which applications to list."""

    state: Literal["ACTIVATION", "DEACTIVATION", "ARREARS"] | None = None

    @property
    def app_state(self) -> AppState | None:
        """None: any; nobody is in arrears here."""
        return next((each for each, name in _STATES.items() if name == self.state), None)


class AutoRecordRequest(WireModel):
    """Whether individual streams of new rooms are recorded by themselves."""

    mode: Literal["AUTO_RECORD_OFF", "AUTO_INDIVIDUAL_RECORD"]
    record_rule_id: OptionalId | None = None
    """By which rule; needed with AUTO_INDIVIDUAL_RECORD, ignored else."""


class CallbackRequest(WireModel):
    """Who is told of recordings."""

    url: str = Field(repr=False)
    """http:// or https:// address."""
    auth_key: (
        Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=MAX_AUTH_KEY_CHARS)]
        | None
    ) = Field(None, repr=False)
    """Signs the messages; best 32 characters or more. Empty: they are not signed."""


class AppCreated(Told):
    """Id of a new application."""

    app_id: str


class StateTold(Told):
    """Whether an application may be used, and since when."""

    state: Literal["ACTIVATION", "DEACTIVATION", "ARREARS", "DELETED"]
    update_time: str


class AppStateTold(Told):
    """State of one application."""

    app_id: str
    state: StateTold


class AuthenticationTold(Told):
    """What clients' join signatures are made with; it is data here, rooms are not ours."""

    enable: bool
    expire: int
    """Seconds."""
    app_key: str
    update_time: str


class CallbackTold(Told):
    """A record callback."""

    url: str
    auth_key: str
    notify_event_subscription: list[str]
    update_time: str


class CallbacksTold(Told):
    """Callbacks of an application."""

    record_callback: CallbackTold | None = None


class AutoRecordTold(Told):
    """How an application records by itself."""

    mode: Literal["AUTO_RECORD_OFF", "AUTO_INDIVIDUAL_RECORD"]
    record_rule_id: str
    update_time: str


class AppTold(Told):
    """An application."""

    app_name: str
    app_id: str
    state: StateTold
    scope: Literal["DOMESTIC", "OVERSEA", "GLOBAL"]
    tenant_name: str
    domain: str
    create_time: str
    authentication: AuthenticationTold
    callbacks: CallbacksTold
    auto_record_mode: AutoRecordTold


class AppsTold(Told):
    """A page of applications, and how many there are."""

    count: int
    apps: list[AppTold]


class AppAutoRecordTold(Told):
    """Automatic recording of one application."""

    app_id: str
    auto_record_mode: AutoRecordTold


class AppCallbackTold(Told):
    """Record callback of one application, if there is one."""

    app_id: str
    record_callback: CallbackTold | None = None


def app_told(app: App, account: Account) -> AppTold:
    """*app* of *account*."""
    return AppTold(
        app_name=app.name,
        app_id=app.app_id,
        state=_state(app),
        scope="DOMESTIC",
        tenant_name=account.name,
        domain=DOMAIN.format(app_id=app.app_id),
        create_time=instant(app.created_unix_ms),
        authentication=AuthenticationTold(
            enable=False,
            expire=JOIN_SIGNATURE_S,
            app_key=app.app_key,
            update_time=instant(app.created_unix_ms),
        ),
        callbacks=CallbacksTold(record_callback=_callback(app.callback)),
        auto_record_mode=_auto_record(app),
    )


def app_state_told(app: App) -> AppStateTold:
    """State of *app*."""
    return AppStateTold(app_id=app.app_id, state=_state(app))


def auto_record_of(body: AutoRecordRequest, now_unix_ms: int) -> AutoRecord:
    """What *body* asks for. Raises `InvalidField`."""
    if body.mode == _OFF:
        return AutoRecord(is_on=False, rule_id="", updated_unix_ms=now_unix_ms)
    if not body.record_rule_id:
        raise InvalidField("record_rule_id", f"is needed with {_ON}", Fault.MISSING)
    return AutoRecord(is_on=True, rule_id=body.record_rule_id, updated_unix_ms=now_unix_ms)


def auto_record_told(app: App) -> AppAutoRecordTold:
    """Automatic recording of *app*."""
    return AppAutoRecordTold(app_id=app.app_id, auto_record_mode=_auto_record(app))


def callback_of(body: CallbackRequest, now_unix_ms: int) -> RecordCallback:
    """What *body* asks for. Raises `InvalidField`."""
    url = read("url", callback_url, body.url)
    return RecordCallback(url, body.auth_key or "", now_unix_ms)


def callback_told(app: App) -> AppCallbackTold:
    """Record callback of *app*."""
    return AppCallbackTold(app_id=app.app_id, record_callback=_callback(app.callback))


def _state(app: App) -> StateTold:
    return StateTold.model_validate(
        {"state": _STATES[app.state], "update_time": instant(app.state_unix_ms)}
    )


def _callback(callback: RecordCallback | None) -> CallbackTold | None:
    if callback is None:
        return None
    return CallbackTold(
        url=callback.url,
        auth_key=callback.auth_key,
        notify_event_subscription=SUBSCRIPTION,
        update_time=instant(callback.updated_unix_ms),
    )


def _auto_record(app: App) -> AutoRecordTold:
    if app.auto_record is None:
        return AutoRecordTold(
            mode="AUTO_RECORD_OFF", record_rule_id="", update_time=instant(app.created_unix_ms)
        )
    return AutoRecordTold(
        mode="AUTO_INDIVIDUAL_RECORD" if app.auto_record.is_on else "AUTO_RECORD_OFF",
        record_rule_id=app.auto_record.rule_id,
        update_time=instant(app.auto_record.updated_unix_ms),
    )
