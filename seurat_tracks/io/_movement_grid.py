"""How movement's arrays and ours lie over each other: keypoints, individuals, times."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.arrays import from_arrays
from seurat_tracks.io.poses import (
    DEFAULT_INDIVIDUAL,
    frames_from_seconds,
    named,
    track_ids,
)
from seurat_tracks.schema import VARIABLES, annotate, validate

OURS = "seurat_tracks_"
"""Begins the names of what movement does not know and we read back."""


class Grid:
    """Where each track goes among keypoints and individuals."""

    def __init__(self, ds: xr.Dataset) -> None:
        n = ds.sizes["track"]
        if "individual" in ds.coords and "keypoint" in ds.coords:
            whose = [str(v) for v in ds["individual"].values]
            which = [str(v) for v in ds["keypoint"].values]
        else:
            whose = [str(v) for v in ds["track"].values]
            which = ["point"] * n
        self.individuals = list(dict.fromkeys(whose))
        self.keypoints = list(dict.fromkeys(which))
        column = {name: i for i, name in enumerate(self.individuals)}
        row = {name: i for i, name in enumerate(self.keypoints)}
        self.rows = np.full((len(row), len(column)), -1)
        twice = []
        for track, (a, b) in enumerate(zip(which, whose, strict=True)):
            if self.rows[row[a], column[b]] >= 0:
                twice.append(f"{b}/{a}")
            self.rows[row[a], column[b]] = track
        if twice:
            raise SeuratTracksError(
                f"these individuals and keypoints are there twice: {sorted(twice)}. "
                "Cure: ds.drop_vars(['individual', 'keypoint']), and every track "
                "becomes an individual"
            )

    def spread(
        self, array: xr.DataArray, rename: dict[str, str], pair: tuple[str, str]
    ) -> xr.Variable:
        """Turn (track, time[, last]) into (time[, last], keypoint, individual)."""
        variable = array.variable.transpose("track", "time", ...)
        data = variable.data
        flat = self.rows.ravel()
        missing = flat < 0
        taken = data[np.where(missing, 0, flat)]
        if missing.any():
            fill = False if data.dtype == bool else np.array(np.nan, data.dtype)
            shape = (-1, *[1] * (data.ndim - 1))
            where = missing.reshape(shape)
            import dask.array as da

            taken = (da if is_lazy(taken) else np).where(where, fill, taken)
        taken = taken.reshape((*self.rows.shape, *data.shape[1:]))
        order = [2, *range(3, taken.ndim), 0, 1]
        dims = [rename.get(str(d), str(d)) for d in variable.dims[1:]]
        attrs = {k: v for k, v in array.attrs.items() if v is not None}
        return xr.Variable((*dims, *pair), taken.transpose(order), attrs)

    def per_track(self, values: np.ndarray) -> np.ndarray:
        """Spread one integer a track; -1 where there is no such track."""
        return np.where(self.rows < 0, -1, values[self.rows]).astype(np.int64)


def restore(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Undo `to_movement`; positions are those of now, filtered or not."""
    sources = _sources(ds)
    if not {"xy", "visible"} <= set(sources) or f"{OURS}frame" not in ds:
        raise SeuratTracksError(f"{name} lacks variables that to_movement wrote")
    rows = ds[f"{OURS}row"].transpose("individual", "keypoint").values
    flat = rows.ravel()
    kept = np.flatnonzero(flat >= 0)
    order = kept[np.argsort(flat[kept], kind="stable")]
    individuals, keypoints = all_names(ds)
    whose = [individuals[i] for i in order]
    which = [keypoints[i] for i in order]
    plain = bool(ds.attrs.get(f"{OURS}plain", 0))
    ids: list[Any] = whose if plain else track_ids(whose, which)
    if plain and ds.attrs.get(f"{OURS}ids") == "integers":
        ids = [int(v) for v in ids]
    variables: dict[str, Any] = {}
    for key, source in sources.items():
        last = [d for d in VARIABLES[key].dims if d not in ("track", "time")]
        source = source.transpose("time", "individual", "keypoint", ...)
        data = stacked(source)[:, order].swapaxes(0, 1)
        variables[key] = (("track", "time", *last), data.astype(VARIABLES[key].dtype))
    coords: dict[str, Any] = {
        "track": np.asarray(ids),
        "time": ds[f"{OURS}frame"].values.astype(np.int64),
        "coord": ["x", "y"],
    }
    if "xyz" in variables:
        coords["axis"] = ["x", "y", "z"]
    if ds.attrs.get("time_unit") == "seconds":
        coords["seconds"] = ("time", ds["time"].values.astype(np.float64))
    if not plain:
        coords["individual"] = ("track", np.asarray(whose, dtype=np.str_))
        coords["keypoint"] = ("track", np.asarray(which, dtype=np.str_))
    for key in ("query_frame", "reference_frame"):
        if f"{OURS}{key}" in ds:
            values = ds[f"{OURS}{key}"].transpose("individual", "keypoint").values
            coords[key] = ("track", values.ravel()[order])
    out = xr.Dataset(variables, coords=coords)
    for key, source in sources.items():
        out[key].attrs = dict(source.attrs)
    shown = out["xy"].notnull().all("coord")
    out["visible"] = out["visible"].copy(data=out["visible"].data & shown.data)
    theirs = {"ds_type", "time_unit", "source_software", "log"}
    out.attrs = {
        k: _plain(v)
        for k, v in ds.attrs.items()
        if k not in theirs and not k.startswith(OURS)
    }
    # netCDF makes one number of a list of one
    if "cuts" in out.attrs:
        out.attrs["cuts"] = np.atleast_1d(out.attrs["cuts"]).tolist()
    out = annotate(out)
    validate(out, values=not any(is_lazy(v.data) for v in out.data_vars.values()))
    return out


def _sources(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Find what holds each of our variables in a Dataset of `to_movement`."""
    found = {key: ds[OURS + key] for key in VARIABLES if OURS + key in ds}
    if "confidence" in ds and not ds.attrs.get(f"{OURS}no_confidence"):
        found["confidence"] = ds["confidence"]
    found[str(ds.attrs.get(f"{OURS}position"))] = ds["position"]
    return {key: found[key] for key in VARIABLES if key in found}


def build_lazy(
    xy: Any,
    score: Any,
    individuals: list[str],
    keypoints: list[str],
    software: str,
    min_confidence: float,
    options: dict[str, Any],
) -> xr.Dataset:
    """Do what `build_poses` does, for dask arrays."""
    import dask.array as da

    xy = da.asarray(xy)
    finite = da.isfinite(xy).all(axis=-1)
    xy = da.where(finite[..., None], xy, np.nan)
    visible = finite
    if score is not None:
        score = da.clip(da.asarray(score), 0, 1)
        none_given = da.isnan(score).all()
        visible = finite & (none_given | (score > min_confidence))
    ds = from_arrays(
        xy,
        visible,
        confidence=score,
        ids=track_ids(individuals, keypoints),
        axes="time track",
        **options,
    )
    return named(ds, individuals, keypoints, software, min_confidence)


def times_of(
    ds: xr.Dataset, fps: float | None, name: str
) -> tuple[np.ndarray, np.ndarray | None, float | None]:
    """Return frame numbers, seconds if they are known, and the rate."""
    values = ds["time"].values
    if fps is None and ds.attrs.get("fps") is not None:
        fps = float(ds.attrs["fps"])
    unit = ds.attrs.get("time_unit")
    if values.dtype.kind in "iu" and unit != "seconds":
        return values.astype(np.int64), None, fps
    if values.dtype.kind == "m":
        values = values / np.timedelta64(1, "s")
    if values.dtype.kind not in "iuf":
        raise SeuratTracksError(f"{name}: its times are {values.dtype}, not numbers")
    if unit == "frames":
        whole = np.isfinite(values) & (values == np.rint(values))
        if not whole.all():
            raise SeuratTracksError(f"{name}: its times are no whole frame numbers")
        return values.astype(np.int64), None, fps
    time, rate = frames_from_seconds(name, values, fps)
    return time, values.astype(np.float64), rate


def all_names(ds: xr.Dataset) -> tuple[list[str], list[str]]:
    """Name the individual and the keypoint of every place, individual by individual."""
    whose = [DEFAULT_INDIVIDUAL]
    which = ["keypoint_0"]
    if "individual" in ds.coords:
        whose = [str(v) for v in ds["individual"].values]
    elif ds.sizes["individual"] > 1:
        whose = [f"individual_{i}" for i in range(ds.sizes["individual"])]
    if "keypoint" in ds.coords:
        which = [str(v) for v in ds["keypoint"].values]
    elif ds.sizes["keypoint"] > 1:
        which = [f"keypoint_{i}" for i in range(ds.sizes["keypoint"])]
    return [i for i in whose for _ in which], which * len(whose)


def stacked(array: xr.DataArray) -> Any:
    """Reshape (time, individual, keypoint[, last]) to (time, track[, last])."""
    data = array.data
    return data.reshape((data.shape[0], data.shape[1] * data.shape[2], *data.shape[3:]))


def is_lazy(array: Any) -> bool:
    return hasattr(array, "dask")


def _plain(value: Any) -> Any:
    """Turn what netCDF makes of JSON values back."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
