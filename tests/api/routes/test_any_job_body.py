"""Whatever JSON is sent about jobs is taken or refused, and what is taken can be told and run."""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.routes.jobs_world import APP, World, grid, jobs_world, solo
from worker.api.wire.job_mix import effective
from worker.api.wire.mix_param import MixParam
from worker.api.wire.mix_spec import mix_spec

pytestmark = pytest.mark.asyncio(loop_scope="module")

PANE = {"id": 3, "user_id": "ann", "x": 0.25, "y": 0, "width": 0.5, "height": 0.5, "zorder": 2}
IMAGE = {"user_id": "ann", "image_uri": "s3://images/a.png"}
BODIES = (
    grid(background_image="s3://images/a.png", user_background_images=[IMAGE]),
    grid(layout_template="custom", layout_panes=[PANE], encode_template="640*480_15_500"),
    grid(layout_template="screen_share_left", layout_panes=[{"filling_policy": "SHARED_SCREEN"}]),
    grid(encode_template="audio_only"),
    {**grid(), "publish_param": {"rtmp_urls": ["rtmp://host/app/key"]}, "job_uniq_id": 5},
    solo(video_type="SCREENSTREAM", is_record_audio=False, select_stream_type="LD"),
)
CHANGES = (
    {"mix_param": {"layout_panes": [PANE, {**PANE, "id": 4, "video_type": "SCREENSTREAM"}]}},
    {"mix_param": {"max_idle_time": 60, "background_image": "s3://images/a.png"}},
    {"mix_param": {"user_background_images": [IMAGE], "layout_template": "custom"}},
)
WORDS = st.sampled_from(
    ["", "ann", "custom", "screen_share_right", "audio_only", "1920x1080_30_4620", "SHARED_SCREEN"]
    + ["FIXED_USER", "CAMERASTREAM", "KEEP_RATIO_CROP", "s3://b/k", "s3://images/x", "rtmp://h/a/b"]
    + ["\x00", "\ud800", "a" * 65, "{}", "%s", "FHD"]
)
NUMBERS = st.one_of(st.integers(-1, 31), st.integers(), st.floats(-1, 2), st.floats())
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=9,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Holder and key of everything in *value*."""
    match value:
        case dict():
            members = list(value.items())
        case list():
            members = list(enumerate(value))
        case _:
            return []
    return [(value, key) for key, _ in members] + [
        place for _, member in members for place in places(member)
    ]


@st.composite
def bodies(draw: st.DrawFn, good: Sequence[Any]) -> str:
    """Any JSON, or a good body with something else at up to three of its places."""
    if draw(st.integers(0, 9)) == 0:
        return json.dumps(draw(ANYTHING))
    body = deepcopy(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(places(body)))
        holder[key] = draw(ANYTHING)
    return json.dumps(body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with jobs_world(tmp_path_factory.mktemp("records")) as world:
        yield world


ENDURANCE = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@ENDURANCE
@given(text=bodies(BODIES), is_mix=st.booleans())
async def test_whatever_is_asked_is_taken_or_refused(
    served: World, text: str, is_mix: bool
) -> None:
    path = f"{APP}/{'mix' if is_mix else 'individual'}-stream-jobs"
    reply = await served.call("POST", path, raw=text)
    assert reply.status in (201, 400, 404), reply.text
    if reply.status != 201:
        assert set(reply.body) == {"error_code", "error_msg"}
        return
    told = await served.call("GET", f"{path}/{reply.body['job_id']}")
    assert told.body == reply.body
    job = await served.job(reply.body["job_id"])
    again = MixParam.model_validate(job.document["mix_param"])
    mix_spec(again)
    if is_mix:
        assert job.document["mix_param"] == told.body["mix_param"] == effective(again)
        asked = MixParam.model_validate(json.loads(text)["mix_param"], extra="ignore")
        assert mix_spec(again) == mix_spec(asked)
    # Out of the way of the others.
    await served.call("DELETE", f"{path}/{reply.body['job_id']}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def job_path(served: World) -> str:
    """Of one job that all changes are made to."""
    reply = await served.mix(grid(layout_template="custom", layout_panes=[PANE]))
    await served.is_running(reply.body["job_id"])
    return f"{APP}/mix-stream-jobs/{reply.body['job_id']}"


@ENDURANCE
@given(text=bodies(CHANGES))
async def test_whatever_is_changed_is_taken_or_refused(
    served: World, job_path: str, text: str
) -> None:
    before = (await served.call("GET", job_path)).body
    reply = await served.call("PUT", job_path, raw=text)
    assert reply.status in (200, 400), reply.text
    told = (await served.call("GET", job_path)).body
    assert told == (reply.body if reply.status == 200 else before)
    assert effective(MixParam.model_validate(told["mix_param"])) == told["mix_param"]
