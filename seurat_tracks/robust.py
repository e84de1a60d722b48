"""One scale for each visible run, by robust weighted least squares on log scale.

``docs/scale.md`` says what is assumed. `fit_source` looks at a few hundred tracks and
says how the depth source errs; `robust_scale` then answers for each track alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seurat_tracks.gains import CAUCHY, Gains, common_gains, inflation, spread
from seurat_tracks.interrupt import pause_point
from seurat_tracks.runs import group_median, groups, interpolate, long_runs, medians
from seurat_tracks.shift import Affine, find_shift

MOST_TRACKS = 1024
"""Tracks, evenly spread over all, from which the source's errors are learnt."""

SIGMA_FLOOR = 0.005
"""No depth source is trusted better than this, natural-log units."""

TIE_FLOOR = 0.02
"""What a point that is found again may differ from the one that was lost, likewise."""

_ROUNDS = 5
_BLOCK = 250_000  # working arrays of a bounded size


class SourceFit(NamedTuple):
    """How a depth source errs, as one flat array of known length.

    Attributes
    ----------
    gain : float array (time,)
        Natural log of the factor by which the depth of each frame is too large, 0 on
        average over a stretch; see `seurat_tracks.gains.common_gains`.
    sigma
        Standard error of one depth after that, natural-log units.
    inflation
        Variance of a mean over that of as many independent errors: neighbouring frames
        err alike.
    gain_sigma
        Standard error that the gains leave in all scales together.
    shift
        What is added to relative depth or disparity, in its unit; 0 for metric depth.
    """

    gain: np.ndarray
    sigma: float
    inflation: float
    gain_sigma: float
    shift: float

    def pack(self) -> np.ndarray:
        """All of it in one float64 array (time + 4,)."""
        return np.append(self.gain, self[1:]).astype(np.float64)

    @classmethod
    def unpack(cls, packed: np.ndarray) -> SourceFit:
        """Read what `pack` wrote."""
        return cls(packed[:-4], *(float(v) for v in packed[-4:]))


def fit_source(
    log_ratio: np.ndarray,
    visible: np.ndarray,
    measured: np.ndarray,
    ratio_sigma: np.ndarray | None = None,
    *,
    affine: Affine | None = None,
    gains: bool = True,
) -> SourceFit:
    """Learn how a depth source errs from its disagreement with the ratios.

    Parameters
    ----------
    log_ratio, visible, measured : arrays (track, time)
        As for `seurat_tracks.median.run_scale`; `measured` is relative depth or
        disparity if `affine` says so.
    ratio_sigma : float array (track, time), optional
        Standard error of `log_ratio`, NaN = unknown: how far gains can be told from
        the ratios' drift. Without it no gain that lasts as long as a track is found.
    affine
        "depth": depth is proportional to ``measured + shift``; "disparity": to
        ``1 / (measured + shift)``; one unknown shift for the video. None: depth is
        ``measured``.
    gains
        Whether frames may have gains.

    Returns
    -------
    SourceFit

    Raises
    ------
    DepthError
        If the ratios change too little to say what the shift is.
    """
    shift = find_shift(log_ratio, visible, measured, affine) if affine else 0.0
    value, usable = _log_depth(log_ratio, visible, measured, affine, shift)
    run, length = long_runs(visible, usable)
    use = run >= 0
    T = visible.shape[1]
    found = Gains(np.zeros(T), 0.0)
    if not use.any():
        return SourceFit(found.gain, 0.0, 1.0, 0.0, shift)
    frame = np.broadcast_to(np.arange(T), visible.shape)[use]
    run, value = run[use], value[use]
    if gains:
        drift = None if ratio_sigma is None else _drift(ratio_sigma, use)
        found = common_gains(value, run, frame, T, length=length, drift=drift)
    error = value - found.gain[frame]
    error = error - group_median(error, run)[run]
    degrees = len(value) / max(1, len(value) - run.max() - 1)
    sigma = spread(error) * float(np.sqrt(degrees))
    return SourceFit(found.gain, sigma, inflation(error, run), found.sigma, shift)


def _drift(ratio_sigma: np.ndarray, use: np.ndarray) -> float | None:
    """Variance by which ratios wander from frame to frame; None where unknown."""
    sigma = np.where(np.isfinite(ratio_sigma), ratio_sigma, np.inf).astype(np.float64)
    away = np.abs(np.arange(use.shape[1]) - sigma.argmin(1)[:, None])
    known = use & (away > 0) & np.isfinite(sigma)
    return float(np.median(sigma[known] ** 2 / away[known])) if known.any() else None


def robust_scale(
    log_ratio: np.ndarray,
    ratio_sigma: np.ndarray,
    visible: np.ndarray,
    measured: np.ndarray,
    fit: SourceFit,
    *,
    time: np.ndarray,
    affine: Affine | None = None,
) -> np.ndarray:
    """Depth per unit of ratio, and its standard error.

    Parameters
    ----------
    log_ratio, visible, measured : arrays (track, time)
        As for `fit_source`.
    ratio_sigma : float array (track, time)
        Standard error of `log_ratio`; NaN = unknown, which counts as none.
    fit
        How the source errs.
    time : int array (time,)
        Frame numbers, increasing.
    affine
        As for `fit_source`.

    Returns
    -------
    float32 array (2, track, time)
        Scale, constant on each visible run, and its standard error in natural-log
        units. On hidden frames log scale and variance are linear in time between the
        runs around, and constant beyond the first and last. NaN for tracks without
        usable depth, and for runs in shots without any.
    """
    N, T = visible.shape
    out = np.full((2, N, T), np.nan, np.float32)
    block = max(1, _BLOCK // max(1, T))
    for begin in range(0, N, block):
        pause_point("anchoring", begin, N)
        rows = slice(begin, begin + block)
        out[:, rows] = _robust_scale(
            log_ratio[rows],
            ratio_sigma[rows],
            visible[rows],
            measured[rows],
            fit,
            time,
            affine,
        )
    return out


def _robust_scale(
    log_ratio: np.ndarray,
    ratio_sigma: np.ndarray,
    visible: np.ndarray,
    measured: np.ndarray,
    fit: SourceFit,
    time: np.ndarray,
    affine: Affine | None,
) -> np.ndarray:
    out = np.full((2, *visible.shape), np.nan, np.float32)
    value, usable = _log_depth(log_ratio, visible, measured, affine, fit.shift)
    value = value - fit.gain
    extra = np.nan_to_num(ratio_sigma.astype(np.float64)) ** 2
    variance = max(fit.sigma, SIGMA_FLOOR) ** 2 + extra
    group, R = groups(visible, False)
    chain = _Chain(visible, log_ratio, extra, group, R)
    run, value, variance = group[usable], value[usable], variance[usable]
    if not len(run):
        return out
    # run numbers rise along rows: each run's depths lie one after another
    count = np.bincount(run, minlength=R)
    there = count > 0
    many, first = count[there], (np.cumsum(count) - count)[there]
    center, info = np.zeros(R), np.zeros(R)
    center[there] = medians(value, many)
    precision = 1 / variance
    info[there] = np.add.reduceat(precision, first)
    soft = precision / CAUCHY**2
    weight = np.empty_like(value)
    for _ in range(_ROUNDS):
        at = chain.solve(center, info / fit.inflation)[0]
        # Cauchy's weights, in place: these arrays are what the time goes into
        np.subtract(value, np.repeat(at[there], many), out=weight)
        weight *= weight
        weight *= soft
        weight += 1
        np.divide(precision, weight, out=weight)
        info[there] = np.add.reduceat(weight, first)
        weight *= value
        center[there] = np.add.reduceat(weight, first) / info[there]
    at, spread = chain.solve(center, info / fit.inflation)
    spread = spread + fit.gain_sigma**2
    for k, values in enumerate((at, spread)):
        whole = np.append(values, np.nan)[group]
        filled = interpolate(whole, time)
        out[k] = np.exp(filled) if k == 0 else np.sqrt(filled)
    return out


class _Chain:
    """Runs of each track, tied to the next one through the ratio."""

    def __init__(
        self,
        visible: np.ndarray,
        log_ratio: np.ndarray,
        ratio_variance: np.ndarray,
        group: np.ndarray,
        runs: int,
    ) -> None:
        begins = visible.copy()
        begins[:, 1:] &= ~visible[:, :-1]
        ends = visible.copy()
        ends[:, :-1] &= ~visible[:, 1:]
        track, first = np.nonzero(begins)
        _, last = np.nonzero(ends)
        # run k is tied to run k - 1 of the same track; across a cut there is no tie
        known = np.isfinite(log_ratio)
        follows = np.zeros(runs, bool)
        follows[1:] = track[1:] == track[:-1]
        follows[1:] &= known[track[1:], first[1:]] & known[track[1:], last[:-1]]
        self.tie = np.full(runs, np.inf)
        self.tie[1:] = np.where(
            follows[1:],
            ratio_variance[track[1:], first[1:]]
            + ratio_variance[track[1:], last[:-1]]
            + TIE_FLOOR**2,
            np.inf,
        )
        starts = np.ones(runs, bool)
        starts[1:] = track[1:] != track[:-1]
        where = np.flatnonzero(starts)
        place = np.arange(runs) - np.repeat(where, np.diff(np.append(where, runs)))
        # runs of equal place in their tracks are worked on together
        order = np.argsort(place, kind="stable")
        cut = np.cumsum(np.bincount(place))[:-1]
        self.layers = np.split(order, cut)

    def solve(
        self, center: np.ndarray, info: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of log scale by run; NaN where nothing is known."""
        tie = self._loosened(center, info)
        forward = self._pass(center, info, tie, back=False)
        backward = self._pass(center, info, tie, back=True)
        total = info + forward[1] + backward[1]
        mean = info * center + forward[0] + backward[0]
        with np.errstate(all="ignore"):
            return (
                np.where(total > 0, mean / total, np.nan),
                np.where(total > 0, 1 / total, np.nan),
            )

    def _loosened(self, center: np.ndarray, info: np.ndarray) -> np.ndarray:
        """Loosen ties that the depth of both runs contradicts, by as much."""
        tie = self.tie.copy()
        both = np.isfinite(tie)
        both[1:] &= (info[1:] > 0) & (info[:-1] > 0)
        k = np.flatnonzero(both)
        gap = (center[k] - center[k - 1]) ** 2
        expected = 9 * (1 / info[k] + 1 / info[k - 1] + tie[k])
        tie[k] += np.maximum(gap - expected, 0)
        return tie

    def _pass(
        self, center: np.ndarray, info: np.ndarray, tie: np.ndarray, *, back: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Messages (information times mean, information) that reach each run."""
        mean, total = np.zeros(len(info)), np.zeros(len(info))
        layers = self.layers[:0:-1] if back else self.layers[1:]
        for runs in layers:
            source, target = (runs, runs - 1) if back else (runs - 1, runs)
            known = info[source] + total[source]
            value = info[source] * center[source] + mean[source]
            variance = tie[runs]
            usable = (known > 0) & np.isfinite(variance)
            safe = np.where(known > 0, known, 1.0)
            carried = np.where(usable, 1 / (1 / safe + variance), 0.0)
            total[target] = carried
            mean[target] = carried * value / safe
        return mean, total


def _log_depth(
    log_ratio: np.ndarray,
    visible: np.ndarray,
    measured: np.ndarray,
    affine: Affine | None,
    shift: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Log of measured depth over ratio, 0 where unusable; and where it is usable."""
    with np.errstate(invalid="ignore"):
        depth = measured.astype(np.float64) + shift
        usable = visible & np.isfinite(log_ratio) & np.isfinite(depth) & (depth > 0)
        if affine is None:
            usable &= measured > 0
    log_depth = np.log(np.where(usable, depth, 1.0))
    if affine == "disparity":
        log_depth = -log_depth
    return np.where(usable, log_depth - np.nan_to_num(log_ratio), 0.0), usable
