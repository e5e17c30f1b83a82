"""The v1 statistics: the SDK has calls for them; there are none here, and none are counted.

Source: API reference appendix A.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.told import Told
from worker.errors import NotFound
from worker.jobs.values import Json

_OF_PROJECT = "/v1/{project_id}/rtc"
_NO_PAGE = {"total": 0, "limit": 0, "offset": 0}
_EMPTY: Mapping[str, tuple[str, Json]] = {
    "list_rtc_room_list": (f"{_OF_PROJECT}/rooms", {**_NO_PAGE, "room_info_list": []}),
    "list_rtc_user_list": (f"{_OF_PROJECT}/users", {**_NO_PAGE, "users": []}),
    "list_rtc_realtime_scale": (f"{_OF_PROJECT}/realtime/scale", {"scale": []}),
    "list_rtc_realtime_scale_dimension": (
        f"{_OF_PROJECT}/realtime/scale/dimension",
        {"dimensions": []},
    ),
    "list_rtc_realtime_quality": (f"{_OF_PROJECT}/realtime/quality", {"quality": []}),
    "list_rtc_realtime_network": (f"{_OF_PROJECT}/realtime/network", {"network": []}),
    "list_rtc_history_usage": (f"{_OF_PROJECT}/history/usage", {"usage": []}),
    "list_rtc_history_scale": (f"{_OF_PROJECT}/history/scale", {"scale": []}),
    "list_rtc_history_quality": (f"{_OF_PROJECT}/history/quality", {"quality": []}),
    "list_rtc_client_qos_details": (f"{_OF_PROJECT}/client/qos/details", {"data": []}),
    "list_rtc_event": (f"{_OF_PROJECT}/client/event", {}),
    "list_rtc_abnormal_event": (f"{_OF_PROJECT}/client/abnormalevent", {"abnormal_list": []}),
    "list_rtc_abnormal_events": ("/v1/rtc/data/abnormal-events", {"total": 0, "events": []}),
    "list_rtc_abnormal_event_dimension": (
        "/v1/rtc/data/abnormal-event/dimension",
        {"dimensions": []},
    ),
}


class NothingTold(Told):
    """A statistic without values; which lists it has depends on the operation."""


def operations() -> Sequence[AnyOperation]:
    """What is served."""
    return [
        Operation(
            method="GET",
            path=path,
            name=name,
            handler=_teller(empty),
            group=Group.STATISTICS,
            responses={200: NothingTold},
        )
        for name, (path, empty) in _EMPTY.items()
    ]


def _teller(empty: Json) -> Callable[[Call[None, None]], Awaitable[Answer]]:
    async def tell(call: Call[None, None]) -> Answer:
        # An account's one project has its id.
        if call.path.get("project_id", call.account.account_id) != call.account.account_id:
            raise NotFound("no such project")
        return Answer(200, empty)

    return tell
