"""What is to be lifted, from a folder, a table or a list; every fault said at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import pandas as pd

VIDEO_SUFFIXES = (
    *(".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv"),
    *(".ts", ".webm", ".wmv"),
)
"""Files of a folder that are taken for videos; a list or table may name any."""

COLUMNS = ("path", "name", "depth", "fov")
"""Columns of a table of inputs; all but the first may be missing, or empty in a row."""

Kind = Literal["store", "tracks", "video"]


@dataclass(frozen=True)
class Input:
    """One video, store or file of tracks.

    Attributes
    ----------
    path, kind
        Where it is, and what.
    name
        Name of its output, without the ending.
    settings
        What a table says of it alone, as settings of `seurat_tracks.lift3d`.
    """

    path: Path
    kind: Kind
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


def read_inputs(sources: Any) -> list[Input]:
    """List the inputs.

    Parameters
    ----------
    sources
        A folder, whose videos, stores and files of tracks are taken, in order of their
        names; a CSV file or DataFrame with a column ``path``, and if wanted ``name``,
        ``depth`` and ``fov``; or a list of paths. Paths in a CSV file count from its
        folder.

    Returns
    -------
    list of Input

    Raises
    ------
    SeuratTracksError
        If there is nothing, a table has no paths, a path does not exist, or two inputs
        would have outputs of one name; lists every fault.
    """
    import pandas as pd

    if isinstance(sources, pd.DataFrame):
        rows = _rows(sources, "the table", Path())
    elif isinstance(sources, str | os.PathLike):
        rows = _named(Path(sources).expanduser())
    elif isinstance(sources, Sequence):
        rows = [{"path": Path(p).expanduser()} for p in sources]
        if not rows:
            raise SeuratTracksError("there is nothing to lift: the list is empty")
    else:
        raise SeuratTracksError(
            f"sources must be a folder, a table (CSV or DataFrame) or a list of paths, "
            f"got {type(sources).__name__}"
        )
    faults = [f"{r['path']}: there is no such file" for r in rows if _absent(r["path"])]
    inputs = [_input(row) for row in rows if not _absent(row["path"])]
    owner: dict[str, Path] = {}
    for one in inputs:
        if not one.name or Path(one.name).name != one.name:
            faults.append(f"{one.path}: {one.name!r} cannot be the name of a store")
        # names that differ in case alone are one file on many disks
        key = one.name.casefold()
        if owner.get(key) == one.path:
            faults.append(
                f"{one.path} is listed twice with the name {one.name}: leave one out, "
                "or give names, in a table with the columns path and name"
            )
        elif key in owner:
            faults.append(
                f"{owner[key]} and {one.path} would both be written to "
                f"{one.name}.zarr: give them names, in a table with the columns path "
                "and name"
            )
        owner[key] = one.path
    if faults:
        raise SeuratTracksError("; ".join(faults))
    return inputs


def _absent(path: Path) -> bool:
    return not path.exists()


def _named(path: Path) -> list[dict[str, Any]]:
    """Rows of a folder or of a CSV file."""
    import pandas as pd

    if path.is_dir() and not (path / "zarr.json").is_file():
        found = [p for p in sorted(path.iterdir()) if _looks_like_input(p)]
        if not found:
            raise SeuratTracksError(
                f"{path}: there is no video, store or file of tracks in it. A folder "
                f"of images is given in a list: [{str(path)!r}]"
            )
        return [{"path": p} for p in found]
    if not path.exists():
        raise SeuratTracksError(f"{path}: there is no such folder or table")
    if path.suffix.lower() != ".csv":
        raise SeuratTracksError(
            f"{path}: neither a folder nor a table (.csv). One video is lifted by "
            "seurat-tracks lift; or give it in a list"
        )
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise SeuratTracksError(f"{path}: not a readable CSV: {error}") from None
    return _rows(table, str(path), path.parent)


def _rows(table: pd.DataFrame, what: str, folder: Path) -> list[dict[str, Any]]:
    table = table.rename(columns=lambda name: str(name).strip())
    if "path" not in table.columns:
        raise SeuratTracksError(
            f"{what} has no column 'path' (its columns: "
            f"{', '.join(map(str, table.columns)) or 'none'}); a table of inputs has "
            f"the columns {', '.join(COLUMNS)}, of which the first is needed"
        )
    unknown = [str(c) for c in table.columns if c not in COLUMNS]
    if unknown:
        raise SeuratTracksError(
            f"{what} has columns that mean nothing here: {', '.join(unknown)}; known "
            f"are {', '.join(COLUMNS)}"
        )
    if table["path"].isna().any():
        first = int(table["path"].isna().to_numpy().argmax())
        raise SeuratTracksError(f"{what}: row {first} (from 0) has no path")
    if not len(table):
        raise SeuratTracksError(f"{what} has no rows: there is nothing to lift")
    rows: list[dict[str, Any]] = []
    for record in table.to_dict("records"):
        row = {str(k): v for k, v in record.items() if not _is_empty(v)}
        row["path"] = folder / Path(str(row["path"]).strip()).expanduser()
        rows.append(row)
    return rows


def _is_empty(value: Any) -> bool:
    """Whether a cell is empty."""
    import pandas as pd

    return bool(pd.isna(value))


def _input(row: dict[str, Any]) -> Input:
    path: Path = row["path"]
    settings: dict[str, Any] = {}
    if "depth" in row:
        settings["depth"] = row["depth"]
        try:
            settings["depth"] = float(row["depth"])
        except (TypeError, ValueError):
            settings["depth"] = str(row["depth"]).strip()
    if "fov" in row:
        settings["intrinsics"] = {"fov": float(row["fov"])}
    name = str(row.get("name", path.stem)).strip().removesuffix(".zarr")
    return Input(path.absolute(), kind_of(path), name, settings)


def kind_of(path: Path) -> Kind:
    """Say how a file or folder is taken."""
    from seurat_tracks.errors import FormatError
    from seurat_tracks.io.formats import recognise

    if path.is_dir():
        return "store" if (path / "zarr.json").is_file() else "video"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "video"
    try:
        recognise(path)
    except FormatError:
        return "video"
    return "tracks"


def _looks_like_input(path: Path) -> bool:
    """Whether a file of a folder is meant, and not something that lies beside."""
    from seurat_tracks.io.video import IMAGE_SUFFIXES

    if path.name.startswith("."):
        return False
    if path.is_dir():
        return (path / "zarr.json").is_file() or any(
            p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir()
        )
    return path.suffix.lower() in VIDEO_SUFFIXES or kind_of(path) == "tracks"
