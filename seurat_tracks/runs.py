"""Visible runs of tracks: number them, take medians over them, fill between them."""

from __future__ import annotations

import numpy as np


def groups(visible: np.ndarray, whole_track: bool) -> tuple[np.ndarray, int]:
    """Label each visible frame by its run (or track), in order; -1 where hidden."""
    if whole_track:
        rows = np.broadcast_to(np.arange(len(visible))[:, None], visible.shape)
        return np.where(visible, rows, -1), len(visible)
    begins = visible.copy()
    begins[:, 1:] &= ~visible[:, :-1]
    number = np.cumsum(begins.ravel()).reshape(visible.shape) - 1
    return np.where(visible, number, -1), int(begins.sum())


def medians(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Median of each group of a flat array whose groups lie one after another."""
    first = np.cumsum(counts) - counts
    out = np.full(len(counts), np.nan)
    # Groups of one length form a matrix: far fewer lengths than groups.
    for length in np.unique(counts[counts > 0]):
        same = np.flatnonzero(counts == length)
        rows = values[first[same][:, None] + np.arange(length)]
        out[same] = np.median(rows, axis=1)
    return out


def interpolate(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Fill NaN along rows: linear in time between, constant beyond the ends."""
    known = np.isfinite(values)
    n = values.shape[1]
    at = np.arange(n)
    before = np.maximum.accumulate(np.where(known, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, at, n)[:, ::-1], axis=1)[:, ::-1]
    left = np.where(before < 0, after, before)
    right = np.where(after >= n, before, after)
    # Rows with nothing known read position 0, which is NaN like all of them.
    left = np.where((left < 0) | (left >= n), 0, left)
    right = np.where((right < 0) | (right >= n), 0, right)
    a = np.take_along_axis(values, left, axis=1)
    b = np.take_along_axis(values, right, axis=1)
    span = (time[right] - time[left]).astype(np.float64)
    part = np.where(span > 0, (time[None, :] - time[left]) / np.where(span, span, 1), 0)
    return a + (b - a) * part


def group_median(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Median of each group; groups are 0..n-1, each with a value."""
    order = np.argsort(group, kind="stable")
    return medians(values[order], np.bincount(group))


def long_runs(visible: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, float]:
    """Give long runs (at least three usable depths) a number, -1 elsewhere.

    Also the median number of frames that they span, each frame counted once.
    """
    group, R = groups(visible, False)
    count = np.bincount(group[usable], minlength=R)
    keep = count >= 3
    number = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
    span = np.bincount(group[visible], minlength=R)[keep]
    length = float(np.median(np.repeat(span, span))) if keep.any() else 0.0
    return np.where(usable, number[group], -1), length
