"""The table of napari's Tracks layer: ID, T, (Z), Y, X a row.

The layer takes an array (row, 4 or 5), "ID, T, (Z), Y, X", sorted by ID and T, with
integer ids, T at least 0 and no NaN (``napari/layers/tracks/tracks.py`` and
``_track_utils.py``, napari/napari). Its pixel centres are at integers. napari writes
no file of tracks itself; people save the array with ``np.save``, or with a line of
names as CSV.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.geometry import project, resolve_intrinsics
from seurat_tracks.io import _files, _foreign, _npy, _text
from seurat_tracks.io._rows import Rows
from seurat_tracks.schema import annotate, validate

NAMES = (("id", "t", "y", "x"), ("id", "t", "z", "y", "x"))
"""Column names, in small letters."""

Z = ("camera", "ignore")
"""What a column Z may be taken for."""


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a file is such a table, by its names or its shape."""
    if head.startswith(_npy.MAGIC):
        header = _npy.npy_header(path)
        return (
            header is not None and len(header.shape) == 2 and header.shape[1] in (4, 5)
        )
    names = _text.header(head)
    return names is not None and tuple(n.lower() for n in names) in NAMES


def read_napari(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    z: str | None = None,
    intrinsics: object = None,
    coordinates: str | None = None,
    frames: str = "all",
) -> xr.Dataset:
    """Read a table of napari's Tracks layer.

    Parameters
    ----------
    path
        CSV with the names ID, T, (Z), Y, X, or npy (row, 4 or 5) in this order.
    frame_size
        Width and height of the video in pixels.
    fps
        Frames per second, where known.
    z
        For tables with Z, what it is: "camera", Z, Y, X are metres in the camera's
        frame, and `intrinsics` project them; "ignore": X and Y are pixels, and Z, a
        plane of a stack, is left out.
    intrinsics
        With ``z="camera"``: anything `seurat_tracks.geometry.resolve_intrinsics`
        takes.
    coordinates, frames
        As in `seurat_tracks.io.table.read_csv`.

    Returns
    -------
    xarray.Dataset
        A point is visible in the frames that have a row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If the table cannot be read, or does not say enough.
    """
    path = _files.existing(path)
    size = _files.need_frame_size(path, frame_size)
    rows, deep = _read_rows(path)
    if deep and z not in Z:
        raise FormatError(
            f"{path} has a column Z: say what it is, z='camera' (Z, Y, X in metres in "
            "the camera's frame, with intrinsics=) or z='ignore' (X and Y in pixels)"
        )
    xyz = None
    if deep and z == "camera":
        if intrinsics is None:
            raise FormatError(f"{path}: z='camera' needs intrinsics=")
        parts = [rows.columns.pop(name) for name in ("x", "y", "z")]
        xyz = np.stack([np.concatenate(p) for p in parts], -1)
        camera = resolve_intrinsics(intrinsics, size)
        if not (xyz[:, 2] > 0).all():
            raise FormatError(f"{path}: Z is not above 0 in row {xyz[:, 2].argmin()}")
        shown = project(xyz, camera)
        rows.columns |= {"x": [shown[:, 0]], "y": [shown[:, 1]]}
        rows.columns |= {f"xyz_{a}": [xyz[:, i]] for i, a in enumerate("xyz")}
        rows.columns["depth"] = [xyz[:, 2]]
        coordinates = "pixels"
    rows.columns["visible"] = [np.ones(len(p), bool) for p in rows.frame]
    ds = _foreign.assemble(
        path,
        rows,
        list(rows.ids),
        frame_size=size,
        fps=fps,
        coordinates=coordinates,
        frames=frames,
    )
    if xyz is None:
        return ds
    ds.attrs |= {"units": "m", "intrinsics": [float(v) for v in camera]}
    return annotate(ds)


def _read_rows(path: Path) -> tuple[Rows, bool]:
    with path.open("rb") as file:
        plain = file.read(6) == _npy.MAGIC
    lines: list[np.ndarray] = []

    def where(row: int) -> str:
        return f"row {row}" if plain else f"line {np.concatenate(lines)[row]}"

    rows = Rows(path, where)
    if plain:
        table = _npy.read_npy(path)
        if table.ndim != 2 or table.shape[1] not in (4, 5):
            raise FormatError(
                f"{path} has shape {table.shape}, expected (row, 4 or 5): ID, T, (Z), "
                "Y, X"
            )
        _add(path, rows, _files.real(path, "the table", table))
        return rows, table.shape[1] == 5
    with _text.opened(path) as text:
        separator, names = _text.columns(_text.next_line(path, text, 1))
        if tuple(n.lower() for n in names) not in NAMES:
            raise FormatError(
                f"{path} begins with {', '.join(names)[:200]}, expected ID, T, (Z), Y, "
                "X"
            )
        for part in _text.parts(path, text, separator, names, 2):
            lines.append(np.array(part.lines))
            table = np.array(
                [
                    _text.convert(path, part, i, name, _finite, separator)
                    for i, name in enumerate(names)
                ]
            )
            _add(path, rows, table.T)
    return rows, len(names) == 5


def _finite(text: str) -> float:
    value = _text.number(text)
    if value != value:
        raise ValueError("no number")
    return value


def _add(path: Path, rows: Rows, table: np.ndarray) -> None:
    before = sum(map(len, rows.frame))
    bad = ~np.isfinite(table).all(1)
    head = np.where(np.isfinite(table[:, :2]), table[:, :2], 0.0)
    bad |= (head != np.rint(head)).any(1) | (np.abs(head) >= 2**53).any(1)
    if bad.any():
        i = int(bad.argmax())
        raise FormatError(
            f"{path}, {rows.where(before + i)}: {table[i].tolist()} is no row of ID, "
            "T, (Z), Y, X: ID and T are whole numbers, and nothing is NaN"
        )
    names = ("z", "y", "x")[5 - table.shape[1] :]
    rows.add(
        table[:, 0].astype(np.int64).tolist(),
        table[:, 1].astype(np.int64),
        {n: table[:, 2 + i].astype(np.float64) for i, n in enumerate(names)},
    )


def write_napari(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    space: str = "image",
    number_ids: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a table for napari's Tracks layer.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`.
    path
        ``.npy``, or CSV with a line of names. One row for each visible point.
    space
        "image": Y and X in pixels. "camera": Z, Y, X of `xyz`, metres (or its own
        unit, where relative).
    number_ids
        Number the tracks 0, 1, 2, ... where ids are no integers from 0, as napari
        needs.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    FormatError
        If the path is taken, ids or frames are none that napari takes, or there is
        nothing to write.

    Warns
    -----
    UserWarning
        Names what the table has no place for.
    """
    validate(ds, values=False)
    target = Path(path)
    if space not in ("image", "camera"):
        raise FormatError(f"space is {space!r}; give 'image' or 'camera'")
    if space == "camera" and "xyz" not in ds:
        raise FormatError(
            f"{target}: the tracks are not lifted, so space='camera' has nothing to "
            "write: ds.seurat.lift3d() first"
        )
    ids = _files.whole_ids(ds, target, "napari", number=number_ids)
    if (ds["time"].values < 0).any():
        raise FormatError(f"{target}: napari takes no frame numbers below 0")
    if space == "image":
        place = ds["xy"].transpose("track", "time", "coord").values[..., ::-1]
    else:
        place = ds["xyz"].transpose("track", "time", "axis").values[..., ::-1]
    seen = ds["visible"].transpose("track", "time").values
    track, time = (seen & np.isfinite(place).all(-1)).nonzero()
    if not len(track):
        raise FormatError(f"{target}: no visible point has a position")
    numbers = ds["time"].values[time]
    with _files.writing(target, overwrite=overwrite) as partial:
        if target.suffix == ".npy":
            table = np.column_stack([ids[track], numbers, place[track, time]])
            with partial.open("wb") as file:
                np.save(file, table)
        else:
            with partial.open("w", encoding="utf-8", newline="\n") as text:
                text.write("ID,T,Y,X\n" if space == "image" else "ID,T,Z,Y,X\n")
                rows = zip(
                    ids[track].tolist(),
                    numbers.tolist(),
                    place[track, time].tolist(),
                    strict=True,
                )
                text.writelines(
                    f"{i},{t},{','.join(f'{v:.9g}' for v in p)}\n" for i, t, p in rows
                )
    kept = {"xy", "visible"} if space == "image" else {"xyz", "depth", "visible"}
    lost = [str(n) for n in ds.data_vars if n not in kept]
    lost += _files.unseen(ds)
    _files.note_lost(target, "napari's table", lost)
    return target
