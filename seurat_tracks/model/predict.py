"""Run the network over the windows of a block of tracks: NumPy in, NumPy out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.interrupt import pause_point
from seurat_tracks.windows import WindowPlan

if TYPE_CHECKING:
    from seurat_tracks.model.network import SeuratNetwork

TOKENS = {"cpu": 16_000, "mps": 50_000, "cuda": 400_000}
"""Pairs of point and frame in one pass of the network, by device; bounds its memory.

On the CPU small passes are faster: their arrays stay in the heap and in the cache.
"""


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
    progress: bool = False,
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
        Show a bar.

    Returns
    -------
    log_ratio, log_scale : float32 array (W, N, K)
        log(z_t / z_start) of every window, and the log of its error scale.
    """
    import torch
    from tqdm.auto import tqdm

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
    tokens = TOKENS.get(device.type, TOKENS["cpu"])
    many = max(1, tokens // (K * max(M, 1)))
    few = max(1, tokens // K)
    log_focal = math.log(focal / (max(frame_size) / 2)) if focal else math.nan
    bar = tqdm(
        total=W * N,
        desc="lifting",
        unit="track window",
        leave=False,
        disable=not progress,
    )
    with bar, torch.inference_mode():
        for begin in range(0, W, many):
            part = slice(begin, min(begin + many, W))
            state = network.encode_support(
                torch.from_numpy(support[part]).to(device),
                torch.from_numpy(support_visible[part]).to(device),
                iterations,
                torch.full((part.stop - part.start,), log_focal, device=device),
            )
            width = max(1, few // (part.stop - part.start))
            for first in range(0, N, width):
                pause_point("lifting", begin * N + (part.stop - begin) * first, W * N)
                some = slice(first, min(first + width, N))
                tracks = np.moveaxis(points[some][:, frames[part]], 0, 1)
                answer = network.query(
                    torch.from_numpy(np.ascontiguousarray(tracks)).to(device),
                    torch.from_numpy(np.ascontiguousarray(seen[part, some])).to(device),
                    state,
                )[-1]
                ratio[part, some] = answer.log_ratio.float().cpu().numpy()
                scale[part, some] = answer.log_scale.float().cpu().numpy()
                bar.update((part.stop - part.start) * (some.stop - some.start))
    return ratio, scale
