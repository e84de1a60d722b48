"""Datasets of tracks on disk: Zarr v3, lazy in and out, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks import interrupt
from seurat_tracks.errors import SchemaError, StoreError
from seurat_tracks.progress import dask_bar
from seurat_tracks.schema import CONTRACT_VERSION, validate

_log = logging.getLogger(__name__)

STORE_MARK = "seurat_tracks_store"
"""Root attribute written last: a store without it was never finished."""

CHUNK_BYTES = 4 * 2**20
"""What a chunk of `xy` holds at most, uncompressed, if time is short enough."""

MIN_TRACKS, MAX_TRACKS = 512, 4096
"""Tracks in a chunk, at least and at most."""

_LONG_FACTOR = 4  # a chunk may grow this far before time is cut as well
_XY_BYTES = 8  # one position: two float32

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def save(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Write a Dataset of tracks to a Zarr v3 store, whole or not at all.

    Lazy variables are computed and written chunk by chunk, all in one pass, and never
    held whole. The store is built in a hidden folder beside `path` and renamed into
    place once complete, so that `path` never holds a half-written store. Saving over
    the store that the Dataset itself reads from is allowed; open it anew afterwards,
    because the old Dataset then reads from files that are no longer its own.

    Parameters
    ----------
    ds
        Dataset under the contract of `seurat_tracks.schema`; its structure is checked
        first, its values are not.
    path
        Folder of the store, in a folder that exists. The usual ending is ``.zarr``.
    overwrite
        Replace a store of this package at `path`. The old one stays whole until the
        new one is complete. Anything else at `path` is never replaced.
    progress
        True or False for a bar, while lazy data is computed and written, or none;
        None: a bar in a notebook or on a terminal.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SchemaError
        When the Dataset breaks the contract, or a variable of the caller's own holds
        objects other than strings; nothing is computed then.
    StoreError
        When `path` is taken, cannot be written to, or the disk is full. What was at
        `path` is then as it was.

    Notes
    -----
    Chunks hold all frames and both coordinates of 512, 1024, 2048 or 4096 tracks, 2 to
    4 MiB of `xy`. When 512 tracks alone exceed 16 MiB (videos of more than 4096
    frames), time is cut too. Each chunk carries a CRC32C checksum. Strings are stored
    with variable length, metadata is not consolidated (both as the Zarr v3
    specification has them).
    """
    validate(ds, values=False)
    given, target = Path(path), _local(path)
    check_target(path, overwrite=overwrite)
    _refuse_objects(ds)
    label = uuid.uuid4().hex[:8]
    partial = target.with_name(f".{target.name}.{label}.partial")
    backup = target.with_name(f".{target.name}.{label}.old")
    with _os_errors(target):
        partial.mkdir()
    try:
        with _os_errors(target):
            _write(_prepared(ds), partial, progress=progress)
            _finish(partial)
            _swap(partial, target, backup)
    except BaseException:
        _remove(partial)
        raise
    return given


def open_store(path: str | os.PathLike[str], chunks: Any = "auto") -> xr.Dataset:
    """Open a store that `save` wrote; nothing but coordinates is read.

    Parameters
    ----------
    path
        Folder of the store.
    chunks
        ``"auto"`` gives dask arrays with the store's own chunks; a mapping such as
        ``{"track": 256}`` gives those; None gives arrays that load when touched,
        without dask.

    Returns
    -------
    xarray.Dataset
        What was saved: same dtypes, attributes, ids, and order. Coordinates are in
        memory, variables are lazy.

    Raises
    ------
    StoreError
        When `path` is missing, not a Zarr store, not a store of this package, never
        finished, of another version of the contract, or damaged. A chunk whose bytes
        are damaged is found by its checksum when it is read.
    """
    target = _local(path)
    attrs = _root_attributes(target)
    _check_version(target, attrs)
    mark = attrs.get(STORE_MARK)
    if not isinstance(mark, dict) or mark.get("complete") is not True:
        raise StoreError(
            f"{target}: the store was never finished: writing it, or copying it, was "
            "interrupted. Make it again, or copy it again"
        )
    _check_chunks(target, mark)
    try:
        # Opened twice, because coordinates are read without dask.
        plain = xr.open_zarr(target, consolidated=False, chunks=None)
        ds = plain
        if chunks is not None:
            ds = xr.open_zarr(target, consolidated=False, chunks={})
            if chunks != "auto":
                ds = ds.chunk(chunks)
        ds = ds.assign_coords(_in_memory(plain.coords)).drop_encoding()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _damaged(target, f"reading it fails with {error}") from error
    ds.attrs.pop(STORE_MARK, None)
    try:
        validate(ds, values=False)
    except SchemaError as error:
        raise _damaged(target, str(error)) from error
    return ds


def _refuse_objects(ds: xr.Dataset) -> None:
    """Refuse arrays of objects, which would come back as their printed form."""
    wrong = sorted(
        str(name)
        for name, variable in ds.variables.items()
        if variable.dtype.kind == "O"
        and variable.chunks is None
        and not all(isinstance(value, str) for value in variable.values.flat)
    )
    if wrong:
        raise SchemaError(
            f"{', '.join(wrong)}: objects cannot be stored. Cure: give numbers, flags, "
            "moments (datetime64) or strings, or ds.drop_vars"
        )


def is_store(path: str | os.PathLike[str]) -> bool:
    """Say whether a path holds a store of this package, finished or not.

    Parameters
    ----------
    path
        Any path; it need not exist.

    Returns
    -------
    bool
        True when `path` is a Zarr v3 group that bears this package's attributes.
    """
    try:
        return "contract_version" in _root_attributes(Path(path))
    except StoreError:
        return False


def chunk_sizes(n_tracks: int, n_frames: int) -> dict[str, int]:
    """Return how many tracks and frames a chunk of the store holds.

    Parameters
    ----------
    n_tracks, n_frames
        Sizes of the Dataset.

    Returns
    -------
    dict
        ``{"track": ..., "time": ...}``, the same for every variable, so that lazy
        variables of one store line up.
    """
    per_track = _XY_BYTES * max(n_frames, 1)
    # a power of two, so that chunks of different videos fit into one another
    tracks = 2 ** int(math.log2(max(CHUNK_BYTES // per_track, MIN_TRACKS)))
    tracks = min(tracks, MAX_TRACKS)
    frames = n_frames
    if MIN_TRACKS * per_track > _LONG_FACTOR * CHUNK_BYTES:
        frames = CHUNK_BYTES // (MIN_TRACKS * _XY_BYTES)
    return {
        "track": max(1, min(tracks, n_tracks)),
        "time": max(1, min(frames, n_frames)),
    }


def _local(path: str | os.PathLike[str]) -> Path:
    if "://" in os.fspath(path):
        raise StoreError(
            f"{path}: stores are folders of this machine. Save to a local folder and "
            "copy it"
        )
    # A link to a store stands for the store: the folder is replaced, not the link.
    return Path(path).expanduser().resolve()


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse a path that `save` could not write to, before anything is computed.

    Parameters
    ----------
    path, overwrite
        As in `save`.

    Raises
    ------
    StoreError
        When the folder around `path` does not exist or is read-only, or `path` is
        taken by something that `save` would not replace.
    """
    target = _local(path)
    if not target.parent.is_dir():
        raise StoreError(
            f"{target}: the folder {target.parent} does not exist. Create it first"
        )
    if target.exists():
        if not overwrite:
            raise StoreError(
                f"{target}: something is there already. Pass overwrite=True to replace "
                "a store, or choose another path"
            )
        if not is_store(target):
            raise StoreError(
                f"{target}: what is there is not a store of seurat-tracks, and is not "
                "replaced, with overwriting or without. Choose another path, or remove "
                "it yourself"
            )
    for place in (target.parent, target):
        if place.exists() and not os.access(place, os.W_OK):
            raise _read_only(target, place)


def _read_only(target: Path, place: Path) -> StoreError:
    return StoreError(
        f"{target}: cannot write, because {place} is read-only for you; nothing was "
        "changed. Choose another path, or get permission to write there"
    )


@contextlib.contextmanager
def _os_errors(target: Path) -> Iterator[None]:
    """Say in plain words that the disk is full or the place read-only."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        code = _errno(error, target.parent)
        if code in _FULL:
            raise StoreError(
                f"{target}: the disk is full. The new store was not written, and what "
                "was at that path is as it was. Free space, or choose another disk"
            ) from error
        if code in _READ_ONLY:
            raise _read_only(target, target.parent) from error
        raise


def _errno(error: BaseException | None, folder: Path) -> int | None:
    """Find the error code of a failed write into a folder behind an exception."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno is not None:
            name = error.filename
            # A lazy variable may fail to read a file of its own: not our business.
            ours = not isinstance(name, str | os.PathLike) or folder in (
                Path(name).absolute().parents
            )
            return error.errno if ours else None
        error = error.__cause__ or error.__context__
    return None


def _prepared(ds: xr.Dataset) -> xr.Dataset:
    """Return the Dataset with chunks, dtypes and encoding as the store has them."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    ds = ds.drop_encoding()
    ds.attrs.pop(STORE_MARK, None)
    ds.attrs.setdefault("contract_version", CONTRACT_VERSION)
    sizes = chunk_sizes(ds.sizes["track"], ds.sizes["time"])
    for name in list(ds.variables):
        variable = ds[name].variable
        if variable.dtype.kind in "UOT":
            # Fixed-width strings have no specification in Zarr v3.
            ds[name] = ds[name].astype(np.dtypes.StringDType())
            continue
        chunks = {str(dim): sizes.get(str(dim), n) for dim, n in ds[name].sizes.items()}
        if "window" in chunks:
            row = variable.nbytes // max(chunks["window"], 1)
            chunks["window"] = max(1, min(chunks["window"], CHUNK_BYTES // max(row, 1)))
        if variable.chunks is not None:
            ds[name] = ds[name].chunk(chunks)
        ds[name].encoding = {
            "chunks": tuple(max(1, n) for n in chunks.values()),
            "compressors": [BloscCodec(cname="zstd", clevel=3), Crc32cCodec()],
        }
    return ds


def _write(ds: xr.Dataset, folder: Path, *, progress: bool | None) -> None:
    """Write every array; threads of dask are at rest when this returns or raises."""
    from concurrent.futures import ThreadPoolExecutor

    import dask

    with contextlib.ExitStack() as stack:
        if any(v.chunks is not None for v in ds.variables.values()):
            stack.enter_context(dask_bar("saving", progress))
        if dask.config.get("pool", None) is None:
            # A pool of our own can be waited for; in dask's, tasks run on after an
            # interrupt and would write into the folder that is being removed.
            workers = dask.config.get("num_workers", None) or os.cpu_count()
            pool = ThreadPoolExecutor(workers)
            stack.callback(interrupt.forget)
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            stack.enter_context(interrupt.stopping_workers())
            stack.enter_context(dask.config.set(pool=pool))
        # Chunks of fill values are written too: a missing file is then damage.
        ds.to_zarr(
            folder,
            mode="w",
            consolidated=False,
            zarr_format=3,
            write_empty_chunks=True,
        )


def _finish(folder: Path) -> None:
    """Mark a store complete: the last thing written to it."""
    import zarr

    group = zarr.open_group(folder, mode="r+", use_consolidated=False)
    chunks = {name: _count_chunks(folder / name) for name in sorted(group.array_keys())}
    group.attrs[STORE_MARK] = {"complete": True, "chunks": chunks}


def _swap(partial: Path, target: Path, backup: Path) -> None:
    """Put the complete store in place; the old one steps aside and is deleted last."""
    if not target.exists():
        partial.rename(target)
        return
    target.rename(backup)
    try:
        partial.rename(target)
    except BaseException:
        backup.rename(target)
        raise
    try:
        shutil.rmtree(backup)
    except OSError as error:
        _log.warning(
            "%s is written, but the store it replaced could not be deleted (%s); "
            "delete %s yourself",
            target,
            error,
            backup,
        )


def _remove(folder: Path) -> None:
    """Delete a half-written folder, also under the hands of a late writer."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            # Zarr's own thread may still be in the middle of a chunk after an
            # interrupt, and creates folders as it needs them.
            time.sleep(0.02)
            if not folder.exists():
                return
        time.sleep(0.02)
    _log.warning("could not delete %s; delete it yourself", folder)


def _count_chunks(array: Path) -> int:
    return sum(
        name != "zarr.json" and not name.endswith(".partial")
        for _, _, names in os.walk(array)
        for name in names
    )


def _root_attributes(target: Path) -> dict[str, Any]:
    """Read the attributes of a store's root without trusting it."""
    if not target.exists():
        old = sorted(target.parent.glob(f".{target.name}.*.old"))
        hint = (
            f". An overwrite was cut short; the old store is whole in {old[0]}: rename "
            "it back"
            if old
            else ". Check the path"
        )
        if any(target.parent.glob(f".{target.name}.*.partial/lift.json")):
            hint = (
                ", but an unfinished lift to it: the same call of lift_store, or the "
                "same command, goes on from there"
            )
        raise StoreError(f"{target}: there is no such store{hint}")
    if not target.is_dir():
        raise StoreError(
            f"{target}: it is a file, not a Zarr store, which is a folder. Tracks of "
            "other formats come in as arrays, with seurat_tracks.from_arrays"
        )
    try:
        root = json.loads((target / "zarr.json").read_bytes())
    except FileNotFoundError:
        raise StoreError(
            f"{target}: it is not a Zarr v3 store (no zarr.json in it). Check the path"
        ) from None
    except OSError as error:
        raise StoreError(f"{target}: it cannot be read: {error}") from error
    except ValueError as error:
        raise _damaged(target, f"zarr.json is not JSON: {error}") from error
    attrs = root.get("attributes", {}) if isinstance(root, dict) else None
    if not isinstance(attrs, dict) or root.get("zarr_format") != 3:
        raise _damaged(target, "zarr.json is not the metadata of a Zarr v3 group")
    return attrs


def _check_version(target: Path, attrs: dict[str, Any]) -> None:
    version = attrs.get("contract_version")
    if version is None:
        raise StoreError(
            f"{target}: it is a Zarr store, but not one of seurat-tracks. Open it with "
            "xarray.open_zarr, and build a Dataset with seurat_tracks.from_arrays"
        )
    if version == CONTRACT_VERSION:
        return
    text = (
        f"{target}: its contract has version {version!r}; this seurat-tracks reads "
        f"version {CONTRACT_VERSION!r}. "
    )
    try:
        newer = int(version) > int(CONTRACT_VERSION)
    except (TypeError, ValueError):
        raise StoreError(text + "That version is unknown; check the store") from None
    raise StoreError(
        text
        + (
            "It is newer: upgrade seurat-tracks"
            if newer
            else "It is older: open it with the seurat-tracks that wrote it"
        )
    )


def _check_chunks(target: Path, mark: dict[str, Any]) -> None:
    chunks = mark.get("chunks")
    if not isinstance(chunks, dict):
        raise _damaged(target, "its completeness mark lists no chunks")
    short = [
        f"{name} has {found} of {expected} chunks"
        for name, expected in sorted(chunks.items())
        if (found := _count_chunks(target / name)) < expected
    ]
    for name in sorted(chunks):
        try:
            json.loads((target / name / "zarr.json").read_bytes())
        except FileNotFoundError:
            short.append(f"{name} has no zarr.json")
        except ValueError as error:
            raise _damaged(target, f"{name}/zarr.json is not JSON: {error}") from error
    if short:
        raise _damaged(target, "files are missing: " + ", ".join(short))


def _damaged(target: Path, why: str) -> StoreError:
    return StoreError(
        f"{target}: the store is damaged: {why}. Restore it from a copy, or make it "
        "again"
    )


def _in_memory(coords: xr.Coordinates) -> dict[str, Any]:
    """Load coordinates, with strings as NumPy has them."""
    loaded: dict[str, Any] = {}
    for name, array in coords.items():
        values = array.values
        if values.dtype.kind in "TO":
            values = np.array(values.tolist(), dtype=np.str_)
        loaded[str(name)] = (array.dims, values, array.attrs)
    return loaded
