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
    """Median of each group of a flat, finite array of groups one after another."""
    first = np.cumsum(counts) - counts
    out = np.full(len(counts), np.nan)
    if not len(counts):
        return out
    # Groups of one length form a matrix: far fewer lengths than groups.
    order = np.argsort(counts, kind="stable")
    lengths, begins = np.unique(counts[order], return_index=True)
    ends = np.append(begins[1:], len(order))
    for length, begin, end in zip(lengths, begins, ends, strict=True):
        if length == 0:
            continue
        same = order[begin:end]
        rows = values[first[same][:, None] + np.arange(length)]
        low, high = (length - 1) // 2, length // 2
        rows.partition([low, high] if low < high else low, axis=1)
        out[same] = (rows[:, low] + rows[:, high]) / 2
    return out


def interpolate(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Fill NaN along rows: linear in time between, constant beyond the ends."""
    known = np.isfinite(values)
    out = values.copy()
    n = values.shape[1]
    there, missing = np.flatnonzero(known), np.flatnonzero(~known)
    if not len(there) or not len(missing):
        return out
    row = missing // n
    after = np.searchsorted(there, missing)
    before = after - 1
    left = there[np.maximum(before, 0)]
    right = there[np.minimum(after, len(there) - 1)]
    has_left = (before >= 0) & (left // n == row)
    has_right = (after < len(there)) & (right // n == row)
    left, right = np.where(has_left, left, right), np.where(has_right, right, left)
    # rows with nothing known stay as they are
    use = has_left | has_right
    missing, left, right = missing[use], left[use], right[use]
    a, b = values.ravel()[left], values.ravel()[right]
    begin = time[left % n]
    span = (time[right % n] - begin).astype(np.float64)
    part = np.where(
        span > 0, (time[missing % n] - begin) / np.where(span, span, 1), 0.0
    )
    out.ravel()[missing] = a + (b - a) * part
    return out


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
