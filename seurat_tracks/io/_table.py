"""A Dataset as rows and metadata, and back; for CSV and Parquet alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files
from seurat_tracks.io._rows import Rows
from seurat_tracks.schema import VARIABLES

KIND = "seurat-tracks table"
"""What metadata calls itself."""

VERSION = 1

_BLOCK = 128_000  # cells (track, time) that are rows at once
_SMALL = frozenset({"track", "time", "coord", "axis"})
_LABELS = {"coord": ("x", "y"), "axis": ("x", "y", "z")}


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes
    ----------
    name
        Its heading.
    variable
        The variable it is of.
    dim, position
        Which entry along a third dimension it is; "" where there is none.
    """

    name: str
    variable: str
    dim: str = ""
    position: int = 0


def columns(ds: xr.Dataset) -> tuple[list[Column], list[str]]:
    """Return the columns for a Dataset, and the variables that have no place.

    `xy` becomes x and y; every other variable with a third dimension its name and the
    label: xyz_x, xyz_y, xyz_z.
    """
    found, lost = [], []
    order = [n for n in VARIABLES if n in ds.variables]
    order += [str(n) for n in ds.variables if n not in VARIABLES]
    for name in order:
        dims = {str(dim) for dim in ds[name].dims}
        extra = dims - {"track", "time"}
        if not dims >= {"track", "time"}:
            if not _fits_metadata(ds[name]):
                lost.append(name)
        elif ds[name].dtype.kind not in "biuf" or not extra <= set(_LABELS):
            lost.append(name)
        elif not extra:
            found.append(Column(name, name))
        elif len(extra) == 1:
            (dim,) = extra
            prefix = "" if name == "xy" else f"{name}_"
            found += [
                Column(prefix + text, name, dim, i)
                for i, text in enumerate(_LABELS[dim])
            ]
        else:
            lost.append(name)
    return found, lost


def _fits_metadata(array: xr.DataArray) -> bool:
    return set(array.dims) <= _SMALL and (
        array.dtype.kind in "biufUTmM"
        or (
            array.dtype.kind == "O"
            and all(isinstance(v, str) for v in array.values.flat)
        )
    )


def metadata(ds: xr.Dataset, wanted: list[Column], lost: list[str]) -> dict[str, Any]:
    """Return everything but the rows, ready for JSON."""
    in_rows = {column.variable for column in wanted}
    units = {c.name: ds[c.variable].attrs.get("units", "") for c in wanted}
    return {
        "format": KIND,
        "version": VERSION,
        "attrs": ds.attrs,
        "units": units | {"seconds": "s"},
        "variables": {
            name: {
                "dims": [str(d) for d in ds[name].dims],
                "dtype": str(ds[name].dtype),
                "attrs": ds[name].attrs,
                "coordinate": name in ds.coords,
            }
            for name in dict.fromkeys(c.variable for c in wanted)
        },
        "values": {
            str(name): {
                "dims": [str(d) for d in ds[name].dims],
                **encode(np.asarray(ds[name].values)),
                "attrs": ds[name].attrs,
                "coordinate": name in ds.coords,
            }
            for name in ds.variables
            if name not in in_rows and name not in lost
        },
    }


def encode(array: np.ndarray) -> dict[str, Any]:
    """Turn an array into JSON that gives it back exactly."""
    kind = array.dtype.kind
    if kind in "UTO":
        return {"dtype": "str", "values": [str(v) for v in array.ravel().tolist()]}
    if kind in "mM":
        return {"dtype": str(array.dtype), "values": array.ravel().view("i8").tolist()}
    values = array.ravel().tolist()
    if kind == "f":
        values = [
            v if math.isfinite(v) else None if math.isnan(v) else repr(v)
            for v in values
        ]
    return {"dtype": str(array.dtype), "values": values}


def decode(path: Path, name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Turn JSON back into an array.

    Raises
    ------
    FormatError
        If it does not fit.
    """
    try:
        values, dtype = given["values"], given["dtype"]
        if dtype == "str":
            if not all(isinstance(v, str) for v in values):
                raise ValueError("a value is no string")
            array = np.array(values, np.str_)
        else:
            kind = _dtype(dtype)
            if kind.kind in "mM":
                array = np.array(values, np.int64).view(kind)
            elif kind.kind == "f":
                array = np.array(
                    [math.nan if v is None else float(v) for v in values], kind
                )
            else:
                array = np.array(values, kind)
        return array.reshape(shape)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise _spoiled(path, f"{name}: {error}") from None


def _dtype(text: Any) -> np.dtype:
    kind = np.dtype(str(text))
    if kind.kind not in "biufmM" or kind.itemsize > 16:
        raise ValueError(f"{text!r} is no type of a number or a moment")
    return kind


def _spoiled(path: Path, why: str) -> FormatError:
    return FormatError(
        f"{path}: its metadata is damaged ({why}). Write it anew, or read the table "
        "alone with metadata=False"
    )


def blocks(
    ds: xr.Dataset, wanted: list[Column]
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Give the rows of some tracks at a time, in the Dataset's order.

    Yields
    ------
    track, time : int arrays (row,)
        Positions along the dimensions.
    values : dict of arrays (row,)
        By column. Cells with no value at all are left out.
    """
    names = list(dict.fromkeys(column.variable for column in wanted))
    bare = ds.reset_coords([n for n in names if n in ds.coords], drop=False).drop_vars(
        [n for n in ds.coords if n not in names]
    )[names]
    step = max(1, _BLOCK // max(1, ds.sizes["time"]))
    for start in range(0, ds.sizes["track"], step):
        part = bare.isel(track=slice(start, start + step)).compute()
        values = {c.name: _plane(part[c.variable], c).to_numpy() for c in wanted}
        some = np.zeros((part.sizes["track"], ds.sizes["time"]), bool)
        for array in values.values():
            kind = array.dtype.kind
            some |= ~np.isnan(array) if kind == "f" else array.astype(bool)
            if kind in "iu":  # no number says "no value"
                some[:] = True
        track, time = some.nonzero()
        yield track + start, time, {name: a[some] for name, a in values.items()}


def _plane(array: xr.DataArray, column: Column) -> xr.DataArray:
    if column.dim:
        array = array.isel({column.dim: column.position})
    return array.transpose("track", "time")


def known(path: Path, meta: Any) -> tuple[np.ndarray, np.ndarray, list[Column]]:
    """Return ids, frame numbers and columns that metadata speaks of.

    Raises
    ------
    FormatError
        If it is not ours, of another version, or damaged.
    """
    if not isinstance(meta, dict) or meta.get("format") != KIND:
        raise _spoiled(path, f"it does not say that it is a {KIND}")
    if meta.get("version") != VERSION:
        raise FormatError(
            f"{path}: its metadata is of version {meta.get('version')!r}, and this "
            f"seurat-tracks reads version {VERSION}. Install the newer one"
        )
    try:
        ids, time = (
            decode(
                path, name, meta["values"][name], (len(meta["values"][name]["values"]),)
            )
            for name in ("track", "time")
        )
        found = []
        for name, about in meta["variables"].items():
            extra = [d for d in about["dims"] if d not in ("track", "time")]
            _dtype(about["dtype"])
            if sorted(about["dims"]) != sorted({"track", "time", *extra}):
                raise ValueError(f"{name} has dimensions {about['dims']}")
            if not extra:
                found.append(Column(name, name))
                continue
            (dim,) = extra
            prefix = "" if name == "xy" else f"{name}_"
            found += [
                Column(prefix + t, name, dim, i) for i, t in enumerate(_LABELS[dim])
            ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise
        raise _spoiled(path, f"{type(error).__name__}: {error}") from None
    if time.dtype.kind not in "iu" or not (np.diff(time.astype(np.int64)) > 0).all():
        raise _spoiled(path, "its frame numbers do not increase")
    if ids.dtype.kind not in "iuU" or len(set(ids.tolist())) != len(ids):
        raise _spoiled(path, "its ids are no unique integers or strings")
    return ids, time, found


def dtype_of(path: Path, meta: Any, column: Column) -> np.dtype:
    """Return the dtype that metadata names for a column."""
    return _dtype(meta["variables"][column.variable]["dtype"])


def restore(path: Path, meta: Any, rows: Rows, wanted: list[Column]) -> xr.Dataset:
    """Build the Dataset that was written.

    Raises
    ------
    FormatError
        If rows are missing, or rows and metadata do not fit together.
    """
    ids, time, _ = known(path, meta)
    n = sum(map(len, rows.frame))
    if meta.get("rows") != n:
        raise FormatError(
            f"{path}: it has {n} rows, and its metadata speaks of {meta.get('rows')}: "
            "the table was cut short or edited. Read it as it is with metadata=False"
        )
    _, made = rows.grid(time=time.astype(np.int64), n_tracks=len(ids), known=True)
    sizes = {"track": len(ids), "time": len(time), "coord": 2, "axis": 3}
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    try:
        for name, about in meta["variables"].items():
            planes = [made.get(c.name) for c in wanted if c.variable == name]
            dtype, dims = _dtype(about["dtype"]), list(about["dims"])
            filled = [p if p is not None else _empty(sizes, dtype) for p in planes]
            extra = [d for d in dims if d not in ("track", "time")]
            array = np.stack(filled, -1) if extra else filled[0]
            variable = xr.Variable(("track", "time", *extra), array.astype(dtype))
            variable = variable.transpose(*dims)
            variable.attrs = dict(about["attrs"])
            (coords if about["coordinate"] is True else variables)[name] = variable
        for name, about in meta["values"].items():
            dims = list(about["dims"])
            shape = tuple(sizes[d] for d in dims)
            array = decode(path, name, about, shape)
            variable = xr.Variable(dims, array, dict(about["attrs"]))
            (coords if about["coordinate"] is True else variables)[name] = variable
        ds = xr.Dataset(variables, coords=coords, attrs=dict(meta["attrs"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, FormatError):
            raise
        text = " ".join(str(error).split())[:300]
        raise _spoiled(path, f"{type(error).__name__}: {text}") from None
    return _files.checked(ds, path)


def _empty(sizes: dict[str, int], dtype: np.dtype) -> np.ndarray:
    fill = np.nan if dtype.kind == "f" else 0
    return np.full((sizes["track"], sizes["time"]), fill, dtype)
