import pytest

from worker.core.layout.geometry import Size
from worker.rooms.janus_layers import SimulcastLayers


@pytest.mark.parametrize(
    ("tile", "substream"),
    [
        (Size(1280, 720), 2),
        (Size(960, 720), 2),
        (Size(640, 360), 1),
        (Size(426, 240), 1),
        (Size(320, 180), 0),
        (Size(160, 90), 0),
        (Size(350, 196), 0),
    ],
)
def test_the_smallest_layer_that_covers_the_tile_is_taken(tile: Size, substream: int) -> None:
    assert SimulcastLayers().fit(tile) == substream


def test_layers_are_as_large_as_a_keyframe_showed() -> None:
    layers = SimulcastLayers()
    layers.note(0, Size(160, 90))
    assert layers.fit(Size(320, 180)) == 1
    layers.note(2, Size(1920, 1080))
    assert layers.fit(Size(426, 240)) == 0
