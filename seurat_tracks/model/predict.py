"""Run the network over the windows of a block of tracks: NumPy in, NumPy out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.interrupt import pause_point
from seurat_tracks.model.speed import batch_tokens, halve, is_memory_error
from seurat_tracks.progress import bar
from seurat_tracks.windows import WindowPlan

if TYPE_CHECKING:
    from seurat_tracks.model.network import SeuratNetwork


def normalise(xy: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """Pixels to the network's coordinates: centre 0, half the longer side 1.

    Parameters
    ----------
    xy : array (..., 2)
        Pixels, pixel centres at integers.
    frame_size
        Width and height of the frame.

    Returns
    -------
    float32 array (..., 2)
    """
    width, height = frame_size
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return ((xy - centre) / (max(width, height) / 2)).astype(np.float32)


def predict_windows(
    network: SeuratNetwork,
    plan: WindowPlan,
    xy: np.ndarray,
    visible: np.ndarray,
    support_xy: np.ndarray,
    support_visible: np.ndarray,
    frame_size: tuple[int, int],
    *,
    focal: float | None = None,
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
    focal
        Focal length in pixels, where it is known.
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
    points = normalise(xy, frame_size)
    support = normalise(support_xy, frame_size)
    frames = np.maximum(plan.frames, 0)
    seen = np.moveaxis(visible[:, frames], 0, 1) & (plan.frames >= 0)[:, None]
    ratio = np.zeros((W, N, K), np.float32)
    scale = np.zeros((W, N, K), np.float32)
    log_focal = math.log(focal / (max(frame_size) / 2)) if focal else math.nan
    tokens = batch_tokens(str(device))
    even = network.even_batches
    steps = bar(total=W * N, desc="lifting", unit="track window", progress=progress)

    def some_windows(part: np.ndarray, width: int) -> None:
        state = network.encode_support(
            torch.from_numpy(support[part]).to(device),
            torch.from_numpy(support_visible[part]).to(device),
            iterations,
            torch.full((len(part),), log_focal, device=device),
            answers=False,
        )
        for some in _batches(0, N, width, even):
            pause_point("lifting", begin * N + len(part) * int(some[0]), W * N)
            tracks = np.moveaxis(points[some][:, frames[part]], 0, 1)
            there = seen[np.ix_(part, some)]
            answer = network.query(
                torch.from_numpy(np.ascontiguousarray(tracks)).to(device),
                torch.from_numpy(np.ascontiguousarray(there)).to(device),
                state,
            )[-1]
            ratio[np.ix_(part, some)] = answer.log_ratio.float().cpu().numpy()
            scale[np.ix_(part, some)] = answer.log_scale.float().cpu().numpy()
            steps.update(len(part) * min(width, N - int(some[0])))

    begin = 0
    with steps, torch.inference_mode():
        while begin < W:
            many = min(max(1, tokens // (K * max(M, 1))), W)
            part = next(_batches(begin, W, many, even))
            try:
                some_windows(part, min(max(1, tokens // (K * len(part))), N))
            except (MemoryError, RuntimeError) as error:
                if not is_memory_error(error):
                    raise
            else:
                begin += many
                continue
            # out of the except clause, which would hold what has filled the memory
            tokens = halve(str(device), tokens, K)
            steps.n = begin * N
    return ratio, scale


def _batches(begin: int, end: int, size: int, even: bool) -> Iterator[np.ndarray]:
    """Cut positions into batches; the last, if all shall be even, repeats its end."""
    for first in range(begin, end, size):
        last = first + size if even else min(first + size, end)
        yield np.minimum(np.arange(first, last), end - 1)
