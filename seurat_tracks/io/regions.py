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
    names = [name for name in part.variables if _is_filled(name, part[name])]
    done = part[names].reset_coords().compute(scheduler="synchronous")
    # chunks of nothing but fill values are written too: a missing one is then damage
    done.drop_vars([n for n in done.variables if n not in names]).to_zarr(
        folder,
        region={"track": tracks},
        consolidated=False,
        zarr_format=3,
        write_empty_chunks=True,
    )


def fill_rest(ds: xr.Dataset, folder: Path) -> None:
    """Copy the lazy variables that have no tracks, such as support, piece by piece."""
    import zarr

    lazy = [n for n, v in ds.variables.items() if v.chunks is not None]
    for name in (n for n in lazy if "track" not in ds[n].dims):
        target: Any = zarr.open(
            folder / str(name), mode="r+", config={"write_empty_chunks": True}
        )
        variable = ds[name].variable
        if target.ndim == 0:
            target[...] = variable.compute(scheduler="synchronous").values
            continue
        step = target.chunks[0]
        for begin in range(0, target.shape[0], step):
            rows = slice(begin, begin + step)
            target[rows] = variable[rows].compute(scheduler="synchronous").values


def finish(ds: xr.Dataset, folder: Path, target: Path, backup: Path) -> None:
    """Mark a store complete and put it in place; what it replaces is deleted last.

    Parameters
    ----------
    ds
        As for `lay_out`; only names and dimensions are looked at.
    folder, target
        The filled store, and where it goes.
    backup
        Where a store that is there already steps aside.

    Raises
    ------
    StoreError
        If a chunk is missing.
    """
    import zarr

    short = []
    group = zarr.open_group(folder, mode="r", use_consolidated=False)
    for name, array in group.arrays():
        if not _is_filled(name, ds[name]):
            continue
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
    for litter in folder.rglob("*.partial"):
        litter.unlink()  # of a chunk in whose writing a process was killed
    _finish(folder)
    _swap(folder, target, backup)


def _is_filled(name: Hashable, variable: xr.DataArray) -> bool:
    """Whether a variable is written with the tracks; ids and names are laid out."""
    return (
        "track" in variable.dims and name != "track" and variable.dtype.kind in "biuf"
    )
