"""The shift of a depth source that is right up to a factor and a shift."""

from __future__ import annotations

from typing import Literal

import numpy as np

from seurat_tracks.errors import DepthError
from seurat_tracks.runs import group_median, long_runs

Affine = Literal["depth", "disparity"]


def find_shift(
    log_ratio: np.ndarray, visible: np.ndarray, measured: np.ndarray, affine: Affine
) -> float:
    """Find the shift with which relative depth changes as the ratios do."""
    with np.errstate(invalid="ignore"):
        there = visible & np.isfinite(log_ratio) & np.isfinite(measured)
    run, _ = long_runs(visible, there)
    use = run >= 0
    if not use.any():
        raise DepthError(
            "affine depth: no track is seen in three frames with depth, so nothing "
            "says what the source's shift is"
        )
    ratio = log_ratio[use].astype(np.float64)
    value, group = measured[use].astype(np.float64), run[use]
    low, middle = np.quantile(value, [0.001, 0.5])
    span = max(float(middle - low), 1e-6 * max(1.0, abs(float(middle))))
    sign = -1.0 if affine == "disparity" else 1.0

    def loss(step: float) -> float:
        # near 0 the nearest (of disparity, the farthest) point is at the pole
        moved = np.maximum(value - low + span * np.exp(step), 1e-3 * span)
        error = sign * np.log(moved) - ratio
        error -= group_median(error, group)[group]
        return float(np.abs(error).mean())

    steps = np.linspace(-4, 5, 46)
    losses = np.array([loss(s) for s in steps])
    best = int(losses.argmin())
    worth = losses.max() / max(losses[best], 1e-12)
    if best in (0, len(steps) - 1) or losses[-1] < 1.02 * losses[best] or worth < 1.02:
        raise DepthError(
            "affine depth: the ratios change too little, or agree with the source too "
            "badly, to say what its shift is; give a metric source, or a source whose "
            "depth is known up to a factor alone"
        )
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        loss, bounds=(steps[best - 1], steps[best + 1]), method="bounded"
    )
    return float(span * np.exp(found.x) - low)
