"""What a job will cost: cores and memory from who sends what, and what is made of it.

A linear model: countable quantities of work (packets, pixels decoded, scaled, painted, encoded),
each with a coefficient that was fitted to recordings of live rooms. Figures are for the default
x264 preset and the machine that was measured; another one differs by its speed per core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.core.identity import Codec
from worker.core.layout.gallery import MAX_USERS
from worker.core.layout.geometry import Size
from worker.core.layout.screenshare import MAX_STRIP_USERS
from worker.core.spec import CustomLayout, GalleryLayout, Layout, ScreenShareLayout
from worker.core.template import EncodeTemplate

AUDIO_PACKETS_PER_S = 50
"""Opus frames of 20 ms, one a packet."""
PAYLOAD_BYTES = 1150
"""About what senders put into a video packet."""
_SAME_SIZE = 0.02
"""A picture whose area is this close to its tile's is taken to be copied, not scaled."""

SCREEN = (Size(1280, 720), 10)
"""What a shared screen is taken to be: size, frames a second."""

LOUD_MACHINE = 1.4
"""The coefficients are of a quiet machine; one whose neighbours share its caches needs up to this
many times as much."""
HEADROOM_CORES = 1.2 * LOUD_MACHINE
"""Busy moments (joins, keyframes) on top of the mean."""
HEADROOM_MEMORY = 1.2
THREAD_LIMIT = 0.8 / LOUD_MACHINE
"""A thread that needs more of one core than this on average has ticks that are late."""


@dataclass(frozen=True, slots=True)
class Feed:
    """*count* people who each send one such video."""

    count: int
    codec: Codec
    size: Size
    fps: int
    kbps: int


@dataclass(frozen=True, slots=True)
class Load:
    """A job. Of the pictures of *feeds*, in their order, at most *shown* are shown."""

    people: int
    """Who send sound."""
    feeds: tuple[Feed, ...]
    shown: int
    template: EncodeTemplate | None
    covered: float = 1.0
    """How much of the canvas the tiles cover; above 1 where they overlap."""
    outputs: int = 1


@dataclass(frozen=True, slots=True)
class Work:
    """A job's work, counted. MP are 10^6 luma pixels."""

    packets_per_s: float = 0.0
    decoded_frames_per_s: float = 0.0
    decoded_mp_per_s: Mapping[Codec, float] | None = None
    scaled_mp_per_s: float = 0.0
    """Pixels read and pixels written."""
    painted_mp_per_s: float = 0.0
    tiles_per_s: float = 0.0
    encoded_mp_per_s: float = 0.0
    people: float = 0.0
    outputs: float = 0.0
    shown_mp: float = 0.0
    """One picture of everybody who is shown."""
    canvas_mp: float = 0.0


@dataclass(frozen=True, slots=True)
class Coefficients:
    """CPU seconds, and MB, per unit of work. A fixed part is per second of output."""

    receive_fixed: float
    receive_person: float
    receive_packet: float
    decode_mp: Mapping[Codec, float]
    decode_frame: float
    compose_scaled_mp: float
    compose_painted_mp: float
    compose_tile: float
    sound_fixed: float
    sound_person: float
    encode_mp: float
    write_output: float
    memory_fixed_mb: float
    memory_person_mb: float
    memory_shown_mp_mb: float
    memory_canvas_mp_mb: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job needs on average: cores by stage, and resident memory at its peak."""

    stages: Mapping[str, float]
    memory_mb: float

    @property
    def cores(self) -> float:
        return sum(self.stages.values())

    @property
    def advised_cores(self) -> float:
        """What to set aside for it."""
        return self.cores * HEADROOM_CORES

    @property
    def advised_memory_mb(self) -> float:
        return self.memory_mb * HEADROOM_MEMORY

    def too_slow(self, threads: Mapping[str, int]) -> Sequence[str]:
        """Stages that cannot keep up, because their *threads* (1 where not given) are too few."""
        return [
            stage
            for stage, cores in self.stages.items()
            if cores > THREAD_LIMIT * threads.get(stage, 1)
        ]

    def jobs_on(self, *, cores: float, memory_mb: float) -> int:
        """How many such jobs a machine carries, with headroom."""
        return int(min(cores / self.advised_cores, memory_mb / self.advised_memory_mb))


def load_of(template: EncodeTemplate | None, layout: Layout, cameras: Feed) -> Load:
    """A room of people who send *cameras*, and in screen-share layouts one screen beside them."""
    match layout:
        case GalleryLayout():
            return Load(cameras.count, (cameras,), MAX_USERS, template)
        case ScreenShareLayout():
            screen = Feed(1, cameras.codec, *SCREEN, usual_kbps(*SCREEN))
            return Load(cameras.count, (screen, cameras), 1 + MAX_STRIP_USERS, template)
        case CustomLayout(panes):
            covered = sum(pane.width * pane.height for pane in panes)
            return Load(cameras.count, (cameras,), len(panes), template, covered=covered)


def estimate(load: Load, coefficients: Coefficients) -> Estimate:
    """What *load* needs."""
    work, per = work_of(load), coefficients
    decoded = work.decoded_mp_per_s or {}
    stages = {
        # Most is spent per publisher and turn of the loop: a second packet finds warm caches.
        "receive": per.receive_fixed
        + per.receive_person * work.people
        + per.receive_packet * work.packets_per_s,
        "decode": per.decode_frame * work.decoded_frames_per_s
        + sum(per.decode_mp[codec] * mp for codec, mp in decoded.items()),
        "compose": per.compose_scaled_mp * work.scaled_mp_per_s
        + per.compose_painted_mp * work.painted_mp_per_s
        + per.compose_tile * work.tiles_per_s,
        "sound": per.sound_fixed + per.sound_person * work.people,
        "encode": per.encode_mp * work.encoded_mp_per_s,
        "write": per.write_output * work.outputs,
    }
    memory_mb = (
        per.memory_fixed_mb
        + per.memory_person_mb * work.people
        + per.memory_shown_mp_mb * work.shown_mp
        + per.memory_canvas_mp_mb * work.canvas_mp
    )
    return Estimate(stages, memory_mb)


def work_of(load: Load) -> Work:
    """Counts the work of *load*. A video nobody sees is taken to be paused at its source."""
    if load.template is None:
        return Work(
            packets_per_s=load.people * AUDIO_PACKETS_PER_S,
            people=load.people,
            outputs=load.outputs,
        )
    template = load.template
    canvas_mp = _mp(template.size)
    shown = _shown(load.feeds, load.shown)
    pictures = sum(feed.count for feed in shown)
    tile_mp = canvas_mp * load.covered / max(1, pictures)
    decoded: dict[Codec, float] = {}
    scaled = tiles_per_s = 0.0
    for feed in shown:
        source_mp = _mp(feed.size)
        decoded[feed.codec] = decoded.get(feed.codec, 0.0) + feed.count * feed.fps * source_mp
        updates_per_s = feed.count * min(feed.fps, template.fps)
        tiles_per_s += updates_per_s
        if abs(source_mp - tile_mp) > _SAME_SIZE * tile_mp:
            scaled += updates_per_s * (source_mp + tile_mp)
    repaints_per_s = min(template.fps, max((feed.fps for feed in shown), default=0))
    return Work(
        packets_per_s=load.people * AUDIO_PACKETS_PER_S
        + sum(feed.count * packets_per_s(feed.fps, feed.kbps) for feed in shown),
        decoded_frames_per_s=sum(feed.count * feed.fps for feed in shown),
        decoded_mp_per_s=decoded,
        scaled_mp_per_s=scaled,
        painted_mp_per_s=repaints_per_s * canvas_mp * min(1.0, load.covered),
        tiles_per_s=tiles_per_s,
        encoded_mp_per_s=template.fps * canvas_mp,
        people=load.people,
        outputs=load.outputs,
        shown_mp=sum(feed.count * _mp(feed.size) for feed in shown),
        canvas_mp=canvas_mp,
    )


def packets_per_s(fps: int, kbps: int) -> float:
    """RTP packets of one video: frames of equal size, each cut into packets."""
    frame_bytes = kbps * 125 / fps
    return fps * max(1, -(-frame_bytes // PAYLOAD_BYTES))


def usual_kbps(size: Size, fps: int) -> int:
    """What a camera of this size usually sends: 500 kbit/s at 360p30."""
    more: float = (_mp(size) * fps / (0.2304 * 30)) ** 0.75
    return round(500 * more)


def _shown(feeds: Sequence[Feed], limit: int) -> list[Feed]:
    shown: list[Feed] = []
    for feed in feeds:
        count = min(feed.count, limit - sum(each.count for each in shown))
        if count > 0:
            shown.append(Feed(count, feed.codec, feed.size, feed.fps, feed.kbps))
    return shown


def _mp(size: Size) -> float:
    return size.width * size.height / 1e6
