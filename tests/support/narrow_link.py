"""A narrow link that all senders of a rehearsal share, and senders that adapt to it.

The senders know nothing of the link but what our transport-wide feedback tells them. Like browsers
they send sound whatever happens, give pictures the rest, pace them, and leave frames out when too
much waits; like simulcast servers they change between layers at keyframes.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tests.rooms.test_transport_feedback import Told
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.media import TRANSPORT_CC, TRANSPORT_CC_URI, NegotiatedMedia
from worker.testroom.camera import Camera
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.painter import Picture
from worker.testroom.rehearsal_receiver import Reception, _Sending
from worker.testroom.scenario import VideoFeed

MS = NS_PER_MS
LAYERS = ((Size(640, 360), 300), (Size(320, 180), 120), (Size(160, 90), 30))
"""Best first: size and kbit/s."""
QUEUE_NS = 300 * MS
"""Of the link; what would wait longer is lost, sound and pictures alike."""
HEADERS_BYTES = 28 + 10
"""UDP over IPv4, and SRTP's tag."""
SOUND_KBPS = 60
PACE = 1.4
"""Pictures leave at most this much faster than on average."""
MAX_WAITING_NS = 250 * MS
WINDOW_NS = 400 * MS
_NUMBER_ID = 3
_SOUND = 111


@dataclass
class Link:
    """First come, first served; *kbps_at* gives its rate at an instant from the start, ns."""

    kbps_at: Callable[[int], float]
    delay_ns: int = 20 * MS
    dropped_s: list[float] = field(default_factory=list)
    """When packets were lost."""
    _free_ns: int = 0

    def arrival_ns(self, now_ns: int, size: int) -> int | None:
        """When a packet of *size* bytes that is sent now arrives, or None."""
        waits_ns = max(0, self._free_ns - now_ns)
        if waits_ns > QUEUE_NS:
            self.dropped_s.append(now_ns / NS_PER_S)
            return None
        took_ns = round((size + HEADERS_BYTES) * 8 * NS_PER_MS / self.kbps_at(now_ns))
        self._free_ns = now_ns + waits_ns + took_ns
        return self._free_ns + self.delay_ns


class LayeredCamera:
    """One picture in several layers, all with keyframes at the same frames."""

    def __init__(self, picture: Picture, feed: VideoFeed, library: LoopLibrary) -> None:
        self._loops = [
            library.video(replace(picture, size=size), layer_of(feed, layer))
            for layer, (size, _) in enumerate(LAYERS)
        ]
        self.wanted = self.layer = 0
        self.has_room = True
        self._expected: int | None = None

    def unit(self, frame: int) -> LoopUnit | None:
        at = frame % len(self._loops[0])
        is_keyframe = self._loops[0][at].keyframe
        if is_keyframe:
            self.layer = self.wanted
        is_due = is_keyframe or frame == self._expected
        is_smallest = self.layer == len(LAYERS) - 1
        if not is_due or not (self.has_room or is_smallest):
            return None
        self._expected = frame + 1
        return self._loops[self.layer][at]

    def request_keyframe(self) -> None:
        """There is one a second."""


def layer_of(feed: VideoFeed, layer: int) -> VideoFeed:
    """What *feed* is in one of its layers."""
    size, kbps = LAYERS[layer]
    return replace(feed, size=size, bitrate_kbps=kbps)


@dataclass
class Controller:
    """How much one sender believes it may send: less when packets wait or get lost, else more."""

    kbps: float = 360.0
    lowest: float = 100.0
    _sent: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Instant and size by number."""
    _base_ns: int | None = None
    _recent: deque[tuple[int, int, bool]] = field(default_factory=deque)
    """Instant of sending, size, whether it arrived; of the last moments."""
    _told_ns: int = 0
    _cut_ns: int = 0

    def note(self, number: int, now_ns: int, size: int) -> None:
        self._sent[number] = (now_ns, size)

    def hear(self, told: Told, now_ns: int) -> None:
        """What one message of feedback says of what was sent."""
        delays = []
        for number, arrival_ns in told.arrivals.items():
            if number not in self._sent:
                continue
            sent_ns, size = self._sent.pop(number)
            self._recent.append((sent_ns, size, arrival_ns is not None))
            if arrival_ns is not None:
                delays.append(arrival_ns - sent_ns)
        while self._recent and self._recent[0][0] < now_ns - WINDOW_NS:
            self._recent.popleft()
        if not delays or not self._recent:
            return
        shortest_ns = min(delays)
        self._base_ns = shortest_ns if self._base_ns is None else min(self._base_ns, shortest_ns)
        queue_ns = delays[-1] - self._base_ns
        lost = sum(not came for _, _, came in self._recent) / len(self._recent)
        if queue_ns > 80 * MS or lost > 0.1:
            self._cut(now_ns)
        elif queue_ns < 40 * MS and lost < 0.02 and now_ns - self._cut_ns > NS_PER_S:
            self.kbps = min(400.0, self.kbps * 1.08 ** ((now_ns - self._told_ns) / NS_PER_S))
        self._told_ns = now_ns

    def _cut(self, now_ns: int) -> None:
        if now_ns - self._cut_ns < 300 * MS:
            return
        self._cut_ns = now_ns
        span_ns = max(200 * MS, now_ns - self._recent[0][0])
        received_kbps = sum(size * came for _, size, came in self._recent) * 8 * MS / span_ns
        self.kbps = max(self.lowest, min(self.kbps, 0.85 * received_kbps))


class AdaptingReception(Reception):
    """A sender with a controller, on the one link of its room."""

    link: Link
    everybody: list["AdaptingReception"]
    """Both are the room's: set in a subclass of its own."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.controller = Controller()
        self.camera: LayeredCamera | None = None
        self.layers: list[tuple[float, int]] = []
        """When pictures changed to which layer, s."""
        self._number = 0
        self._paced_ns = 0
        self.everybody.append(self)

    def _media(self, codec: Codec, camera: Camera | None) -> NegotiatedMedia:
        media = super()._media(codec, camera)
        if camera is not None:
            assert isinstance(camera, LayeredCamera)
            self.camera = camera
        return replace(
            media,
            codecs=tuple(
                replace(each, feedback=(*each.feedback, TRANSPORT_CC)) for each in media.codecs
            ),
            extensions={**media.extensions, TRANSPORT_CC_URI: _NUMBER_ID},
        )

    def send_video(self, label: str, unit: LoopUnit, rtp_timestamp: int, now_ns: int) -> None:
        assert self.camera is not None
        if not self.layers or self.layers[-1][1] != self.camera.layer:
            self.layers.append(((now_ns - self._start_ns) / NS_PER_S, self.camera.layer))
        super().send_video(label, unit, rtp_timestamp, now_ns)

    def send_audio(self, label: str, unit: LoopUnit, rtp_timestamp: int, now_ns: int) -> None:
        super().send_audio(label, unit, rtp_timestamp, now_ns)
        self._choose(now_ns)

    def _choose(self, now_ns: int) -> None:
        """What the pictures may be from the next keyframe on, and whether any are sent now."""
        if self.camera is None:
            return
        for_pictures = self.controller.kbps - SOUND_KBPS
        fitting = [n for n, (_, kbps) in enumerate(LAYERS) if kbps <= for_pictures]
        self.camera.wanted = fitting[0] if fitting else len(LAYERS) - 1
        self.camera.has_room = self._paced_ns - now_ns < MAX_WAITING_NS

    def _send(self, packets: Sequence[bytes], now_ns: int) -> None:
        """Sound at once, pictures and what is sent again of them in their turn."""
        for packet in packets:
            if packet[1] & 0x7F == _SOUND:
                self._pass(packet, now_ns)
                continue
            at_ns = max(now_ns, self._paced_ns)
            rate_kbps = PACE * max(20.0, self.controller.kbps - SOUND_KBPS)
            self._paced_ns = at_ns + round(len(packet) * 8 * NS_PER_MS / rate_kbps)
            self._at(at_ns, partial(self._pass, packet, at_ns))

    def _resend(self, sending: _Sending, sequences: Sequence[int], now_ns: int) -> None:
        if self._paced_ns - now_ns < MAX_WAITING_NS:
            super()._resend(sending, sequences, now_ns)

    def _pass(self, packet: bytes, now_ns: int) -> None:
        numbered = _numbered(packet, self._number)
        self.controller.note(self._number, now_ns - self._start_ns, len(numbered))
        self._number = self._number + 1 & 0xFFFF
        arrival_ns = self.link.arrival_ns(now_ns - self._start_ns, len(numbered))
        if arrival_ns is not None:
            self._arrive(self._receiver.on_rtp, numbered, arrival_ns)

    def send_report(self, label: str, ntp_ns: int, rtp_timestamp: int, now_ns: int) -> None:
        report = self._sendings[label].sender.report(ntp_ns, rtp_timestamp)
        arrival_ns = self.link.arrival_ns(now_ns - self._start_ns, len(report))
        if arrival_ns is not None:
            self._arrive(self._receiver.on_rtcp, report, arrival_ns)

    def _answer(self, compound: bytes, now_ns: int) -> None:
        super()._answer(compound, now_ns)
        if compound[0] & 0x1F == 15 and compound[1] == 205:
            self.controller.hear(Told(compound), now_ns - self._start_ns)


def _numbered(packet: bytes, number: int) -> bytes:
    """*packet*, which has extensions already, with its number on the transport."""
    at = 12 + 4 * (packet[0] & 0x0F)
    words = int.from_bytes(packet[at + 2 : at + 4], "big")
    end = at + 4 + 4 * words
    element = bytes((_NUMBER_ID << 4 | 1,)) + number.to_bytes(2, "big") + b"\0"
    length = (words + 1).to_bytes(2, "big")
    return packet[: at + 2] + length + packet[at + 4 : end] + element + packet[end:]
