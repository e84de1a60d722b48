"""Support points for tracks that come without a video: drawn from the tracks."""

from __future__ import annotations

import numpy as np

from seurat_tracks.windows import WindowPlan

MOST = 576
"""Support points per window, as many as the paper's 24 x 24 grid has."""

CELLS = 24
"""The image is divided into this many cells a side to spread the choice evenly."""


def support_from_tracks(
    xy: np.ndarray, visible: np.ndarray, plan: WindowPlan, frame_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Choose each window's support among the tracks, spread evenly over the image.

    The choice looks at positions and visibility alone, never at the order of the
    tracks.

    Parameters
    ----------
    xy : float array (N, T, 2)
        All tracks, pixels.
    visible : bool array (N, T)
    plan
        The windows.
    frame_size
        Width and height of the frame.

    Returns
    -------
    support_xy : float32 array (W, M, K, 2)
        NaN where hidden or unused.
    support_visible : bool array (W, M, K)
        M is the largest number of points that any window has, at most `MOST`.
    """
    chosen = [
        _choose(xy, visible, frames[frames >= 0], frame_size) for frames in plan.frames
    ]
    W, K = plan.frames.shape
    M = max(1, max(len(c) for c in chosen))
    support_xy = np.full((W, M, K, 2), np.nan, np.float32)
    support_visible = np.zeros((W, M, K), bool)
    for w, (index, frames) in enumerate(zip(chosen, plan.frames, strict=True)):
        there = frames >= 0
        seen = visible[np.ix_(index, frames[there])]
        places = xy[np.ix_(index, frames[there])]
        support_visible[w, : len(index), : there.sum()] = seen
        support_xy[w, : len(index), : there.sum()] = np.where(
            seen[..., None], places, np.nan
        )
    return support_xy, support_visible


def _choose(
    xy: np.ndarray, visible: np.ndarray, frames: np.ndarray, frame_size: tuple[int, int]
) -> np.ndarray:
    """Tracks seen at least twice in these frames; at most `MOST`, well spread."""
    seen = visible[:, frames]
    count = seen.sum(1)
    candidates = np.flatnonzero(count >= min(2, len(frames)))
    first = seen[candidates].argmax(1)
    place = xy[candidates, frames[first]].astype(np.float64)
    # in order of position, so that even rounding does not depend on the tracks' order
    order = np.lexsort((place[:, 1], place[:, 0]))
    candidates, place = candidates[order], place[order]
    if len(candidates) <= MOST:
        return candidates
    cell = np.floor(place / np.asarray(frame_size, float) * CELLS).clip(0, CELLS - 1)
    key = (cell[:, 1] * CELLS + cell[:, 0]).astype(np.int64)
    # the longest seen of each cell first, then the second of each cell, and so on
    order = np.lexsort((place[:, 1], place[:, 0], -count[candidates], key))
    sorted_key = key[order]
    start = np.searchsorted(sorted_key, sorted_key)
    turn = np.arange(len(order)) - start
    place_in_cell = place[order]
    best = np.lexsort((place_in_cell[:, 1], place_in_cell[:, 0], turn))[:MOST]
    return candidates[np.sort(order[best])]
