"""What is raised before an operation is reached; `worker.api.errors` says what it looks like."""

from worker.errors import WorkerError


class Unauthenticated(WorkerError):
    """Nobody we know: 401 `APIGW.0301`.

    `reason` is told to the caller (API reference section 9). Whether a key or a name exists never
    shows in it.
    """

    code = "unauthenticated"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyRequests(WorkerError):
    """Come back later: 429 `APIGW.0308` with `Retry-After`."""

    code = "too_many_requests"
    retryable = True

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"come back in {retry_after_s} s")
        self.retry_after_s = retry_after_s
        """Whole seconds, 1 at least."""
