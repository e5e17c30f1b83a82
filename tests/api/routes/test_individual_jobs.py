"""Operations 20 to 23, through the server and real records."""

import json

import pytest
import pytest_asyncio

from tests.api.routes.jobs_world import APP, NOW, ROOM, RULES, jobs_world, solo
from worker.api.wire.job_document import parse_job_document
from worker.core.identity import Source, UserId
from worker.core.layout.geometry import Fit
from worker.core.spec import CustomLayout, JobSpec, Pane

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with jobs_world(tmp_path_factory.mktemp("records")) as world:
        yield world


@pytest.fixture
def world(served):
    served.begin()
    return served


def path_of(job: dict) -> str:
    return f"{APP}/individual-stream-jobs/{job['job_id']}"


async def spec_of(world, **asked: object) -> JobSpec:
    """What the worker makes of it."""
    reply = await world.individual(solo(**asked))
    assert reply.status == 201, reply.text
    job = await world.job(reply.body["job_id"])
    return parse_job_document(json.dumps({**job.document, "output": {"directory": "x"}}))


async def test_a_new_job_is_answered_flat_with_its_defaults(world):
    reply = await world.individual(solo(room_id=123456, user_id=789))
    job_id = reply.body["job_id"]
    assert reply.status == 201
    assert reply.body == {
        "job_id": job_id,
        "job_unique_id": reply.body["job_unique_id"],
        "app_id": APP,
        "room_id": "123456",
        "user_id": "789",
        "stream_name": f"s_{job_id}_123456_789",
        "is_record_audio": True,
        "video_type": "CAMERASTREAM",
        "select_stream_type": "FHD",
        "max_idle_time": 30,
        "record_param": {"record_rule_id": RULES["RULE"]},
        "push_param": {"rtmp_urls": None},
        "create_time": NOW,
        "update_time": NOW,
        "state": "INIT",
        "start_time": NOW,
        "stop_time": "0001-01-01T00:00:00Z",
    }
    assert (await world.call("GET", path_of(reply.body))).body == reply.body


@pytest.mark.parametrize(
    ("size", "template"),
    [
        (None, "1920x1080_30_3150"),
        ("FHD", "1920x1080_30_3150"),
        ("HD", "1280x720_30_1710"),
        ("SD", "640x480_30_1000"),
        ("LD", "480x360_15_320"),
    ],
)
async def test_one_user_fills_the_canvas_of_the_size_asked_for(world, size, template):
    spec = await spec_of(world, select_stream_type=size)
    assert spec.mix.template is not None
    assert spec.mix.template.name == template
    pane = Pane(1, UserId("ann"), Source.CAMERA, 0, 0, 1, 1, fit=Fit.CONTAIN)
    assert spec.mix.layout == CustomLayout((pane,))
    assert spec.audio.users == {"ann"}


async def test_a_shared_screen_can_be_recorded_without_sound(world):
    spec = await spec_of(world, video_type="SCREENSTREAM", is_record_audio=False)
    assert isinstance(spec.mix.layout, CustomLayout)
    assert [pane.source for pane in spec.mix.layout.panes] == [Source.SCREEN]
    assert spec.audio.users == frozenset()


@pytest.mark.parametrize("nothing", ["", None])
async def test_sound_can_be_recorded_without_video(world, nothing):
    spec = await spec_of(world, video_type=nothing, max_idle_time=9)
    assert (spec.mix.template, spec.mix.max_idle_s, spec.audio.users) == (None, 9, {"ann"})


async def test_the_document_has_the_rule_and_the_room(world):
    job = await world.job((await world.individual(solo())).body["job_id"])
    assert job.document["room"] == ROOM
    assert job.document["record"]["rule_id"] == RULES["RULE"]
    assert job.stream_name == job.document["stream_name"] == f"s_{job.job_id}_room001_ann"


async def test_an_update_lets_a_running_job_go_by_another_rule(world):
    job = (await world.individual(solo())).body
    change = {"record_param": {"record_rule_id": RULES["OTHER"]}}
    early = await world.call("PUT", path_of(job), change)
    assert (early.status, early.code) == (400, 1022)
    await world.is_running(job["job_id"])
    world.clock[0] += 1000
    reply = await world.call("PUT", path_of(job), change)
    assert reply.status == 200
    assert reply.body == {
        **job,
        **change,
        "state": "RUNNING",
        "start_time": "2021-04-16T16:22:46Z",
        "update_time": "2021-04-16T16:22:45Z",
    }
    record = (await world.job(job["job_id"])).document["record"]
    assert (record["rule_id"], record["obs_addr"]["location"]) == (RULES["OTHER"], "cn-north-1")
    await world.call("DELETE", path_of(job))
    late = await world.call("PUT", path_of(job), change)
    assert (late.status, late.code) == (400, 1009)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ("", 400, 1002, "document"),
        ("{}", 400, 1005, "record_param"),
        ('{"record_param": null}', 400, 1005, "record_param"),
        ('{"record_param": {}}', 400, 1005, "record_param.record_rule_id"),
        ('{"record_param": {"record_rule_id": "a b"}}', 400, 1003, "record_param.record_rule_id"),
        (f'{{"record_param": {{"record_rule_id": "{RULES["FOREIGN"]}"}}}}', 404, 1003, ""),
        ('{"record_param": {"record_rule_id": "0"}}', 404, 1003, ""),
    ],
)
async def test_a_bad_update_changes_nothing(world, body, status, code, field):
    job = (await world.individual(solo())).body
    await world.is_running(job["job_id"])
    before = (await world.call("GET", path_of(job))).body
    reply = await world.call("PUT", path_of(job), raw=body)
    assert (reply.status, reply.code) == (status, code)
    assert field in reply.body["error_msg"]
    assert (await world.call("GET", path_of(job))).body == before


async def test_a_stop_may_be_repeated(world):
    job = (await world.individual(solo())).body
    for _ in range(2):
        assert (await world.call("DELETE", path_of(job), raw="x")).status == 204
    told = (await world.call("GET", path_of(job))).body
    assert (told["state"], told["stop_reason"]) == ("STOPPED", "TENANT_STOP")
