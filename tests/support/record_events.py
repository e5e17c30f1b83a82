"""Events of recordings, for tests of what is told about them."""

from worker.ports import FileCompleted, FileStarted, RecordedFile, RecordEvent, RecordingOver

START_UNIX_S = 1_767_323_045.0
"""2026-01-02T03:04:05Z"""


def recorded_file(number: int = 1, job: str = "job", record_format: str = "MP4") -> RecordedFile:
    return RecordedFile(
        job_id=job,
        file_id=f"file-{number}",
        record_format=record_format,
        key=f"app/{job}/{number}.mp4",
        start_s=0.0,
        start_unix_s=START_UNIX_S,
        width=1280,
        height=720,
    )


def started(number: int = 1, job: str = "job") -> FileStarted:
    return FileStarted(recorded_file(number, job))


def completed(number: int = 1, job: str = "job") -> FileCompleted:
    return FileCompleted(recorded_file(number, job), "s3://bucket", size=1_000, duration_s=10.0)


def over(job: str = "job") -> RecordingOver:
    return RecordingOver(job, "tenant_stop")


def story(files: int, job: str = "job") -> list[RecordEvent]:
    """Everything that is told of a job with so many files."""
    events: list[RecordEvent] = []
    for number in range(files):
        events += [started(number, job), completed(number, job)]
    return [*events, over(job)]
