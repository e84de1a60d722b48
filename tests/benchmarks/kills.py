"""Kill workers, and whole runs, in the middle of a lift: is anything lost?

    python -m tests.benchmarks.kills [--kills 50] [--workers 4] [--seed 0]

A small store of many regions is lifted undisturbed, for its bytes. Then it is lifted
again and again by Dask workers in processes of their own, one of which is killed
(SIGKILL) after a random number of regions; every fifth time the whole run, in one
process without Dask, is killed instead, and run once more. Every result must have the
bytes of the first. A run that ends with an error must say that the same call goes on,
and does so.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.large import SIZE, points, tiny_weights

TRACKS, FRAMES, TASK = 64, 24, 4
CAMERA = (1000.0, 1000.0, 639.5, 359.5)


@contextmanager
def small_regions() -> Iterator[None]:
    """Regions of four tracks, so that a few tracks are many."""
    from seurat_tracks.io import store
    from seurat_tracks.large import job

    before = store.MIN_TRACKS, store.MAX_TRACKS, job.TASK_TRACKS
    store.MIN_TRACKS = store.MAX_TRACKS = job.TASK_TRACKS = TASK
    try:
        yield
    finally:
        store.MIN_TRACKS, store.MAX_TRACKS, job.TASK_TRACKS = before


def make_store(path: Path, tracks: int = TRACKS) -> None:
    """Write a small store of many chunks."""
    import seurat_tracks as st

    xy, visible = points(tracks, np.arange(FRAMES), 0)
    visible[:, 0] = True
    xy[~np.isfinite(xy)] = 5
    ds = st.from_arrays(xy, visible, frame_size=SIZE)
    with small_regions():
        ds.seurat.save(path)


def content(folder: Path) -> str:
    """Hash of every byte of a folder."""
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(path.relative_to(folder).as_posix().encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def lift(source: Path, target: Path, model: Path, client: Any = None) -> None:
    """Lift the small store."""
    import torch

    from seurat_tracks.large.to_store import DEFAULTS, lift_with

    torch.set_num_threads(1)
    settings = {**DEFAULTS, "depth": 10.0, "intrinsics": CAMERA, "device": "cpu"}
    with small_regions():
        lift_with(client, source, target, threads=1, **settings | {"model": str(model)})


def finished(target: Path) -> int:
    """How many regions of an unfinished lift are done."""
    return len(list(target.parent.glob(f".{target.name}.*.partial/done/lift-*")))


def worker_ids(client: Any) -> list[int]:
    """Process ids of the workers that live."""
    return list(client.run(os.getpid).values())


class Killer(threading.Thread):
    """Kills one process once so many regions of a target are finished."""

    def __init__(self, target: Path, after: int, process: int) -> None:
        super().__init__(daemon=True)
        self.target, self.after, self.process = target, after, process
        self.killed = False

    def run(self) -> None:
        """Wait for the moment, or for the end of the lift."""
        while not self.target.exists():
            if finished(self.target) >= self.after:
                os.kill(self.process, signal.SIGKILL)
                self.killed = True
                return
            time.sleep(0.002)


def one_worker_killed(
    client: Any, source: Path, target: Path, model: Path, draw: random.Random
) -> tuple[bool, int]:
    """Lift with a worker killed; whether one was, and how often it was begun anew."""
    from seurat_tracks.errors import StoreError

    client.wait_for_workers(2)
    killer = Killer(
        target, draw.randrange(TRACKS // TASK), draw.choice(worker_ids(client))
    )
    killer.start()
    repeats = 0
    while not target.exists():
        try:
            lift(source, target, model, client)
        except StoreError as error:
            if "goes on from there" not in str(error):
                raise
            repeats += 1
    killer.join()
    return killer.killed, repeats


def whole_run_killed(
    source: Path, target: Path, model: Path, draw: random.Random
) -> tuple[bool, int]:
    """Lift in a process that is killed, then once more in another."""
    spawn = get_context("spawn")
    process = spawn.Process(target=lift, args=(source, target, model))
    process.start()
    assert process.pid is not None
    killer = Killer(target, draw.randrange(TRACKS // TASK), process.pid)
    killer.start()
    process.join()
    if not target.exists():
        lift(source, target, model)
    killer.join()
    return killer.killed, int(killer.killed)


def main() -> None:
    """Kill, compare, and say how often the answer was the same."""
    import shutil

    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    out = sys.stdout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = tiny_weights(folder / "tiny.safetensors")
        source, target = folder / "tracks.zarr", folder / "lifted.zarr"
        make_store(source)
        lift(source, target, model)
        right = content(target)
        shutil.rmtree(target)
        cluster = LocalCluster(
            n_workers=args.workers, threads_per_worker=1, dashboard_address=None
        )
        kills = same = repeated = 0
        with cluster, Client(cluster) as client:
            while kills < args.kills:
                if kills % 5 == 4:
                    killed, repeats = whole_run_killed(source, target, model, draw)
                else:
                    killed, repeats = one_worker_killed(
                        client, source, target, model, draw
                    )
                equal = content(target) == right
                left = [p.name for p in folder.glob(".*")]
                shutil.rmtree(target)
                if not equal or left:
                    raise SystemExit(f"after kill {kills}: equal {equal}, left {left}")
                kills, same = kills + killed, same + (killed and equal)
                repeated += repeats
                out.write(f"\r{kills} kills, {same} the same, {repeated} runs repeated")
                out.flush()
    out.write("\n")


if __name__ == "__main__":
    main()
