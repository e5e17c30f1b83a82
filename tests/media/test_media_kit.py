from pathlib import Path

import numpy as np
from PIL import Image

from tests.media.material import RED, colour_at, flat_picture, is_near, moving_frames, tile
from tests.media.recordings import TEMPLATE, strict_complaints
from worker.core.identity import Codec, TrackId
from worker.core.layout.geometry import Rect
from worker.core.layout.scene import Scene
from worker.core.spec import ImageRef
from worker.media.colour import yuv_of
from worker.media.kit import PyavKit
from worker.ports import MediaKit, Program


def test_the_kit_makes_everything_a_recording_needs(tmp_path: Path) -> None:
    kit: MediaKit = PyavKit()
    decoder, compositor = kit.video_decoder(), kit.compositor(TEMPLATE.size)
    video, audio = kit.video_encoder(TEMPLATE), kit.audio_encoder()
    muxer = kit.mp4(tmp_path / "a.mp4", Program(video.stream, audio.stream))
    whole = Rect(0, 0, TEMPLATE.size.width, TEMPLATE.size.height)
    scene = Scene(TEMPLATE.size, None, (tile(whole, "a"),))
    pictures = {}
    for tick, frame in enumerate(moving_frames(Codec.VP8, TEMPLATE.size, 30)):
        picture = decoder.decode(frame)
        assert picture is not None
        pictures[TrackId("a")] = picture
        canvas = compositor.compose(scene, pictures)
        packets = [*video.encode(canvas, tick, keyframe=False)]
        canvas.release()
        packets += audio.encode(np.zeros((1600, 2), np.float32))
        for packet in packets:
            muxer.write(packet)
    for packet in [*audio.flush(), *video.flush()]:
        muxer.write(packet)
    muxer.close()
    assert strict_complaints(tmp_path / "a.mp4") == ""
    assert kit.audio_decoder().conceal(960).shape == (960, 1)


def test_images_loaded_into_the_kit_are_seen_by_its_compositors(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (0, 0, 255)).save(tmp_path / "blue.png")
    ref = ImageRef((tmp_path / "blue.png").as_uri())
    kit = PyavKit()
    compositor = kit.compositor(TEMPLATE.size)
    warnings = kit.load_images([ref, ImageRef("s3://bucket/red.png")])
    assert len(warnings) == 1 and "s3://bucket/red.png" in warnings[0]
    canvas = compositor.compose(
        Scene(TEMPLATE.size, ref, (tile(Rect(0, 0, 32, 32), "a"),)),
        {TrackId("a"): flat_picture(TEMPLATE.size, RED)},
    )
    assert is_near(colour_at(canvas.planes, 60, 50), yuv_of((0, 0, 255)))
    assert is_near(colour_at(canvas.planes, 10, 10), RED)
    canvas.release()
