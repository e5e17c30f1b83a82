"""Keyframes that outputs ask for, at most one a second: each costs as much as many other frames."""


class KeyframeRequests:
    """One per job, on one thread: outputs ask, the video lane takes."""

    def __init__(self, fps: int) -> None:
        self._gap_ticks = fps
        self._is_asked = False
        self._last_tick: int | None = None

    def ask(self) -> None:
        """A new connection can show nothing before a keyframe."""
        self._is_asked = True

    def take(self, tick: int) -> bool:
        """Whether frame *tick* shall be a keyframe for somebody who asked. Ticks rise."""
        is_soon = self._last_tick is not None and tick - self._last_tick < self._gap_ticks
        if not self._is_asked or is_soon:
            return False
        self._is_asked = False
        self._last_tick = tick
        return True
