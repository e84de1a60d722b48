"""Corrections of tracks: drop, split, hide, merge. Datasets in, new Datasets out.

Each refuses what makes no sense before anything is done, keeps the order of the tracks
that it does not touch, and checks what it made against the contract. What was said of
doubts (`seurat_tracks.reasons.ADDED`) no longer holds after an edit and is left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.reasons import ADDED
from seurat_tracks.schema import VARIABLES, find_faults, validate

if TYPE_CHECKING:
    import xarray as xr

DERIVED = ("log_depth_ratio", "depth_ratio_sigma", "scale", "scale_sigma", "depth")
"""What lifting says of a track in each frame; xyz besides."""


class EditError(SeuratTracksError):
    """An edit does not fit the tracks; the text says why, and nothing was changed."""


def drop(ds: xr.Dataset, ids: Any) -> xr.Dataset:
    """Leave tracks out.

    Parameters
    ----------
    ds
        Tracks after the contract of `seurat_tracks.schema`.
    ids
        One id, or several.

    Returns
    -------
    xr.Dataset
        The other tracks, as they were and in their order. Support stays.

    Raises
    ------
    EditError
        No such track, none named, or none would be left.
    SchemaError
        The Dataset breaks the contract.
    """
    rows = rows_of(ds, ids)
    if len(rows) == ds.sizes["track"]:
        raise EditError(
            "these are all the tracks there are, and a Dataset of none is no use: "
            "keep at least one"
        )
    keep = np.setdiff1d(np.arange(ds.sizes["track"]), rows)
    return checked(ds.isel(track=keep))


def hide(ds: xr.Dataset, ids: Any, first: int, last: int) -> xr.Dataset:
    """Say that tracks are not visible in a span of frames.

    Parameters
    ----------
    ds
        Tracks after the contract of `seurat_tracks.schema`.
    ids
        One id, or several.
    first, last
        Frame numbers, both inclusive.

    Returns
    -------
    xr.Dataset
        With ``visible`` False there; positions stay, and so does depth until the
        tracks are lifted again.

    Raises
    ------
    EditError
        No such track, none named; the span holds no frame, or none in which they are
        seen; or a track would not be seen in any frame.
    SchemaError
        The Dataset breaks the contract.
    """
    rows = rows_of(ds, ids)
    time = ds["time"].values
    span = (time >= first) & (time <= last)
    if not span.any():
        raise EditError(
            f"there is no frame from {first} to {last}: the frames are {time[0]} to "
            f"{time[-1]}"
        )
    seen = _seen(ds, rows)
    if not seen[:, span].any():
        raise EditError(
            f"{_named(ds, rows)} not seen in frames {first} to {last} anyway"
        )
    gone = rows[~seen[:, ~span].any(1)]
    if len(gone):
        raise EditError(
            f"{_named(ds, gone)} seen in no other frame than {first} to {last}: drop "
            "it instead"
        )
    import xarray as xr

    chosen = np.isin(np.arange(ds.sizes["track"]), rows)
    hidden = xr.DataArray(chosen, dims="track") & xr.DataArray(span, dims="time")
    visible = ds["visible"] & ~hidden
    visible = visible.transpose(*ds["visible"].dims).assign_attrs(ds["visible"].attrs)
    return checked(ds.assign(visible=visible))


def split(
    ds: xr.Dataset, track: Hashable, frame: int, new_id: Hashable | None = None
) -> xr.Dataset:
    """Cut a track in two, where it went over from one point to another.

    Parameters
    ----------
    ds
        Tracks after the contract of `seurat_tracks.schema`.
    track
        Its id; the part before keeps it.
    frame
        First frame number of the part after.
    new_id
        Id of the part after; by default one that is free: the largest number and one,
        or the old text with a number.

    Returns
    -------
    xr.Dataset
        With the new track at the end. Each part has nothing in the other's frames,
        and a log depth ratio of 0 at a frame of its own: the first in which it is
        seen, where that is not the track's old reference. Sigma there is an upper
        bound, since how errors of two frames hang together is not kept; lifting the
        parts again gives it. Depth stays, but where it is relative to each track's
        own reference.

    Raises
    ------
    EditError
        No such track or frame, the id is taken or of another kind, or the track is
        not seen on both sides.
    SchemaError
        The Dataset breaks the contract.
    """
    import xarray as xr

    (row,) = rows_of(ds, [track])
    time = ds["time"].values
    if frame not in time:
        raise EditError(
            f"there is no frame {frame}: the frames are {time[0]} to {time[-1]}"
        )
    after = time >= frame
    seen = _seen(ds, np.array([row]))[0]
    for part, where in ((~after, "before"), (after, "from")):
        if not seen[part].any():
            raise EditError(
                f"track {track} is not seen {where} frame {frame}"
                f"{' on' if where == 'from' else ''}: there is nothing to split"
            )
    label = _free_id(ds, track) if new_id is None else _new_id(ds, new_id)
    one = ds.isel(track=[row])
    head, tail = _part(one, ~after), _part(one, after)
    ids = np.append(ds["track"].values, label)
    order = [ds.isel(track=slice(0, row)), head, ds.isel(track=slice(row + 1, None))]
    return checked(_joined(ds, [*order, tail], xr.Variable("track", ids)))


def merge(ds: xr.Dataset, first: Hashable, second: Hashable) -> xr.Dataset:
    """Make one track of two that follow the same point at different times.

    Parameters
    ----------
    ds
        Tracks after the contract of `seurat_tracks.schema`.
    first, second
        Their ids. The one that is seen earlier keeps its id and place.

    Returns
    -------
    xr.Dataset
        Every frame is that of the track which was seen last (before both, of the
        earlier one). In metres, or another unit that all tracks share, depths stay
        and the ratio follows them. Relative depths of two tracks cannot be compared:
        ratio, depth and xyz are then NaN in the later track's frames, until the
        track is lifted again.

    Raises
    ------
    EditError
        No such track, the same one twice, or both are seen in a frame.
    SchemaError
        The Dataset breaks the contract.
    """
    import xarray as xr

    if first == second:
        raise EditError(f"track {first} cannot be merged with itself: choose two")
    rows = rows_of(ds, [first, second])
    seen = _seen(ds, rows)
    time = ds["time"].values
    both = time[seen.all(0)]
    if len(both):
        raise EditError(
            f"{_named(ds, rows)} both seen in {len(both)} frames, {both[0]} to "
            f"{both[-1]}, so they are two points; hide one of them there first if it "
            "is wrong"
        )
    start = np.where(seen.any(1), seen.argmax(1), len(time))
    if start[1] < start[0]:
        rows, seen = rows[::-1], seen[::-1]
    event = np.where(seen[0], 0, np.where(seen[1], 1, -1))
    at = np.maximum.accumulate(np.where(event >= 0, np.arange(len(time)), 0))
    later = event[at] == 1
    early, late = (ds.isel(track=[r]) for r in rows)
    part = xr.DataArray(later, dims="time")
    out = early.copy()
    for name, array in early.data_vars.items():
        if "track" in array.dims and "time" in array.dims:
            # values without ids: the two rows have different ones
            other = array.copy(data=late[name].data)
            out[name] = other.where(part, array).transpose(*array.dims)
            out[name] = out[name].astype(array.dtype).assign_attrs(array.attrs)
    if "log_depth_ratio" in ds:
        out = _one_curve(out, early, part)
    keep = [r for r in range(ds.sizes["track"]) if r != rows[1]]
    place = keep.index(int(rows[0]))
    rest = ds.isel(track=keep)
    order = [rest.isel(track=slice(0, place)), out]
    order.append(rest.isel(track=slice(place + 1, None)))
    ids = xr.Variable("track", ds["track"].values[keep])
    return checked(_joined(ds, order, ids))


def rows_of(ds: xr.Dataset, ids: Any) -> np.ndarray:
    """Give the positions of tracks, in the Dataset's order.

    Raises
    ------
    EditError
        If there is no such track, or none is named.
    SchemaError
        If the Dataset's structure breaks the contract.
    """
    validate(ds, values=False)
    wanted = np.asarray(ids).ravel().tolist() if np.ndim(ids) else [ids]
    if not wanted:
        raise EditError("no track is selected: select at least one")
    place = {t: i for i, t in enumerate(ds["track"].values.tolist())}
    missing = [t for t in wanted if t not in place]
    if missing:
        raise EditError(
            f"there is no track {', '.join(map(str, missing[:5]))}; ids here are like "
            f"{', '.join(map(str, list(place)[:3]))}"
        )
    return np.unique([place[t] for t in wanted])


def _seen(ds: xr.Dataset, rows: np.ndarray) -> np.ndarray:
    """Visibility (track, time) of some tracks."""
    visible = ds["visible"].transpose("track", "time")
    return np.asarray(visible.isel(track=rows).values)


def _named(ds: xr.Dataset, rows: np.ndarray) -> str:
    ids = [str(t) for t in ds["track"].values[rows].tolist()]
    if len(ids) == 1:
        return f"track {ids[0]} is"
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f"tracks {', '.join(ids[:5])}{more} are"


def _free_id(ds: xr.Dataset, track: Hashable) -> Any:
    ids = ds["track"].values
    if ids.dtype.kind in "iu":
        return int(ids.max()) + 1
    taken, number = set(ids.tolist()), 2
    while f"{track}-{number}" in taken:
        number += 1
    return f"{track}-{number}"


def _new_id(ds: xr.Dataset, new_id: Any) -> Any:
    ids = ds["track"].values
    numbers = ids.dtype.kind in "iu"
    right = isinstance(new_id, int | np.integer) and not isinstance(new_id, bool)
    if not (right if numbers else isinstance(new_id, str) and new_id):
        kind = "whole numbers" if numbers else "texts"
        raise EditError(f"the ids here are {kind}, so {new_id!r} cannot be one")
    if new_id in ids.tolist():
        raise EditError(f"there is a track {new_id} already: choose another id")
    return new_id


def _blank(array: xr.DataArray) -> Any:
    """Say "nothing" in a dtype; None where it has no word for that."""
    return {"f": np.nan, "b": False, "U": "", "T": ""}.get(array.dtype.kind)


def _part(one: xr.Dataset, keep: np.ndarray) -> xr.Dataset:
    """One track (track: 1) with nothing but in some frames."""
    import xarray as xr

    part = xr.DataArray(keep, dims="time")
    out = one.copy()
    for name, array in one.data_vars.items():
        blank = _blank(array)
        if "track" in array.dims and "time" in array.dims and blank is not None:
            kept = array.where(part, blank).transpose(*array.dims)
            out[name] = kept.astype(array.dtype).assign_attrs(array.attrs)
    time = one["time"].values
    begin = time[(_seen(one, np.array([0]))[0] & keep).argmax()]
    for name in ("query_frame", "reference_frame"):
        if name in one.coords and one[name].values[0] not in time[keep]:
            if name == "reference_frame":
                out = _with_reference(out, begin)
            moved = np.array([begin], one[name].dtype)
            out = out.assign_coords({name: ("track", moved, one[name].attrs)})
    return out


def _with_reference(one: xr.Dataset, frame: int) -> xr.Dataset:
    """Make the log ratio of one track 0 at a frame; depth stays, if it is shared."""
    from seurat_tracks.scale import RELATIVE_UNITS

    if "log_depth_ratio" not in one:
        return one
    ratio = one["log_depth_ratio"]
    base = ratio.sel(time=frame)
    base = base.drop_vars([c for c in base.coords if c != "track"])
    out = one.assign(log_depth_ratio=_like(ratio, ratio - base))
    if "depth_ratio_sigma" in one:
        sigma = one["depth_ratio_sigma"]
        there = sigma.sel(time=frame, drop=True)
        bound = np.sqrt(sigma**2 + there**2).where(one["time"] != frame, 0.0)
        out["depth_ratio_sigma"] = _like(sigma, bound)
    factor = np.exp(base)
    if one.attrs.get("units") == RELATIVE_UNITS:
        for name in ("depth", "xyz"):
            if name in one:
                out[name] = _like(one[name], one[name] / factor)
    elif "scale" in one:
        out["scale"] = _like(one["scale"], one["scale"] * factor)
    return out


def _like(old: xr.DataArray, new: xr.DataArray) -> xr.DataArray:
    return new.transpose(*old.dims).astype(old.dtype).assign_attrs(old.attrs)


def _one_curve(out: xr.Dataset, early: xr.Dataset, later: xr.DataArray) -> xr.Dataset:
    """Bring the later part to the earlier track's reference, or leave it out."""
    from seurat_tracks.scale import RELATIVE_UNITS

    shared = "depth" in out and out.attrs.get("units") != RELATIVE_UNITS
    if not shared:
        for name in (*DERIVED, "xyz"):
            if name in out:
                out[name] = _like(out[name], out[name].where(~later))
        return out
    # metres per unit ratio as at the earlier track's reference frame
    unit = (early["depth"] / np.exp(early["log_depth_ratio"])).median("time")
    ratio = np.log(out["depth"] / unit)
    own = out["log_depth_ratio"]
    out["log_depth_ratio"] = _like(own, ratio.where(later, own))
    if "scale" in out:
        out["scale"] = _like(out["scale"], out["scale"].where(~later, unit))
    if "depth_ratio_sigma" in out:
        # how the two references lie to one another is known as well as the scale is
        sigma = out["depth_ratio_sigma"]
        out["depth_ratio_sigma"] = _like(sigma, sigma.where(~later))
    return out


def _joined(ds: xr.Dataset, pieces: Iterable[xr.Dataset], ids: Any) -> xr.Dataset:
    """Put tracks together again under their ids; everything else is the Dataset's."""
    import xarray as xr

    per_track = [str(n) for n, v in ds.variables.items() if "track" in v.dims]
    per_track = [n for n in per_track if n != "track"]
    pieces = [
        p[[n for n in per_track if n in p.data_vars]].drop_vars("track")
        for p in pieces
        if p.sizes["track"]
    ]
    joined = xr.concat(
        pieces,
        "track",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    out = ds.drop_dims("track").assign_coords(track=("track", ids.values))
    out["track"].attrs = ds["track"].attrs
    for name in per_track:
        old, new = ds[name], joined[name]
        bare = new.transpose(*old.dims).astype(old.dtype).variable
        bare.attrs = old.attrs
        out = out.assign_coords({name: bare}) if name in ds.coords else out
        if name not in ds.coords:
            out[name] = bare
    return out[list(ds.data_vars)]


def checked(out: xr.Dataset) -> xr.Dataset:
    """Give an edit's result; refuse one that breaks the contract.

    Values of lazy arrays are not read.

    Raises
    ------
    EditError
        Lists what is wrong.
    """
    out = out.drop_vars(ADDED, errors="ignore")
    lazy = any(v.chunks is not None for v in out.variables.values())
    there = [name for name in VARIABLES if name in out]
    faults = find_faults(out, require=there, values=not lazy)
    if faults:
        raise EditError(
            "the tracks would break the contract after this edit, so nothing was "
            "changed: " + "; ".join(faults)
        )
    return out
