"""What happens in a room of synthetic people: who they are, what they send, what befalls them."""

from dataclasses import dataclass, field

from worker.core.identity import Codec, Source, UserId
from worker.core.layout.geometry import Size
from worker.testroom.faults import NetworkFaults
from worker.testroom.person import Person
from worker.testroom.voice import Voice, VoiceMode


@dataclass(frozen=True, slots=True)
class VideoFeed:
    """What a camera or a screen sends. `motion` 0 (still) to 1 (needs all its bits).

    A `live` feed is encoded while it runs and answers a keyframe request at once; else a loop is
    replayed and the answer is the loop's next keyframe, at most a second later.
    """

    codec: Codec = Codec.VP8
    size: Size = Size(640, 360)
    fps: int = 30
    bitrate_kbps: int = 500
    motion: float = 0.3
    live: bool = False
    h264_profile: str = "baseline"


@dataclass(frozen=True, slots=True)
class Actor:
    """One scripted participant. Times are seconds from the start of the scenario.

    The actor's own clock reads `start_offset_s` at the first join, runs fast by `clock_ppm`, and
    paces frames, RTP timestamps, sender reports, flashes and beeps alike.
    """

    user_id: UserId
    person: Person
    join_s: float = 0.0
    leave_s: float | None = None
    camera: VideoFeed | None = field(default_factory=VideoFeed)
    voice: Voice | None = Voice(VoiceMode.SPEECH)
    """None: no microphone at all."""
    clock_ppm: float = 0.0
    start_offset_s: float = 0.0
    sound_lost: float = 0.0
    """Share of its sound that the microphone loses, 20 ms at a time and without a trace in the
    timestamps: a computer that is too busy."""
    sender_reports: bool = True
    rtx: bool = True
    """Whether retransmissions are offered as a stream of their own (RFC 4588)."""
    dtx: bool = False
    """Whether the microphone sends next to nothing while it picks up nothing, where it is asked to
    (RFC 7587, `usedtx=1`), as browsers do."""
    red: int = 0
    """How many of the packets before it each audio packet repeats (RFC 2198)."""
    network: NetworkFaults = NetworkFaults()


@dataclass(frozen=True, slots=True)
class SetMuted:
    """Camera or microphone is muted or opened again."""

    source: Source
    muted: bool


@dataclass(frozen=True, slots=True)
class ShareScreen:
    """A screen share starts; one at a time per actor."""

    feed: VideoFeed


@dataclass(frozen=True, slots=True)
class StopScreen:
    """The screen share ends."""


@dataclass(frozen=True, slots=True)
class SetVoice:
    """The microphone picks up something else, or the same at another level."""

    voice: Voice


@dataclass(frozen=True, slots=True)
class SetNetwork:
    """The actor's network becomes worse or better."""

    faults: NetworkFaults


@dataclass(frozen=True, slots=True)
class SetSenderReports:
    """The actor stops or starts sending RTCP sender reports."""

    enabled: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """The actor leaves the room."""


@dataclass(frozen=True, slots=True)
class Rejoin:
    """The actor is back, as a new presence with the clock of the first one."""


Action = (
    SetMuted | ShareScreen | StopScreen | SetVoice | SetNetwork | SetSenderReports | Leave | Rejoin
)


@dataclass(frozen=True, slots=True)
class Cue:
    """At `at_s` seconds the actor `user_id` does `action`."""

    at_s: float
    user_id: UserId
    action: Action


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole script, valid once built by `scenario_file.parse_scenario`; cues are in order.

    Media repeats every `loop_s` seconds, and so does the counter in the pictures.
    `duration_s` is how long the script is meant to be watched; nobody leaves at its end.
    """

    name: str
    actors: tuple[Actor, ...]
    cues: tuple[Cue, ...] = ()
    seed: int = 1
    loop_s: int = 10
    duration_s: float | None = None

    def cues_of(self, user_id: UserId) -> tuple[Cue, ...]:
        """The cues of one actor, in order."""
        return tuple(cue for cue in self.cues if cue.user_id == user_id)

    def actor(self, user_id: UserId) -> Actor:
        """The actor known as *user_id*. Raises `KeyError`."""
        for actor in self.actors:
            if actor.user_id == user_id:
                return actor
        raise KeyError(user_id)
