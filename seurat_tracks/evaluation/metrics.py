"""The scores of TAPVid-3D: 3D-AJ, APD, OA.

On plain arrays; `seurat_tracks.evaluation.compare.evaluate` takes Datasets. Definitions
and their sources: ``docs/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from seurat_tracks.errors import SchemaError
from seurat_tracks.evaluation.align import factor, refuse_scaling
from seurat_tracks.evaluation.videos import Per, Scores, Video, join, split

THRESHOLDS = (1, 2, 4, 8, 16)
"""Tolerances of TAPVid-3D in pixels of an image whose shorter side is 256."""

FIXED_THRESHOLDS = (0.01, 0.04, 0.16, 0.64, 2.56)
"""Tolerances in metres that may stand in for `THRESHOLDS`, whatever the depth."""

RESOLUTION = 256
"""Shorter side, in pixels, of the image that `THRESHOLDS` are counted in."""


def metric_intrinsics(intrinsics: Any, frame_size: Sequence[float]) -> np.ndarray:
    """Express a camera in the image that the tolerances are counted in.

    Parameters
    ----------
    intrinsics
        fx, fy, cx, cy in pixels of the video.
    frame_size
        Width and height of the video in pixels.

    Returns
    -------
    float array (4,)
        The same for the image scaled so that its shorter side is `RESOLUTION`.
    """
    return np.asarray(intrinsics, np.float64) * (RESOLUTION / min(frame_size))


def tapvid3d_metrics(
    gt_xyz: Any,
    gt_visible: Any,
    pred_xyz: Any,
    pred_visible: Any,
    intrinsics: Any,
    query_frame: Any = None,
    *,
    scaling: str = "median",
    axes: str = "track time",
    per: Per = "video",
    fixed_thresholds: bool = False,
    neighborhood: float = 0.05,
    counted: Any = None,
) -> Scores:
    """Score tracks as TAPVid-3D does.

    Parameters
    ----------
    gt_xyz, pred_xyz : float array (track, time, 3), or as `axes` says
        Positions in the camera's frame, x right, y down, z forward, in metres; NaN =
        unknown, and never within a tolerance.
    gt_visible, pred_visible : bool array (track, time), or as `axes` says
        Visible, where TAPVid-3D's own code takes *occluded*.
    intrinsics : array (4,), or (video, 4)
        fx, fy, cx, cy in pixels of the image that the tolerances are counted in: for
        published figures `metric_intrinsics(intrinsics, frame_size)`.
    query_frame : int array (track,), or (video, track)
        Position on the time axis at which each point was given; needed by
        ``per_trajectory``, ``local_neighborhood`` and ``median_on_queries``.
    scaling
        A key of `seurat_tracks.evaluation.align.SCALINGS`.
    axes
        Order of the leading axes: ``"track time"``, ``"time track"``,
        ``"video track time"`` or ``"video time track"``.
    per
        ``"video"``: one score a video, from the sums over all its tracks.
        ``"track"``: one score a track.
    fixed_thresholds
        Tolerances of `FIXED_THRESHOLDS` in place of those that grow with depth.
    neighborhood
        Radius of ``local_neighborhood`` in metres.
    counted : bool array (track, time), or as `axes` says
        Observations that count at all; None: every one, as published.

    Returns
    -------
    dict
        ``average_jaccard`` (3D-AJ), ``average_pts_within_thresh`` (APD),
        ``occlusion_accuracy`` (OA), and ``jaccard_δ`` and ``pts_within_δ`` for the
        five tolerances, each 0 to 1. A float for one video, an array (track,) or
        (video,) or (video, track) otherwise. NaN where nothing is to be found, as
        for the APD of a track that is never visible.

    Raises
    ------
    SchemaError
        If the arrays do not fit together or a name is unknown.

    Notes
    -----
    A prediction is within δ when its distance from the truth is below
    δ z / sqrt(fx fy), z the true depth. With V and P the observations visible in
    truth and in prediction, and C those of V within δ: pts_within_δ is C / V,
    jaccard_δ is (C ∧ P) / (V + P - C ∧ P). All frames count, the query frame among
    them. Koppula et al., TAPVid-3D, NeurIPS 2024, section 4; equal to
    `compute_tapvid3d_metrics` of its authors within rounding of the scale, which
    matters only to a point that lies exactly on a tolerance. Arithmetic keeps the
    precision of the arrays.
    """
    if per not in ("video", "track"):
        raise SchemaError(f'per is {per!r}; give "video" or "track"')
    videos = split(axes, gt_xyz, gt_visible, pred_xyz, pred_visible, query_frame)
    refuse_scaling(scaling, videos)
    use: list[np.ndarray | None] = [None] * len(videos)
    if counted is not None:
        if np.shape(counted) != np.shape(gt_visible):
            raise SchemaError(
                f"counted has shape {np.shape(counted)}, expected "
                f"{np.shape(gt_visible)}, that of gt_visible"
            )
        use = [v.gt_visible for v in split(axes, gt_xyz, counted, gt_xyz, counted)]
    cameras = _cameras(intrinsics, len(videos))
    found = []
    for video, camera, mask in zip(videos, cameras, use, strict=True):
        counts = count_hits(
            video,
            camera,
            scaling,
            fixed_thresholds=fixed_thresholds,
            neighborhood=neighborhood,
            counted=mask,
        )
        found.append((counts if per == "track" else counts.total()).scores())
    return join(found, axes)


class Counts(NamedTuple):
    """What the scores are quotients of.

    Attributes
    ----------
    all, agree, visible, answered : array (track,) or ()
        Observations; those with the true visibility; visible in truth; in prediction.
    within, hit : array (5, track) or (5,)
        For each δ: of the visible, those within δ; of these, the answered.
    """

    all: np.ndarray
    agree: np.ndarray
    visible: np.ndarray
    answered: np.ndarray
    within: np.ndarray
    hit: np.ndarray

    def total(self) -> Counts:
        """Sum over the tracks."""
        return Counts(*(count.sum(-1) for count in self))

    def scores(self) -> Scores:
        """Divide; see `tapvid3d_metrics`."""
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
            within = self.within / self.visible
            jaccard = self.hit / (self.visible + self.answered - self.hit)
            agree = self.agree / self.all
        scores = {
            "average_jaccard": jaccard.mean(0),
            "average_pts_within_thresh": within.mean(0),
            "occlusion_accuracy": agree,
        }
        for i, delta in enumerate(THRESHOLDS):
            scores[f"jaccard_{delta}"] = jaccard[i]
            scores[f"pts_within_{delta}"] = within[i]
        return scores


def count_hits(
    video: Video,
    camera: np.ndarray,
    scaling: str,
    *,
    fixed_thresholds: bool = False,
    neighborhood: float = 0.05,
    counted: np.ndarray | None = None,
) -> Counts:
    """Count what the scores of one video are made of, by track.

    Parameters
    ----------
    video
        Tracks, with query frames if `scaling` needs them.
    camera : array (4,)
        fx, fy, cx, cy in pixels of the image that the tolerances are counted in.
    scaling, fixed_thresholds, neighborhood, counted
        As in `tapvid3d_metrics`.

    Returns
    -------
    Counts
        By track; weighted for ``local_neighborhood``.
    """
    with np.errstate(all="ignore"):
        if fixed_thresholds:
            limit = np.broadcast_to(
                np.array(FIXED_THRESHOLDS)[:, None, None],
                (len(THRESHOLDS), *video.gt_visible.shape),
            )
        else:
            pixel = video.gt_xyz[..., 2] / np.sqrt(camera[0] * camera[1])
            limit = np.stack([delta * pixel for delta in THRESHOLDS])
        limit = np.square(limit)
        if scaling == "local_neighborhood":
            return _count_nearby(video, limit, counted, neighborhood)
        return _count(
            video.gt_xyz,
            video.gt_visible,
            video.pred_xyz * factor(video, scaling),
            video.pred_visible,
            limit,
            counted,
        )


def _count(
    gt_xyz: np.ndarray,
    visible: np.ndarray,
    pred_xyz: np.ndarray,
    answered: np.ndarray,
    limit: np.ndarray,
    counted: np.ndarray | None,
) -> Counts:
    """Count along the last axis of observations (..., T); `limit` is (5, ..., T)²."""
    agree = visible == answered
    if counted is None:
        counted = np.ones_like(visible)
    else:
        agree, visible, answered = (a & counted for a in (agree, visible, answered))
    away = pred_xyz - gt_xyz
    away *= away
    within = (away.sum(-1) < limit) & visible
    hit = within & answered
    numbers = (counted, agree, visible, answered, within, hit)
    return Counts(*(np.count_nonzero(a, axis=-1) for a in numbers))


def _count_nearby(
    video: Video, limit: np.ndarray, counted: np.ndarray | None, radius: float
) -> Counts:
    """Count, for each track, over all points that come near it in the same frame.

    Each track weighs as much as its own visible frames do, however many points come
    near.
    """
    tracks, frames = video.gt_visible.shape
    scale = factor(video, "local_neighborhood")
    gt_xyz, pred_xyz = (a.reshape(-1, 3) for a in (video.gt_xyz, video.pred_xyz))
    visible, answered = (a.ravel() for a in (video.gt_visible, video.pred_visible))
    limit = limit.reshape(len(limit), -1)
    counted = np.ones_like(video.gt_visible) if counted is None else counted
    x = np.ascontiguousarray(video.gt_xyz[..., 0])
    along = np.empty_like(x)
    rows = []
    for i in range(tracks):
        # along x first, with room for rounding: few points are left to compute with
        np.abs(np.subtract(x, x[i], out=along), out=along)
        near = np.flatnonzero(along < 1.001 * radius)
        away = gt_xyz[near] - video.gt_xyz[i, near % frames]
        near = near[(away * away).sum(-1) < radius * radius]
        near = near[counted.flat[near]]
        row = _count(
            gt_xyz[near],
            visible[near],
            pred_xyz[near] * scale[i, 0],
            answered[near],
            limit[:, near],
            None,
        )
        weight = (video.gt_visible[i] & counted[i]).sum() / max(1, int(row.visible))
        rows.append(Counts(*(weight * count for count in row)))
    if not rows:
        none, five = np.zeros(0), np.zeros((len(THRESHOLDS), 0))
        return Counts(none, none, none, none, five, five)
    return Counts(*(np.stack(counts, -1) for counts in zip(*rows, strict=True)))


def _cameras(intrinsics: Any, videos: int) -> np.ndarray:
    camera = np.asarray(intrinsics)
    if camera.shape not in ((4,), (videos, 4)):
        raise SchemaError(
            f"intrinsics has shape {camera.shape}, expected (4,) or ({videos}, 4): fx, "
            "fy, cx, cy in pixels"
        )
    return np.broadcast_to(camera, (videos, 4))
