"""Time the drawing of scenes.

    python -m tests.benchmarks.test_scenes [--points 700] [--threads 1] [--device cuda]

prints scenes per second, by the clock and by processor time (which other programs on a
busy machine do not slow down); nothing is asserted about time.
"""

from __future__ import annotations

import argparse
import time

import torch

from seurat_tracks.scenes.generate import SceneConfig, make_scenes


def measure(
    points: int, batch: int, seconds: float, device: str = "cpu"
) -> tuple[float, float]:
    """Scenes of 8 frames per second, by the clock and by processor time."""
    support = round(0.82 * points)
    config = SceneConfig(support=support, queries=points - support)
    generator = torch.Generator(device).manual_seed(0)
    make_scenes(batch, config, generator)  # the first is slower
    made, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        scenes = make_scenes(batch, config, generator)
        float(scenes.z.sum())  # a GPU has finished when its answer is here
        made += batch
    return made / (time.perf_counter() - start), made / (time.process_time() - used)


def test_measure_counts_scenes() -> None:
    by_clock, by_processor = measure(points=20, batch=2, seconds=0.05)
    assert by_clock > 0
    assert by_processor > 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--points", type=int, default=700)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measure(args.points, args.batch, args.seconds, args.device)
    by_clock, by_processor = found
    print(f"{by_clock:.0f} scenes a second, {by_processor:.0f} a processor second")  # noqa: T201


if __name__ == "__main__":
    main()
