"""What a depth source does to all points of a frame alike: one gain a frame.

``docs/scale.md`` says what is assumed and what it brings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seurat_tracks.interrupt import pause_point
from seurat_tracks.runs import group_median

FEW = 8
"""Tracks below which a frame's gain is not told from their own errors."""

CAUCHY = 2.385
"""Tuning constant of Cauchy weights: 95 % efficient where errors are normal."""

DRIFT = 3.0
"""How many standard errors all ratios may drift together.

Measured on three real clips, whole and cut to short tracks: 1 follows a drift that
one of them has, 2 and 3 follow none.
"""

_FLOOR = 1e-3  # no scatter is taken for smaller, natural-log units


class Gains(NamedTuple):
    """Gains of the frames.

    Attributes
    ----------
    gain : float array (time,)
        Natural log of the factor by which the depth of each frame is too large; 0
        where too few tracks say, and 0 on average over `length` frames.
    sigma
        Standard error that they leave in all scales together.
    """

    gain: np.ndarray
    sigma: float


def common_gains(
    value: np.ndarray,
    run: np.ndarray,
    frame: np.ndarray,
    frames: int,
    *,
    length: float,
    drift: float | None = None,
) -> Gains:
    """Find the gain of each frame that all tracks agree on.

    Parameters
    ----------
    value : float array (n,)
        Logs of measured depth over ratio.
    run, frame : int array (n,)
        The visible run that each is of, numbered from 0 without a gap, and its frame.
    frames
        How many frames there are.
    length
        How many frames a run lasts.
    drift
        Variance by which all ratios may wander together from one frame to the next;
        None: unknown.

    Returns
    -------
    Gains

    Notes
    -----
    ``value = scale of the run + gain of the frame + error`` is solved for all runs and
    frames at once: by medians in turn, which half of all tracks can be wrong in, then
    by least squares with Cauchy weights and conjugate gradients, which carry what
    overlapping tracks say from one end of the video to the other.

    A slow gain may as well be the ratios' own drift. It is taken for the source's where
    it is faster than a length over which the mean of the source's gains is known as
    well as the ratios stay put; that length is a run's at least.
    """
    count = np.bincount(frame, minlength=frames)
    enough = count >= FEW
    if enough.sum() < 2:
        return Gains(np.zeros(frames), 0.0)
    gain, error = _medians(value, run, frame, enough)
    gain, error = _least_squares(value, run, frame, enough, gain, error)
    noise = spread(error) ** 2 * inflation(error, run) / np.median(count[enough])
    share = float(enough.mean())
    last = length
    if drift is not None:
        # tracks that overlap hand the level on with an error of their own
        drift = DRIFT**2 * drift + 4 * noise / max(length, 2.0) ** 2
    for _ in range(20):
        pause_point()
        quick = np.where(enough, gain - _low_pass(gain, enough, length), 0.0)
        wander = _long_run_variance(quick[enough]) / share
        if drift is None or length >= frames:
            break
        best = np.sqrt(12 * max(wander - noise / share, 0.0) / max(drift, 1e-15))
        best = max(last, best)
        if abs(best - length) < 1:
            break
        length = float(frames) if best >= 0.75 * frames else best
    length = min(length, float(frames))
    variance = wander / length + (drift or 0.0) * length / 12
    return Gains(quick, float(np.sqrt(variance)))


def spread(error: np.ndarray) -> float:
    """Give the standard deviation of normal errors of which some are wild."""
    return float(1.4826 * np.median(np.abs(error)))


def inflation(error: np.ndarray, run: np.ndarray) -> float:
    """Say how much less a mean of errors that resemble their neighbours says."""
    sigma = spread(error)
    if sigma <= 0 or len(error) < 3:
        return 1.0
    order = np.argsort(run, kind="stable")
    e = np.clip(error[order] / sigma, -3, 3)
    same = run[order][1:] == run[order][:-1]
    rho = float((e[1:] * e[:-1])[same].sum() / max((e[:-1] ** 2)[same].sum(), 1e-9))
    return _inflated(rho)


def _medians(
    value: np.ndarray, run: np.ndarray, frame: np.ndarray, enough: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gains by frame and scales by run, by medians in turn."""
    gain = np.zeros(len(enough))
    error = value - group_median(value, run)[run]
    small = max(spread(error), _FLOOR)
    inside = enough[frame]
    by_frame = np.cumsum(enough)[frame[inside]] - 1
    for _ in range(10):
        pause_point()
        step = np.zeros(len(enough))
        step[enough] = group_median(error[inside], by_frame)
        step[enough] -= step[enough].mean()
        gain += step
        error = value - gain[frame]
        error = error - group_median(error, run)[run]
        if np.abs(step).max() < 0.03 * small:
            break
    return gain, error


def _least_squares(
    value: np.ndarray,
    run: np.ndarray,
    frame: np.ndarray,
    enough: np.ndarray,
    gain: np.ndarray,
    error: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Gains and errors by weighted least squares, from a robust beginning."""
    from scipy.sparse.linalg import LinearOperator, cg

    T, R = len(enough), int(run.max()) + 1
    small = max(spread(error), _FLOOR)
    for _ in range(6):
        pause_point()
        weight = 1 / (1 + (error / max(spread(error), _FLOOR) / CAUCHY) ** 2)
        weight = np.where(enough[frame], weight, 0.0)
        of_run = np.bincount(run, weight, R)
        of_frame = np.bincount(frame, weight, T)
        of_run[of_run == 0] = of_frame[of_frame == 0] = 1.0

        def within(
            values: np.ndarray, w: np.ndarray = weight, total: np.ndarray = of_run
        ) -> np.ndarray:
            mean = np.bincount(run, w * values, R) / total
            return np.bincount(frame, w * (values - mean[run]), T)

        found, _ = cg(
            LinearOperator((T, T), lambda g, f=within: f(g[frame]), dtype=float),
            within(value),
            x0=gain,
            M=LinearOperator((T, T), lambda g, d=of_frame: g / d, dtype=float),
            rtol=1e-4,
            maxiter=300,
        )
        found = np.where(enough, found - found[enough].mean(), 0.0)
        moved = float(np.abs(found - gain).max())
        gain = found
        error = value - gain[frame]
        error = error - group_median(error, run)[run]
        if moved < 0.03 * small:
            break
    return gain, error


def _low_pass(gain: np.ndarray, enough: np.ndarray, length: float) -> np.ndarray:
    """Smooth gains over some frames: what may be the ratios' own drift."""
    from scipy.ndimage import uniform_filter1d

    if length >= 0.75 * len(gain):
        return np.full_like(gain, gain[enough].mean())
    size = max(3, round(length))
    weight = uniform_filter1d(enough.astype(float), size, mode="constant")
    total = uniform_filter1d(np.where(enough, gain, 0.0), size, mode="constant")
    return total / np.maximum(weight, 1e-9)


def _long_run_variance(gain: np.ndarray) -> float:
    """Give the variance of a mean of gains, times their number."""
    if len(gain) < 3:
        return 0.0
    e = gain - gain.mean()
    rho = float((e[1:] * e[:-1]).sum() / max((e * e).sum(), 1e-12))
    return float(e.var()) * _inflated(rho)


def _inflated(rho: float) -> float:
    rho = min(max(rho, 0.0), 0.95)
    return (1 + rho) / (1 - rho)
