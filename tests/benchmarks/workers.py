"""How much faster two Dask workers are than one, one thread each.

    python -m tests.benchmarks.workers [--tracks 8192] [--frames 300] [--workers 1 2]
        [--model tiny] [--support 24] [--repeat 3]

Needs as many idle cores as workers. Workers are processes; each has lifted something
before it is measured, so that loading counts for none. Seconds are those of the clock,
the best of the repeats.
"""

from __future__ import annotations

import shutil
import sys
import time
from multiprocessing import get_context

from tests.benchmarks.large import arguments, make_store, workplace


def main() -> None:
    """Lift the same store with one worker, with two, and so on."""
    from distributed import Client, LocalCluster

    from seurat_tracks.large.to_store import DEFAULTS, lift_with

    parser = arguments(str(__doc__), tracks=[8192], frames=[300])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    out = sys.stdout
    with workplace(args) as (folder, model):
        source, target = folder / "tracks.zarr", folder / "lifted.zarr"
        with get_context("spawn").Pool(1) as pool:
            size = args.tracks[0], args.frames[0], args.support
            pool.apply(make_store, (source, *size))
        settings = {
            **DEFAULTS,
            "depth": 10.0,
            "intrinsics": {"fov": 60},
            "model": model,
            "device": "cpu",
        }
        out.write("workers  seconds  times as fast\n")
        first = 0.0
        for workers in args.workers:
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0"
            )
            with cluster, Client(cluster) as client:
                client.run(_load)
                best = float("inf")
                for _ in range(args.repeat):
                    begin = time.perf_counter()
                    lift_with(client, source, target, **settings)
                    best = min(best, time.perf_counter() - begin)
                    shutil.rmtree(target)
            first = first or best
            out.write(f"{workers:7d}  {best:7.2f}  {first / best:13.2f}\n")
            out.flush()


def _load() -> None:
    import torch

    import seurat_tracks.large.job
    import seurat_tracks.lift
    import seurat_tracks.model.predict  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
