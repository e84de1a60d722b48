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
from seurat_tracks.io._movement_grid import (
    OURS,
    Grid,
    all_names,
    build_lazy,
    is_lazy,
    restore,
    stacked,
    times_of,
)
from seurat_tracks.io.poses import (
    build_poses,
    check_threshold,
    need_frame_size,
)
from seurat_tracks.schema import VARIABLES, validate

Names = Literal["auto", "singular", "plural"]

_PAIRS = {
    "singular": ("keypoint", "individual"),
    "plural": ("keypoints", "individuals"),
}
_FIRST_SINGULAR = (0, 17)
_LIKELIHOODS = ("DeepLabCut", "LightningPose")
_WHAT = "a netCDF file of movement"


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
    if f"{OURS}row" in ds:
        return restore(ds, name)
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
    time, seconds, rate = times_of(ds, fps, name)
    individuals, keypoints = all_names(ds)
    xy = stacked(ds["position"].transpose("time", "individual", "keypoint", "space"))
    score = None
    if "confidence" in ds:
        full = ds["confidence"].broadcast_like(ds["position"].isel(space=0, drop=True))
        score = stacked(full.transpose("time", "individual", "keypoint"))
    options: dict[str, Any] = {
        "frame_size": size,
        "fps": rate,
        "time": time,
        "seconds": seconds,
    }
    if not is_lazy(xy) and not is_lazy(score):
        return build_poses(
            xy,
            score,
            individuals=individuals,
            keypoints=keypoints,
            min_confidence=min_confidence,
            source=software,
            **options,
        )
    return build_lazy(
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
    grid = Grid(ds)
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
            out[f"{OURS}{name}"] = grid.spread(ds[name], {}, pair)
    out[f"{OURS}row"] = xr.Variable(pair, grid.rows.astype(np.int64))
    labels = ["x", "y", "z"] if space == "3d" else ["x", "y"]
    coords: dict[str, Any] = {
        "space": labels,
        pair[0]: grid.keypoints,
        pair[1]: grid.individuals,
        f"{OURS}frame": ("time", ds["time"].values.astype(np.int64)),
        "time": ds["time"].values.astype(np.int64),
    }
    if "seconds" in ds.coords:
        coords["time"] = ds["seconds"].values.astype(np.float64)
    made = xr.Dataset(out, coords=coords)
    made.attrs = {k: v for k, v in ds.attrs.items() if v is not None} | {
        "ds_type": "poses",
        "time_unit": "seconds" if "seconds" in ds.coords else "frames",
        "source_software": f"seurat-tracks {__version__}",
        f"{OURS}ids": "integers" if ds["track"].dtype.kind == "i" else "strings",
    }
    for one in ("query_frame", "reference_frame"):
        if one in ds.coords:
            values = grid.per_track(ds[one].values)
            made[f"{OURS}{one}"] = xr.Variable(pair, values)
    made.attrs[f"{OURS}position"] = source
    if "individual" not in ds.coords or "keypoint" not in ds.coords:
        made.attrs[f"{OURS}plain"] = 1
    if "confidence" not in ds:
        made.attrs[f"{OURS}no_confidence"] = 1
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
