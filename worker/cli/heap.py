"""Keeps the process's memory level over hours of comings and goings."""

import ctypes
import gc

COLLECT_EVERY_S = 60.0
MOST_NEW_OBJECTS = 50_000
"""More than that in a minute are looked through at once; what a batch of packets makes is far less.
Python's own 700 are looked through many times a second, for a tenth of the event loop's time."""


class Heap:
    """Once a minute of recording: finds garbage, gives back free memory; some milliseconds.

    The transport of somebody who left is a knot of objects that hold each other and 0.25 MB of
    OpenSSL's memory. Left alone, Python looks for such knots after tens of thousands of new
    objects, which takes the leaving of dozens; and then it looks through everything that was
    ever imported, for a tenth of a second in which nothing else happens. What decoders and
    transports of leavers have freed stays with the process, in pieces, unless it is trimmed.
    """

    def __init__(self) -> None:
        self._next_s: float | None = None
        # GNU's C library has it; others give memory back by themselves.
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def look(self, recorded_s: float) -> None:
        """Call often while a job records; *recorded_s* rises."""
        if self._next_s is None:
            # What is there by now stays: it need not be looked through again and again.
            gc.freeze()
            gc.set_threshold(MOST_NEW_OBJECTS)
        elif recorded_s < self._next_s:
            return
        gc.collect()
        if self._trim is not None:
            self._trim(0)
        self._next_s = recorded_s + COLLECT_EVERY_S
