"""For jobs whose events nobody asked for."""

from worker.ports import RecordEvent


class Nobody:
    """`ports.RecordEvents` that keeps nothing."""

    async def publish(self, event: RecordEvent) -> None:
        """Forget *event*."""
