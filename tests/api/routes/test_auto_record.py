import pytest

from tests.api.routes.test_apps import IN_SHARED
from tests.api.routes.test_rules import RULE
from tests.support.api import Api

ON = "AUTO_INDIVIDUAL_RECORD"
OFF = "AUTO_RECORD_OFF"


async def test_automatic_recording_goes_by_a_rule_of_the_application(api: Api) -> None:
    app_id = await api.app()
    path = f"/v2/apps/{app_id}/auto-record-mode"
    rule = (await api.call("POST", f"/v2/apps/{app_id}/record-rules", RULE)).body["rule_id"]
    api.clock.unix_ms += 1000

    put = await api.call("PUT", path, {"mode": ON, "record_rule_id": rule})
    shown = await api.call("GET", path)
    app = await api.call("GET", f"/v2/apps/{app_id}")

    mode = {"mode": ON, "record_rule_id": rule, "update_time": "2023-11-14T22:13:21Z"}
    assert (put.status, put.body) == (200, {"app_id": app_id, "auto_record_mode": mode})
    assert shown.body == put.body
    assert app.body["auto_record_mode"] == mode


async def test_switched_off_it_forgets_the_rule(api: Api) -> None:
    app_id = await api.app()

    put = await api.call(
        "PUT", f"/v2/apps/{app_id}/auto-record-mode", {"mode": OFF, "record_rule_id": "x"}
    )

    assert put.status == 200
    assert put.body["auto_record_mode"]["mode"] == OFF
    assert put.body["auto_record_mode"]["record_rule_id"] == ""


async def test_a_rule_of_another_application_is_not_found(api: Api) -> None:
    one, other = await api.app("one"), await api.app("other")
    rule = (await api.call("POST", f"/v2/apps/{one}/record-rules", RULE)).body["rule_id"]

    reply = await api.call(
        "PUT", f"/v2/apps/{other}/auto-record-mode", {"mode": ON, "record_rule_id": rule}
    )

    assert reply.refusal == (404, "RTC.00001003")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "RTC.00001005"),
        ({"mode": None}, "RTC.00001005"),
        ({"mode": "on"}, "RTC.00001003"),
        ({"mode": ON}, "RTC.00001005"),
        ({"mode": ON, "record_rule_id": ""}, "RTC.00001005"),
        ({"mode": ON, "record_rule_id": None}, "RTC.00001005"),
        ({"mode": ON, "record_rule_id": "../x"}, "RTC.00001003"),
        ({"mode": ON, "record_rule_id": []}, "RTC.00001003"),
    ],
)
@IN_SHARED
async def test_a_bad_mode_is_refused(
    shared_api: Api, shared_app: str, body: object, code: str
) -> None:
    reply = await shared_api.call("PUT", f"/v2/apps/{shared_app}/auto-record-mode", body)

    assert reply.refusal == (400, code)
