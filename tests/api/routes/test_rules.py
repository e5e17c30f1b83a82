from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.api.routes.test_apps import BAD_PAGES, IN_SHARED
from tests.support.api import Api, running_api
from worker.api.wire.record import RecordRuleBody, record_rule
from worker.jobs.values import AutoRecord

PREFIX = "{app_id}/{record_format}/{stream}_{file_start_time}/{stream}_{file_start_time}"
LEGACY_PREFIX = (
    "Record/{publish_domain}/{app}/{record_type}/{record_format}/{stream}_{file_start_time}/"
    "{stream}_{file_start_time}"
)
RULE: dict[str, Any] = {
    "obs_addr": {
        "location": "cn-north-4",
        "project_id": "p1",
        "bucket": "mybucket",
        "object": "Record/",
    },
    "record_formats": ["HLS", "MP4"],
    "hls_config": {"record_cycle": 0},
    "mp4_config": {},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The rule with the member at *path* set to *value*; None removes it."""
    rule = deepcopy(RULE)
    *parents, key = path.split(".")
    at = rule
    for parent in parents:
        at = at[parent]
    at[key] = value
    if value is None:
        del at[key]
    return rule


async def test_defaults_are_filled_in_and_told(api: Api) -> None:
    app_id = await api.app()

    reply = await api.call("POST", f"/v2/apps/{app_id}/record-rules", RULE)

    rule_id = reply.body["rule_id"]
    assert len(rule_id) == 32
    assert (reply.status, reply.body) == (
        201,
        {
            "rule_id": rule_id,
            "app_id": app_id,
            "obs_addr": RULE["obs_addr"],
            "record_formats": ["HLS", "MP4"],
            "hls_config": {
                "record_cycle": 0,
                "record_prefix": PREFIX,
                "record_slice_duration": 10,
                "record_max_duration_to_merge_file": 0,
            },
            "mp4_config": {
                "record_cycle": 7200,
                "record_prefix": PREFIX,
                "record_max_duration_to_merge_file": 0,
            },
            "create_time": "2023-11-14T22:13:20Z",
            "update_time": "2023-11-14T22:13:20Z",
        },
    )
    shown = await api.call("GET", f"/v2/apps/{app_id}/record-rules/{rule_id}")
    assert (shown.status, shown.body) == (200, reply.body)


async def test_what_is_stored_is_what_a_worker_can_read(api: Api) -> None:
    app_id = await api.app()
    reply = await api.call("POST", f"/v2/apps/{app_id}/record-rules", RULE)
    stored = await api.records.rule("a" * 32, app_id, reply.body["rule_id"])

    rule = record_rule(
        RecordRuleBody.model_validate(stored.body),
        app_id=app_id,
        stream_name="m_x_room",
        store=None,
    )

    assert rule.hls is not None
    assert rule.mp4 is not None
    assert (rule.mp4.cycle_s, rule.hls.slice_s) == (7200, 10)


async def test_a_second_rule_for_a_location_replaces_the_first_and_keeps_its_id(api: Api) -> None:
    app_id = await api.app()
    first = await api.call("POST", f"/v2/apps/{app_id}/record-rules", RULE)
    api.clock.unix_ms += 1000

    second = await api.call(
        "POST", f"/v2/apps/{app_id}/record-rules", changed("mp4_config.record_cycle", 60)
    )
    elsewhere = await api.call(
        "POST", f"/v2/apps/{app_id}/record-rules", changed("obs_addr.location", "eu-1")
    )

    assert (first.status, second.status, elsewhere.status) == (201, 200, 201)
    assert second.body["rule_id"] == first.body["rule_id"] != elsewhere.body["rule_id"]
    assert second.body["create_time"] == first.body["create_time"]
    assert second.body["update_time"] == "2023-11-14T22:13:21Z"
    assert second.body["mp4_config"]["record_cycle"] == 60


async def test_what_was_told_can_be_sent_back(api: Api) -> None:
    app_id = await api.app()
    told = (await api.call("POST", f"/v2/apps/{app_id}/record-rules", RULE)).body

    again = await api.call("POST", f"/v2/apps/{app_id}/record-rules", {**told, "create_time": 5})

    assert (again.status, again.body) == (200, told)


async def test_unknown_keys_are_ignored_everywhere(api: Api) -> None:
    app_id = await api.app()
    rule = deepcopy(RULE) | {"new": 1}
    rule["obs_addr"]["new"] = rule["hls_config"]["new"] = rule["mp4_config"]["new"] = {"x": []}

    reply = await api.call("POST", f"/v2/apps/{app_id}/record-rules", rule)

    assert reply.status == 201
    assert "new" not in str(reply.body)


async def test_the_block_of_a_format_that_is_not_recorded_does_not_matter(api: Api) -> None:
    app_id = await api.app()
    without = changed("record_formats", ["MP4"])
    del without["hls_config"]
    zeros = {"record_cycle": 0, "record_max_duration_to_merge_file": 0}

    for rule in (without, without | {"hls_config": zeros}, without | {"hls_config": None}):
        reply = await api.call("POST", f"/v2/apps/{app_id}/record-rules", rule)

        assert reply.status in (200, 201)
        assert reply.body["record_formats"] == ["MP4"]
        assert "hls_config" not in reply.body


async def test_formats_and_the_older_macros_are_told_as_they_were_asked(api: Api) -> None:
    app_id = await api.app()
    rule = changed("hls_config.record_prefix", LEGACY_PREFIX)

    twice = await api.call(
        "POST", f"/v2/apps/{app_id}/record-rules", rule | {"record_formats": ["MP4", "HLS", "MP4"]}
    )

    assert twice.body["record_formats"] == ["MP4", "HLS"]
    assert twice.body["hls_config"]["record_prefix"] == LEGACY_PREFIX


async def test_a_rule_is_replaced_whole(api: Api) -> None:
    app_id = await api.app()
    rules = f"/v2/apps/{app_id}/record-rules"
    first = (await api.call("POST", rules, RULE)).body
    await api.call("POST", rules, changed("obs_addr.location", "eu-1"))
    api.clock.unix_ms += 1000
    wanted = changed("obs_addr.location", "cn-east-2") | {"record_formats": ["MP4"]}

    moved = await api.call("PUT", f"{rules}/{first['rule_id']}", wanted)
    collides = await api.call(
        "PUT", f"{rules}/{first['rule_id']}", changed("obs_addr.location", "eu-1")
    )

    assert moved.status == 200
    assert moved.body["obs_addr"]["location"] == "cn-east-2"
    assert "hls_config" not in moved.body
    assert moved.body["rule_id"] == first["rule_id"]
    assert moved.body["create_time"] == first["create_time"]
    assert moved.body["update_time"] == "2023-11-14T22:13:21Z"
    assert collides.refusal == (400, "RTC.00001019")


async def test_rules_are_listed_page_by_page_without_a_count(api: Api) -> None:
    app_id = await api.app()
    rules = f"/v2/apps/{app_id}/record-rules"
    for location in ("cn-north-4", "cn-east-2", "eu-1"):
        api.clock.unix_ms += 1000
        await api.call("POST", rules, changed("obs_addr.location", location))

    async def page(query: str) -> list[str]:
        reply = await api.call("GET", rules + query)
        assert reply.body.keys() == {"rules"}
        return [rule["obs_addr"]["location"] for rule in reply.body["rules"]]

    assert await page("") == ["eu-1", "cn-east-2", "cn-north-4"]
    assert await page("?limit=2") == ["eu-1", "cn-east-2"]
    assert await page("?limit=2&offset=1") == ["cn-north-4"]
    assert await page("?limit=2&offset=2") == []


@pytest.mark.parametrize("query", BAD_PAGES)
@IN_SHARED
async def test_a_bad_page_is_refused(shared_api: Api, shared_app: str, query: str) -> None:
    reply = await shared_api.call("GET", f"/v2/apps/{shared_app}/record-rules?{query}")

    assert reply.refusal == (400, "RTC.00001003")


async def test_a_rule_that_is_used_is_not_removed(api: Api) -> None:
    app_id = await api.app()
    rules = f"/v2/apps/{app_id}/record-rules"
    rule_id = (await api.call("POST", rules, RULE)).body["rule_id"]
    await api.records.set_auto_record("a" * 32, app_id, AutoRecord(True, rule_id, 0))

    used = await api.call("DELETE", f"{rules}/{rule_id}")
    await api.call("PUT", f"/v2/apps/{app_id}/auto-record-mode", {"mode": "AUTO_RECORD_OFF"})
    unused = await api.call("DELETE", f"{rules}/{rule_id}")
    gone = await api.call("DELETE", f"{rules}/{rule_id}")

    assert used.refusal == (400, "RTC.00001013")
    assert (unused.status, unused.body) == (204, b"")
    assert gone.refusal == (404, "RTC.00001003")


async def test_a_rule_belongs_to_its_application(api: Api) -> None:
    one, other = await api.app("one"), await api.app("other")
    rule_id = (await api.call("POST", f"/v2/apps/{one}/record-rules", RULE)).body["rule_id"]

    for method, body in (("GET", None), ("PUT", RULE), ("DELETE", None)):
        reply = await api.call(method, f"/v2/apps/{other}/record-rules/{rule_id}", body)
        assert reply.refusal == (404, "RTC.00001003")


BAD = [
    ("obs_addr", None, "RTC.00001005"),
    ("obs_addr", [], "RTC.00001003"),
    ("obs_addr.location", None, "RTC.00001005"),
    ("obs_addr.location", "mars-1", "RTC.00001012"),
    ("obs_addr.location", "", "RTC.00001012"),
    ("obs_addr.location", "../x", "RTC.00001012"),
    ("obs_addr.bucket", None, "RTC.00001005"),
    ("obs_addr.bucket", "", "RTC.00001003"),
    ("obs_addr.bucket", "a/b", "RTC.00001003"),
    ("obs_addr.bucket", "..", "RTC.00001003"),
    ("obs_addr.bucket", "x" * 64, "RTC.00001003"),
    ("obs_addr.bucket", 5, "RTC.00001003"),
    ("obs_addr.object", "../", "RTC.00001003"),
    ("obs_addr.object", "/a", "RTC.00001003"),
    ("obs_addr.object", "a//b", "RTC.00001003"),
    ("obs_addr.object", "a/../b", "RTC.00001003"),
    ("obs_addr.object", "a\x07", "RTC.00001003"),
    ("obs_addr.object", "a\\b", "RTC.00001003"),
    ("obs_addr.object", "a" * 1025, "RTC.00001003"),
    ("record_formats", None, "RTC.00001005"),
    ("record_formats", [], "RTC.00001005"),
    ("record_formats", ["mp4"], "RTC.00001003"),
    ("record_formats", ["AVI"], "RTC.00001003"),
    ("record_formats", "MP4", "RTC.00001003"),
    ("record_formats", [None], "RTC.00001003"),
    ("hls_config", None, "RTC.00001005"),
    ("mp4_config", None, "RTC.00001005"),
    ("mp4_config", 5, "RTC.00001003"),
    *(("hls_config.record_cycle", value, "RTC.00001003") for value in (59, 43201, -1, True, "60")),
    *(("mp4_config.record_cycle", value, "RTC.00001003") for value in (0, 59, 10801, 60.5)),
    *(("hls_config.record_slice_duration", value, "RTC.00001003") for value in (1, 61, 0)),
    *(
        ("hls_config.record_max_duration_to_merge_file", value, "RTC.00001003")
        for value in (-2, 301)
    ),
    *(
        ("mp4_config.record_max_duration_to_merge_file", value, "RTC.00001003")
        for value in (-1, 301)
    ),
    *(
        (f"{block}.record_prefix", value, "RTC.00001003")
        for block in ("hls_config", "mp4_config")
        for value in (
            "{var}/x",
            "{stream",
            "../{stream}",
            "a/../b",
            "/a",
            "a/",
            "a//b",
            "a\x00b",
            "x" * 513,
            "{stream}" * 4,
        )
    ),
]


@pytest.mark.parametrize(("path", "value", "code"), BAD)
@IN_SHARED
async def test_a_bad_rule_is_refused_by_its_field_and_not_stored(
    shared_api: Api, shared_app: str, path: str, value: object, code: str
) -> None:
    rules = f"/v2/apps/{shared_app}/record-rules"
    before = (await shared_api.call("GET", rules)).body

    reply = await shared_api.call("POST", rules, changed(path, value))

    assert reply.refusal == (400, code)
    assert f": {path}" in reply.body["error_msg"]
    assert (await shared_api.call("GET", rules)).body == before


GOOD = [
    *(("hls_config.record_cycle", value) for value in (0, 60, 43200)),
    *(("mp4_config.record_cycle", value) for value in (60, 10800)),
    *(("hls_config.record_slice_duration", value) for value in (2, 60)),
    *(("hls_config.record_max_duration_to_merge_file", value) for value in (-1, 0, 300)),
    *(("mp4_config.record_max_duration_to_merge_file", value) for value in (0, 300)),
    ("mp4_config.record_prefix", "a/{stream}"),
    ("obs_addr.object", "a/b/"),
    ("obs_addr.object", "日/"),
]


@pytest.mark.parametrize(("path", "value"), GOOD)
@IN_SHARED
async def test_a_value_on_the_edge_is_taken_and_told(
    shared_api: Api, shared_app: str, path: str, value: object
) -> None:
    reply = await shared_api.call(
        "POST", f"/v2/apps/{shared_app}/record-rules", changed(path, value)
    )

    assert reply.status in (200, 201)
    block, key = path.split(".")
    assert reply.body[block][key] == value


async def test_a_rule_needs_a_bucket_that_was_granted(tmp_path: Path) -> None:
    async with running_api(tmp_path, grants_needed=True) as api:
        app_id = await api.app()
        rules = f"/v2/apps/{app_id}/record-rules"
        grant = {"bucket": "mybucket", "operation": 1, "location": "cn-north-4"}
        await api.call("PUT", "/v2/rtc-ops/buckets/authentication", grant, token="bob")

        without = await api.call("POST", rules, RULE)
        await api.call("PUT", "/v2/rtc-ops/buckets/authentication", grant)
        with_it = await api.call("POST", rules, RULE)

        assert without.refusal == (400, "RTC.00001003")
        assert "obs_addr.bucket" in without.body["error_msg"]
        assert with_it.status == 201


async def test_without_a_list_of_locations_any_is_good(tmp_path: Path) -> None:
    async with running_api(tmp_path, locations=()) as api:
        app_id = await api.app()

        reply = await api.call(
            "POST", f"/v2/apps/{app_id}/record-rules", changed("obs_addr.location", "mars-1")
        )

        assert reply.status == 201
