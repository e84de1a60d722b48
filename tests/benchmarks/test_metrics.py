"""Time the scores of one video.

    python -m tests.benchmarks.test_metrics [--tracks 1000] [--frames 300]

prints seconds per scaling and together; nothing is asserted about time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from seurat_tracks.evaluation.align import SCALINGS
from seurat_tracks.evaluation.metrics import tapvid3d_metrics


def measure(tracks: int, frames: int) -> dict[str, tuple[float, float]]:
    """Seconds and 3D-AJ per scaling, on random tracks."""
    rng = np.random.default_rng(0)
    shape = (tracks, frames)
    gt_xyz = rng.normal(0, 0.7, (*shape, 3)) + np.array([0, 0, 4])
    pred_xyz = 2 * (gt_xyz + rng.normal(0, 0.03, gt_xyz.shape))
    gt_visible, pred_visible = rng.random(shape) < 0.8, rng.random(shape) < 0.8
    query = rng.integers(0, frames, tracks)
    found = {}
    for scaling in SCALINGS:
        start = time.perf_counter()
        scores = tapvid3d_metrics(
            gt_xyz,
            gt_visible,
            pred_xyz,
            pred_visible,
            (280, 280, 256, 256),
            query,
            scaling=scaling,
        )
        found[scaling] = time.perf_counter() - start, scores["average_jaccard"]
    return found


def test_every_scaling_is_measured() -> None:
    found = measure(20, 12)
    assert set(found) == set(SCALINGS)
    assert all(0 <= score <= 1 for _, score in found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tracks", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=300)
    args = parser.parse_args()
    found = measure(args.tracks, args.frames)
    for scaling, (seconds, _) in found.items():
        print(f"{scaling:20} {seconds:7.3f} s")  # noqa: T201
    others = sum(s for name, (s, _) in found.items() if name != "local_neighborhood")
    print(f"{'all but local':20} {others:7.3f} s")  # noqa: T201


if __name__ == "__main__":
    main()
