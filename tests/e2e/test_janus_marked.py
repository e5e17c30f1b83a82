"""Synthetic people through a real Janus: sync, selection and loss hold through an SFU."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import hearing, oracle
from tests.support.janus import URL, JanusOptions, janus_server
from tests.support.janus_cast import janus_cast
from tests.support.live import document, worker
from tests.support.namespace import network_namespace
from tests.support.seeing import Watch, longest_freeze_s
from tests.support.selection import SETTLING_S, heard, judge, loudest_at, stepped_tones
from worker.testroom.person import tone_hz

SECONDS = 20
FRAMES = SECONDS * 30
SCENARIO = """
[defaults.microphone]
mode = "beep"
level_db = -12
[[participants]]
user_id = "ann"
name = "Ann"
colour = 0
[[participants]]
user_id = "ben"
name = "Ben"
colour = 3
camera = {codec = "h264"}
[[participants]]
user_id = "cai"
name = "Cai"
colour = 6
camera = {codec = "vp9"}
"""


@pytest.fixture
def namespace() -> Iterator[None]:
    with network_namespace():
        yield


LEVELS_DB = {
    0.0: [-16, -20, -24, -28, -32, -36],
    5.0: [-16, -20, -36, -28, -32, -24],  # 2 and 5 change places
    10.0: [-36, -20, -32, -28, -16, -24],  # 0 falls, 4 rises
    15.0: [-36, -32, -28, -16, -20, -24],  # two new ones at once
}


def drop(percent: int) -> None:
    """Lose so much of what Janus sends, in this thread's namespace."""
    for rule in (
        "add table inet loss",
        "add chain inet loss input { type filter hook input priority 0 ; }",
        f"add rule inet loss input udp sport 20000-30000 numgen random mod 100 < {percent} drop",
    ):
        subprocess.run(["nft", rule], check=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loss_percent", [pytest.param(0, marks=pytest.mark.soak), 5])
async def test_three_codecs_through_janus_stay_in_sync(
    namespace: None, tmp_path: Path, loss_percent: int
) -> None:
    job = document(
        tmp_path,
        "",
        mix={"encode_template": "640x480_30_1000"},
        room={"kind": "janus", "url": URL, "room": 1234, "user_id": "display"},
        max_duration_s=SECONDS,
    )
    async with janus_server(tmp_path / "janus"), janus_cast(SCENARIO), worker(job) as recorder:
        # Until it knows the round trip Janus cannot repeat anything.
        await recorder.recorded(4)
        if loss_percent:
            drop(loss_percent)
        assert await recorder.ended() == 0, recorder.said

    recording = recorder.recording
    assert recording.decode_errors() == ""
    assert recording.video.packets == FRAMES
    histories = recording.watch(
        {n: Watch(rect) for n, rect in enumerate(oracle.gallery(3, 640, 480))}
    )
    participants = {p["user_id"]: p for p in recorder.result["participants"]}
    assert participants.keys() == {"Ann", "Ben", "Cai"}
    for history in histories.values():
        who = history.owner(from_frame=90)
        unread = [n for n, counter in enumerate(history.counters) if counter is None]
        first = next(n for n in range(FRAMES) if n not in unread)
        frozen_s = longest_freeze_s(history.counters[first:], 30)
        offsets = recording.av_offsets_s(history, tone_hz(who.index))
        print(
            f"{who}: worst {abs(offsets).max() * 1000:.0f} ms of {len(offsets)}, "
            f"first picture after {first / 30:.2f} s, frozen for {frozen_s:.2f} s at most"
        )
        assert len(offsets) >= SECONDS - 6
        assert sorted(abs(offsets))[int(0.95 * len(offsets))] <= 0.045
        assert unread == list(range(first)), "a damaged picture was recorded"
        assert first <= 4 * 30
    tracks = [track for p in participants.values() for track in p["tracks"]]
    recovered = sum(track["packets_recovered"] for track in tracks)
    print("recovered", recovered, "lost", sum(track["packets_lost"] for track in tracks))
    assert (recovered > 50) == bool(loss_percent)


@pytest.mark.timeout(180)
async def test_the_three_loudest_of_six_are_heard_through_janus_in_a_room_with_a_name(
    namespace: None, tmp_path: Path
) -> None:
    options = JanusOptions(room="board-meeting", room_settings={"audiolevel_ext": True})
    job = document(
        tmp_path,
        "",
        mix={"encode_template": "audio_only"},
        room={"kind": "janus", "url": URL, "room": "board-meeting", "user_id": "display"},
        max_duration_s=28,
        audio={"levelling": False},
    )
    async with janus_server(tmp_path / "janus", options), worker(job) as recorder:
        await recorder.recorded(0.5)
        async with janus_cast(stepped_tones(LEVELS_DB), room="board-meeting"):
            assert await recorder.ended() == 0, recorder.said

    windows = heard(hearing.mono(recorder.recording.sound()), [tone_hz(n) for n in range(6)])
    # Their clock is not the recording's; the first change, 5 s after they began, ties them. (Who
    # is in the room before the others is heard at once, whoever it is.)
    loudest = windows.index({0, 1, 2})
    begun = next(n for n, found in enumerate(windows) if n > loudest and 5 in found) - 50
    verdict = judge(
        windows[begun + 10 : begun + 200],
        lambda time_s: loudest_at(LEVELS_DB, time_s + 1),
        # Tied to a window of 100 ms: the changes may be one earlier.
        [0, *(at_s - 1.1 for at_s in LEVELS_DB if at_s > 0)],
        settling_s=SETTLING_S + 0.1,
    )
    print(verdict)
    assert verdict.judged >= 170
    assert verdict.share >= 0.99
