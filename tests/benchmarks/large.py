"""Lift a store larger than memory into another: time, and the peak of each process.

    python -m tests.benchmarks.large [--tracks 4096 8192] [--frames 2000]
        [--support 24] [--strides 1 2 4 8 16] [--model tiny] [--workers 0]
        [--threads N] [--folder DIR]

The whole of it is ``--tracks 100000 --model none --strides 1 2 4 --folder DIR``.
Points stand in a street that a camera drives along; positions are float32, made and
stored region by region. Every size is lifted (ratios, anchor, depth, xyz) in a process
of its own, whose largest resident set is shown; with ``--workers`` by that many Dask
workers of one thread each, of which the largest is shown. ``--support N`` stores N
support points for each window with the tracks; 0 lets support be drawn from them.

``--model none`` is no network but a short cut: the depth of a point that stands still,
by how far it has come from the middle of the image, which is right in this street. All
else is what it always is. ``tiny`` is a random network of the least size, ``auto`` the
real one. Fewer ``--strides`` make curves quicker to fit. ``MB each 1000`` is how much
of the peak more tracks account for.

With ``--folder`` what was made stays there until it is lifted: the same command goes on
after an interrupt, and says how much was there. Without, nothing is left.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIZE = (1280, 720)
FOCAL = 1000.0
NEAR, FAR = 3.0, 45.0
SPEED = 0.02  # metres a frame
CHUNK = 1024


class Run(NamedTuple):
    """What a run took: seconds of the clock and of the processors, MB at the peak.

    ``there`` is the share of the tracks that an earlier run had lifted.
    """

    tracks: int
    frames: int
    seconds: float
    processor: float
    peak: float
    there: float


def points(n: int, frames: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, T, 2) and visibility (n, T) of points that come by again and again."""
    rng = np.random.default_rng(seed)
    half = np.array(SIZE) / 2
    z = rng.uniform(NEAR, FAR, (n, 1)) - SPEED * frames
    z = NEAR + np.mod(z - NEAR, FAR - NEAR)
    place = (
        rng.uniform(-0.9, 0.9, (n, 1, 2)) * half / FOCAL * rng.uniform(3, 20, (n, 1, 1))
    )
    xy = FOCAL * place / z[..., None] + half - 0.5
    xy = (xy + rng.normal(0, 0.2, xy.shape)).astype(np.float32)
    visible = ((xy >= 0) & (xy <= np.array(SIZE) - 1)).all(-1)
    visible[:, 0] |= ~visible.any(1)
    xy = np.clip(xy, 0, np.array(SIZE, np.float32) - 1)
    xy[~visible] = np.nan
    return xy, visible


def make_store(
    path: Path,
    tracks: int,
    frames: int,
    support: int,
    strides: Sequence[int] | None = None,
) -> None:
    """Write tracks that never were in memory together."""
    import dask
    import dask.array as da
    import xarray as xr

    from seurat_tracks.io.arrays import from_arrays
    from seurat_tracks.windows import plan_windows

    time_axis = np.arange(frames)
    ids = da.arange(tracks, chunks=CHUNK)

    def block(ids: np.ndarray, which: int) -> np.ndarray:
        return points(len(ids), time_axis, int(ids[0]))[which]

    sizes = ids.chunks[0]
    xy = ids.map_blocks(
        block,
        0,
        dtype=np.float32,
        new_axis=[1, 2],
        chunks=(sizes, (frames,), (2,)),
        meta=np.empty((0, 0, 0), np.float32),
    )
    visible = ids.map_blocks(
        block,
        1,
        dtype=bool,
        new_axis=[1],
        chunks=(sizes, (frames,)),
        meta=np.empty((0, 0), bool),
    )
    empty = from_arrays(np.zeros((1, frames, 2), np.float32), frame_size=SIZE)
    ds = xr.Dataset(
        {
            "xy": (("track", "time", "coord"), xy),
            "visible": (("track", "time"), visible),
        },
        coords={
            "track": np.arange(tracks),
            "time": empty["time"],
            "coord": empty["coord"],
        },
        attrs=empty.attrs,
    )
    if support:
        plan = plan_windows(frames, strides=strides)
        steps = np.maximum(plan.frames, 0)
        places, seen = points(support, time_axis, 10**9)
        ds = ds.assign(
            support_xy=(
                ("window", "support", "step", "coord"),
                np.moveaxis(places[:, steps], 0, 1),
            ),
            support_visible=(
                ("window", "support", "step"),
                np.moveaxis(seen[:, steps], 0, 1) & (plan.frames >= 0)[:, None],
            ),
        ).assign_coords(
            window_start=("window", plan.start), window_stride=("window", plan.stride)
        )
    with dask.config.set(scheduler="synchronous"):
        ds.seurat.save(path)


def tiny_weights(path: Path) -> Path:
    """Write a random network of the least size."""
    import torch

    from seurat_tracks.model.config import ModelConfig
    from seurat_tracks.model.network import SeuratNetwork
    from seurat_tracks.model.pretrained import save_weights

    size = ModelConfig(
        width=32,
        heads=1,
        layers=1,
        mlp_ratio=1.0,
        shared_branches=True,
        near=4,
        far=0,
        pair_width=8,
        motions=1,
        iterations=1,
    )
    torch.manual_seed(0)
    save_weights(path, SeuratNetwork(size).state_dict(), size, record={})
    return path


def take_short_cut() -> None:
    """Let this process answer without a network."""
    import torch

    from seurat_tracks.model import pretrained
    from seurat_tracks.model.network import Prediction

    class ShortCut(torch.nn.Linear):
        even_batches = False

        def encode_support(self, *args: Any, **kwargs: Any) -> None:
            return None

        def query(self, xy: Any, visible: Any, state: None) -> list[Prediction]:
            away = xy.norm(dim=-1).nan_to_num(1.0).clamp_min(0.01).log()
            ratio = torch.where(visible, away[..., :1] - away, 0.0)
            return [Prediction(ratio, torch.full_like(ratio, -3.0))]

    pretrained.cached_network = lambda *args: ShortCut(1, 1)  # type: ignore[assignment]


def peak() -> float:
    """Largest resident set of this process so far, MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def processor() -> float:
    """Seconds of the processors that this process has used."""
    return time.process_time()


def lift(
    source: Path, target: Path, model: str, workers: int, threads: int | None
) -> tuple[float, float, float, float]:
    """Lift a store, as `Run` tells it after the sizes."""
    import torch

    from seurat_tracks.large.to_store import DEFAULTS, lift_with

    if threads:
        torch.set_num_threads(threads)
    shortened = model == "none"
    settings = {
        **DEFAULTS,
        "depth": 10.0,
        "intrinsics": (FOCAL, FOCAL, *((np.array(SIZE) - 1) / 2)),
        "model": "auto" if shortened else model,
        "device": "cpu",
    }
    there = lifted(source, target)
    if not workers:
        if shortened:
            take_short_cut()
        start, worked = time.perf_counter(), processor()
        lift_with(None, source, target, threads=threads, progress=True, **settings)
        return time.perf_counter() - start, processor() - worked, peak(), there
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        if shortened:
            client.run(take_short_cut)
        before = sum(client.run(processor).values())
        start = time.perf_counter()
        lift_with(client, source, target, progress=True, **settings)
        seconds = time.perf_counter() - start
        worked = sum(client.run(processor).values()) - before
        return seconds, worked, max(peak(), *client.run(peak).values()), there


def lifted(source: Path, target: Path) -> float:
    """Share of the regions that an interrupted lift has done."""
    from seurat_tracks.io.store import chunk_sizes, open_store
    from seurat_tracks.large.job import task_tracks

    ds = open_store(source, chunks=None)
    n, frames = ds.sizes["track"], ds.sizes["time"]
    region = max(chunk_sizes(n, frames)["track"], task_tracks(frames))
    done = list(target.parent.glob(f".{target.name}.*.partial/done/lift-*"))
    return len(done) / -(-n // region)


def measure(
    tracks: int,
    frames: int,
    *,
    support: int,
    strides: Sequence[int] | None,
    model: str,
    workers: int,
    threads: int | None,
    folder: Path,
) -> Run:
    """Make a store and lift it, each in a process of its own; remove both."""
    name = f"{tracks}-{frames}-{support}-{'-'.join(map(str, strides or ['usual']))}"
    source, target = folder / f"tracks-{name}.zarr", folder / f"lifted-{name}.zarr"
    spawn = get_context("spawn")
    if not source.exists():
        with spawn.Pool(1) as pool:
            pool.apply(make_store, (source, tracks, frames, support, strides))
    with spawn.Pool(1) as pool:
        pool.apply(_undo_daemon)
        run = pool.apply(lift, (source, target, model, workers, threads))
    for path in (source, target):
        shutil.rmtree(path)
    return Run(tracks, frames, *run)


def _undo_daemon() -> None:
    """Let this process have workers of its own."""
    from multiprocessing import current_process

    current_process()._config["daemon"] = False  # type: ignore[attr-defined]


@contextmanager
def workplace(args: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """Give a temporary folder, in ``--folder`` if said, and the model to lift with."""
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        yield folder, model_of(args, folder)


def model_of(args: argparse.Namespace, folder: Path) -> str:
    """Give the model that was asked for; tiny weights are made in the folder."""
    if args.model != "tiny":
        return str(args.model)
    return os.fspath(tiny_weights(folder / "tiny.safetensors"))


def arguments(about: str, **defaults: Any) -> argparse.ArgumentParser:
    """Give the options that the benchmarks of large data share."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, nargs="+", default=defaults["tracks"])
    parser.add_argument("--frames", type=int, nargs="+", default=defaults["frames"])
    parser.add_argument("--support", type=int, default=24)
    parser.add_argument("--model", default="tiny", help="tiny, or weights by name")
    parser.add_argument("--folder", type=Path, help="for the stores; temporary else")
    return parser


def main() -> None:
    """Lift every size and write a table."""
    parser = arguments(str(__doc__), tracks=[4096, 8192], frames=[2000])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, help="tasks at once in this process")
    parser.add_argument("--strides", type=int, nargs="+", help="of the stored support")
    args = parser.parse_args()
    if args.strides and not args.support:
        parser.error("--strides are those of stored support: give --support")
    out = sys.stdout
    with ExitStack() as stack:
        folder = args.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        model = model_of(args, folder)
        out.write(
            "tracks  frames  seconds  processor  us a track-frame  peak, MB  "
            "was there\n"
        )
        runs = []
        for frames in args.frames:
            for tracks in args.tracks:
                run = measure(
                    tracks,
                    frames,
                    support=args.support,
                    strides=args.strides,
                    model=model,
                    workers=args.workers,
                    threads=args.threads,
                    folder=folder,
                )
                runs.append(run)
                each = 1e6 * run.processor / tracks / frames
                out.write(
                    f"{tracks:6d}  {frames:6d}  {run.seconds:7.1f}  "
                    f"{run.processor:9.1f}  {each:16.2f}  {run.peak:8.0f}  "
                    f"{run.there:9.0%}\n"
                )
                out.flush()
        for a, b in pairwise(runs):
            if a.frames == b.frames and a.tracks != b.tracks:
                more = 1000 * (b.peak - a.peak) / (b.tracks - a.tracks)
                out.write(f"{a.tracks} to {b.tracks} tracks: {more:.1f} MB each 1000\n")


if __name__ == "__main__":
    main()
