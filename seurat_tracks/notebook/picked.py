"""Follow points picked by hand, lift them, and join them to a Dataset."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError

_SUPPORT = ("support_xy", "support_visible")


def lift_picked(
    ds: xr.Dataset,
    video: xr.DataArray,
    picks: Sequence[Sequence[float]],
    *,
    depth: Any = None,
    tracker: str = "lk",
    say: Callable[[str], Any] = lambda text: None,
    **settings: Any,
) -> xr.Dataset:
    """Track picked points through the frames of a Dataset, and lift them as it was.

    Parameters
    ----------
    ds
        Tracks, lifted or not.
    video
        Their video, opened.
    picks
        Points as frame number, x, y (pixels).
    depth
        Depth source, as in `seurat_tracks.lift3d`.
    tracker
        As in `seurat_tracks.track`.
    say
        Called with one line at the start of each step.
    **settings
        Of `seurat_tracks.lift3d`.

    Returns
    -------
    Dataset
        The new tracks alone, under ids that ``ds`` does not have; with depth and xyz
        where ``ds`` has them.

    Raises
    ------
    SeuratTracksError
        If there are no picks, the video lacks frames of the Dataset, or the new tracks
        would not get the model and the units of the others; what tracking and lifting
        refuse.
    """
    from seurat_tracks.trackers.track import track

    if not len(picks):
        raise SeuratTracksError(
            'no points are picked: choose the tool "Pick" and click on a frame'
        )
    lifted = "log_depth_ratio" in ds
    if lifted:
        settings = _as_before(ds, depth, settings)
    frames = _frames(ds, video)
    own_support = all(name in ds for name in _SUPPORT)
    say(f"Following {len(picks)} points through {ds.sizes['time']} frames ...")
    new = track(
        frames,
        np.asarray(picks, dtype=np.float64),
        tracker,
        ids=new_ids(ds, len(picks)),
        # the grid of the whole Dataset serves the new points too
        support=lifted and not own_support,
        cuts=ds.attrs.get("cuts") or None,
        progress=False,
    )
    if not lifted:
        return new
    say("Lifting them to 3D ...")
    if own_support:
        new = _with_support(new, ds)
    if settings.get("intrinsics") is None:
        camera = ("intrinsics", "intrinsics_source", "distortion", "lens")
        new.attrs |= {k: ds.attrs[k] for k in camera if k in ds.attrs}
    with warnings.catch_warnings():
        # the explorer's Dataset was lifted under the same assumption, and said so
        warnings.filterwarnings("ignore", "no camera intrinsics", UserWarning)
        if "depth" in ds:
            new = new.seurat.lift3d(depth=depth, **settings)
        else:
            new = new.seurat.depth_ratio(**settings)
    units = [d.attrs.get("units") for d in (ds, new)]
    if "depth" in ds and units[0] != units[1]:
        raise SeuratTracksError(
            f"the tracks' depth is in {units[0]}, and explore(depth=...) gave the new "
            f"ones {units[1]}: give the depth source that the tracks were lifted with"
        )
    return new.drop_dims("window", errors="ignore").compute()


def join(ds: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Put tracks after those of a Dataset.

    Parameters
    ----------
    ds, new
        Tracks over the same frames, without a common id.

    Returns
    -------
    Dataset
        All variables of ``ds``; what the new tracks lack is NaN, False or empty. What
        `quality` said is dropped: it compares tracks with one another.
    """
    from seurat_tracks.reasons import ADDED

    ds = ds.drop_vars([n for n in ADDED if n in ds.variables])
    names = [n for n, v in ds.variables.items() if "track" in v.dims and n != "track"]
    # a name brings its coordinates along, which the two need not have in common
    first, second = (
        d[["track"]].reset_coords(drop=True).assign_coords(time=ds["time"].values)
        for d in (ds, new)
    )
    for name in names:
        first[name] = ds[name].variable
        second[name] = (
            new[name].variable if name in new.variables else _empty(ds[name], new)
        )
    both = xr.concat([first, second], "track", coords="minimal", compat="override")
    out = ds.drop_dims("track")
    out = out.assign_coords(track=both["track"].variable)
    for name in names:
        array = both[name].variable.transpose(*ds[name].dims)
        array.attrs = dict(ds[name].attrs)
        keep = np.dtype(ds[name].dtype)
        if array.dtype != keep and keep.kind == "f":
            array = array.astype(keep)
        out = (
            out.assign_coords({name: array})
            if name in ds.coords
            else out.assign({name: array})
        )
    order = [n for n in ds.data_vars if n in out] + [
        n for n in out.data_vars if n not in ds
    ]
    return out[order].assign_attrs(ds.attrs)


def check_picks(ds: xr.Dataset, points: Sequence[Sequence[float]]) -> list[list[Any]]:
    """Check points to follow: frame numbers of the Dataset, places inside the frame.

    Parameters
    ----------
    ds
        Tracks.
    points
        Frame number, x, y (pixels) of each.

    Returns
    -------
    list
        The same, as JSON takes them.

    Raises
    ------
    SeuratTracksError
        If one is not three numbers, or lies outside.
    """
    try:
        array = np.asarray(points, dtype=np.float64).reshape(len(points), 3)
    except (TypeError, ValueError):
        raise SeuratTracksError(
            f"picks are points as (frame number, x, y), got {points!r}"
        ) from None
    width, height = ds.attrs["frame_size"]
    inside = (array[:, 1:] >= -0.5) & (array[:, 1:] <= (width - 0.5, height - 0.5))
    bad = ~(inside.all(1) & np.isin(array[:, 0], ds["time"].values))
    if bad.any():
        t, x, y = array[bad][0].tolist()
        raise SeuratTracksError(
            f"the point ({t:g}, {x:g}, {y:g}) is not in the tracks' frames: frame "
            f"numbers are {ds['time'].values[0]} to {ds['time'].values[-1]}, x and y "
            f"lie in {width} x {height} pixels"
        )
    return [[int(t), x, y] for t, x, y in array.tolist()]


def new_ids(ds: xr.Dataset, n: int) -> list[Any]:
    """Ids that a Dataset does not have yet, of the same kind."""
    ids = ds["track"].values
    if ids.dtype.kind in "iu":
        first = int(ids.max()) + 1 if len(ids) else 0
        return list(range(first, first + n))
    taken = {str(i) for i in ids}
    out: list[Any] = []
    k = 1
    while len(out) < n:
        if f"picked {k}" not in taken:
            out.append(f"picked {k}")
        k += 1
    return out


def _as_before(ds: xr.Dataset, depth: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Find settings that lift new tracks as those of the Dataset were lifted."""
    from seurat_tracks.cameras.poses import Poses
    from seurat_tracks.model.pretrained import file_hash, find_weights

    source = ds.attrs.get("depth_source", "none")
    if "depth" in ds and source != "none" and depth is None:
        raise SeuratTracksError(
            f"the depth of these tracks is from {source!r}, which the Dataset itself "
            "does not hold: give it with explore(depth=...), so that new tracks get "
            "the same units"
        )
    out = {
        "fuse": ds.attrs.get("fuse", "windows"),
        "model": ds.attrs.get("model", "auto"),
        **settings,
    }
    found, own = file_hash(find_weights(out["model"])), ds.attrs.get("model_hash")
    if own is not None and own != found:
        raise SeuratTracksError(
            f"these tracks were lifted by a model with hash {own}, and "
            f"{out['model']!r} has {found}: give explore(model=...) the same one, or "
            "lift the tracks again"
        )
    if ds.attrs.get("frame_of_reference") == "world" and "camera_to_world" in ds:
        poses = Poses(
            ds["camera_to_world"].values,
            "camera_to_world",
            frames=ds["time"].values,
            source=str(ds.attrs.get("poses", "given")),
        )
        out.setdefault("poses", poses)
    return out


def _frames(ds: xr.Dataset, video: xr.DataArray) -> xr.DataArray:
    """Take the Dataset's frames of the video, as a slice where that is enough."""
    times = ds["time"].values
    have = video["time"].values
    missing = times[~np.isin(times, have)]
    if len(missing):
        raise SeuratTracksError(
            f"the video lacks {len(missing)} of the tracks' frames (first: "
            f"{missing[0]}): points cannot be followed through them"
        )
    at = np.searchsorted(have, times)
    if np.array_equal(at, np.arange(at[0], at[-1] + 1)):
        return video[at[0] : at[-1] + 1]
    return video.isel(time=at)


def _with_support(new: xr.Dataset, ds: xr.Dataset) -> xr.Dataset:
    names = [n for n, v in ds.variables.items() if "window" in v.dims]
    data = {n: ds[n].variable for n in names if n in ds.data_vars}
    return new.assign(data).assign_coords(
        {n: ds[n].variable for n in names if n in ds.coords}
    )


def _empty(like: xr.DataArray, new: xr.Dataset) -> xr.Variable:
    sizes = {d: new.sizes[d] if d == "track" else like.sizes[d] for d in like.dims}
    shape = tuple(sizes.values())
    kind = like.dtype.kind
    if kind == "b":
        return xr.Variable(like.dims, np.zeros(shape, bool))
    if kind in "UTO":
        return xr.Variable(like.dims, np.full(shape, "", dtype=like.dtype))
    if kind in "mM":
        return xr.Variable(like.dims, np.full(shape, np.array("NaT", like.dtype)))
    dtype = like.dtype if kind in "fc" else np.float64
    return xr.Variable(like.dims, np.full(shape, np.nan, dtype))
