"""Run independent pieces of work: in threads of this process, or on Dask's workers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from seurat_tracks import interrupt
from seurat_tracks.errors import SeuratTracksError

MOST_THREADS = 8
"""Threads of one process that work at once; more cores are for more processes."""


class LostWorkers(SeuratTracksError):
    """The scheduler or the workers went away; what they finished is kept."""


def each(
    work: Callable[[Any], Any],
    items: Sequence[Any],
    client: Any = None,
    *,
    threads: int = 1,
    lost: Callable[[Any], Any] | None = None,
) -> Generator[tuple[Any, Any], None, None]:
    """Do the same with every item, in any order.

    Parameters
    ----------
    work
        Takes one item. For a client it must be picklable.
    items
        What to do.
    client
        A `distributed.Client`; None works in this process.
    threads
        How many items are worked on at once in this process.
    lost
        Takes an item whose workers died again and again, and gives its result; None
        ends there.

    Yields
    ------
    item, result
        As they are done.

    Raises
    ------
    LostWorkers
        If the scheduler was lost or restarted, or workers died again and again.
    Exception
        The first that any item raises. Nothing is started after it, and in this
        process nothing runs any more.
    """
    if client is None:
        yield from _in_threads(work, items, threads)
    else:
        yield from _on_workers(work, items, client, lost)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_threads(
    work: Callable[[Any], Any], items: Sequence[Any], threads: int
) -> Generator[tuple[Any, Any], None, None]:
    import torch

    threads = max(1, min(threads, len(items)))
    before = torch.get_num_threads()
    # threads that each start as many threads of their own would wait for each other
    own = max(1, before // threads)
    pool = ThreadPoolExecutor(threads, "lift", torch.set_num_threads, (own,))
    running: dict[Future[Any], Any] = {}
    rest = iter(items)
    try:
        with interrupt.stopping_workers():
            while True:
                for item in rest:
                    running[pool.submit(work, item)] = item
                    if len(running) >= threads:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    item = running.pop(future)
                    yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        interrupt.forget()
        torch.set_num_threads(before)


def _on_workers(
    work: Callable[[Any], Any],
    items: Sequence[Any],
    client: Any,
    lost: Callable[[Any], Any] | None,
) -> Generator[tuple[Any, Any], None, None]:
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    gone = (CancelledError, CommClosedError, KilledWorker)
    # pure=False: the same call may be made again after its files were removed
    futures = {
        client.submit(_on_worker, work, item, pure=False): item for item in items
    }
    try:
        for future in as_completed(list(futures), loop=client.loop):
            item = futures[future]
            try:
                result = future.result()
            except KilledWorker:
                if lost is None:
                    raise
                result = lost(item)
            yield item, result
    except gone as error:
        why = " ".join(str(error).split())[:200]
        raise LostWorkers(
            "the Dask scheduler or its workers went away "
            f"({type(error).__name__}: {why})"
        ) from error
    finally:
        if client.status == "running":
            client.cancel(list(futures), force=True)


def _on_worker(work: Callable[[Any], Any], item: Any) -> Any:
    """Do one piece of work: what is sent to workers."""
    with _graphs_here():
        return work(item)


_within = 0
_entering = threading.Lock()
_before: Any = None


@contextmanager
def _graphs_here() -> Iterator[None]:
    """Compute graphs in the thread that asks for them, as long as any thread is within.

    A task that sent one to its own scheduler would wait for a worker's thread, which it
    may hold itself. Dask's setting is the whole process's: the last one out resets it.
    """
    import dask

    global _within, _before
    with _entering:
        if not _within:
            _before = dask.config.set(scheduler="synchronous")
            _before.__enter__()
        _within += 1
    try:
        yield
    finally:
        with _entering:
            _within -= 1
            if not _within:
                _before.__exit__(None, None, None)
