"""Encode templates: "1280x720_30_1710" is size, frame rate and video bitrate."""

from dataclasses import dataclass

from worker.core.layout.geometry import Size


@dataclass(frozen=True, slots=True)
class EncodeTemplate:
    """What the video encoder must produce. `audio_only` jobs have none of these.

    Source: SparkRTC API, table of encode templates (`docs/api.md`).
    """

    size: Size
    fps: int
    bitrate_kbps: int
