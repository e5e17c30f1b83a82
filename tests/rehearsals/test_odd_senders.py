"""Senders whose clocks and numbers jump or lie, in a finished file: rows M2 to M5."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support import hearing, oracle, seeing
from tests.support.losses import FPS, Shown, av_offsets
from tests.support.rehearse import rehearse
from tests.support.seeing import Watch
from worker.core.identity import Kind
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.person import tone_hz
from worker.testroom.rtp_sender import RtpSender

SECONDS = 12.0
ODD_FROM_S = 5.0
LOOP_S = 10
SCENARIO = """
[defaults.microphone]
mode = "beep"
level_db = -12
[defaults.camera]
bitrate_kbps = 300
[defaults.network]
delay_ms = 20
[[participants]]
user_id = "jumps"
colour = 0
[[participants]]
user_id = "renumbers"
colour = 3
[[participants]]
user_id = "lies"
colour = 6
[[participants]]
user_id = "begins-without-keyframe"
colour = 9
microphone = { mode = "silent", beep = false }
"""


@dataclass
class OddSender(RtpSender):
    """What is odd about it goes by the name of its sender."""

    first_timestamp: int | None = None
    is_renumbered: bool = False

    @property
    def ssrc(self) -> int:
        return super().ssrc + (9 if self.is_renumbered else 0)

    def video(self, unit: LoopUnit, rtp_timestamp: int) -> Sequence[bytes]:
        at_s = self.media_s(rtp_timestamp)
        if self.cname == "begins-without-keyframe" and at_s < ODD_FROM_S:
            self._is_started = True
            if unit.keyframe:
                return ()
        return self.renumbered(super().video(unit, self.jumped(rtp_timestamp)), at_s)

    def audio(self, unit: LoopUnit, rtp_timestamp: int) -> Sequence[bytes]:
        at_s = self.media_s(rtp_timestamp)
        return self.renumbered(super().audio(unit, self.jumped(rtp_timestamp)), at_s)

    def report(self, ntp_ns: int, rtp_timestamp: int) -> bytes:
        if self.cname == "lies":
            ntp_ns = self.random.randrange(1 << 61)
        return super().report(ntp_ns, self.jumped(rtp_timestamp))

    def media_s(self, rtp_timestamp: int) -> float:
        if self.first_timestamp is None:
            self.first_timestamp = rtp_timestamp
        rate_hz = 48_000 if self.media.kind is Kind.AUDIO else 90_000
        return (rtp_timestamp - self.first_timestamp) / rate_hz

    def jumped(self, rtp_timestamp: int) -> int:
        """An hour ahead, from 5 s on."""
        if self.cname != "jumps" or self.media_s(rtp_timestamp) < ODD_FROM_S:
            return rtp_timestamp
        return rtp_timestamp + 3600 * (48_000 if self.media.kind is Kind.AUDIO else 90_000)

    def renumbered(self, packets: Sequence[bytes], at_s: float) -> Sequence[bytes]:
        """Another SSRC, and 5000 numbers ahead, from 5 s on; nobody is told."""
        if self.cname != "renumbers" or at_s < ODD_FROM_S:
            return packets
        if not self.is_renumbered:
            self.is_renumbered = True
            self._sequence += 5000
        return packets


def freezes_s(frames: Shown) -> list[float]:
    """How long each picture stays beyond its own frame."""
    times = [frames.first_s[number] for number in sorted(frames.first_s)]
    return [float(step) for step in np.diff(times) - 1 / FPS]


@pytest.mark.timeout(300)
def test_odd_senders_keep_their_place_and_leave_no_gap(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.testroom.rehearsal_receiver.RtpSender", OddSender)

    done = rehearse(tmp_path, SCENARIO, template="640x480_30_1000", seconds=SECONDS)

    recording = done.recording
    assert recording.video.duration_s == pytest.approx(SECONDS, abs=0.1)
    assert recording.audio.duration_s == pytest.approx(SECONDS, abs=0.1)
    assert np.diff(np.sort(recording.video.times_s)) == pytest.approx(1 / FPS, abs=0.001)
    assert recording.decode_errors() == ""
    rects = oracle.gallery(4, 640, 480)
    histories = recording.watch({n: Watch(rect) for n, rect in enumerate(rects)})
    shown = [Shown(histories[n].counters, FPS, LOOP_S) for n in range(4)]
    pcm = hearing.mono(recording.sound())
    for n in range(3):
        beeps_s = hearing.beep_onsets(pcm, tone_hz(3 * n))
        offsets = av_offsets(shown[n], beeps_s)
        assert offsets.min() >= -0.060 and offsets.max() <= 0.040, n
        # What is shown when is true to a frame, sender reports or not.
        at_s = np.asarray([shown_s - number / FPS for number, shown_s in shown[n].first_s.items()])
        assert at_s.min() >= -1 / FPS and at_s.max() <= 2 / FPS, n
        assert len(beeps_s) >= 10, n
    assert done.participant("renumbers")["aligned_by"] == "reports"
    assert done.participant("lies")["aligned_by"] == "refused"
    jumps, renumbers, lies, begins = shown
    assert (jumps.share, lies.share) == (1.0, 1.0)
    assert max(freezes_s(jumps)) <= 1 / FPS + 0.001
    assert max(freezes_s(renumbers)) <= 1.1, "until the next keyframe"
    assert seeing.longest_freeze_s(histories[1].counters, FPS) <= 1.2
    # Nothing to show of the last one before its first keyframe, then everything.
    first = min(begins.first_s.values())
    assert ODD_FROM_S <= first <= ODD_FROM_S + 1.1
    assert sorted(begins.first_s) == list(range(min(begins.first_s), max(begins.first_s) + 1))
    camera = next(
        track
        for track in done.participant("begins-without-keyframe")["tracks"]
        if track["kind"] == "video"
    )
    assert 5 <= camera["keyframe_requests"] <= 7
