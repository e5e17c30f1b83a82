"""What the engine asks of the world, and the plain values that cross the boundary.

Rooms push into a `RoomListener` on the event loop's thread; media objects are called on
threads the engine owns, one call at a time each; sinks take encoded packets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.core.identity import Codec, Participant, ParticipantId, Track, TrackId
from worker.core.layout.geometry import Size
from worker.core.layout.scene import Scene
from worker.core.spec import ImageRef
from worker.core.template import EncodeTemplate

# --- time -----------------------------------------------------------------------------------


class Clock(Protocol):
    """One monotonic clock for everything in a job."""

    def now_ns(self) -> int: ...

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at or after *deadline_ns*; at once when it has passed."""
        ...


# --- rooms ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One whole frame as it left a publisher, complete and in decoding order.

    Audio: one RTP packet's Opus payload, delivered as it arrives (order by `rtp_timestamp`).
    Video: one access unit (H.264 with Annex B start codes), in order, never across a gap: after
    a loss that was given up the next frame delivered is a keyframe.
    """

    track_id: TrackId
    codec: Codec
    epoch: int
    """Counts up when the sender's clock restarts (SSRC change, timestamp step above 1 s)."""
    rtp_timestamp: int
    """Unwrapped to 64 bits within the epoch; 48 kHz for Opus, 90 kHz for video."""
    arrival_ns: int
    """When the last packet of the frame arrived, on the job's clock."""
    keyframe: bool
    data: bytes
    size: Size | None = None
    """Keyframes: picture size read from the bitstream."""
    rotation: int = 0
    """Clockwise degrees the picture must be turned to be upright: 0, 90, 180 or 270 (CVO)."""
    level_dbov: int | None = None
    """Audio: RFC 6464 level, 0 (loud) down to -127 (silence)."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """RTCP SR of one stream: the instant `ntp_ns` of the sender's wall clock is `rtp_timestamp`."""

    track_id: TrackId
    epoch: int
    ntp_ns: int
    rtp_timestamp: int
    """Unwrapped like `EncodedFrame.rtp_timestamp`."""
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    participant_id: ParticipantId


@dataclass(frozen=True, slots=True)
class TrackPublished:
    track: Track


@dataclass(frozen=True, slots=True)
class TrackEnded:
    track_id: TrackId


@dataclass(frozen=True, slots=True)
class TrackMuted:
    """The publisher muted or unmuted; a muted video track shows its placeholder."""

    track_id: TrackId
    muted: bool


@dataclass(frozen=True, slots=True)
class RoomConnected:
    """Signalling is up and who is there is known; sent again after each reconnect."""


@dataclass(frozen=True, slots=True)
class RoomDisconnected:
    """Signalling is down; media may still flow, and who is there is not known any more."""

    reason: str


RoomEvent = (
    ParticipantJoined
    | ParticipantLeft
    | TrackPublished
    | TrackEnded
    | TrackMuted
    | RoomConnected
    | RoomDisconnected
)


class RoomListener(Protocol):
    """Where a room delivers. Called on the event loop's thread; must return quickly."""

    def on_event(self, event: RoomEvent) -> None: ...

    def on_frame(self, frame: EncodedFrame) -> None: ...

    def on_sender_report(self, report: SenderReport) -> None: ...


@dataclass(slots=True)
class TrackStatistics:
    """Counters of one track since it was published."""

    packets_received: int = 0
    packets_lost: int = 0
    """Never arrived, not even by retransmission."""
    packets_recovered: int = 0
    """Arrived by retransmission."""
    packets_duplicated: int = 0
    packets_discarded: int = 0
    """Malformed, too late, or over a limit."""
    frames_received: int = 0
    frames_dropped: int = 0
    """Assembled or partial, but not delivered because of a gap."""
    nacks_sent: int = 0
    keyframe_requests: int = 0
    jitter_ms: float = 0.0


class Room(Protocol):
    """A room joined as a subscriber who never publishes."""

    async def run(self, listener: RoomListener) -> None:
        """Join, deliver into *listener* until cancelled; reconnects by itself.

        Raises `RoomRefused` when the room says no, `RoomError` when it gave up trying.
        Cancelling leaves the room.
        """
        ...

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe; at most one request a second goes out."""
        ...

    def want_video(self, wanted: Mapping[TrackId, Size]) -> None:
        """Say which video tracks are looked at, each with the size of its largest tile.

        Complete each time, called when it changes, also from within `on_event`. Every other
        video may be paused at its source; one that is wanted anew begins with a keyframe. A room
        that can't pause ignores it.
        """
        ...

    def wanted_delay_ns(self) -> int:
        """Playout delay with which this network's losses could be repaired; 0 while unknown."""
        ...

    def set_patience(self, *, video_ns: int, audio_ns: int) -> None:
        """Say how long after the network's normal delay a packet is still of use."""
        ...

    def datagrams_dropped(self) -> int:
        """What reached this machine but not us, because we did not read in time."""
        ...

    def statistics(self) -> Mapping[TrackId, TrackStatistics]:
        """Counters of every track seen so far, ended ones included."""
        ...


# --- media ----------------------------------------------------------------------------------


class Picture(Protocol):
    """A decoded picture; what is inside is the media package's business."""

    @property
    def size(self) -> Size: ...


class VideoDecoder(Protocol):
    """Decodes one track; may change codec and size with a keyframe."""

    def decode(self, frame: EncodedFrame) -> Picture | None:
        """The picture of *frame*, upright, or None when the decoder holds it back.

        Raises `MediaError` when the frame is damaged, lies about its size or is too large; the
        caller then waits for the next keyframe.
        """
        ...


class AudioDecoder(Protocol):
    """Decodes one Opus track to 48 kHz float32 (samples, channels), channels 1 or 2."""

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """PCM of one packet, 2.5 to 120 ms. Raises `MediaError`."""
        ...

    def recover(self, following: bytes, samples: int) -> NDArray[np.float32]:
        """PCM of the lost packet before *following*, from its in-band FEC (else concealment)."""
        ...

    def conceal(self, samples: int) -> NDArray[np.float32]:
        """PCM that stands in for *samples* lost ones."""
        ...


class Canvas(Protocol):
    """A finished output picture, good until `release`."""

    @property
    def size(self) -> Size: ...

    def release(self) -> None:
        """Give the buffer back to its pool. Call exactly once."""
        ...


class Compositor(Protocol):
    """Paints scenes on one canvas of fixed size."""

    def compose(self, scene: Scene, pictures: Mapping[TrackId, Picture]) -> Canvas:
        """Paint *scene* with the newest picture of each track; only what changed is redone.

        A tile whose track is not in *pictures* shows its placeholder.
        """
        ...

    def repeat(self) -> Canvas:
        """The canvas of the last `compose` again, for a frame that must be duplicated."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One encoded unit of the output. `pts`, `dts`, `duration` in units of 1/`timebase`."""

    kind: "StreamKind"
    data: bytes
    pts: int
    dts: int
    duration: int
    keyframe: bool


class StreamKind(Enum):
    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class VideoStream:
    """What a muxer must know of the encoded video; timebase is 1/fps."""

    template: EncodeTemplate
    extradata: bytes


@dataclass(frozen=True, slots=True)
class AudioStream:
    """What a muxer must know of the encoded audio; timebase is 1/48000."""

    sample_rate_hz: int
    channels: int
    bitrate_kbps: int
    extradata: bytes


@dataclass(frozen=True, slots=True)
class Program:
    """The streams of one output; at least one is present."""

    video: VideoStream | None
    audio: AudioStream | None


class VideoEncoder(Protocol):
    """H.264, constant frame rate, never re-opened."""

    @property
    def stream(self) -> VideoStream: ...

    def encode(self, canvas: Canvas, tick: int, *, keyframe: bool) -> Sequence[EncodedPacket]:
        """Encode frame *tick* (pts = tick). Does not release the canvas."""
        ...

    def flush(self) -> Sequence[EncodedPacket]: ...


class AudioEncoder(Protocol):
    """AAC-LC 48 kHz stereo; takes blocks of any length and cuts frames itself."""

    @property
    def stream(self) -> AudioStream: ...

    def encode(self, block: NDArray[np.float32]) -> Sequence[EncodedPacket]:
        """*block* is (samples, 2) float32 in [-1, 1]. Sample m of the input has pts m."""
        ...

    def flush(self) -> Sequence[EncodedPacket]: ...


class Muxer(Protocol):
    """One container file that is playable at any moment and ordinary once closed."""

    def write(self, packet: EncodedPacket) -> None:
        """Raises `DestinationError` when the disk refuses."""
        ...

    def close(self) -> None:
        """Finish the file. Raises `DestinationError`; it stays valid up to its last fragment."""
        ...


class MediaKit(Protocol):
    """Makes the media objects of one job. The engine never names a codec library."""

    def video_decoder(self) -> VideoDecoder: ...

    def audio_decoder(self) -> AudioDecoder: ...

    def compositor(self, canvas: Size) -> Compositor: ...

    def video_encoder(self, template: EncodeTemplate) -> VideoEncoder: ...

    def audio_encoder(self) -> AudioEncoder: ...

    def mp4(self, path: Path, program: Program) -> Muxer: ...

    def load_images(self, images: Sequence[ImageRef]) -> Sequence[str]:
        """Load background images before they are shown; returns one warning per broken one."""
        ...


# --- sinks ----------------------------------------------------------------------------------


class PacketSource(Protocol):
    """Where a sink takes its packets from."""

    async def get_all(self) -> Sequence[EncodedPacket]:
        """Every packet there is, at least one; empty once the job has ended."""
        ...


@dataclass(frozen=True, slots=True)
class SinkReport:
    """What one sink did, for the result file."""

    name: str
    location: str
    packets: int
    bytes: int
    error: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


class Sink(Protocol):
    """One output of a job. A sink that fails never stops another one, nor the job."""

    @property
    def name(self) -> str: ...

    async def run(self, program: Program, packets: PacketSource) -> None:
        """Deliver until *packets* ends, then finish; cancelled, leave what is there valid.

        Raises `DestinationError` when the destination refuses or is gone for good.
        """
        ...

    def report(self) -> SinkReport: ...
