"""The cases that are measured: who sends what into which output."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.core.layout.gallery import grid_for, grid_tiles
from worker.core.layout.geometry import Rect, Size
from worker.core.template import EncodeTemplate, parse_template

LARGE, SMALL = Size(640, 360), Size(320, 180)
_FEEDS = {LARGE: (30, 500), SMALL: (15, 150)}
"""Frame rate and bitrate (kbit/s) of a camera by its size, as an SFU's two layers."""

SHAPES = ((1, LARGE), (4, LARGE), (9, LARGE), (16, SMALL), (25, SMALL), (25, LARGE))
CODECS = ("vp8", "h264")
TEMPLATES = ("1280x720_30_1710", "1920x1080_30_3150")


@dataclass(frozen=True, slots=True)
class Case:
    """*people* in the gallery, all with the same camera and a microphone they speak into."""

    people: int
    size: Size
    codec: str
    template_name: str

    @property
    def name(self) -> str:
        return f"{self.people} x {self.size.height}p {self.codec} -> {self.template_name}"

    @property
    def template(self) -> EncodeTemplate:
        template = parse_template(self.template_name)
        assert template is not None
        return template

    @property
    def source_fps(self) -> int:
        return _FEEDS[self.size][0]

    @property
    def boxes(self) -> Sequence[Rect]:
        """Where the pictures are shown, in the order people joined."""
        return grid_tiles(self.template.size, grid_for(self.people))[: self.people]

    @property
    def scenario(self) -> str:
        """The people, as a scenario file."""
        return scenario(self.people, camera=camera(self.size, self.codec))


def camera(size: Size, codec: str) -> str:
    """The table of a camera in a scenario."""
    fps, kbps = _FEEDS[size]
    return (
        f"width = {size.width}\nheight = {size.height}\n"
        f'fps = {fps}\nbitrate_kbps = {kbps}\ncodec = "{codec}"'
    )


def scenario(
    people: int, *, camera: str, first: int = 0, speakers: int | None = None, dtx: bool = True
) -> str:
    """A scenario of *people* called user-<first> and so on, with the [defaults.camera] *camera*.

    Everybody speaks, or only those whose number is below *speakers*; the others' microphones are
    open and pick up nothing, which they send in full or, with *dtx*, as browsers do that were
    asked to leave out pauses.
    """
    lines = ["[defaults.camera]", camera]
    for number in range(first, first + people):
        lines += ["[[participants]]", f'user_id = "user-{number:03}"']
        if speakers is not None and number >= speakers:
            lines.append('microphone = { mode = "silent", beep = false }')
            lines.append(f"dtx = {str(dtx).lower()}")
    return "\n".join(lines) + "\n"


def chosen(
    people: Sequence[int], codecs: Sequence[str], templates: Sequence[str]
) -> Sequence[Case]:
    """Every case of these people, codecs and templates; 25 people come in both sizes."""
    return [
        Case(count, size, codec, template)
        for template in templates
        for codec in codecs
        for count, size in SHAPES
        if count in people
    ]
