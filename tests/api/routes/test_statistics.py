from tests.support.api import ALICE, BOB, Api
from worker.api.routes.statistics import operations


async def test_there_are_no_statistics(api: Api) -> None:
    for operation in operations():
        path = operation.path.replace("{project_id}", ALICE.account_id)

        reply = await api.call("GET", f"{path}?limit=5&metric=x")

        assert reply.status == 200
        assert not any(reply.body.values())


async def test_another_accounts_project_is_not_there(api: Api) -> None:
    reply = await api.call("GET", f"/v1/{BOB.account_id}/rtc/rooms")

    assert reply.refusal == (404, "RTC.00001003")
