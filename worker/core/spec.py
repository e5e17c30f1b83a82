"""What a job was asked to do: frozen values, valid once built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NewType

from worker.core.identity import Source, UserId
from worker.core.layout.geometry import Fit
from worker.core.record.rule import RecordRule
from worker.core.template import EncodeTemplate

ImageRef = NewType("ImageRef", str)
"""Address of a background picture: `s3://bucket/object` or `file:///path`."""


class Side(Enum):
    """Where the stage of a screen-share layout lies."""

    LEFT = "left"
    RIGHT = "right"


class StagePolicy(Enum):
    """Who is on the stage of a screen-share layout."""

    SHARED_SCREEN = "shared_screen"
    FIXED_USER = "fixed_user"


@dataclass(frozen=True, slots=True)
class Pane:
    """One rectangle of a custom layout as asked: fractions of the canvas, 0..1."""

    pane_id: int
    user_id: UserId
    source: Source
    x: float
    y: float
    width: float
    height: float
    zorder: int = 0
    fit: Fit = Fit.COVER


@dataclass(frozen=True, slots=True)
class GalleryLayout:
    """`nine_grids_view`: equal tiles for up to 25 users."""


@dataclass(frozen=True, slots=True)
class ScreenShareLayout:
    """`screen_share_left` / `_right`: a stage on the named side, a strip of up to 16 users."""

    side: Side
    policy: StagePolicy = StagePolicy.SHARED_SCREEN
    user_id: UserId | None = None
    source: Source = Source.SCREEN


@dataclass(frozen=True, slots=True)
class CustomLayout:
    """`custom`: panes pinned to users."""

    panes: tuple[Pane, ...]


Layout = GalleryLayout | ScreenShareLayout | CustomLayout


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """Images behind and instead of pictures; None means plain colour."""

    canvas: ImageRef | None = None
    stage: ImageRef | None = None
    default_user: ImageRef | None = None
    users: Mapping[UserId, ImageRef] = field(default_factory=dict)

    def for_user(self, user_id: UserId) -> ImageRef | None:
        """The user's own image, else the default one, else None."""
        return self.users.get(user_id, self.default_user)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """Every image named, each once."""
        named = (self.canvas, self.stage, self.default_user, *self.users.values())
        return tuple(dict.fromkeys(image for image in named if image is not None))


@dataclass(frozen=True, slots=True)
class MixSpec:
    """What to mix and how it shall look (API: mix_param). `template` None means audio only."""

    room_id: str
    template: EncodeTemplate | None
    layout: Layout
    backgrounds: Backgrounds = Backgrounds()
    max_idle_s: int = 30


@dataclass(frozen=True, slots=True)
class TestRoomSpec:
    """A room of our own test-room server; `url` is its WebSocket address.

    `room` None: it is called as the mix says.
    """

    __test__ = False
    url: str
    room: str | None = None


@dataclass(frozen=True, slots=True)
class RehearsalSpec:
    """A room that exists only inside the worker: synthetic participants, no network.

    `scenario` is the text of a scenario file (TOML).
    """

    scenario: str


SCREEN_PATTERN = r"(?i)\b(screen|desktop|presentation|slides)\b"
"""What a video's description says when it is a shared screen, unless a job says otherwise."""


@dataclass(frozen=True, slots=True)
class JanusSpec:
    """A VideoRoom of a Janus server; `url` is its WebSocket address.

    Secrets are not printed. `screen_pattern` is a regular expression: a video whose description
    (without one: whose publisher's display name) matches it is a shared screen.
    """

    url: str
    room: int | str
    pin: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    api_secret: str | None = field(default=None, repr=False)
    display_name: str = "mixworker"
    user_id_is_display: bool = False
    """Whether publishers are known by their display names, instead of by Janus's ids."""
    screen_pattern: str = SCREEN_PATTERN


RoomSpec = TestRoomSpec | JanusSpec | RehearsalSpec


@dataclass(frozen=True, slots=True)
class AudioSpec:
    """How the mix shall sound. `levelling` moves voices toward `target_lufs`, slowly."""

    levelling: bool = True
    target_lufs: float = -16.0
    speakers: int = 3
    users: frozenset[UserId] | None = None
    """Who may be heard; None: everybody."""

    def admits(self, user_id: UserId) -> bool:
        """Whether *user_id* may be heard at all."""
        return self.users is None or user_id in self.users


DEFAULT_APP_ID = "mixworker"
"""Of a job that nobody's app asked for."""


class CallbackEvent(Enum):
    """What a callback can be told."""

    FILE_STARTED = "file_started"
    FILE_COMPLETED = "file_completed"
    RECORDING_OVER = "recording_over"


@dataclass(frozen=True, slots=True)
class CallbackSpec:
    """Who is told of a job's files. `auth_key` None: messages are not signed.

    Secrets are not printed; an address may hold some.
    """

    url: str = field(repr=False)
    auth_key: str | None = field(default=None, repr=False)
    events: frozenset[CallbackEvent] = frozenset(CallbackEvent)
    is_ours: bool = False
    """The operator's own receiver, wherever it is; not an address that a tenant gave."""


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """Who started the worker, and is told how it goes: `url` is http:// or https://.

    A job's workers are numbered; `attempt` is this one's, and `token` is good for it alone.
    """

    url: str
    token: str = field(repr=False)
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job, ready to run.

    `playout_delay_ms` is spent on retransmission and jitter. `max_duration_s` None means until
    stopped. `directory` receives `<name>.json`, and without `record` `<name>.mp4`.
    `rtmp_urls` are secret.
    """

    job_id: str
    room: RoomSpec
    mix: MixSpec
    directory: Path
    name: str
    audio: AudioSpec = AudioSpec()
    playout_delay_ms: int = 600
    max_duration_s: float | None = None
    app_id: str = DEFAULT_APP_ID
    stream_name: str = ""
    record: RecordRule | None = None
    rtmp_urls: tuple[str, ...] = field(default=(), repr=False)
    callback: CallbackSpec | None = None
    control: ControlSpec | None = None

    @property
    def is_rehearsal(self) -> bool:
        """Whether nothing beyond this machine takes part, so that time need not be real."""
        stores = self.record is not None and not (self.record.store or "").startswith("file://")
        is_called = self.callback is not None or self.control is not None
        reaches_out = stores or bool(self.rtmp_urls) or is_called
        return isinstance(self.room, RehearsalSpec) and not reaches_out
