"""Every encode template with every layout: the finished file's size, rate, weight and tiles.

The gate records each template once with one layout in turn, and each layout once on each canvas
size; the full product of both is the soak's.
"""

import itertools

import pytest

from tests.support import oracle
from tests.support.rehearse import Rehearsed, rehearse
from tests.support.seeing import TileHistory, Watch, read_tile
from worker.core.layout.geometry import Fit, Rect, Size
from worker.testroom.person import Sighting

TEMPLATES = [
    "1920x1080_30_4620",
    "1920x1080_30_3150",
    "1920x1080_15_3460",
    "1920x1080_15_2080",
    "1280x720_30_3420",
    "1280x720_30_1710",
    "1280x720_15_2260",
    "1280x720_15_1130",
    "640x480_30_1500",
    "640x480_30_1000",
    "640x480_15_500",
    "480x360_30_490",
    "480x360_15_320",
]
LAYOUTS = ["nine_grids_view", "screen_share_left", "screen_share_right", "custom"]
CANVASES = ["1920x1080_15_2080", "1280x720_15_1130", "640x480_15_500", "480x360_15_320"]

SECONDS = 12
BITRATE_TOLERANCE = 0.10
SCREEN = Size(1280, 720)

SCENARIO = """
[defaults.camera]
motion = 1.0
bitrate_kbps = 1500

[defaults.screen]
motion = 1.0
fps = 15
bitrate_kbps = 3000

[[participants]]
user_id = "user-0"
colour = 0
[[participants]]
user_id = "user-1"
colour = 1
[[participants]]
user_id = "user-2"
colour = 2
camera = {width = 360, height = 640}
[[participants]]
user_id = "user-3"
colour = 3
camera = {codec = "h264"}
"""
SHARE = """
[[events]]
at_s = 0
user_id = "user-1"
do = "share_screen"
"""
PANES = [
    {"id": 1, "user_id": "user-0", "x": 0, "y": 0, "width": 1, "height": 1, "zorder": 0},
    {"id": 2, "user_id": "user-1", "x": 0.6, "y": 0.05, "width": 0.35, "height": 0.4, "zorder": 2},
    {
        **{"id": 3, "user_id": "user-2", "x": 0.05, "y": 0.55, "width": 0.4, "height": 0.4},
        **{"zorder": 1, "crop_mode": "KEEP_RATIO_PADDING"},
    },
]


def record(directory, template: str, layout: str, seconds: float) -> Rehearsed:
    return rehearse(
        directory,
        SCENARIO + (SHARE if layout.startswith("screen_share") else ""),
        template=template,
        layout=layout,
        seconds=seconds,
        mix={"layout_panes": PANES} if layout == "custom" else None,
    )


def expected_tiles(layout: str, width: int, height: int) -> dict[Sighting, Watch]:
    """Who is in each tile, and where it lies."""
    sources = [Size(640, 360), Size(640, 360), Size(360, 640), Size(640, 360)]
    if layout == "custom":
        return {
            Sighting(1, is_screen=False): Watch(_pane(PANES[1], width, height), sources[1]),
            Sighting(2, is_screen=False): Watch(
                _pane(PANES[2], width, height), sources[2], Fit.CONTAIN
            ),
        }
    if layout == "nine_grids_view":
        rects, stage = oracle.gallery(4, width, height), {}
    else:
        side = layout.removeprefix("screen_share_")
        rects = oracle.strip(side, 4, width, height)
        stage = {
            Sighting(1, is_screen=True): Watch(
                oracle.stage(side, width, height), SCREEN, Fit.CONTAIN
            )
        }
    return stage | {
        Sighting(n, is_screen=False): Watch(rect, sources[n]) for n, rect in enumerate(rects)
    }


def _pane(pane: dict, width: int, height: int) -> Rect:
    edges = [
        2 * round(share * size / 2)
        for share, size in (
            (pane["x"], width),
            (pane["y"], height),
            (pane["x"] + pane["width"], width),
            (pane["y"] + pane["height"], height),
        )
    ]
    return Rect(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1])


def check_stream(done: Rehearsed, template: str, seconds: float) -> None:
    size, fps, _ = template.split("_")
    width, height = map(int, size.split("x"))
    video, audio = done.recording.video, done.recording.audio
    assert (video.width, video.height, video.frame_rate) == (width, height, int(fps))
    assert video.codec == "h264"
    assert video.packets == int(fps) * seconds
    assert video.times_s == pytest.approx([n / int(fps) for n in range(video.packets)], abs=1e-4)
    assert audio.codec == "aac"
    assert (audio.sample_rate_hz, audio.channels) == (48_000, 2)
    assert audio.duration_s == pytest.approx(video.duration_s, abs=1 / int(fps))
    assert done.recording.decode_errors() == ""
    assert done.result["video"]["late_frames"] == 0


def check_tiles(done: Rehearsed, layout: str, start_s: float, seconds: float) -> None:
    """Each person in its tile, its counter counting as its camera did."""
    tiles = expected_tiles(layout, done.recording.video.width, done.recording.video.height)
    histories = {who: TileHistory() for who in tiles}
    for planes in done.recording.frames(start_s=start_s, seconds=seconds):
        for who, watch in tiles.items():
            histories[who].add(read_tile(planes, watch))
    for who, history in histories.items():
        assert len(history.counters) == seconds * done.recording.fps
        assert set(history.people) == {who}, f"the tile of {who} shows {set(history.people)}"
        assert None not in history.counters, f"{who}: a counter cannot be read"
        check_counting(who, history.counters, done.recording.fps)


def check_counting(who: Sighting, counters: list[int], fps: float) -> None:
    """The counter in the picture moves as the source counted: 15 a second on screens, else 30."""
    source_fps = 15 if who.is_screen else 30
    loop_frames = 10 * source_fps
    moved = sum((b - a) % loop_frames for a, b in itertools.pairwise(counters))
    largest = max((b - a) % loop_frames for a, b in itertools.pairwise(counters))
    assert moved == pytest.approx((len(counters) - 1) * source_fps / fps, abs=1)
    assert largest <= max(1, source_fps / fps), f"{who}: the counter jumps by {largest}"


def check_bitrate(done: Rehearsed, template: str) -> None:
    asked_kbps = int(template.rsplit("_", 1)[1])
    got_kbps = done.recording.video.bitrate_kbps
    print(f"{template}: {got_kbps:.0f} kbit/s, {got_kbps / asked_kbps - 1:+.1%}")
    assert got_kbps == pytest.approx(asked_kbps, rel=BITRATE_TOLERANCE)


@pytest.mark.parametrize(
    ("template", "layout"), list(zip(TEMPLATES, itertools.cycle(LAYOUTS), strict=False))
)
def test_a_template_gives_its_size_rate_and_bitrate(tmp_path, template, layout):
    done = record(tmp_path, template, layout, SECONDS)

    check_stream(done, template, SECONDS)
    check_bitrate(done, template)
    check_tiles(done, layout, start_s=10, seconds=2)


@pytest.mark.parametrize(("template", "layout"), list(itertools.product(CANVASES, LAYOUTS)))
def test_tiles_lie_where_the_layout_says_on_every_canvas(tmp_path, template, layout):
    done = record(tmp_path, template, layout, 4)

    check_stream(done, template, 4)
    check_tiles(done, layout, start_s=2, seconds=1)


@pytest.mark.soak
@pytest.mark.parametrize(("template", "layout"), list(itertools.product(TEMPLATES, LAYOUTS)))
def test_every_template_with_every_layout(tmp_path, template, layout):
    done = record(tmp_path, template, layout, SECONDS)

    check_stream(done, template, SECONDS)
    check_bitrate(done, template)
    check_tiles(done, layout, start_s=4, seconds=8)
