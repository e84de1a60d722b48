"""Tracks -> log depth ratio -> depth -> xyz, lazily.

Every function takes and returns Datasets; with Dask-backed input nothing is computed
while the graph is built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.schema import validate_for_lift
from seurat_tracks.windows import WindowPlan, plan_from_starts, plan_windows

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.model.pretrained import Pretrained
    from seurat_tracks.robust import Affine
    from seurat_tracks.scale import Anchor

Fuse = Literal["windows", "chain"]


@dataclass(frozen=True)
class _Settings:
    """What a Dask task needs beside its arrays; small, picklable, hashable."""

    weights: str
    digest: str
    device: str
    fuse: str
    iterations: int | None
    frame_size: tuple[int, int]
    cuts: tuple[int, ...]
    focal: float | None
    progress: bool


def depth_ratio(
    ds: xr.Dataset,
    *,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fuse: Fuse = "windows",
    strides: Sequence[int] | None = None,
    iterations: int | None = None,
    tracks: Sequence[Any] | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Say how the depth of every track changes over time.

    Parameters
    ----------
    ds
        Tracks: ``xy`` (track, time, coord) pixels and ``visible`` (track, time); with
        ``support_xy`` and ``support_visible`` where a video was at hand. Without
        them, support is drawn from the tracks themselves. The attribute
        ``intrinsics``, unless assumed, tells the network the focal length.
    model
        Shipped weights by name, "auto" for the best of them, or a path; see
        `seurat_tracks.model.pretrained.find_weights`.
    device
        "auto" (CUDA, then MPS, then the CPU) or a torch device, which is then used or
        refused, never replaced.
    fuse
        "windows": a robust least-squares fit to all pairs of frames of all windows,
        with error bars. "chain": the paper's Eq. 9, which uses windows of stride 1
        and gives no error bars (``depth_ratio_sigma`` is NaN).
    strides
        Frame strides of the windows where support is drawn from the tracks, by default
        `seurat_tracks.windows.usual_strides`; support that came with the tracks
        decides itself.
    iterations
        Refinement passes of the network; its own number by default.
    tracks
        Ids of the tracks to lift, all by default; the answer holds these alone, in the
        Dataset's order. Support drawn from tracks is drawn from all, so that the
        answer is the same as when all are lifted.
    progress
        Show a bar. Lazy tracks are lifted later: use Dask's bars for them.

    Returns
    -------
    xr.Dataset
        With ``log_depth_ratio`` and ``depth_ratio_sigma`` (track, time) float32,
        natural-log units, and the coordinate ``reference_frame`` (track): the first
        frame in which the track is seen, where the ratio is 1. Hidden frames get an
        answer too, with a larger sigma; frames of shots in which the track is never
        seen are NaN. An existing scale, depth and xyz are dropped: they belonged to
        other ratios.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract, has fewer than two frames, or no visible
        observation (values of lazy arrays are checked when they are computed), or none
        of the tracks asked for.
    WeightsError
        If there is no such model or device.
    """
    import xarray as xr

    from seurat_tracks import reasons
    from seurat_tracks.model.pretrained import (
        find_weights,
        load_model,
        resolve_device,
    )
    from seurat_tracks.scale import DERIVED

    _check_settings(fuse, strides, iterations)
    validate_for_lift(ds, values=False)
    lazy = ds["xy"].chunks is not None
    if not lazy:
        validate_for_lift(ds)
    rows = None if tracks is None else _rows(ds, tracks)
    path = find_weights(model)
    info = load_model(path)
    cuts = _cut_positions(ds)
    frame_size = tuple(int(v) for v in ds.attrs["frame_size"])
    settings = _Settings(
        weights=str(path),
        digest=info.hash,
        device=resolve_device(device),
        fuse=fuse,
        iterations=iterations,
        frame_size=(frame_size[0], frame_size[1]),
        cuts=cuts,
        focal=_known_focal(ds),
        progress=progress and not lazy,
    )
    ds = ds.drop_vars(
        [
            "log_depth_ratio",
            "depth_ratio_sigma",
            *DERIVED,
            "reference_frame",
            *reasons.ADDED,
        ],
        errors="ignore",
    )
    xy = _bare(ds["xy"].transpose("track", "time", "coord"))
    visible = _bare(ds["visible"].transpose("track", "time"))
    xy, visible = _through_the_lens(xy, visible, ds)
    plan, support_xy, support_visible = _support(
        ds, xy, visible, info, cuts, strides, fuse, settings.frame_size
    )
    if rows is not None:
        ds = ds.isel(track=rows)
        xy, visible = xy.isel(track=rows), visible.isel(track=rows)
    if lazy:
        xy = xy.chunk({"time": -1, "coord": -1})
        visible = visible.chunk({"track": xy.chunksizes["track"], "time": -1})
    answer = xr.apply_ufunc(
        _lift_block,
        xy,
        visible,
        support_xy,
        support_visible,
        kwargs={"plan": plan, "settings": settings},
        input_core_dims=[
            ["time", "coord"],
            ["time"],
            ["window", "support", "step", "coord"],
            ["window", "support", "step"],
        ],
        output_core_dims=[["answer", "time"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"answer": 2}},
    )
    ratio, sigma = answer.isel(answer=0), answer.isel(answer=1)
    ratio.attrs = {
        "units": "1",
        "long_name": "log of depth over depth at the reference frame",
    }
    sigma.attrs = {"units": "1", "long_name": "standard error of log_depth_ratio"}
    reference = _reference_frames(visible, ds["time"].values)
    out = ds.assign(log_depth_ratio=ratio, depth_ratio_sigma=sigma)
    out = out.assign_coords(reference_frame=("track", reference.data))
    return out.assign_attrs(
        model=info.name,
        model_hash=info.hash,
        model_licence=info.licence,
        fuse=fuse,
    )


def lift3d(
    ds: xr.Dataset,
    *,
    depth: Any = None,
    video: Any = None,
    intrinsics: Any = None,
    poses: Any = None,
    anchor: Anchor = "robust",
    affine: Affine | None = None,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fuse: Fuse = "windows",
    strides: Sequence[int] | None = None,
    iterations: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Lift 2D tracks to 3D: ratios, then scale, then positions.

    Parameters
    ----------
    ds
        Tracks, as for `depth_ratio`.
    depth
        Where metres come from; see `seurat_tracks.depth.resolve_depth`. None: depth
        and positions are relative (every track starts at depth 1) and say so.
    video
        The tracks' video, for a depth model named in ``depth``; other sources need
        none.
    intrinsics
        Anything `seurat_tracks.cameras.resolve_camera` takes: fx, fy, cx, cy in
        pixels, a 3 x 3 matrix, ``{"fov": degrees}``, a `Camera`, a calibration file, a
        source; or None for the Dataset's own or, with a warning, an assumed field of
        view of 60 degrees.
    poses
        `seurat_tracks.cameras.Poses` of the camera: ``xyz`` is then in the world's
        frame. Needs metric depth.
    anchor, affine
        How depth and ratios are brought together; see `seurat_tracks.scale.anchor`.
    model, device, fuse, strides, iterations, progress
        As for `depth_ratio`.

    Returns
    -------
    xr.Dataset
        With ``log_depth_ratio``, ``depth_ratio_sigma``, ``scale``, ``depth`` and
        ``xyz`` (track, time, axis), camera (or world) frame, metres (or relative);
        ``scale_sigma`` where the anchor is robust.

    Raises
    ------
    SchemaError, WeightsError, DepthError, CameraError
        As the steps do, before anything is computed.
    """
    from seurat_tracks import scale
    from seurat_tracks.cameras.poses import check_poses, to_world
    from seurat_tracks.depth import resolve_depth

    _check_settings(fuse, strides, iterations)
    validate_for_lift(ds, values=False)
    source = resolve_depth(depth, video=video, affine=True)
    ds = scale.set_intrinsics(ds, intrinsics)
    if poses is not None:
        check_poses(ds, poses)
    if source is not None:
        source.at_tracks(ds)  # faults of the source show before the network runs
    ds = depth_ratio(
        ds,
        model=model,
        device=device,
        fuse=fuse,
        strides=strides,
        iterations=iterations,
        progress=progress,
    )
    out = scale.add_xyz(scale.anchor(ds, source, anchor, affine=affine))
    return out if poses is None else to_world(out, poses)


def _check_settings(fuse: Any, strides: Any, iterations: Any) -> None:
    """Refuse settings that make no sense, all at once."""
    faults = []
    if fuse not in ("windows", "chain"):
        faults.append(f'fuse must be "windows" or "chain", got {fuse!r}')
    try:
        usable = strides is None or (
            all(float(s) == int(s) >= 1 for s in strides) and len(strides) > 0
        )
    except (TypeError, ValueError):
        usable = False
    if not usable:
        faults.append(
            f"strides must be a list of integers from 1, such as (1, 2, 4), got "
            f"{strides!r}"
        )
    if iterations is not None and not (isinstance(iterations, int) and iterations > 0):
        faults.append(
            f"iterations must be an integer from 1, or None for the network's own, got "
            f"{iterations!r}"
        )
    if faults:
        raise SeuratTracksError("; ".join(faults))


def _rows(ds: xr.Dataset, tracks: Sequence[Any]) -> np.ndarray:
    """Positions of the tracks asked for, increasing."""
    ids = ds["track"].values.tolist()
    wanted = np.asarray(tracks).ravel().tolist()
    missing = sorted(set(wanted) - set(ids), key=str)
    if missing or not wanted:
        raise SchemaError(
            f"no track {', '.join(map(repr, missing[:5]))}; ids are like {ids[:3]}"
            if missing
            else "tracks= names no track; leave it out to lift all"
        )
    return np.flatnonzero(np.isin(ds["track"].values, wanted))


def _known_focal(ds: xr.Dataset) -> float | None:
    """Focal length in pixels that the Dataset states; an assumed one is none."""
    intrinsics = ds.attrs.get("intrinsics")
    assumed = str(ds.attrs.get("intrinsics_source", "given")).startswith("assumed")
    if intrinsics is None or assumed:
        return None
    return float(np.sqrt(intrinsics[0] * intrinsics[1]))


def _through_the_lens(
    xy: xr.DataArray, visible: xr.DataArray, ds: xr.Dataset
) -> tuple[xr.DataArray, xr.DataArray]:
    """Undo a stated distortion; points that no ray is known of are hidden."""
    from seurat_tracks.cameras.camera import undistorted

    straight = undistorted(xy, ds)
    if straight is xy:
        return xy, visible
    lost = (xy.notnull() & straight.isnull()).any("coord")
    return straight, visible & ~lost


def _bare(array: xr.DataArray) -> xr.DataArray:
    return array.drop_vars(list(array.coords))


def _cut_positions(ds: xr.Dataset) -> tuple[int, ...]:
    """Turn the frame numbers of cuts into positions on the time axis."""
    cuts = ds.attrs.get("cuts") or []
    return tuple(int(p) for p in np.searchsorted(ds["time"].values, cuts))


def _support(
    ds: xr.Dataset,
    xy: xr.DataArray,
    visible: xr.DataArray,
    model: Pretrained,
    cuts: tuple[int, ...],
    strides: Sequence[int] | None,
    fuse: str,
    frame_size: tuple[int, int],
) -> tuple[WindowPlan, xr.DataArray, xr.DataArray]:
    """Windows with their support: the Dataset's own, or drawn from its tracks."""
    import xarray as xr

    from seurat_tracks.support import MOST, support_from_tracks

    T, length = ds.sizes["time"], model.config.window
    if "support_xy" in ds:
        if ds.sizes["step"] != length:
            raise SchemaError(
                f"model {model.name!r} sees windows of {length} frames, but the "
                f"support was tracked through windows of {ds.sizes['step']}; take "
                "another model, or let support be drawn from the tracks: "
                'ds.drop_dims("window")'
            )
        start = np.searchsorted(ds["time"].values, ds["window_start"].values)
        stride = ds["window_stride"].values
        keep = np.flatnonzero(stride == 1) if fuse == "chain" else slice(None)
        dims = ("window", "support", "step")
        support_xy = _bare(ds["support_xy"].transpose(*dims, "coord"))
        support_visible = _bare(ds["support_visible"].transpose(*dims))
        support_xy, support_visible = _through_the_lens(support_xy, support_visible, ds)
        plan = plan_from_starts(start[keep], stride[keep], T, length=length, cuts=cuts)
        support_xy = support_xy.isel(window=keep)
        support_visible = support_visible.isel(window=keep)
        if support_xy.chunks is not None:
            support_xy = support_xy.chunk(-1)
            support_visible = support_visible.chunk(-1)
        return plan, support_xy, support_visible

    strides = (1,) if fuse == "chain" else strides
    plan = plan_windows(T, length=length, strides=strides, cuts=cuts)
    if xy.chunks is None:
        pair = support_from_tracks(xy.values, visible.values, plan, frame_size)
        return (
            plan,
            xr.DataArray(pair[0], dims=("window", "support", "step", "coord")),
            xr.DataArray(pair[1], dims=("window", "support", "step")),
        )

    def both(tracks: np.ndarray, seen: np.ndarray) -> np.ndarray:
        # one fixed size for the graph: unused places are hidden points
        places, there = support_from_tracks(tracks, seen, plan, frame_size)
        size = min(MOST, tracks.shape[0])
        room = np.full((*plan.frames.shape[:1], size, *places.shape[2:]), np.nan)
        room[:, : places.shape[1]] = np.where(there[..., None], places, np.nan)
        return room.astype(np.float32)

    support_xy = xr.apply_ufunc(
        both,
        xy.chunk(-1),
        visible.chunk(-1),
        input_core_dims=[["track", "time", "coord"], ["track", "time"]],
        output_core_dims=[["window", "support", "step", "coord"]],
        exclude_dims={"coord"},
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={
            "output_sizes": {
                "window": len(plan),
                "support": min(MOST, xy.sizes["track"]),
                "step": plan.frames.shape[1],
                "coord": 2,
            }
        },
    )
    return plan, support_xy, np.isfinite(support_xy).all("coord")


def _reference_frames(visible: xr.DataArray, time: np.ndarray) -> xr.DataArray:
    """First frame number in which each track is seen (the first one, if never)."""
    import xarray as xr

    return xr.apply_ufunc(
        lambda seen: time[seen.argmax(-1)],
        visible.chunk({"time": -1}) if visible.chunks is not None else visible,
        input_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[time.dtype],
    )


def _lift_block(
    xy: np.ndarray,
    visible: np.ndarray,
    support_xy: np.ndarray,
    support_visible: np.ndarray,
    *,
    plan: WindowPlan,
    settings: _Settings,
) -> np.ndarray:
    """Lift a block of tracks (N, T, 2); returns ratio and sigma (N, 2, T)."""
    from seurat_tracks import fusion
    from seurat_tracks.doubt import suspicious_steps
    from seurat_tracks.model.predict import predict_windows
    from seurat_tracks.model.pretrained import cached_network

    N, T = visible.shape
    if N == 0:
        return np.zeros((0, 2, T), np.float32)
    # visible observations alone are read, so that what lies elsewhere cannot matter
    wrong = int((visible & ~np.isfinite(xy).all(-1)).sum())
    if wrong:
        raise SchemaError(
            f"{wrong} observations are marked visible but their xy is not finite; set "
            "visible to False there"
        )
    network = cached_network(settings.weights, settings.digest, settings.device)
    ratio, scale = predict_windows(
        network,
        plan,
        xy,
        visible,
        support_xy,
        support_visible,
        settings.frame_size,
        focal=settings.focal,
        iterations=settings.iterations,
        progress=settings.progress,
    )
    reference = visible.argmax(1)
    if settings.fuse == "chain":
        curve = fusion.chain(plan, ratio, T)
        curve = curve - np.take_along_axis(curve, reference[:, None], 1)
        sigma = np.full_like(curve, np.nan)
    else:
        doubts = suspicious_steps(xy, visible, settings.frame_size, settings.cuts)
        curve, sigma = fusion.solve(
            plan, ratio, scale, visible, reference, doubts.widening
        )
    # nothing links a track across a cut, and nothing is known of one never seen
    group = fusion.linked_frames(plan, T)
    known = np.equal.outer(group[reference], group)
    known[~visible.any(1)] = False
    out = np.stack([curve, sigma], axis=1).astype(np.float32)
    return np.where(known[:, None], out, np.float32(np.nan))
