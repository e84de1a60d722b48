"""Lift a case and compare with its truth; average what belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seurat_tracks.evaluation.ratio import coverage, log_ratio_error
from seurat_tracks.evaluation.rows import Case

Method = Literal["network", "density", "constant"]


@dataclass(frozen=True)
class Score:
    """What one answer is worth on one case, or the mean over a row's cases.

    Attributes
    ----------
    relative
        Mean absolute log-ratio error over the same error of constant depth; infinite
        where no depth changes.
    error, constant
        The two errors, natural-log units.
    inside_1, inside_2
        Share of observations within one and two ``depth_ratio_sigma``; NaN where
        there are no error bars.
    cases
        How many cases were averaged.
    """

    relative: float
    error: float
    constant: float
    inside_1: float
    inside_2: float
    cases: int = 1


def score(
    case: Case, *, method: Method = "network", intrinsics: bool = False, **options: Any
) -> dict[str, Score]:
    """Lift a case and compare with its truth.

    Parameters
    ----------
    case
        Tracks and truth.
    method
        "network", or a baseline: "density" (`seurat_tracks.geometry.density_ratio`)
        or "constant".
    intrinsics
        Tell the network the true camera, where the case knows it.
    **options
        For `seurat_tracks.depth_ratio`: ``model``, ``fuse``, ...

    Returns
    -------
    dict of Score
        By row; each track relative to its first visible frame.
    """
    ratio, sigma = predict(case, method=method, intrinsics=intrinsics, **options)
    seen = case.ds["visible"].values
    # error bars speak of the first frame in which the tracker saw the point: tracks
    # that are truly visible earlier, or later only, have none to be held to
    same = seen.any(1) & (seen.argmax(1) == case.visible.argmax(1))
    sigma = np.where(same[:, None], sigma, np.nan)
    scores = {}
    for row, tracks in case.rows.items():
        use = slice(None) if tracks is None else tracks
        answer, z, visible = ratio[use], case.z[use], case.visible[use]
        error = log_ratio_error(answer, z, visible)
        scores[row] = Score(
            _over(error.error, error.constant),
            error.error,
            error.constant,
            coverage(answer, sigma[use], z, visible, 1.0),
            coverage(answer, sigma[use], z, visible, 2.0),
        )
    return scores


def predict(
    case: Case, *, method: Method = "network", intrinsics: bool = False, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Answer a case: log ratio and sigma, both (N, T); NaN where unknown."""
    import seurat_tracks as st
    from seurat_tracks.cameras.camera import Camera
    from seurat_tracks.scale import set_intrinsics

    ds = case.ds
    nothing = np.full(case.z.shape, np.nan)
    if method == "constant":
        return np.zeros(case.z.shape), nothing
    if method == "density":
        from seurat_tracks.geometry import density_ratio

        ratio = density_ratio(ds["xy"].values, ds["visible"].values)
        # a density of 0 in the first frame is no answer
        return np.log(np.where(ratio > 0, ratio, np.nan)), nothing
    if method != "network":
        raise ValueError(
            f'method must be "network", "density" or "constant", got {method!r}'
        )
    if intrinsics and case.intrinsics is not None:
        ds = set_intrinsics(ds, Camera(case.intrinsics, case.distortion))
    out = st.depth_ratio(ds, **options)
    return out["log_depth_ratio"].values, out["depth_ratio_sigma"].values


def average(scores: Sequence[Score], *, pooled: bool = False) -> Score:
    """Average cases, each counting once.

    Parameters
    ----------
    scores
        One a case.
    pooled
        Divide mean error by mean constant error, instead of averaging the cases'
        ratios.
    """

    def mean(name: str) -> float:
        values = [getattr(s, name) for s in scores]
        known = [v for v in values if not np.isnan(v)]  # cases with error bars
        return float(np.mean(known)) if known else float("nan")

    error, constant = mean("error"), mean("constant")
    return Score(
        _over(error, constant) if pooled else mean("relative"),
        error,
        constant,
        mean("inside_1"),
        mean("inside_2"),
        len(scores),
    )


def _over(error: float, constant: float) -> float:
    return error / constant if constant > 0 else float("inf")
