"""The vendor's SDK drives the resources; its models and exceptions are what it expects."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.api.routes.test_apps import IN_SHARED, NOBODYS
from tests.support.api import ALICE, START_UNIX_MS, Api, running_api
from worker.ports import ObjectFacts

pytestmark = IN_SHARED

CREATED = "2023-11-14T22:13:20Z"


class Sdk:
    """Calls by name, each in a thread, with the token of an account."""

    def __init__(self, client: Any, models: Any) -> None:
        self._client = client
        self.models = models

    async def call(self, operation: str, *, token: str = "alice", **arguments: Any) -> Any:
        name = "".join(part.capitalize() for part in operation.split("_"))
        request = getattr(self.models, f"{name}Request")(**arguments)
        invoker = getattr(self._client, f"{operation}_invoker")(request)
        return await asyncio.to_thread(invoker.add_header("X-Auth-Token", token).invoke)

    async def refused(self, operation: str, **arguments: Any) -> Any:
        from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

        with pytest.raises(ClientRequestException) as raised:
            await self.call(operation, **arguments)
        assert len(raised.value.request_id) == 32
        return raised.value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with running_api(tmp_path_factory.mktemp("api"), grants_needed=True) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The SDK writes into the home directory when it is imported."""
    directory = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(directory))
        patch.setenv("no_proxy", "127.0.0.1")
        yield directory


def _client(api: Api, home: Path, version: Any, name: str) -> Sdk:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials

    credentials = BasicCredentials("AK", "SK", ALICE.account_id)
    builder = getattr(version, name).new_builder().with_credentials(credentials)
    return Sdk(builder.with_endpoint(api.url).build(), version)


@pytest.fixture(scope="module")
def sdk(api: Api, home: Path) -> Sdk:
    from huaweicloudsdkcloudrtc import v2

    return _client(api, home, v2, "CloudRTCClient")


@pytest.fixture(scope="module")
def statistics(api: Api, home: Path) -> Sdk:
    from huaweicloudsdkcloudrtc import v1

    return _client(api, home, v1, "CloudRTCClient")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app_id(sdk: Sdk) -> str:
    created = await sdk.call("create_app", body=sdk.models.AppReq(app_name="sdk 日本"))
    assert (created.status_code, len(created.x_request_id)) == (201, 32)
    return str(created.app_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rule_id(sdk: Sdk, app_id: str) -> str:
    granted = await sdk.call(
        "update_obs_bucket_authority",
        body=sdk.models.ObsAuthorityConfig(bucket="mybucket", operation=1, location="cn-north-4"),
    )
    assert granted.status_code == 200
    created = await sdk.call("create_record_rule", app_id=app_id, body=_rule(sdk))
    assert created.status_code == 201
    return str(created.rule_id)


def _rule(sdk: Sdk, record_cycle: int | None = None) -> Any:
    models = sdk.models
    return models.RecordRuleReq(
        obs_addr=models.RecordObsFileAddr(
            location="cn-north-4", project_id="p", bucket="mybucket", object="Record/"
        ),
        record_formats=["MP4"],
        mp4_config=models.MP4RecordConfig(record_cycle=record_cycle),
    )


async def test_applications(sdk: Sdk, app_id: str) -> None:
    shown = await sdk.call("show_app", app_id=app_id)
    listed = await sdk.call("list_apps", state="ACTIVATION", offset=0, limit=100)
    stopped = await sdk.call("stop_app", app_id=app_id)
    started = await sdk.call("start_app", app_id=app_id)

    assert (shown.app_name, shown.tenant_name, shown.scope) == ("sdk 日本", "alice", "DOMESTIC")
    assert (shown.state.state, shown.create_time) == ("ACTIVATION", CREATED)
    assert (shown.authentication.enable, shown.authentication.expire) == (False, 300)
    assert shown.auto_record_mode.mode == "AUTO_RECORD_OFF"
    assert shown.callbacks.push_callback is None
    assert (listed.count, [app.app_id for app in listed.apps]) == (1, [app_id])
    assert (stopped.app_id, stopped.state.state) == (app_id, "DEACTIVATION")
    assert started.state.state == "ACTIVATION"
    for answer in (shown, listed, stopped, started):
        assert (answer.status_code, len(answer.x_request_id)) == (200, 32)


async def test_an_application_is_removed(sdk: Sdk) -> None:
    app_id = (await sdk.call("create_app", body=sdk.models.AppReq(app_name="short"))).app_id

    assert (await sdk.call("delete_app", app_id=app_id)).status_code == 204
    gone = await sdk.refused("show_app", app_id=app_id)
    assert (gone.status_code, gone.error_code) == (404, "RTC.00001003")


async def test_record_rules(sdk: Sdk, app_id: str, rule_id: str) -> None:
    replaced = await sdk.call("create_record_rule", app_id=app_id, body=_rule(sdk, 600))
    updated = await sdk.call(
        "update_record_rule", app_id=app_id, rule_id=rule_id, body=_rule(sdk, 700)
    )
    shown = await sdk.call("show_record_rule", app_id=app_id, rule_id=rule_id)
    listed = await sdk.call("list_record_rules", app_id=app_id, offset=0, limit=1)

    assert (replaced.status_code, replaced.rule_id) == (200, rule_id)
    assert replaced.mp4_config.record_cycle == 600
    assert (updated.status_code, updated.mp4_config.record_cycle) == (200, 700)
    assert (shown.status_code, shown.obs_addr.object) == (200, "Record/")
    assert (shown.record_formats, shown.hls_config) == (["MP4"], None)
    assert shown.mp4_config.record_max_duration_to_merge_file == 0
    assert [rule.rule_id for rule in listed.rules] == [rule_id]


async def test_a_rule_without_a_cycle_has_the_default(sdk: Sdk, app_id: str, rule_id: str) -> None:
    created = await sdk.call("create_record_rule", app_id=app_id, body=_rule(sdk))

    assert created.mp4_config.record_cycle == 7200


async def test_automatic_recording(sdk: Sdk, app_id: str, rule_id: str) -> None:
    on = sdk.models.AutoRecordModeReq(mode="AUTO_INDIVIDUAL_RECORD", record_rule_id=rule_id)

    updated = await sdk.call("update_auto_record", app_id=app_id, body=on)
    used = await sdk.refused("delete_record_rule", app_id=app_id, rule_id=rule_id)
    off = sdk.models.AutoRecordModeReq(mode="AUTO_RECORD_OFF")
    await sdk.call("update_auto_record", app_id=app_id, body=off)
    shown = await sdk.call("show_auto_record", app_id=app_id)

    assert (updated.status_code, updated.app_id) == (200, app_id)
    assert updated.auto_record_mode.record_rule_id == rule_id
    assert (used.status_code, used.error_code) == (400, "RTC.00001013")
    assert shown.auto_record_mode.mode == "AUTO_RECORD_OFF"


async def test_a_removed_rule_is_gone(sdk: Sdk, app_id: str, rule_id: str) -> None:
    elsewhere = _rule(sdk)
    elsewhere.obs_addr.location = "cn-east-2"
    other = await sdk.call("create_record_rule", app_id=app_id, body=elsewhere)

    removed = await sdk.call("delete_record_rule", app_id=app_id, rule_id=other.rule_id)
    gone = await sdk.refused("show_record_rule", app_id=app_id, rule_id=other.rule_id)

    assert (removed.status_code, gone.status_code) == (204, 404)


async def test_record_callbacks(sdk: Sdk, app_id: str) -> None:
    before = await sdk.call("show_record_callback", app_id=app_id)
    body = sdk.models.AppCallbackUrlReq(url="https://hooks.example/x", auth_key="1234567890abcdef")
    updated = await sdk.call("update_record_callback", app_id=app_id, body=body)
    shown = await sdk.call("show_record_callback", app_id=app_id)

    assert (before.status_code, before.record_callback) == (200, None)
    assert updated.status_code == 200
    assert shown.record_callback.auth_key == "1234567890abcdef"
    assert shown.record_callback.notify_event_subscription[-1] == "CLOUD_RECORD_OVER"


async def test_buckets(api: Api, sdk: Sdk, rule_id: str) -> None:
    api.buckets.contents = {
        "mybucket": [ObjectFacts("a b+c.mp4", 2048, START_UNIX_MS)],
        "other": [],
    }

    buckets = await sdk.call("list_obs_buckets")
    objects = await sdk.call(
        "list_obs_bucket_objects",
        bucket="mybucket",
        type="objects",
        location="cn-north-4",
        prefix="a b+",
    )

    assert (buckets.status_code, buckets.count) == (200, 2)
    assert [each.is_authorized for each in buckets.buckets] == [True, False]
    assert buckets.buckets[0].creation_date == "2023/11/14 22:13:20 GMT+00:00"
    assert [(each.file_name, each.size) for each in objects.objects] == [("a b+c.mp4", 2)]


@pytest.mark.parametrize("nobodys", [NOBODYS, "a/b", "a%2Fb", "日本 x", "a?b#c"])
async def test_odd_ids_are_not_there(sdk: Sdk, nobodys: str) -> None:
    for operation in ("show_app", "start_app", "show_auto_record", "delete_app"):
        gone = await sdk.refused(operation, app_id=nobodys)

        assert (gone.status_code, gone.error_code, gone.error_msg) == (
            404,
            "RTC.00001003",
            "InvalidParameterValue",
        )


async def test_refusals_come_out_as_exceptions(sdk: Sdk, app_id: str) -> None:
    models = sdk.models
    taken = await sdk.refused("create_app", body=models.AppReq(app_name="sdk 日本"))
    nameless = await sdk.refused("create_app", body=models.AppReq())
    page = await sdk.refused("list_apps", limit=101)
    stranger = await sdk.refused("list_apps", token="mallory")

    assert (taken.status_code, taken.error_code) == (400, "RTC.00001020")
    assert taken.error_msg == "AppExist: app exists"
    assert nameless.error_code == "RTC.00001005"
    assert page.error_msg == "InvalidParameterValue: limit: 101 is above 100"
    assert (stranger.status_code, stranger.error_code) == (401, "APIGW.0301")


async def test_statistics(statistics: Sdk) -> None:
    names = [
        name
        for name in vars(type(statistics._client))
        if name.startswith("list_rtc_") and not name.endswith("_invoker")
    ]

    for name in names:
        answer = await statistics.call(name)
        told = {
            key: value
            for key, value in answer.to_json_object().items()
            if key != "X-request-id" and value not in ([], 0)
        }
        assert (answer.status_code, told) == (200, {})
    assert len(names) == 14
