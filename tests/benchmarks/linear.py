"""Cost of a lift from store to store by number of tracks and by number of frames.

    python -m tests.benchmarks.linear [--tracks 1024 2048 4096] [--frames 100 200 400]
        [--base-tracks 1024] [--base-frames 100] [--repeat 2] [--support 24]
        [--model tiny] [--folder DIR]

The whole range is ``--tracks 1000 2000 4000 8000 16000 32000 64000 100000 --frames 100
200 400 800 1600 3200 6400 10000``: tracks are varied at ``--base-frames``, frames at
``--base-tracks``. Seconds are the processor's, with one thread, of the best of the
repeats; ``a doubling`` is what twice as much of what is varied costs, from one row to
the next.
"""

from __future__ import annotations

import math
import sys
import time
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.large import arguments, make_store, workplace


def cost(
    tracks: int, frames: int, support: int, model: str, folder: Path, repeat: int
) -> float:
    """Processor seconds of a lift, in a process that has lifted before."""
    import shutil

    import torch

    from seurat_tracks.large.to_store import DEFAULTS, lift_with

    torch.set_num_threads(1)
    settings = {
        **DEFAULTS,
        "depth": 10.0,
        "intrinsics": {"fov": 60},
        "model": model,
        "device": "cpu",
    }

    def once(source: Path) -> float:
        target = folder / "lifted.zarr"
        begin = time.process_time()
        lift_with(None, source, target, threads=1, **settings)
        seconds = time.process_time() - begin
        shutil.rmtree(target)
        return seconds

    small, whole = folder / "small.zarr", folder / "tracks.zarr"
    make_store(small, 16, 32, support)
    make_store(whole, tracks, frames, support)
    once(small)  # what is loaded at first
    best = min(once(whole) for _ in range(repeat))
    shutil.rmtree(small)
    shutil.rmtree(whole)
    return best


def main() -> None:
    """Measure both ranges and write two tables."""
    parser = arguments(str(__doc__), tracks=[1024, 2048, 4096], frames=[100, 200, 400])
    parser.add_argument("--base-tracks", type=int, default=1024)
    parser.add_argument("--base-frames", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=2)
    args = parser.parse_args()
    out = sys.stdout
    with workplace(args) as (folder, model):
        for what, values in (("tracks", args.tracks), ("frames", args.frames)):
            out.write(f"{what}  seconds  a doubling\n")
            before: tuple[int, float] | None = None
            for value in values:
                size = (
                    (value, args.base_frames)
                    if what == "tracks"
                    else (args.base_tracks, value)
                )
                with get_context("spawn").Pool(1) as pool:
                    seconds = pool.apply(
                        cost, (*size, args.support, model, folder, args.repeat)
                    )
                twice = ""
                if before is not None:
                    power = math.log(seconds / before[1]) / math.log(value / before[0])
                    twice = f"{2**power:.2f}"
                out.write(f"{value:6d}  {seconds:7.2f}  {twice:>10}\n")
                out.flush()
                before = value, seconds


if __name__ == "__main__":
    main()
