"""Datasets of `movement`: 2D poses in, 2D or 3D tracks out, lazily both ways.

`movement` itself is not needed: its Datasets are built under its published layout, and
its own validation passes on them. Until 0.17 it called the dimensions ``keypoints`` and
``individuals``, since then ``keypoint`` and ``individual``; both are read, and the ones
of the installed version are written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from seurat_tracks._version import __version__
from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.io._files import note_lost, writing
from seurat_tracks.io._hdf5 import errors_of, holds, is_hdf5
from seurat_tracks.io.arrays import from_arrays
from seurat_tracks.io.poses import (
    DEFAULT_INDIVIDUAL,
    build_poses,
    check_threshold,
    frames_from_seconds,
    named,
    need_frame_size,
    track_ids,
)
from seurat_tracks.schema import VARIABLES, annotate, validate

Names = Literal["auto", "singular", "plural"]

_PAIRS = {
    "singular": ("keypoint", "individual"),
    "plural": ("keypoints", "individuals"),
}
_FIRST_SINGULAR = (0, 17)
_LIKELIHOODS = ("DeepLabCut", "LightningPose")
_WHAT = "a netCDF file of movement"
_OURS = "seurat_tracks_"
"""Begins the names of what movement does not know and we read back."""


def from_movement(
    ds: xr.Dataset,
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    min_confidence: float | None = None,
    name: str = "the Dataset",
) -> xr.Dataset:
    """Take the poses of a `movement` Dataset as tracks.

    Parameters
    ----------
    ds
        With ``position`` (time, space, keypoint, individual) in pixels and
        ``confidence``, under the old plural or the new singular names, in any order
        of dimensions; or what `to_movement` made. Lazy variables stay lazy.
    frame_size
        Width and height of the video in pixels; `movement` does not keep it.
    fps
        Frames per second, where the Dataset has times in seconds and no ``fps``.
    min_confidence
        A keypoint counts as seen where its confidence is above this. None: 0.6 for
        poses of DeepLabCut and Lightning Pose (the ``pcutoff`` of the one, whose
        networks place every point in every frame), else 0.
    name
        What errors call it.

    Returns
    -------
    xarray.Dataset
        Tracks ``individual/keypoint``, individual by individual, with both names as
        coordinates; ``xy`` pixels as they are; ``visible``; ``confidence``. NaN as
        confidence is not seen, unless all are NaN, as `movement` has it where a
        program gives none. Times in seconds become frame numbers, round(seconds x
        fps). A Dataset of `to_movement` comes back with ids, order, visibility and
        everything else that it carried.

    Raises
    ------
    SeuratTracksError
        If it is not of `movement`, ``frame_size`` or ``fps`` is missing, or positions
        are 3D and not from `to_movement`.
    SchemaError
        If the tracks break the contract.
    """
    faults = []
    found = [n for n, pair in _PAIRS.items() if set(pair) <= set(ds.dims)]
    if "position" not in ds:
        faults.append("there is no position")
    elif set(ds["position"].dims) != {
        "time",
        "space",
        *(_PAIRS[found[0]] if found else ()),
    }:
        faults.append(
            f"position has the dimensions {ds['position'].dims}, expected time, "
            "space, keypoint, individual (or keypoints, individuals)"
        )
    for dim in ("time", "space"):
        if dim in ds.dims and dim not in ds.coords:
            faults.append(f"the dimension {dim} has no coordinate")
    if faults:
        raise SeuratTracksError(f"{name} is not of movement: {'; '.join(faults)}")
    keypoint, individual = _PAIRS[found[0]]
    ds = ds.rename({keypoint: "keypoint", individual: "individual"})
    if not (ds.sizes["keypoint"] and ds.sizes["individual"]):
        raise SeuratTracksError(f"{name}: there are no keypoints or no individuals")
    if f"{_OURS}row" in ds:
        return _restore(ds, name)
    space = [str(v) for v in ds["space"].values]
    if space != ["x", "y"]:
        raise SeuratTracksError(
            f"{name} has the space {space}; only positions in the image (x, y) can be "
            "lifted"
        )
    software = str(ds.attrs.get("source_software", "movement"))
    if min_confidence is None:
        min_confidence = 0.6 if software in _LIKELIHOODS else 0.0
    check_threshold(min_confidence)
    size = need_frame_size(name, ds.attrs.get("frame_size"), frame_size)
    time, seconds, rate = _times(ds, fps, name)
    individuals, keypoints = _all_names(ds)
    xy = _stacked(ds["position"].transpose("time", "individual", "keypoint", "space"))
    score = None
    if "confidence" in ds:
        full = ds["confidence"].broadcast_like(ds["position"].isel(space=0, drop=True))
        score = _stacked(full.transpose("time", "individual", "keypoint"))
    options: dict[str, Any] = {
        "frame_size": size,
        "fps": rate,
        "time": time,
        "seconds": seconds,
    }
    if not _lazy(xy) and not _lazy(score):
        return build_poses(
            xy,
            score,
            individuals=individuals,
            keypoints=keypoints,
            min_confidence=min_confidence,
            source=software,
            **options,
        )
    return _build_lazy(
        xy, score, individuals, keypoints, software, min_confidence, options
    )


def to_movement(
    ds: xr.Dataset,
    *,
    space: Literal["auto", "2d", "3d"] = "auto",
    names: Names = "auto",
    only_seen: bool = False,
) -> xr.Dataset:
    """Give tracks as a `movement` Dataset of poses.

    Parameters
    ----------
    ds
        Tracks under the contract of `seurat_tracks.schema`. With the coordinates
        ``individual`` and ``keypoint`` (track) these become the dimensions; otherwise
        every track is an individual, named by its id, with one keypoint ``point``.
    space
        "3d": position is ``xyz``, with the space x, y, z (x right, y down, z forward).
        "2d": position is ``xy`` in pixels. "auto": 3D where there is ``xyz``.
    names
        "plural": ``keypoints``, ``individuals``, as `movement` had them before 0.17;
        "singular": ``keypoint``, ``individual``. "auto": those of the installed
        `movement`, singular where there is none.
    only_seen
        Set position to NaN where the point is not seen. Otherwise what the tracker
        guessed, and the lifting made of it, stays.

    Returns
    -------
    xarray.Dataset
        ``position`` (time, space, keypoint, individual) and ``confidence`` (1 and 0
        for seen and hidden where the tracker gave none); ``time`` in seconds where
        known, else frame numbers; the attributes that `movement` wants, and ours.
        Positions say their units. Further variables named ``seurat_tracks_...``, which
        `movement` ignores, carry xy, visibility and the rest for `from_movement`.
        Lazy variables stay lazy.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract, or has no ``xyz`` though "3d" is asked.
    SeuratTracksError
        If an option is unknown, or two tracks are the same keypoint of the same
        individual.
    """
    validate(ds, values=False)
    if space not in ("auto", "2d", "3d"):
        raise SeuratTracksError(f'space is {space!r}; give "auto", "2d" or "3d"')
    if space == "auto":
        space = "3d" if "xyz" in ds else "2d"
    if space == "3d" and "xyz" not in ds:
        raise SchemaError(
            'there is no xyz, so space="3d" is not possible: ds.seurat.lift3d() first, '
            'or give space="2d"'
        )
    pair = _PAIRS[_naming(names)]
    source, last = ("xyz", "axis") if space == "3d" else ("xy", "coord")
    grid = _Grid(ds)
    seen = ds["visible"].transpose("track", "time")
    position = ds[source].transpose("track", "time", last)
    units = position.attrs.get("units", "px" if space == "2d" else "m")
    if only_seen:
        position = position.where(seen)
    confidence = ds.get("confidence", seen.astype(np.float32))
    out = {
        "position": grid.spread(position, {last: "space"}, pair),
        "confidence": grid.spread(confidence, {}, pair),
    }
    out["position"].attrs |= {"units": units}
    for name, spec in VARIABLES.items():
        carried = name in ds and spec.dims[:2] == ("track", "time")
        if carried and name not in (source, "confidence"):
            out[f"{_OURS}{name}"] = grid.spread(ds[name], {}, pair)
    out[f"{_OURS}row"] = xr.Variable(pair, grid.rows.astype(np.int64))
    labels = ["x", "y", "z"] if space == "3d" else ["x", "y"]
    coords: dict[str, Any] = {
        "space": labels,
        pair[0]: grid.keypoints,
        pair[1]: grid.individuals,
        f"{_OURS}frame": ("time", ds["time"].values.astype(np.int64)),
        "time": ds["time"].values.astype(np.int64),
    }
    if "seconds" in ds.coords:
        coords["time"] = ds["seconds"].values.astype(np.float64)
    made = xr.Dataset(out, coords=coords)
    made.attrs = {k: v for k, v in ds.attrs.items() if v is not None} | {
        "ds_type": "poses",
        "time_unit": "seconds" if "seconds" in ds.coords else "frames",
        "source_software": f"seurat-tracks {__version__}",
        f"{_OURS}ids": "integers" if ds["track"].dtype.kind == "i" else "strings",
    }
    for one in ("query_frame", "reference_frame"):
        if one in ds.coords:
            values = grid.per_track(ds[one].values)
            made[f"{_OURS}{one}"] = xr.Variable(pair, values)
    made.attrs[f"{_OURS}position"] = source
    if "individual" not in ds.coords or "keypoint" not in ds.coords:
        made.attrs[f"{_OURS}plain"] = 1
    if "confidence" not in ds:
        made.attrs[f"{_OURS}no_confidence"] = 1
    return made


def read_movement(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    min_confidence: float | None = None,
    lazy: bool = False,
) -> xr.Dataset:
    """Read a netCDF file that `movement` or `write_movement` wrote.

    Parameters
    ----------
    path
        The file.
    frame_size, fps, min_confidence
        As in `from_movement`.
    lazy
        True leaves the variables on disk, as dask arrays; their values are then
        checked only by an explicit ``validate``.

    Returns
    -------
    xarray.Dataset
        As `from_movement` gives it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If it is damaged or not of `movement`, and as in `from_movement`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    options: dict[str, Any] = {
        "frame_size": frame_size,
        "fps": fps,
        "min_confidence": min_confidence,
        "name": str(path),
    }
    with errors_of(path, _WHAT):
        if lazy:
            opened = xr.open_dataset(path, engine=_engine(path), chunks={})
            return from_movement(opened, **options)
        with xr.open_dataset(path, engine=_engine(path)) as opened:
            loaded = opened.load()
    return from_movement(loaded, **options)


def write_movement(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    space: Literal["auto", "2d", "3d"] = "auto",
    names: Names = "auto",
    only_seen: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write tracks as a netCDF file that `movement` opens.

    Parameters
    ----------
    ds, space, names, only_seen
        As in `to_movement`. Lazy variables are computed and written chunk by chunk.
    path
        The file; it is there once it is complete.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SchemaError, SeuratTracksError
        As `to_movement`; or no netCDF library is installed.

    Warns
    -----
    UserWarning
        Names the variables that are not carried.
    """
    made = to_movement(ds, space=space, names=names, only_seen=only_seen)
    for name in made.variables:
        made[name].encoding = {}
    _need_h5netcdf(Path(path))
    with writing(path, overwrite=overwrite) as partial:
        made.to_netcdf(partial, engine="h5netcdf")
    carried = [n for n, v in VARIABLES.items() if v.dims[:2] == ("track", "time")]
    lost = [str(n) for n in ds.data_vars if n not in carried]
    note_lost(Path(path), "movement", lost)
    return Path(path)


def recognises(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is a netCDF file of `movement`, by its content.

    Parameters
    ----------
    path
        Any path; it need not exist.

    Returns
    -------
    bool
    """
    return holds(
        path,
        lambda file: (
            "position" in file and any(set(p) <= set(file) for p in _PAIRS.values())
        ),
    )


class _Grid:
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

            taken = (da if _lazy(taken) else np).where(where, fill, taken)
        taken = taken.reshape((*self.rows.shape, *data.shape[1:]))
        order = [2, *range(3, taken.ndim), 0, 1]
        dims = [rename.get(str(d), str(d)) for d in variable.dims[1:]]
        attrs = {k: v for k, v in array.attrs.items() if v is not None}
        return xr.Variable((*dims, *pair), taken.transpose(order), attrs)

    def per_track(self, values: np.ndarray) -> np.ndarray:
        """Spread one integer a track; -1 where there is no such track."""
        return np.where(self.rows < 0, -1, values[self.rows]).astype(np.int64)


def _restore(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Undo `to_movement`; positions are those of now, filtered or not."""
    sources = _sources(ds)
    if not {"xy", "visible"} <= set(sources) or f"{_OURS}frame" not in ds:
        raise SeuratTracksError(f"{name} lacks variables that to_movement wrote")
    rows = ds[f"{_OURS}row"].transpose("individual", "keypoint").values
    flat = rows.ravel()
    kept = np.flatnonzero(flat >= 0)
    order = kept[np.argsort(flat[kept], kind="stable")]
    individuals, keypoints = _all_names(ds)
    whose = [individuals[i] for i in order]
    which = [keypoints[i] for i in order]
    plain = bool(ds.attrs.get(f"{_OURS}plain", 0))
    ids: list[Any] = whose if plain else track_ids(whose, which)
    if plain and ds.attrs.get(f"{_OURS}ids") == "integers":
        ids = [int(v) for v in ids]
    variables: dict[str, Any] = {}
    for key, source in sources.items():
        last = [d for d in VARIABLES[key].dims if d not in ("track", "time")]
        source = source.transpose("time", "individual", "keypoint", ...)
        data = _stacked(source)[:, order].swapaxes(0, 1)
        variables[key] = (("track", "time", *last), data.astype(VARIABLES[key].dtype))
    coords: dict[str, Any] = {
        "track": np.asarray(ids),
        "time": ds[f"{_OURS}frame"].values.astype(np.int64),
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
        if f"{_OURS}{key}" in ds:
            values = ds[f"{_OURS}{key}"].transpose("individual", "keypoint").values
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
        if k not in theirs and not k.startswith(_OURS)
    }
    # netCDF makes one number of a list of one
    if "cuts" in out.attrs:
        out.attrs["cuts"] = np.atleast_1d(out.attrs["cuts"]).tolist()
    out = annotate(out)
    validate(out, values=not any(_lazy(v.data) for v in out.data_vars.values()))
    return out


def _sources(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Find what holds each of our variables in a Dataset of `to_movement`."""
    found = {key: ds[_OURS + key] for key in VARIABLES if _OURS + key in ds}
    if "confidence" in ds and not ds.attrs.get(f"{_OURS}no_confidence"):
        found["confidence"] = ds["confidence"]
    found[str(ds.attrs.get(f"{_OURS}position"))] = ds["position"]
    return {key: found[key] for key in VARIABLES if key in found}


def _build_lazy(
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


def _times(
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


def _all_names(ds: xr.Dataset) -> tuple[list[str], list[str]]:
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


def _stacked(array: xr.DataArray) -> Any:
    """Reshape (time, individual, keypoint[, last]) to (time, track[, last])."""
    data = array.data
    return data.reshape((data.shape[0], data.shape[1] * data.shape[2], *data.shape[3:]))


def _lazy(array: Any) -> bool:
    return hasattr(array, "dask")


def _plain(value: Any) -> Any:
    """Turn what netCDF makes of JSON values back."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _naming(names: str) -> str:
    if names in _PAIRS:
        return names
    if names != "auto":
        raise SeuratTracksError(
            f'names is {names!r}; give "auto", "singular" or "plural"'
        )
    try:
        version = metadata.version("movement").split(".")
        return (
            "singular" if tuple(map(int, version[:2])) >= _FIRST_SINGULAR else "plural"
        )
    except (metadata.PackageNotFoundError, ValueError):
        return "singular"


def _engine(path: Path) -> str:
    """Name the library that reads the file."""
    if not is_hdf5(path):
        raise SeuratTracksError(f"{path} is not {_WHAT}: it is no netCDF-4 file")
    _need_h5netcdf(path)
    return "h5netcdf"


def _need_h5netcdf(path: Path) -> None:
    try:
        import h5netcdf  # noqa: F401
    except ImportError:
        raise SeuratTracksError(
            f'{path}: netCDF needs h5netcdf: pip install "seurat-tracks[movement]"'
        ) from None
