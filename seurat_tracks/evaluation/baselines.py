"""Ways to lift tracks that the network is measured against.

`lift_by` answers as `seurat_tracks.lift.lift3d` does, by any method of `METHODS`; each
is a row of Table 1, 2, 4 or 6 of the paper, or a control that the paper lacks. What
they rest on is in ``docs/evaluation.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import DepthError, SchemaError, SeuratTracksError
from seurat_tracks.evaluation.expansion import expansion_ratio
from seurat_tracks.geometry import density_ratio
from seurat_tracks.scale import DERIVED

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.depth.base import DepthSource

METHODS: dict[str, str] = {
    "seurat": "the network: ratios from tracks alone (Table 1, Seurat)",
    "constant": "every track keeps its depth (a control; not in the paper)",
    "density": "density of the nearest neighbours of the first frame, Gaussian kernels "
    "(Table 4, Eq. 4)",
    "affine": "robust local affine expansion of the nearest neighbours (a control; not "
    "in the paper)",
    "frame_depth": "a depth source as it is, in every frame (Table 1, ZoeDepth, Depth "
    "Pro)",
    "video_depth": "depth maps of the whole video as they are (Table 1 and 2, "
    "DepthCrafter, ChronoDepth)",
    "oracle_depth": "the true depth at the tracks (Table 1, oracle depth)",
}
"""Methods, what each does, and where the paper has it."""

ALIASES = {"per_frame": "frame_depth", "per_video": "video_depth"}
"""Plain names of two methods; "per_video" takes any source, not depth maps alone."""

_DERIVED = ("log_depth_ratio", "depth_ratio_sigma", *DERIVED)
_FORMULAS = ("constant", "density", "affine")
_OF_THE_MODEL = ("model", "model_hash", "model_licence", "fuse")


def lift_by(
    ds: xr.Dataset,
    method: str = "seurat",
    *,
    depth: Any = None,
    truth: xr.Dataset | None = None,
    video: Any = None,
    intrinsics: Any = None,
    disparity: bool = False,
    smooth: int = 0,
    sigma: float = 1.0,
    **options: Any,
) -> xr.Dataset:
    """Lift tracks to 3D by the network or by a baseline.

    Parameters
    ----------
    ds
        Tracks: ``xy`` and ``visible``.
    method
        A key of `METHODS` or of `ALIASES`.
    depth
        Anything `seurat_tracks.depth.resolve_depth` takes. ``frame_depth`` and
        ``video_depth`` take it as the answer, the latter depth maps alone; ``seurat``
        and the formulas take their scale from it, or stay relative without it;
        ``oracle_depth`` has its own.
    video
        The tracks' video, for a depth model named in ``depth``.
    truth
        True tracks with ``depth``, for ``oracle_depth``: every track and frame of
        `ds`, by id and number.
    intrinsics
        As in `seurat_tracks.lift.lift3d`.
    disparity
        For ``video_depth`` and ``per_video``: the maps hold inverse depth, up to a
        factor, as those of DepthCrafter and of relative Video Depth Anything do.
    smooth
        Times that the lifted positions are smoothed along time (Table 6).
    sigma
        Width of that Gaussian in frames; the paper gives none.
    **options
        ``seurat``: those of `seurat_tracks.lift.lift3d`. ``density``: ``k``,
        ``bandwidth``. ``affine``: ``k``, ``iterations``.

    Returns
    -------
    xarray.Dataset
        With ``log_depth_ratio``, ``depth`` and ``xyz`` (track, time[, axis]), and the
        coordinate ``reference_frame``: each track's first visible frame. Lazy where
        `ds` or the depth source is. Where a baseline has no answer between frames
        that it answers, its log depth is linear in time, and constant beyond them.

    Raises
    ------
    SeuratTracksError
        If the method is unknown or lacks what it needs.
    SchemaError, DepthError, CameraError, WeightsError
        As `seurat_tracks.lift.lift3d` does.
    """
    from seurat_tracks.depth import resolve_depth
    from seurat_tracks.lift import lift3d
    from seurat_tracks.scale import add_xyz, anchor, set_intrinsics
    from seurat_tracks.schema import validate_for_lift

    _refuse(method, depth, truth, smooth, sigma, options)
    asked, method = method, ALIASES.get(method, method)
    source = resolve_depth(depth, video=video, affine=method == "seurat")
    if method == "seurat":
        out = lift3d(ds, depth=source, intrinsics=intrinsics, **options)
    else:
        validate_for_lift(ds, values=False)
        ds = set_intrinsics(ds, intrinsics).drop_vars(
            [*_DERIVED, "reference_frame"], errors="ignore"
        )
        ds.attrs = {k: v for k, v in ds.attrs.items() if k not in _OF_THE_MODEL}
        ds = _with_reference(ds)
        if method in _FORMULAS:
            out = anchor(_with_ratio(ds, method, options), source)
        else:
            if method == "oracle_depth":
                assert truth is not None
                source = _true_depth(ds, truth)
            assert source is not None
            out = _with_depth(ds, source, disparity=disparity)
        out = add_xyz(out)
    if smooth:
        out = smooth_positions(out, times=smooth, sigma=sigma)
    return out.assign_attrs(method=asked)


def smooth_positions(
    ds: xr.Dataset, *, times: int = 1, sigma: float = 1.0
) -> xr.Dataset:
    """Smooth lifted positions along time, as in Table 6 of the paper.

    Parameters
    ----------
    ds
        Lifted tracks.
    times
        How often.
    sigma
        Standard deviation of the Gaussian in frames; the paper gives none.

    Returns
    -------
    xarray.Dataset
        ``xyz`` and ``depth`` smoothed; NaN where they were NaN, and no weight to such
        frames. ``xy`` stays what the tracker said.
    """
    import xarray as xr

    bare = ds["xyz"].transpose("track", "time", "axis")
    bare = bare.drop_vars(list(bare.coords))
    if bare.chunks is not None:
        bare = bare.chunk({"time": -1, "axis": -1})
    xyz = xr.apply_ufunc(
        _smooth,
        bare,
        kwargs={"times": times, "sigma": sigma},
        input_core_dims=[["time", "axis"]],
        output_core_dims=[["time", "axis"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        keep_attrs=True,
    )
    out = ds.assign(xyz=xyz)
    return out.assign(depth=xyz.isel(axis=2).assign_attrs(ds["depth"].attrs))


def own_start(
    xy: np.ndarray,
    visible: np.ndarray,
    formula: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Ask a formula about each track from the first frame in which it is seen.

    Parameters
    ----------
    xy : float array (track, time, 2)
        Pixels.
    visible : bool array (track, time)
    formula
        Takes ``xy`` and ``visible`` of the tracks that are seen in the first of some
        frames, and the rows (track,) that are asked about; gives their depth over
        that in the first frame, NaN where it does not know.

    Returns
    -------
    float32 array (track, time)
        Log ratios, 0 on each track's first visible frame; NaN where the formula knows
        nothing in between two answers.
    """
    out = np.full(visible.shape, np.nan)
    start = visible.argmax(1)
    for first in np.unique(start[visible.any(1)]):
        there = np.flatnonzero(visible[:, first])
        mine = np.flatnonzero(start[there] == first)
        ratio = formula(xy[there, first:], visible[there, first:], mine)
        with np.errstate(all="ignore"):
            log_ratio = np.log(ratio)
        log_ratio[~np.isfinite(log_ratio)] = np.nan
        log_ratio[:, 0] = 0.0
        out[there[mine], first:] = log_ratio
    return fill_in_time(out).astype(np.float32)


def fill_in_time(values: np.ndarray) -> np.ndarray:
    """Fill NaN along the last axis: linear in between, constant beyond the ends."""
    out = np.array(values, np.float64)
    time = np.arange(out.shape[-1])
    for row in out.reshape(-1, out.shape[-1]):
        known = np.isfinite(row)
        if known.any() and not known.all():
            row[~known] = np.interp(time[~known], time[known], row[known])
    return out


def _with_ratio(ds: xr.Dataset, method: str, options: dict[str, Any]) -> xr.Dataset:
    """Add the log ratio of a formula; it sees all tracks at once."""
    import xarray as xr

    xy = ds["xy"].transpose("track", "time", "coord")
    visible = ds["visible"].transpose("track", "time")
    inputs = [a.drop_vars(list(a.coords)) for a in (xy, visible)]
    if any(a.chunks is not None for a in inputs):
        inputs = [a.chunk(-1) for a in inputs]
    ratio = xr.apply_ufunc(
        _log_ratio,
        *inputs,
        kwargs={"method": method, "options": options},
        input_core_dims=[["track", "time", "coord"], ["track", "time"]],
        output_core_dims=[["track", "time"]],
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    ratio.attrs = {
        "units": "1",
        "long_name": "log of depth over depth at the reference frame",
    }
    return ds.assign(log_depth_ratio=ratio)


def _log_ratio(
    xy: np.ndarray, visible: np.ndarray, *, method: str, options: dict[str, Any]
) -> np.ndarray:
    if method == "constant":
        seen = visible.any(1, keepdims=True)
        flat = np.where(seen, np.float32(0), np.float32(np.nan))
        return np.broadcast_to(flat, visible.shape).copy()
    if method == "density":
        return own_start(
            xy, visible, lambda p, seen, rows: density_ratio(p, seen, **options)[rows]
        )
    return own_start(
        xy, visible, lambda p, seen, rows: expansion_ratio(p, seen, rows, **options)
    )


def _with_depth(ds: xr.Dataset, source: DepthSource, *, disparity: bool) -> xr.Dataset:
    """Take depth from a source in every frame, and the ratio from that depth."""
    import xarray as xr

    from seurat_tracks.scale import SHARED_UNITS

    measured = source.at_tracks(ds).transpose("track", "time")
    measured = measured.drop_vars(list(measured.coords))
    seen = ds["visible"].transpose("track", "time")
    seen = seen.drop_vars(list(seen.coords))
    if measured.chunks is not None:
        measured = measured.chunk({"time": -1})
        seen = seen.chunk({"track": measured.chunksizes["track"], "time": -1})
    elif seen.chunks is not None:
        measured = measured.chunk({"track": seen.chunksizes["track"], "time": -1})
        seen = seen.chunk({"time": -1})
    both = xr.apply_ufunc(
        _depth_and_ratio,
        measured,
        seen,
        kwargs={"disparity": disparity},
        input_core_dims=[["time"], ["time"]],
        output_core_dims=[["answer", "time"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"answer": 2}},
    )
    units = "m" if source.metric and not disparity else SHARED_UNITS
    depth, ratio = both.isel(answer=0), both.isel(answer=1)
    depth.attrs = {"units": units, "long_name": "depth along the optical axis"}
    ratio.attrs = {
        "units": "1",
        "long_name": "log of depth over depth at the reference frame",
    }
    out = ds.assign(log_depth_ratio=ratio, depth=depth)
    out.attrs |= {
        "units": units,
        "depth_source": source.name,
        "depth_source_licence": source.licence,
        "frame_of_reference": "camera" if units == "m" else "camera, relative",
    }
    return out


def _depth_and_ratio(
    measured: np.ndarray, visible: np.ndarray, *, disparity: bool
) -> np.ndarray:
    known = visible & np.isfinite(measured) & (measured > 0)
    log_depth = np.log(np.where(known, measured, 1.0), dtype=np.float64)
    log_depth = np.where(known, -log_depth if disparity else log_depth, np.nan)
    log_depth = fill_in_time(log_depth)
    reference = visible.argmax(1)[:, None]
    ratio = log_depth - np.take_along_axis(log_depth, reference, 1)
    return np.stack([np.exp(log_depth), ratio], 1).astype(np.float32)


def _true_depth(ds: xr.Dataset, truth: xr.Dataset) -> DepthSource:
    from seurat_tracks.depth import AtTracks

    if "depth" not in truth:
        raise SchemaError("oracle_depth: the truth has no depth")
    depth = truth["depth"].drop_vars(
        [name for name in truth["depth"].coords if name not in ("track", "time")]
    )
    metric = truth.attrs.get("units") == "m"
    return AtTracks(depth, name="the true depth", metric=metric)


def _with_reference(ds: xr.Dataset) -> xr.Dataset:
    """Add each track's first visible frame, as the network's answers have it."""
    from seurat_tracks.ratios.graph import reference_frames

    visible = ds["visible"].transpose("track", "time")
    visible = visible.drop_vars(list(visible.coords))
    reference = reference_frames(visible, ds["time"].values)
    return ds.assign_coords(reference_frame=("track", reference.data))


def _smooth(xyz: np.ndarray, *, times: int, sigma: float) -> np.ndarray:
    """Gaussian mean of the known positions around each (..., time, 3)."""
    from scipy.ndimage import gaussian_filter1d

    known = np.isfinite(xyz).all(-1, keepdims=True)
    out = np.where(known, xyz, 0.0)
    weight = gaussian_filter1d(known.astype(np.float64), sigma, axis=-2)
    for _ in range(times):
        out = gaussian_filter1d(out.astype(np.float64), sigma, axis=-2)
        out = np.where(known, out / np.where(known, weight, 1.0), 0.0)
    return np.where(known, out, np.nan).astype(np.float32)


def _refuse(
    method: str,
    depth: Any,
    truth: Any,
    smooth: int,
    sigma: float,
    options: dict[str, Any],
) -> None:
    """Refuse what cannot be computed, before anything is."""
    asked, method = method, ALIASES.get(method, method)
    if method not in METHODS:
        raise SeuratTracksError(
            f"method is {asked!r}; give one of {[*METHODS, *ALIASES]}"
        )
    accepted = {"density": {"k", "bandwidth"}, "affine": {"k", "iterations"}}
    unknown = set(options) - accepted.get(method, set())
    if method != "seurat" and unknown:
        raise SeuratTracksError(
            f"method {method!r} does not take {sorted(unknown)}; it takes "
            f"{sorted(accepted.get(method, set())) or 'no options'}"
        )
    if method in ("frame_depth", "video_depth") and depth is None:
        raise DepthError(
            f"method {asked!r} needs depth=: a depth source, or depth maps (time, y, "
            "x) of the video"
        )
    is_maps = hasattr(depth, "maps") or len(getattr(depth, "shape", ())) == 3
    if asked == "video_depth" and not is_maps:
        raise DepthError(
            "method 'video_depth' needs depth= to be depth maps (time, y, x); for any "
            "other source use method='frame_depth'"
        )
    if method == "oracle_depth" and truth is None:
        raise SeuratTracksError(
            "method 'oracle_depth' needs truth=, the Dataset of true tracks"
        )
    if smooth < 0 or not sigma > 0:
        raise SeuratTracksError(
            f"smooth must be an integer from 0 and sigma positive, got {smooth!r} and "
            f"{sigma!r}"
        )
