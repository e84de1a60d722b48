"""Lift many videos or files of tracks; what fails is listed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seurat_tracks._version import __version__
from seurat_tracks.errors import SeuratTracksError, StoreError
from seurat_tracks.large import engine
from seurat_tracks.large.identity import digest, of_file
from seurat_tracks.large.inputs import Input, read_inputs
from seurat_tracks.large.work import alone_at

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "summary.csv"
"""File in the folder of outputs: one row for each input."""

FAILURES = "failures.csv"
"""The rows of those that failed; not there if none did."""

COLUMNS = ("input", "output", "status", "error", "tracks", "frames", "seconds")


@dataclass(frozen=True)
class _Item:
    """One input, its output, and how it is made."""

    input: Input
    target: Path
    key: str
    settings: dict[str, Any]
    track: dict[str, Any]
    read: dict[str, Any]
    overwrite: bool
    threads: int | None


def lift_many(
    sources: Any,
    out_dir: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    scheduler: str | None = None,
    progress: bool = True,
    track: Mapping[str, Any] | None = None,
    read: Mapping[str, Any] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Lift every video, store or file of tracks, each to a store of its own.

    One that fails does not stop the others. The same call again does what is missing
    and nothing else: outputs made of the same input with the same settings are left.

    Parameters
    ----------
    sources
        A folder, a table or a list; see `seurat_tracks.large.inputs.read_inputs`.
    out_dir
        Folder of the outputs, ``NAME.zarr`` each, of ``summary.csv`` and, if anything
        failed, ``failures.csv``. Made if it is not there.
    overwrite
        Replace outputs that were made of other input or with other settings.
    scheduler
        Address of a Dask scheduler, one input a task. None: the caller's
        `distributed.Client`, if there is one, else one after the other.
    progress
        Show a bar.
    track
        Settings of `seurat_tracks.track` for videos: tracker, queries, grid, ...
    read
        Options of `seurat_tracks.read` for files of tracks: frame_size, fps, ...
    **settings
        As for `seurat_tracks.lift3d`; what a table says of one input goes before. A
        depth model named looks at the input's own video.

    Returns
    -------
    pandas.DataFrame
        One row an input: input, output, status ("done", "was there" or "failed"),
        error, tracks, frames, seconds.

    Raises
    ------
    SeuratTracksError
        Before any work: if the inputs are not right (see `read_inputs`), a setting is
        unknown or wrong, the folder cannot be written to, outputs of other settings are
        there, another process is lifting to this folder, or the scheduler does not
        answer. Later: if it goes away.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    from seurat_tracks.workers import connected

    inputs = read_inputs(sources)
    _check_settings(settings)
    folder = Path(out_dir).expanduser().absolute()
    _check_folder(folder, inputs)
    with connected(scheduler) as client:
        items = [
            _item(one, folder, settings, track, read, overwrite, client)
            for one in inputs
        ]
        there = [item for item in items if _is_made(item)]
        _refuse_others(items, there, overwrite)
        folder.mkdir(exist_ok=True)
        if client is not None:
            from seurat_tracks.large.to_store import check_reach

            check_reach(client, [folder, *{one.path.parent: 0 for one in inputs}])
        rows = {item.target: _row(item, "was there") for item in there}
        todo = [item for item in items if item.target not in rows]
        bar = tqdm(total=len(items), desc="videos", unit="video", disable=not progress)

        def table() -> pd.DataFrame:
            made = [rows[i.target] for i in items if i.target in rows]
            return pd.DataFrame(made, columns=list(COLUMNS))

        try:
            each = engine.each(_do, todo, client, lost=_lost)
            with (
                alone_at(folder, folder / ".lift-many.lock"),
                bar,
                closing(each) as done,
            ):
                bar.update(len(there))
                _write(table(), folder)
                for item, row in done:
                    rows[item.target] = row
                    failed = sum(r["status"] == "failed" for r in rows.values())
                    bar.set_postfix(failed=failed)
                    bar.update()
                    _write(table(), folder)
        except engine.LostWorkers as error:
            raise SeuratTracksError(
                f"{error}. {len(rows)} of {len(items)} are finished; the same call, or "
                "the same command, does the rest"
            ) from error
    return table()


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse what is no setting of `lift3d`, or cannot be meant for many inputs."""
    import inspect

    from seurat_tracks.lift import lift3d
    from seurat_tracks.model.pretrained import load_model
    from seurat_tracks.ratios.settings import check_settings

    known = set(inspect.signature(lift3d).parameters) - {"ds", "video", "progress"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise SeuratTracksError(
            f"{', '.join(unknown)}: no such setting; there are "
            f"{', '.join(sorted(known))}"
        )
    check_settings(
        settings.get("fuse", "windows"),
        settings.get("strides"),
        settings.get("iterations"),
    )
    load_model(settings.get("model", "auto"))


def _check_folder(folder: Path, inputs: list[Input]) -> None:
    """Refuse a folder that cannot hold the outputs."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: it is a file; outputs go into a folder")
    if not folder.exists() and not folder.parent.is_dir():
        raise StoreError(
            f"{folder}: the folder {folder.parent} does not exist. Create it first"
        )
    place = folder if folder.exists() else folder.parent
    if not os.access(place, os.W_OK):
        raise StoreError(
            f"{folder}: cannot write, because {place} is read-only for you. Choose "
            "another folder, or get permission to write there"
        )
    same = [i.path for i in inputs if i.path.resolve() == _target(folder, i).resolve()]
    if same:
        raise StoreError(
            f"{same[0]}: its output would be itself; choose another folder than "
            f"{folder}, or give names in a table"
        )


def _target(folder: Path, one: Input) -> Path:
    return folder / f"{one.name}.zarr"


def _item(
    one: Input,
    folder: Path,
    settings: dict[str, Any],
    track: Mapping[str, Any] | None,
    read: Mapping[str, Any] | None,
    overwrite: bool,
    client: Any,
) -> _Item:
    from seurat_tracks.model.pretrained import load_model

    own = {**settings, **one.settings}
    used = {"video": dict(track or {}), "tracks": dict(read or {})}.get(one.kind, {})
    facts = {
        "seurat-tracks": __version__,
        "input": of_file(one.path),
        "settings": {
            k: _told(v) for k, v in own.items() if k not in ("model", "device")
        },
        "how": {k: _told(v) for k, v in used.items()},
        "model": load_model(own.get("model", "auto")).hash,
    }
    return _Item(
        one,
        _target(folder, one),
        digest(facts),
        own,
        dict(track or {}),
        dict(read or {}),
        overwrite,
        # of several workers on one machine each keeps to a core
        None if client is None else 1,
    )


def _told(value: Any) -> Any:
    """JSON values that tell one setting from another."""
    from dask.base import tokenize

    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | os.PathLike):
        path = Path(value).expanduser()
        return [os.fspath(value), of_file(path) if path.exists() else None]
    if hasattr(value, "at_tracks"):
        from seurat_tracks.large.identity import of_source

        return of_source(value)
    return tokenize(value)


def _is_made(item: _Item) -> bool:
    """Whether the output is there, whole, of this input and these settings."""
    from seurat_tracks.io.store import open_store

    if not item.target.exists():
        return False
    try:
        made = open_store(item.target, chunks=None).attrs.get("lift_key")
    except (StoreError, OSError):
        return False
    return bool(made == item.key)


def _refuse_others(items: list[_Item], there: list[_Item], overwrite: bool) -> None:
    from seurat_tracks.io.store import check_target

    for item in items:
        if item in there or not item.target.exists():
            continue
        if not overwrite:
            raise StoreError(
                f"{item.target}: it was made of another input, with other settings, or "
                "by something else. Pass overwrite=True (--overwrite) to replace it, "
                "or choose another folder"
            )
        check_target(item.target, overwrite=True)


def _row(item: _Item, status: str, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS, None)
    row.update(input=str(item.input.path), output=str(item.target), status=status)
    row.update(error="", **more)
    return row


def _write(table: pd.DataFrame, folder: Path) -> None:
    """Write the tables, whole or not at all."""
    failed = table[table["status"] == "failed"]
    for name, rows in ((SUMMARY, table), (FAILURES, failed)):
        path = folder / name
        if name == FAILURES and not len(rows):
            path.unlink(missing_ok=True)
            continue
        new = path.with_name(f".{name}.new")
        rows.to_csv(new, index=False)
        new.replace(path)


def _do(item: _Item) -> dict[str, Any]:
    """Lift one input; an error of it is a row, not the end."""
    begin = time.perf_counter()
    try:
        size = _lifted(item)
    except Exception as error:
        from seurat_tracks.interrupt import Interrupted

        if isinstance(error, Interrupted):
            raise
        text = " ".join(str(error).split())
        if not text or not isinstance(error, SeuratTracksError | OSError):
            text = f"{type(error).__name__}: {text}"
        row = _row(item, "failed", seconds=round(time.perf_counter() - begin, 3))
        return {**row, "error": text}
    seconds = round(time.perf_counter() - begin, 3)
    return _row(
        item, "done", tracks=size["track"], frames=size["time"], seconds=seconds
    )


def _lost(item: _Item) -> dict[str, Any]:
    """Row of an input that ends every worker that tries it."""
    row = _row(item, "failed")
    return {**row, "error": "its worker died, again and again; has it enough memory?"}


def _lifted(item: _Item) -> Mapping[Any, int]:
    """Make the output; give the sizes of the tracks."""
    import warnings

    from seurat_tracks.io.formats import read
    from seurat_tracks.io.store import open_store, save
    from seurat_tracks.large.to_store import DEFAULTS, lift_with
    from seurat_tracks.lift import lift3d
    from seurat_tracks.trackers.track import track

    path, settings = item.input.path, item.settings
    if item.input.kind == "store":
        lift_with(
            None,
            path,
            item.target,
            overwrite=item.overwrite,
            threads=item.threads,
            key=item.key,
            **{**DEFAULTS, **settings},
        )
        return open_store(item.target, chunks=None).sizes
    with warnings.catch_warnings():
        # said once, by who calls, not once for each of a thousand videos
        warnings.filterwarnings("ignore", message="no camera intrinsics given")
        if item.input.kind == "video":
            ds = track(path, **{"progress": False, **item.track})
            out = lift3d(ds, video=path, **settings)
        else:
            out = lift3d(read(path, **item.read), **settings)
    save(out.assign_attrs(lift_key=item.key), item.target, overwrite=item.overwrite)
    return out.sizes
