"""Stores that several processes fill, each with its own tracks."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import xarray as xr

from seurat_tracks.errors import StoreError
from seurat_tracks.io.store import _count_chunks, _finish, _prepared, _swap


def lay_out(ds: xr.Dataset, folder: Path) -> None:
    """Write all of a store but its lazy values.

    Parameters
    ----------
    ds
        What the store will hold.
    folder
        Of the store; what is there is replaced.
    """
    _prepared(ds).to_zarr(
        folder,
        mode="w",
        compute=False,
        consolidated=False,
        zarr_format=3,
        write_empty_chunks=True,
    )


def fill_tracks(part: xr.Dataset, folder: Path, tracks: slice) -> None:
    """Compute the lazy variables of some tracks, all together, and write them.

    Nothing of it is run by Dask's workers: a worker is what this runs in.

    Parameters
    ----------
    part
        These tracks of the Dataset that was laid out.
    folder
        Of the store.
    tracks
        Their positions. Two processes may fill the store at once if their tracks are
        in different chunks.
    """
    lazy = _lazy(part, over_tracks=True)
    done = part[lazy].reset_coords().compute(scheduler="synchronous")
    for name in lazy:
        at = tuple(tracks if dim == "track" else slice(None) for dim in done[name].dims)
        _array(folder, name)[at] = done[name].values


def fill_rest(ds: xr.Dataset, folder: Path) -> None:
    """Copy the lazy variables that have no tracks, such as support, piece by piece."""
    for name in _lazy(ds, over_tracks=False):
        target, variable = _array(folder, name), ds[name].variable
        if target.ndim == 0:
            target[...] = variable.compute(scheduler="synchronous").values
            continue
        step = target.chunks[0]
        for begin in range(0, target.shape[0], step):
            rows = slice(begin, begin + step)
            target[rows] = variable[rows].compute(scheduler="synchronous").values


def finish(folder: Path, target: Path, backup: Path) -> None:
    """Mark a store complete and put it in place; what it replaces is deleted last.

    Raises
    ------
    StoreError
        If a chunk is missing.
    """
    import zarr

    short = []
    group = zarr.open_group(folder, mode="r", use_consolidated=False)
    for name, array in group.arrays():
        pairs = zip(array.shape, array.chunks, strict=True)
        expected = math.prod(-(-n // chunk) for n, chunk in pairs)
        found = _count_chunks(folder / name)
        if found != expected:
            short.append(f"{name} has {found} of {expected} chunks")
    if short:
        raise StoreError(
            f"{target}: files have gone from the unfinished store {folder}: "
            f"{', '.join(short)}. Begin anew, with resume=False (--restart)"
        )
    _finish(folder)
    _swap(folder, target, backup)


def _lazy(ds: xr.Dataset, *, over_tracks: bool) -> list[Hashable]:
    return [
        name
        for name, v in ds.variables.items()
        if v.chunks is not None and ("track" in v.dims) is over_tracks
    ]


def _array(folder: Path, name: Hashable) -> Any:
    import zarr

    # chunks of nothing but fill values are written too: a missing one is then damage
    return zarr.open_array(
        folder / str(name), mode="r+", config={"write_empty_chunks": True}
    )
