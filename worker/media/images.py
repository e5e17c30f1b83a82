"""Background images: PNG and JPEG, checked before they are decoded, kept as pictures.

From files, and from stores through a function that is given.
"""

import io
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from worker.core.spec import ImageRef
from worker.errors import DestinationError, MediaError
from worker.media.colour import planes_of_rgb
from worker.media.frames import FramePicture, picture_of

MAX_FILE_BYTES = 10 << 20
MAX_PIXELS = 4096 * 4096
"""A 20 kB PNG may unpack to 13000 x 13000 pixels and 800 MB."""

KEPT_SIDE_PX = 1920
"""Larger images are reduced once: no canvas is wider, and memory is for the life of the job."""

MAX_IMAGES = 64
"""The API names at most 25 users with an image each, a default, a stage and a canvas."""


FetchImage = Callable[[ImageRef], bytes]
"""Bytes of an image in a store, `MAX_FILE_BYTES` at most. Raises `DestinationError`.

Called on the thread that loads.
"""


class ImageLibrary:
    """Images by reference. Loading and looking up may happen on different threads."""

    def __init__(self, fetch: FetchImage | None = None) -> None:
        """*fetch*: for addresses `s3://`; without it those are warnings."""
        self._fetch = fetch
        self._pictures: OrderedDict[ImageRef, FramePicture] = OrderedDict()
        self._lock = Lock()

    def load(self, refs: Sequence[ImageRef]) -> list[str]:
        """Load what is not there yet; one warning for each that cannot be, naming it.

        Beyond 64 images those asked for longest ago are forgotten.
        """
        warnings: list[str] = []
        for ref in dict.fromkeys(refs):
            with self._lock:
                if ref in self._pictures:
                    self._pictures.move_to_end(ref)
                    continue
            try:
                picture = decode_image(self._bytes(ref))
            except (MediaError, DestinationError) as exc:
                warnings.append(f"image {ref}: {exc}")
                continue
            with self._lock:
                self._pictures[ref] = picture
                while len(self._pictures) > MAX_IMAGES:
                    self._pictures.popitem(last=False)
        return warnings

    def get(self, ref: ImageRef) -> FramePicture | None:
        """The image, or None when it is not loaded or broken."""
        with self._lock:
            return self._pictures.get(ref)

    def _bytes(self, ref: ImageRef) -> bytes:
        if not ref.startswith("s3://"):
            return _read(_path(ref))
        if self._fetch is None:
            raise MediaError("this worker has no access to stores")
        return self._fetch(ref)


def _path(ref: ImageRef) -> Path:
    url = urlsplit(ref)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise MediaError("the address is neither s3:// nor a local file://")
    path = unquote(url.path)
    if "\0" in path:
        raise MediaError("the address is not a path")
    return Path(path)


def _read(path: Path) -> bytes:
    try:
        # Not blocking: the name may belong to a pipe nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MediaError("it is not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise MediaError(f"it cannot be read: {exc.strerror}") from exc
    if len(data) > MAX_FILE_BYTES:
        raise MediaError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
    return data


def decode_image(data: bytes) -> FramePicture:
    """A PNG or JPEG as a picture, upright, on black where transparent, sides even.

    Raises `MediaError` for other formats, broken data and more than 4096 x 4096 pixels; the size
    is known before any pixel is decoded.
    """
    try:
        image = _opened(data)
        if image.width * image.height > MAX_PIXELS:
            raise MediaError(f"{image.width}x{image.height} pixels are too many")
        # JPEG only: decodes at an eighth to the full size, whichever is still large enough.
        image.draft("RGB", (KEPT_SIDE_PX, KEPT_SIDE_PX))
        upright = ImageOps.exif_transpose(image)
        return _picture(upright.convert("RGBA"))
    except MediaError:
        raise
    except Exception as exc:
        # Per-image boundary: broken files make Pillow raise nearly anything (OSError,
        # SyntaxError, ValueError, struct.error, zlib.error, ...).
        raise MediaError(f"it is broken: {type(exc).__name__}") from exc


def _opened(data: bytes) -> Image.Image:
    # The classes themselves: `Image.open` asks all formats there are, and only warns of bombs.
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(io.BytesIO(data))
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(io.BytesIO(data))
    raise MediaError("it is neither PNG nor JPEG")


def _picture(image: Image.Image) -> FramePicture:
    scale = min(1.0, KEPT_SIDE_PX / max(image.size))
    width, height = (max(2, round(side * scale) // 2 * 2) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BOX)
    opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
    opaque.alpha_composite(image)
    return picture_of(planes_of_rgb(np.asarray(opaque.convert("RGB"))))
