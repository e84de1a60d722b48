"""Lift a store of tracks into another; what is done is kept when it is interrupted."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError, StoreError
from seurat_tracks.large import engine
from seurat_tracks.large.identity import of_store
from seurat_tracks.large.job import BYTES, MEASURED_AT_ONCE, Job, Step, do, whole
from seurat_tracks.large.plan import plan
from seurat_tracks.large.work import Work
from seurat_tracks.lift import lift3d

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.model.speed import Precision

DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in signature(lift3d).parameters.items()
    if name not in ("ds", "progress")
}
"""Settings of a lift where nothing else is said."""

MEMORY = 2**30 + 2**28
"""Bytes that the tasks of one process may take together, about."""


def lift_store(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resume: bool = True,
    scheduler: str | None = None,
    progress: bool = False,
    depth: Any = None,
    video: Any = None,
    intrinsics: Any = None,
    poses: Any = None,
    anchor: Any = "robust",
    affine: Any = None,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fuse: Any = "windows",
    strides: Sequence[int] | None = None,
    iterations: int | None = None,
    precision: Precision = "auto",
    compile: bool = False,
) -> Path:
    """Lift a store of tracks to 3D, into another store; resumed if interrupted.

    Tracks are read, lifted and written region by region, so memory depends neither on
    the number of tracks nor on the size of the store. What is done is kept beside the
    target in a hidden folder until all is done: the same call goes on where it stopped,
    whatever stopped it, and `target` is there only when it is whole.

    Parameters
    ----------
    source
        Store of tracks that `seurat_tracks.io.store.save` wrote.
    target
        Store to write.
    overwrite
        Replace a store at `target`, once the new one is whole.
    resume
        Whether to go on with an unfinished lift to `target`. One of other input or
        settings is then refused. False drops whatever unfinished lift is there.
    scheduler
        Address of a Dask scheduler whose workers do the work. None: the caller's
        `distributed.Client`, if there is one, else threads of this process. Workers
        need the same paths, and best have one thread each.
    progress
        Show a bar.
    depth, video, intrinsics, poses, anchor, affine, model, device, fuse, strides, \
iterations, precision, compile
        As for `seurat_tracks.lift3d`. A depth source other than numbers is sampled
        first, by this process.

    Returns
    -------
    pathlib.Path
        `target`. The store holds all of `source`, what `lift3d` adds, and the attribute
        ``lift_key``, a fingerprint of input and settings.

    Raises
    ------
    StoreError
        Before any work: if `source` is no store, `target` is `source`, exists or cannot
        be written to, or an unfinished lift of other input or settings is there. Later:
        if the disk is full, `source` was changed meanwhile, or scheduler or workers
        went away; what is done is kept.
    SeuratTracksError
        Before any work: if the scheduler does not answer or has no workers.
    SchemaError, WeightsError, DepthError, CameraError
        As `lift3d`, before any region is lifted.
    """
    from seurat_tracks.workers import connected

    settings = {
        "depth": depth,
        "video": video,
        "intrinsics": intrinsics,
        "poses": poses,
        "anchor": anchor,
        "affine": affine,
        "model": model,
        "device": device,
        "fuse": fuse,
        "strides": strides,
        "iterations": iterations,
        "precision": precision,
        "compile": compile,
    }
    _check_paths(source, target, overwrite=overwrite)
    with connected(scheduler) as client:
        lift_with(
            client,
            source,
            target,
            overwrite=overwrite,
            resume=resume,
            progress=progress,
            **settings,
        )
    return Path(target)


def lift_with(
    client: Any,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resume: bool = True,
    progress: bool = False,
    threads: int | None = None,
    key: str | None = None,
    **settings: Any,
) -> None:
    """Do what `lift_store` does with a client that is connected, or with None.

    ``key`` replaces the fingerprint that the store says it is of; ``threads`` is how
    many tasks this process works on at once, where it works itself.
    """
    place = _check_paths(source, target, overwrite=overwrite)
    job, measure = plan(client, Path(source), place, **settings)
    work = job.work
    if not work.done("checked"):
        from seurat_tracks.schema import validate_for_lift

        validate_for_lift(job.tracks())
    with work.locked():
        work.open(resume=resume)
        with _explained(work):
            work.mark("checked")
            if client is not None:
                check_reach(client, [job.source, work.folder])
            _run(
                job,
                measure,
                client,
                threads=threads,
                progress=progress,
                overwrite=overwrite,
                key=key,
            )


def _check_paths(source: Any, target: Any, *, overwrite: bool) -> Path:
    """Refuse what can be refused by looking at the paths; give the target's own."""
    from seurat_tracks.io.store import check_target

    here, there = (Path(p).expanduser().resolve() for p in (source, target))
    if here == there or here in there.parents or there in here.parents:
        raise StoreError(
            f"{target}: the target is the source, or one lies in the other; a store "
            "cannot be lifted into itself. Choose another path"
        )
    check_target(target, overwrite=overwrite)
    return there


def _run(
    job: Job,
    measure: Any,
    client: Any,
    *,
    threads: int | None,
    progress: bool,
    overwrite: bool,
    key: str | None,
) -> None:
    """Do what is missing, then put the store in place."""
    from tqdm.auto import tqdm

    from seurat_tracks import scale
    from seurat_tracks.io.regions import finish, lay_out
    from seurat_tracks.io.store import check_target

    work = job.work
    ds = job.tracks()
    n, T = ds.sizes["track"], ds.sizes["time"]
    if threads is None:
        room = MEMORY // (BYTES * job.task * T)
        threads = max(1, min(engine.cores(), engine.MOST_THREADS, room))
    steps: list[list[Step]] = []
    if "support_xy" not in ds:
        pieces = len(job.prepared(ds, support=False).pieces)
        steps.append([Step(job, "support", i) for i in range(pieces)])
    if measure is not None:
        _measure(job, ds, measure, progress=progress)
        if scale.learns(job.measured(ds), job.anchor):
            steps.append([Step(job, "learn")])
    for group in steps:
        with closing(engine.each(do, _missing(group), client, threads=threads)) as it:
            for _ in it:
                pass
    if not work.done("laid-out"):
        out = whole(job)
        lay_out(out if key is None else out.assign_attrs(lift_key=key), work.store)
        work.mark("laid-out")
    regions = [Step(job, "lift", i) for i in range(-(-n // job.region))]
    todo = [Step(job, "rest"), *regions]
    bar = tqdm(total=n, desc="lifting", unit="track", disable=not progress)
    with bar, closing(engine.each(do, _missing(todo), client, threads=threads)) as it:
        bar.update(min(n, sum(job.region for s in regions if work.done(s.mark))))
        for step, _ in it:
            if step.name == "lift":
                bar.update(min(job.region, n - bar.n))
    if of_store(job.source) != work.facts["input"]:
        raise StoreError(
            f"{work.target}: {job.source} was changed while it was lifted, so parts of "
            "the result are of the old tracks. Begin anew, with resume=False "
            "(--restart)"
        )
    check_target(work.target, overwrite=overwrite)
    finish(whole(job), work.store, work.target, work.backup)
    work.remove()


def _missing(steps: list[Step]) -> list[Step]:
    return [step for step in steps if not step.job.work.done(step.mark)]


def _measure(job: Job, ds: xr.Dataset, source: Any, *, progress: bool) -> None:
    """Sample a depth source at all tracks, many tracks at a time, onto the disk."""
    import dask.array as da
    import xarray as xr
    import zarr
    from tqdm.auto import tqdm

    from seurat_tracks.depth import AtTracks

    work, folder = job.work, job.work.folder / "depth.zarr"
    n, T = ds.sizes["track"], ds.sizes["time"]
    chunk = ds.chunksizes["track"][0]
    if not work.done("measure"):
        empty = xr.DataArray(
            da.zeros((n, T), np.float32, chunks=(chunk, -1)), dims=("track", "time")
        )
        empty.to_dataset(name="depth").to_zarr(
            folder, mode="w", compute=False, consolidated=False, zarr_format=3
        )
        work.mark("measure")
    many = max(chunk, MEASURED_AT_ONCE // T // chunk * chunk)
    array = zarr.open_array(folder / "depth", mode="r+")
    whole = source.at_tracks(ds) if isinstance(source, AtTracks) else None
    starts = range(0, n, many)
    for begin in tqdm(starts, desc="depth", disable=not progress):
        if work.done(f"measure-{begin:09d}"):
            continue
        rows = slice(begin, min(begin + many, n))
        if whole is not None:
            values = whole.isel(track=rows)
        else:
            part = ds[["xy", "visible"]].isel(track=rows).compute()
            values = source.at_tracks(part.assign_attrs(ds.attrs))
        array[rows] = values.transpose("track", "time").values
        work.mark(f"measure-{begin:09d}")


def check_reach(client: Any, paths: Sequence[Path]) -> None:
    """Refuse workers that do not see the folders."""
    answers = client.run(_unseen, [str(p) for p in paths])
    for worker, missing in answers.items():
        if missing:
            raise StoreError(
                f"the worker {worker} does not see {missing[0]}: workers read and "
                "write the stores themselves, so these must lie on a disk that all "
                "machines have at the same path"
            )


def _unseen(paths: list[str]) -> list[str]:
    return [p for p in paths if not os.path.isdir(p)]


@contextmanager
def _explained(work: Work) -> Iterator[None]:
    """Say what is kept, and how to go on, when the disk or the workers fail."""
    try:
        yield
    except engine.LostWorkers as error:
        raise StoreError(f"{work.target}: {error}. {_kept(work)}") from error
    except SeuratTracksError:
        # what cannot be lifted leaves nothing behind
        if not work.finished():
            work.remove()
        raise
    except Exception as error:
        if _code(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreError(
                f"{work.target}: the disk is full. Free space. {_kept(work)}"
            ) from error
        if isinstance(error, OSError):
            raise StoreError(f"{work.target}: {error}. {_kept(work)}") from error
        raise


def _kept(work: Work) -> str:
    return (
        f"{len(work.finished())} finished regions are kept beside the target: the same "
        "call, or the same command, goes on from there"
    )


def _code(error: BaseException | None) -> int | None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None
