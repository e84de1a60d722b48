"""How often the truth lies within one and two sigma, on fresh held-out scenes.

    python -m tests.benchmarks.coverage [--frames 16 32 64 128 300] [--scenes 8]
        [--seed 20000]

Draws as many scenes of every length, half of them with exact tracks and half spoiled as
trackers err, and counts all observations but those of the reference frame. Choose a
seed on which nothing was chosen. The errors of the shares are those of leaving out one
scene at a time: they say by how much the draw matters.
"""

from __future__ import annotations

import argparse

import numpy as np

from seurat_tracks.evaluation.virtual import HELD_OUT
from tests.benchmarks.drift import draw_cases, measure, say


def shares(ratio: np.ndarray) -> tuple[float, float]:
    """Shares of errors, in units of sigma, within one and two."""
    return float((ratio <= 1).mean()), float((ratio <= 2).mean())


def report(name: str, scenes: list[np.ndarray]) -> None:
    """Print the shares over all observations of some scenes, and their error."""
    found = shares(np.concatenate(scenes))
    # jackknife over scenes
    less = [
        shares(np.concatenate(scenes[:i] + scenes[i + 1 :])) for i in range(len(scenes))
    ]
    error = np.std(less, axis=0) * (len(scenes) - 1) ** 0.5
    say(
        f"{name:8s} {len(scenes):3d} scenes: "
        + ", ".join(
            f"{share:.3f} +- {e:.3f} within {k} sigma"
            for k, share, e in zip((1, 2), found, error, strict=True)
        )
    )


def main() -> None:
    """Draw, lift, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 32, 64, 128, 300])
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=20_000)
    args = parser.parse_args()
    kinds: dict[str, list[np.ndarray]] = {"exact": [], "spoiled": []}
    for i, frames in enumerate(args.frames):
        for b, case in enumerate(
            draw_cases(args.scenes, frames, HELD_OUT + args.seed + i)
        ):
            ratio = measure(case).in_sigma()
            kind = ("exact", "spoiled")[b % 2]
            kinds[kind].append(ratio)
            one, two = shares(ratio)
            say(f"{frames:4d} frames, {kind}: {one:.3f} {two:.3f}")
    for kind, scenes in kinds.items():
        report(kind, scenes)
    report("all", kinds["exact"] + kinds["spoiled"])


if __name__ == "__main__":
    main()
