from worker.core.identity import Codec, Kind, ParticipantId, Source, Track, TrackId
from worker.core.layout.geometry import Size
from worker.ports import EncodedFrame
from worker.rooms.attention import Attention

CAM, SCR, MIC = TrackId("p/cam"), TrackId("p/scr"), TrackId("p/mic")
SMALL = Size(64, 64)


def track(track_id: TrackId, kind: Kind = Kind.VIDEO) -> Track:
    return Track(track_id, ParticipantId("p"), kind, Source.CAMERA)


def frame(track_id: TrackId, *, keyframe: bool) -> EncodedFrame:
    return EncodedFrame(track_id, Codec.VP8, 0, 0, 0, keyframe, b"")


def attention() -> Attention:
    attention = Attention()
    attention.set_tracks(
        {
            CAM: (track(CAM), False),
            SCR: (track(SCR), False),
            MIC: (track(MIC, Kind.AUDIO), False),
        }
    )
    return attention


def test_until_something_is_said_everything_is_wanted() -> None:
    whole = attention()
    assert not whole.is_paused(track(CAM))
    assert whole.admits(frame(CAM, keyframe=False))


def test_a_video_that_is_not_named_is_paused_and_sound_never_is() -> None:
    partial = attention()
    assert partial.want({CAM: SMALL})
    assert partial.is_paused(track(SCR))
    assert not partial.is_paused(track(CAM))
    assert not partial.is_paused(track(MIC, Kind.AUDIO))
    assert not partial.admits(frame(SCR, keyframe=True))
    assert partial.admits(frame(CAM, keyframe=False))
    assert partial.admits(frame(MIC, keyframe=False))


def test_what_is_wanted_anew_begins_with_a_keyframe() -> None:
    partial = attention()
    partial.want({})
    partial.want({CAM: SMALL})
    assert not partial.admits(frame(CAM, keyframe=False))
    assert partial.awaits_keyframe(CAM)
    assert partial.admits(frame(CAM, keyframe=True))
    assert not partial.awaits_keyframe(CAM)
    assert partial.admits(frame(CAM, keyframe=False))


def test_a_track_that_is_published_later_is_paused_unless_it_was_named() -> None:
    partial = Attention()
    partial.want({CAM: SMALL})
    partial.set_tracks({CAM: (track(CAM), False), SCR: (track(SCR), False)})
    assert partial.admits(frame(CAM, keyframe=False))
    assert not partial.admits(frame(SCR, keyframe=True))


def test_the_same_again_is_nothing_new_but_another_size_is() -> None:
    partial = attention()
    assert partial.want({CAM: SMALL})
    assert not partial.want({CAM: SMALL})
    assert partial.want({CAM: Size(320, 180)})
    assert partial.admits(frame(CAM, keyframe=False))
