"""One encode as MPEG-TS segments, each of which begins with its tables and a keyframe.

Every segment has an FFmpeg muxer of its own, and all of them one clock: times are counted from
the same zero, so that the segments behind each other are one stream.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from worker.errors import DestinationError, InternalError
from worker.media.mux import Streams, add_audio, add_video, stamped_packet
from worker.media.ts_file import PACKET_BYTES, ContinuityCounters, TsFile
from worker.ports import EncodedPacket, Program, StreamKind

START_S = 1
"""TS has no time before zero, but the priming of the sound lies there."""

_BUFFER_BYTES = 348 * PACKET_BYTES
"""A large keyframe takes few writes."""

_OPTIONS = {
    # Times as they are given; FFmpeg would else add its delay and move the first one to zero.
    "mpegts_copyts": "1",
    "avoid_negative_ts": "disabled",
    # Tables stand at the beginning of every segment; more often is for who comes in the middle.
    "pat_period": "1",
    # What is in the file are whole units: it may end at any moment.
    "flush_packets": "1",
}


class TsSegments:
    """`ports.SegmentMuxer`. Not thread-safe. A segment that failed takes nothing more."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._counters = ContinuityCounters()
        self._file: TsFile | None = None
        self._container: OutputContainer | None = None
        self._streams: Streams = {}

    def begin(self, path: Path) -> None:
        """Close the segment before, and create *path*. Raises `DestinationError`."""
        self.close()
        self._file = TsFile(path, self._counters)
        self._container = av.open(
            self._file, "w", format="mpegts", options=_OPTIONS, buffer_size=_BUFFER_BYTES
        )
        self._streams = {}
        if (video := self._program.video) is not None:
            time_base = Fraction(1, video.template.fps)
            self._streams[StreamKind.VIDEO] = (add_video(self._container, video), time_base)
        if (audio := self._program.audio) is not None:
            time_base = Fraction(1, audio.sample_rate_hz)
            self._streams[StreamKind.AUDIO] = (add_audio(self._container, audio), time_base)

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet, in decoding order per stream. Raises `DestinationError`."""
        if self._container is None:
            raise DestinationError("no segment is open")
        stamped = stamped_packet(packet, self._streams, start_s=START_S)
        with self._ending_on_error(self._container):
            self._container.mux_one(stamped)
        if self._file is not None:
            self._file.mark()

    def close(self) -> None:
        """Finish the open segment, if any. Raises `DestinationError`."""
        if self._container is None:
            return
        with self._ending_on_error(self._container):
            self._container.start_encoding()  # an empty segment has tables too
            self._container.close()
        self._end()

    @contextmanager
    def _ending_on_error(self, container: OutputContainer) -> Iterator[None]:
        file = self._file
        assert file is not None
        try:
            yield
            if file.error is not None:
                raise file.error
        except (DestinationError, av.FFmpegError) as exc:
            # Closing flushes into a file that takes nothing more.
            try:
                container.close()
            except (DestinationError, av.FFmpegError):
                pass
            self._end()
            if file.error is not None:
                raise file.error from exc
            raise InternalError(f"the TS muxer failed: {exc}") from exc

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._container = None
