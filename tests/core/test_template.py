import pytest

from worker.core.layout.geometry import Size
from worker.core.template import ALL_TEMPLATES, EncodeTemplate, parse_template

# API reference, table 6.1, and 640x480_15_1000 from its change log.
TABLE = {
    "1920x1080_30_4620": (1920, 1080, 30, 4620),
    "1920x1080_30_3150": (1920, 1080, 30, 3150),
    "1920x1080_15_3460": (1920, 1080, 15, 3460),
    "1920x1080_15_2080": (1920, 1080, 15, 2080),
    "1280x720_30_3420": (1280, 720, 30, 3420),
    "1280x720_30_1710": (1280, 720, 30, 1710),
    "1280x720_15_2260": (1280, 720, 15, 2260),
    "1280x720_15_1130": (1280, 720, 15, 1130),
    "640x480_30_1500": (640, 480, 30, 1500),
    "640x480_30_1000": (640, 480, 30, 1000),
    "640x480_15_1000": (640, 480, 15, 1000),
    "640x480_15_500": (640, 480, 15, 500),
    "480x360_30_490": (480, 360, 30, 490),
    "480x360_15_320": (480, 360, 15, 320),
}


@pytest.mark.parametrize(("name", "facts"), TABLE.items())
@pytest.mark.parametrize("cross", ["x", "X", "*"])
def test_every_template_of_the_api_is_read_in_every_spelling(
    name: str, facts: tuple[int, int, int, int], cross: str
) -> None:
    width, height, fps, kbps = facts
    assert parse_template(name.replace("x", cross)) == EncodeTemplate(
        Size(width, height), fps, kbps
    )


def test_the_list_of_templates_is_the_table() -> None:
    assert [template.name for template in ALL_TEMPLATES] == list(TABLE)


def test_audio_only_has_no_video_template() -> None:
    assert parse_template("audio_only") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AUDIO_ONLY",
        "audio_only ",
        "1280x720",
        "1280x720_30",
        "1280x720_30_1711",
        "1280x720_25_1710",
        "720x1280_30_1710",
        "01280x720_30_1710",
        " 1280x720_30_1710",
        "1280x720_30_1710\n",
        "1280×720_30_1710",
        "１２８０x720_30_1710",
        "1280**720_30_1710",
        "99999x99999_30_1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an encode template"):
        parse_template(text)
