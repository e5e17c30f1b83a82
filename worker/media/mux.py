"""One encode into an MP4 file that plays while it grows and is an ordinary MP4 once closed.

FFmpeg writes short fragments; we follow them and, closing, append one index for all. (FFmpeg
would do that too, `hybrid_fragmented`, but keeps 20 MB in memory for every hour.)
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream

from worker.errors import DestinationError, InternalError, MediaError
from worker.media.colour import tag_context
from worker.media.fragment_file import FragmentFile
from worker.media.mp4_finish import scratch_file, write_index
from worker.media.mp4_index import FragmentIndex
from worker.ports import AudioStream, EncodedPacket, Program, StreamKind, VideoStream

FRAGMENT_US = 200_000
"""What a kill may cost, at most, of what the muxer was given. Fragments cost 0.75 kB each."""

_OPTIONS = {
    # delay_moov: the first index is written with the first fragment, when the times of the first
    # packets are known, so that an edit list can skip the priming of the audio.
    # skip_trailer: no list of the fragments, which would grow in memory.
    "movflags": "delay_moov+skip_trailer",
    "frag_duration": str(FRAGMENT_US),
    "flush_packets": "1",
}
_BUFFER_BYTES = 256 << 10

Streams = dict[StreamKind, tuple[Stream, Fraction]]
"""A container's streams, with the time bases of what is put into them."""


class Mp4Muxer:
    """`ports.Muxer`. Not thread-safe. After an error it takes nothing more, and says so."""

    def __init__(self, path: Path, program: Program) -> None:
        """Create *path*, which must not exist. Raises `DestinationError`."""
        if program.video is None and program.audio is None:
            raise InternalError("a program without a stream")
        self._error: DestinationError | None = None
        self._file = FragmentFile(path)
        try:
            self._index = FragmentIndex(scratch_file(path.parent))
        except DestinationError:
            self._file.abandon()
            raise
        self._container = av.open(
            self._file, "w", format="mp4", options=_OPTIONS, buffer_size=_BUFFER_BYTES
        )
        self._streams: Streams = {}
        if program.video is not None:
            self._streams[StreamKind.VIDEO] = (
                add_video(self._container, program.video),
                Fraction(1, program.video.template.fps),
            )
        if program.audio is not None:
            self._streams[StreamKind.AUDIO] = (
                add_audio(self._container, program.audio),
                Fraction(1, program.audio.sample_rate_hz),
            )

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet, in decoding order per stream. Raises `DestinationError`."""
        self._refuse_after_error()
        stamped = stamped_packet(packet, self._streams)
        with self._ending_on_error():
            self._container.mux_one(stamped)
            self._follow()

    def close(self) -> None:
        """Finish the file. Raises `DestinationError`; then it is valid up to its last fragment."""
        self._refuse_after_error()
        with self._ending_on_error():
            self._container.start_encoding()  # an empty recording has an index too
            self._container.close()
            self._follow()
            write_index(self._file, self._index)
        self._index.close()
        self._error = DestinationError(f"{self._file.name} is closed")

    def _follow(self) -> None:
        if self._file.error is not None:
            raise self._file.error
        for unit in self._file.new_units():
            self._index.add(unit)

    def _refuse_after_error(self) -> None:
        if self._error is not None:
            raise DestinationError(str(self._error))

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """Close the file on its last fragment when something fails."""
        try:
            yield
        except DestinationError as exc:
            self._give_up(exc)
            raise
        except (av.FFmpegError, MediaError, InternalError) as exc:
            self._give_up(DestinationError(f"{self._file.name} was given up: {exc}"))
            raise InternalError(f"the MP4 muxer failed: {exc}") from exc
        except OSError as exc:
            error = DestinationError(f"{self._file.name} was given up: {exc.strerror}")
            self._give_up(error)
            raise error from exc

    def _give_up(self, error: DestinationError) -> None:
        self._error = error
        self._file.abandon()
        self._index.close()


def add_video(container: OutputContainer, video: VideoStream) -> Stream:
    """Add a stream that takes what *video*'s encoder makes."""
    template = video.template
    with av.open(io.BytesIO(), "w", format="mp4") as blueprint:
        stream = container.add_stream_from_template(
            blueprint.add_stream(
                "libx264",
                rate=template.fps,
                width=template.size.width,
                height=template.size.height,
                bit_rate=template.bitrate_kbps * 1000,
                time_base=Fraction(1, template.fps),
            ),
            opaque=True,
        )
    # A stream made from another is never opened as an encoder: it takes the header as it is.
    stream.codec_context.extradata = video.extradata
    tag_context(stream.codec_context)
    return stream


def add_audio(container: OutputContainer, audio: AudioStream) -> Stream:
    """Add a stream that takes what *audio*'s encoder makes."""
    with av.open(io.BytesIO(), "w", format="mp4") as blueprint:
        stream = container.add_stream_from_template(
            blueprint.add_stream(
                "aac",
                rate=audio.sample_rate_hz,
                layout="mono" if audio.channels == 1 else "stereo",
                bit_rate=audio.bitrate_kbps * 1000,
                time_base=Fraction(1, audio.sample_rate_hz),
            ),
            opaque=True,
        )
    stream.codec_context.extradata = audio.extradata
    return stream


def stamped_packet(
    packet: EncodedPacket, streams: Streams, *, start_s: int = 0
) -> "av.Packet[Stream]":
    """*packet* as its container takes it, *start_s* later. Raises `InternalError`."""
    if packet.kind not in streams:
        raise InternalError(f"this file has no {packet.kind.value}")
    stream, time_base = streams[packet.kind]
    stamped: av.Packet[Stream] = av.Packet(packet.data)
    stamped.stream = stream
    stamped.time_base = time_base
    start = start_s * time_base.denominator
    stamped.pts, stamped.dts = packet.pts + start, packet.dts + start
    stamped.duration = packet.duration
    stamped.is_keyframe = packet.keyframe
    return stamped
