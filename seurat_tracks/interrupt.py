"""Let long work end soon after the user interrupts, and say how far it has come.

Python raises KeyboardInterrupt in the main thread alone; work in a thread pool would
run on to the end of its block of tracks. A window that runs work in a thread of its
own watches it from the inside: `watched`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_stop = threading.Event()

Watch = Callable[[str, int, int], Any]
"""Called with what is done, how much of it, and of how much (0: not known)."""

_watch: ContextVar[Watch | None] = ContextVar("seurat_tracks_watch", default=None)


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


def pause_point(what: str = "", done: int = 0, total: int = 0) -> None:
    """End here if the user interrupted; called now and then by long work.

    Parameters
    ----------
    what, done, total
        What goes on, and how far it has come, for a `watched` thread; nothing is told
        where ``what`` is empty.
    """
    if _stop.is_set():
        raise Interrupted("interrupted")
    watch = _watch.get()
    if watch is not None:
        watch(what, done, total)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Have a function called at every pause point of this thread.

    What the function raises ends the work. Networks of torch, ours and others', stop
    at each of their layers as well.

    Parameters
    ----------
    watch
        Called with what is done, how much of it, and of how much; with an empty text
        where only the question is whether to go on.

    Examples
    --------
    >>> with watched(lambda what, done, total: print(what, done, "of", total)):
    ...     list(counted("ab", total=2, what="reading"))
    reading 0 of 2
    reading 1 of 2
    ['a', 'b']
    """
    from torch.nn.modules.module import register_module_forward_pre_hook

    before = _watch.set(watch)
    # the hook is called in every thread; pause_point asks this one's watch alone
    hook = register_module_forward_pre_hook(lambda module, args: pause_point())
    try:
        yield
    finally:
        hook.remove()
        _watch.reset(before)


def counted(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yield the items, with a `pause_point` before each."""
    for done, item in enumerate(items):
        pause_point(what, done, total)
        yield item
