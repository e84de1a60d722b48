"""Fuse the answers of overlapping windows into one curve of log depth per track.

Plain NumPy on one block of tracks; tracks never influence each other. ``N`` tracks,
``T`` frames, ``W`` windows of ``K`` steps.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seurat_tracks.interrupt import pause_point
from seurat_tracks.windows import WindowPlan

HIDDEN_WEIGHT = 0.1
"""Weight of a pair of frames in one of which the point is hidden."""

ROUNDS = 3
"""Rounds of reweighting; the first is plain least squares."""

NO_EVIDENCE = 1e-6
"""Weight that keeps frames which no window saw from being singular."""

PAIR_FLOOR = 0.02
"""Added to a pair's error scale in the fit, natural-log units.

The network errs alike in neighbouring windows; without a floor the fit would trust
many short steps more than the long ones that tie them together. Measured on real
tracks: 0.02 is best or near it between 0.005 and 0.04.
"""

SHARED_ERROR = 0.5
"""Share of the predicted error scale that neighbouring windows have in common.

It adds up along the track instead of averaging out; measured on held-out scenes, as is
`OWN_ERROR`.
"""

OWN_ERROR = 1.5
"""Standard deviation of the part that averages out, per predicted error scale."""


def linked_frames(plan: WindowPlan, n_frames: int) -> np.ndarray:
    """Give a number to every group of frames that windows tie together.

    Frames of different shots, or with no window between them, have different numbers:
    nothing is known of the depth of one relative to the other.

    Parameters
    ----------
    plan
        The windows.
    n_frames
        Frames of the video.

    Returns
    -------
    int array (T,)
    """
    first = np.broadcast_to(plan.frames[:, :1], plan.frames.shape)
    there = plan.frames >= 0
    links = coo_array(
        (np.ones(there.sum()), (first[there], plan.frames[there])),
        shape=(n_frames, n_frames),
    )
    return connected_components(links, directed=False)[1]


def chain(plan: WindowPlan, log_ratio: np.ndarray, n_frames: int) -> np.ndarray:
    """Chain windows by their predictions at the next window's start (Eq. 9).

    Parameters
    ----------
    plan
        The windows; only those of stride 1 are used, as in the paper.
    log_ratio : array (W, N, K)
        log(z_t / z_start) of every window.
    n_frames
        Frames of the video.

    Returns
    -------
    float64 array (N, T)
        Log depth, 0 at the first frame of each group of linked frames (a shot); NaN
        where there is no window.
    """
    N = log_ratio.shape[1]
    curve = np.full((N, n_frames), np.nan)
    reached = -1
    once = np.flatnonzero(plan.stride == 1)
    for w in once[np.argsort(plan.start[once], kind="stable")]:
        frames = plan.frames[w]
        there = frames >= 0
        begin = frames[0]
        base = curve[:, begin] if begin <= reached else np.zeros(N)
        # the last window that holds a frame has the say (k in Eq. 9)
        curve[:, frames[there]] = base[:, None] + log_ratio[w][:, there]
        reached = frames[there][-1]
    return curve


def solve(
    plan: WindowPlan,
    log_ratio: np.ndarray,
    log_scale: np.ndarray,
    seen: np.ndarray,
    reference: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one curve to every pair of frames of every window.

    A robust weighted least-squares problem for each track: the unknowns are its log
    depths, the measurements the differences between all pairs of frames inside a
    window, at every stride. Banded, so the cost is linear in the number of frames.

    Parameters
    ----------
    plan
        The windows.
    log_ratio, log_scale : array (W, N, K)
        The network's answers: log(z_t / z_start) and the log of its error scale.
    seen : bool array (N, T)
        Frames in which the tracker saw the point.
    reference : int array (N,)
        Frame where each curve is 0.

    Returns
    -------
    curve : float64 array (N, T)
        log(z_t / z_reference).
    sigma : float64 array (N, T)
        Its standard error; 0 at the reference.
    """
    N, T = seen.shape
    span = int((plan.stride * (plan.frames.shape[1] - 1)).max())
    span = min(span, T - 1)
    measured = np.moveaxis(log_ratio, 1, 0).astype(np.float64)  # N W K
    spread = np.exp(np.moveaxis(log_scale, 1, 0).astype(np.float64))
    J, L = np.triu_indices(plan.frames.shape[1], 1)
    first, second = plan.frames[:, J], plan.frames[:, L]  # W P
    valid = second >= 0
    difference = measured[:, :, L] - measured[:, :, J]  # N W P
    scale = np.maximum(spread[:, :, J], spread[:, :, L])
    deviation = scale + PAIR_FLOOR
    both = np.where(seen[:, first] & seen[:, second], 1.0, HIDDEN_WEIGHT)
    weight = both * valid / deviation**2
    certainty = both * valid / scale**2

    # places of the pairs in banded lower storage: entry (t, t - offset) at [offset, .]
    offset = (second - first)[valid]
    low, high = first[valid], second[valid]
    pairs = (
        difference[:, valid],
        weight[:, valid],
        deviation[:, valid],
        certainty[:, valid],
        scale[:, valid],
    )
    curve = np.zeros((N, T))
    sigma = np.zeros((N, T))
    for n in range(N):
        pause_point()
        d, w, s, c, e = (p[n] for p in pairs)
        x = np.zeros(T)
        robust = w
        for round_ in range(ROUNDS):
            if round_:
                residual = np.abs(x[high] - x[low] - d) / s
                robust = w / np.maximum(residual, 1.0)
            x, _ = _solve_one(robust, d, low, high, offset, span, reference[n], T)
        curve[n] = x - x[reference[n]]
        # what all windows err alike adds up along the track, the rest averages out
        slope, factor = _solve_one(c, e, low, high, offset, span, reference[n], T)
        shared = SHARED_ERROR * np.abs(slope - slope[reference[n]])
        own = OWN_ERROR * np.sqrt(_inverse_diagonal(factor))
        sigma[n] = np.hypot(shared, own)
        sigma[n, reference[n]] = 0.0
    return curve, sigma


def _solve_one(
    w: np.ndarray,
    d: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    offset: np.ndarray,
    span: int,
    reference: int,
    T: int,
) -> tuple[np.ndarray, np.ndarray]:
    band = np.bincount(offset * T + low, -w, (span + 1) * T).reshape(span + 1, T)
    diagonal = np.bincount(low, w, T) + np.bincount(high, w, T)
    band[0] = diagonal + NO_EVIDENCE * max(diagonal.max(), 1.0)
    # the curve is 0 at the reference: a stiff spring there keeps the matrix regular
    band[0, reference] += 10.0 * max(diagonal.max(), 1.0)
    right = np.bincount(high, w * d, T) - np.bincount(low, w * d, T)
    factor = cholesky_banded(band, lower=True, check_finite=False)
    return cho_solve_banded((factor, True), right, check_finite=False), factor


def _inverse_diagonal(factor: np.ndarray) -> np.ndarray:
    """Diagonal of the inverse from a banded Cholesky factor (Takahashi's recursion)."""
    span, T = factor.shape[0] - 1, factor.shape[1]
    block = np.zeros((span + 1, span + 1))  # inverse over frames t .. t + span
    diagonal = np.zeros(T)
    for t in range(T - 1, -1, -1):
        pivot = factor[0, t]
        column = factor[1:, t].copy()
        column[T - 1 - t :] = 0.0
        inner = block[:span, :span]
        row = -(inner @ column) / pivot
        here = (1.0 / pivot - column @ row) / pivot
        block[1:, 1:] = inner.copy()
        block[0, 1:] = block[1:, 0] = row
        block[0, 0] = here
        diagonal[t] = here
    return diagonal
