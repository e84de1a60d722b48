"""Stream a long drive: time and memory by length.

    python -m tests.benchmarks.streaming [--frames 1000 10000] [--tracks 1000]
        [--model PATH]

Points stand in a street without end that a camera drives along: they come into view,
grow apart and leave, and new ones with new ids take their place. Frames are made when
they are asked for, so that memory is the stream's. Every length is run in a process of
its own. Seconds are those of the clock; ``processor`` is the process's own time, which
hardly depends on what else the machine does. ``memory`` is the resident set after each
piece, in MB: its mean over the second tenth of the run, by when all is loaded, and over
the last tenth.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

SIZE = (1280, 720)
FOCAL = 1000.0
SPEED = 0.12  # metres a frame
NEAR, FAR = 3.0, 45.0


class Run(NamedTuple):
    """What a run took: seconds, megabytes, and how many tracks there were."""

    frames: int
    seconds: float
    processor: float
    early: float
    late: float
    peak: float
    tracks: int


def drive(
    frames: int, tracks: int, *, length: int = 20, seed: int = 0
) -> Iterator[xr.Dataset]:
    """Pieces of a drive: ``tracks`` points at a time, ``length`` frames each."""
    import seurat_tracks as st

    rng = np.random.default_rng(seed)
    half = np.array(SIZE) / 2
    ids = np.arange(tracks)
    made = tracks
    z = rng.uniform(NEAR, FAR, tracks)
    place = rng.uniform(-0.9, 0.9, (tracks, 2)) * half / FOCAL * z[:, None]
    for begin in range(0, frames, length):
        n = min(length, frames - begin)
        depth = z[:, None] - SPEED * np.arange(n)
        xy = FOCAL * place[:, None] / depth[..., None] + half - 0.5
        xy += rng.normal(0, 0.2, xy.shape)
        inside = ((xy >= 0) & (xy <= np.array(SIZE) - 1)).all(-1)
        visible = inside & (depth > NEAR / 2)
        yield st.from_arrays(
            np.where(visible[..., None], xy, np.nan),
            visible,
            frame_size=SIZE,
            ids=ids,
            time=np.arange(begin, begin + n),
        )
        z = z - SPEED * n
        gone = ~visible[:, -1]
        new = int(gone.sum())
        z[gone] = rng.uniform(NEAR, FAR, new)
        place[gone] = rng.uniform(-0.9, 0.9, (new, 2)) * half / FOCAL * z[gone, None]
        ids = ids.copy()
        ids[gone] = made + np.arange(new)
        made += new


def resident() -> float:
    """Resident set of this process, MB; where there is no /proc, its peak."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return peak()


def peak() -> float:
    """Largest resident set so far, MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(frames: int, tracks: int, lag: int, model: str) -> Run:
    """Stream so many frames."""
    import seurat_tracks as st

    settings = {"lag": lag, "model": model, "device": "cpu"}
    came = set[int]()
    done, held = [], []
    start, worked = time.perf_counter(), time.process_time()
    for piece in st.stream(drive(frames, tracks), **settings):
        done.append(int(piece["time"][-1]) + 1)
        held.append(resident())
        # count tracks without holding them: ids grow with time
        came = {max({0, *came, int(piece["track"].max())})}
    seconds = time.perf_counter() - start
    share = np.array(done) / frames
    memory = np.array(held)
    if done[-1] != frames:
        raise RuntimeError(f"{done[-1]} of {frames} frames came out")
    return Run(
        frames,
        seconds,
        time.process_time() - worked,
        float(memory[(share > 0.1) & (share <= 0.2)].mean()),
        float(memory[share > 0.9].mean()),
        peak(),
        max(came) + 1,
    )


def main() -> None:
    """Run every length and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--tracks", type=int, default=1000)
    parser.add_argument("--lag", type=int, default=1)
    parser.add_argument("--model", default="auto", help="weights, by name or path")
    args = parser.parse_args()
    out = sys.stdout
    out.write(
        "frames  tracks at a time  in all  seconds  processor  ms a frame  "
        "memory early  late  peak, MB\n"
    )
    runs = []
    for frames in args.frames:
        with get_context("spawn").Pool(1) as pool:
            run = pool.apply(measure, (frames, args.tracks, args.lag, args.model))
        runs.append(run)
        out.write(
            f"{run.frames:6d}  {args.tracks:16d}  {run.tracks:6d}  {run.seconds:7.1f}  "
            f"{run.processor:9.1f}  {1000 * run.processor / run.frames:10.1f}  "
            f"{run.early:12.0f}  {run.late:4.0f}  {run.peak:8.0f}\n"
        )
        out.flush()
    for a, b in pairwise(runs):
        out.write(
            f"{b.frames} frames take {b.processor / a.processor:.2f} times the "
            f"processor time of {a.frames}\n"
        )


if __name__ == "__main__":
    main()
