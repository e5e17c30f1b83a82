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


@dataclass(slots=True)
class EncodedFrame:
    """One whole frame as it left a publisher, complete and in decoding order.

    Not frozen because one is made for every packet of sound; nobody writes to it.

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
    packets_unopened: int = 0
    """Received, but silence that nobody would have heard."""
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

        Complete each time, called when it changes, also before `run` and from within `on_event`.
        Every other video may be paused at its source; one that is wanted anew begins with a
        keyframe. A room that can't pause ignores it.
        """
        ...

    def rest_sound(self, resting: frozenset[TrackId]) -> None:
        """Say which microphones are not decoded: of those, silence need not be delivered.

        Complete each time, called when it changes. What is told as silence (RFC 6464) comes a few
        times a second then, and more than half a second of it before the first packet that is not.
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
        """Counters of every track seen so far, but for those forgotten."""
        ...

    def forget(self, track_id: TrackId) -> None:
        """Keep nothing of a track that has ended. Should it come back, its counters are new."""
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


class SegmentMuxer(Protocol):
    """One stream as MPEG-TS, in files that follow each other: times and counters run on."""

    def begin(self, path: Path) -> None:
        """Close the file before, if any, and write to *path*. Raises `DestinationError`."""
        ...

    def write(self, packet: EncodedPacket) -> None:
        """Raises `DestinationError`; the file then ends with its last whole TS packet."""
        ...

    def close(self) -> None:
        """Finish the open file. Raises `DestinationError`."""
        ...


class MediaKit(Protocol):
    """Makes the media objects of one job. The engine never names a codec library."""

    def video_decoder(self) -> VideoDecoder: ...

    def audio_decoder(self) -> AudioDecoder: ...

    def compositor(self, canvas: Size) -> Compositor: ...

    def video_encoder(self, template: EncodeTemplate) -> VideoEncoder: ...

    def audio_encoder(self) -> AudioEncoder: ...

    def mp4(self, path: Path, program: Program) -> Muxer: ...

    def segments(self, program: Program) -> SegmentMuxer: ...

    def load_images(self, images: Sequence[ImageRef]) -> Sequence[str]:
        """Load background images before they are shown; returns one warning per broken one."""
        ...

    def still(self, canvas: Canvas) -> bytes:
        """*canvas* as a small JPEG, for people."""
        ...


# --- files that are delivered ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One file of a recording, from the moment it is begun.

    An MP4 file, or a whole HLS recording with its playlist. Plain values only: it is kept beside
    the file in the spool, so that whoever finishes it after a crash knows all about it.
    """

    job_id: str
    file_id: str
    """Unique within the job; stays through crashes."""
    record_format: str
    """`MP4` or `HLS`."""
    key: str
    """Object key of the file, of HLS the playlist."""
    start_s: float
    """Room time of its first frame, from the recording's origin."""
    start_unix_s: float
    """The same by the wall clock."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store holds under a key."""

    key: str
    size: int
    etag: str
    """As the store gives it; equal etags of one store mean equal bytes."""


@dataclass(frozen=True, slots=True)
class RoomPresence:
    """Somebody who publishes in a room, as its server tells."""

    user_id: str
    shares_screen: bool = False


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """A bucket of the store."""

    name: str
    created_unix_ms: int


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """An object of a bucket, or a folder, whose key ends with /."""

    key: str
    size_bytes: int
    changed_unix_ms: int


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    begun_unix_s: float


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of an open upload; the same number again replaces it."""

    number: int
    """From 1."""
    size: int
    etag: str


class Store(Protocol):
    """Objects by key, in a bucket or a directory.

    Every method raises `DestinationError`; its `retryable` says whether asking again may help.
    Those that name an upload raise `UploadGone` when it is not open, `abort` excepted.
    One call is one attempt with a deadline of its own: repeating is the caller's business.
    Contents are checked on the way (checksums), so what is stored is what was given.
    """

    @property
    def address(self) -> str:
        """`s3://bucket` or `file:///directory`, without secrets."""
        ...

    async def check(self) -> None:
        """Find out whether objects can be written, without leaving one behind."""
        ...

    async def put(
        self, key: str, data: bytes, *, content_type: str, replace: bool = False
    ) -> StoredObject:
        """Store a whole object. Raises `KeyTaken` unless *replace*."""
        ...

    async def begin(self, key: str, *, content_type: str) -> str:
        """Open an upload; returns its id. Nothing is visible before `complete`."""
        ...

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes) -> StoredPart:
        """Store part *number*, at least 5 MiB unless it is the last."""
        ...

    async def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        """Make the object of *parts*. Raises `KeyTaken`: nothing is ever overwritten."""
        ...

    async def abort(self, key: str, upload_id: str) -> None:
        """Give an upload up; one that is gone already is no error."""
        ...

    async def uploads(self, prefix: str) -> Sequence[OpenUpload]:
        """Open uploads of keys that begin with *prefix*."""
        ...

    async def parts(self, key: str, upload_id: str) -> Sequence[StoredPart]:
        """What has arrived of an open upload, by number."""
        ...

    async def head(self, key: str) -> StoredObject | None: ...

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """The object's bytes. Raises `DestinationError` also when it is larger than *max_bytes*."""
        ...

    async def delete(self, key: str) -> None:
        """A key that is not there is no error."""
        ...


class Parcel(Protocol):
    """A file on its way into a store while it is being written. Made by `Courier.collect`."""

    def grew(self, size: int) -> None:
        """So many bytes of the file will not change any more, but for its first part."""
        ...

    async def seal(self) -> StoredObject:
        """The file is closed: deliver what is missing and return once the object can be read.

        Retries for as long as it may help. Raises `DestinationError` when it cannot; the file
        then stays in the spool, for `recover`.
        """
        ...


class Courier(Protocol):
    """Carries files of one job into its store; the recording never waits for it."""

    def collect(self, file: RecordedFile, path: Path, *, key: str, content_type: str) -> Parcel:
        """Follow the file at *path* (in the spool) that belongs to *file*, and store it as *key*.

        What is needed to finish it after a crash is kept beside it.
        """
        ...

    async def put(self, key: str, data: bytes, *, content_type: str) -> StoredObject:
        """Store something small that may be replaced, such as a playlist; retried likewise."""
        ...


@dataclass(frozen=True, slots=True)
class FileStarted:
    """The first packets of a file are being written."""

    file: RecordedFile


@dataclass(frozen=True, slots=True)
class FileCompleted:
    """A file can be read from the store."""

    file: RecordedFile
    location: str
    """The store's address, `s3://bucket` or `file:///directory`."""
    size: int
    """Bytes; of HLS all segments and the playlist."""
    duration_s: float


@dataclass(frozen=True, slots=True)
class RecordingOver:
    """The job has ended and every file of it was announced, or was given up."""

    job_id: str
    reason: str
    """Value of `StopReason`."""


RecordEvent = FileStarted | FileCompleted | RecordingOver


class RecordEvents(Protocol):
    """Where events of a recording go, in order. Kept before the call returns."""

    async def publish(self, event: RecordEvent) -> None: ...


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
    state: str = "writing"
    """What it does now, in a word or two: `writing`, `uploading`, `connecting`, `pushing`."""
    pending_bytes: int = 0
    """Taken but not delivered yet."""
    lag_s: float = 0.0
    """How far behind the recording the destination is."""


@dataclass(frozen=True, slots=True)
class OutputProgress:
    """Where one output of a running job stands, for people and metrics. Without secrets."""

    name: str
    state: str
    bytes: int = 0
    pending_bytes: int = 0
    lag_s: float = 0.0
    error: str | None = None


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
