"""Let long work in other threads end soon after the user interrupts.

Python raises KeyboardInterrupt in the main thread alone; work in a thread pool would
run on to the end of its block of tracks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_stop = threading.Event()


class Interrupted(RuntimeError):
    """Raised by `pause_point` in a worker thread whose result nobody waits for."""


@contextmanager
def stopping_workers() -> Iterator[None]:
    """Make `pause_point` raise in every thread once this block ends by an exception.

    Call `forget` when the workers have ended.
    """
    try:
        yield
    except BaseException:
        _stop.set()
        raise


def forget() -> None:
    """Let work run again."""
    _stop.clear()


def pause_point() -> None:
    """End here if the user interrupted; called now and then by long work."""
    if _stop.is_set():
        raise Interrupted("interrupted")
