"""Lift chosen tracks again and leave the others as they are, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seurat_tracks.edits import DERIVED, EditError, checked, rows_of
from seurat_tracks.reasons import ADDED

if TYPE_CHECKING:
    import xarray as xr


def relift(
    ds: xr.Dataset,
    ids: Any,
    *,
    depth: Any = None,
    video: Any = None,
    model: Any = "auto",
    device: str = "auto",
    **settings: Any,
) -> xr.Dataset:
    """Lift some tracks again, after a correction, with the support of all.

    Parameters
    ----------
    ds
        Tracks, lifted before.
    ids
        One id, or several.
    depth, video
        Where metres of these tracks come from, as for `seurat_tracks.lift.lift3d`.
        None keeps what is known: in each visible run the depths keep their median,
        where they had any; relative depths are relative again.
    model, device, settings
        As for `seurat_tracks.lift.depth_ratio`.

    Returns
    -------
    xr.Dataset
        The chosen tracks lifted anew; every value of the others is what it was. The
        support is the Dataset's own; where it has none, it is drawn from all tracks,
        as when all are lifted.

    Raises
    ------
    EditError
        No such track, none named, the Dataset was not lifted, or the depth source's
        unit is not that of the other tracks.
    SeuratTracksError
        As lifting does.
    """
    from seurat_tracks.depth import AtTracks, resolve_depth
    from seurat_tracks.lift import depth_ratio
    from seurat_tracks.scale import RELATIVE_UNITS, add_xyz, anchor

    rows = rows_of(ds, ids)
    if "log_depth_ratio" not in ds:
        raise EditError("these tracks were never lifted: lift them all first")
    source = resolve_depth(depth, video=video)
    units = str(ds.attrs.get("units", ""))
    shared = "depth" in ds and units != RELATIVE_UNITS
    if source is not None and not (shared and source.metric == (units == "m")):
        raise EditError(
            f"{source.name} would give the chosen tracks another unit than the others "
            f'have ("{units or "none"}"): lift all tracks with it instead'
        )
    chosen = ds["track"].values[rows]
    some = depth_ratio(ds, tracks=chosen, model=model, device=device, **settings)
    if shared and source is None:
        # the medians of runs say what was known; nothing is voted on
        before = ds["depth"].transpose("track", "time").isel(track=rows).values
        source = AtTracks(before, metric=units == "m", check=False)
        if not (np.isfinite(before) & (before > 0)).any():
            shared = False  # nothing was known, so nothing is
    if "depth" in ds and (shared or units == RELATIVE_UNITS):
        stated = "median" if depth is None else _anchor_of(ds)
        some = anchor(some, source, stated)
        if "xyz" in ds:
            some = in_world_of(ds, add_xyz(some))
    some = some.compute(scheduler="synchronous")
    out = ds.drop_vars(ADDED, errors="ignore")
    for name in (*DERIVED, "xyz"):
        if name in ds:
            out[name] = _with_rows(ds[name], rows, some.get(name))
    if "reference_frame" in ds.coords:
        reference = ds["reference_frame"].variable.copy(deep=True)
        reference[rows] = some["reference_frame"].values
        out = out.assign_coords(reference_frame=reference)
    return checked(out)


def _anchor_of(ds: xr.Dataset) -> Any:
    """How the Dataset was anchored: "robust" or "median"."""
    return (
        "median" if str(ds.attrs.get("anchor", "")).startswith("median") else "robust"
    )


def in_world_of(ds: xr.Dataset, some: xr.Dataset) -> xr.Dataset:
    """Put positions where a Dataset's are: in the camera's frame or the world's.

    Parameters
    ----------
    ds
        Tracks that may say where the camera was.
    some
        Tracks over the same frames, with xyz in the camera's frame.

    Raises
    ------
    EditError
        If positions are in the world's frame, but nothing says where the camera was.
    """
    if ds.attrs.get("frame_of_reference") != "world":
        return some
    if "camera_to_world" not in ds:
        raise EditError(
            "xyz is in the world's frame, but the Dataset does not say where the "
            "camera was (camera_to_world): lift all tracks with poses instead"
        )
    pose = ds["camera_to_world"].transpose("time", "row", "column").values
    xyz = some["xyz"].transpose("track", "time", "axis")
    moved = np.einsum("tij,ntj->nti", pose[:, :3, :3], xyz.values) + pose[:, :3, 3]
    said = ("frame_of_reference", "poses", "poses_estimated")
    return some.assign(
        xyz=xyz.copy(data=moved.astype(np.float32)),
        camera_to_world=ds["camera_to_world"],
    ).assign_attrs({k: ds.attrs[k] for k in said if k in ds.attrs})


def _with_rows(
    old: xr.DataArray, rows: np.ndarray, new: xr.DataArray | None
) -> xr.DataArray:
    """Give an array in which some tracks are replaced, by NaN where nothing is new."""
    axis = old.get_axis_num("track")
    values = np.moveaxis(np.array(old.values), axis, 0)
    if new is None:
        values[rows] = np.nan
    else:
        rest = [d for d in old.dims if d != "track"]
        values[rows] = new.transpose("track", *rest).values
    return old.copy(data=np.moveaxis(values, 0, axis))
