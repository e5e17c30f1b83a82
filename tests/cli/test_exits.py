"""What the exit code of a job tells who has to act."""

from pathlib import Path

import pytest

from worker.app import Outcome
from worker.cli.exits import Exit, exit_for_outcome
from worker.core.lifecycle import StopReason

MP4, LIVE = "s3://bucket/a.mp4", "rtmps://live.example/app"


def outcome(*errors: tuple[str, str | None]) -> Outcome:
    outputs = [{"location": location, "error": error} for location, error in errors]
    return Outcome(
        result={"outputs": outputs},
        result_path=Path("x.json"),
        recording_path=None,
        reason=StopReason.TENANT_STOP,
        aborted=False,
        error=None,
    )


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ([(MP4, None), (LIVE, None)], Exit.FINISHED),
        ([(MP4, None), (LIVE, "no answer")], Exit.LIVE_PUSH),
        ([(MP4, "no room"), (LIVE, "no answer")], Exit.DESTINATION),
        ([(MP4, "no room")], Exit.DESTINATION),
    ],
)
def test_a_failed_push_alone_is_not_a_failed_recording(
    outputs: list[tuple[str, str | None]], code: Exit
) -> None:
    assert exit_for_outcome(outcome(*outputs)) is code
