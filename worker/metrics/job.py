"""Which numbers a job shows.

A worker runs one job, so nothing is labelled with it: the scraper knows which container it asks.
Labels are names of outputs and of states, never anything of a participant or an address.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.core.lifecycle import State
from worker.metrics.exposition import Metric, Sample, counter, gauge
from worker.metrics.process import ProcessUsage
from worker.ports import OutputProgress

MOST_OUTPUTS = 32
"""The API allows a handful; a bound on what a scraper has to store."""

_LABEL = re.compile(r"[a-z0-9][a-z0-9 :_.-]{0,31}")


@dataclass(frozen=True, slots=True)
class JobNumbers:
    """A job as it is now. Everything but participants, delay and callbacks only grows."""

    state: State
    recorded_s: float
    participants: int
    playout_delay_s: float
    frames: int
    late_frames: int
    repeated_frames: int
    left_out_frames: int
    datagrams_dropped: int
    packets_lost: int
    packets_recovered: int
    outputs: Sequence[OutputProgress]
    callbacks_pending: int = 0
    callbacks_given_up: int = 0


def job_metrics(job: JobNumbers, usage: ProcessUsage) -> Iterable[Metric]:
    """Every metric there is, for `exposition`."""
    yield gauge(
        "mixworker_job_state",
        "1 for the state the job is in.",
        *(Sample(float(state is job.state), {"state": state.value}) for state in State),
    )
    yield counter("mixworker_recorded_seconds_total", "Room time recorded.", job.recorded_s)
    yield gauge("mixworker_participants", "Who is in the room now.", job.participants)
    yield gauge(
        "mixworker_playout_delay_seconds",
        "How late the recording runs behind the room.",
        job.playout_delay_s,
    )
    yield from _pictures(job)
    yield from _network(job)
    yield from _outputs(job.outputs[:MOST_OUTPUTS])
    yield gauge(
        "mixworker_callbacks_pending", "Events kept and not delivered.", job.callbacks_pending
    )
    yield counter(
        "mixworker_callbacks_given_up_total",
        "Events that were tried for three days.",
        job.callbacks_given_up,
    )
    yield counter("process_cpu_seconds_total", "CPU time of this process.", usage.cpu_s)
    yield gauge(
        "process_resident_memory_bytes", "Memory resident of this process.", usage.resident_bytes
    )


def _pictures(job: JobNumbers) -> Iterable[Metric]:
    yield counter("mixworker_frames_total", "Frames composed.", job.frames)
    yield counter("mixworker_late_frames_total", "Frames composed too late.", job.late_frames)
    yield counter(
        "mixworker_repeated_frames_total",
        "Frames that repeat the one before, because the machine was too slow.",
        job.repeated_frames,
    )
    yield counter(
        "mixworker_left_out_frames_total",
        "Frames that were left out, because the machine was far too slow.",
        job.left_out_frames,
    )


def _network(job: JobNumbers) -> Iterable[Metric]:
    yield counter(
        "mixworker_datagrams_dropped_total",
        "Datagrams the kernel dropped because they were not read in time.",
        job.datagrams_dropped,
    )
    yield counter(
        "mixworker_packets_lost_total", "Media packets that never arrived.", job.packets_lost
    )
    yield counter(
        "mixworker_packets_recovered_total",
        "Media packets that arrived by retransmission.",
        job.packets_recovered,
    )


def _outputs(outputs: Sequence[OutputProgress]) -> Iterable[Metric]:
    names = [
        {"output": _label(output.name, f"output-{number}")}
        for number, output in enumerate(outputs, start=1)
    ]
    yield gauge(
        "mixworker_output_state",
        "1 for the state an output is in.",
        *(
            Sample(1, {**name, "state": _label(output.state, "other")})
            for name, output in zip(names, outputs, strict=True)
        ),
    )

    def each(values: Iterable[float]) -> Iterable[Sample]:
        return (Sample(value, name) for value, name in zip(values, names, strict=True))

    yield gauge(
        "mixworker_output_up",
        "Whether an output works.",
        *each(float(output.error is None) for output in outputs),
    )
    yield gauge(
        "mixworker_output_lag_seconds",
        "How far a destination is behind the recording.",
        *each(output.lag_s for output in outputs),
    )
    yield gauge(
        "mixworker_output_pending_bytes",
        "Taken and not delivered.",
        *each(output.pending_bytes for output in outputs),
    )
    yield counter(
        "mixworker_output_bytes_total",
        "Given to an output.",
        *each(output.bytes for output in outputs),
    )


def _label(text: str, instead: str) -> str:
    """*text* if it can only be one of our own words, which never hold secrets."""
    return text if _LABEL.fullmatch(text) else instead
