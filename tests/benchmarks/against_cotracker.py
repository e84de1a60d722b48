"""Time tracking and lifting against CoTracker3 on the same queries.

    python -m tests.benchmarks.against_cotracker --repo co-tracker
        [--frames 48] [--queries 256] [--size 512 384] [--presets small base]
        [--repeat 3] [--cotracker SECONDS SECONDS]

The clip is that of `tests.benchmarks.tracking_speed`. CoTracker3 offline runs once, by
its official code with random weights, as a user would call it; then, several times,
what this package needs from the video to 3D: Lucas-Kanade tracks of queries and
support, and `lift3d`. ``base`` has random weights as well: speed does not depend on
them. Seconds are of the clock and of the processor (all cores), the best of the runs.
``--cotracker`` takes the two figures of an earlier run on the same machine instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

import seurat_tracks as st
from seurat_tracks.model.config import PRESETS
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import save_weights
from tests.benchmarks import tracking_speed


class Spent(NamedTuple):
    """Seconds of the clock and of the processor."""

    clock: float
    processor: float


def timed(work: Callable[[], object]) -> Spent:
    """Run something once."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - clock, time.process_time() - processor)


def best(runs: list[Spent]) -> Spent:
    """Best of each."""
    return Spent(min(r.clock for r in runs), min(r.processor for r in runs))


def make_clip(frames: int, size: tuple[int, int]) -> np.ndarray:
    """Frames uint8 (time, y, x, rgb)."""
    tracking_speed.SIZE = size
    source = tracking_speed.default_video()
    return np.stack(list(tracking_speed.draw(source, frames)))


def make_queries(n: int, size: tuple[int, int]) -> np.ndarray:
    """Points (n, 2) spread evenly over the first frame."""
    side = int(np.ceil(np.sqrt(n)))
    x, y = (np.linspace(10, s - 11, side) for s in size)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)[:n]


def cotracker(repo: Path, clip: np.ndarray, queries: np.ndarray) -> Spent:
    """CoTracker3 offline, official code, random weights."""
    predictor = torch.hub.load(
        str(repo), "cotracker3_offline", source="local", pretrained=False
    )
    video = torch.from_numpy(clip).permute(0, 3, 1, 2)[None].float()
    table = np.column_stack([np.zeros(len(queries)), queries]).astype(np.float32)
    points = torch.from_numpy(table)[None]
    with torch.inference_mode():
        return timed(lambda: predictor.eval()(video, queries=points))


def random_weights(folder: Path, preset: str) -> Path:
    """Write weights of a size that has none yet."""
    torch.manual_seed(0)
    path = folder / f"{preset}.safetensors"
    network = SeuratNetwork(PRESETS[preset])
    save_weights(path, network.state_dict(), network.config, record={})
    return path


def main() -> None:
    """Measure and write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--repo", type=Path, help="clone of facebookresearch/co-tracker"
    )
    parser.add_argument(
        "--cotracker", type=float, nargs=2, help="its seconds, if known"
    )
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--size", type=int, nargs=2, default=[512, 384])
    parser.add_argument("--presets", nargs="+", default=["small", "base"])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--support-grid", type=int, nargs="+", default=[24, 12])
    parser.add_argument(
        "--iterations", type=int, help="refinement passes of the network"
    )
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    if args.repo is None and args.cotracker is None:
        parser.error("give --repo DIR, or --cotracker CLOCK PROCESSOR")
    out = sys.stdout
    size = (args.size[0], args.size[1])
    clip, queries = make_clip(args.frames, size), make_queries(args.queries, size)
    out.write(
        f"{args.frames} frames of {size[0]} x {size[1]}, {len(queries)} queries, "
        f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n"
        "what                                   clock s  processor s  share of each\n"
    )
    if args.cotracker is None:
        other = cotracker(args.repo, clip, queries)
    else:
        other = Spent(*args.cotracker)

    def line(what: str, spent: Spent) -> None:
        share = f"{spent.clock / other.clock:.3f}"
        if not np.isnan(other.processor):
            share += f" {spent.processor / other.processor:.3f}"
        out.write(f"{what:37s}  {spent.clock:7.2f}  {spent.processor:11.2f}  {share}\n")
        out.flush()

    line("CoTracker3 offline", other)
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: name if name == "small" else str(random_weights(Path(folder), name))
            for name in args.presets
        }
        for side in args.support_grid:
            found: list[xr.Dataset] = []

            def follow(side: int = side, found: list[xr.Dataset] = found) -> None:
                found.append(st.track(clip, queries, support_grid=side, progress=False))

            tracked = best([timed(follow) for _ in range(args.repeat)])
            line(f"tracks, support {side} x {side}", tracked)
            for name, model in models.items():
                for precision in args.precision:

                    def lift(
                        model: str = model,
                        precision: str = precision,
                        found: list[xr.Dataset] = found,
                    ) -> None:
                        found[0].seurat.lift3d(
                            model=model,
                            precision=precision,
                            device="cpu",
                            iterations=args.iterations,
                            intrinsics={"fov": 60},
                        ).compute()

                    lifted = best([timed(lift) for _ in range(args.repeat)])
                    both = Spent(*(a + b for a, b in zip(tracked, lifted, strict=True)))
                    line(f"  lift, {name}, {precision}", lifted)
                    line(f"  tracks and lift, {name}, {precision}", both)


if __name__ == "__main__":
    main()
