"""Tracks -> log depth ratio -> depth -> xyz, lazily.

Every function takes and returns Datasets; with Dask-backed input nothing is computed
while the graph is built.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.schema import validate_for_lift
from seurat_tracks.windows import (
    WindowPlan,
    plan_from_starts,
    plan_windows,
    split_windows,
    window_piece,
)
from seurat_tracks.workers import alone_on, current_client, device_of_workers

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.depth.base import DepthSource
    from seurat_tracks.model.pretrained import Pretrained
    from seurat_tracks.model.speed import Precision
    from seurat_tracks.scale import Anchor
    from seurat_tracks.shift import Affine

Fuse = Literal["windows", "chain"]

PIECE_FRAMES = 1024
"""Frames in which the windows of one lazy task begin, about."""

_LARGE = 2**28
"""Bytes of lazy tracks from which it is better to read them twice than to hold them."""

_FUSED_AT_ONCE = 2_000_000  # track-frames whose windows are put together at once

_loading = threading.Lock()


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
    progress: bool | None
    precision: str
    compiled: bool


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
    rows = slice(None) if tracks is None else _rows(ds, tracks)
    device = device_of_workers(device, current_client() if lazy else None)
    settings: dict[str, Any] = {
        "fuse": fuse,
        "strides": strides,
        "iterations": iterations,
        "precision": precision,
        "compile": compile,
    }
    prepared = prepare(ds, model, device, progress=progress, **settings)
    return _add_ratios(ds.isel(track=rows), prepared)


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
    device = device_of_workers(device, current_client() if lazy else None)
    settings: dict[str, Any] = {
        "fuse": fuse,
        "strides": strides,
        "iterations": iterations,
        "precision": precision,
        "compile": compile,
    }
    prepared = prepare(ds, model, device, progress=progress, **settings)
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

    out = _add_ratios(ds, prepared)
    out = scale.add_xyz(scale.anchor(out, source, anchor, affine=affine, fit=fit))
    return out if poses is None else to_world(out, poses)


@dataclass(frozen=True)
class Prepared:
    """All that lifting needs beside the tracks: windows with their support, settings.

    ``pieces`` and ``support`` belong together: windows by number, and
    (window, support, step, coord) of these.
    """

    settings: _Settings
    info: Pretrained
    plan: WindowPlan
    pieces: list[np.ndarray]
    support: list[tuple[xr.DataArray, xr.DataArray]]


def validate_settings(ds: xr.Dataset, fuse: Any, strides: Any, iterations: Any) -> bool:
    """Refuse settings and tracks that make no sense; say whether the tracks are lazy.

    Raises
    ------
    SchemaError, SeuratTracksError
        As `depth_ratio`.
    """
    _check_settings(fuse, strides, iterations)
    validate_for_lift(ds, values=False)
    lazy = ds["xy"].chunks is not None
    if not lazy:
        validate_for_lift(ds)
    return lazy


def prepare(
    ds: xr.Dataset,
    model: str | os.PathLike[str],
    device: str,
    *,
    fuse: Any = "windows",
    strides: Sequence[int] | None = None,
    iterations: int | None = None,
    precision: Precision = "auto",
    compile: bool = False,
    progress: bool | None = None,
    support: list[xr.DataArray] | None = None,
) -> Prepared:
    """Plan the windows of tracks that were validated, lazily if they are lazy.

    Parameters
    ----------
    ds
        All tracks.
    device
        A torch device of those that will do the work.
    model, fuse, strides, iterations, precision, compile, progress
        As for `depth_ratio`.
    support
        The places of `Prepared.support` as they were drawn earlier from the same lazy
        tracks; None draws them.
    """
    from seurat_tracks.model.pretrained import find_weights, load_model, shipped_models
    from seurat_tracks.model.speed import resolve_precision

    path = find_weights(model)
    info = load_model(path)
    cuts = _cut_positions(ds)
    frame_size = tuple(int(v) for v in ds.attrs["frame_size"])
    settings = _Settings(
        # workers on other machines have the shipped weights elsewhere
        weights=info.name if info.name in shipped_models() else str(path.resolve()),
        digest=info.hash,
        device=device,
        fuse=fuse,
        iterations=iterations,
        frame_size=(frame_size[0], frame_size[1]),
        cuts=cuts,
        focal=_known_focal(ds),
        progress=progress if ds["xy"].chunks is None else False,
        precision=resolve_precision(precision, device),
        compiled=compile,
    )
    plan, pieces, pairs = _support(
        ds, info, cuts, strides, fuse, settings.frame_size, support
    )
    return Prepared(settings, info, plan, pieces, pairs)


def _tracks(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Positions and visibility with the lens undone; lazy ones in chunks of tracks."""
    from seurat_tracks.cameras.camera import straight

    xy = _bare(ds["xy"].transpose("track", "time", "coord"))
    visible = _bare(ds["visible"].transpose("track", "time"))
    xy, visible = straight(xy, visible, ds)
    if xy.chunks is not None:
        xy = xy.chunk({"coord": -1})
        visible = visible.chunk({"track": xy.chunksizes["track"]})
    return xy, visible


def _add_ratios(ds: xr.Dataset, prepared: Prepared) -> xr.Dataset:
    """Give tracks their ratios, with the support of all tracks."""
    import xarray as xr

    from seurat_tracks import reasons
    from seurat_tracks.scale import DERIVED

    settings, info, plan = prepared.settings, prepared.info, prepared.plan
    xy, visible = _tracks(ds)
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
    window = ["window", "support", "step"]
    support_dims = [[*window, "coord"], window]
    if xy.chunks is None:
        answer = xr.apply_ufunc(
            _lift_block,
            xy,
            visible,
            *prepared.support[0],
            kwargs={"plan": plan, "settings": settings},
            input_core_dims=[["time", "coord"], ["time"], *support_dims],
            output_core_dims=[["answer", "time"]],
        )
    else:
        answers: list[xr.DataArray] = []
        for index, (places, seen) in zip(
            prepared.pieces, prepared.support, strict=True
        ):
            part, frames = window_piece(plan, index)
            answer = xr.apply_ufunc(
                _predict_block,
                xy.isel(time=frames).chunk({"time": -1}),
                visible.isel(time=frames).chunk({"time": -1}),
                places,
                seen,
                kwargs={"plan": part, "settings": settings},
                input_core_dims=[["time", "coord"], ["time"], *support_dims],
                output_core_dims=[["window", "step", "kind"]],
                exclude_dims={"window"},
                dask="parallelized",
                output_dtypes=[np.float32],
                dask_gufunc_kwargs={
                    "output_sizes": {
                        "window": len(part),
                        "step": part.frames.shape[1],
                        "kind": 2,
                    }
                },
            )
            answers.append(answer.rename(window=f"window_{len(answers)}"))
        answer = xr.apply_ufunc(
            _fuse_block,
            xy.chunk({"time": -1}),
            visible.chunk({"time": -1}),
            *answers,
            kwargs={"plan": plan, "pieces": prepared.pieces, "settings": settings},
            input_core_dims=[
                ["time", "coord"],
                ["time"],
                *([f"window_{i}", "step", "kind"] for i in range(len(answers))),
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
        fuse=settings.fuse,
    )


def learn_source(
    ds: xr.Dataset, prepared: Prepared, measured: Any, affine: Affine | None
) -> xr.DataArray:
    """Learn how a depth source errs from some tracks that are lifted for it alone.

    Their ratios as parts of all would have to wait for all.
    """
    from seurat_tracks import scale

    some = scale.learning_tracks(ds.sizes["track"])
    sample = _read_again(ds[["xy", "visible"]].isel(track=some)).chunk({"track": -1})
    sample.attrs = ds.attrs
    lifted = _add_ratios(sample, prepared)
    part = measured.isel(track=some)
    return scale.source_fit(
        lifted["log_depth_ratio"],
        lifted["visible"],
        part,
        lifted["depth_ratio_sigma"],
        affine=affine,
    )


def _read_again(arrays: Any) -> Any:
    """Detach large lazy arrays from others that read the same chunks.

    Dask would otherwise hold every chunk from its first use to its last.
    """
    from dask.graph_manipulation import clone

    return clone(arrays) if arrays.nbytes > _LARGE else arrays


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


def _bare(array: xr.DataArray) -> xr.DataArray:
    return array.drop_vars(list(array.coords))


def _cut_positions(ds: xr.Dataset) -> tuple[int, ...]:
    """Turn the frame numbers of cuts into positions on the time axis."""
    cuts = ds.attrs.get("cuts") or []
    return tuple(int(p) for p in np.searchsorted(ds["time"].values, cuts))


def _support(
    ds: xr.Dataset,
    model: Pretrained,
    cuts: tuple[int, ...],
    strides: Sequence[int] | None,
    fuse: str,
    frame_size: tuple[int, int],
    drawn: list[xr.DataArray] | None,
) -> tuple[WindowPlan, list[np.ndarray], list[tuple[xr.DataArray, xr.DataArray]]]:
    """Windows with their support: the Dataset's own, or drawn from its tracks.

    In pieces of time for lazy tracks, else in one.
    """
    import xarray as xr

    from seurat_tracks.cameras.camera import straight
    from seurat_tracks.support import MOST, lazy_support, support_from_tracks

    T, length = ds.sizes["time"], model.config.window
    lazy = ds["xy"].chunks is not None

    def cut(plan: WindowPlan) -> list[np.ndarray]:
        return split_windows(plan, T, PIECE_FRAMES if lazy else T)

    dims = ("window", "support", "step", "coord")
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
        keep = np.arange(len(start))
        if fuse == "chain":
            keep = np.flatnonzero(stride == 1)
        support_xy = _bare(ds["support_xy"].transpose(*dims))
        support_visible = _bare(ds["support_visible"].transpose(*dims[:-1]))
        support_xy, support_visible = straight(support_xy, support_visible, ds)
        plan = plan_from_starts(start[keep], stride[keep], T, length=length, cuts=cuts)
        pieces = cut(plan)
        support = [
            (support_xy.isel(window=keep[i]), support_visible.isel(window=keep[i]))
            for i in pieces
        ]
        if support_xy.chunks is not None:
            support = [(a.chunk(-1), b.chunk(-1)) for a, b in support]
        return plan, pieces, support

    strides = (1,) if fuse == "chain" else strides
    plan = plan_windows(T, length=length, strides=strides, cuts=cuts)
    pieces = cut(plan)
    if drawn is not None:
        return plan, pieces, [(a, a.notnull().all("coord")) for a in drawn]
    xy, visible = _tracks(ds)
    if not lazy:
        pair = support_from_tracks(xy.values, visible.values, plan, frame_size)
        return (
            plan,
            pieces,
            [(xr.DataArray(pair[0], dims=dims), xr.DataArray(pair[1], dims=dims[:-1]))],
        )
    both = xr.Dataset({"xy": xy, "visible": visible})
    xy, visible = (v for v in _read_again(both).data_vars.values())
    support = []
    for index in pieces:
        part, frames = window_piece(plan, index)
        places = lazy_support(
            xy.isel(time=frames),
            visible.isel(time=frames),
            part,
            frame_size,
            min(MOST, xy.sizes["track"]),
        )
        support.append((places, places.notnull().all("coord")))
    return plan, pieces, support


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
    """Lift tracks (N, T, 2) in memory; returns ratio and sigma (N, 2, T)."""
    ratio, scale = _predicted(
        xy, visible, support_xy, support_visible, plan=plan, settings=settings
    )
    return _fused(xy, visible, ratio, scale, plan, settings)


def _predict_block(
    xy: np.ndarray,
    visible: np.ndarray,
    support_xy: np.ndarray,
    support_visible: np.ndarray,
    *,
    plan: WindowPlan,
    settings: _Settings,
) -> np.ndarray:
    """Log ratio and log error scale (N, W, K, 2) of a block of tracks and windows."""
    both = _predicted(
        xy, visible, support_xy, support_visible, plan=plan, settings=settings
    )
    return np.stack([np.moveaxis(a, 1, 0) for a in both], -1)


def _predicted(
    xy: np.ndarray,
    visible: np.ndarray,
    support_xy: np.ndarray,
    support_visible: np.ndarray,
    *,
    plan: WindowPlan,
    settings: _Settings,
) -> tuple[np.ndarray, np.ndarray]:
    from seurat_tracks.model.predict import predict_windows
    from seurat_tracks.model.pretrained import cached_network

    # visible observations alone are read, so that what lies elsewhere cannot matter
    wrong = int((visible & ~np.isfinite(xy).all(-1)).sum())
    if wrong:
        raise SchemaError(
            f"{wrong} observations are marked visible but their xy is not finite; set "
            "visible to False there"
        )
    with _loading:  # threads that come first would load it more than once
        network = cached_network(
            settings.weights,
            settings.digest,
            settings.device,
            settings.precision,
            settings.compiled,
        )
    with alone_on(settings.device):
        return predict_windows(
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


def _fuse_block(
    xy: np.ndarray,
    visible: np.ndarray,
    *answers: np.ndarray,
    plan: WindowPlan,
    pieces: list[np.ndarray],
    settings: _Settings,
) -> np.ndarray:
    """Make curves of the answers (N, W, K, 2) of all pieces; as `_lift_block`."""
    N, T = visible.shape
    out = np.empty((N, 2, T), np.float32)
    order = np.argsort(np.concatenate(pieces))
    many = max(1, _FUSED_AT_ONCE // T)
    for begin in range(0, N, many):
        rows = slice(begin, begin + many)
        both = np.concatenate([a[rows] for a in answers], 1)[:, order]
        ratio, scale = np.moveaxis(both, (3, 1), (0, 1))
        out[rows] = _fused(xy[rows], visible[rows], ratio, scale, plan, settings)
    return out


def _fused(
    xy: np.ndarray,
    visible: np.ndarray,
    ratio: np.ndarray,
    scale: np.ndarray,
    plan: WindowPlan,
    settings: _Settings,
) -> np.ndarray:
    """Ratio and sigma (N, 2, T) from the windows' answers (W, N, K)."""
    from seurat_tracks import fusion
    from seurat_tracks.doubt import suspicious_steps

    N, T = visible.shape
    if N == 0:
        return np.zeros((0, 2, T), np.float32)
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
