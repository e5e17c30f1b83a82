"""The acts of a performance: what an actor does at an instant, ns from the scenario's start."""

from dataclasses import dataclass

from worker.core.identity import Source
from worker.core.timing import BLOCK_SAMPLES
from worker.testroom.faults import NetworkFaults
from worker.testroom.scenario import VideoFeed
from worker.testroom.voice import Voice


@dataclass(frozen=True, slots=True)
class Joined:
    """A new presence begins; `presence` counts from 1."""

    at_ns: int
    presence: int


@dataclass(frozen=True, slots=True)
class Left:
    """The presence is over, and with it all its tracks."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Published:
    """A track begins. `label` is unique within the presence."""

    at_ns: int
    label: str
    source: Source
    feed: VideoFeed | None
    """None for a microphone."""
    muted: bool
    rtp_start: int
    """RTP timestamp at which the actor's clock reads zero."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A track ends while its presence goes on."""

    at_ns: int
    label: str


@dataclass(frozen=True, slots=True)
class MuteChanged:
    """A track was muted or opened. A muted camera sends nothing, a muted microphone silence."""

    at_ns: int
    label: str
    muted: bool


@dataclass(frozen=True, slots=True)
class VideoDue:
    """Frame `frame` (counted on the actor's clock) is captured and sent now."""

    at_ns: int
    label: str
    source: Source
    feed: VideoFeed
    frame: int
    rtp_timestamp: int
    """Unwrapped: the low 32 bits go on the wire."""


@dataclass(frozen=True, slots=True)
class AudioDue:
    """Block `block` (20 ms, counted on the actor's clock) is sent now."""

    at_ns: int
    label: str
    voice: Voice
    block: int
    rtp_timestamp: int

    @property
    def rtp_start(self) -> int:
        """As in `Published`, less what the microphone has lost since."""
        return self.rtp_timestamp - self.block * BLOCK_SAMPLES


@dataclass(frozen=True, slots=True)
class ReportDue:
    """A sender report: the actor's wall clock and the track's timestamp at this instant."""

    at_ns: int
    label: str
    ntp_ns: int
    rtp_timestamp: int


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """From now on packets meet these faults."""

    at_ns: int
    faults: NetworkFaults


@dataclass(frozen=True, slots=True)
class ReportsSwitched:
    """From now on there are sender reports, or none."""

    at_ns: int
    enabled: bool


Act = (
    Joined
    | Left
    | Published
    | Ended
    | MuteChanged
    | VideoDue
    | AudioDue
    | ReportDue
    | NetworkChanged
    | ReportsSwitched
)
