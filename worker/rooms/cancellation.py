"""A cancellation that got lost in a library, or in Python itself, is noticed after all."""

import asyncio


def stop_if_cancelled() -> None:
    """Raise `CancelledError` when the current task was asked to end; for the head of endless loops.

    In Python 3.11 a task group that is failing already swallows a cancellation, and so does
    `asyncio.wait_for` when its result comes at that moment; aiortc's handshake waits that way.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
