"""A cascade of second-order filters over many signals at once, in matrix products.

A recursive filter is linear: a short frame of output is one matrix times the frame of input plus
another times the state before it, and the states before all frames of a block are one more matrix
times what the frames drive into them. So a block takes four products, whatever the number of
signals. The result is that of a sample-by-sample recursion up to rounding, in numpy alone: the
usual library for it takes a second to import, which a worker does not have at its start.
"""

import numpy as np
from numpy.typing import NDArray

from worker.core.timing import BLOCK_SAMPLES

FRAME = 32
"""Samples per frame; divides a block. Longer: more to multiply; shorter: more states."""

Matrix = NDArray[np.float64]


class Cascade:
    """Fixed filters for rows of samples; the caller keeps the state of each row."""

    def __init__(self, sections: Matrix, block: int = BLOCK_SAMPLES) -> None:
        """*sections*: (n, 6) float64, rows b0 b1 b2 a0 a1 a2 with a0 = 1, applied in order.

        *block* is how many samples are taken at a time, a multiple of `FRAME`.
        """
        step, drive, read, direct = _state_space(sections)
        self.order = len(step)
        """Numbers in the state of one row."""
        self._block = block
        powers = [np.eye(self.order)]
        for _ in range(FRAME):
            powers.append(step @ powers[-1])
        response = [direct] + [float(read @ power @ drive) for power in powers[: FRAME - 1]]
        through = np.zeros((FRAME, FRAME))
        for sample in range(FRAME):
            through[sample, : sample + 1] = response[sample::-1]
        self._through = through.T.copy()
        self._read = np.array([read @ power for power in powers[:FRAME]]).T.copy()
        self._drive = np.array([power @ drive for power in powers[FRAME - 1 :: -1]])
        self._carry, self._scan = _scan(powers[FRAME].T, block // FRAME)

    def process(self, samples: Matrix, state: Matrix) -> tuple[Matrix, Matrix]:
        """Filter (rows, k * block) *samples* from (rows, order) *state*; both anew, float64."""
        rows, length = samples.shape
        blocks = length // self._block
        frames = samples.reshape(rows * length // FRAME, FRAME)
        numbers = self._block // FRAME * self.order
        driven = (frames @ self._drive).reshape(rows, blocks, numbers)
        states = np.empty((rows, blocks, numbers))
        for index in range(blocks):
            reached = state @ self._carry
            reached += driven[:, index] @ self._scan
            states[:, index] = reached[:, : -self.order]
            state = reached[:, -self.order :]
        filtered = frames @ self._through
        filtered += states.reshape(len(frames), self.order) @ self._read
        return filtered.reshape(rows, length), np.ascontiguousarray(state)


def _scan(step: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """What a state, and what is driven into it by *count* frames, make of the states to come.

    Both act on rows from the right; the columns are the states before each frame, and the last.
    """
    order = len(step)
    powers = [np.eye(order)]
    for _ in range(count):
        powers.append(powers[-1] @ step)
    carry = np.concatenate(powers, axis=1)
    scan = np.zeros((count * order, (count + 1) * order))
    for frame in range(count):
        later = np.concatenate(powers[: count - frame], axis=1)
        scan[frame * order : (frame + 1) * order, (frame + 1) * order :] = later
    return carry, scan


def _state_space(sections: Matrix) -> tuple[Matrix, Matrix, Matrix, float]:
    """The cascade as s' = A s + B x, y = C s + D x (transposed direct form II sections)."""
    order = 2 * len(sections)
    step, drive = np.zeros((order, order)), np.zeros(order)
    read, direct = np.zeros(order), 1.0  # what enters the next section, from state and input
    for index, (b0, b1, b2, _, a1, a2) in enumerate(sections):
        first, second = 2 * index, 2 * index + 1
        # This section's output, from state and input: b0 times what enters it, plus its first.
        out_read, out_direct = b0 * read, b0 * direct
        out_read[first] += 1.0
        step[first] = b1 * read - a1 * out_read
        step[first, second] += 1.0
        step[second] = b2 * read - a2 * out_read
        drive[first] = b1 * direct - a1 * out_direct
        drive[second] = b2 * direct - a2 * out_direct
        read, direct = out_read, out_direct
    return step, drive, read, direct
