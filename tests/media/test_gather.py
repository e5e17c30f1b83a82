"""Scaling without gathering: where it is done, that it takes hold, that nobody sees it."""

import ctypes
import subprocess
import sys

import pytest

from worker.core.layout.geometry import Size
from worker.media.compose import TileCompositor
from worker.media.gather import SLOW_GATHER, avoid_slow_gathers, is_slow, loaded
from worker.media.images import ImageLibrary

AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\n"
INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\n"

SCALED = """
import hashlib, sys
import numpy as np
from worker.core.layout.geometry import Fit, Rect
from worker.core.planes import VideoPlanes
from worker.media import gather
from worker.media.frames import picture_of
from worker.media.scale import TileScaler

gather.is_slow = lambda *told: sys.argv[1] == "avoiding"
gather.avoid_slow_gathers()
noise = np.random.default_rng(1).integers(16, 236, (540, 640), np.uint8)
chroma = noise[360:].reshape(2, 180, 320)
picture = picture_of(VideoPlanes(noise[:360], chroma[0], chroma[1]))
digest = hashlib.sha256()
for size in ((426, 240), (256, 144), (640, 358), (980, 552)):
    for fit in Fit:
        planes = TileScaler(Rect(0, 0, *size), fit).patch(picture).planes
        for plane in (planes.y, planes.u, planes.v):
            digest.update(plane.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "leak", "slow"),
    [
        ("x86_64", AMD, "Not affected\n", True),
        ("x86_64", INTEL, "Mitigation: Microcode\n", True),
        ("x86_64", INTEL, "Not affected\n", False),
        ("x86_64", INTEL, "Vulnerable: No microcode\n", False),
        ("x86_64", "", "", False),
        ("aarch64", AMD, "Mitigation: Microcode\n", False),
    ],
)
def test_gathering_is_slow_on_amd_and_where_microcode_closes_its_leak(
    machine: str, cpuinfo: str, leak: str, slow: bool
) -> None:
    assert is_slow(machine, cpuinfo, leak) is slow


def test_a_compositor_tells_ffmpeg_what_this_processor_is_like() -> None:
    TileCompositor(Size(64, 36), ImageLibrary())
    (path,) = loaded("libavutil")
    told = bool(ctypes.CDLL(path).av_get_cpu_flags() & SLOW_GATHER)
    # FFmpeg knows by itself of some processors.
    assert told or not avoid_slow_gathers()


def test_pixels_are_the_same_with_and_without_gathering() -> None:
    avoiding, gathering = (
        subprocess.run(
            [sys.executable, "-c", SCALED, way], check=True, capture_output=True, text=True
        ).stdout
        for way in ("avoiding", "gathering")
    )
    assert avoiding == gathering
