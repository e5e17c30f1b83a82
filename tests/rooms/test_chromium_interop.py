"""A real browser at the other end: our descriptions are taken, media flows both ways."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from playwright.async_api import Page

from tests.rooms.rtp_material import AudioSender
from tests.support.browser import chromium
from tests.support.waiting import until
from worker.core.identity import Codec, Kind, TrackId
from worker.core.layout.geometry import Size
from worker.media.decode import NativeVideoDecoder
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.ice import IceSettings
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, MediaCodec, NegotiatedMedia, OfferedMedia
from worker.rooms.peer import Peer, PeerState
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.packet import RtpPacket, build_rtp, parse_rtp
from worker.rooms.rtp.red import split_red
from worker.rooms.rtp.vp9 import Vp9Format, read_descriptor
from worker.rooms.rtp.vp9_header import split_superframe

DEADLINE_S = 60
SPEEDING_UP_S = 100
"""Usually 23 s; a stall of the machine looks like a queue in the network to Chromium."""
FIRST_GUESS_BPS = 300_000
CODECS = """
window.codecs = (kind, ...names) => RTCRtpSender.getCapabilities(kind).codecs
  .filter(({ mimeType }) => names.includes(mimeType.split('/')[1]));
window.described = async (pc) => {
  while (pc.iceGatheringState !== 'complete')
    await new Promise((done) => pc.addEventListener('icegatheringstatechange', done, {once: true}));
  return pc.localDescription.sdp;
};
window.offer = async () => { await pc.setLocalDescription(); return described(pc); };
undefined;
"""
PUBLISH = """async () => {
  window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const media = await navigator.mediaDevices.getUserMedia({
    audio: true, video: { width: 320, height: 240 } });
  const [camera] = media.getVideoTracks();
  const sendonly = { direction: 'sendonly', streams: [media] };
  pc.addTransceiver(camera.clone(), sendonly).setCodecPreferences(codecs('video', 'AV1'));
  pc.createDataChannel('data');
  pc.addTransceiver(media.getAudioTracks()[0], sendonly);
  window.vp8 = pc.addTransceiver(camera, sendonly);
  vp8.setCodecPreferences(codecs('video', 'VP8', 'rtx'));
  return offer();
}"""
PUBLISH_LAYERS = """async () => {
  window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const media = await navigator.mediaDevices.getUserMedia({
    audio: true, video: { width: 640, height: 480 } });
  const transceivers = media.getTracks().map((track) => pc.addTransceiver(track, {
    direction: 'sendonly', streams: [media],
    sendEncodings: track.kind === 'video' ? [{ scalabilityMode: 'L2T2' }] : [],
  }));
  for (const transceiver of transceivers) {
    transceiver.setCodecPreferences(transceiver.sender.track.kind === 'audio'
      ? [...codecs('audio', 'red'), ...codecs('audio', 'opus')]
      : codecs('video', 'VP9', 'rtx'));
  }
  return offer();
}"""
CHANGE = """async () => {
  const h264 = pc.addTransceiver(vp8.sender.track.clone(), { direction: 'sendonly' });
  h264.setCodecPreferences(codecs('video', 'H264', 'rtx'));
  vp8.direction = 'inactive';
  await vp8.sender.replaceTrack(null);
  return offer();
}"""
TAKE_ANSWER = "sdp => pc.setRemoteDescription({ type: 'answer', sdp })"
PUBLISH_ONE = """async () => {
  window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const media = await navigator.mediaDevices.getUserMedia({
    audio: true, video: { width: 1280, height: 720 } });
  for (const track of media.getTracks()) pc.addTransceiver(track, { direction: 'sendonly' });
  return offer();
}"""
SENDING = """async () => {
  const report = await pc.getStats();
  const stats = [...report.values()];
  // Of several nominated pairs, only the one in use has an estimate.
  const { selectedCandidatePairId } = stats.find(({ type }) => type === 'transport');
  const pair = report.get(selectedCandidatePairId) ?? {};
  const video = stats.find(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
  return {
    available_bps: pair.availableOutgoingBitrate ?? 0,
    round_trip_s: pair.currentRoundTripTime ?? 0,
    limited_by: video.qualityLimitationReason,
    width: video.frameWidth ?? 0,
  };
}"""
SUBSCRIBE = """async (sdp) => {
  window.pc = new RTCPeerConnection();
  window.streams = [];
  pc.ontrack = ({ track, streams: [stream] }) => streams.push([track.kind, stream.id]);
  await pc.setRemoteDescription({ type: 'offer', sdp });
  await pc.setLocalDescription();
  return described(pc);
}"""
RECEIVED = """async () => {
  const stats = [...(await pc.getStats()).values()];
  const audio = stats.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
  return audio ? audio.packetsReceived : 0;
}"""


@asynccontextmanager
async def a_page(within_s: float = DEADLINE_S) -> AsyncIterator[Page]:
    async with asyncio.timeout(within_s), chromium() as browser:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto("chrome://version")  # a secure origin without a server
        await page.evaluate(CODECS)
        yield page


@asynccontextmanager
async def closed(peer: Peer) -> AsyncIterator[None]:
    """Let go of its sockets, however the test ends."""
    try:
        yield
    finally:
        await peer.close()


class Receiver:
    """A peer with its receive side, as a session has them."""

    def __init__(self) -> None:
        self.frames: dict[TrackId, list[EncodedFrame]] = {}
        self.reports: list[SenderReport] = []
        self.statistics: dict[TrackId, TrackStatistics] = {}
        self.negotiated: Sequence[NegotiatedMedia] = ()
        self.side = PeerReceiver(
            ssrc=77,
            on_frame=lambda frame: self.frames.setdefault(frame.track_id, []).append(frame),
            on_sender_report=self.reports.append,
            statistics=self.statistics,
        )
        self.peer = Peer(
            ice=IceSettings(with_loopback=True),
            clock_ns=time.monotonic_ns,
            on_rtp=self.side.on_rtp,
            on_rtcp=self.side.on_rtcp,
        )

    async def answer(self, offer: str) -> str:
        result = await self.peer.answer(offer)
        self.negotiated = result.media
        self.side.set_tracks(
            {TrackId(media.mid): media for media in result.media if media.codecs},
            time.monotonic_ns(),
        )
        return result.sdp

    async def poll(self) -> None:
        while True:
            for compound in self.side.poll(time.monotonic_ns()):
                self.peer.send_rtcp(compound)
            await asyncio.sleep(0.005)

    def media(self, ssrc: int) -> NegotiatedMedia:
        return next(media for media in self.negotiated if ssrc in media.ssrcs)

    def has(self, codec: Codec, count: int) -> bool:
        return any(
            frames[0].codec is codec and len(frames) >= count for frames in self.frames.values()
        )


@pytest.mark.timeout(120)
async def test_chromium_publishes_to_us_changes_its_tracks_and_leaves() -> None:
    receiver = Receiver()
    async with closed(receiver.peer), a_page() as page, asyncio.TaskGroup() as tasks:
        answer = await receiver.answer(await page.evaluate(PUBLISH))
        assert "m=application 0" in answer, "data channels are not negotiated"
        await page.evaluate(TAKE_ANSWER, answer)
        await receiver.peer.connect()
        poll = tasks.create_task(receiver.poll())
        await until(lambda: receiver.has(Codec.VP8, 20) and receiver.has(Codec.OPUS, 50))
        (camera,) = [f for f in receiver.frames.values() if f[0].codec is Codec.VP8]
        (voice,) = [f for f in receiver.frames.values() if f[0].codec is Codec.OPUS]
        assert camera[0].keyframe
        assert camera[0].size == Size(320, 240)
        assert all(-127 <= (frame.level_dbov or 0) <= 0 for frame in voice)
        assert {frame.epoch for frame in (*camera, *voice)} == {0}
        steps = [b.rtp_timestamp - a.rtp_timestamp for a, b in zip(voice, voice[1:], strict=False)]
        assert min(steps) == 960
        await until(lambda: len({report.track_id for report in receiver.reports}) >= 1)

        receiver.side.request_keyframe(camera[0].track_id)
        await until(lambda: sum(frame.keyframe for frame in camera) >= 2)

        await page.evaluate(TAKE_ANSWER, await receiver.answer(await page.evaluate(CHANGE)))
        await until(lambda: receiver.has(Codec.H264, 10))
        assert sum(entry.packets_lost for entry in receiver.statistics.values()) == 0
        assert receiver.peer.counters.faults == 0
        assert receiver.side.counters.malformed == 0

        await page.evaluate("pc.close()")
        await until(lambda: receiver.peer.state is PeerState.CLOSED)
        poll.cancel()


def sizes_shown(frames: Sequence[EncodedFrame]) -> list[Size]:
    """The sizes of the pictures, each of which is the fake camera's: one without chroma, green."""
    decoder = NativeVideoDecoder()
    sizes = []
    for frame in frames:
        picture = decoder.decode(frame)
        assert picture is not None
        assert picture.planes.u.mean() < 60
        sizes.append(picture.size)
    return sizes


def forwarded_in_fewer_layers(
    receiver: Receiver, packets: Sequence[RtpPacket]
) -> list[EncodedFrame]:
    """What is received of *packets* when a server leaves the upper layer out for a while.

    It does so from the sixth picture before the last keyframe up to that keyframe.
    """
    *_, keyframe = (p for p in packets if Vp9Format().starts_keyframe(p.payload))
    times = list(dict.fromkeys(packet.timestamp for packet in packets))
    at = times.index(keyframe.timestamp)
    small = set(times[at - 6 : at])
    frames: list[EncodedFrame] = []
    side = PeerReceiver(
        ssrc=1, on_frame=frames.append, on_sender_report=lambda report: None, statistics={}
    )
    side.set_tracks({TrackId("camera"): receiver.media(keyframe.ssrc)}, 0)
    number = 0
    for packet in packets:
        layer = read_descriptor(packet.payload)
        is_small = packet.timestamp in small
        if is_small and layer.spatial_layer > 0:
            continue
        number += 1
        side.on_rtp(
            build_rtp(
                payload_type=packet.payload_type,
                sequence=number,
                timestamp=packet.timestamp,
                ssrc=packet.ssrc,
                payload=packet.payload,
                marker=packet.marker or (is_small and layer.ends),
            ),
            number * 1_000_000,
        )
    return frames


@pytest.mark.timeout(120)
async def test_chromium_publishes_vp9_in_layers_and_redundant_opus() -> None:
    receiver = Receiver()
    packets: dict[int, list[RtpPacket]] = {63: [], 98: [], 99: [], 111: []}
    async with closed(receiver.peer), a_page() as page, asyncio.TaskGroup() as tasks:
        answer = await receiver.answer(await page.evaluate(PUBLISH_LAYERS))
        assert "profile-id=0" in answer
        assert "profile-id=1" not in answer and "profile-id=2" not in answer
        assert "a=fmtp:63 111/111" in answer
        await page.evaluate(TAKE_ANSWER, answer)

        def note(packet: bytes, arrival_ns: int) -> None:
            read = parse_rtp(packet)
            packets[read.payload_type].append(read)
            receiver.side.on_rtp(packet, arrival_ns)

        receiver.peer.on_rtp = note
        await receiver.peer.connect()
        poll = tasks.create_task(receiver.poll())
        await until(lambda: receiver.has(Codec.VP9, 40) and receiver.has(Codec.OPUS, 100))
        (camera,) = [f for f in receiver.frames.values() if f[0].codec is Codec.VP9]
        # At first there is one layer, and the other one comes without a keyframe.
        await until(lambda: all(len(split_superframe(f.data)) == 2 for f in camera[-8:]))
        asked_at = len(camera)
        receiver.side.request_keyframe(camera[0].track_id)
        await until(lambda: any(frame.keyframe for frame in camera[asked_at:]))
        await page.evaluate("pc.close()")
        await until(lambda: receiver.peer.state is PeerState.CLOSED)
        poll.cancel()

    assert camera[0].keyframe
    sizes = sizes_shown(camera)
    assert all(frame.size in (None, size) for frame, size in zip(camera, sizes, strict=True))
    switched = forwarded_in_fewer_layers(receiver, packets[98])
    assert [frame.rtp_timestamp for frame in switched] == [f.rtp_timestamp for f in camera]
    changes = [(a, b) for a, b in pairwise(sizes_shown(switched)) if a != b]
    print("layers left out and back:", changes)
    (down, up) = changes[-2:]
    assert down == up[::-1]
    assert down[0].width == 2 * down[1].width

    redundant = [split_red(packet.payload) for packet in packets[63]]
    assert any(len(blocks) > 1 for blocks in redundant)
    (voice,) = [f for f in receiver.frames.values() if f[0].codec is Codec.OPUS]
    timestamps = [frame.rtp_timestamp for frame in voice]
    assert len(set(timestamps)) == len(timestamps), "copies of what had come are left out"
    statistics = receiver.statistics[voice[0].track_id]
    assert (statistics.packets_discarded, statistics.packets_duplicated) == (0, 0)


@pytest.mark.timeout(120)
async def test_chromium_speeds_up_on_our_transport_feedback() -> None:
    """Without feedback it would stay at its first guess, a small picture."""
    receiver = Receiver()
    async with (
        closed(receiver.peer),
        a_page(SPEEDING_UP_S) as page,
        asyncio.TaskGroup() as tasks,
    ):
        offer = await page.evaluate(PUBLISH_ONE)
        assert "transport-cc" in offer and "goog-remb" in offer
        answer = await receiver.answer(offer)
        assert "transport-cc" in answer and "goog-remb" not in answer
        await page.evaluate(TAKE_ANSWER, answer)
        await receiver.peer.connect()
        poll = tasks.create_task(receiver.poll())
        sending = {"available_bps": 0}
        # A busy machine may keep the picture small, but the network does not.
        while (
            sending["available_bps"] < 2 * FIRST_GUESS_BPS or sending["limited_by"] == "bandwidth"
        ):
            await asyncio.sleep(0.2)
            sending = await page.evaluate(SENDING)
            print(sending)
        poll.cancel()


@pytest.mark.timeout(120)
async def test_chromium_subscribes_to_us() -> None:
    opus = MediaCodec(111, Codec.OPUS, parameters="minptime=10;useinbandfec=1")
    vp8 = MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli"))
    extensions = {MID_URI: 4, AUDIO_LEVEL_URI: 1}
    peer = Peer(ice=IceSettings(with_loopback=True), clock_ns=time.monotonic_ns)
    async with closed(peer), a_page() as page:
        offer = await peer.offer(
            (
                OfferedMedia("0", Kind.AUDIO, (opus,), 1000, stream="s", extensions=extensions),
                OfferedMedia("1", Kind.VIDEO, (vp8,), 2000, 2001, stream="s"),
            )
        )
        audio, video = await peer.accept(await page.evaluate(SUBSCRIBE, offer))
        assert audio.is_active and video.is_active
        assert video.codecs[0].rtx_payload_type == 97
        assert await page.evaluate("streams") == [["audio", "s"], ["video", "s"]]
        await peer.connect()
        sender = AudioSender()
        while await page.evaluate(RECEIVED) < 20:
            peer.send_rtp(sender.packet())
            await asyncio.sleep(0.01)
