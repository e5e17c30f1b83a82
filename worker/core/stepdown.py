"""What a video lane spares when the machine is too slow: pictures, but never sound or length."""

from dataclasses import dataclass

from worker.core.timing import NS_PER_S


@dataclass(frozen=True, slots=True)
class Step:
    """Only ticks that are multiples of `stride` are composed."""

    stride: int
    repeats: bool
    """The others are encoded as repetitions; if not, the frame before lasts longer.

    To encode a repetition costs half of what a new frame costs, so repeating alone does not stop
    a lane from falling ever further behind.
    """

    def is_new(self, tick: int) -> bool:
        """Whether frame *tick* is composed."""
        return tick % self.stride == 0


ALL = Step(1, repeats=True)

STEPS = (
    (4 * NS_PER_S, Step(15, repeats=False)),
    (2 * NS_PER_S, Step(4, repeats=False)),
    (NS_PER_S, Step(2, repeats=True)),
)
"""A recorder may be late: below a second behind, everything is composed and caught up with later.

From then on it is the frame rate that gives way, before sound and before the job's end gets late.
"""


def step_down(lag_ns: int) -> Step:
    """What a lane does that is *lag_ns* behind."""
    return next((step for behind_ns, step in STEPS if lag_ns > behind_ns), ALL)
