"""Depth change from how the neighbours of a point draw apart, fitted robustly."""

from __future__ import annotations

import numpy as np

RIDGE = 0.01
"""Weight of "neighbours turn and grow alike in all directions" beside the fit."""


def expansion_ratio(
    xy: np.ndarray,
    visible: np.ndarray,
    rows: np.ndarray | None = None,
    *,
    k: int = 12,
    iterations: int = 10,
) -> np.ndarray:
    """Depth change from the local affine map between the first frame and each other.

    The area of a surface patch in the image falls with the square of its depth (Eq. 1
    of *Seurat*, cosine dropped), and the determinant of the affine map that carries a
    point's neighbours from the first frame to another is by how much that area grew.
    Unlike a density it does not depend on how the neighbours lie, and outliers count
    little.

    Parameters
    ----------
    xy : float array (track, time, 2)
        Pixels; NaN = no observation.
    visible : bool array (track, time)
    rows : int array (row,)
        Tracks that are asked about; None: all.
    k
        Neighbours, the nearest in the first frame.
    iterations
        Rounds of reweighting (Cauchy weights).

    Returns
    -------
    float64 array (row, time)
        z_t / z_0, 1 in the first frame; NaN where the point is hidden now or in the
        first frame, where no neighbour is seen, or the map turns the patch over.
    """
    xy = np.asarray(xy, np.float64)
    seen = np.asarray(visible, bool) & np.isfinite(xy).all(-1)
    rows = np.arange(len(seen)) if rows is None else rows
    out = np.full((len(rows), seen.shape[1]), np.nan)
    first = np.flatnonzero(seen[:, 0])
    asked = np.flatnonzero(seen[rows, 0])
    if len(first) < 2 or not len(asked):
        return out
    point = rows[asked]
    near = first[_nearest(xy[first, 0], np.searchsorted(first, point), k)]
    then = xy[near, 0] - xy[point, None, 0]
    for t in range(seen.shape[1]):
        use = seen[near, t] & seen[point, None, t]
        now = np.where(use[..., None], xy[near, t] - xy[point, None, t], 0.0)
        out[asked, t] = _shrinkage(then, now, use, iterations)
    return out


def _shrinkage(
    then: np.ndarray, now: np.ndarray, use: np.ndarray, iterations: int
) -> np.ndarray:
    """Give det(A)^(-1/2) of now = A then; offsets (row, k, 2), used (row, k)."""
    length = np.sqrt((then**2).sum(-1))
    use = use & (length > 1e-6)
    growth = np.where(use, np.sqrt((now**2).sum(-1)) / np.maximum(length, 1e-6), np.nan)
    known = use.any(1)
    alike = np.ones(len(use))
    alike[known] = np.nanmedian(growth[known], axis=1)
    # neighbours that grow unlike the others begin with little weight: one far off would
    # turn the first fit to itself
    unlike = np.abs(np.nan_to_num(growth) / np.maximum(alike, 1e-9)[:, None] - 1)
    middle = np.zeros(len(use))
    middle[known] = np.nanmedian(np.where(use, unlike, np.nan)[known], axis=1)
    weight = _cauchy(unlike, middle, 0.05) * use
    identity = np.eye(2)
    for _ in range(iterations + 1):
        w = weight[..., None]
        square = np.einsum("nki,nkj->nij", w * then, then)
        cross = np.einsum("nki,nkj->nij", w * now, then)
        ridge = RIDGE * np.maximum(np.trace(square, axis1=1, axis2=2), 1e-12)
        ridge = ridge[:, None, None] * identity
        prior = alike[:, None, None] * _rotation(cross)
        matrix = (cross + prior @ ridge) @ np.linalg.inv(square + ridge)
        miss = np.sqrt(((now - np.einsum("nij,nkj->nki", matrix, then)) ** 2).sum(-1))
        middle[known] = np.nanmedian(np.where(use, miss, np.nan)[known], axis=1)
        weight = _cauchy(miss, middle, 1e-3) * use
    area = np.where(known, np.linalg.det(matrix), np.nan)
    with np.errstate(all="ignore"):
        return np.where(area > 0, area, np.nan) ** -0.5


def _cauchy(miss: np.ndarray, middle: np.ndarray, least: float) -> np.ndarray:
    """Weights (row, k) that fall with misses, by the row's median miss."""
    limit = np.maximum(2.385 * 1.4826 * middle, least)[:, None]
    return 1 / (1 + (miss / limit) ** 2)


def _rotation(cross: np.ndarray) -> np.ndarray:
    """Give the rotations nearest to matrices (row, 2, 2)."""
    angle = np.arctan2(cross[:, 1, 0] - cross[:, 0, 1], cross[:, 0, 0] + cross[:, 1, 1])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _nearest(points: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Index of the k nearest other points of each row (row, k)."""
    from scipy.spatial import KDTree

    k = min(k, len(points) - 1)
    found = np.atleast_2d(KDTree(points).query(points[rows], k + 1)[1])
    other = found != rows[:, None]
    # among points on one place the row itself may not be found: drop the farthest
    other[other.all(1), -1] = False
    return found[other].reshape(len(rows), k)
