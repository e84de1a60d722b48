"""Bring predicted 3D tracks to the scale of the truth, in each way that is published.

A video gives depth only up to a factor, so every published score says how that factor
was chosen. `docs/metrics.md` tells the ways apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from seurat_tracks.errors import SchemaError
from seurat_tracks.evaluation.videos import Video, split, track_first

SCALINGS: dict[str, str] = {
    "median": "one factor a video: median distance from the camera, truth over "
    "prediction, where both say visible",
    "mean": "one factor a video: mean distance from the camera, truth over prediction, "
    "where both say visible",
    "per_trajectory": "one factor a track: depth on the query frame",
    "local_neighborhood": "one factor a track: depth on the query frame; scored on "
    "every point of the video that comes near the track",
    "none": "predictions as they are, in the unit of the truth",
    "reproduce_2d": "every point moved along its ray to the true depth, which leaves "
    "the error in the image",
    "median_on_queries": "one factor a video: median distance from the camera on the "
    "query frames, truth over prediction, where both say visible",
    "affine": "one factor and one shift of depth a video, least squares where both say "
    "visible; points move along their rays",
}
"""Ways to scale predictions: TAPVid-3D's by its names, and ``affine`` of the paper."""

BY_QUERY = ("per_trajectory", "local_neighborhood", "median_on_queries")
"""Scalings that look at the query frame."""


def align(
    gt_xyz: Any,
    gt_visible: Any,
    pred_xyz: Any,
    pred_visible: Any,
    query_frame: Any = None,
    *,
    scaling: str = "median",
    axes: str = "track time",
) -> np.ndarray:
    """Bring predicted tracks to the scale of the truth.

    Parameters
    ----------
    gt_xyz, pred_xyz : float array (track, time, 3), or as `axes` says
        Positions in the camera's frame, x right, y down, z forward; NaN = unknown.
    gt_visible, pred_visible : bool array (track, time), or as `axes` says
    query_frame : int array (track,), or (video, track)
        Position on the time axis at which each point was given. Needed by
        ``per_trajectory``, ``local_neighborhood`` and ``median_on_queries``.
    scaling
        A key of `SCALINGS`, which says what each does. ``local_neighborhood`` aligns
        as ``per_trajectory`` does: the two differ in what is scored.
    axes
        Order of the leading axes: one of `seurat_tracks.evaluation.videos.AXES`.

    Returns
    -------
    float array, shaped as `pred_xyz`
        NaN throughout where nothing fixes the scale, as where no point is visible.

    Raises
    ------
    SchemaError
        If the arrays do not fit together or a name is unknown; lists every fault.
    """
    videos = split(axes, gt_xyz, gt_visible, pred_xyz, pred_visible, query_frame)
    refuse_scaling(scaling, videos)
    with np.errstate(all="ignore"):
        aligned = [v.pred_xyz * factor(v, scaling) for v in videos]
    return track_first(axes, np.stack(aligned) if "video" in axes else aligned[0])


def factor(video: Video, scaling: str) -> np.ndarray:
    """Give what predicted positions are multiplied by.

    Parameters
    ----------
    video
        One video.
    scaling
        A key of `SCALINGS`.

    Returns
    -------
    float array (N or 1, T or 1, 1)

    Notes
    -----
    As `compute_tapvid3d_metrics` of TAPVid-3D (Koppula et al., NeurIPS 2024) has it,
    but for ``affine``. Distances below 1e-6 and depths below 1e-12 count as these, so
    a point behind the camera on its query frame never flips its track.
    """
    if scaling == "none":
        return np.ones((1, 1, 1), video.pred_xyz.dtype)
    if scaling == "reproduce_2d":
        return video.gt_xyz[..., 2:] / video.pred_xyz[..., 2:]
    if scaling == "affine":
        return _affine(video)
    if scaling in ("per_trajectory", "local_neighborhood"):
        track = np.arange(len(video.gt_xyz))
        true, guess = (
            np.maximum(xyz[track, video.query_frame, 2], 1e-12)
            for xyz in (video.gt_xyz, video.pred_xyz)
        )
        return (true / guess)[:, None, None]
    use = video.both
    gt_xyz, pred_xyz = video.gt_xyz, video.pred_xyz
    if scaling == "median_on_queries":
        track = np.arange(len(gt_xyz))
        use, gt_xyz, pred_xyz = (
            a[track, video.query_frame] for a in (use, gt_xyz, pred_xyz)
        )
    middle = np.mean if scaling == "mean" else np.median
    ratio = _middle(middle, gt_xyz[use]) / _middle(middle, pred_xyz[use])
    return ratio[None, None, None]


def _middle(middle: Callable[[np.ndarray], Any], xyz: np.ndarray) -> np.ndarray:
    """Median or mean distance from the camera; NaN of nothing, unknowns left out."""
    length = np.sqrt(np.maximum(1e-12, (xyz * xyz).sum(-1)))
    length = length[~np.isnan(length)].astype(np.float64)
    return np.asarray(middle(length) if length.size else np.nan)


def _affine(video: Video) -> np.ndarray:
    """Fit depth = a * predicted + b, and give depth over predicted (N, T, 1)."""
    true, guess = video.gt_xyz[..., 2], video.pred_xyz[..., 2]
    use = video.both & np.isfinite(true) & np.isfinite(guess)
    if not use.any():
        return np.full((1, 1, 1), np.nan)
    y, x = (z[use].astype(np.float64) for z in (true, guess))
    centred = x - x.mean()
    spread = (centred * centred).mean()
    if spread > 1e-12 * x.mean() ** 2:
        a = (centred * y).mean() / spread
        b = y.mean() - a * x.mean()
    else:  # one depth for all: any a and b with the right mean fit as well
        a, b = y.mean() / x.mean(), 0.0
    return (a + b / guess)[..., None]


def refuse_scaling(scaling: str, videos: list[Video]) -> None:
    """Raise SchemaError if a scaling is unknown, or misses its query frames."""
    if scaling not in SCALINGS:
        raise SchemaError(f"scaling is {scaling!r}; give one of {list(SCALINGS)}")
    if scaling in BY_QUERY and any(v.query_frame is None for v in videos):
        raise SchemaError(
            f"scaling {scaling!r} needs query_frame, the position on the time axis at "
            "which each point was given; without it use 'median'"
        )
