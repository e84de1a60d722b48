"""Long Parquet tables: those of `seurat_tracks.io.table`, with types and a footer.

The metadata that a CSV has beside it lies in the footer, under the key
``seurat_tracks``. Missing values are nulls, flags booleans, variables keep their
dtypes. Needs pyarrow: ``pip install 'seurat-tracks[export]'``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files, _foreign, _table, _text
from seurat_tracks.io._rows import Rows
from seurat_tracks.schema import validate

MAGIC = b"PAR1"
"""First bytes of a Parquet file."""

FOOTER = b"seurat_tracks"
"""Key of the metadata in the footer."""

_BATCH = 65_536


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a file is Parquet; its columns are looked at when it is read."""
    return head.startswith(MAGIC)


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "Parquet needs pyarrow: pip install 'seurat-tracks[export]'"
        ) from None
    return pyarrow


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    pa = _arrow()
    try:
        yield
    except FormatError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        text = " ".join(str(error).split())[:300]
        raise FormatError(f"{path} cannot be read: {text}") from None


def read_parquet(
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
    """Read a long table, some rows at a time.

    Parameters
    ----------
    path
        The file. If it has a footer of `write_parquet`, that says everything.
    frame_size, fps, columns, coordinates, first_pixel, time_unit, frames
        As in `seurat_tracks.io.table.read_csv`.
    metadata
        False: read the table alone, whatever its footer says.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is no such file.
    FormatError
        If it cannot be read; a bad row is named by its number, from 0.
    """
    path = _files.existing(path)
    pa = _arrow()
    rows = Rows(path, lambda row: f"row {row}")
    with _faults(path), pa.parquet.ParquetFile(path) as file:
        names = list(file.schema_arrow.names)
        footer = (file.schema_arrow.metadata or {}).get(FOOTER)
        if footer is not None and metadata:
            try:
                meta = json.loads(footer)
            except (ValueError, RecursionError) as error:
                raise FormatError(f"{path}: its footer is damaged: {error}") from None
            return _read_own(path, file, names, meta, rows)
        _files.need_frame_size(path, frame_size)
        found = _text.choose(names, _foreign.NAMES, columns, path)
        _foreign.missing(path, names, found)
        wanted = sorted({names[i] for i in found.values()})
        for batch in file.iter_batches(_BATCH, columns=wanted):
            fields = {key: batch.column(names[i]) for key, i in found.items()}
            _add(path, rows, fields, time_unit, fps)
    ids = list(rows.ids)
    if not all(isinstance(name, int) for name in ids):
        ids = [str(name) for name in ids]
    return _foreign.assemble(
        path,
        rows,
        ids,
        frame_size=frame_size,
        fps=fps,
        coordinates=coordinates,
        first_pixel=first_pixel,
        frames=frames,
    )


def _add(
    path: Path, rows: Rows, fields: dict[str, Any], time_unit: str, fps: float | None
) -> None:
    before = sum(map(len, rows.frame))

    def refuse(bad: np.ndarray, why: str) -> None:
        if bad.any():
            i = int(bad.argmax())
            text = ", ".join(f"{n}={v[i].as_py()!r}" for n, v in fields.items())
            raise FormatError(f"{path}, row {before + i}: {why}. The row: {text}")

    track = fields["track"].to_pylist()
    refuse(np.array([v is None for v in track], bool), "it has no track")
    track = [v if isinstance(v, int) else str(v) for v in track]
    values, flags = {}, {}
    for name, array in fields.items():
        if name == "track":
            continue
        numbers = _numbers(path, name, array)
        if name in _foreign.FLAGS:
            with np.errstate(invalid="ignore"):
                refuse(
                    ~(np.isnan(numbers) | np.isin(numbers, (0, 1))),
                    f"{name} is no flag",
                )
            flags[name] = np.where(np.isnan(numbers), -1, numbers).astype(np.int8)
        else:
            refuse(np.isinf(numbers), f"{name} is infinite")
            values[name] = numbers
    moments = values.pop("frame")
    refuse(~np.isfinite(moments), "it has no frame")
    if time_unit == "frames":
        whole = (moments == np.rint(moments)) & (np.abs(moments) < 2**53)
        refuse(~whole, "its frame is no whole number")
    frame = _foreign.frame_numbers(path, moments, time_unit, fps)
    finite = np.isfinite(values["x"]) & np.isfinite(values["y"])
    refuse(
        np.isfinite(values["x"]) != np.isfinite(values["y"]),
        "it has only one of x and y",
    )
    visible, wrong = _foreign.seen(flags, finite)
    refuse(wrong, "it is marked as visible, but has no position")
    rows.add(track, frame, {**values, "visible": visible})


def _numbers(path: Path, name: str, array: Any) -> np.ndarray:
    pa = _arrow()
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not any(fits(kind) for fits in plain):
        raise FormatError(f"{path}: {name} holds {kind}, expected numbers")
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float64)


def _read_own(
    path: Path, file: Any, names: list[str], meta: Any, rows: Rows
) -> xr.Dataset:
    ids, _, wanted = _table.known(path, meta)
    absent = [c.name for c in wanted if c.name not in names]
    absent += [name for name in ("track", "frame") if name not in names]
    if absent:
        raise FormatError(f"{path} misses the columns {', '.join(absent)}")
    listed = ids.tolist()
    rows.ids = {name: i for i, name in enumerate(listed)}
    needed = ["track", "frame", *(c.name for c in wanted)]
    n = 0
    for batch in file.iter_batches(_BATCH, columns=list(dict.fromkeys(needed))):
        try:
            codes = [rows.ids[v] for v in batch.column("track").to_pylist()]
        except KeyError as error:
            raise FormatError(
                f"{path}: track {error} is not among the ids in its footer"
            ) from None
        frame = batch.column("frame")
        if frame.null_count or str(frame.type) != "int64":
            raise FormatError(f"{path}: frame has nulls, or is {frame.type}, not int64")
        rows.track.append(np.array(codes, np.int64))
        rows.frame.append(frame.to_numpy())
        n += len(codes)
        for column in wanted:
            dtype = _table.dtype_of(path, meta, column)
            array = batch.column(column.name)
            if array.null_count and dtype.kind != "f":
                raise FormatError(f"{path}: {column.name} has nulls")
            if str(array.type) != str(_type(dtype)):
                raise FormatError(
                    f"{path}: {column.name} is {array.type}, and its footer "
                    f"says {dtype}"
                )
            numbers = array.to_numpy(zero_copy_only=False)
            rows.columns.setdefault(column.name, []).append(
                np.asarray(numbers).astype(dtype)
            )
    return _table.restore(path, {**meta, "rows": n}, rows, wanted)


def _type(dtype: np.dtype) -> Any:
    return _arrow().from_numpy_dtype(dtype)


def write_parquet(
    ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a long table with its metadata in the footer.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`. Lazy variables are computed some
        tracks at a time.
    path
        The file. Columns as in `seurat_tracks.io.table.write_csv`.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    SchemaError
        If the Dataset breaks the contract.
    FormatError
        If the path is taken.

    Warns
    -----
    UserWarning
        Names what the table has no place for, support tracks among it.
    """
    pa = _arrow()
    validate(ds, values=False)
    target = Path(path)
    wanted, lost = _table.columns(ds)
    ids, times = _files.ids(ds), ds["time"].values.astype(np.int64)
    seconds = ds["seconds"].values if "seconds" in ds.coords else None
    fields = [
        pa.field("track", pa.int64() if ids.dtype.kind in "iu" else pa.string()),
        pa.field("frame", pa.int64()),
    ]
    if ids.dtype.kind == "u":
        fields[0] = pa.field("track", pa.uint64())
    if seconds is not None:
        fields.append(pa.field("seconds", pa.float64()))
    for c in wanted:
        units = ds[c.variable].attrs.get("units", "")
        fields.append(
            pa.field(
                c.name, _type(ds[c.variable].dtype), metadata={"units": str(units)}
            )
        )
    meta = json.dumps(_table.metadata(ds, wanted, lost), allow_nan=False)
    schema = pa.schema(fields, metadata={FOOTER: meta.encode()})
    with (
        _files.writing(target, overwrite=overwrite) as partial,
        pa.parquet.ParquetWriter(
            partial, schema, compression="zstd", write_page_checksum=True
        ) as writer,
    ):
        for track, time, values in _table.blocks(ds, wanted):
            arrays: list[Any] = [
                ids[track].tolist() if ids.dtype.kind == "U" else ids[track]
            ]
            arrays.append(times[time])
            if seconds is not None:
                arrays.append(seconds[time])
            arrays += values.values()
            made = [
                pa.array(a, field.type, from_pandas=True)
                for a, field in zip(arrays, fields, strict=True)
            ]
            writer.write_batch(pa.record_batch(made, schema=schema))
    _files.note_lost(target, "a Parquet table", lost)
    return target
