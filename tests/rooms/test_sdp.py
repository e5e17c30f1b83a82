import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.identity import Codec, Kind
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, ORIENTATION_URI, MediaCodec, OfferedMedia
from worker.rooms.negotiation import answered_section
from worker.rooms.sdp import (
    MAX_CANDIDATES,
    MAX_SDP_CHARACTERS,
    MAX_SECTIONS,
    BadSdp,
    read_description,
)
from worker.rooms.sdp_text import LocalTransport, TextSection, write_description

OFFER = (Path(__file__).parent / "chromium_offer.sdp").read_text()
"""What Chromium 156 offers for a microphone and a camera, sendonly, with max-bundle."""


def test_a_chromium_offer_is_read() -> None:
    description = read_description(OFFER.replace("\n", "\r\n"))
    audio, video = description.sections
    assert description.bundle == ("0", "1")
    assert description.has_mixed_extensions
    assert (audio.kind, audio.mid, audio.direction) == (Kind.AUDIO, "0", "sendonly")
    (opus,) = audio.codecs
    assert (opus.payload_type, opus.codec) == (111, Codec.OPUS)
    assert opus.parameters == "minptime=10;useinbandfec=1"
    assert (opus.red_payload_type, opus.is_red_preferred) == (63, False)
    assert audio.ssrcs == (1786400714,)
    assert audio.extensions[AUDIO_LEVEL_URI] == 1
    assert (video.kind, video.extensions[MID_URI], video.extensions[ORIENTATION_URI]) == (
        Kind.VIDEO,
        4,
        13,
    )
    assert video.ssrcs == (2216570042,)
    assert video.rtx_ssrcs == {1928814035: 2216570042}
    vp8, h264 = video.codecs[:2]
    assert (vp8.payload_type, vp8.codec, vp8.rtx_payload_type) == (96, Codec.VP8, 97)
    assert vp8.feedback == ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
    assert (h264.payload_type, h264.codec, h264.rtx_payload_type) == (102, Codec.H264, 103)
    assert "profile-level-id=42001f" in h264.parameters
    (vp9,) = [codec for codec in video.codecs if codec.codec is Codec.VP9]
    assert (vp9.payload_type, vp9.rtx_payload_type) == (98, 99)
    assert vp9.feedback == vp8.feedback
    assert vp9.parameters == "profile-id=0", "the other profiles have more bits or less chroma"


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("minptime=10;useinbandfec=1", "minptime=10;useinbandfec=1;usedtx=1"),
        ("minptime=10;usedtx=0", "minptime=10;usedtx=1"),
        ("minptime=10;usedtx=1", "minptime=10;usedtx=1"),
        ("minptime=10;stereo=1;sprop-stereo=1", "minptime=10;stereo=1;sprop-stereo=1"),
    ],
)
def test_microphones_are_asked_to_leave_out_pauses_but_not_music(
    offered: str, answered: str
) -> None:
    description = read_description(OFFER.replace("minptime=10;useinbandfec=1", offered))
    section = answered_section(description.sections[0], (Codec.OPUS,), bundle=description.bundle)
    assert section.codecs[0].parameters == answered


def test_the_order_of_plain_and_redundant_audio_is_kept() -> None:
    preferred = OFFER.replace("UDP/TLS/RTP/SAVPF 111 63", "UDP/TLS/RTP/SAVPF 63 111")
    (opus,) = read_description(preferred).sections[0].codecs
    assert opus.is_red_preferred
    assert opus.payload_types == (63, 111)
    assert read_description(OFFER).sections[0].codecs[0].payload_types == (111, 63)


@pytest.mark.parametrize("repeated", ["110/110", "/111", "x", "-1"])
def test_redundancy_of_what_is_not_listed_is_not_taken(repeated: str) -> None:
    offer = OFFER.replace("a=fmtp:63 111/111", f"a=fmtp:63 {repeated}")
    (opus,) = read_description(offer).sections[0].codecs
    assert opus.red_payload_type is None


@pytest.mark.parametrize(("profile", "taken"), [("profile-id=1", 0), ("x-other=1", 1), ("", 1)])
def test_vp9_is_taken_in_profile_0_which_is_also_what_no_profile_means(
    profile: str, taken: int
) -> None:
    offer = OFFER.replace("a=fmtp:98 profile-id=0", f"a=fmtp:98 {profile}" if profile else "")
    codecs = read_description(offer).sections[1].codecs
    assert sum(codec.codec is Codec.VP9 for codec in codecs) == taken


def test_the_transport_and_its_plain_udp_candidates_are_read() -> None:
    description = read_description(OFFER)
    transport = description.transport
    assert transport is not None
    assert (transport.username, transport.setup, transport.is_lite) == ("yhRd", "auto", False)
    ((algorithm, value),) = transport.fingerprints
    assert algorithm == "sha-256"
    assert len(value) == 95
    assert [candidate.ip for candidate in description.candidates] == ["192.0.2.2", "fd00::2"]


def with_candidates(*candidates: str) -> str:
    lines = "".join(f"a=candidate:{candidate}\n" for candidate in candidates)
    return OFFER.replace("a=ice-ufrag", lines + "a=ice-ufrag", 1)


@pytest.mark.parametrize(
    "candidate",
    [
        "1 1 udp 2122260223 9b4ff6a2-8c6f-4d0b.local 50000 typ host",
        "1 1 tcp 2122260223 192.0.2.9 9 typ host tcptype active",
        "1 2 udp 2122260223 192.0.2.9 50000 typ host",
        "1 1 udp 2122260223 192.0.2.9 0 typ host",
        "1 1 udp 2122260223 192.0.2.9 70000 typ host",
        "1 1 udp -5 192.0.2.9 50000 typ host",
        "1 1 udp 2122260223 224.0.0.1 50000 typ host",
        "1 1 udp 2122260223 0.0.0.0 50000 typ host",
        "1 1 udp 2122260223 example.org 50000 typ host",
    ],
)
def test_candidates_we_cannot_use_do_not_spoil_the_offer(candidate: str) -> None:
    assert read_description(with_candidates(candidate)).candidates == (
        read_description(OFFER).candidates
    )


def test_candidates_of_every_section_count_once_and_are_limited() -> None:
    candidate = "7 1 udp 1 192.0.2.{} {} typ host"
    twice = with_candidates(*[candidate.format(1, 1000)] * 2)
    assert len(read_description(twice).candidates) == 3
    in_second = OFFER + "a=candidate:" + candidate.format(7, 5) + "\n"
    assert read_description(in_second).candidates[-1].ip == "192.0.2.7"
    many = with_candidates(*[candidate.format(n % 250, 1 + n) for n in range(400)])
    assert len(read_description(many).candidates) == MAX_CANDIDATES


def test_a_dead_section_is_told_from_one_that_only_waits_for_the_bundle() -> None:
    dead = OFFER.replace("m=video 9", "m=video 0")
    assert [section.is_rejected for section in read_description(dead).sections] == [False, True]
    waiting = dead.replace("a=mid:1", "a=mid:1\na=bundle-only")
    assert [section.is_rejected for section in read_description(waiting).sections] == [False] * 2


def test_attributes_we_do_not_use_cannot_break_the_reading() -> None:
    odd = OFFER.replace("a=mid:1", "a=mid:1\na=rtcp:nonsense\na=rid\na=ssrc:x y\na=sctpmap:\nc=??")
    assert read_description(odd).sections == read_description(OFFER).sections


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("a=mid:1", "a=mid:0"),
        ("a=mid:1\n", ""),
        ("a=mid:1", "a=mid:a b"),
        ("m=video 9", "m=video nine"),
        ("m=video", "m=\x0bvideo"),
        ("a=fingerprint:sha-256", "a=fingerprint:md5"),
        ("a=ice-ufrag:yhRd", "a=ice-ufrag:a:b c"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("opus/48000/2", "opus/nothing/2"),
    ],
)
def test_what_cannot_be_understood_is_refused(found: str, put: str) -> None:
    assert found in OFFER
    with pytest.raises(BadSdp):
        read_description(OFFER.replace(found, put))


def test_a_description_without_a_living_section_has_no_transport() -> None:
    dead = "v=0\nm=audio 0 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=inactive\n"
    assert read_description(dead).transport is None


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
def test_a_huge_description_is_refused_without_reading_it(size: int) -> None:
    text = OFFER + "a=x:" + "y" * size
    began = time.process_time()
    with pytest.raises(BadSdp, match=str(MAX_SDP_CHARACTERS)):
        read_description(text)
    assert time.process_time() - began < 0.01


def test_lines_and_sections_are_limited() -> None:
    for text in (
        OFFER + "a=x\n" * 50_000,
        OFFER + "a=ssrc:1 cname:x\n" * 600,
        "v=0\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 0\n" * (MAX_SECTIONS + 1),
        OFFER + "a=fmtp:111 " + "x" * 3000,
        "",
    ):
        with pytest.raises(BadSdp):
            read_description(text)


def test_the_worst_text_within_the_limits_is_read_in_time() -> None:
    ssrcs = "".join(f"a=ssrc:{n} cname:x\n" for n in range(250))
    groups = "".join(f"a=ssrc-group:FID {n} {n + 1}\n" for n in range(250))
    section = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:{}\n" + ssrcs + groups
    text = "v=0\n" + "".join(section.format(n) for n in range(15))
    took_s = []
    for _ in range(3):  # a busy machine slows CPU time, too
        began = time.process_time()
        description = read_description(text)
        took_s.append(time.process_time() - began)
    assert min(took_s) < 0.5
    assert all(len(section.ssrcs) <= 16 for section in description.sections)


def mutated(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        line = lines[at]
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(lines))
            case 2:
                lines[at] = line[: rng.randrange(len(line) + 1)]
            case 3:
                position = rng.randrange(len(line) + 1)
                junk = rng.choice(["\0", "\x85", "\u2028", "9" * 30, ":", " ", "-", "/", "é", "="])
                lines[at] = line[:position] + junk + line[position:]
            case 4:
                lines[at] = line.replace(rng.choice("0123456789:/ ="), "", 1)
            case 5:
                words = line.split(" ")
                rng.shuffle(words)
                lines[at] = " ".join(words)
            case 6:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 7:
                lines[at] = line + rng.choice([" 0", ":1", ";apt=x", "/2", " typ host"])
        if not lines:
            break
    return "\n".join(lines)


def test_three_thousand_mutations_are_read_or_refused() -> None:
    rng = random.Random(20240521)
    read = 0
    for _ in range(3000):
        try:
            read_description(mutated(OFFER, rng))
            read += 1
        except BadSdp:
            pass
    assert 500 < read < 3000, "both must happen, or the mutations are too tame or too wild"


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(BadSdp):
        read_description(text)


def test_what_we_write_we_can_read() -> None:
    media = OfferedMedia(
        mid="cam",
        kind=Kind.VIDEO,
        codecs=(
            MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli")),
            MediaCodec(98, Codec.VP9, 99, parameters="profile-id=0"),
        ),
        ssrc=5,
        rtx_ssrc=6,
        stream="someone",
        extensions={MID_URI: 4},
    )
    opus = MediaCodec(111, Codec.OPUS, red_payload_type=63, is_red_preferred=True)
    text = write_description(
        LocalTransport(
            session_id=1,
            username="abcd",
            password="p" * 22,
            fingerprint=":".join(["AB"] * 32),
            setup="actpass",
            candidates=("1 1 udp 5 127.0.0.1 4000 typ host",),
        ),
        [
            TextSection(mid="gone", media="audio"),
            TextSection(mid="mic", media="audio", direction="sendonly", codecs=(opus,)),
            TextSection(
                mid="cam",
                media="video",
                direction="sendonly",
                codecs=media.codecs,
                extensions=((MID_URI, 4),),
                source=media,
            ),
        ],
        version=1,
        has_mixed_extensions=False,
    )
    description = read_description(text)
    gone, microphone, camera = description.sections
    assert gone.is_rejected
    assert description.bundle == ("mic", "cam")
    assert microphone.codecs == (opus,)
    assert camera.codecs == media.codecs
    assert (camera.ssrcs, camera.rtx_ssrcs) == ((5,), {6: 5})
    assert camera.msid == "someone cam"
    assert [candidate.port for candidate in description.candidates] == [4000]
