import pytest

from tests.api.routes.test_apps import IN_SHARED
from tests.support.api import Api
from worker.api.routes import callbacks

URL = "https://hooks.example:8443/record?tenant=1"
EVENTS = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "CLOUD_RECORD_OVER"]


async def test_a_callback_is_told_with_its_key_and_all_events(api: Api) -> None:
    app_id = await api.app()
    path = f"/v2/apps/{app_id}/record-callback"
    before = await api.call("GET", path)

    put = await api.call("PUT", path, {"url": URL, "auth_key": "k" * 32, "events": ["x"]})
    shown = await api.call("GET", path)
    app = await api.call("GET", f"/v2/apps/{app_id}")

    callback = {
        "url": URL,
        "auth_key": "k" * 32,
        "notify_event_subscription": EVENTS,
        "update_time": "2023-11-14T22:13:20Z",
    }
    assert (before.status, before.body) == (200, {"app_id": app_id})
    assert (put.status, put.body) == (200, {"app_id": app_id, "record_callback": callback})
    assert shown.body == put.body
    assert app.body["callbacks"] == {"record_callback": callback}


@pytest.mark.parametrize("key", [None, "", "1234567890abcdef", "k" * 31, "k" * 128, "schlüssel"])
@IN_SHARED
async def test_a_key_may_be_short_and_may_be_missing(
    shared_api: Api, shared_app: str, key: str | None
) -> None:
    reply = await shared_api.call(
        "PUT", f"/v2/apps/{shared_app}/record-callback", {"url": URL, "auth_key": key}
    )

    assert (reply.status, reply.body["record_callback"]["auth_key"]) == (200, key or "")


async def test_a_short_key_is_warned_of_and_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    app_id = await api.app()
    path = f"/v2/apps/{app_id}/record-callback"

    await api.call("PUT", path, {"url": URL, "auth_key": "k" * 32})
    assert not caplog.records
    await api.call("PUT", path, {"url": URL, "auth_key": "short-key"})

    [warning] = [vars(record) for record in caplog.records]
    assert warning["app_id"] == app_id
    assert "short-key" not in str(warning)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "RTC.00001005"),
        ({"auth_key": "k" * 32}, "RTC.00001005"),
        ({"url": None}, "RTC.00001005"),
        ({"url": URL, "auth_key": "k" * 129}, "RTC.00001003"),
        ({"url": URL, "auth_key": "k\n"}, "RTC.00001003"),
        ({"url": URL, "auth_key": 5}, "RTC.00001003"),
        *(
            ({"url": url}, "RTC.00001003")
            for url in (
                "",
                "hooks.example",
                "ftp://hooks.example/x",
                "file:///etc/passwd",
                "javascript:alert(1)",
                "http://",
                "http:///x",
                "http://:80/x",
                "http://hooks.example:0/",
                "http://hooks.example:65536/",
                "http://user:pass@hooks.example/",
                "http://@hooks.example/",
                "http://hooks.example/#x",
                "http://hooks.example/a b",
                "http://hooks.example/\r\nX: y",
                "http://hооks.example/",  # Cyrillic
                "http://[::1",
                "http://hooks.example/" + "a" * 2048,
            )
        ),
    ],
)
@IN_SHARED
async def test_a_bad_callback_is_refused(
    shared_api: Api, shared_app: str, body: object, code: str
) -> None:
    reply = await shared_api.call("PUT", f"/v2/apps/{shared_app}/record-callback", body)

    assert reply.refusal == (400, code)


@pytest.mark.parametrize(
    "url",
    [
        "http://internal.example/x",
        "http://unknown.example/x",
        "http://localhost/x",
        "http://127.0.0.1:8080/x",
        "http://127.1/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "http://0177.0.0.1/x",
        "http://[::1]/x",
        "http://[::ffff:7f00:1]/x",
        "http://[64:ff9b::a00:1]/x",
        "http://169.254.169.254/latest",
        "http://0.0.0.0/x",
        "http://8.8.8.8:22/x",
        "https://8.8.8.8:25/x",
    ],
)
@IN_SHARED
async def test_an_address_that_may_not_be_called_is_unavailable(
    shared_api: Api, shared_app: str, url: str
) -> None:
    path = f"/v2/apps/{shared_app}/record-callback"
    before = (await shared_api.call("GET", path)).body

    reply = await shared_api.call("PUT", path, {"url": url})

    assert (reply.status, reply.body) == (
        400,
        {
            "error_code": "RTC.00001018",
            "error_msg": "URL unavailable: The callback URL is unavailable.",
        },
    )
    assert (await shared_api.call("GET", path)).body == before


async def test_a_name_server_that_is_silent_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "LOOK_UP_S", 0.01)
    app_id = await api.app()

    reply = await api.call(
        "PUT", f"/v2/apps/{app_id}/record-callback", {"url": "http://silent.example/"}
    )

    assert reply.refusal == (400, "RTC.00001018")


async def test_nothing_is_looked_up_for_an_application_of_somebody_else(api: Api) -> None:
    bobs = await api.app(token="bob")

    reply = await api.call(
        "PUT", f"/v2/apps/{bobs}/record-callback", {"url": "http://internal.example/x"}
    )

    assert reply.refusal == (404, "RTC.00001003")
