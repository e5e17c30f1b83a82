import io
import os
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.material import colour_at, is_near
from worker.core.layout.geometry import Size
from worker.core.spec import ImageRef
from worker.errors import DestinationRefused, MediaError
from worker.media import images
from worker.media.colour import yuv_of
from worker.media.images import ImageLibrary, decode_image

ORANGE = (255, 140, 0)


def png(
    size: tuple[int, int] = (8, 8), colour: tuple[int, ...] = ORANGE, mode: str = "RGB"
) -> bytes:
    return saved(Image.new(mode, size, colour), "PNG")


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A small PNG that unpacks to width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + crc

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width // 8 + 1)) for _ in range(height)) + packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\1\0\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def load_one(address: str) -> tuple[ImageLibrary, list[str]]:
    library = ImageLibrary()
    return library, library.load([ImageRef(address)])


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_png_and_jpeg_are_loaded_by_file_address(tmp_path: Path, form: str) -> None:
    path = tmp_path / "mit Leerzeichen & Ümlaut.img"
    path.write_bytes(saved(Image.new("RGB", (64, 32), ORANGE), form))
    library, warnings = load_one(path.as_uri())
    picture = library.get(ImageRef(path.as_uri()))
    assert warnings == [] and picture is not None
    assert picture.size == Size(64, 32)
    assert is_near(colour_at(picture.planes, 30, 15), yuv_of(ORANGE))


def test_odd_sides_become_even_and_large_images_are_reduced() -> None:
    assert decode_image(png((33, 17))).size == Size(32, 16)
    assert decode_image(png((1, 1))).size == Size(2, 2)
    assert decode_image(png((4000, 1000))).size == Size(1920, 480)
    jpeg = saved(Image.new("RGB", (4000, 3000), ORANGE), "JPEG")
    assert decode_image(jpeg).size == Size(1920, 1440)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_every_kind_of_png_is_taken(mode: str) -> None:
    source = (
        Image.new("L", (8, 8), 255).convert("I").convert("I;16")
        if mode == "I;16"
        else (Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode))
    )
    assert decode_image(saved(source, "PNG")).size == Size(8, 8)


def test_transparent_parts_are_black() -> None:
    picture = decode_image(png((8, 8), (255, 0, 0, 0), "RGBA"))
    assert colour_at(picture.planes, 4, 4) == (16, 128, 128)


def test_a_photograph_lying_on_its_side_is_turned_upright() -> None:
    image = Image.new("RGB", (40, 20), (0, 0, 255))
    image.paste(ORANGE, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    picture = decode_image(saved(image, "JPEG", exif=exif, quality=95))
    assert picture.size == Size(20, 40)
    assert is_near(colour_at(picture.planes, 10, 8), yuv_of(ORANGE), 6)
    assert is_near(colour_at(picture.planes, 10, 32), yuv_of((0, 0, 255)), 6)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    data = bomb(13_000, 13_000)
    assert len(data) < 100_000
    started = time.process_time()
    with pytest.raises(MediaError, match="13000x13000"):
        decode_image(data)
    assert time.process_time() - started < 0.05


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM"])
def test_other_formats_are_refused(form: str) -> None:
    with pytest.raises(MediaError, match="neither PNG nor JPEG"):
        decode_image(saved(Image.new("RGB", (16, 16)), form))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_broken_images_raise_nothing_but_media_errors(form: str) -> None:
    source = np.random.default_rng(3)
    pixels = source.integers(0, 256, (24, 24, 3)).astype(np.uint8)
    whole = saved(Image.fromarray(pixels), form)
    for _ in range(200):
        data = bytearray(whole[: source.integers(4, len(whole) + 1)])
        for _ in range(source.integers(0, 6)):
            data[source.integers(3, len(data))] = source.integers(256)
        try:
            decode_image(bytes(data))
        except MediaError:
            continue


def test_each_image_that_cannot_be_loaded_is_one_warning_that_names_it(tmp_path: Path) -> None:
    good, broken, huge = tmp_path / "good.png", tmp_path / "broken.png", tmp_path / "huge.png"
    good.write_bytes(png())
    broken.write_bytes(png()[:40])
    huge.write_bytes(png() + bytes(images.MAX_FILE_BYTES))
    os.mkfifo(tmp_path / "pipe.png")
    bad = [
        broken.as_uri(),
        huge.as_uri(),
        (tmp_path / "pipe.png").as_uri(),
        (tmp_path / "missing.png").as_uri(),
        tmp_path.as_uri(),
        "s3://bucket/a.png",
        "http://example.org/a.png",
        f"file://elsewhere{good}",
        "file:///a%00b.png",
        "",
    ]
    library = ImageLibrary()
    warnings = library.load([ImageRef(ref) for ref in [*bad, good.as_uri(), broken.as_uri()]])
    assert len(warnings) == len(bad)
    for ref, warning in zip(bad, warnings, strict=True):
        assert ref in warning
        assert library.get(ImageRef(ref)) is None
    assert "no access to stores" in warnings[bad.index("s3://bucket/a.png")]
    assert library.get(ImageRef(good.as_uri())) is not None


def test_images_of_a_store_are_fetched_and_checked_like_files() -> None:
    objects = {"s3://b/a.png": png(), "s3://b/page.png": b"<html>", "s3://b/none.png": b""}
    asked: list[str] = []

    def fetch(ref: ImageRef) -> bytes:
        asked.append(ref)
        if ref not in objects:
            raise DestinationRefused("c.png: the store answered 403 AccessDenied")
        return objects[ref]

    library = ImageLibrary(fetch)
    refs = [ImageRef(ref) for ref in [*objects, "s3://b/c.png"]]
    assert library.load(refs) == [
        "image s3://b/page.png: it is neither PNG nor JPEG",
        "image s3://b/none.png: it is neither PNG nor JPEG",
        "image s3://b/c.png: c.png: the store answered 403 AccessDenied",
    ]
    assert library.get(refs[0]) is not None
    assert asked == refs


def test_the_first_frame_of_an_animation_is_shown() -> None:
    frames = [Image.new("RGB", (16, 16), (0, 0, level)) for level in range(200)]
    first = Image.new("RGB", (16, 16), ORANGE)
    animation = saved(first, "PNG", save_all=True, append_images=frames)
    assert animation.count(b"fcTL") > 100
    assert is_near(colour_at(decode_image(animation).planes, 8, 8), yuv_of(ORANGE))


def test_a_photograph_in_printing_colours_is_taken() -> None:
    picture = decode_image(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert is_near(colour_at(picture.planes, 8, 8), yuv_of((255, 0, 0)), 6)


def test_an_image_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    library, _ = load_one(path.as_uri())
    first = library.get(ImageRef(path.as_uri()))
    path.unlink()
    assert library.load([ImageRef(path.as_uri())]) == []
    assert library.get(ImageRef(path.as_uri())) is first


def test_no_more_than_64_images_are_kept_and_those_just_asked_for_stay(tmp_path: Path) -> None:
    refs = []
    for number in range(images.MAX_IMAGES + 3):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png((2, 2)))
        refs.append(ImageRef(path.as_uri()))
    library = ImageLibrary()
    library.load(refs[: images.MAX_IMAGES])
    library.load([refs[0], *refs[images.MAX_IMAGES :]])
    assert library.get(refs[0]) is not None
    assert [library.get(ref) is None for ref in refs[1:5]] == [True, True, True, False]
