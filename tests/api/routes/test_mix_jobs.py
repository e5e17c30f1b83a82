"""Operations 16 to 19, through the server and real records."""

import json
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.api.routes.jobs_world import (
    ANN,
    APP,
    BOB,
    FOREIGN_APP,
    NOW,
    ROOM,
    RULES,
    World,
    app_of,
    grid,
    jobs_world,
)
from worker.api.wire.job_document import parse_job_document
from worker.core.lifecycle import State, StopReason
from worker.errors import InvalidField
from worker.jobs.values import AppState
from worker.net.reach import Reach

ANN_PANE = {"id": 1, "user_id": "user1", "x": 0, "y": 0, "width": 0.666, "height": 0.333}
BOB_PANE = {"id": 2, "user_id": "user2", "x": 0.666, "y": 0, "width": 0.333, "height": 0.666}
CUSTOM = {"layout_template": "custom", "layout_panes": [ANN_PANE, BOB_PANE]}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with jobs_world(tmp_path_factory.mktemp("records")) as world:
        yield world


@pytest.fixture
def world(served):
    served.begin()
    return served


def path_of(job: dict, app: str = APP) -> str:
    return f"{app}/mix-stream-jobs/{job['job_id']}"


async def running(world: World, **mix: object) -> dict:
    reply = await world.mix(grid(**mix))
    assert reply.status == 201, reply.text
    await world.is_running(reply.body["job_id"])
    return reply.body


# --- the examples of the API pages ----------------------------------------------------------


async def test_a_new_job_is_answered_as_the_pages_show(world):
    reply = await world.mix(grid(encode_template="1920x1080_30_4620"))
    job_id = reply.body["job_id"]
    assert reply.status == 201
    assert len(job_id) == 32
    assert len(reply.body["job_unique_id"]) == 16
    assert int(job_id + reply.body["job_unique_id"], 16) >= 0
    assert reply.body == {
        "app_id": APP,
        "create_time": NOW,
        "job_id": job_id,
        "job_unique_id": reply.body["job_unique_id"],
        "mix_param": {
            "room_id": "room001",
            "layout_template": "nine_grids_view",
            "encode_template": "1920x1080_30_4620",
            "max_idle_time": 30,
        },
        "push_param": {"rtmp_urls": None},
        "record_param": {"record_rule_id": RULES["RULE"]},
        "room_id": "room001",
        "start_time": NOW,
        "state": "INIT",
        "stop_time": "0001-01-01T00:00:00Z",
        "stream_name": f"m_{job_id}_room001",
        "update_time": NOW,
    }
    assert (await world.call("GET", path_of(reply.body))).body == reply.body


SHARED = {"id": 1, "user_id": "", "video_type": "SCREENSTREAM", "filling_policy": "SHARED_SCREEN"}
FIXED = {"id": 1, "user_id": "user1", "video_type": "CAMERASTREAM", "filling_policy": "FIXED_USER"}


@pytest.mark.parametrize("pane", [SHARED, FIXED])
async def test_the_screen_shares_of_the_pages_are_echoed(world, pane):
    asked = grid(layout_template="screen_share_right", layout_panes=[pane])
    assert (await world.mix(asked)).body["mix_param"] == asked["mix_param"]


async def test_the_custom_layout_of_the_pages_is_echoed_with_its_defaults(world):
    panes = [
        {**pane, "video_type": "CAMERASTREAM", "crop_mode": "KEEP_RATIO_CROP"}
        for pane in (ANN_PANE, BOB_PANE)
    ]
    reply = await world.mix(grid(layout_template="custom", layout_panes=panes))
    assert reply.body["mix_param"]["layout_panes"] == [{**pane, "zorder": 0} for pane in panes]


# --- what is put on record ------------------------------------------------------------------


async def test_the_document_is_what_the_worker_runs(world):
    urls = ["rtmp://live.example.com/app/key", "rtmp://live.example.com/app/key"]
    asked = grid(**CUSTOM, encode_template="1280*720_15_2260")
    reply = await world.mix({**asked, "publish_param": {"rtmp_urls": urls}, "job_uniq_id": "k"})
    job = await world.job(reply.body["job_id"])
    assert job.document == {
        "job_id": job.job_id,
        "app_id": APP,
        "stream_name": f"m_{job.job_id}_room001",
        "room": ROOM,
        "mix_param": reply.body["mix_param"],
        "record": {
            "rule_id": RULES["RULE"],
            "obs_addr": {"location": "cn-north-4", "bucket": "records", "object": "Record/"},
            "record_formats": ["MP4"],
            "mp4_config": {"record_cycle": 7200, "record_max_duration_to_merge_file": 0},
        },
        "publish_param": {"rtmp_urls": urls[:1]},
    }
    spec = parse_job_document(json.dumps({**job.document, "output": {"directory": "x"}}))
    assert (spec.job_id, spec.stream_name, len(spec.rtmp_urls)) == (job.job_id, job.stream_name, 1)
    assert (job.account_id, job.unique_id, job.room_id) == (ANN.account_id, "k", "room001")
    assert reply.body["push_param"] == {"rtmp_urls": urls[:1]}
    assert reply.body["mix_param"]["encode_template"] == "1280*720_15_2260"
    assert "key" not in repr(job)


async def test_a_job_may_only_be_pushed(world):
    asked = {**grid(), "publish_param": {"rtmp_urls": ["rtmp://live.example.com/app/key"]}}
    del asked["record_param"]
    reply = await world.mix(asked)
    assert reply.status == 201
    assert "record_param" not in reply.body
    assert "record" not in (await world.job(reply.body["job_id"])).document


async def test_later_changes_of_the_rule_do_not_matter(world):
    job = (await world.mix({**grid(), "record_param": {"record_rule_id": RULES["OTHER"]}})).body
    rule = await world.records.rule(ANN.account_id, APP, RULES["OTHER"])
    body = {**rule.body, "record_formats": ["HLS"], "hls_config": {}}
    await world.records.replace_rule(ANN.account_id, replace(rule, body=body))
    assert (await world.job(job["job_id"])).document["record"]["record_formats"] == ["MP4"]


async def test_nothing_is_on_record_that_no_worker_can_run(tmp_path):
    def no_room(app_id: str, room_id: str) -> dict:
        raise InvalidField("mix_param.room_id", "must be a number")

    async with jobs_world(tmp_path, room_document=no_room) as world:
        reply = await world.mix(grid())
        assert (reply.status, reply.code) == (400, 1003)
        assert "mix_param.room_id: must be a number" in reply.text
        assert not await world.records.unfinished_jobs()


async def test_the_operator_may_let_pushes_into_his_network(tmp_path):
    asked = {**grid(), "publish_param": {"rtmp_urls": ["rtmp://127.0.0.1:1935/app/key"]}}
    async with jobs_world(tmp_path, reach=Reach.parse(["127.0.0.0/8"])) as world:
        assert (await world.mix(asked)).status == 201


async def test_images_lie_in_granted_buckets_where_that_is_asked_for(tmp_path):
    async with jobs_world(tmp_path, grants_needed=True) as world:
        asked = grid(
            background_image="s3://ours/a.png",
            user_background_images=[{"user_id": "ann", "image_uri": "s3://theirs/b.png"}],
        )
        await world.records.set_bucket_grant(ANN.account_id, "ours", is_granted=True)
        await world.records.set_bucket_grant(BOB.account_id, "theirs", is_granted=True)
        reply = await world.mix(asked)
        assert (reply.status, reply.code) == (400, 1003)
        assert "mix_param.user_background_images[0].image_uri" in reply.text
        await world.records.set_bucket_grant(ANN.account_id, "theirs", is_granted=True)
        job = (await world.mix(asked)).body
        await world.is_running(job["job_id"])
        change = {"mix_param": {"background_image": "s3://others/a.png"}}
        refused = await world.call("PUT", path_of(job), change)
        assert (refused.status, refused.code) == (400, 1003)
        assert "mix_param.background_image" in refused.text


# --- refusals -------------------------------------------------------------------------------


async def test_the_same_key_is_refused_while_its_job_lives(world):
    asked = {**grid(), "job_uniq_id": "monday"}
    job = (await world.mix(asked)).body
    again = await world.mix(asked)
    assert (again.status, again.code) == (400, 1006)
    await world.call("DELETE", path_of(job))
    assert (await world.mix(asked)).status == 201


async def test_a_stopped_application_and_the_quota_refuse_new_jobs(tmp_path):
    async with jobs_world(tmp_path, most_jobs=1) as world:
        job = (await world.mix(grid())).body
        more = await world.mix(grid())
        assert (more.status, more.code) == (400, 1007)
        await world.records.set_app_state(ANN.account_id, APP, AppState.STOPPED, 0)
        refused = await world.mix(grid())
        assert (refused.status, refused.code) == (400, 1016)
        # What runs goes on, and can be looked at and stopped.
        assert (await world.call("GET", path_of(job))).status == 200
        assert (await world.call("DELETE", path_of(job))).status == 204


@pytest.mark.parametrize("app", ["0" * 24, FOREIGN_APP, "..x", "%2e%2e%2fx", "a b", "房间"])
async def test_whatever_application_is_not_ones_own_is_not_there(world, app):
    reply = await world.mix(grid(), app)
    assert (reply.status, reply.body) == (
        404,
        {"error_code": "RTC.00001003", "error_msg": "InvalidParameterValue"},
    )


async def test_jobs_of_others_are_as_absent_as_those_that_never_were(world):
    job = await running(world, **CUSTOM)
    await world.records.add_app(app_of(ANN, "1" * 24), quota=9)
    mine = path_of(job)
    strange = [
        (BOB, mine),
        (BOB, path_of(job, FOREIGN_APP)),
        (ANN, path_of(job, FOREIGN_APP)),
        (ANN, path_of(job, "1" * 24)),
        (ANN, f"{APP}/individual-stream-jobs/{job['job_id']}"),
        (ANN, f"{APP}/mix-stream-jobs/{'0' * 32}"),
        (ANN, f"{APP}/mix-stream-jobs/..%2Fx"),
        (ANN, f"{APP}/mix-stream-jobs/{'x' * 4096}"),
        (ANN, f"{APP}/mix-stream-jobs/a%00b"),
    ]
    seen = set()
    for world.account, path in strange:
        change = {"record_param": {"record_rule_id": RULES["RULE"]}}
        if "individual" not in path:
            change = {"mix_param": {"max_idle_time": 60}}
        for method, body in (("GET", None), ("PUT", change), ("DELETE", None)):
            reply = await world.call(method, path, body)
            seen.add((reply.status, reply.text))
    assert seen == {(404, '{"error_code": "RTC.00001003", "error_msg": "InvalidParameterValue"}')}
    assert (await world.job(job["job_id"])).state is State.RUNNING


# --- update ---------------------------------------------------------------------------------


async def test_an_update_leaves_alone_what_it_does_not_name(world):
    job = await running(
        world, **CUSTOM, background_image="s3://images/a.png", encode_template="1280*720_15_2260"
    )
    world.clock[0] += 5000
    pane = {"user_id": "cid", "x": 0, "y": 0, "width": 1, "height": 1, "zorder": 2}
    reply = await world.call("PUT", path_of(job), {"mix_param": {"layout_panes": [pane]}})
    whole = {"id": 1, "video_type": "CAMERASTREAM", "crop_mode": "KEEP_RATIO_CROP", **pane}
    assert reply.status == 200
    assert reply.body == {
        **job,
        "mix_param": {**job["mix_param"], "layout_panes": [whole]},
        "state": "RUNNING",
        "start_time": "2021-04-16T16:22:46Z",
        "update_time": "2021-04-16T16:22:49Z",
    }
    record = await world.job(job["job_id"])
    assert record.document["mix_param"] == reply.body["mix_param"]
    assert (await world.call("GET", path_of(job))).body == reply.body


async def test_who_sends_back_the_whole_answer_changes_what_differs(world):
    job = await running(world, **CUSTOM)
    mix = {**job["mix_param"], "max_idle_time": 77}
    reply = await world.call("PUT", path_of(job), {"mix_param": mix})
    assert (reply.status, reply.body["mix_param"]) == (200, mix)


async def test_an_update_waits_for_the_job_to_run_and_ends_with_it(world):
    job = (await world.mix(grid(**CUSTOM))).body
    change = {"mix_param": {"max_idle_time": 60}}
    early = await world.call("PUT", path_of(job), change)
    assert (early.status, early.code) == (400, 1022)
    await world.call("DELETE", path_of(job))
    late = await world.call("PUT", path_of(job), change)
    assert (late.status, late.code) == (400, 1009)


# --- stop -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, "{}", "not JSON", "[1]"])
async def test_a_stop_may_be_repeated_and_its_body_does_not_matter(world, body):
    job = (await world.mix(grid())).body
    for _ in range(2):
        reply = await world.call("DELETE", path_of(job), raw=body)
        assert (reply.status, reply.text) == (204, "")
        world.clock[0] += 60_000
    told = (await world.call("GET", path_of(job))).body
    assert (told["state"], told["stop_reason"], told["stop_time"]) == (
        "STOPPED",
        "TENANT_STOP",
        NOW,
    )
    assert "description" not in told


@pytest.mark.parametrize(
    ("reason", "name", "why"),
    [
        (StopReason.TENANT_STOP, "TENANT_STOP", None),
        (StopReason.MAX_IDLE, "EXCEED_MAX_IDLE_TIME", "nobody who may publish was in the room"),
        (
            StopReason.MAX_DURATION,
            "INTERNAL_ERROR",
            "the longest time a job may run is over",
        ),
        (
            StopReason.SIGNAL,
            "INTERNAL_ERROR",
            "the operator of the service has stopped the job",
        ),
        (StopReason.ROOM_LOST, "INTERNAL_ERROR", "the room cannot be reached any more"),
        (StopReason.ROOM_REFUSED, "INTERNAL_ERROR", "the room refuses the recorder"),
        (StopReason.INTERNAL_ERROR, "INTERNAL_ERROR", "the recorder failed"),
    ],
)
async def test_why_a_job_ended_is_told_in_the_words_of_the_api(world, reason, name, why):
    job = (await world.mix(grid())).body
    await world.has_stopped(job["job_id"], reason)
    told = (await world.call("GET", path_of(job))).body
    assert (told["state"], told["stop_reason"], told.get("description")) == ("STOPPED", name, why)
    await world.has_stopped(job["job_id"], reason, "image s3://a/b was broken")
    told = (await world.call("GET", path_of(job))).body
    assert told["description"] == "; ".join(filter(None, (why, "image s3://a/b was broken")))
