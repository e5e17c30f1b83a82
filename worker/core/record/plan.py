"""Where all files of a job are cut, decided once, ahead of the packets that are cut there.

The engine tells who is there and moves the plan on, step by step, before a step is encoded; the
sinks find each cut waiting when its first packet comes.
"""

from collections import deque
from dataclasses import dataclass

from worker.core.record.cutting import Cut, FileCutter
from worker.core.record.rule import RecordFormat, RecordRule
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, samples_for_ticks, tick_ns

BLOCKS_PER_S = NS_PER_S // BLOCK_NS

MOST_CUTS = 1024
"""That wait for a sink. One that is up takes them with its packets, of which fewer than a minute
wait; of one that is down the oldest go."""


@dataclass(frozen=True, slots=True)
class FileCut:
    """A file begins, or ends without another one, at this sample of the output."""

    sample: int
    begins: bool


CutQueue = deque[FileCut]


class RecordPlan:
    """One per job. Not thread-safe: all of it happens on the event loop's thread."""

    def __init__(self, rule: RecordRule, *, fps: int | None, unix_offset_s: float) -> None:
        """*fps* None: there is no video. *unix_offset_s*: the wall clock minus the job's, s."""
        self.rule = rule
        self.origin_unix_s = 0.0
        """The wall clock's time of sample 0; known once the recording begins."""
        self._unix_offset_s = unix_offset_s
        self._fps = fps
        self._cutters = {
            each: FileCutter(files, fps or BLOCKS_PER_S) for each, files in rule.files.items()
        }
        self._queues: dict[RecordFormat, CutQueue] = {
            each: deque(maxlen=MOST_CUTS) for each in rule.files
        }
        self._origin_ns = 0
        self._is_present = False
        self._absent_since: int | None = 0
        self._changes: deque[tuple[int, bool]] = deque()
        """Room time, and whether somebody was there from then on; bounded by the playout delay."""
        self._next = 0

    def cuts(self, record_format: RecordFormat) -> CutQueue:
        """Where that format is cut; its one sink takes what it has followed."""
        return self._queues[record_format]

    def begin(self, origin_ns: int) -> None:
        """Sample 0 and frame 0 are at *origin_ns* of the job's clock."""
        self._origin_ns = origin_ns
        self.origin_unix_s = origin_ns / NS_PER_S + self._unix_offset_s

    def note(self, room_ns: int, *, present: bool) -> None:
        """From *room_ns* on somebody who may publish is there, or nobody is. Times must rise."""
        if present is not self._is_present:
            self._is_present = present
            self._changes.append((room_ns, present))

    def advance(self, step: int) -> bool:
        """Decide everything up to *step*; whether that one must be a keyframe.

        Steps are frames, or blocks in a job without video. Who is there at *step* must be known.
        """
        wants_keyframe = False
        while self._next <= step:
            wants_keyframe = self._decide(self._next)
            self._next += 1
        return wants_keyframe

    def _decide(self, step: int) -> bool:
        self._follow_changes(step)
        wants_keyframe = False
        for each, cutter in self._cutters.items():
            cut = cutter.at(step, self._absent_since)
            wants_keyframe |= cut in (Cut.BEGIN, Cut.SLICE)
            if cut in (Cut.BEGIN, Cut.END):
                self._queues[each].append(FileCut(self._sample(step), cut is Cut.BEGIN))
        return wants_keyframe

    def _follow_changes(self, step: int) -> None:
        end_ns = self._origin_ns + self._step_ns(step)
        while self._changes and self._changes[0][0] <= end_ns:
            _, present = self._changes.popleft()
            self._absent_since = None if present else step

    def _step_ns(self, step: int) -> int:
        return step * BLOCK_NS if self._fps is None else tick_ns(step, self._fps)

    def _sample(self, step: int) -> int:
        return step * BLOCK_SAMPLES if self._fps is None else samples_for_ticks(step, self._fps)
