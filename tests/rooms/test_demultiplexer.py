from dataclasses import replace

from tests.rooms.rtp_material import AUDIO, MID_ID, VIDEO
from worker.core.identity import TrackId
from worker.core.timing import NS_PER_S
from worker.rooms.receive.demultiplex import MAX_LEARNT_SSRCS, Demultiplexer
from worker.rooms.rtp.packet import RtpPacket, build_rtp, parse_rtp

CAMERA, SCREEN, MICROPHONE = TrackId("camera"), TrackId("screen"), TrackId("microphone")
SILENT_VIDEO = replace(VIDEO, ssrcs=(), rtx_ssrcs={})


def packet(ssrc: int, *, payload_type: int = 96, mid: str | None = None) -> RtpPacket:
    return parse_rtp(
        build_rtp(
            payload_type=payload_type,
            sequence=1,
            timestamp=1,
            ssrc=ssrc,
            payload=b"x",
            extensions={MID_ID: mid.encode()} if mid else None,
        )
    )


def test_announced_ssrcs_and_their_repair_streams_are_known() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.set_media([(CAMERA, VIDEO), (MICROPHONE, AUDIO)])
    assert demultiplexer.route(packet(2000), 0) == CAMERA
    assert demultiplexer.route(packet(2001, payload_type=97), 0) == CAMERA
    assert demultiplexer.route(packet(1000, payload_type=111), 0) == MICROPHONE


def test_an_unannounced_ssrc_is_learnt_from_its_mid_and_kept() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.set_media([(CAMERA, SILENT_VIDEO), (SCREEN, replace(SILENT_VIDEO, mid="2"))])
    assert demultiplexer.route(packet(77), 0) is None, "two tracks have that payload type"
    assert demultiplexer.route(packet(77, mid="2"), 0) == SCREEN
    assert demultiplexer.route(packet(77), 0) == SCREEN
    assert demultiplexer.route(packet(78, mid="9"), 0) is None
    assert demultiplexer.track_of(77) == SCREEN
    assert demultiplexer.track_of(78) is None


def test_a_payload_type_tells_when_only_one_track_has_it() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.set_media([(CAMERA, SILENT_VIDEO), (MICROPHONE, replace(AUDIO, ssrcs=()))])
    assert demultiplexer.route(packet(5), 0) == CAMERA
    assert demultiplexer.route(packet(6, payload_type=97), 0) == CAMERA
    assert demultiplexer.route(packet(7, payload_type=111), 0) == MICROPHONE
    assert demultiplexer.route(packet(8, payload_type=100), 0) is None


def test_a_payload_type_tells_nothing_while_an_offer_is_unanswered() -> None:
    """What the offer adds can be there before the answer, in what was the only video so far."""
    demultiplexer = Demultiplexer()
    demultiplexer.set_media([(CAMERA, SILENT_VIDEO)])
    assert demultiplexer.route(packet(5), 0) == CAMERA
    demultiplexer.is_changing = True
    assert demultiplexer.route(packet(5), 0) == CAMERA, "known before"
    assert demultiplexer.route(packet(6, mid="1"), 0) == CAMERA
    assert demultiplexer.route(packet(7), 0) is None
    demultiplexer.is_changing = False
    assert demultiplexer.route(packet(7), 0) == CAMERA


def test_a_reused_ssrc_follows_the_new_negotiation() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.set_media([(CAMERA, VIDEO)])
    demultiplexer.route(packet(55, mid="1"), 0)
    demultiplexer.set_media([(SCREEN, VIDEO)])
    assert demultiplexer.route(packet(2000), 0) == SCREEN
    assert demultiplexer.route(packet(55), 0) == SCREEN, "learnt anew by payload type"


def test_a_thousand_ssrcs_are_too_many_until_old_ones_fall_silent() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.set_media([(CAMERA, VIDEO)])
    routed = [demultiplexer.route(packet(10_000 + n), n) for n in range(1000)]
    assert routed.count(CAMERA) == MAX_LEARNT_SSRCS
    assert demultiplexer.route(packet(2000), 2000) == CAMERA, "announced ones are not counted"
    assert demultiplexer.route(packet(99), 11 * NS_PER_S) == CAMERA
    assert demultiplexer.route(packet(10_000), 11 * NS_PER_S) == CAMERA, "its place was taken"
