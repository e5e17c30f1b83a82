from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.material import RED, flat, striped
from tests.media.recordings import canvas_of
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.core.template import EncodeTemplate
from worker.errors import DestinationError, MediaError
from worker.media.canvas import CanvasPool
from worker.media.contact_sheet import contact_sheet, still
from worker.media.encode import EncoderSettings, X264Encoder
from worker.media.mux import Mp4Muxer
from worker.ports import Program

SIZE = Size(96, 64)


def brightening(path: Path, seconds: int) -> Path:
    """Second s of the file has luma 16 + 20 * s."""
    encoder = X264Encoder(EncodeTemplate(SIZE, 30, 200), EncoderSettings())
    muxer = Mp4Muxer(path, Program(encoder.stream, None))
    pool = CanvasPool(SIZE, 1)
    for tick in range(seconds * 30):
        canvas = canvas_of(pool, flat(SIZE, (16 + 20 * (tick // 30), 128, 128)))
        for packet in encoder.encode(canvas, tick, keyframe=False):
            muxer.write(packet)
        canvas.release()
    for packet in encoder.flush():
        muxer.write(packet)
    muxer.close()
    return path


def test_the_sheet_shows_evenly_spaced_frames_row_by_row(tmp_path: Path) -> None:
    sheet_path = tmp_path / "sheet.png"
    contact_sheet(brightening(tmp_path / "a.mp4", 6), sheet_path, columns=3, rows=2)
    sheet = np.asarray(Image.open(sheet_path))
    assert sheet.shape == (2 * (64 + 4) + 4, 3 * (96 + 4) + 4, 3)
    for index in range(6):
        row, column = divmod(index, 3)
        middle = sheet[4 + row * 68 + 32, 4 + column * 100 + 48]
        # Luma 16 + 20 s is grey 20 s * 255 / 219.
        assert middle == pytest.approx(20 * index * 255 / 219, abs=4)


def test_a_file_without_frames_is_a_media_error(tmp_path: Path) -> None:
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"not an mp4")
    for path in (broken, tmp_path / "missing.mp4"):
        with pytest.raises(MediaError):
            contact_sheet(path, tmp_path / "sheet.png", 2, 2)


def test_a_sheet_that_cannot_be_written_is_a_destination_error(tmp_path: Path) -> None:
    with pytest.raises(DestinationError):
        contact_sheet(brightening(tmp_path / "a.mp4", 1), tmp_path / "no" / "sheet.png", 1, 1)


def test_a_still_has_the_colours_of_the_canvas(tmp_path: Path) -> None:
    planes: VideoPlanes = striped(SIZE, [RED, (235, 128, 128)], across=True)
    canvas = canvas_of(CanvasPool(SIZE, 1), planes)
    still(canvas, tmp_path / "still.png")
    canvas.release()
    image = Image.open(tmp_path / "still.png")
    assert image.size == (96, 64)
    assert image.getpixel((10, 10)) == pytest.approx((255, 0, 0), abs=3)
    assert image.getpixel((80, 10)) == pytest.approx((255, 255, 255), abs=3)
