"""A still of the running output, for people who watch over a job."""

from io import BytesIO

from PIL import Image

from worker.errors import InternalError
from worker.media.canvas import PooledCanvas
from worker.ports import Canvas

_MOST_WIDTH_PX = 960
_QUALITY = 80


def jpeg_still(canvas: Canvas) -> bytes:
    """The picture of *canvas* as a JPEG, reduced to at most 960 pixels in width."""
    if not isinstance(canvas, PooledCanvas):
        raise InternalError("this canvas is not from a compositor of this package")
    width = min(_MOST_WIDTH_PX, canvas.size.width)
    height = round(canvas.size.height * width / canvas.size.width)
    pixels = canvas.frame().reformat(width, height, "rgb24").to_ndarray()
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=_QUALITY)
    return file.getvalue()
