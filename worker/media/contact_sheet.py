"""Pictures for people: a sheet of evenly spaced frames of a recording, and a still of a canvas."""

from pathlib import Path

import av
from PIL import Image

from worker.errors import DestinationError, MediaError
from worker.media.canvas import PooledCanvas
from worker.media.colour import rgb_of_planes

_THUMBNAIL_WIDTH_PX = 480
_GAP_PX = 4


def contact_sheet(mp4: Path, png: Path, columns: int, rows: int) -> None:
    """Write *columns* x *rows* frames of *mp4*, each from the middle of its part of the time.

    Raises `MediaError` when the file has no video, `DestinationError` when *png* cannot be
    written.
    """
    thumbnails = _frames(mp4, columns * rows)
    width, height = thumbnails[0].size
    sheet = Image.new(
        "RGB", (columns * (width + _GAP_PX) + _GAP_PX, rows * (height + _GAP_PX) + _GAP_PX)
    )
    for index, thumbnail in enumerate(thumbnails):
        row, column = divmod(index, columns)
        sheet.paste(
            thumbnail, (_GAP_PX + column * (width + _GAP_PX), _GAP_PX + row * (height + _GAP_PX))
        )
    _save(sheet, png)


def still(canvas: PooledCanvas, png: Path) -> None:
    """Write a composed picture. Raises `DestinationError`."""
    _save(Image.fromarray(rgb_of_planes(canvas.planes)), png)


def _frames(mp4: Path, count: int) -> list[Image.Image]:
    try:
        with av.open(str(mp4), "r") as container:
            if not container.streams.video or not container.duration:
                raise MediaError(f"{mp4} has no video")
            length_us = container.duration
            return [
                _frame_at(container, length_us * (2 * index + 1) // (2 * count))
                for index in range(count)
            ]
    except (av.FFmpegError, OSError) as exc:
        raise MediaError(f"{mp4} cannot be read: {exc}") from exc


def _frame_at(container: av.container.InputContainer, time_us: int) -> Image.Image:
    """The frame shown at *time_us*, reduced; the last one when the video ends before."""
    container.seek(time_us, backward=True)
    shown: av.VideoFrame | None = None
    for frame in container.decode(video=0):
        if shown is not None and frame.time * 1_000_000 > time_us:
            break
        shown = frame
    if shown is None:
        raise MediaError("a part of the recording has no frame")
    width = min(_THUMBNAIL_WIDTH_PX, shown.width)
    height = round(shown.height * width / shown.width)
    return Image.fromarray(shown.reformat(width, height, "rgb24").to_ndarray())


def _save(image: Image.Image, png: Path) -> None:
    try:
        image.save(png, format="PNG")
    except OSError as exc:
        raise DestinationError(f"{png} cannot be written: {exc.strerror}") from exc
