"""How steady predicted 3D tracks are: temporal coherence, drift of scale.

Definitions and their sources: ``docs/metrics.md``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seurat_tracks.evaluation.videos import Per, join, split


def temporal_coherence(
    gt_xyz: Any,
    gt_visible: Any,
    pred_xyz: Any,
    *,
    axes: str = "track time",
    per: Per = "video",
    frames: Any = None,
) -> Any:
    """Mean distance between true and predicted acceleration; lower is better.

    Parameters
    ----------
    gt_xyz, pred_xyz : float array (track, time, 3), or as `axes` says
        Positions in metres, the prediction already at the scale of the truth:
        `seurat_tracks.evaluation.align.align`.
    gt_visible : bool array (track, time), or as `axes` says
    axes, per
        As in `tapvid3d_metrics`.
    frames : int array (time,)
        Frame numbers; only three frames in a row count. None: all follow each other.

    Returns
    -------
    float or array
        Metres per frame². NaN where no point is visible in three frames in a row.

    Notes
    -----
    Acceleration is x(t+1) - 2 x(t) + x(t-1), counted where the truth is visible in
    all three frames and the prediction has a value. The paper names the measure (TC)
    and prints neither formula nor mask; it follows OmniMotion (Wang et al., ICCV
    2023, section 6.1), which speaks of visible points.
    """
    videos = split(axes, gt_xyz, gt_visible, pred_xyz, gt_visible)
    found = []
    for video in videos:
        error = video.pred_xyz - video.gt_xyz
        bend = error[:, 2:] - 2 * error[:, 1:-1] + error[:, :-2]
        length = np.sqrt((bend * bend).sum(-1))
        seen = video.gt_visible
        use = seen[:, 2:] & seen[:, 1:-1] & seen[:, :-2] & np.isfinite(length)
        if frames is not None:
            step = np.diff(np.asarray(frames)) == 1
            use &= step[1:] & step[:-1]
        found.append({"": _mean(np.where(use, length, 0), use, per)})
    return join(found, axes)[""]


def scale_drift(
    gt_xyz: Any,
    gt_visible: Any,
    pred_xyz: Any,
    *,
    axes: str = "track time",
    per: Per = "video",
    frames: Any = None,
) -> Any:
    """How fast the scale of predicted depth wanders off, per 100 frames.

    Parameters
    ----------
    gt_xyz, gt_visible, pred_xyz, axes, per, frames
        As in `temporal_coherence`. The scale of the prediction does not matter.

    Returns
    -------
    float or array
        Natural-log units per 100 frames: 0.1 is a depth that grows by about 10 % too
        much. Per track, the slope of the least-squares line through log(predicted z /
        true z) over the frames in which the truth is visible and both depths are
        positive; per video, the one slope that fits all tracks, each with an offset
        of its own. NaN where no track has two such frames.
    """
    videos = split(axes, gt_xyz, gt_visible, pred_xyz, gt_visible)
    found = []
    for video in videos:
        true, guess = video.gt_xyz[..., 2], video.pred_xyz[..., 2]
        use = video.gt_visible & (true > 0) & (guess > 0)
        use &= np.isfinite(true) & np.isfinite(guess)
        error = np.log(np.where(use, guess, 1.0)) - np.log(np.where(use, true, 1.0))
        time = np.arange(use.shape[1]) if frames is None else np.asarray(frames)
        time = np.where(use, time, 0.0)
        count = np.maximum(use.sum(1, keepdims=True), 1)
        time -= time.sum(1, keepdims=True) / count
        time[~use] = 0
        along, square = (time * error).sum(1), (time * time).sum(1)
        if per == "video":
            along, square = along.sum(), square.sum()
        with np.errstate(all="ignore"):
            found.append({"": 100 * along / square})
    return join(found, axes)[""]


def _mean(values: np.ndarray, use: np.ndarray, per: Per) -> np.ndarray:
    """Mean of values (N, T), 0 where not used, per track or over all."""
    axis = -1 if per == "track" else None
    with np.errstate(all="ignore"):
        return values.sum(axis) / use.sum(axis)
