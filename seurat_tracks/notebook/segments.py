"""Which lines a drawing of tracks consists of; arrays only, no plotting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Segments(NamedTuple):
    """Lines between observations of tracks that follow one another.

    Attributes
    ----------
    ends : float array (segment, 2, D)
        Positions of the two observations.
    value : float array (segment,)
        What to colour by, at the later one.
    bridge : bool array (segment,)
        True if frames in which the point was not seen lie between the two.
    age : float array (segment,)
        0 for a segment that ends at the last position, 1 at the first.
    """

    ends: np.ndarray
    value: np.ndarray
    bridge: np.ndarray
    age: np.ndarray


def visible_segments(
    points: np.ndarray, value: np.ndarray, visible: np.ndarray, start: int, stop: int
) -> Segments:
    """Connect each visible observation with the one before it.

    Parameters
    ----------
    points : float array (track, time, D)
        Positions; NaN = unknown.
    value : float array (track, time)
        What to colour by; NaN = unknown, and then not drawn.
    visible : bool array (track, time)
        Whether the point is seen.
    start, stop
        Positions on the time axis to draw, as in `range`.

    Returns
    -------
    Segments
        Ordered by time, so that later ones are drawn over earlier ones.
    """
    part = slice(start, stop)
    points, value = points[:, part], value[:, part]
    seen = visible[:, part] & np.isfinite(points).all(-1) & np.isfinite(value)
    at = np.broadcast_to(np.arange(seen.shape[1]), seen.shape)
    last = np.maximum.accumulate(np.where(seen, at, -1), axis=1)
    before = np.full(seen.shape, -1)
    before[:, 1:] = last[:, :-1]
    time, track = np.nonzero((seen & (before >= 0)).T)
    previous = before[track, time]
    ends = np.stack([points[track, previous], points[track, time]], axis=1)
    length = max(1, seen.shape[1] - 1)
    return Segments(
        ends,
        value[track, time],
        time - previous > 1,
        (seen.shape[1] - 1 - time) / length,
    )


class Heads(NamedTuple):
    """Where tracks stand in one frame.

    Attributes
    ----------
    points : float array (track, D)
        Positions now or, if hidden, when last seen.
    value : float array (track,)
        What to colour by.
    hidden : bool array (track,)
        True for points that are hidden now, were seen before, and are seen again.
    """

    points: np.ndarray
    value: np.ndarray
    hidden: np.ndarray


def heads(
    points: np.ndarray, value: np.ndarray, visible: np.ndarray, position: int
) -> Heads:
    """Find where tracks stand in one frame.

    Parameters
    ----------
    points, value, visible
        As in `visible_segments`.
    position
        Position on the time axis.

    Returns
    -------
    Heads
        Only tracks that are seen in this frame, or both before and after it.
    """
    seen = visible & np.isfinite(points).all(-1) & np.isfinite(value)
    now = seen[:, position]
    past = seen[:, :position]
    gap = ~now & past.any(axis=1) & seen[:, position + 1 :].any(axis=1)
    last = np.where(gap, position - 1 - _first(past[:, ::-1]), position)
    rows = np.flatnonzero(now | gap)
    return Heads(points[rows, last[rows]], value[rows, last[rows]], ~now[rows])


def _first(flags: np.ndarray) -> np.ndarray:
    if flags.shape[1] == 0:
        return np.zeros(len(flags), dtype=np.intp)
    return flags.argmax(axis=1)
