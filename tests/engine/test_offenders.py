"""A publisher whose video is broken or hostile: muted, tried again, dropped, reported; others lose
nothing."""

from dataclasses import replace

import pytest

from tests.fakes.media import FakeKit, FakeVideoDecoder
from tests.fakes.room import camera, frame, person
from tests.media.material import moving_frames
from tests.support.jobs import SPEC, run, stop_at
from worker.core.identity import Codec, TrackId
from worker.core.layout.geometry import Size
from worker.core.offences import MUTES, STRIKES
from worker.engine.report import report
from worker.media.decode import NativeVideoDecoder
from worker.ports import EncodedFrame, ParticipantJoined, ParticipantLeft, TrackPublished


class CountingKit(FakeKit):
    """Counts what its decoders are asked for."""

    attempts = 0

    def video_decoder(self) -> FakeVideoDecoder:
        kit = self

        class Counting(FakeVideoDecoder):
            def decode(self, frame: EncodedFrame):
                kit.attempts += frame.data == b"broken"
                return super().decode(frame)

        return Counting()


class RealDecoders(FakeKit):
    def video_decoder(self) -> NativeVideoDecoder:
        return NativeVideoDecoder()


def joined(*names: str):
    return [
        (0.0, event)
        for name in names
        for event in (ParticipantJoined(person(name)), TrackPublished(camera(name)))
    ]


def broken(name: str, from_s: float, to_s: float, fps: int = 60):
    for number in range(round(from_s * fps), round(to_s * fps)):
        yield number / fps, replace(frame(name, number, number / fps), data=b"broken")


def good(name: str, to_s: float, fps: int = 10):
    for number in range(1, round(to_s * fps)):
        yield number / fps, frame(name, number, number / fps, keyframe=number == 1)


def in_order(*parts):
    return sorted((item for part in parts for item in part), key=lambda item: item[0])


def test_a_source_of_undecodable_frames_is_muted_tried_again_and_dropped_and_the_result_says_so():
    end_s = 100
    script = in_order(joined("eve", "bob"), broken("eve", 0.1, end_s), good("bob", end_s))
    kit = CountingKit()

    done = run(SPEC, script, kit=kit, during=stop_at(end_s))

    assert kit.attempts == STRIKES * (MUTES + 1), "of six thousand frames"
    facts = report(done.job)
    (warning,) = facts["warnings"]
    assert warning == "the camera of eve was muted 3 times, then dropped: undecodable (20)"
    eve, bob = facts["participants"]
    assert eve["tracks"][0]["offences"] == {"undecodable": STRIKES * (MUTES + 1)}
    assert "offences" not in bob["tracks"][0]
    shown = [canvas.pictures["bob/camera"].number for canvas in done.canvases[4:]]
    assert shown == [tick // 3 for tick in range(4, end_s * 30)], "not one frame was lost"
    assert all("eve/camera" not in canvas.pictures for canvas in done.canvases)
    # About one request for each frame that was tried, none in the minutes between.
    assert done.room.keyframe_requests.count("eve/camera") <= kit.attempts + MUTES


def test_a_muted_source_is_paused_and_asked_for_again_when_it_gets_another_chance():
    script = in_order(
        joined("eve", "bob"),
        broken("eve", 0.1, 0.5),
        [(31.0 + n, frame("eve", n, 31.0 + n)) for n in range(5)],
    )

    done = run(SPEC, script, during=stop_at(36))

    told = [set(wanted) for wanted in done.room.wanted_videos]
    both = {"eve/camera", "bob/camera"}
    assert told == [set(), {"eve/camera"}, both, {"bob/camera"}, both]
    assert "eve/camera" in done.canvases[34 * 30].pictures
    assert report(done.job)["warnings"] == ["the camera of eve was muted 1 times: undecodable (5)"]


def test_who_leaves_and_comes_back_while_muted_is_muted_still():
    back = [
        (5.0, ParticipantLeft(person("eve").participant_id)),
        (6.0, ParticipantJoined(person("eve"))),
        (6.0, TrackPublished(camera("eve"))),
    ]
    kit = CountingKit()
    script = in_order(joined("eve"), broken("eve", 0.1, 5.0), back, broken("eve", 6.1, 20.0))

    run(SPEC, script, kit=kit, during=stop_at(20))

    assert kit.attempts == STRIKES


def test_one_damaged_frame_now_and_then_is_no_reason_to_mute():
    end_s = 30
    script = []
    for number in range(1, end_s * 10):
        one = frame("ada", number, number / 10, keyframe=number % 10 == 1)
        script.append((number / 10, replace(one, data=b"broken") if number % 40 == 5 else one))

    done = run(SPEC, [*joined("ada"), *script], during=stop_at(end_s))

    assert report(done.job)["warnings"] == []
    (track,) = report(done.job)["participants"][0]["tracks"]
    assert track["offences"] == {"undecodable": track["decode_errors"]}
    shown = [canvas.pictures.get("ada/camera") for canvas in done.canvases[4:]]
    assert None not in shown, "the last good picture stays until the next keyframe"


@pytest.mark.parametrize(
    ("fps", "size_bytes", "offence"),
    [
        (120, 500, "too_many_frames"),
        (30, 150_000, "too_much_data"),
        (5, 1_100_000, "frame_too_large"),
    ],
)
def test_a_flood_is_cut_off(fps, size_bytes, offence):
    end_s = 15
    flood = [
        (n / fps, replace(frame("eve", n, n / fps, keyframe=True), data=b"%*d" % (size_bytes, n)))
        for n in range(1, end_s * fps)
    ]

    done = run(
        SPEC, in_order(joined("eve", "bob"), flood, good("bob", end_s)), during=stop_at(end_s)
    )

    (warning,) = report(done.job)["warnings"]
    assert warning == f"the camera of eve was muted 1 times: {offence} ({STRIKES})"
    shown = [canvas.pictures["bob/camera"].number for canvas in done.canvases[4:]]
    assert shown == [tick // 3 for tick in range(4, end_s * 30)]


# --- with the real decoder ------------------------------------------------------------------


def test_giant_pictures_are_refused_and_mute_their_source():
    giant = bytearray(moving_frames(Codec.VP8, Size(96, 64), 1)[0].data[:67])
    giant[6:10] = b"\xff\x3f\xff\x3f"
    script = [(at_s, replace(one, data=bytes(giant))) for at_s, one in broken("eve", 0.1, 3.0)]

    done = run(SPEC, [*joined("eve"), *script], kit=RealDecoders(), during=stop_at(3))

    assert done.job.intake.video[TrackId("eve/camera")].decode_errors == STRIKES
    assert report(done.job)["warnings"] == ["the camera of eve was muted 1 times: undecodable (5)"]
