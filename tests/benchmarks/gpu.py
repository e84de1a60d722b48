"""Speed on a GPU: share of its matrix products, and 100,000 tracks of 300 frames.

    python -m tests.benchmarks.gpu                       # on the GPU, some minutes
    python -m tests.benchmarks.gpu --device cpu --tracks 64 --queries 256 --frames 24

First the network alone with 100,000 queries in each of a few windows, against the
device's own bfloat16 matrix products in the same run
(`tests.benchmarks.network_speed`), eager and compiled. Then `depth_ratio` of 100,000
tracks over 300 frames with support drawn from the tracks, in blocks, once to warm up on
a few tracks and once in full; its parts are timed apart: the network runs on the GPU,
the doubts and the fit of curves on the processor. Largest memory of the device as torch
saw it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
import xarray as xr

import seurat_tracks as st
from seurat_tracks import doubt, fusion
from seurat_tracks.model import predict
from tests.benchmarks.network_speed import measure

SIZE = (1280, 720)


def drive(tracks: int, frames: int) -> xr.Dataset:
    """Tracks of a camera that drives past standing points."""
    rng = np.random.default_rng(0)
    z = rng.uniform(6, 60, (tracks, 1)) - np.linspace(0, 4, frames)
    at = rng.uniform(-0.45, 0.45, (tracks, 1, 2)) * np.array(SIZE)
    xy = at * z[:, :1, None] / z[..., None] + np.array(SIZE) / 2
    xy += rng.normal(0, 0.2, xy.shape)
    visible = ((xy >= 0) & (xy <= np.array(SIZE) - 1)).all(-1)
    xy = np.where(visible[..., None], xy, np.nan).astype(np.float32)
    return st.from_arrays(xy, visible, frame_size=SIZE)


@contextmanager
def parts(spent: dict[str, float]) -> Iterator[None]:
    """Add up seconds of the clock in the parts of a lift."""

    def watched(name: str, work: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin

        return run

    places = (
        (predict, "predict_windows", "network"),
        (fusion, "solve", "fit"),
        (doubt, "suspicious_steps", "doubts"),
    )
    patches = [
        mock.patch.object(module, name, watched(label, getattr(module, name)))
        for module, name, label in places
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["small", "base"])
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--block", type=int, default=20_000, help="tracks of one block")
    parser.add_argument("--eager", action="store_true", help="nothing compiled")
    args = parser.parse_args()
    out = sys.stdout
    cuda = args.device.startswith("cuda")
    name = torch.cuda.get_device_name(args.device) if cuda else args.device
    out.write(f"{name}, torch {torch.__version__}\n")
    for preset in args.presets:
        for precision in ("float32", "bfloat16"):
            for compiled in (False,) if args.eager else (False, True):
                roof = measure(
                    preset,
                    precision,
                    device=args.device,
                    queries=args.queries,
                    windows=args.windows,
                    compiled=compiled,
                    repeat=3,
                )
                rate = roof.operations / roof.seconds
                out.write(
                    f"{preset} {precision} {'compiled' if compiled else 'eager'}: "
                    f"{roof.operations:.0f}e9 operations in {roof.seconds:.3f} s, "
                    f"{rate:.0f}e9 a second, {rate / roof.machine:.2f} of the device's "
                    f"{roof.machine:.0f}e9\n"
                )
                out.flush()
    ds = drive(args.tracks, args.frames)
    for few in (min(256, args.tracks), args.tracks):
        part = ds.isel(track=slice(0, few)).chunk({"track": args.block})
        spent: dict[str, float] = {}
        begin = time.perf_counter()
        with parts(spent):
            part.seurat.depth_ratio(device=args.device).compute(scheduler="synchronous")
        spent["all"] = time.perf_counter() - begin
        told = ", ".join(f"{k} {v:.1f} s" for k, v in spent.items())
        out.write(f"{few} tracks x {args.frames} frames: {told}\n")
        out.flush()
    if cuda:
        most = torch.cuda.max_memory_allocated(args.device) / 2**30
        out.write(f"largest memory of the device: {most:.1f} GiB\n")


if __name__ == "__main__":
    main()
