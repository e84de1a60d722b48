"""Spans in which a track is seen: what a line may join, and what it may not.

napari's Tracks layer joins all rows of one id, over gaps too. Every span that is seen
without a gap therefore gets an id of its own here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


def span_numbers(seen: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Give every span of every track a number.

    Parameters
    ----------
    seen : bool array (track, time)
        Where a point is seen at a known position.
    time : int array (time,)
        Frame numbers; where frames are missing, a span ends.

    Returns
    -------
    int64 array (track, time)
        Number of the span, from 0 in the order of tracks and then of time; -1 where
        the point is not seen.
    """
    steps = np.diff(time)
    joined = np.zeros_like(seen)
    usual = steps == steps.min(initial=np.iinfo(np.int64).max)
    joined[:, 1:] = seen[:, 1:] & seen[:, :-1] & usual
    numbers = np.cumsum((seen & ~joined).ravel()).reshape(seen.shape) - 1
    return np.where(seen, numbers, -1)


class Rows(NamedTuple):
    """Observations picked from arrays (track, time, ...).

    Attributes
    ----------
    track, at : int array (row,)
        Position of the track and of the frame.
    span : int array (row,)
        Number of the span; rows are ordered by it, then by time.
    """

    track: np.ndarray
    at: np.ndarray
    span: np.ndarray


def span_rows(spans: np.ndarray, start: int, stop: int, tracks: np.ndarray) -> Rows:
    """List what is seen of some tracks in some frames.

    Parameters
    ----------
    spans : int array (track, time)
        As of `span_numbers`.
    start, stop
        Positions on the time axis, as in `range`.
    tracks : int array
        Positions of the tracks, increasing.

    Returns
    -------
    Rows
    """
    part = spans[tracks, start:stop]
    row, at = np.nonzero(part >= 0)
    return Rows(tracks[row], at + start, part[row, at])


def spread(n: int, most: int) -> np.ndarray:
    """Pick at most `most` of `n` positions, spread evenly."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, max(most, 1)).round().astype(int))
