"""Tracks -> log depth ratio -> depth -> xyz, lazily.

Every function takes and returns Datasets; with Dask-backed input nothing is computed
while the graph is built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seurat_tracks.ratios.graph import add_ratios
from seurat_tracks.ratios.prepare import Prepared, prepare, read_again
from seurat_tracks.ratios.settings import Fuse, positions_of, validate_settings
from seurat_tracks.workers import current_client, device_of_workers

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.depth.base import DepthSource
    from seurat_tracks.model.speed import Precision
    from seurat_tracks.scale import Anchor
    from seurat_tracks.shift import Affine


def depth_ratio(
    ds: xr.Dataset,
    *,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fuse: Fuse = "windows",
    strides: Sequence[int] | None = None,
    iterations: int | None = None,
    precision: Precision = "auto",
    compile: bool = False,
    tracks: Sequence[Any] | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Say how the depth of every track changes over time.

    Parameters
    ----------
    ds
        Tracks: ``xy`` (track, time, coord) pixels and ``visible`` (track, time); with
        ``support_xy`` and ``support_visible`` where a video was at hand. Without
        them, support is drawn from the tracks themselves. The attribute
        ``intrinsics``, unless assumed, tells the network the camera.
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
    precision
        "float32", "bfloat16", or "auto": bfloat16 on CUDA, float32 elsewhere. What
        each costs and brings is in docs/speed.md.
    compile
        Let torch.compile fuse the network's layers: worth its minute for many tracks
        on a GPU.
    tracks
        Ids of the tracks to lift, all by default; the answer holds these alone, in the
        Dataset's order. Support drawn from tracks is drawn from all, so that the
        answer is the same as when all are lifted.
    progress
        True or False for a bar or none; None: a bar in a notebook or on a terminal.
        Lazy tracks are lifted later: `save` has a bar, and Dask's
        (``dask.diagnostics.ProgressBar``) shows how far ``compute`` has come.

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
    lazy = validate_settings(ds, fuse, strides, iterations)
    rows = slice(None) if tracks is None else positions_of(ds, tracks)
    prepared = prepare(
        ds,
        model,
        device_of_workers(device, current_client() if lazy else None),
        fuse=fuse,
        strides=strides,
        iterations=iterations,
        precision=precision,
        compile=compile,
        progress=progress,
    )
    return add_ratios(ds.isel(track=rows), prepared)


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
    precision: Precision = "auto",
    compile: bool = False,
    progress: bool | None = None,
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
    model, device, fuse, strides, iterations, precision, compile, progress
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
    from seurat_tracks.cameras.poses import check_poses
    from seurat_tracks.depth import resolve_depth

    lazy = validate_settings(ds, fuse, strides, iterations)
    source = resolve_depth(depth, video=video, affine=True)
    ds = scale.set_intrinsics(ds, intrinsics)
    if poses is not None:
        check_poses(ds, poses)
    measured = None
    if source is not None:
        # faults of the source show before the network runs
        measured = source.at_tracks(ds)
    prepared = prepare(
        ds,
        model,
        device_of_workers(device, current_client() if lazy else None),
        fuse=fuse,
        strides=strides,
        iterations=iterations,
        precision=precision,
        compile=compile,
        progress=progress,
    )
    fit = None
    if lazy and scale.learns(source, anchor):
        fit = learn_source(ds, prepared, measured, scale.affine_of(source, affine))
    return lift_prepared(
        ds, prepared, source, anchor=anchor, affine=affine, poses=poses, fit=fit
    )


def lift_prepared(
    ds: xr.Dataset,
    prepared: Prepared,
    source: DepthSource | None,
    *,
    anchor: Anchor = "robust",
    affine: Affine | None = None,
    poses: Any = None,
    fit: xr.DataArray | None = None,
) -> xr.Dataset:
    """Do what `lift3d` does, with all that is shared by the tracks given.

    Parameters
    ----------
    ds
        Tracks that state their camera.
    prepared
        What `prepare` gave for all tracks, of which `ds` may be a part.
    source, anchor, affine, fit
        As for `seurat_tracks.scale.anchor`.
    poses
        As for `lift3d`.
    """
    from seurat_tracks import scale
    from seurat_tracks.cameras.poses import to_world

    out = add_ratios(ds, prepared)
    out = scale.add_xyz(scale.anchor(out, source, anchor, affine=affine, fit=fit))
    return out if poses is None else to_world(out, poses)


def learn_source(
    ds: xr.Dataset, prepared: Prepared, measured: Any, affine: Affine | None
) -> xr.DataArray:
    """Learn how a depth source errs from some tracks that are lifted for it alone.

    Their ratios as parts of all would have to wait for all.
    """
    from seurat_tracks import scale

    some = scale.learning_tracks(ds.sizes["track"])
    sample = read_again(ds[["xy", "visible"]].isel(track=some)).chunk({"track": -1})
    sample.attrs = ds.attrs
    lifted = add_ratios(sample, prepared)
    part = measured.isel(track=some)
    return scale.source_fit(
        lifted["log_depth_ratio"],
        lifted["visible"],
        part,
        lifted["depth_ratio_sigma"],
        affine=affine,
    )
