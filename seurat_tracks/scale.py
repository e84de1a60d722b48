"""From depth ratios to metres: one scale for each visible run of a track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import CameraError, SchemaError

if TYPE_CHECKING:
    import xarray as xr

RELATIVE_UNITS = "relative (1 = depth of this track at its reference frame)"
"""The unit of depth and xyz without a metric depth source."""

RELATIVE_NOTE = (
    "No metric depth was given, so every track has an unknown scale of its own. Its "
    "depth says how it changes over time; comparing the depths of two tracks assumes "
    "that both were equally far away at their reference frames."
)
"""What the Dataset's ``depth_note`` attribute says of relative depth."""

SHARED_UNITS = "relative (unit of the depth source, the same for all tracks)"
"""The unit of depth and xyz with a depth source that is not metric."""

_BLOCK = 1_000_000


def run_scale(
    log_ratio: np.ndarray,
    visible: np.ndarray,
    metric_depth: np.ndarray,
    *,
    time: np.ndarray | None = None,
    whole_track: bool = False,
) -> np.ndarray:
    """Depth per unit of ratio, constant on each visible run.

    Parameters
    ----------
    log_ratio : float array (track, time)
        log(z_t / z_ref), natural logarithm; NaN = unknown.
    visible : bool array (track, time)
        Whether the point is seen.
    metric_depth : float array (track, time)
        Depth from another source, metres; NaN, infinite or <= 0 = unknown.
    time : int array (time,), optional
        Frame numbers, increasing; positions if left out.
    whole_track
        True estimates one scale over all visible frames of a track rather than one
        for each run.

    Returns
    -------
    float32 array (track, time)
        Metres per unit ratio. On a run with usable depth it is median(depth) /
        median(exp(log_ratio)) over the usable frames of the run (Eq. 10 of
        *Seurat*). Elsewhere (hidden frames, runs without usable depth) its logarithm
        is linear in time between the runs around, and constant before the first and
        after the last. NaN for tracks without any usable depth.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    log_ratio = np.asarray(log_ratio)
    visible = np.asarray(visible, dtype=bool)
    metric_depth = np.asarray(metric_depth)
    shape = log_ratio.shape
    if log_ratio.ndim != 2 or visible.shape != shape or metric_depth.shape != shape:
        raise ValueError(
            f"log_ratio, visible and metric_depth must all be (track, time), got "
            f"{shape}, {visible.shape} and {metric_depth.shape}"
        )
    positions = np.arange(shape[1]) if time is None else np.asarray(time)
    out = np.full(shape, np.nan, dtype=np.float32)
    # Working arrays that stay in the cache: four times faster than all at once.
    block = max(1, _BLOCK // max(1, shape[1]))
    for begin in range(0, shape[0] if shape[1] else 0, block):
        rows = slice(begin, begin + block)
        out[rows] = _run_scale(
            log_ratio[rows], visible[rows], metric_depth[rows], positions, whole_track
        )
    return out


def _run_scale(
    log_ratio: np.ndarray,
    visible: np.ndarray,
    metric_depth: np.ndarray,
    positions: np.ndarray,
    whole_track: bool,
) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        usable = (
            visible
            & np.isfinite(log_ratio)
            & np.isfinite(metric_depth)
            & (metric_depth > 0)
        )
    groups, n_groups = _groups(visible, whole_track)
    log_scale = np.full(n_groups, np.nan)
    used = groups[usable]
    counts = np.bincount(used, minlength=n_groups)
    has = counts > 0
    depth = _medians(metric_depth[usable], counts)[has]
    ratio = _medians(np.exp(log_ratio[usable].astype(np.float64)), counts)[has]
    log_scale[has] = np.log(depth) - np.log(ratio)
    anchored = np.append(log_scale, np.nan)[groups]  # hidden frames are -1
    return np.exp(_interpolate(anchored, positions)).astype(np.float32)


def _groups(visible: np.ndarray, whole_track: bool) -> tuple[np.ndarray, int]:
    """Label each visible frame by its run (or track), in order; -1 where hidden."""
    if whole_track:
        rows = np.broadcast_to(np.arange(len(visible))[:, None], visible.shape)
        return np.where(visible, rows, -1), len(visible)
    begins = visible.copy()
    begins[:, 1:] &= ~visible[:, :-1]
    number = np.cumsum(begins.ravel()).reshape(visible.shape) - 1
    return np.where(visible, number, -1), int(begins.sum())


def _medians(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Median of each group of a flat array whose groups lie one after another."""
    first = np.cumsum(counts) - counts
    out = np.full(len(counts), np.nan)
    # Groups of one length form a matrix: far fewer lengths than groups.
    for length in np.unique(counts[counts > 0]):
        same = np.flatnonzero(counts == length)
        rows = values[first[same][:, None] + np.arange(length)]
        out[same] = np.median(rows, axis=1)
    return out


def _interpolate(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Fill NaN along rows: linear in time between, constant beyond the ends."""
    known = np.isfinite(values)
    n = values.shape[1]
    at = np.arange(n)
    before = np.maximum.accumulate(np.where(known, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, at, n)[:, ::-1], axis=1)[:, ::-1]
    left = np.where(before < 0, after, before)
    right = np.where(after >= n, before, after)
    # Rows with nothing known read position 0, which is NaN like all of them.
    left = np.where((left < 0) | (left >= n), 0, left)
    right = np.where((right < 0) | (right >= n), 0, right)
    a = np.take_along_axis(values, left, axis=1)
    b = np.take_along_axis(values, right, axis=1)
    span = (time[right] - time[left]).astype(np.float64)
    part = np.where(span > 0, (time[None, :] - time[left]) / np.where(span, span, 1), 0)
    return a + (b - a) * part


def anchor(ds: xr.Dataset, depth: Any = None) -> xr.Dataset:
    """Turn depth ratios into depth.

    Parameters
    ----------
    ds
        Tracks with ``visible`` and ``log_depth_ratio`` (track, time).
    depth
        Where metres come from: anything `seurat_tracks.depth.resolve_depth` takes.
        None makes no metres: scale is 1 and the units say "relative".

    Returns
    -------
    xr.Dataset
        With ``scale`` and ``depth`` = scale * exp(log_depth_ratio) (Eq. 11 of
        *Seurat*), float32 (track, time); NaN where no depth could be found. An ``xyz``
        that ``ds`` had is dropped: it belonged to another scale. Attributes ``units``,
        ``depth_source``, ``depth_source_licence``, ``frame_of_reference`` and, if
        relative, ``depth_note``. Nothing is computed if the input is lazy.

    Raises
    ------
    SchemaError
        If ``visible`` or ``log_depth_ratio`` is missing.
    DepthError
        If the depth source is not understood or does not fit the tracks.
    """
    import xarray as xr

    from seurat_tracks.depth import resolve_depth

    missing = [v for v in ("log_depth_ratio", "visible") if v not in ds]
    if missing:
        raise SchemaError(
            f"cannot anchor depth without {' and '.join(missing)}: call "
            f"ds.seurat.depth_ratio() first"
        )
    source = resolve_depth(depth)
    ds = ds.drop_vars(["scale", "depth", "xyz"], errors="ignore")
    log_ratio = ds["log_depth_ratio"].transpose("track", "time")
    bare = log_ratio.drop_vars(list(log_ratio.coords))
    if source is None:
        scale = xr.where(np.isfinite(bare), np.float32(1), np.float32(np.nan))
        units = RELATIVE_UNITS
    else:
        units = "m" if source.metric else SHARED_UNITS
        measured = source.at_tracks(ds).transpose("track", "time")
        inputs = [bare, ds["visible"].transpose("track", "time"), measured]
        inputs = [v.drop_vars(list(v.coords)) for v in inputs]
        if any(v.chunks is not None for v in inputs):
            inputs = _aligned(inputs)
        scale = xr.apply_ufunc(
            run_scale,
            *inputs,
            kwargs={
                "time": ds["time"].values,
                "whole_track": source.span == "track",
            },
            input_core_dims=[["time"]] * 3,
            output_core_dims=[["time"]],
            dask="parallelized",
            output_dtypes=[np.float32],
        )
    scale = scale.astype(np.float32)
    values = (scale * np.exp(bare)).astype(np.float32)
    metric = units == "m"
    scale.attrs = {
        "units": units,
        "long_name": "depth per unit of depth ratio, constant on each visible run",
    }
    values.attrs = {"units": units, "long_name": "depth along the optical axis"}
    out = ds.assign(scale=scale, depth=values)
    out.attrs = {k: v for k, v in ds.attrs.items() if k != "depth_note"} | {
        "units": units,
        "depth_source": "none" if source is None else source.name,
        "depth_source_licence": "" if source is None else source.licence,
        "frame_of_reference": "camera" if metric else "camera, relative",
    }
    if source is None:
        out.attrs["depth_note"] = RELATIVE_NOTE
    return out


def _aligned(arrays: list[xr.DataArray]) -> list[xr.DataArray]:
    """Chunk by the tracks of the first lazy array, with time whole."""
    lazy = next(a for a in arrays if a.chunks is not None)
    chunks: dict[str, Any] = {"track": lazy.chunksizes["track"], "time": -1}
    return [a.chunk(chunks) for a in arrays]


def add_xyz(ds: xr.Dataset, intrinsics: Any = None) -> xr.Dataset:
    """Put tracks with depth into the camera's frame.

    Parameters
    ----------
    ds
        Tracks with ``xy`` and ``depth``.
    intrinsics
        Anything `seurat_tracks.geometry.resolve_intrinsics` takes; None uses the
        Dataset's own ``intrinsics`` attribute and, without one, the stated default
        with a warning.

    Returns
    -------
    xr.Dataset
        With ``xyz`` (track, time, axis) float32 in the unit of ``depth``: x right, y
        down, z forward; NaN where ``xy`` or ``depth`` is NaN. The attribute
        ``intrinsics`` holds fx, fy, cx, cy. Lazy if ``xy`` or ``depth`` is.

    Raises
    ------
    CameraError
        If the intrinsics are malformed.
    SchemaError
        If ``depth`` is missing.
    """
    import xarray as xr

    from seurat_tracks.geometry import unproject

    if "depth" not in ds:
        raise SchemaError(
            "cannot make xyz without depth: call ds.seurat.anchor() first"
        )
    ds = set_intrinsics(ds, intrinsics)
    xy = ds["xy"].transpose("track", "time", "coord")
    depth = ds["depth"].transpose("track", "time")
    xyz = xr.apply_ufunc(
        unproject,
        xy.drop_vars(list(xy.coords)),
        depth.drop_vars(list(depth.coords)),
        kwargs={"intrinsics": ds.attrs["intrinsics"]},
        input_core_dims=[["coord"], []],
        output_core_dims=[["axis"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"axis": 3}},
    ).astype(np.float32)
    xyz.attrs = {
        "units": depth.attrs.get("units", ds.attrs.get("units", "")),
        "long_name": "position in the camera frame (x right, y down, z forward)",
    }
    return ds.assign_coords(axis=["x", "y", "z"]).assign(xyz=xyz)


def set_intrinsics(ds: xr.Dataset, intrinsics: Any = None) -> xr.Dataset:
    """Record the camera in the Dataset.

    Parameters
    ----------
    ds
        Tracks with the attribute ``frame_size``.
    intrinsics
        Anything `seurat_tracks.geometry.resolve_intrinsics` takes; None keeps the
        Dataset's own ``intrinsics``, and without one takes the stated default with a
        warning.

    Returns
    -------
    xr.Dataset
        With the attributes ``intrinsics`` [fx, fy, cx, cy] and ``intrinsics_source``
        ("given" or "assumed").

    Raises
    ------
    CameraError
        If the intrinsics are malformed.
    """
    from seurat_tracks.geometry import DEFAULT_FIELD_OF_VIEW, resolve_intrinsics

    given = ds.attrs.get("intrinsics") if intrinsics is None else intrinsics
    if "frame_size" not in ds.attrs:
        raise CameraError(
            "the Dataset has no frame_size attribute, so its camera is unknown: set "
            "ds.attrs['frame_size'] = [width, height]"
        )
    k = resolve_intrinsics(given, ds.attrs["frame_size"])
    if intrinsics is not None or given is None:
        source = (
            f"assumed: {DEFAULT_FIELD_OF_VIEW:g} degrees wide"
            if given is None
            else "given"
        )
    else:
        source = ds.attrs.get("intrinsics_source", "given")
    return ds.assign_attrs(intrinsics=[*k], intrinsics_source=source)
