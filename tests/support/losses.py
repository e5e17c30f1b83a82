"""Four publishers over a bad network into one finished file, and what the file says about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support import hearing, oracle, seeing
from tests.support.container import FileFacts
from tests.support.rehearse import Rehearsed, rehearse
from tests.support.seeing import Watch
from tests.support.sent import SentTile
from worker.core.identity import Source, UserId
from worker.core.layout.geometry import Fit
from worker.testroom.person import tone_hz
from worker.testroom.scenario import Scenario, ShareScreen
from worker.testroom.scenario_file import parse_scenario

TEMPLATE = "640x480_30_1000"
FPS = 30
SETTLED_S = 2.0
"""Judged from here on: by then everybody is there and the layout has its final form."""
SPEAKERS = 3
"""Who has a voice; as many as are mixed."""
_PEOPLE = """
[defaults.microphone]
mode = "beep"
level_db = -12
[defaults.screen]
codec = "{codecs[0]}"
width = 640
height = 360
fps = 15
bitrate_kbps = 300
motion = 0.5
[defaults.network]
{network}
[[participants]]
user_id = "user-0"
colour = 0
rtx = {rtx[0]}
camera = {{ codec = "{codecs[0]}", bitrate_kbps = 500, motion = 0.5 }}
[[participants]]
user_id = "user-1"
colour = 3
rtx = {rtx[1]}
camera = {{ codec = "{codecs[1]}", bitrate_kbps = 1500, motion = 0.5 }}
[[participants]]
user_id = "user-2"
colour = 6
rtx = {rtx[2]}
camera = {{ codec = "{codecs[2]}", bitrate_kbps = 120, width = 320, height = 180, motion = 0.2 }}
[[participants]]
user_id = "user-3"
colour = 9
rtx = {rtx[3]}
microphone = {{ mode = "silent", beep = false }}
camera = {{ codec = "{codecs[3]}", bitrate_kbps = 500, motion = 0.5 }}
[[events]]
at_s = 0.5
user_id = "user-0"
do = "share_screen"
"""


@dataclass(frozen=True)
class Figures:
    """What one row of the table comes to; the worst of all publishers where there are several."""

    shown: float
    """Share of the frames sent that are in the file at least once."""
    freeze_s: float
    """The longest time one picture stays beyond its own."""
    unreadable: int
    """Output frames with a tile whose counter can't be read, or that goes back."""
    damage: float
    """Largest difference of a region of a tile from what was sent, luma levels."""
    beeps: float
    clicks: int
    av_early_s: float
    av_late_s: float
    """First and 99th percentile of by how much pictures come after their sound."""
    nacks: int
    keyframe_requests: int
    """Of the busiest track."""
    recovered: int
    duration_error_s: float
    gaps: int
    """Steps of the file's timestamps that are not one frame."""

    def __str__(self) -> str:
        return (
            f"shown {self.shown:7.2%}  freeze {1000 * self.freeze_s:5.0f} ms  "
            f"damage {self.damage:4.1f}  unreadable {self.unreadable}  beeps {self.beeps:6.1%}  "
            f"clicks {self.clicks}  "
            f"A/V {1000 * self.av_early_s:+4.0f}..{1000 * self.av_late_s:+4.0f} ms  "
            f"NACK {self.nacks:4d}  PLI {self.keyframe_requests:2d}  recovered {self.recovered:5d}"
        )


def record(
    directory: Path,
    network: str,
    *,
    codecs: Sequence[str],
    seconds: float,
    rtx: Sequence[bool] = (True, True, False, True),
    **document: Any,
) -> tuple[Rehearsed, Figures]:
    """Record the four over *network* (TOML keys, one a line) and measure the file.

    Who has no *rtx* repeats packets under their own SSRC.
    """
    has_rtx = [str(each).lower() for each in rtx]
    text = _PEOPLE.format(network=network, codecs=codecs, rtx=has_rtx)
    done = rehearse(
        directory, text, template=TEMPLATE, layout="screen_share_left", seconds=seconds, **document
    )
    return done, measure(done, parse_scenario(text), seconds)


def measure(done: Rehearsed, scenario: Scenario, seconds: float) -> Figures:
    """Everything the table asks about, from the file and the counters of the result."""
    watches = _watches(scenario)
    sent = {name: _sent(name, watch, scenario) for name, watch in watches.items()}
    counters: dict[str, list[int | None]] = {name: [] for name in watches}
    damage = 0.0
    for number, planes in enumerate(done.recording.frames()):
        for name, watch in watches.items():
            counter = seeing.read_tile(planes, watch).counter
            counters[name].append(counter)
            if counter is not None and number >= SETTLED_S * FPS:
                tile = seeing.crop(planes, watch.rect).y
                damage = max(damage, sent[name].damage(tile, counter))
    frames = {
        name: Shown(found, _fps(name, scenario), scenario.loop_s)
        for name, found in counters.items()
    }
    pcm = hearing.mono(done.recording.sound())
    onsets = {n: hearing.beep_onsets(pcm, tone_hz(3 * n)) for n in range(SPEAKERS)}
    offsets = np.concatenate([av_offsets(frames[f"user-{n}"], onsets[n]) for n in range(SPEAKERS)])
    tracks = [track for person in done.result["participants"] for track in person["tracks"]]
    return Figures(
        shown=min(each.share for each in frames.values()),
        freeze_s=max(each.freeze_s for each in frames.values()),
        unreadable=sum(each.unreadable for each in frames.values()),
        damage=damage,
        beeps=min(_beep_share(onsets[n], seconds) for n in range(SPEAKERS)),
        clicks=len(hearing.clicks(pcm, threshold_db=-30.0)),
        av_early_s=float(np.percentile(offsets, 1)),
        av_late_s=float(np.percentile(offsets, 99)),
        nacks=sum(track["nacks_sent"] for track in tracks),
        keyframe_requests=max(track["keyframe_requests"] for track in tracks),
        recovered=sum(track["packets_recovered"] for track in tracks),
        duration_error_s=_duration_error_s(done.recording.facts, seconds),
        gaps=_gaps(done),
    )


class Shown:
    """Which of the frames one camera sent are in the file, and when each appeared first."""

    def __init__(self, counters: Sequence[int | None], fps: int, loop_s: int) -> None:
        start = round(SETTLED_S * FPS)
        self.fps = fps
        self.first_s: dict[int, float] = {}
        """By number of the frame."""
        self.unreadable = 0
        newest, newest_at, freeze = -1, start, 0
        for place, counter in enumerate(counters[start:], start):
            if counter is None:
                self.unreadable += 1
                continue
            number = _unwrapped(counter, place / FPS * fps, fps * loop_s)
            if number < newest:
                self.unreadable += 1
            elif number > newest:
                self.first_s[number] = place / FPS
                freeze = max(freeze, place - newest_at)
                newest, newest_at = number, place
        self.freeze_s = max(freeze, len(counters) - newest_at) / FPS - 1 / fps
        numbers = sorted(self.first_s)
        self.share = len(numbers) / (numbers[-1] - numbers[0] + 1)


def av_offsets(frames: Shown, beeps_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much later than its sound each picture appears, s: both against the sender's clock.

    A beep that lost a packet is found where the rest of it is. Sound that is really out of place
    is so for longer than one beep, so the middle one of three neighbours tells.
    """
    late_s = beeps_s - np.round(beeps_s)
    late_s = np.median([np.roll(late_s, 1), late_s, np.roll(late_s, -1)], axis=0)
    sound_s = {
        round(float(beep)): round(float(beep)) + float(late)
        for beep, late in zip(beeps_s, late_s, strict=True)
    }
    offsets = []
    for number, shown_s in frames.first_s.items():
        captured_s = number / frames.fps
        nearest = min(sound_s, key=lambda second: abs(second - captured_s))
        if abs(nearest - captured_s) <= 1:
            offsets.append(shown_s - captured_s - (sound_s[nearest] - nearest))
    return np.asarray(offsets)


def _unwrapped(counter: int, expected: float, loop_frames: int) -> int:
    return counter + loop_frames * round((expected - counter) / loop_frames)


def _watches(scenario: Scenario) -> Mapping[str, Watch]:
    width, height = (int(side) for side in TEMPLATE.split("_")[0].split("x"))
    strip = oracle.strip("left", len(scenario.actors), width, height)
    watches = {}
    for actor, rect in zip(scenario.actors, strip, strict=True):
        assert actor.camera is not None
        watches[str(actor.user_id)] = Watch(rect, actor.camera.size)
    watches["screen"] = Watch(oracle.stage("left", width, height), fit=Fit.CONTAIN)
    return watches


def _sent(name: str, watch: Watch, scenario: Scenario) -> SentTile:
    if name == "screen":
        (cue,) = scenario.cues
        assert isinstance(cue.action, ShareScreen)
        return SentTile(scenario.actors[0], Source.SCREEN, cue.action.feed, scenario.loop_s, watch)
    actor = scenario.actor(UserId(name))
    assert actor.camera is not None
    return SentTile(actor, Source.CAMERA, actor.camera, scenario.loop_s, watch)


def _fps(name: str, scenario: Scenario) -> int:
    return 15 if name == "screen" else FPS


def _beep_share(onsets: NDArray[np.float64], seconds: float) -> float:
    """Of the whole seconds that were judged, how many have a beep within 100 ms after the usual
    place of this person's beeps."""
    usual = float(np.median((onsets + 0.5) % 1.0 - 0.5)) if len(onsets) else 0.0
    judged = np.arange(round(SETTLED_S), int(seconds - 0.7)) + usual
    return float(np.mean([np.min(np.abs(onsets - at)) < 0.1 for at in judged]))


def _duration_error_s(facts: FileFacts, seconds: float) -> float:
    assert facts.video is not None and facts.audio is not None
    return max(
        abs(float(facts.video.duration_s) - seconds), abs(float(facts.audio.duration_s) - seconds)
    )


def _gaps(done: Rehearsed) -> int:
    steps = np.diff(np.sort(done.recording.video.times_s))
    return int(np.count_nonzero(np.abs(steps - 1 / FPS) > 0.001))
