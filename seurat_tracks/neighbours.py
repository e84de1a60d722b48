"""Look from each track at those beside it: merged tracks, and tracks left alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TWIN_SHARE = 0.003
"""Two tracks coincide within this share of the frame's longer side."""

APART = 4.0
"""Tracks that began closer than so many times that distance were never apart."""

TWIN_FRAMES = 8
"""Tracks that coincide for fewer seen frames only pass each other."""

NEAR_SHARE = 0.25
"""A neighbour is a visible track within this share of the frame's longer side."""

FEWEST = 4
"""Fewer neighbours than this say hardly anything about depth."""


def look_around(
    xy: np.ndarray, visible: np.ndarray, frame_size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Find merged tracks, and frames in which a track has hardly any neighbour.

    Parameters
    ----------
    xy : float array (track, time, 2)
        Pixels; finite where visible.
    visible : bool array (track, time)
    frame_size
        Width and height in pixels.

    Returns
    -------
    twin : bool array (track, time)
        The track coincides with another one, for `TWIN_FRAMES` seen frames or more
        in a row, though the two were apart when the later one began. Both are marked:
        which of them went astray cannot be told from here.
    few : bool array (track, time)
        Visible, with fewer than `FEWEST` neighbours.

    Notes
    -----
    Only the `FEWEST` nearest tracks are looked at, in one tree a frame: memory is
    linear in tracks, and the order of tracks matters only among tracks that are
    exactly equally far.
    """
    from scipy.spatial import cKDTree

    N, T = visible.shape
    twin, few = np.zeros((N, T), bool), np.zeros((N, T), bool)
    longer = float(max(frame_size))
    close = TWIN_SHARE * longer
    first = visible.argmax(1)
    at = np.where(visible, np.arange(T), -1)
    last_seen = np.maximum.accumulate(at, axis=1) if T else at
    for t in range(T):
        seen = np.flatnonzero(visible[:, t])
        if len(seen) == 0:
            continue
        tree = cKDTree(xy[seen, t])
        far, who = tree.query(
            xy[seen, t], k=FEWEST + 1, distance_upper_bound=NEAR_SHARE * longer
        )
        few[seen, t] = np.isfinite(far).sum(1) - 1 < FEWEST
        # the tree answers with the number of points where there is none
        row, column = np.nonzero(far <= close)
        a, b = seen[row], seen[who[row, column]]
        a, b = a[a != b], b[a != b]
        later = np.where(first[a] >= first[b], a, b)
        earlier = np.where(first[a] >= first[b], b, a)
        when = first[later]
        apart = xy[later, when] - xy[earlier, last_seen[earlier, when]]
        apart = np.linalg.norm(apart, axis=1)
        twin[a[apart > APART * close], t] = True
    return long_runs(twin, visible, TWIN_FRAMES), few


def long_runs(mask: np.ndarray, seen: np.ndarray, least: int) -> np.ndarray:
    """Keep what holds for so many seen frames in a row, unseen ones not counting.

    Parameters
    ----------
    mask : bool array (track, time)
        False where not seen.
    seen : bool array (track, time)
    least
        Seen frames that a run needs.

    Returns
    -------
    bool array (track, time)
    """
    order = np.argsort(~seen, axis=1, kind="stable")
    packed = np.take_along_axis(mask & seen, order, 1)
    row, begin, end = runs(packed)
    short = end - begin < least
    for r, b, e in zip(row[short], begin[short], end[short], strict=True):
        packed[r, b:e] = False
    out = np.zeros_like(packed)
    np.put_along_axis(out, order, packed, 1)
    return out


def runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the runs of True in each row.

    Parameters
    ----------
    mask : bool array (row, time)

    Returns
    -------
    row, begin, end : int arrays (run,)
        In order of rows, then of time; the end is the position after the last True.
    """
    edge = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int8)
    edge[:, :-1] += mask
    edge[:, 1:] -= mask
    row, begin = np.nonzero(edge == 1)
    _, end = np.nonzero(edge == -1)
    return row, begin, end
