"""CPU of composing and of encoding, in milliseconds per output frame and cores per output second.

    python benchmarks/compose.py

Every tile gets a new picture with every frame. Process CPU time is measured, so other processes
disturb less; the best of several rounds is printed.
"""

import time
from collections.abc import Callable

import numpy as np

from worker.core.identity import TrackId
from worker.core.layout.gallery import grid_for, grid_tiles
from worker.core.layout.geometry import Fit, Size
from worker.core.layout.scene import Scene, Tile
from worker.core.planes import VideoPlanes
from worker.core.template import parse_template
from worker.media.compose import TileCompositor
from worker.media.encode import EncoderSettings, X264Encoder
from worker.media.frames import FramePicture, picture_of
from worker.media.images import ImageLibrary

CASES = (
    (1, Size(1280, 720), Size(1280, 720)),
    (4, Size(640, 360), Size(1280, 720)),
    (9, Size(640, 360), Size(1280, 720)),
    (9, Size(480, 640), Size(1280, 720)),
    (16, Size(320, 180), Size(1280, 720)),
    (25, Size(320, 180), Size(1280, 720)),
    (25, Size(640, 360), Size(1280, 720)),
    (25, Size(640, 360), Size(1920, 1080)),
)
ENCODERS = (
    ("1280x720_30_1710", EncoderSettings()),
    ("1280x720_30_1710", EncoderSettings(threads=2)),
    ("1280x720_30_1710", EncoderSettings(preset="veryfast")),
    ("1920x1080_30_3150", EncoderSettings()),
)
ROUNDS = 5
FRAMES = 60


def main() -> None:
    print("composing, ms CPU per output frame")
    for count, source, canvas in CASES:
        changing = compose_ms(count, source, canvas, changing=count)
        half = compose_ms(count, source, canvas, changing=count // 2)
        print(
            f"  {count:2} x {source.width}x{source.height} -> {canvas.width}x{canvas.height}"
            f"  all new {changing:5.2f}  half new {half:5.2f}"
        )
    print("encoding nine moving tiles, CPU seconds per output second")
    for name, settings in ENCODERS:
        cores = encode_cores(name, settings)
        print(f"  {name} {settings.preset} threads={settings.threads} {cores:.3f}")


def compose_ms(count: int, source: Size, canvas: Size, *, changing: int) -> float:
    compositor = TileCompositor(canvas, ImageLibrary())
    scene = gallery(count, canvas)
    tracks = [tile.track_id for tile in scene.tiles if tile.track_id is not None]
    film = noise(source, 4)
    pictures = dict.fromkeys(tracks, film[0])

    def run() -> None:
        for frame in range(FRAMES):
            # A new object each time: what arrives is never the picture of before.
            fresh = FramePicture(film[frame % len(film)].frame)
            pictures.update(dict.fromkeys(tracks[:changing], fresh))
            compositor.compose(scene, pictures).release()

    return best_cpu_s(run) / FRAMES * 1000


def encode_cores(name: str, settings: EncoderSettings) -> float:
    template = parse_template(name)
    assert template is not None
    compositor = TileCompositor(template.size, ImageLibrary(), canvases=2 * template.fps + 1)
    scene = gallery(9, template.size)
    tracks = [tile.track_id for tile in scene.tiles if tile.track_id is not None]
    film = camera(Size(640, 360), 2 * template.fps)
    ticks = range(6 * template.fps)
    # Composed beforehand, so that only encoding is measured, its threads included.
    canvases = [
        compositor.compose(
            scene, {track: film[(tick + 7 * i) % len(film)] for i, track in enumerate(tracks)}
        )
        for tick in ticks[: len(film)]
    ]

    def run() -> None:
        encoder = X264Encoder(template, settings)
        for tick in ticks:
            encoder.encode(canvases[tick % len(canvases)], tick, keyframe=False)
        encoder.flush()

    return best_cpu_s(run, rounds=2) * template.fps / len(ticks)


def gallery(count: int, canvas: Size) -> Scene:
    boxes = grid_tiles(canvas, grid_for(count))[:count]
    return Scene(
        canvas,
        None,
        tuple(
            Tile(box, Fit.COVER, None, TrackId(str(index)), None, "")
            for index, box in enumerate(boxes)
        ),
    )


def noise(size: Size, count: int) -> list[FramePicture]:
    source = np.random.default_rng(1)
    half = (size.height // 2, size.width // 2)
    return [
        picture_of(
            VideoPlanes(
                *(
                    source.integers(16, 236, shape).astype(np.uint8)
                    for shape in (
                        (size.height, size.width),
                        half,
                        half,
                    )
                )
            )
        )
        for _ in range(count)
    ]


def camera(size: Size, count: int) -> list[FramePicture]:
    """A textured scene that sways, with sensor noise."""
    source = np.random.default_rng(2)
    rough = source.normal(0, 1, (size.height // 8 + 20, size.width // 8 + 20))
    scene = np.kron(rough, np.ones((8, 8))) * 25 + 120
    pictures = []
    for tick in range(count):
        angle = 2 * np.pi * tick / count
        top = round(40 + 40 * np.sin(angle))
        left = round(60 + 60 * np.cos(angle))
        view = scene[top : top + size.height, left : left + size.width]
        luma = view + source.normal(0, 2, (size.height, size.width))
        half = (size.height // 2, size.width // 2)
        pictures.append(
            picture_of(
                VideoPlanes(
                    np.clip(luma, 16, 235).astype(np.uint8),
                    np.full(half, 110, np.uint8),
                    np.full(half, 140, np.uint8),
                )
            )
        )
    return pictures


def best_cpu_s(run: Callable[[], None], rounds: int = ROUNDS) -> float:
    run()
    times = []
    for _ in range(rounds):
        before = time.process_time()
        run()
        times.append(time.process_time() - before)
    return min(times)


if __name__ == "__main__":
    main()
