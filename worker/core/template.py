"""Encode templates: "1280x720_30_1710" is size, frame rate and video bitrate."""

from dataclasses import dataclass

from worker.core.layout.geometry import Size

AUDIO_ONLY = "audio_only"
"""The template of a job without video."""


@dataclass(frozen=True, slots=True)
class EncodeTemplate:
    """What the video encoder must produce. `audio_only` jobs have none of these.

    Source: SparkRTC API, table of encode templates.
    """

    size: Size
    fps: int
    bitrate_kbps: int

    @property
    def name(self) -> str:
        """The API's name, spelled with `x`."""
        return f"{self.size.width}x{self.size.height}_{self.fps}_{self.bitrate_kbps}"


ALL_TEMPLATES = (
    EncodeTemplate(Size(1920, 1080), 30, 4620),
    EncodeTemplate(Size(1920, 1080), 30, 3150),
    EncodeTemplate(Size(1920, 1080), 15, 3460),
    EncodeTemplate(Size(1920, 1080), 15, 2080),
    EncodeTemplate(Size(1280, 720), 30, 3420),
    EncodeTemplate(Size(1280, 720), 30, 1710),
    EncodeTemplate(Size(1280, 720), 15, 2260),
    EncodeTemplate(Size(1280, 720), 15, 1130),
    EncodeTemplate(Size(640, 480), 30, 1500),
    EncodeTemplate(Size(640, 480), 30, 1000),
    # Only the API's change log has this one; whoever still sends it gets what it names.
    EncodeTemplate(Size(640, 480), 15, 1000),
    EncodeTemplate(Size(640, 480), 15, 500),
    EncodeTemplate(Size(480, 360), 30, 490),
    EncodeTemplate(Size(480, 360), 15, 320),
)
"""Every template of the API, largest first."""

_BY_NAME = {template.name: template for template in ALL_TEMPLATES}


def parse_template(text: str) -> EncodeTemplate | None:
    """The template named *text*; None for `audio_only`.

    The API's tables spell the size with `*`, its examples with `x`; `x`, `X` and `*` are all
    taken. Raises ValueError for any other text.
    """
    if text == AUDIO_ONLY:
        return None
    template = _BY_NAME.get(text.replace("*", "x").replace("X", "x"))
    if template is None:
        raise ValueError("is not an encode template")
    return template
