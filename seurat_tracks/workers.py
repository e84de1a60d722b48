"""Whose processes do the work, and which of their devices: Dask's client, locks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from seurat_tracks.errors import SeuratTracksError, WeightsError

_guard = threading.Lock()
_locks: dict[str, threading.Lock] = {}


def current_client() -> Any:
    """Give the caller's `distributed.Client`, or None where there is none.

    Never starts one, and never loads `distributed`: who has a client has loaded it.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        client = default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


@contextmanager
def connected(scheduler: str | None, *, timeout: float = 10.0) -> Iterator[Any]:
    """Connect to a Dask scheduler for a while; None gives the current client, if any.

    Parameters
    ----------
    scheduler
        Address, such as ``tcp://10.0.0.5:8786``.
    timeout
        Seconds to wait for an answer, and for a first worker.

    Yields
    ------
    distributed.Client or None

    Raises
    ------
    SeuratTracksError
        If `distributed` is not installed, the scheduler does not answer, or it has no
        workers.
    """
    if scheduler is None:
        client = current_client()
        if client is not None:
            _require_workers(client, timeout)
        yield client
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise SeuratTracksError(
            "a Dask scheduler needs the package distributed: pip install "
            "'seurat-tracks[distributed]'"
        ) from error
    try:
        client = Client(scheduler, timeout=timeout)
    except (OSError, ValueError, TimeoutError) as error:
        raise SeuratTracksError(
            f"no Dask scheduler answers at {scheduler!r} within {timeout:g} s: check "
            "the address, or start one (`dask scheduler`, then `dask worker ADDRESS`)"
        ) from error
    with client:
        _require_workers(client, timeout)
        yield client


def _require_workers(client: Any, timeout: float) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        raise SeuratTracksError(
            f"the Dask scheduler at {client.scheduler.address} has no workers: start "
            f"some with `dask worker {client.scheduler.address}`"
        ) from error


def device_of_workers(device: str, client: Any = None) -> str:
    """Choose the device of those that will do the work.

    Parameters
    ----------
    device
        As for `seurat_tracks.model.pretrained.resolve_device`.
    client
        Dask client, where its workers do it; None for this process.

    Raises
    ------
    WeightsError
        If a worker has no such device, or "auto" is not the same for all of them: one
        result would then be made by different devices.
    """
    from seurat_tracks.model.pretrained import resolve_device

    if client is None:
        return resolve_device(device)
    answers = client.run(resolve_device, device)
    found = sorted(set(answers.values()))
    if len(found) == 1:
        return str(found[0])
    if not found:
        return resolve_device(device)
    raise WeightsError(
        f"the workers have different devices ({', '.join(found)}), and device='auto' "
        "would mix them: say which, as device='cpu'"
    )


def alone_on(device: str) -> Any:
    """Context in which no other thread of this process uses a device.

    Two tasks on one GPU would need its memory twice and run no faster. Tasks on the CPU
    share it.
    """
    if device == "cpu":
        return nullcontext()
    with _guard:
        name = "cuda:0" if device == "cuda" else device
        return _locks.setdefault(name, threading.Lock())
