"""The result of a job as plain JSON values: what was recorded, from whom, and what went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from worker.core.identity import TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.engine.intake import Attendance
from worker.engine.job import Job
from worker.ports import TrackStatistics

FORMAT = 1


def report(job: Job) -> dict[str, Any]:
    """Everything the result file says; may be asked at any moment. Seconds are room time."""
    statistics = job.room.statistics()
    turns = job.sound.turns()
    video = job.video
    return {
        "format": FORMAT,
        "job_id": job.spec.job_id,
        "room_id": job.spec.mix.room_id,
        "state": job.lifecycle.state.value,
        "reason": None if job.lifecycle.reason is None else job.lifecycle.reason.value,
        "aborted": job.was_aborted,
        "error": job.error,
        "warnings": [*job.warnings, *_mutes(job)],
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
            _participant(job, attendance, statistics, turns.get(participant_id, []))
            for participant_id, attendance in job.intake.attendance.items()
        ],
    }


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


def _participant(
    job: Job,
    attendance: Attendance,
    statistics: Mapping[TrackId, TrackStatistics],
    turns: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    participant = attendance.participant
    return {
        "user_id": participant.user_id,
        "name": participant.display_name,
        "joined_s": _room_s(job, attendance.joined_ns),
        "left_s": None if attendance.left_ns is None else _room_s(job, attendance.left_ns),
        "av_offset_ms": attendance.av_offset_ms,
        "speaker_turns": [
            {"from_s": round(start_s, 2), "to_s": round(end_s, 2)} for start_s, end_s in turns
        ],
        "tracks": [
            {
                "track": track_id,
                "kind": track.kind.value,
                "source": track.source.value,
                **asdict(statistics.get(track_id, TrackStatistics())),
                **job.intake.track_facts(attendance, track_id),
            }
            for track_id, track in attendance.tracks.items()
        ],
    }


def _room_s(job: Job, at_ns: int) -> float | None:
    """Seconds into the recording; 0 for what was so when it began."""
    if job.origin_ns is None:
        return None
    return round(max(0, at_ns - job.origin_ns) / NS_PER_S, 3)
