"""Relative depth of tracks from distances that do not change.

A ratio leaves one unknown factor to each track. Where the distances between points stay
as they are while points and camera turn against each other, these factors follow, up to
one for all: the positions of each frame must be the same shape again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from seurat_tracks.errors import DepthError
from seurat_tracks.interrupt import pause_point

MOST_FRAMES = 32
"""Frames, evenly spread, that the fit looks at."""

MOST_PAIRS = 150
"""Pairs that the fit looks at: each track in three at least, then by a fixed draw."""

PRIOR = 0.5
"""Standard deviation of log depth around equal depths that is assumed beforehand."""

DOUBT = 0.25
"""Standard error of a track's log scale above which the answer is refused."""


def read_pairs(rigid: Any) -> list[tuple[Hashable, Hashable]]:
    """Pairs of ids whose distance is constant.

    Parameters
    ----------
    rigid
        Pairs of ids, ``[("hip", "knee"), ("knee", "ankle")]``; or three or more ids of
        one rigid thing, ``[3, 7, 9]``, of which every pair counts; or a list of such
        groups.

    Raises
    ------
    DepthError
        If it is neither.
    """
    try:
        items = list(rigid)
    except TypeError:
        items = []
    plain = [not isinstance(i, (tuple, list, set, np.ndarray)) for i in items]
    if items and all(plain):
        groups = [items]
    elif items and not any(plain):
        groups = [list(g) for g in items]
    else:
        groups = []
    if not groups or any(len(g) < 2 or len(set(g)) < len(g) for g in groups):
        raise DepthError(
            f"rigid must be pairs of track ids like [('hip', 'knee')], or the ids of "
            f"one rigid thing such as [3, 7, 9], each once; got {rigid!r}"
        )
    pairs = [tuple(p) for g in groups for p in combinations(g, 2)]
    return list(dict.fromkeys(pairs))


def rigid_scales(
    rays: np.ndarray,
    log_ratio: np.ndarray,
    visible: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    *,
    sigma: np.ndarray | None = None,
    pixel: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """Log scales of tracks, up to one for all, with which distances stay constant.

    Parameters
    ----------
    rays : float array (track, time, 3)
        Where points appear, at depth 1.
    log_ratio, visible : arrays (track, time)
    pairs
        Rows whose distance is the same in every frame, whatever it is.
    sigma : float array (track, time), optional
        Standard error of `log_ratio`; 0.01 at least is assumed.
    pixel
        Standard error of a ray's x and y.

    Returns
    -------
    log_scale, error : float arrays (track,)
        Mean 0; and its standard error. NaN for tracks in no pair.

    Raises
    ------
    DepthError
        If a pair is seen in fewer than three frames, or the motion says too little: the
        standard error of any track exceeds `DOUBT`.

    Notes
    -----
    Gauss-Newton (Levenberg-Marquardt, soft L1 loss) on log distances less their robust
    mean over time, a weak prior of equal depths. Errors of ratios count along the line
    of sight, errors of pixels across it.
    """
    from scipy.optimize import least_squares

    first, second = _cap(pairs)
    used = np.unique(np.concatenate([first, second]))
    place = np.full(len(rays), -1)
    place[used] = np.arange(len(used))
    first, second = place[first], place[second]
    frames = _frames(visible[used])
    ray = rays[used][:, frames].astype(np.float64)
    known = visible[used][:, frames] & np.isfinite(log_ratio[used][:, frames])
    known &= np.isfinite(ray).all(-1)
    ratio = np.where(known, log_ratio[used][:, frames], 0.0).astype(np.float64)
    ray = np.where(known[..., None], ray, 1.0)
    both = known[first] & known[second]
    if (both.sum(1) < 3).any():
        raise DepthError(
            "rigid: a pair of tracks is seen together in fewer than three frames, so "
            "its distance cannot be compared over time"
        )
    noise = np.full(ratio.shape, 0.01)
    if sigma is not None:
        given = np.nan_to_num(sigma[used][:, frames], nan=0.01)
        noise = np.maximum(given, 0.01)
    n, m = len(used), len(first)
    row, column = np.nonzero(both)

    def shape(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.exp(x[:n, None] + ratio)[..., None] * ray
        apart = at[first] - at[second]
        return at, apart, np.maximum(np.linalg.norm(apart, axis=-1), 1e-9)

    def error_of(x: np.ndarray) -> np.ndarray:
        at, apart, length = shape(x)
        total = np.zeros(length.shape)
        for end in (first, second):
            deep = at[end]
            along = (deep * apart).sum(-1) / length**2 * noise[end]
            total += along**2 + (pixel * deep[..., 2] / length) ** 2
            total += 0.5 * (deep[..., 2] / length * noise[end]) ** 4
        return np.sqrt(total)[row, column]

    def residual(x: np.ndarray) -> np.ndarray:
        length = np.log(shape(x)[2][row, column])
        gap = (length - x[n:][row]) / scatter
        level = x[:n].mean() / 1e-3  # the one factor for all that nothing fixes
        return np.concatenate([gap, x[:n] / PRIOR, [level]])

    def jacobian(x: np.ndarray) -> np.ndarray:
        pause_point("solving the rigid thing")
        at, apart, length = shape(x)
        out = np.zeros((len(row) + n + 1, n + m))
        at_row = np.arange(len(row))
        square = length[row, column] ** 2 * scatter
        for end, sign in ((first, 1.0), (second, -1.0)):
            along = (at[end] * apart).sum(-1)[row, column]
            out[at_row, end[row]] += sign * along / square
        out[at_row, n + row] = -1 / scatter
        out[len(row) + np.arange(n), np.arange(n)] = 1 / PRIOR
        out[-1, :n] = 1 / n / 1e-3
        return out

    x = np.zeros(n + m)
    log_length = np.where(both, np.log(shape(x)[2]), np.nan)
    x[n:] = np.nanmedian(log_length, axis=1)
    for _ in range(3):
        scatter = error_of(x)
        # neighbouring frames err alike: as many as a quarter of them are independent
        scatter = 2 * scatter
        fit = least_squares(residual, x, jacobian, loss="soft_l1", max_nfev=60)
        x = fit.x
    j = jacobian(x)
    gap = residual(x)[: len(row)]
    worse = max(1.0, float(1.4826 * np.median(np.abs(gap))))
    j[: len(row)] /= worse
    covariance = np.linalg.pinv(j.T @ j)[:n, :n]
    error = np.sqrt(np.diag(covariance))
    if (error > DOUBT).any():
        raise DepthError(
            "rigid: the points turn too little against the camera, or their ratios are "
            f"too uncertain, to say how far they are from one another (standard error "
            f"of log depth up to {error.max():.2f}, {DOUBT} at most is accepted). Give "
            'assume="equal_depth" if they are about equally far away, or a depth source'
        )
    scale, sd = np.full(len(rays), np.nan), np.full(len(rays), np.nan)
    scale[used], sd[used] = x[:n] - x[:n].mean(), error
    return scale, sd


def _cap(pairs: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, int)
    if len(table) > MOST_PAIRS:
        table = table[np.random.default_rng(0).permutation(len(table))]
        count = np.zeros(table.max() + 1, int)
        needed = np.zeros(len(table), bool)
        for k, pair in enumerate(table):
            if (count[pair] < 3).any():
                needed[k] = True
                count[pair] += 1
        order = np.argsort(~needed, kind="stable")
        table = table[order[: max(MOST_PAIRS, int(needed.sum()))]]
    return table[:, 0], table[:, 1]


def _frames(visible: np.ndarray) -> np.ndarray:
    """Frames that show two of the points at least, evenly thinned."""
    frames = np.flatnonzero(visible.sum(0) >= 2)
    if len(frames) <= MOST_FRAMES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int)]
