"""What a killed worker has left of a file: made whole, and measured."""

from pathlib import Path

import av

from worker.errors import MediaError
from worker.media.mp4_finish import finish

_MP4 = ".mp4"


def finish_leftover(path: Path) -> float:
    """Make an ordinary MP4 of one that was cut, and leave segments as they are; its seconds.

    May be called again. Raises `MediaError` when there is nothing to be saved, and
    `DestinationError` when the disk refuses.
    """
    if path.suffix == _MP4:
        finish(path)
    try:
        with av.open(str(path)) as container:
            duration = container.duration
    except (av.FFmpegError, OSError) as exc:
        raise MediaError(f"{path.name} cannot be read: {type(exc).__name__}") from exc
    if not duration:
        raise MediaError(f"{path.name} has no media")
    return float(duration / av.time_base)
