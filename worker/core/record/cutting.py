"""When the files of one format begin and end: a decision for every step of the output.

A step is a frame, or in a job without video a block of 20 ms.
"""

from enum import Enum

from worker.core.record.rule import FileRule

INTERRUPTION_S = 1
"""Nobody being there for less is no interruption: somebody who reconnects leaves and joins in the
same moment, and files shall not be shorter than this."""


class Cut(Enum):
    """What happens at a step, before it is written."""

    NONE = "none"
    SLICE = "slice"
    """A segment ends and the next begins; wants a keyframe."""
    BEGIN = "begin"
    """A file begins; the one before, if any, ends. Wants a keyframe."""
    END = "end"
    """The file ends, and none begins."""


class FileCutter:
    """Decides step after step; two that see the same decide the same."""

    def __init__(self, rule: FileRule, rate: int) -> None:
        """*rate*: steps per second."""
        self._cycle = rule.cycle_s * rate
        self._slice = (rule.slice_s or 0) * rate
        self._merge = None if rule.merge_s is None else max(rule.merge_s, INTERRUPTION_S) * rate
        self._start: int | None = None

    def at(self, step: int, absent_since: int | None) -> Cut:
        """What happens at *step*; *absent_since*: the step from which on nobody is there."""
        if self._start is None:
            if absent_since is not None:
                return Cut.NONE
            self._start = step
            return Cut.BEGIN
        is_over = (
            absent_since is not None
            and self._merge is not None
            and step - absent_since >= self._merge
        )
        if is_over:
            self._start = None
            return Cut.END
        length = step - self._start
        if self._cycle and length >= self._cycle:
            self._start = step
            return Cut.BEGIN
        if self._slice and length and length % self._slice == 0:
            return Cut.SLICE
        return Cut.NONE
