"""Publishers against the real server, over real WebRTC on loopback, in real time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from tests.support.listener import Heard, Listener, listening
from tests.support.waiting import until
from worker.core.identity import Codec
from worker.core.timing import NS_PER_S
from worker.errors import RoomRefused
from worker.rooms.ice import IceSettings
from worker.rooms.media import MID_URI
from worker.rooms.rtp.h264 import H264Format
from worker.rooms.rtp.packet import RtpPacket, header_extension
from worker.rooms.rtp.red import split_red
from worker.rooms.rtp.rtcp import ByePacket, SenderReportPacket, build_nack, build_pli, ntp_to_ns
from worker.rooms.rtp.vp8 import Vp8Format
from worker.rooms.rtp.vp9 import Vp9Format
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.publisher import run_cast
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.server import serve_room

DEADLINE_S = 20.0
LOOPBACK = IceSettings(host_addresses=("127.0.0.1",))
DEFAULTS = """
loop_s = 1
[defaults.camera]
width = 64
height = 64
fps = 20
bitrate_kbps = 100
[defaults.screen]
width = 64
height = 64
fps = 10
[defaults.microphone]
mode = "beep"
"""
ADA = '[[participants]]\nuser_id = "ada"\nname = "Ada"\n'


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


@asynccontextmanager
async def played(text: str, library: LoopLibrary) -> AsyncIterator[Listener]:
    """A listener in a room in which the scenario is being played."""
    scenario = parse_scenario(DEFAULTS + text)
    async with (
        asyncio.timeout(DEADLINE_S),
        serve_room() as address,
        listening(address.ws_url, "r") as listener,
        asyncio.TaskGroup() as group,
    ):
        ready = asyncio.Event()
        cast = group.create_task(
            run_cast(
                scenario,
                url=address.ws_url,
                room_id="r",
                on_ready=ready.set,
                library=library,
                ice=LOOPBACK,
            )
        )
        await ready.wait()
        yield listener
        cast.cancel()


def event(at_s: float, do: str, more: str = "") -> str:
    return f'\n[[events]]\nat_s = {at_s}\nuser_id = "ada"\ndo = "{do}"\n{more}\n'


def frames_of(packets: list[tuple[int, RtpPacket]]) -> list[list[RtpPacket]]:
    """Packets grouped by timestamp, in order."""
    frames: dict[int, list[RtpPacket]] = {}
    for _, packet in packets:
        frames.setdefault(packet.timestamp, []).append(packet)
    return list(frames.values())


def has(heard: dict[str, Heard], user: str, track: str, packets: int) -> Callable[[], bool]:
    return lambda: user in heard and len(heard[user].of(track)) >= packets


async def test_media_reports_and_sections_arrive_as_announced(library: LoopLibrary):
    async with played(ADA + "clock_ppm = 200\n", library) as listener:
        await until(has(listener.heard, "ada", "camera", 60))
        ada = listener.heard["ada"]

        assert [(track["track"], track["source"]) for track in listener.tracks["ada"]] == [
            ("microphone", "microphone"),
            ("camera", "camera"),
        ]
        for track, rate_hz in (("microphone", 48_000), ("camera", 90_000)):
            packets = ada.of(track)
            media = ada.media[track]
            mid_id = media.extensions[MID_URI]
            assert {header_extension(packet, mid_id) for _, packet in packets} == {
                media.mid.encode()
            }
            sequences = [packet.sequence for _, packet in packets]
            assert all((b - a) % 65_536 == 1 for a, b in pairwise(sequences))
            reports = [
                (at_ns, each)
                for at_ns, each in ada.feedback
                if isinstance(each, SenderReportPacket) and each.ssrc in media.ssrcs
            ]
            assert reports[0][0] <= packets[0][0] + 0.1 * NS_PER_S
            # Two reports span the same time on the sender's wall clock and in timestamps.
            first, last = reports[0][1], reports[-1][1]
            wall_s = (ntp_to_ns(last.ntp) - ntp_to_ns(first.ntp)) / NS_PER_S
            ticks = (last.rtp_timestamp - first.rtp_timestamp) % (1 << 32)
            assert ticks / rate_hz == pytest.approx(wall_s, abs=0.001)
            # Media leaves when its timestamp says: late by scheduling only.
            origin_ns = min(
                at_ns - packet.timestamp * NS_PER_S / rate_hz for at_ns, packet in packets
            )
            delays = sorted(
                at_ns - packet.timestamp * NS_PER_S / rate_hz - origin_ns
                for at_ns, packet in packets
            )
            assert delays[len(delays) // 2] < 0.02 * NS_PER_S


@pytest.mark.parametrize(
    ("codec", "reader"), [("vp8", Vp8Format), ("vp9", Vp9Format), ("h264", H264Format)]
)
async def test_the_first_frame_a_subscriber_gets_is_a_keyframe(
    library: LoopLibrary, codec: str, reader: type[Vp8Format | Vp9Format | H264Format]
):
    async with played(f'{ADA}camera = {{ codec = "{codec}" }}\n', library) as listener:
        await until(has(listener.heard, "ada", "camera", 30))
        frames = frames_of(listener.heard["ada"].of("camera"))[:-1]
        assembler = reader()
        assembled = [assembler.assemble([packet.payload for packet in f]) for f in frames]

        assert listener.heard["ada"].media["camera"].codecs[0].codec is Codec(codec.upper())
        assert [frame.is_keyframe for frame in assembled[:20]] == [True, *[False] * 19]
        assert all(frame[-1].marker for frame in frames)


async def test_redundant_audio_is_sent_once_it_is_agreed(library: LoopLibrary):
    async with played(f"{ADA}red = 2\n", library) as listener:
        await until(has(listener.heard, "ada", "microphone", 10))
        packets = [packet for _, packet in listener.heard["ada"].of("microphone")]

    blocks = [split_red(packet.payload) for packet in packets[4:]]
    assert all([block.age for block in each] == [1920, 960, 0] for each in blocks)
    assert all(b[1].payload == a[2].payload for a, b in pairwise(blocks))


async def test_nacks_are_answered_over_rtx(library: LoopLibrary):
    async with played(ADA, library) as listener:
        await until(has(listener.heard, "ada", "camera", 10))
        ada = listener.heard["ada"]
        wanted = ada.of("camera")[3][1]
        ada.peer.send_rtcp(build_nack(1, wanted.ssrc, [wanted.sequence]))
        await until(lambda: bool(ada.repaired("camera")))

        (_, repair), *_ = ada.repaired("camera")
        assert repair.payload == wanted.sequence.to_bytes(2, "big") + wanted.payload
        assert repair.timestamp == wanted.timestamp


async def test_without_rtx_nacks_are_answered_in_the_same_stream(library: LoopLibrary):
    lossy = f"{ADA}rtx = false\nnetwork = {{ loss = 0.3 }}\n"
    async with played(lossy, library) as listener:
        await until(has(listener.heard, "ada", "camera", 40))
        ada = listener.heard["ada"]
        assert not ada.media["camera"].rtx_ssrcs
        sequences = {packet.sequence for _, packet in ada.of("camera")}
        missing = sorted(set(range(min(sequences), max(sequences))) - sequences)
        assert missing
        ssrc = ada.media["camera"].ssrcs[0]

        def arrived() -> bool:
            ada.peer.send_rtcp(build_nack(1, ssrc, missing))
            return set(missing) <= {packet.sequence for _, packet in ada.of("camera")}

        await until(arrived)


async def test_a_live_camera_answers_a_keyframe_request_at_once(library: LoopLibrary):
    async with played(f"{ADA}camera = {{ live = true, fps = 10 }}\n", library) as listener:
        await until(has(listener.heard, "ada", "camera", 3))
        ada = listener.heard["ada"]
        before = len(ada.of("camera"))
        ada.peer.send_rtcp(build_pli(1, ada.media["camera"].ssrcs[0]))
        await until(has(listener.heard, "ada", "camera", before + 3))

        frames = frames_of(ada.of("camera")[before:])
        assert any(Vp8Format().starts_keyframe(frame[0].payload) for frame in frames[:2])


async def test_a_screen_share_is_negotiated_while_the_camera_goes_on(library: LoopLibrary):
    text = ADA + event(0.5, "share_screen") + event(1.5, "stop_screen")
    async with played(text, library) as listener:
        await until(has(listener.heard, "ada", "screen-1", 3))
        ada = listener.heard["ada"]
        assert [track["source"] for track in listener.tracks["ada"]] == [
            *("microphone", "camera", "screen")
        ]
        await until(lambda: ada.offers == 3)
        await until(lambda: any(isinstance(each, ByePacket) for _, each in ada.feedback))
        camera = [packet.sequence for _, packet in ada.of("camera")]
        before = len(camera)
        await until(has(listener.heard, "ada", "camera", before + 5))

        assert len(listener.tracks["ada"]) == 2
        camera = [packet.sequence for _, packet in ada.of("camera")]
        assert all((b - a) % 65_536 == 1 for a, b in pairwise(camera))


async def test_mute_leave_and_return_are_seen_by_the_room(library: LoopLibrary):
    text = ADA + event(0.3, "mute_camera") + event(0.8, "leave") + event(1.2, "rejoin")
    async with played(text, library) as listener:
        await until(lambda: any(track["muted"] for track in listener.tracks.get("ada", [])))
        await until(lambda: listener.left == ["ada"])
        await until(has(listener.heard, "ada", "microphone", 5))

        assert [track["muted"] for track in listener.tracks["ada"]] == [False, True]
        assert not listener.heard["ada"].of("camera")


async def test_faults_hit_what_a_subscriber_gets(library: LoopLibrary):
    text = f"{ADA}network = {{ loss = 0.2, delay_ms = 50, duplicate = 0.1 }}\n"
    async with played(text, library) as listener:
        await until(has(listener.heard, "ada", "microphone", 80))
        ada = listener.heard["ada"]
        sequences = [packet.sequence for _, packet in ada.of("microphone")]
        expected = max(sequences) - min(sequences) + 1

        assert 0.05 < 1 - len(sequences) / expected < 0.4
        # SRTP takes second copies away, and counts them.
        assert ada.peer.counters.replayed > 0


async def test_when_the_server_comes_back_so_does_the_cast(library: LoopLibrary):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        async with serve_room() as address:
            ready = asyncio.Event()
            cast = group.create_task(
                run_cast(
                    parse_scenario(DEFAULTS + ADA),
                    url=address.ws_url,
                    room_id="r",
                    on_ready=ready.set,
                    library=library,
                    ice=LOOPBACK,
                )
            )
            await ready.wait()
        async with serve_room(port=address.port), listening(address.ws_url, "r") as listener:
            await until(has(listener.heard, "ada", "camera", 5))
        cast.cancel()


async def test_a_refusal_ends_the_cast(library: LoopLibrary):
    async with asyncio.timeout(DEADLINE_S), serve_room(token="t" * 16) as address:
        with pytest.raises(RoomRefused, match="token"):
            await run_cast(
                parse_scenario(DEFAULTS + ADA), url=address.ws_url, room_id="r", library=library
            )
