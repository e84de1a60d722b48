"""Score a Dataset of 3D tracks against a Dataset of true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from seurat_tracks.errors import SchemaError
from seurat_tracks.evaluation.align import BY_QUERY, SCALINGS, align
from seurat_tracks.evaluation.metrics import (
    FIXED_THRESHOLDS,
    RESOLUTION,
    THRESHOLDS,
    count_hits,
    metric_intrinsics,
)
from seurat_tracks.evaluation.ratio import log_ratio_error
from seurat_tracks.evaluation.stability import scale_drift, temporal_coherence
from seurat_tracks.evaluation.videos import Per, Scores, split

MEANINGS = {
    "average_jaccard": ("1", "3D-AJ: mean of jaccard over the thresholds"),
    "average_pts_within": ("1", "APD: mean of pts_within over the thresholds"),
    "occlusion_accuracy": ("1", "OA: share of observations with the true visibility"),
    "jaccard": ("1", "right and visible in both, over visible in either"),
    "pts_within": ("1", "share of the truly visible within the threshold"),
    "temporal_coherence": ("m/frame^2", "TC: mean error of acceleration"),
    "log_ratio_error": ("1", "mean error of the log depth ratio"),
    "log_ratio_error_constant": ("1", "log_ratio_error of depth that stays constant"),
    "scale_drift": ("1/(100 frames)", "slope of log(predicted depth / true depth)"),
}
"""Scores of `evaluate`: units and meaning."""


def evaluate(
    ds: xr.Dataset,
    truth: xr.Dataset,
    *,
    scaling: str | Sequence[str] = "median",
    fixed_thresholds: bool = False,
    neighborhood: float = 0.05,
) -> xr.Dataset:
    """Score 3D tracks against the truth, by track and by video.

    Parameters
    ----------
    ds
        Tracks with ``xyz`` and ``visible``, metric or relative. It must hold every
        track and frame of `truth`, by id and frame number; others do not count.
    truth
        True tracks with ``xyz`` in metres and ``visible``, the attributes
        ``intrinsics`` and ``frame_size``, and ``query_frame`` for the scalings of
        `seurat_tracks.evaluation.align.BY_QUERY`. Points that are visible but whose
        ``xyz`` is unknown do not count.
    scaling
        One key of `seurat_tracks.evaluation.align.SCALINGS`, or several.
    fixed_thresholds
        Tolerances in metres in place of those that grow with depth; see
        `seurat_tracks.evaluation.metrics.FIXED_THRESHOLDS`.
    neighborhood
        Radius of ``local_neighborhood`` in metres.

    Returns
    -------
    xarray.Dataset
        The names of `MEANINGS`: scores by track (scaling, track), or (scaling,
        threshold, track) for ``jaccard`` and ``pts_within``; the same for the whole
        video under ``video_`` and the name, without track. ``log_ratio_error`` and
        ``scale_drift`` do not depend on the scaling and have no such dimension; a
        single name of a scaling leaves none. Attributes state the protocol.

    Raises
    ------
    SchemaError
        If something is missing from either Dataset; lists every fault.

    See Also
    --------
    seurat_tracks.evaluation.metrics.tapvid3d_metrics : the same on plain arrays.
    """
    names = [scaling] if isinstance(scaling, str) else list(scaling)
    _refuse(ds, truth, names, fixed_thresholds)
    # both in the truth's order, whatever else the prediction holds
    ds = ds[["xyz", "visible"]].sel(track=truth["track"], time=truth["time"])
    gt_xyz, pred_xyz = (_values(d, "xyz", "axis") for d in (truth, ds))
    gt_visible, pred_visible = (_values(d, "visible") for d in (truth, ds))
    counted = ~(gt_visible & ~np.isfinite(gt_xyz).all(-1))
    gt_visible = gt_visible & counted
    frames = truth["time"].values
    query = None
    if set(names) & set(BY_QUERY):
        query = truth.indexes["time"].get_indexer(truth["query_frame"].values)
    camera = np.ones(4)
    if not fixed_thresholds:
        camera = metric_intrinsics(truth.attrs["intrinsics"], truth.attrs["frame_size"])

    video = split("track time", gt_xyz, gt_visible, pred_xyz, pred_visible, query)[0]
    by_scaling: dict[Per, list[Scores]] = {"track": [], "video": []}
    for name in names:
        counts = count_hits(
            video,
            camera,
            name,
            fixed_thresholds=fixed_thresholds,
            neighborhood=neighborhood,
            counted=counted,
        )
        aligned = align(*video, scaling=name)
        for per in _PERS:
            found = (counts if per == "track" else counts.total()).scores()
            found["temporal_coherence"] = temporal_coherence(
                gt_xyz, gt_visible, aligned, per=per, frames=frames
            )
            by_scaling[per].append(found)

    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for per in _PERS:
        for key, source in _BY_SCALING.items():
            variables[_PREFIX[per] + key] = (
                ("scaling", *_DIMS[per]),
                np.array([found[source] for found in by_scaling[per]]),
            )
        for key in ("jaccard", "pts_within"):
            variables[_PREFIX[per] + key] = (
                ("scaling", "threshold", *_DIMS[per]),
                np.array(
                    [
                        [found[f"{key}_{delta}"] for delta in THRESHOLDS]
                        for found in by_scaling[per]
                    ]
                ),
            )
        drift = scale_drift(gt_xyz, gt_visible, pred_xyz, per=per, frames=frames)
        log_ratio = _log_ratio_errors(gt_xyz, gt_visible, pred_xyz, per)
        variables[_PREFIX[per] + "scale_drift"] = (_DIMS[per], np.asarray(drift))
        for key, values in log_ratio.items():
            variables[_PREFIX[per] + key] = (_DIMS[per], values)
    tolerances = FIXED_THRESHOLDS if fixed_thresholds else THRESHOLDS
    unit = {"units": "m" if fixed_thresholds else "px"}
    scores = xr.Dataset(
        variables,
        coords={
            "scaling": names,
            "track": truth["track"].variable,
            "threshold": ("threshold", list(tolerances), unit),
        },
    )
    for label, score in scores.data_vars.items():
        units, meaning = MEANINGS[str(label).removeprefix("video_")]
        score.attrs = {"units": units, "long_name": meaning}
    scores.attrs = {
        "protocol": _protocol(camera, fixed_thresholds, neighborhood, names),
        "tracks": len(gt_xyz),
        "frames": len(frames),
        "observations": int(counted.sum()),
        "visible": int(gt_visible.sum()),
        "predicted_visible": int((pred_visible & counted).sum()),
        "without_prediction": int((gt_visible & np.isnan(pred_xyz).any(-1)).sum()),
    }
    return scores.isel(scaling=0) if isinstance(scaling, str) else scores


_PERS: tuple[Per, ...] = ("track", "video")
_PREFIX: dict[Per, str] = {"track": "", "video": "video_"}
_DIMS: dict[Per, tuple[str, ...]] = {"track": ("track",), "video": ()}
_BY_SCALING = {
    "average_jaccard": "average_jaccard",
    "average_pts_within": "average_pts_within_thresh",
    "occlusion_accuracy": "occlusion_accuracy",
    "temporal_coherence": "temporal_coherence",
}


def _refuse(
    ds: xr.Dataset, truth: xr.Dataset, names: list[str], fixed_thresholds: bool
) -> None:
    """Raise SchemaError with everything that is missing."""
    faults = [
        f"scaling {name!r} is not one of {list(SCALINGS)}"
        for name in names
        if name not in SCALINGS
    ]
    if not names:
        faults.append(f"no scaling is given; give one of {list(SCALINGS)}")
    for what, d in (("the tracks have", ds), ("the truth has", truth)):
        for name in ("xyz", "visible"):
            if name not in d:
                cure = "call ds.seurat.lift3d() first" if d is ds else "see docs"
                faults.append(f"{what} no {name}: {cure}")
    needed = [] if fixed_thresholds else ["intrinsics", "frame_size"]
    faults += [
        f"the truth has no attribute {name!r}: set it, or use fixed_thresholds=True"
        for name in needed
        if name not in truth.attrs
    ]
    by_query = [name for name in names if name in BY_QUERY]
    if by_query and "query_frame" not in truth.coords:
        faults.append(
            f"scaling {by_query[0]!r} needs the coordinate query_frame in the truth: "
            "truth.assign_coords(query_frame=('track', frames))"
        )
    elif by_query and not truth["query_frame"].isin(truth["time"]).all():
        faults.append(
            f"scaling {by_query[0]!r} needs every query_frame among the truth's frames"
        )
    for dim, plural in (("track", "tracks"), ("time", "frames")):
        if dim not in truth.indexes or dim not in ds.indexes:
            faults.append(f"both Datasets need the index coordinate {dim!r}")
            continue
        missing = truth.indexes[dim].difference(ds.indexes[dim])
        if len(missing):
            faults.append(
                f"{len(missing)} of {truth.sizes[dim]} {plural} of the truth are not "
                f"in the tracks (first: {missing.tolist()[0]!r}): predict them, or "
                f"score the others with truth.sel({dim}=truth.{dim}.isin(ds.{dim}))"
            )
    if faults:
        raise SchemaError("cannot evaluate: " + "; ".join(faults))


def _values(ds: xr.Dataset, name: str, *last: str) -> np.ndarray:
    return ds[name].transpose("track", "time", *last).values


def _log_ratio_errors(
    gt_xyz: np.ndarray, gt_visible: np.ndarray, pred_xyz: np.ndarray, per: Per
) -> dict[str, np.ndarray]:
    """Errors of the prediction and of constant depth; NaN without two observations."""
    with np.errstate(all="ignore"):
        guess = np.log(pred_xyz[..., 2])
    z = gt_xyz[..., 2]
    rows = [slice(None)] if per == "video" else [slice(i, i + 1) for i in range(len(z))]
    errors = np.full((2, len(rows)), np.nan)
    for i, row in enumerate(rows):
        usable = gt_visible[row] & (z[row] > 0)
        if (usable.sum(1) >= 2).any():
            found = log_ratio_error(guess[row], z[row], gt_visible[row])
            errors[:, i] = found.error, found.constant
    if per == "video":
        errors = errors[:, 0]
    return {"log_ratio_error": errors[0], "log_ratio_error_constant": errors[1]}


def _protocol(
    camera: np.ndarray, fixed_thresholds: bool, neighborhood: float, names: list[str]
) -> str:
    """Say in one paragraph how the scores were made."""
    if fixed_thresholds:
        tolerance = f"tolerances {FIXED_THRESHOLDS} m at any depth"
    else:
        tolerance = (
            f"tolerances {THRESHOLDS} px x depth / focal length, which is "
            f"{np.sqrt(camera[0] * camera[1]):.6g} px at a shorter side of {RESOLUTION}"
        )
    text = f"TAPVid-3D metrics, all frames and tracks; {tolerance}; scaling: "
    text += "; ".join(f"{name} ({SCALINGS[name]})" for name in names)
    if "local_neighborhood" in names:
        text += f"; neighbourhood radius {neighborhood:g} m"
    return text + "; TC in m/frame^2 after scaling, where visible in three frames"
