"""Looks into finished recordings: how much is in them, and whether they show the same."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_THUMB = (160, 90)
"""Small enough that edges do not count."""


@dataclass(frozen=True, slots=True)
class Content:
    """What ffprobe counts."""

    frames: int
    audio_s: float
    width: int
    height: int


def content_of(recording: Path) -> Content:
    """Counts the frames one by one."""
    said = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-count_packets", "-show_streams"),
            *("-of", "json", str(recording)),
        ],
        capture_output=True,
        check=True,
    )
    streams = {stream["codec_type"]: stream for stream in json.loads(said.stdout)["streams"]}
    video, audio = streams["video"], streams["audio"]
    return Content(
        int(video["nb_read_packets"]), float(audio["duration"]), video["width"], video["height"]
    )


def save_frame(recording: Path, at_s: float, picture: Path) -> None:
    """The picture shown at *at_s* as PNG."""
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-ss", str(at_s), "-i", str(recording)),
            *("-frames:v", "1", str(picture)),
        ],
        check=True,
    )


def likeness_db(one: Path, other: Path) -> float:
    """PSNR of two pictures' colours, small: above 30 dB the same people are in the same places.

    Only colours: counters and flashes are black and white, and the recordings began at different
    instants.
    """
    difference = _thumb(one) - _thumb(other)
    mean_square = float(np.mean(difference * difference))
    return 99.0 if mean_square == 0 else round(10 * float(np.log10(255**2 / mean_square)), 1)


def _thumb(picture: Path) -> NDArray[np.float64]:
    with Image.open(picture) as image:
        small = image.convert("YCbCr").resize(_THUMB, Image.Resampling.BOX)
        return np.asarray(small, np.float64)[..., 1:]
