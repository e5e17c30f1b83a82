import pytest
import pytest_asyncio

from tests.support.api import START_UNIX_MS, Api
from worker.api.wire.app import DOMAIN
from worker.core.lifecycle import State
from worker.core.record.naming import KeyTemplate
from worker.jobs.values import JobKind, JobRecord

IN_SHARED = pytest.mark.asyncio(loop_scope="module")
NOBODYS = "6553f1003912dbd98858e732"


async def test_a_new_application_has_an_id_that_begins_with_its_time(api: Api) -> None:
    reply = await api.call("POST", "/v2/apps", {"app_name": "rtctest"})

    assert reply.status == 201
    assert reply.body.keys() == {"app_id"}
    app_id = reply.body["app_id"]
    assert len(app_id) == 24
    assert int(app_id[:8], 16) == START_UNIX_MS // 1000


async def test_an_application_is_shown_with_all_its_parts(api: Api) -> None:
    app_id = await api.app("rtctest")

    reply = await api.call("GET", f"/v2/apps/{app_id}")

    app_key = reply.body["authentication"].pop("app_key")
    assert len(app_key) == 32
    created = "2023-11-14T22:13:20Z"
    assert (reply.status, reply.body) == (
        200,
        {
            "app_name": "rtctest",
            "app_id": app_id,
            "state": {"state": "ACTIVATION", "update_time": created},
            "scope": "DOMESTIC",
            "tenant_name": "alice",
            "domain": f"{app_id}.SparkRTC.myhuaweicloud.com",
            "create_time": created,
            "authentication": {"enable": False, "expire": 300, "update_time": created},
            "callbacks": {},
            "auto_record_mode": {
                "mode": "AUTO_RECORD_OFF",
                "record_rule_id": "",
                "update_time": created,
            },
        },
    )


def test_the_domain_is_what_names_of_files_call_it() -> None:
    expanded = KeyTemplate("{publish_domain}").expand(
        app_id=NOBODYS, stream="s", record_format="MP4", start_unix_s=0
    )

    assert DOMAIN.format(app_id=NOBODYS) == expanded


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "RTC.00001005"),
        ({"app_name": None}, "RTC.00001005"),
        ({"app_name": ""}, "RTC.00001003"),
        ({"app_name": 5}, "RTC.00001003"),
        ({"app_name": ["a"]}, "RTC.00001003"),
        ({"app_name": "a" * 65}, "RTC.00001003"),
        ({"app_name": "a\nb"}, "RTC.00001003"),
        ({"app_name": "a\0b"}, "RTC.00001003"),
    ],
)
@IN_SHARED
async def test_a_bad_name_is_refused(shared_api: Api, body: object, code: str) -> None:
    reply = await shared_api.call("POST", "/v2/apps", body)

    assert reply.refusal == (400, code)
    assert ": app_name: " in reply.body["error_msg"]


async def test_a_name_is_taken_once_in_each_account(api: Api) -> None:
    await api.app("日本 demo")

    again = await api.call("POST", "/v2/apps", {"app_name": "日本 demo"})
    elsewhere = await api.call("POST", "/v2/apps", {"app_name": "日本 demo"}, token="bob")

    assert again.refusal == (400, "RTC.00001020")
    assert elsewhere.status == 201


async def test_an_account_has_twenty_applications_at_most(api: Api) -> None:
    for number in range(20):
        await api.app(f"demo{number}")

    one_more = await api.call("POST", "/v2/apps", {"app_name": "demo20"})
    elsewhere = await api.call("POST", "/v2/apps", {"app_name": "demo20"}, token="bob")

    assert one_more.refusal == (400, "RTC.00001017")
    assert elsewhere.status == 201


async def test_a_list_counts_all_and_shows_one_page_newest_first(api: Api) -> None:
    ids = []
    for number in range(5):
        api.clock.unix_ms += 1000
        ids.append(await api.app(f"demo{number}"))
    await api.app("foreign", token="bob")

    async def page(query: str) -> tuple[int, list[str]]:
        reply = await api.call("GET", f"/v2/apps{query}")
        assert reply.status == 200
        return reply.body["count"], [app["app_id"] for app in reply.body["apps"]]

    assert await page("") == (5, ids[::-1])
    assert await page("?limit=2") == (5, [ids[4], ids[3]])
    assert await page("?offset=1&limit=2") == (5, [ids[2], ids[1]])
    assert await page("?limit=2&offset=2") == (5, [ids[0]])
    assert await page("?limit=2&offset=3") == (5, [])
    assert await page("?limit=100&offset=2147483646") == (5, [])
    assert await page("?limit=1&unknown=1") == (5, [ids[4]])


async def test_a_list_can_be_limited_to_a_state(api: Api) -> None:
    on, off = await api.app("on"), await api.app("off")
    await api.call("POST", f"/v2/apps/{off}/disable")

    async def listed(state: str) -> tuple[int, list[str]]:
        reply = await api.call("GET", f"/v2/apps?state={state}")
        return reply.body["count"], [app["app_id"] for app in reply.body["apps"]]

    assert await listed("ACTIVATION") == (1, [on])
    assert await listed("DEACTIVATION") == (1, [off])
    assert await listed("ARREARS") == (0, [])


BAD_PAGES = [
    "limit=0",
    "limit=101",
    "limit=-1",
    "limit=1000000000",
    "limit=x",
    "limit=",
    "limit=1.0",
    "limit=1e1",
    "limit=%201",
    "limit=1_0",
    "limit=%D9%A1",
    "limit=1&limit=2",
    "offset=-1",
    "offset=2147483648",
    "offset=99999999999999999999",
    "offset=true",
]


@pytest.mark.parametrize("query", [*BAD_PAGES, "state=activation", "state=DELETED", "state="])
@IN_SHARED
async def test_a_bad_query_is_refused(shared_api: Api, query: str) -> None:
    reply = await shared_api.call("GET", f"/v2/apps?{query}")

    assert reply.refusal == (400, "RTC.00001003")
    assert f": {query.partition('=')[0]}: " in reply.body["error_msg"]


async def test_an_application_is_switched_off_and_on(api: Api) -> None:
    app_id = await api.app()
    api.clock.unix_ms += 1500

    off = await api.call("POST", f"/v2/apps/{app_id}/disable")
    shown = await api.call("GET", f"/v2/apps/{app_id}")
    on = await api.call("POST", f"/v2/apps/{app_id}/enable")

    state = {"state": "DEACTIVATION", "update_time": "2023-11-14T22:13:21.5Z"}
    assert (off.status, off.body) == (200, {"app_id": app_id, "state": state})
    assert shown.body["state"] == state
    assert (on.status, on.body["state"]["state"]) == (200, "ACTIVATION")


async def test_a_removed_application_is_gone(api: Api) -> None:
    app_id = await api.app()

    removed = await api.call("DELETE", f"/v2/apps/{app_id}")

    assert (removed.status, removed.body) == (204, b"")
    assert (await api.call("GET", f"/v2/apps/{app_id}")).refusal == (404, "RTC.00001003")
    assert (await api.call("DELETE", f"/v2/apps/{app_id}")).refusal == (404, "RTC.00001003")


async def test_an_application_with_a_live_job_stays(api: Api) -> None:
    app_id = await api.app()
    job = JobRecord(
        job_id="1" * 32,
        account_id="a" * 32,
        app_id=app_id,
        kind=JobKind.MIX,
        unique_id="u",
        room_id="room",
        stream_name="m",
        asked={},
        document={},
        created_unix_ms=START_UNIX_MS,
        updated_unix_ms=START_UNIX_MS,
        state=State.RUNNING,
    )
    await api.records.add_job(job, rule_id=None, quota=1)

    reply = await api.call("DELETE", f"/v2/apps/{app_id}")

    assert reply.refusal == (400, "RTC.00001006")
    assert (await api.call("GET", f"/v2/apps/{app_id}")).status == 200


RULE = {
    "obs_addr": {"location": "cn-north-4", "project_id": "", "bucket": "bkt"},
    "record_formats": ["MP4"],
    "mp4_config": {},
}
OF_AN_APP = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("POST", "/enable", None),
    ("POST", "/disable", None),
    ("POST", "/record-rules", RULE),
    ("GET", "/record-rules", None),
    ("GET", f"/record-rules/{'0' * 32}", None),
    ("PUT", f"/record-rules/{'0' * 32}", RULE),
    ("DELETE", f"/record-rules/{'0' * 32}", None),
    ("PUT", "/auto-record-mode", {"mode": "AUTO_RECORD_OFF"}),
    ("GET", "/auto-record-mode", None),
    ("PUT", "/record-callback", {"url": "https://hooks.example/x"}),
    ("GET", "/record-callback", None),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bobs(shared_api: Api) -> str:
    return await shared_api.app("bobs", token="bob")


@pytest.mark.parametrize(("method", "path", "body"), OF_AN_APP)
@IN_SHARED
async def test_somebody_elses_application_is_answered_as_one_that_never_was(
    shared_api: Api, bobs: str, method: str, path: str, body: object
) -> None:
    api = shared_api

    foreign = await api.call(method, f"/v2/apps/{bobs}{path}", body)
    unknown = await api.call(method, f"/v2/apps/{NOBODYS}{path}", body)
    malformed = await api.call(method, f"/v2/apps/..%2F{'x' * 100}{path}", body)

    refusal = {"error_code": "RTC.00001003", "error_msg": "InvalidParameterValue"}
    for reply in (foreign, unknown, malformed):
        assert (reply.status, reply.body) == (404, refusal)
    assert (await api.call("GET", f"/v2/apps/{bobs}", token="bob")).status == 200
