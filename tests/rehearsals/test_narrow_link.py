"""Four senders through a link for less than half of what they want: row L10 of the fault table."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support import hearing, oracle, seeing
from tests.support.losses import FPS, Shown, av_offsets
from tests.support.narrow_link import LAYERS, AdaptingReception, LayeredCamera, Link, layer_of
from tests.support.rehearse import rehearse
from tests.support.seeing import Watch
from tests.support.sent import SentTile
from worker.core.identity import Source
from worker.core.timing import NS_PER_S
from worker.testroom.person import tone_hz
from worker.testroom.scenario_file import parse_scenario

NARROW_KBPS = 500
WIDE_KBPS = 5000
DAMAGED = 26.0
"""Luma levels, as in the table of losses."""
LOOP_S = 5
PICTURES_FPS = 15
SCENARIO = f"""
loop_s = {LOOP_S}
[defaults.microphone]
mode = "beep"
level_db = -12
[defaults.camera]
bitrate_kbps = 300
fps = {PICTURES_FPS}
[defaults.network]
delay_ms = 20
[[participants]]
user_id = "user-0"
colour = 0
[[participants]]
user_id = "user-1"
colour = 3
camera = {{ codec = "h264" }}
[[participants]]
user_id = "user-2"
colour = 6
camera = {{ codec = "vp9" }}
[[participants]]
user_id = "user-3"
colour = 9
microphone = {{ mode = "silent", beep = false }}
"""


def longest_freeze_s(frames: Shown, end_s: float) -> float:
    """How long a picture stays beyond its own time at most, the last one too."""
    times = [*(frames.first_s[number] for number in sorted(frames.first_s)), end_s]
    return float(np.diff(times).max()) - 1 / PICTURES_FPS


def tiles_of(recording) -> tuple[list[Shown], float]:
    """What each tile shows, and the largest difference of a region of one from what was sent."""
    actors = parse_scenario(SCENARIO).actors
    watches = [Watch(rect) for rect in oracle.gallery(4, 640, 480)]
    sent = [
        [
            SentTile(
                actor, Source.CAMERA, layer_of(actor.camera, n), LOOP_S, replace(watch, source=size)
            )
            for n, (size, _) in enumerate(LAYERS)
        ]
        for actor, watch in zip(actors, watches, strict=True)
    ]
    counters: list[list[int | None]] = [[] for _ in watches]
    damage = 0.0
    for planes in recording.frames():
        for found, watch, layers in zip(counters, watches, sent, strict=True):
            found.append(seeing.read_tile(planes, watch).counter)
            if found[-1] is not None:
                luma = seeing.crop(planes, watch.rect).y
                damage = max(damage, min(layer.damage(luma, found[-1]) for layer in layers))
    return [Shown(found, PICTURES_FPS, LOOP_S) for found in counters], damage


@pytest.mark.parametrize(
    ("narrow_s", "seconds"),
    [
        pytest.param((0, 1000), 14, id="from the beginning", marks=pytest.mark.timeout(300)),
        pytest.param((5, 11), 18, id="for a while", marks=pytest.mark.timeout(300)),
        pytest.param(
            (0, 1000),
            300,
            id="for minutes",
            marks=[pytest.mark.soak, pytest.mark.timeout(3600)],
        ),
    ],
)
def test_a_narrow_link_is_shared_by_the_tiles_and_costs_no_sound(
    tmp_path, monkeypatch, narrow_s, seconds
):
    class Sender(AdaptingReception):
        link = Link(lambda at_ns: NARROW_KBPS if in_narrow(at_ns / NS_PER_S) else WIDE_KBPS)
        everybody = []

    def in_narrow(at_s: float) -> bool:
        return narrow_s[0] <= at_s < narrow_s[1]

    monkeypatch.setattr("worker.testroom.rehearsal_stage.Reception", Sender)
    monkeypatch.setattr("worker.testroom.rehearsal_stage.camera_for", LayeredCamera)

    done = rehearse(tmp_path, SCENARIO, template="640x480_30_1000", seconds=seconds)

    recording = done.recording
    assert recording.video.duration_s == pytest.approx(seconds, abs=0.1)
    assert recording.audio.duration_s == pytest.approx(seconds, abs=0.1)
    assert np.diff(np.sort(recording.video.times_s)) == pytest.approx(1 / FPS, abs=0.001)
    assert recording.decode_errors() == ""
    dropped_s = np.asarray(Sender.link.dropped_s)
    assert len(dropped_s), "it was too narrow for what they wanted"
    assert in_narrow(dropped_s.min())
    shown, damage = tiles_of(recording)
    tracks = [track for person in done.result["participants"] for track in person["tracks"]]
    for person, each, sender in zip(
        done.result["participants"], shown, Sender.everybody, strict=True
    ):
        freeze_s = longest_freeze_s(each, seconds)
        requests = max(track["keyframe_requests"] for track in person["tracks"])
        print(
            f"{person['user_id']}: {each.share:.1%} shown, longest freeze {1000 * freeze_s:.0f} ms,"
            f" {requests} keyframe requests, {len(sender.layers) - 1} changes of layer"
        )
        assert freeze_s <= 2.0
        assert each.unreadable == 0
        assert each.share >= 0.8
        assert requests <= seconds + 1
        # All want the best one, and all go without it while there is no room for four.
        assert sender.layers[0][1] == 0 and {layer for _, layer in sender.layers} != {0}
    print(
        f"{len(dropped_s)} packets dropped, {np.count_nonzero(dropped_s > narrow_s[0] + 2)} of them"
        f" after 2 s; damage {damage:.1f}; {sum(track['nacks_sent'] for track in tracks)} NACKs"
    )
    assert damage < DAMAGED
    assert np.count_nonzero(dropped_s > narrow_s[0] + 2) <= 0.01 * sum(
        track["packets_received"] for track in tracks
    ), "what we tell them makes them fit"
    pcm = hearing.mono(recording.sound())
    assert len(hearing.clicks(pcm, threshold_db=-30.0)) == 0
    for n in range(3):
        beeps_s = hearing.beep_onsets(pcm, tone_hz(3 * n))
        usual_s = float(np.median((beeps_s + 0.5) % 1.0 - 0.5))
        wanted_s = np.arange(2, int(seconds - 0.7)) + usual_s
        assert max(np.min(np.abs(beeps_s - at_s)) for at_s in wanted_s) < 0.1, "every beep is there"
        early_s, late_s = np.percentile(av_offsets(shown[n], beeps_s), [1, 99])
        print(
            f"user-{n}: pictures {1000 * early_s:+.0f}..{1000 * late_s:+.0f} ms after their sound"
        )
        assert early_s >= -0.060 and late_s <= 0.040
