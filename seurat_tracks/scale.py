"""From depth ratios to metres: one scale for each visible run of a track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.errors import CameraError, DepthError, SchemaError
from seurat_tracks.median import run_scale

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.shift import Affine

Anchor = Literal["robust", "median"]

AFFINE_KINDS: dict[str, Affine] = {"affine": "depth", "affine_disparity": "disparity"}
"""What sources of relative depth are fitted in, by their kind."""

DERIVED = ["scale", "scale_sigma", "depth", "xyz", "camera_to_world"]
"""What anchoring anew replaces or drops."""

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


def anchor(
    ds: xr.Dataset,
    depth: Any = None,
    anchor: Anchor = "robust",
    *,
    video: Any = None,
    affine: Affine | None = None,
    gains: bool = True,
    fit: xr.DataArray | None = None,
) -> xr.Dataset:
    """Turn depth ratios into depth.

    Parameters
    ----------
    ds
        Tracks with ``visible`` and ``log_depth_ratio`` (track, time), and
        ``depth_ratio_sigma`` if it is known.
    depth
        Where metres come from: anything `seurat_tracks.depth.resolve_depth` takes.
        None makes no metres: scale is 1 and the units say "relative".
    anchor
        "robust" (`seurat_tracks.robust.robust_scale`) or "median", the paper's Eq. 10
        (`seurat_tracks.median.run_scale`), of each visible run. Depths that a person
        states (a constant, `Known`) are never outvoted: they always go by the median.
    video
        The tracks' video, for a depth model named in ``depth``.
    affine
        "depth" or "disparity": the source gives relative depth or inverse depth up to
        one factor and one shift for the video; the ratios say what the shift is. None
        goes by the source's own kind (`seurat_tracks.depth.kind_of`). Units are then
        relative.
    gains
        For "robust": whether the source may err by a common factor in each frame.
    fit
        For "robust": what `source_fit` found elsewhere. None looks at tracks of `ds`.

    Returns
    -------
    xr.Dataset
        With ``scale`` and ``depth`` = scale * exp(log_depth_ratio) (Eq. 11 of
        *Seurat*), float32 (track, time); NaN where no depth could be found. "robust"
        adds ``scale_sigma`` (track, time), natural-log units. An ``xyz`` that ``ds``
        had is dropped: it belonged to another scale. Attributes ``units``,
        ``depth_source``, ``depth_source_licence``, ``frame_of_reference``, ``anchor``
        and, if relative, ``depth_note``. Nothing is computed if the input is lazy.

    Raises
    ------
    SchemaError
        If ``visible`` or ``log_depth_ratio`` is missing.
    DepthError
        If the depth source is not understood or does not fit the tracks, or the ratios
        change too little to find the shift of an affine one (the latter when computed).
    """
    import xarray as xr

    from seurat_tracks.depth import resolve_depth

    if anchor not in ("robust", "median"):
        raise DepthError(f'anchor must be "robust" or "median", got {anchor!r}')
    missing = [v for v in ("log_depth_ratio", "visible") if v not in ds]
    if missing:
        raise SchemaError(
            f"cannot anchor depth without {' and '.join(missing)}: call "
            f"ds.seurat.depth_ratio() first"
        )
    source = resolve_depth(depth, video=video, affine=True)
    affine = affine_of(source, affine)
    ds = ds.drop_vars(DERIVED, errors="ignore")
    bare = _bare(ds["log_depth_ratio"])
    sigma = None
    stated = is_stated(source)
    if affine and (stated or anchor == "median"):
        raise DepthError(
            f"affine={affine!r} needs a source that gives depth in many frames, and "
            'anchor="robust"'
        )
    if source is None:
        scale = xr.where(np.isfinite(bare), np.float32(1), np.float32(np.nan))
        units = RELATIVE_UNITS
    else:
        units = "m" if source.metric and not affine else SHARED_UNITS
        ratio_sigma = xr.full_like(bare, np.nan)
        if "depth_ratio_sigma" in ds:
            ratio_sigma = _bare(ds["depth_ratio_sigma"])
        inputs = [bare, _bare(ds["visible"]), _bare(source.at_tracks(ds)), ratio_sigma]
        if any(v.chunks is not None for v in inputs):
            inputs = _aligned(inputs)
        time = ds["time"].values
        if stated or anchor == "median":
            anchor = "median"
            scale = xr.apply_ufunc(
                run_scale,
                *inputs[:3],
                kwargs={"time": time, "whole_track": source.span == "track"},
                input_core_dims=[["time"]] * 3,
                output_core_dims=[["time"]],
                dask="parallelized",
                output_dtypes=[np.float32],
            )
        else:
            scale, sigma = _robust(inputs, time, affine, gains, fit)
    scale = scale.astype(np.float32)
    values = (scale * np.exp(bare)).astype(np.float32)
    metric = units == "m"
    scale.attrs = {
        "units": units,
        "long_name": "depth per unit of depth ratio, constant on each visible run",
    }
    values.attrs = {"units": units, "long_name": "depth along the optical axis"}
    out = ds.assign(scale=scale, depth=values)
    if sigma is not None:
        sigma.attrs = {"units": "1", "long_name": "standard error of log scale"}
        out = out.assign(scale_sigma=sigma)
    dropped = ("depth_note", "anchor", "poses", "poses_estimated")
    out.attrs = {k: v for k, v in ds.attrs.items() if k not in dropped} | {
        "units": units,
        "depth_source": "none" if source is None else source.name,
        "depth_source_licence": "" if source is None else source.licence,
        "frame_of_reference": "camera" if metric else "camera, relative",
    }
    if source is None:
        out.attrs["depth_note"] = RELATIVE_NOTE
    else:
        out.attrs["anchor"] = anchor + (f", affine {affine}" if affine else "")
    return out


def _bare(array: xr.DataArray) -> xr.DataArray:
    array = array.transpose("track", "time")
    return array.drop_vars(list(array.coords))


def log_depth_sigma(ds: xr.Dataset) -> np.ndarray:
    """Join the standard errors of ratio and scale, taken as independent.

    Parameters
    ----------
    ds
        Tracks with ``depth_ratio_sigma``, and ``scale_sigma`` where the scale has one.

    Returns
    -------
    float array (track, time)
        Of log depth, natural-log units, so 0.1 is about 10 %; NaN where the ratio's is
        unknown. A scale's that is unknown counts nothing.
    """
    ratio, *scale = (
        np.asarray(ds[name].transpose("track", "time").values)
        for name in ("depth_ratio_sigma", "scale_sigma")
        if name in ds
    )
    for sigma in scale:
        ratio = np.hypot(ratio, np.where(np.isfinite(sigma), sigma, 0))
    return ratio


def is_stated(source: Any) -> bool:
    """Whether a person said what the depth is, or nobody did: it then goes unjudged."""
    from seurat_tracks.depth import Known

    return source is None or source.span == "track" or isinstance(source, Known)


def affine_of(source: Any, affine: Any = None) -> Affine | None:
    """Say what relative depth is fitted in: as asked, else by the source's own kind.

    Raises
    ------
    DepthError
        If `affine` is neither "depth" nor "disparity" nor None.
    """
    from seurat_tracks.depth import kind_of

    if affine is None and source is not None:
        return AFFINE_KINDS.get(kind_of(source))
    if affine not in (None, "depth", "disparity"):
        raise DepthError(f'affine must be "depth", "disparity" or None, got {affine!r}')
    found: Affine | None = affine
    return found


def learns(source: Any, anchor: Anchor) -> bool:
    """Whether anchoring first learns from some tracks how the source errs."""
    return anchor == "robust" and not is_stated(source)


def learning_tracks(n_tracks: int) -> slice:
    """Tracks, evenly spread over all, from which that is learnt."""
    from seurat_tracks.robust import MOST_TRACKS

    return slice(None, None, max(1, -(-n_tracks // MOST_TRACKS)))


def source_fit(
    log_ratio: xr.DataArray,
    visible: xr.DataArray,
    measured: xr.DataArray,
    sigma: xr.DataArray,
    *,
    affine: Affine | None = None,
    gains: bool = True,
) -> xr.DataArray:
    """Learn how a depth source errs; lazy if the tracks are.

    Parameters
    ----------
    log_ratio, visible, measured, sigma
        As for `seurat_tracks.robust.fit_source`, dims track and time; a few hundred
        tracks are enough (`learning_tracks`).
    affine, gains
        As for `anchor`.

    Returns
    -------
    float64 DataArray (fit,)
        `seurat_tracks.robust.SourceFit.pack`.
    """
    import xarray as xr

    from seurat_tracks.robust import fit_source

    some = [_bare(v) for v in (log_ratio, visible, measured, sigma)]
    if any(v.chunks is not None for v in some):
        some = [v.chunk(-1) for v in some]
    return xr.apply_ufunc(
        lambda *arrays: fit_source(*arrays, affine=affine, gains=gains).pack(),
        *some,
        input_core_dims=[["track", "time"]] * 4,
        output_core_dims=[["fit"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"fit": log_ratio.sizes["time"] + 4}},
    )


def _robust(
    inputs: list[xr.DataArray],
    time: np.ndarray,
    affine: Affine | None,
    gains: bool,
    fit: xr.DataArray | None,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Scale and its sigma: what the source is like from some tracks, then all alone."""
    import xarray as xr

    from seurat_tracks.robust import SourceFit, robust_scale

    if fit is None:
        some = learning_tracks(inputs[0].sizes["track"])
        fit = source_fit(
            *(v.isel(track=some) for v in inputs), affine=affine, gains=gains
        )

    def both(*arrays: np.ndarray) -> np.ndarray:
        *rest, packed = arrays
        # apply_ufunc puts core dimensions last
        answer = robust_scale(
            rest[0],
            rest[3],
            rest[1],
            rest[2],
            SourceFit.unpack(packed),
            time=time,
            affine=affine,
        )
        return answer.transpose(1, 0, 2)

    found = xr.apply_ufunc(
        both,
        *inputs,
        fit,
        input_core_dims=[["time"]] * 4 + [["fit"]],
        output_core_dims=[["answer", "time"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"answer": 2}},
    )
    return found.isel(answer=0), found.isel(answer=1)


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
        Anything `seurat_tracks.cameras.resolve_camera` takes; None uses the
        Dataset's own ``intrinsics`` attribute and, without one, the stated default
        with a warning.

    Returns
    -------
    xr.Dataset
        With ``xyz`` (track, time, axis) float32 in the unit of ``depth``: x right, y
        down, z forward; NaN where ``xy`` or ``depth`` is NaN, and where the lens
        cannot be inverted. Distortion is undone on the rays; ``xy`` stays. The
        attribute ``intrinsics`` holds fx, fy, cx, cy. Lazy if ``xy`` or ``depth`` is.

    Raises
    ------
    CameraError
        If the intrinsics are malformed.
    SchemaError
        If ``depth`` is missing.
    """
    import xarray as xr

    from seurat_tracks.cameras.camera import undistorted
    from seurat_tracks.geometry import unproject

    if "depth" not in ds:
        raise SchemaError(
            "cannot make xyz without depth: call ds.seurat.anchor() first"
        )
    ds = set_intrinsics(ds, intrinsics)
    xy = undistorted(ds["xy"].transpose("track", "time", "coord"), ds)
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
        Anything `seurat_tracks.cameras.resolve_camera` takes; None keeps the
        Dataset's own ``intrinsics``, and without one takes the stated default with a
        warning.

    Returns
    -------
    xr.Dataset
        With the attributes ``intrinsics`` [fx, fy, cx, cy] and ``intrinsics_source``
        ("given", "assumed: ...", or what the numbers are from); of a lens that
        distorts also ``distortion`` and ``lens``.

    Raises
    ------
    CameraError
        If the intrinsics are malformed.
    """
    from seurat_tracks.cameras.camera import resolve_camera
    from seurat_tracks.geometry import DEFAULT_FIELD_OF_VIEW, resolve_intrinsics

    if "frame_size" not in ds.attrs:
        raise CameraError(
            "the Dataset has no frame_size attribute, so its camera is unknown: set "
            "ds.attrs['frame_size'] = [width, height]"
        )
    if intrinsics is None and "intrinsics" in ds.attrs:
        k = resolve_intrinsics(ds.attrs["intrinsics"], ds.attrs["frame_size"])
        source = ds.attrs.get("intrinsics_source", "given")
        return ds.assign_attrs(intrinsics=[*k], intrinsics_source=source)
    if intrinsics is None:
        k = resolve_intrinsics(None, ds.attrs["frame_size"])
        source = f"assumed: {DEFAULT_FIELD_OF_VIEW:g} degrees wide"
        return ds.assign_attrs(intrinsics=[*k], intrinsics_source=source)
    camera = resolve_camera(intrinsics, ds)
    out = ds.copy(deep=False)
    out.attrs = {k: v for k, v in ds.attrs.items() if k not in ("distortion", "lens")}
    out.attrs |= {
        "intrinsics": [*camera.intrinsics],
        "intrinsics_source": camera.source,
    }
    if camera.distorts:
        out.attrs |= {"distortion": [*camera.distortion], "lens": camera.lens}
    return out
