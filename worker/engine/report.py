"""The result of a job as plain JSON values: what was recorded, from whom, and what went wrong."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from worker.core.identity import ParticipantId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.engine.attendance import Entry
from worker.engine.job import Job

FORMAT = 1

_PREROLL_S = 0.1
"""Gates open a moment before the voice."""


def report(job: Job) -> dict[str, Any]:
    """Everything the result file says; may be asked at any moment. Seconds are room time."""
    entries = job.intake.entries()
    turns = _turns(job, entries)
    video = job.video
    return {
        "format": FORMAT,
        "job_id": job.spec.job_id,
        "room_id": job.spec.mix.room_id,
        "state": job.lifecycle.state.value,
        "reason": None if job.lifecycle.reason is None else job.lifecycle.reason.value,
        "aborted": job.was_aborted,
        "error": job.error,
        "warnings": [*job.warnings, *_haste(job), *_mutes(job)],
        "duration_s": round(job.recorded_ns / NS_PER_S, 3),
        "start_delay_s": None
        if job.origin_ns is None
        else round((job.origin_ns - job.started_ns) / NS_PER_S, 3),
        "playout_delay_ms": job.delay.now_ns // NS_PER_MS,
        "datagrams_dropped": job.room.datagrams_dropped(),
        "video": None
        if video is None
        else {
            "frames": video.counters.frames,
            "late_frames": video.counters.late,
            "duplicated_frames": video.counters.duplicated,
            "left_out_frames": video.counters.left_out,
            "first_live_frame": video.counters.first_live_frame,
            "worst_lag_ms": round(video.counters.worst_lag_ms, 1),
        },
        "audio": {"samples": job.sound.encoded_samples},
        "outputs": [
            {
                "name": sink.name,
                "location": sink.location,
                "packets": sink.packets,
                "bytes": sink.bytes,
                "error": sink.error or job.delivery.down.get(sink.name),
                **sink.details,
            }
            for sink in (sink.report() for sink in job.sinks)
        ],
        "participants": [
            _participant(job, entry, turns[number]) for number, entry in enumerate(entries)
        ],
    }


def _haste(job: Job) -> list[str]:
    """Whether the machine was so slow that it can be seen in the recording."""
    left_out = 0 if job.video is None else job.video.counters.left_out
    return [f"the machine was too slow: {left_out} frames were left out"] if left_out else []


def _mutes(job: Job) -> list[str]:
    """One warning per video source that was muted for what it sent."""
    warnings = []
    for (user_id, source), conduct in job.intake.conduct.items():
        if not conduct.mutes and not conduct.is_dropped:
            continue
        reasons = ", ".join(f"{kind.value} ({n})" for kind, n in conduct.offences.items())
        fate = ", then dropped" if conduct.is_dropped else ""
        warnings.append(
            f"the {source.value} of {user_id} was muted {conduct.mutes} times{fate}: {reasons}"
        )
    return warnings


def _turns(job: Job, entries: Sequence[Entry]) -> list[list[tuple[float, float]]]:
    """From when to when each of *entries* was in the mix; a room may give an id twice."""
    presences: dict[ParticipantId, list[int]] = {}
    for number, entry in enumerate(entries):
        presences.setdefault(entry.participant_id, []).append(number)
    spoken = job.sound.turns()
    turns: list[list[tuple[float, float]]] = [[] for _ in entries]
    for participant_id, numbers in presences.items():
        joined_s = [_room_s(job, entries[number].joined_ns) or 0.0 for number in numbers]
        for turn in spoken.get(participant_id, []):
            presence = bisect_right(joined_s, turn[0] + _PREROLL_S)
            turns[numbers[max(0, presence - 1)]].append(turn)
    return turns


def _participant(job: Job, entry: Entry, turns: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "user_id": entry.user_id,
        "name": entry.name,
        "joined_s": _room_s(job, entry.joined_ns),
        "left_s": None if entry.left_ns is None else _room_s(job, entry.left_ns),
        "av_offset_ms": entry.av_offset_ms,
        "aligned_by": entry.aligned_by,
        "speaker_turns": [
            {"from_s": round(start_s, 2), "to_s": round(end_s, 2)} for start_s, end_s in turns
        ],
        "tracks": list(entry.tracks),
    }


def _room_s(job: Job, at_ns: int) -> float | None:
    """Seconds into the recording; 0 for what was so when it began."""
    if job.origin_ns is None:
        return None
    return round(max(0, at_ns - job.origin_ns) / NS_PER_S, 3)
