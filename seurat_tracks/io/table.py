"""Long CSV tables: one row a track and frame, every variable a column.

``name.csv`` is plain CSV for anybody; beside it ``name.csv.json`` holds what a table
cannot: attributes, units, dtypes, the order of tracks, frames without rows. With it a
Dataset comes back exactly; without it, as for tables of other programs, columns are
known by their names (`seurat_tracks.io._foreign.NAMES`).

Numbers have nine digits, which give a float32 back exactly, a missing value is an
empty field, and flags are 1 and 0. Pixel centres are at integers.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files, _foreign, _table, _text
from seurat_tracks.io._rows import Rows, typed_ids
from seurat_tracks.schema import validate

SIDECAR = ".json"
"""Added to the table's name for its metadata."""

_MOST_METADATA = 2**28


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a file is a table with a track, a frame, x and y a row."""
    names = _text.header(head)
    if not names or len(names) < 4 or "POSITION_X" in names:
        return False
    if [n.lower() for n in names] in (
        ["id", "t", "y", "x"],
        ["id", "t", "z", "y", "x"],
    ):
        return False  # napari's
    found = _text.choose(names, _foreign.NAMES, None, path)
    if all(name in found for name in _foreign.NEEDED):
        return True
    return names[:2] == ["track", "frame"] and _sidecar(path).is_file()


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


def read_csv(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    columns: Mapping[str, str] | None = None,
    coordinates: str | None = None,
    first_pixel: float = 0.0,
    time_unit: str = "frames",
    frames: str = "all",
    metadata: bool = True,
) -> xr.Dataset:
    """Read a long table.

    Parameters
    ----------
    path
        Comma, semicolon or tab between the fields; UTF-8; a first line with names.
        If ``path`` + ``.json`` is there, it says everything, and none of the other
        options is needed.
    frame_size
        Width and height of the video in pixels.
    fps
        Frames per second, where known.
    columns
        Names of the table's columns by what they are, for tables that call them
        otherwise: ``{"track": "cell", "x": "cx"}``.
    coordinates
        "pixels" or "normalised" (0 and 1 are the frame's outer edges); None: pixels,
        refused if all positions lie within 0..1.
    first_pixel
        Where the table puts the centre of the first pixel: 0, or 0.5.
    time_unit
        "frames"; "seconds": the column of frames holds seconds, and `fps` turns them
        into frame numbers.
    frames
        "all": the time axis runs over every frame from the first to the last; frames
        without rows hold NaN. "present": only frames that have rows.
    metadata
        False: read the table alone, whatever lies beside it.

    Returns
    -------
    xarray.Dataset
        Ids are integers where all are written so, else strings, in the order of their
        first rows. A row without flag is visible if it has a position.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If the table cannot be read; a bad row is named by its line and text.
    """
    path = _files.existing(path)
    meta = _read_sidecar(path) if metadata and _sidecar(path).is_file() else None
    lines: list[np.ndarray] = []

    def where(row: int) -> str:
        for part in lines:
            if row < len(part):
                return f"line {part[row]}"
            row -= len(part)
        return "a row"

    rows = Rows(path, where)
    with _text.opened(path) as file:
        start, first = 1, _text.next_line(path, file, 1)
        while first and not first.strip():
            start += 1
            first = _text.next_line(path, file, start)
        separator, names = _text.columns(first)
        parts = _text.parts(path, file, separator, names, start + 1)
        if meta is not None:
            _refuse_cut(path)
            wanted = _read_own(path, meta, rows, parts, lines, names, separator)
            ds = _table.restore(path, meta, rows, wanted)
            if frame_size is not None:
                raise FormatError(
                    f"{path}: {_sidecar(path).name} says the frame's size; leave out "
                    "frame_size, or give metadata=False"
                )
            return ds
        _files.need_frame_size(path, frame_size)
        found = _text.choose(names, _foreign.NAMES, columns, path)
        _foreign.missing(path, names, found)
        for part in parts:
            lines.append(np.array(part.lines))
            _add(path, rows, part, found, separator, time_unit, fps)
    return _foreign.assemble(
        path,
        rows,
        typed_ids(list(rows.ids)),
        frame_size=frame_size,
        fps=fps,
        coordinates=coordinates,
        first_pixel=first_pixel,
        frames=frames,
    )


def _add(
    path: Path,
    rows: Rows,
    part: _text.Part,
    found: Mapping[str, int],
    separator: str,
    time_unit: str,
    fps: float | None,
) -> None:
    """Convert the rows of a part of a table that another program wrote."""

    def read(name: str, one: Any) -> list[Any]:
        return _text.convert(path, part, found[name], name, one, separator)

    track = read("track", _text.label)
    in_seconds = time_unit != "frames"
    moments = np.array(read("frame", _text.number if in_seconds else _text.whole))
    frame = _foreign.frame_numbers(path, moments, time_unit, fps)
    values: dict[str, np.ndarray] = {}
    flags: dict[str, np.ndarray] = {}
    for name in found:
        if name in _foreign.FLAGS:
            flags[name] = np.array(read(name, _text.flag), np.int8)
        elif name not in ("track", "frame"):
            with np.errstate(over="ignore"):
                values[name] = np.array(read(name, _text.number), np.float64)
    finite = np.isfinite(values["x"]) & np.isfinite(values["y"])
    half = np.isfinite(values["x"]) != np.isfinite(values["y"])
    visible, wrong = _foreign.seen(flags, finite)
    for bad, why in (
        (half, "it has only one of x and y"),
        (wrong, "it is marked as visible, but has no position"),
    ):
        if bad.any():
            i = int(bad.argmax())
            text = separator.join(part.fields[i])
            raise _text.bad_row(path, part.lines[i], text, why)
    rows.add(track, frame, {**values, "visible": visible})


def _refuse_cut(path: Path) -> None:
    """Refuse a last row without its end: half a number still reads as one."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise FormatError(
                f"{path} was cut short: its last line does not end. Restore it, or "
                "read what is there with metadata=False"
            )


def _read_sidecar(path: Path) -> Any:
    side = _sidecar(path)
    if side.stat().st_size > _MOST_METADATA:
        raise FormatError(f"{side} is too large for metadata of a table")
    try:
        return json.loads(side.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{side} is damaged: {error}. Restore it, or read the table alone with "
            "metadata=False"
        ) from None


def _read_own(
    path: Path,
    meta: Any,
    rows: Rows,
    parts: Any,
    lines: list[np.ndarray],
    names: list[str],
    separator: str,
) -> list[_table.Column]:
    """Read the rows of a table of our own, whose ids and dtypes are known."""
    ids, _, wanted = _table.known(path, meta)
    absent = [c.name for c in wanted if c.name not in names]
    absent += [name for name in ("track", "frame") if name not in names]
    if absent:
        raise FormatError(
            f"{path} misses the columns {', '.join(absent)} of its metadata. Read the "
            "table as it is with metadata=False"
        )
    written = {str(name): i for i, name in enumerate(ids.tolist())}
    rows.ids = {name: i for i, name in enumerate(ids.tolist())}

    def code(text: str) -> int:
        try:
            return written[text]
        except KeyError:
            raise ValueError("no id that the metadata lists") from None

    for part in parts:
        lines.append(np.array(part.lines))

        def read(name: str, one: Any, part: _text.Part = part) -> list[Any]:
            return _text.convert(path, part, names.index(name), name, one, separator)

        rows.track.append(np.array(read("track", code), np.int64))
        rows.frame.append(np.array(read("frame", _text.whole), np.int64))
        for column in wanted:
            dtype = _table.dtype_of(path, meta, column)
            if dtype.kind == "f":
                one: Any = _real
            else:
                one = _text.flag if dtype.kind == "b" else int
            values = read(column.name, one)
            with np.errstate(over="ignore"):
                try:
                    array = np.array(values, dtype)
                except (OverflowError, ValueError):
                    raise FormatError(
                        f"{path}: {column.name} holds numbers beyond {dtype}"
                    ) from None
            rows.columns.setdefault(column.name, []).append(array)
    return wanted


def _real(text: str) -> float:
    return float(text) if text else np.nan


def write_csv(
    ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a long table, and its metadata beside it.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`. Lazy variables are computed some
        tracks at a time.
    path
        The table; its metadata is ``path`` + ``.json``. One row for each track and
        frame with a value: track, frame, seconds, x, y, visible, and every other
        variable (track, time); one with a third dimension gives a column a label:
        xyz_x, xyz_y, xyz_z.
    overwrite
        Replace files that are there.

    Returns
    -------
    pathlib.Path
        The table.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    FormatError
        If a path is taken, or an id has a line break.

    Warns
    -----
    UserWarning
        Names what the table has no place for, support tracks among it.
    """
    validate(ds, values=False)
    target = Path(path)
    side = _sidecar(target)
    _files.check_free(target, overwrite=overwrite)
    _files.check_free(side, overwrite=overwrite)
    wanted, lost = _table.columns(ds)
    ids = [_quoted(str(name)) for name in _files.ids(ds).tolist()]
    frames = [str(n) for n in ds["time"].values.tolist()]
    if "seconds" in ds.coords:
        moments = [repr(s) for s in ds["seconds"].values.tolist()]
        frames = [f"{n},{s}" for n, s in zip(frames, moments, strict=True)]
    heading = ["track", "frame", *(["seconds"] if "seconds" in ds.coords else [])]
    meta = _table.metadata(ds, wanted, lost)
    count = 0
    with (
        _files.writing(side, overwrite=overwrite) as beside,
        _files.writing(target, overwrite=overwrite) as partial,
    ):
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(",".join(heading + [_quoted(c.name) for c in wanted]) + "\n")
            for track, time, values in _table.blocks(ds, wanted):
                fields = [[ids[i] for i in track.tolist()]]
                fields.append([frames[i] for i in time.tolist()])
                fields += [_written(array) for array in values.values()]
                count += len(track)
                file.writelines(
                    ",".join(row) + "\n" for row in zip(*fields, strict=True)
                )
        beside.write_text(
            json.dumps({**meta, "rows": count}, indent=1, allow_nan=False), "utf-8"
        )
    _files.note_lost(target, "a CSV table", lost)
    return target


def _written(array: np.ndarray) -> list[str]:
    kind, values = array.dtype.kind, array.tolist()
    if kind == "b":
        return ["1" if v else "0" for v in values]
    if kind in "iu":
        return [str(v) for v in values]
    if array.dtype.itemsize > 4:
        return ["" if v != v else repr(v) for v in values]
    return ["" if v != v else f"{v:.9g}" for v in values]


def _quoted(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise FormatError(f"the name {text!r} has a line break, and cannot be in a CSV")
    if not any(c in text for c in ',"') and text == text.strip() and text:
        return text
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="").writerow([text])
    return stream.getvalue()
