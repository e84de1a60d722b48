"""Every file that tracks are read from and written to, and the two doors to them.

`read` recognises a format from what the file holds; its ending only decides between
formats that hold the same. `export` chooses by the ending of the name. A new format is
a record in `FORMATS`; ``docs/formats.md`` says what each holds and loses.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr

from seurat_tracks.errors import FormatError

KEEPS = MappingProxyType(
    {
        "ids": "integer ids of the tracks",
        "names": "ids that are strings",
        "all_tracks": "tracks that are never visible",
        "visibility": "which points are seen",
        "hidden": "positions guessed while hidden",
        "confidence": "the tracker's trust",
        "time": "frame numbers that do not start at 0",
        "frame_size": "width and height of the video",
        "fps": "frames per second",
        "3d": "positions in the camera's frame",
        "depth_ratio": "log depth ratio and its standard error",
        "units": "units and other attributes",
        "own": "variables and coordinates of the caller's own",
        "support": "support tracks",
    }
)
"""What a format may keep, by name."""

_HEAD = 2**16
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    name
        What ``format=`` takes.
    meaning
        What the file is, in a few words.
    looked_for
        What it is recognised by.
    endings
        Ends of names, the usual one first; of several that fit a name, the longest
        counts.
    recognises
        (path, first bytes) -> bool, or "module:function"; "" for what is only written.
    read, write
        "module:function", imported when first used; "" where there is none.
    keeps
        Keys of `KEEPS`.
    folder
        Whether the path is, or may be, a folder.
    """

    name: str
    meaning: str
    looked_for: str
    endings: tuple[str, ...]
    recognises: str | Callable[[Path, bytes], bool]
    read: str = ""
    write: str = ""
    keeps: frozenset[str] = frozenset()
    folder: bool = False

    def matches(self, path: Path, head: bytes) -> bool:
        """Say whether a file is of this format, by what it holds."""
        test = self.recognises
        if not test:
            return False
        return bool((_load(test) if isinstance(test, str) else test)(path, head))

    def reader(self) -> Callable[..., xr.Dataset]:
        """Return the function that reads it."""
        return _load(self.read)

    def writer(self) -> Callable[..., Path]:
        """Return the function that writes it."""
        return _load(self.write)

    def fitting_ending(self, name: str) -> str:
        """Return the longest of its endings that a name has, or ""."""
        fits = [e for e in self.endings if name.lower().endswith(e)]
        return max(fits, key=len, default="")


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _hdf5(place: str) -> Callable[[Path, bytes], bool]:
    """Ask a module, given as "module:function", about HDF5 files alone."""
    return lambda path, head: head.startswith(_HDF5) and bool(_load(place)(path))


def _is_deeplabcut(path: Path, head: bytes) -> bool:
    table = b"scorer" in head[:16]
    if table or head.startswith(_HDF5):
        return bool(_load(_IO + "deeplabcut:recognises")(path))
    return False


def _is_zarr(path: Path, head: bytes) -> bool:
    return path.is_dir() and any((path / n).is_file() for n in ("zarr.json", ".zgroup"))


_IO = "seurat_tracks.io."
_EVERYTHING = frozenset(KEEPS) - {"support"}
_ARRAYS = frozenset(
    {"ids", "names", "all_tracks", "visibility", "hidden", "time", "frame_size", "fps"}
)

_RECORDS = (
    Format(
        "zarr",
        "store of this package",
        "a folder with zarr.json",
        (".zarr",),
        _is_zarr,
        _IO + "store:open_store",
        _IO + "store:save",
        frozenset(KEEPS),
        folder=True,
    ),
    Format(
        "csv",
        "long table, one row a track and frame",
        "a line of names with a track (or id, particle), a frame (or t, time), x and y",
        (".csv",),
        _IO + "table:recognises",
        _IO + "table:read_csv",
        _IO + "table:write_csv",
        _EVERYTHING,
    ),
    Format(
        "parquet",
        "long table, one row a track and frame",
        "bytes PAR1",
        (".parquet", ".pq"),
        _IO + "parquet:recognises",
        _IO + "parquet:read_parquet",
        _IO + "parquet:write_parquet",
        _EVERYTHING,
    ),
    Format(
        "cotracker",
        "what CoTracker's predictors give",
        "npz with tracks or pred_tracks (1, time, track, 2); npy of that shape",
        (".npz", ".npy", ".cotracker.npz"),
        _IO + "cotracker:recognises",
        _IO + "cotracker:read_cotracker",
        _IO + "cotracker:write_cotracker",
        _ARRAYS | {"confidence"},
    ),
    Format(
        "tapvid",
        "tracks of TAP-Vid",
        "npz with points or target_points, and occluded",
        (".npz", ".tapvid.npz"),
        _IO + "tapvid:recognises",
        _IO + "tapvid:read_tapvid",
        _IO + "tapvid:write_tapvid",
        _ARRAYS,
    ),
    Format(
        "tapvid3d",
        "true or predicted 3D tracks of TAPVid-3D",
        "npz with tracks_XYZ and visibility",
        (".npz", ".tapvid3d.npz"),
        _IO + "tapvid3d:recognises",
        _IO + "tapvid3d:read_tapvid3d",
        _IO + "tapvid3d:write_tapvid3d",
        frozenset({"all_tracks", "visibility", "hidden", "3d"}),
    ),
    Format(
        "pointodyssey",
        "a sequence of PointOdyssey",
        "npz with trajs_2d, or a folder with anno.npz",
        (".npz", ".pointodyssey.npz"),
        _IO + "pointodyssey:recognises",
        _IO + "pointodyssey:read_pointodyssey",
        _IO + "pointodyssey:write_pointodyssey",
        frozenset({"visibility", "hidden", "3d"}),
        folder=True,
    ),
    Format(
        "trackmate",
        "TrackMate: its own XML, its export of tracks, its table of spots",
        "XML with <TrackMate> or <Tracks>; a table with TRACK_ID, FRAME, POSITION_X, "
        "POSITION_Y",
        (".xml", ".trackmate.csv"),
        _IO + "trackmate:recognises",
        _IO + "trackmate:read_trackmate",
        _IO + "trackmate:write_trackmate",
        frozenset({"ids", "visibility", "time", "frame_size", "fps"}),
    ),
    Format(
        "napari",
        "table of napari's Tracks layer",
        "a table with just ID, T, (Z), Y, X; npy (row, 4 or 5)",
        (".napari.csv", ".napari.npy"),
        _IO + "napari_table:recognises",
        _IO + "napari_table:read_napari",
        _IO + "napari_table:write_napari",
        frozenset({"ids", "visibility", "time"}),
    ),
    Format(
        "movement",
        "netCDF file of movement",
        "HDF5 with position over time, space, keypoints and individuals",
        (".nc", ".movement.nc"),
        _hdf5(_IO + "movement:recognises"),
        _IO + "movement:read_movement",
        _IO + "movement:write_movement",
        frozenset(KEEPS) - {"own", "support"},
    ),
    Format(
        "deeplabcut",
        "DeepLabCut or Lightning Pose, one animal or several",
        "a table that begins with scorer, (individuals,) bodyparts, coords; HDF5 with "
        "a pandas frame of these columns",
        (".csv", ".h5"),
        _is_deeplabcut,
        _IO + "deeplabcut:read_deeplabcut",
    ),
    Format(
        "sleap",
        "SLEAP project or analysis file",
        "HDF5 with metadata, instances, frames; or with tracks and node_names",
        (".slp", ".h5"),
        _hdf5(_IO + "sleap:recognises"),
        _IO + "sleap:read_sleap",
    ),
    Format(
        "nwb",
        "Neurodata Without Borders with ndx-pose",
        "HDF5 with nwb_version and a PoseEstimation",
        (".nwb",),
        _hdf5(_IO + "nwb:recognises"),
        _IO + "nwb:read_nwb",
    ),
    Format("rrd", "recording of rerun", "", (".rrd",), "", write=_IO + "rrd:write_rrd"),
    Format(
        "ply", "points of all frames", "", (".ply",), "", write=_IO + "ply:write_ply"
    ),
    Format(
        "glb",
        "animated glTF, for Blender",
        "",
        (".glb",),
        "",
        write=_IO + "gltf:write_glb",
    ),
    Format(
        "colmap",
        "text model of COLMAP",
        "",
        (".colmap",),
        "",
        write=_IO + "colmap:write_colmap",
        folder=True,
    ),
)

FORMATS: Mapping[str, Format] = MappingProxyType({f.name: f for f in _RECORDS})
"""Every format by name."""


def recognise(path: str | os.PathLike[str]) -> Format:
    """Say which format a file is of.

    Parameters
    ----------
    path
        A file or folder.

    Returns
    -------
    Format

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    FormatError
        If it is of none, or of several that its ending does not tell apart; lists
        what was looked for.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head:
            raise FormatError(f"{path} is empty")
        if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
            raise FormatError(
                f"{path} is a pickle, which could run anything, and is not read: load "
                "it where it was made and save plain arrays with np.savez"
            )
    found = [f for f in FORMATS.values() if f.read and f.matches(path, head)]
    if len(found) > 1:
        lengths = {f.name: len(f.fitting_ending(path.name)) for f in found}
        longest = max(lengths.values())
        best = [f for f in found if lengths[f.name] == longest]
        if longest and len(best) == 1:
            return best[0]
        names = ", ".join(f"{f.name} ({f.looked_for})" for f in found)
        raise FormatError(
            f"{path} may be of several formats: {names}. Say which, "
            f"format={found[0].name!r}"
        )
    if not found:
        looked = "\n".join(
            f"- {f.name}: {f.looked_for}" for f in FORMATS.values() if f.read
        )
        holds = "a folder" if path.is_dir() else f"first bytes {head[:16]!r}"
        raise FormatError(
            f"{path} is of no format that is known ({holds}). Looked for:\n{looked}\n"
            "Give format= if it is one of these, or build a Dataset with "
            "seurat_tracks.from_arrays"
        )
    return found[0]


def read(
    path: str | os.PathLike[str], format: str | None = None, **options: Any
) -> xr.Dataset:
    """Read tracks from any known file.

    Parameters
    ----------
    path
        A file, or a folder for formats that are one.
    format
        A key of `FORMATS`. None: recognised from what the file holds.
    **options
        Of the format's reader: ``frame_size=(width, height)`` wherever the file does
        not say it, ``fps``, and others, which its docstring lists.

    Returns
    -------
    xarray.Dataset
        Under the contract of `seurat_tracks.schema`.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    FormatError
        If the format is not known, the file cannot be read, or does not say enough.

    See Also
    --------
    seurat_tracks.open : open a Zarr store lazily.
    """
    chosen = _named(format, "read") if format is not None else recognise(path)
    function = chosen.reader()
    _check_options(chosen, function, options, path)
    return function(path, **options)


def export(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    format: str | None = None,
    **options: Any,
) -> Path:
    """Write tracks to any known file.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`.
    path
        What is written; in place only when whole.
    format
        A key of `FORMATS`. None: the one format that has the ending of `path`.
    **options
        Of the format's writer: ``overwrite=True`` to replace what is there, and
        others, which its docstring lists.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    FormatError
        If the ending says no format or several, or the path is taken.
    SchemaError
        If the Dataset breaks the contract.

    Warns
    -----
    UserWarning
        Names what the format has no place for.
    """
    chosen = _named(format, "write") if format is not None else _by_ending(Path(path))
    function = chosen.writer()
    _check_options(chosen, function, options, path)
    return function(ds, path, **options)


def _named(name: str, way: str) -> Format:
    able = [f.name for f in FORMATS.values() if getattr(f, way)]
    if name not in able:
        raise FormatError(
            f"format is {name!r}; those with a way to {way} are {', '.join(able)}"
        )
    return FORMATS[name]


def _by_ending(path: Path) -> Format:
    fits = {
        f.name: len(f.fitting_ending(path.name)) for f in FORMATS.values() if f.write
    }
    longest = max(fits.values())
    found = [name for name, length in fits.items() if length == longest and length]
    if len(found) == 1:
        return FORMATS[found[0]]
    if found:
        raise FormatError(
            f"{path}: several formats end so: {', '.join(found)}. Say which, "
            f"format={found[0]!r}, or by the name, as in "
            f"{path.stem}.{found[0]}{path.suffix}"
        )
    known = "; ".join(
        f"{f.name} ({', '.join(f.endings)})" for f in FORMATS.values() if f.write
    )
    raise FormatError(
        f"{path}: no format ends so. Give format=, or one of these endings: {known}"
    )


def _check_options(
    chosen: Format,
    function: Callable[..., Any],
    options: Mapping[str, Any],
    path: str | os.PathLike[str],
) -> None:
    """Refuse options that a reader or writer does not take, before it runs."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    taken = [p.name for p in parameters if p.name not in ("ds", "path")]
    unknown = sorted(set(options) - set(taken))
    if unknown:
        raise FormatError(
            f"{os.fspath(path)}: the format {chosen.name} takes no "
            f"{', '.join(unknown)}; its options are {', '.join(taken)}"
        )
