"""Run the network over the windows of a block of tracks: NumPy in, NumPy out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.interrupt import pause_point
from seurat_tracks.model.speed import batch_tokens, halve, is_memory_error
from seurat_tracks.progress import bar
from seurat_tracks.windows import WindowPlan

if TYPE_CHECKING:
    from seurat_tracks.model.network import SeuratNetwork


def normalise(
    xy: np.ndarray,
    frame_size: tuple[int, int],
    intrinsics: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Pixels to the network's coordinates: centre 0, half the longer side 1.

    The network takes the centre for the principal point, and pixels for square. Where
    the camera is known, positions are moved to where a camera like that would see them.

    Parameters
    ----------
    xy : array (..., 2)
        Pixels, pixel centres at integers.
    frame_size
        Width and height of the frame.
    intrinsics
        fx, fy, cx, cy in pixels, where they are known.

    Returns
    -------
    float32 array (..., 2)
    """
    width, height = frame_size
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    unit = np.full(2, max(width, height) / 2)
    if intrinsics is not None:
        centre = np.array(intrinsics[2:])
        unit = unit * np.array(intrinsics[:2]) / _focal(intrinsics)
    return ((xy - centre) / unit).astype(np.float32)


def _focal(intrinsics: tuple[float, float, float, float]) -> float:
    return math.sqrt(intrinsics[0] * intrinsics[1])


def predict_windows(
    network: SeuratNetwork,
    plan: WindowPlan,
    xy: np.ndarray,
    visible: np.ndarray,
    support_xy: np.ndarray,
    support_visible: np.ndarray,
    frame_size: tuple[int, int],
    *,
    intrinsics: tuple[float, float, float, float] | None = None,
    iterations: int | None = None,
    progress: bool | None = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict log depth ratios of every track in every window.

    Parameters
    ----------
    network
        The network, on its device.
    plan
        The windows.
    xy : float array (N, T, 2)
        Pixels; anything where hidden.
    visible : bool array (N, T)
    support_xy : float array (W, M, K, 2)
        Pixels.
    support_visible : bool array (W, M, K)
    frame_size
        Width and height of the frame.
    intrinsics
        fx, fy, cx, cy in pixels, where they are known.
    iterations
        Refinement passes; the network's own number by default.
    progress
        Show a bar; see `seurat_tracks.progress.shown`.

    Returns
    -------
    log_ratio, log_scale : float32 array (W, N, K)
        log(z_t / z_start) of every window, and the log of its error scale.

    Raises
    ------
    MemoryError
        If memory does not even hold one window of one track.

    Warns
    -----
    MemoryNotice
        If memory was short: batches are halved then until they fit.
    """
    import torch

    device = next(network.parameters()).device
    # unused places at the end, which lazy support has, would only change rounding
    used = np.flatnonzero(support_visible.any((0, 2)))
    M = int(used[-1]) + 1 if len(used) else 1
    support_xy, support_visible = support_xy[:, :M], support_visible[:, :M]
    W, _, K = support_visible.shape
    N = len(xy)
    points = normalise(xy, frame_size, intrinsics)
    support = normalise(support_xy, frame_size, intrinsics)
    frames = np.maximum(plan.frames, 0)
    seen = np.moveaxis(visible[:, frames], 0, 1) & (plan.frames >= 0)[:, None]
    ratio = np.zeros((W, N, K), np.float32)
    scale = np.zeros((W, N, K), np.float32)
    log_focal = math.nan
    if intrinsics is not None:
        log_focal = math.log(_focal(intrinsics) / (max(frame_size) / 2))
    tokens = batch_tokens(str(device))
    even = network.even_batches
    steps = bar(total=W * N, desc="lifting", unit="track window", progress=progress)
    finished = 0
    counting = threading.Lock()

    def some_windows(part: np.ndarray, width: int, ended: threading.Event) -> None:
        nonlocal finished
        state = network.encode_support(
            torch.from_numpy(support[part]).to(device),
            torch.from_numpy(support_visible[part]).to(device),
            iterations,
            torch.full((len(part),), log_focal, device=device),
            answers=False,
        )
        for some in _batches(0, N, width, even):
            if ended.is_set():
                return
            pause_point("lifting", finished, W * N)
            tracks = np.moveaxis(points[some][:, frames[part]], 0, 1)
            there = seen[np.ix_(part, some)]
            answer = network.query(
                torch.from_numpy(np.ascontiguousarray(tracks)).to(device),
                torch.from_numpy(np.ascontiguousarray(there)).to(device),
                state,
            )[-1]
            ratio[np.ix_(part, some)] = answer.log_ratio.float().cpu().numpy()
            scale[np.ix_(part, some)] = answer.log_scale.float().cpu().numpy()
            with counting:
                new = len(np.unique(part)) * len(np.unique(some))
                finished += new
                steps.update(new)

    # a tenth faster, for a sixth less work, than all cores on each product
    threads = torch.get_num_threads() if device.type == "cpu" and not even else 1
    left = np.arange(W)
    with steps:
        while len(left):
            many = min(max(1, tokens // (K * max(M, 1))), len(left))
            pieces = math.ceil(len(left) / many)
            if pieces > 1:
                # as many for each of two cores; not by how many there are, which would
                # change last digits
                pieces = min(pieces + pieces % 2, len(left))
            many = math.ceil(len(left) / pieces)
            width = min(max(1, tokens // (K * many)), N)
            if even:
                parts = [left[i] for i in _batches(0, len(left), many, even)]
            else:
                parts = np.array_split(left, pieces)
            done = []
            try:
                for part in _each(some_windows, parts, width, threads):
                    done.append(part)
                    if finished < W * N:
                        pause_point("lifting", finished, W * N)
            except (MemoryError, RuntimeError) as error:
                if not is_memory_error(error):
                    raise
            left = np.setdiff1d(left, np.concatenate([*done, left[:0]]))
            if len(left):
                # out of the except clause, which would hold what has filled the memory
                tokens = halve(str(device), tokens, K)
                finished = steps.n = (W - len(left)) * N
    return ratio, scale


def _each(
    work: Callable[[np.ndarray, int, threading.Event], None],
    parts: list[np.ndarray],
    width: int,
    threads: int,
) -> Iterator[np.ndarray]:
    """Do the parts, each on one core, as many at once as there are threads.

    Yields those that are done. When it ends, by an error or an interrupt too, no part
    is worked on any more.
    """
    import torch

    ended = threading.Event()
    threads = min(threads, len(parts))
    if threads <= 1:
        for part in parts:
            with torch.inference_mode():
                work(part, width, ended)
            yield part
        return

    def alone(part: np.ndarray) -> np.ndarray:
        with torch.inference_mode():  # which is each thread's own
            work(part, width, ended)
        return part

    pool = ThreadPoolExecutor(threads, "windows", torch.set_num_threads, (1,))
    try:
        futures = [pool.submit(alone, part) for part in parts]
        for future in as_completed(futures):
            yield future.result()
    finally:
        ended.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(begin: int, end: int, size: int, even: bool) -> Iterator[np.ndarray]:
    """Cut positions into batches; the last, if all shall be even, repeats its end."""
    for first in range(begin, end, size):
        last = first + size if even else min(first + size, end)
        yield np.minimum(np.arange(first, last), end - 1)
