"""Kill workers, schedulers, and whole runs, in the middle of a lift: is anything lost?

    python -m tests.benchmarks.kills [--kills 50] [--workers 4] [--seed 0]

A small store of many regions is lifted undisturbed, for its bytes. Then it is lifted
again and again by Dask workers in processes of their own. In each lift one process is
killed (SIGKILL) at a random moment. Of ten kills six are of a worker, two of a whole
run in one process without Dask, one of the process that asked the workers, and one of
the scheduler. What ended is run once more, and what is then there must have the bytes
of the undisturbed lift. A run that ends with an error must say that the same call goes
on. About 5 seconds a kill on two idle cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.large import SIZE, points, tiny_weights
from tests.fixtures.cluster import WAIT, Cluster

TRACKS, FRAMES, TASK = 64, 24, 4
CAMERA = (1000.0, 1000.0, 639.5, 359.5)
KINDS = [
    *["worker"] * 3,
    "run",
    "client",
    *["worker"] * 2,
    "run",
    "scheduler",
    "worker",
]


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


def differences(one: Path, other: Path) -> list[str]:
    """Files that are not the same in two folders, or in one alone."""
    files = [
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (one, other)
    ]
    names = {*files[0], *files[1]}
    return sorted(str(n) for n in names if files[0].get(n) != files[1].get(n))


def lift(source: Path, target: Path, model: Path, client: Any = None) -> None:
    """Lift the small store, by the workers of a client or an address, if any."""
    import torch

    from seurat_tracks.large.to_store import DEFAULTS, lift_with

    if isinstance(client, str):
        from distributed import Client

        with Client(client, timeout=WAIT) as connected:
            lift(source, target, model, connected)
        return
    torch.set_num_threads(1)
    settings = {**DEFAULTS, "depth": 10.0, "intrinsics": CAMERA, "device": "cpu"}
    with small_regions():
        lift_with(client, source, target, threads=1, **settings | {"model": str(model)})


def finished(target: Path) -> int:
    """How many regions of an unfinished lift are done; -1 before it is begun."""
    begun = list(target.parent.glob(f".{target.name}.*.partial/done"))
    return sum(1 for _ in begun[0].glob("lift-*")) if begun else -1


class Killer(threading.Thread):
    """Kills once so many regions of a target are finished, and some time has gone."""

    def __init__(
        self, target: Path, after: int, delay: float, kill: Callable[[], Any]
    ) -> None:
        super().__init__(daemon=True)
        self.target, self.after, self.delay, self.kill = target, after, delay, kill
        self.killed = False
        self.given_up = threading.Event()

    def run(self) -> None:
        """Wait for the moment, or for the end of the lift."""
        while not self.target.exists() and not self.given_up.is_set():
            if finished(self.target) >= self.after:
                time.sleep(self.delay)
                self.killed = not self.target.exists()
                if self.killed:
                    self.kill()
                return
            time.sleep(0.002)


@dataclass
class Bench:
    """One store that is lifted again and again; each result must have the same bytes.

    ``each`` is about how many seconds a region takes.
    """

    source: Path
    target: Path
    model: Path
    draw: random.Random
    cluster: Cluster
    regions: int = TRACKS // TASK
    each: float = 0.05

    def disturbed(self, kind: str) -> tuple[bool, int]:
        """Lift with one process killed: was one, and how often it was begun anew."""
        if kind in ("worker", "scheduler"):
            return self._by_workers(kind)
        return self._in_a_process(self.cluster.address if kind == "client" else None)

    def _killer(self, kill: Callable[[], Any]) -> Killer:
        # 0 is while support is drawn and the store laid out
        after = self.draw.randrange(self.regions)
        return Killer(self.target, after, self.draw.uniform(0, 2 * self.each), kill)

    def _by_workers(self, kind: str) -> tuple[bool, int]:
        from seurat_tracks.errors import SeuratTracksError

        # one that was killed before may still be starting again
        client = self.cluster.client(max(1, self.cluster.workers - 1))
        workers = list(client.run(os.getpid).values())
        one = self.draw.choice(workers)
        kill = self.cluster.kill_scheduler
        if kind == "worker":
            kill = lambda: os.kill(one, signal.SIGKILL)  # noqa: E731
        killer = self._killer(kill)
        killer.start()
        repeats = 0
        while not self.target.exists():
            try:
                lift(self.source, self.target, self.model, client)
            except SeuratTracksError as error:
                if "goes on from there" not in str(error):
                    raise
                repeats += 1
                if kind == "scheduler":
                    killer.join()
                    client.close(timeout=1)
                    self.cluster.stop()
                    self.cluster.start()
                    client = self.cluster.client()
        killer.join()
        client.close()
        if kind == "scheduler" and killer.killed and not repeats:
            self.cluster.stop()  # it was killed when nothing was left to ask for
            self.cluster.start()
        return killer.killed, repeats

    def _in_a_process(self, address: str | None) -> tuple[bool, int]:
        process = get_context("spawn").Process(
            target=lift, args=(self.source, self.target, self.model, address)
        )
        process.start()
        assert process.pid is not None
        killer = self._killer(process.kill)
        killer.start()
        process.join()
        killer.given_up.set()
        killer.join()
        if not killer.killed and process.exitcode:
            raise RuntimeError(f"the lift failed by itself ({process.exitcode})")
        if not self.target.exists():
            lift(self.source, self.target, self.model, address)
        return killer.killed, int(killer.killed)


def main() -> None:
    """Kill, compare, and say how often the answer was the same."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for the stores; temporary else")
    args = parser.parse_args()
    # so that the processes below end with this one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    out, begin = sys.stdout, time.perf_counter()
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as name,
        Cluster(args.workers) as cluster,
    ):
        folder = Path(name)
        model = tiny_weights(folder / "tiny.safetensors")
        bench = Bench(
            folder / "tracks.zarr",
            folder / "lifted.zarr",
            model,
            random.Random(args.seed),
            cluster,
        )
        make_store(bench.source)
        right = folder / "right.zarr"
        lift(bench.source, right, model)  # loads the network
        start = time.perf_counter()
        lift(bench.source, bench.target, model)
        bench.each = (time.perf_counter() - start) / bench.regions
        shutil.rmtree(bench.target)
        kills: Counter[str] = Counter()
        repeated = lifts = 0
        while kills.total() < args.kills:
            kind = KINDS[lifts % len(KINDS)]
            killed, repeats = bench.disturbed(kind)
            lifts += 1
            other = differences(bench.target, right)
            if other:
                raise SystemExit(
                    f"a {kind} killed: other bytes in {', '.join(other)}; before it "
                    f"{dict(kills)}"
                )
            shutil.rmtree(bench.target)
            kills[kind] += killed
            repeated += repeats
            text = ", ".join(f"{n} {kind}" for kind, n in sorted(kills.items()))
            out.write(
                f"\r{kills.total()} kills ({text}), all the same; {lifts} lifts, "
                f"{repeated} begun anew, {time.perf_counter() - begin:.0f} s"
            )
            out.flush()
        left = [p.name for p in folder.glob(".*")]
    out.write(f"\nleft beside the target: {', '.join(left) or 'nothing'}\n")


if __name__ == "__main__":
    main()
