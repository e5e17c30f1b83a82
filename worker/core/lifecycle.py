"""INIT, RUNNING, STOPPED: when a job moves on, when it is idle too long, why it ended."""

from enum import Enum

from worker.core.timing import NS_PER_S


class State(Enum):
    """What is true of a job."""

    INIT = "init"
    """Accepted; the pipeline is not up yet."""
    RUNNING = "running"
    """The pipeline produces output."""
    STOPPED = "stopped"
    """Final: nothing new is taken in; what is underway is drained."""


class StopReason(Enum):
    """Why a job ended; the first reason stays."""

    TENANT_STOP = "tenant_stop"
    """Whoever owns the job asked for its end."""
    MAX_IDLE = "max_idle"
    """Nobody who may publish was in the room for the job's maximum idle time."""
    MAX_DURATION = "max_duration"
    SIGNAL = "signal"
    """The process was told to end (SIGTERM, SIGINT)."""
    ROOM_LOST = "room_lost"
    """The room went away and did not come back."""
    ROOM_REFUSED = "room_refused"
    INTERNAL_ERROR = "internal_error"


class Trigger(Enum):
    """What moves a job on."""

    PIPELINE_UP = "pipeline_up"
    STOP = "stop"


TRANSITIONS = {
    (State.INIT, Trigger.PIPELINE_UP): State.RUNNING,
    (State.INIT, Trigger.STOP): State.STOPPED,
    (State.RUNNING, Trigger.PIPELINE_UP): State.RUNNING,
    (State.RUNNING, Trigger.STOP): State.STOPPED,
    # A stop during start wins over a pipeline that comes up late, and over later stops.
    (State.STOPPED, Trigger.PIPELINE_UP): State.STOPPED,
    (State.STOPPED, Trigger.STOP): State.STOPPED,
}


class Lifecycle:
    """Where one job stands; one owner."""

    def __init__(self) -> None:
        self._state = State.INIT
        self._reason: StopReason | None = None

    @property
    def state(self) -> State:
        return self._state

    @property
    def reason(self) -> StopReason | None:
        """Why the job ended; None unless it is STOPPED."""
        return self._reason

    def pipeline_up(self) -> None:
        """Output is being produced."""
        self._state = TRANSITIONS[self._state, Trigger.PIPELINE_UP]

    def stop(self, reason: StopReason) -> None:
        """End the job; on a stopped job this changes nothing, its first reason included."""
        self._state = TRANSITIONS[self._state, Trigger.STOP]
        self._reason = self._reason or reason


class IdleRule:
    """Finds the instant at which a job must end because nobody who may publish is there.

    The API's `max_idle_time`. Only a room whose list of participants is confirmed can be seen to
    be empty: while signalling is down the wait is off, and it starts afresh with the confirmation,
    because whoever came and went in between was not seen.
    """

    def __init__(self, max_idle_s: int) -> None:
        self._max_idle_ns = max_idle_s * NS_PER_S
        self._deadline_ns: int | None = None

    @property
    def deadline_ns(self) -> int | None:
        """When the job must end if nothing changes; None while it is not idle."""
        return self._deadline_ns

    def allow(self, max_idle_s: int) -> None:
        """Let another time count, from the next wait on."""
        self._max_idle_ns = max_idle_s * NS_PER_S

    def observe(self, *, publisher_present: bool, confirmed: bool, now_ns: int) -> int | None:
        """Take note of the room as it is at *now_ns*; returns the deadline.

        Call at the start, and whenever one of the two may have changed; repeating does no harm.
        """
        if publisher_present or not confirmed:
            self._deadline_ns = None
        elif self._deadline_ns is None:
            self._deadline_ns = now_ns + self._max_idle_ns
        return self._deadline_ns
