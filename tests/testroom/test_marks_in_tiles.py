"""Marks after everything a recording does to them: encoded, decoded, scaled, encoded again."""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.support import seeing
from tests.support.seeing import Watch
from worker.core.identity import Codec, Source
from worker.core.layout.geometry import Rect, Size
from worker.core.planes import VideoPlanes
from worker.media.loops import LiveVideoEncoder, VideoSettings
from worker.testroom.marks import is_flash_instant
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person, Sighting, recognise

CANVAS = Size(480, 360)
CANVAS_KBPS = 490
FRAMES = 24
FPS = 30
SOURCE = Size(320, 180)


class Sender:
    """One person's camera or screen, as it comes out of a decoder and a scaler."""

    def __init__(self, index: int, tile: Size, motion: float) -> None:
        self.index = index
        self.source = Source.SCREEN if index % 5 == 4 else Source.CAMERA
        codec = Codec.H264 if index % 2 else Codec.VP8
        self._painter = Painter(
            Picture(Person(index, f"User {index}"), self.source, SOURCE, FPS, 10, motion)
        )
        self._encoder = LiveVideoEncoder(VideoSettings(codec, SOURCE, FPS, 150))
        self._decoder = av.CodecContext.create("h264" if codec is Codec.H264 else "vp8", "r")
        self._decoder.options = {"flags": "+low_delay"}
        self._decoder.thread_count = 1
        self._scaler = av.video.reformatter.VideoReformatter()
        self._tile = tile

    def number(self, frame: int) -> int:
        """People joined at different times: their counters differ."""
        return frame + 11 * self.index

    def tile(self, frame: int) -> VideoPlanes:
        unit = self._encoder.encode(self._painter.paint(self.number(frame)))
        (picture,) = self._decoder.decode(av.Packet(unit.data))
        # To cover the tile: scaled by its height, the sides cut off.
        width = SOURCE.width * self._tile.height // SOURCE.height // 2 * 2
        scaled = self._scaler.reformat(picture, width, self._tile.height, interpolation="BILINEAR")
        left = (width - self._tile.width) // 4 * 2
        return seeing.crop(planes_of(scaled), Rect(left, 0, self._tile.width, self._tile.height))


def planes_of(picture: av.VideoFrame) -> VideoPlanes:
    flat = picture.to_ndarray(format="yuv420p").ravel()
    width, height = picture.width, picture.height
    luma, chroma = width * height, width * height // 4
    return VideoPlanes(
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(height // 2, width // 2),
        flat[luma + chroma :].reshape(height // 2, width // 2),
    )


def recorded(senders: list[Sender], boxes: list[Rect]) -> Iterator[VideoPlanes]:
    """Every frame of a recording of *senders* in *boxes*, decoded again."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = CANVAS.width, CANVAS.height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    encoder.bit_rate, encoder.gop_size = CANVAS_KBPS * 1000, 60
    encoder.options = {
        "preset": "superfast",
        "x264-params": f"bframes=0:vbv-maxrate={CANVAS_KBPS}:vbv-bufsize={CANVAS_KBPS}",
    }
    decoder = av.CodecContext.create("h264", "r")
    packets = []
    for frame in range(FRAMES):
        packed = np.full((CANVAS.height * 3 // 2, CANVAS.width), 128, np.uint8)
        picture = av.VideoFrame.from_ndarray(packed, format="yuv420p")
        canvas = planes_of(picture)
        for sender, box in zip(senders, boxes, strict=True):
            tile, target = sender.tile(frame), seeing.crop(canvas, box)
            target.y[:], target.u[:], target.v[:] = tile.y, tile.u, tile.v
        packed = np.concatenate([plane.ravel() for plane in (canvas.y, canvas.u, canvas.v)])
        picture = av.VideoFrame.from_ndarray(packed.reshape(-1, CANVAS.width), format="yuv420p")
        picture.pts = frame
        packets += encoder.encode(picture)
    for packet in [*packets, *encoder.encode(None)]:
        for picture in decoder.decode(packet):
            yield planes_of(picture)
    for picture in decoder.decode(None):
        yield planes_of(picture)


@pytest.mark.parametrize(
    ("tile", "columns", "rows", "motion"),
    [(Size(96, 72), 5, 5, 0.3), (Size(60, 44), 2, 8, 0.3), (Size(60, 44), 2, 8, 1.0)],
    ids=["gallery of 25", "strip of 16", "strip of 16 in full motion"],
)
def test_every_tile_of_the_smallest_canvas_is_read_without_error(
    tile: Size, columns: int, rows: int, motion: float
):
    boxes = [
        Rect(column * tile.width, row * tile.height, tile.width, tile.height)
        for row in range(rows)
        for column in range(columns)
    ]
    senders = [Sender(index, tile, motion) for index in range(len(boxes))]

    frames = list(recorded(senders, boxes))

    assert len(frames) == FRAMES
    for frame, canvas in enumerate(frames):
        for sender, box in zip(senders, boxes, strict=True):
            reading = seeing.read_tile(canvas, Watch(box, source=SOURCE))
            assert reading.counter == sender.number(frame) % 300
            assert reading.flash == is_flash_instant(sender.number(frame), FPS)
            assert recognise(reading.corners) == Sighting(
                sender.index, is_screen=sender.source is Source.SCREEN
            )
