"""A lift from store to store in steps that any process can do, in any order.

Everything that a step needs is in a `Job`, which is small and picklable, or in the work
folder. Tracks and depth are read from the disk by the process that needs them.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.io.regions import fill_rest, fill_tracks
from seurat_tracks.large.work import Work

TASK_TRACKS = 1024
"""Tracks of one pass of the network, unless the video is very long."""

TASK_SIZE = 2**24
"""Track-frames of one task at most: 64 tracks are the least."""

MEASURED_AT_ONCE = 2**24
"""Track-frames for which a depth source is sampled at once."""

WRITTEN_AT_ONCE = 2**22
"""Track-frames whose results are held to be written together, if a chunk has more."""

BYTES = 150
"""What a task holds at its peak for each track-frame, about."""


_SCHEDULER = "synchronous"
# A step computes in its own thread, one task after the other, in the order that holds
# least. Said at every call: Dask's settings are shared by all threads.


def task_tracks(n_frames: int) -> int:
    """Tracks of one task: a power of two, fewer only for very long videos."""
    most = max(64, TASK_SIZE // max(1, n_frames))
    return min(TASK_TRACKS, 2 ** int(np.log2(most)))


@dataclass(frozen=True)
class Measured:
    """A depth source whose depth at the tracks lies in the work folder."""

    name: str
    licence: str
    metric: bool
    span: Any


@dataclass(frozen=True)
class Job:
    """What is lifted, where to, and how.

    Attributes
    ----------
    source, work
        Store of tracks, and the work folder.
    region
        Tracks that are written by one step: whole chunks of the target.
    task
        Tracks that go through the network together.
    attrs
        Attributes of the tracks, with the camera.
    depth
        None, a depth that a person states, or `Measured`.
    model, device, fuse, strides, iterations, precision, compile, anchor, affine, poses
        As for `seurat_tracks.lift3d`; the device is one of those who do the work.
    """

    source: Path
    work: Work
    region: int
    task: int
    attrs: dict[str, Any]
    depth: Any
    model: str
    device: str
    fuse: Any
    strides: tuple[int, ...] | None
    iterations: int | None
    precision: Any
    compile: bool
    anchor: Any
    affine: Any
    poses: Any = field(default=None, compare=False)

    def tracks(self) -> xr.Dataset:
        """Open the tracks, in chunks of one task each."""
        from seurat_tracks.io.store import open_store

        ds = open_store(self.source).chunk({"track": self.task})
        return ds.assign_attrs(self.attrs)

    def prepared(self, ds: xr.Dataset, *, support: bool = True) -> Any:
        """Plan the windows, with the support that was drawn; or to draw it."""
        from seurat_tracks.ratios.prepare import prepare

        drawn = None
        if support and "support_xy" not in ds:
            folder = self.work.folder / "support"
            n = len(list(folder.glob("*.zarr")))
            drawn = [
                xr.open_zarr(folder / f"{i}.zarr", consolidated=False)["places"]
                for i in range(n)
            ]
            # each task reads the chunks that it needs, as one
            drawn = [a.drop_encoding().chunk(-1) for a in drawn]
        return prepare(
            ds,
            self.model,
            self.device,
            fuse=self.fuse,
            strides=self.strides,
            iterations=self.iterations,
            precision=self.precision,
            compile=self.compile,
            support=drawn,
        )

    def measured(self, ds: xr.Dataset) -> Any:
        """Give the depth source as the steps use it."""
        from seurat_tracks.depth import AtTracks

        if not isinstance(self.depth, Measured):
            return self.depth
        stored = xr.open_zarr(self.work.folder / "depth.zarr", consolidated=False)
        values = stored["depth"].chunk({"track": ds.chunksizes["track"], "time": -1})
        source = AtTracks(
            values.data,
            name=self.depth.name,
            licence=self.depth.licence,
            metric=self.depth.metric,
            check=False,
        )
        source.span = self.depth.span
        return source

    def lifted(self) -> xr.Dataset:
        """Give the whole answer, lazily."""
        from seurat_tracks.lift import lift_prepared

        ds = self.tracks()
        fit = self.work.folder / "fit.npy"
        out = lift_prepared(
            ds,
            self.prepared(ds),
            self.measured(ds),
            anchor=self.anchor,
            affine=self.affine,
            poses=self.poses,
            fit=xr.DataArray(np.load(fit), dims="fit") if fit.exists() else None,
        )
        return out.assign_attrs(lift_key=self.work.key)


@dataclass(frozen=True)
class Step:
    """One step of a job, to be done anywhere."""

    job: Job
    name: str
    number: int = 0

    def __call__(self) -> str:
        """Do it, and mark it done, unless nobody waits for it any more."""
        work = self.job.work
        if work.left_over():
            return self.mark
        try:
            _DO[self.name](self.job, self.number)
        finally:
            late = work.left_over()
            if late:
                work.sweep()
        if not late:
            work.mark(self.mark)
        return self.mark

    @property
    def mark(self) -> str:
        """Name of its mark."""
        return f"{self.name}-{self.number:06d}"


def do(step: Step) -> str:
    """Do a step: what is sent to workers."""
    return step()


def _draw_support(job: Job, piece: int) -> None:
    """Draw the support of one piece of time."""
    places = job.prepared(job.tracks(), support=False).support[piece][0]
    values = places.compute(scheduler=_SCHEDULER)
    window = max(1, 2**22 // max(1, values[:1].nbytes))
    _save_array(
        job.work.folder / "support" / f"{piece}.zarr",
        "places",
        values,
        {"window": min(window, values.sizes["window"])},
    )


def _learn(job: Job, _: int) -> None:
    """Learn how the depth source errs."""
    from seurat_tracks import scale
    from seurat_tracks.lift import learn_source

    ds = job.tracks()
    source = job.measured(ds)
    fit = learn_source(ds, job.prepared(ds), source.at_tracks(ds), job.affine)
    assert scale.learns(source, job.anchor)
    path = job.work.folder / "fit.npy"
    new = path.with_name(f"fit.{uuid.uuid4().hex}.npy")
    np.save(new, fit.compute(scheduler=_SCHEDULER).values)
    new.replace(path)


def _lift(job: Job, region: int) -> None:
    """Lift the tracks of some chunks of the target, and write them."""
    out = whole(job)
    n, T = out.sizes["track"], out.sizes["time"]
    begin, end = region * job.region, min((region + 1) * job.region, n)
    step = job.region if job.region * T <= WRITTEN_AT_ONCE else job.task
    for first in range(begin, end, step):
        tracks = slice(first, min(first + step, end))
        fill_tracks(out.isel(track=tracks), job.work.store, tracks)


def _copy(job: Job, _: int) -> None:
    """Copy what has no tracks."""
    fill_rest(whole(job), job.work.store)


_DO: dict[str, Callable[[Job, int], None]] = {
    "support": _draw_support,
    "learn": _learn,
    "lift": _lift,
    "rest": _copy,
}

_opened: dict[str, xr.Dataset] = {}
_opening = threading.Lock()


def whole(job: Job) -> xr.Dataset:
    """Build the graph of the whole answer once per process."""
    key = str(job.work.folder)
    with _opening:
        if key not in _opened:
            _opened.clear()
            _opened[key] = job.lifted()
        return _opened[key]


def _save_array(
    folder: Path, name: str, values: xr.DataArray, chunks: dict[str, int]
) -> None:
    """Write one array as a store of its own, unless it is there: whole or not at all.

    Others may read it from the moment that it is there.
    """
    sizes = tuple(chunks.get(str(d), n) for d, n in values.sizes.items())
    new = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.new")
    values.to_dataset(name=name).to_zarr(
        new,
        mode="w",
        consolidated=False,
        zarr_format=3,
        encoding={name: {"chunks": sizes}},
    )
    try:
        new.rename(folder)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        if not folder.exists():
            raise
