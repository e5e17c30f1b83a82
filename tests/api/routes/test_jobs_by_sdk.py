"""The ten operations on jobs and rooms, called by the official SDK as it is."""

import asyncio
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from tests.api.routes.jobs_world import APP, RULES, Keeper, jobs_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with jobs_world(tmp_path_factory.mktemp("records")) as world:
        yield world


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """It writes into the home directory, and believes in proxies."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        environment.setenv("no_proxy", "127.0.0.1")
        from huaweicloudsdkcloudrtc import v2

        yield v2


@pytest.fixture
def client(sdk: ModuleType, served: Any) -> Any:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials

    served.begin()
    builder = sdk.CloudRTCClient.new_builder()
    return (
        builder.with_credentials(BasicCredentials("ann", "secret", "a" * 32))
        .with_endpoint(served.url)
        .build()
    )


async def called(method: Callable[[Any], Any], request: Any) -> Any:
    """The SDK blocks, and we serve it from here."""
    response = await asyncio.to_thread(method, request)
    assert response.x_request_id
    return response


async def refused(method: Callable[[Any], Any], request: Any) -> tuple[int, str]:
    from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

    with pytest.raises(ClientRequestException) as error:
        await asyncio.to_thread(method, request)
    assert error.value.request_id
    return error.value.status_code, error.value.error_code


async def test_a_mix_job_from_its_start_to_its_end(sdk, client, served):
    record = sdk.RecordParam(record_rule_id=RULES["RULE"])
    panes = [sdk.MixLayoutPane(id=1, user_id="ann", x=0, y=0, width=0.5, height=1, zorder=0)]
    mix = sdk.MixParam(
        room_id="room001",
        encode_template="1280x720_15_2260",
        layout_template="custom",
        layout_panes=panes,
    )
    body = sdk.MixJobReq(mix_param=mix, record_param=record)
    job = await called(client.create_mix_job, sdk.CreateMixJobRequest(app_id=APP, body=body))
    assert (job.status_code, job.state, job.room_id) == (201, "INIT", "room001")
    assert job.mix_param.layout_panes[0].crop_mode == "KEEP_RATIO_CROP"
    assert (job.mix_param.max_idle_time, job.record_param) == (30, record)
    assert job.stop_time == "0001-01-01T00:00:00Z"

    bob = sdk.MixLayoutPane(id=1, user_id="bob", x=0.5, y=0, width=0.5, height=1)
    change = sdk.UpdateMixJobRequest(
        app_id=APP,
        job_id=job.job_id,
        body=sdk.UpdateMixJobReq(mix_param=sdk.UpdateMixParam(layout_panes=[bob])),
    )
    assert await refused(client.update_mix_job, change) == (400, "RTC.00001022")
    await served.is_running(job.job_id)
    changed = await called(client.update_mix_job, change)
    assert changed.mix_param.layout_panes[0].user_id == "bob"

    shown = await called(client.show_mix_job, sdk.ShowMixJobRequest(app_id=APP, job_id=job.job_id))
    assert (shown.state, shown.mix_param) == ("RUNNING", changed.mix_param)
    stop = sdk.StopMixJobRequest(app_id=APP, job_id=job.job_id)
    assert (await called(client.stop_mix_job, stop)).status_code == 204
    shown = await called(client.show_mix_job, sdk.ShowMixJobRequest(app_id=APP, job_id=job.job_id))
    assert (shown.state, shown.stop_reason) == ("STOPPED", "TENANT_STOP")
    assert await refused(client.update_mix_job, change) == (400, "RTC.00001009")


async def test_an_individual_job_from_its_start_to_its_end(sdk, client, served):
    body = sdk.IndividualStreamJobReq(
        room_id="room001",
        user_id="ann",
        select_stream_type="HD",
        record_param=sdk.RecordParam(record_rule_id=RULES["RULE"]),
    )
    create = sdk.CreateIndividualStreamJobRequest(app_id=APP, body=body)
    job = await called(client.create_individual_stream_job, create)
    assert (job.status_code, job.user_id, job.is_record_audio) == (201, "ann", True)
    assert (job.video_type, job.select_stream_type, job.max_idle_time) == (
        "CAMERASTREAM",
        "HD",
        30,
    )
    await served.is_running(job.job_id)
    other = sdk.UpdateIndividualJobReq(record_param=sdk.RecordParam(record_rule_id=RULES["OTHER"]))
    change = sdk.UpdateIndividualStreamJobRequest(app_id=APP, job_id=job.job_id, body=other)
    changed = await called(client.update_individual_stream_job, change)
    assert changed.record_param.record_rule_id == RULES["OTHER"]
    show = sdk.ShowIndividualStreamJobRequest(app_id=APP, job_id=job.job_id)
    assert (await called(client.show_individual_stream_job, show)).state == "RUNNING"
    stop = sdk.StopIndividualStreamJobRequest(app_id=APP, job_id=job.job_id)
    assert (await called(client.stop_individual_stream_job, stop)).status_code == 204
    assert (await called(client.show_individual_stream_job, show)).stop_reason == "TENANT_STOP"


async def test_users_are_removed_and_rooms_dismissed(sdk, client, served):
    keeper = served.keepers[APP] = Keeper()
    users = sdk.RemoveUsersRequest(
        app_id=APP, room_id="room001", body=sdk.RemoveUsersReq(user_ids=["u1", "u2"])
    )
    assert (await called(client.remove_users, users)).status_code == 202
    dismiss = sdk.RemoveRoomRequest(app_id=APP, room_id="room001")
    assert (await called(client.remove_room, dismiss)).status_code == 202
    assert (keeper.removed, keeper.dismissed) == ([("room001", ("u1", "u2"))], ["room001"])
    nowhere = sdk.RemoveRoomRequest(app_id=APP, room_id="a/b 日")
    assert await refused(client.remove_room, nowhere) == (404, "RTC.00001003")


async def test_what_is_refused_becomes_the_exception_of_the_sdk(sdk, client):
    mix = sdk.MixParam(room_id="room001", encode_template="big")
    body = sdk.MixJobReq(mix_param=mix)
    create = sdk.CreateMixJobRequest(app_id=APP, body=body)
    assert await refused(client.create_mix_job, create) == (400, "RTC.00001003")
    unknown = sdk.ShowMixJobRequest(app_id=APP, job_id="0" * 32)
    assert await refused(client.show_mix_job, unknown) == (404, "RTC.00001003")
