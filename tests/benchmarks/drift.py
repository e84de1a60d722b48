"""How errors grow with time, and how far error bars can be trusted, on held-out scenes.

    python -m tests.benchmarks.drift --out docs/images [--scenes 8] [--frames 300]

Draws scenes from seeds that training never uses, half of them spoiled as trackers err,
lifts them with both ways to fuse, and writes ``drift.png``, ``reliability.png`` and a
table.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr

from seurat_tracks.evaluation.report_pictures import COLOURS
from seurat_tracks.evaluation.rows import Case
from seurat_tracks.evaluation.virtual import _scene
from seurat_tracks.scenes.generate import SceneConfig, make_scenes
from seurat_tracks.scenes.spoil import SpoilConfig, spoil

SEED = 2**41 + 1000
"""Held-out scenes of the scorecard start at 2**41; training's seeds are far below."""

EDGES = (0, 8, 16, 32, 64, 128, 200, 300)
"""Frames from a track's reference, in which errors are averaged."""


class Errors(NamedTuple):
    """Observations: frames from the reference, true change, errors, sigma."""

    away: np.ndarray
    change: np.ndarray
    windows: np.ndarray
    chain: np.ndarray
    sigma: np.ndarray

    def in_sigma(self) -> np.ndarray:
        """Errors of windows in units of sigma."""
        return self.windows / np.maximum(self.sigma, 1e-9)


def say(line: str) -> None:
    """Write a line of the table."""
    sys.stdout.write(line + "\n")


def draw_cases(scenes: int, frames: int, seed: int = SEED) -> list[Case]:
    """Draw scenes; every second one is spoiled."""
    generator = torch.Generator().manual_seed(seed)
    made = make_scenes(
        scenes, SceneConfig(frames=frames, support=80, queries=80), generator
    )
    xy, visible = spoil(made.xy, made.visible, SpoilConfig(clean=0.0), generator)
    return [
        _scene(
            "drift",
            f"scene {b}",
            (made.xy, xy)[b % 2][b].double().numpy(),
            (made.visible, visible)[b % 2][b].numpy(),
            made.z[b].double().numpy(),
            made.visible[b].numpy(),
            made.half[b].double().numpy(),
            None,
        )
        for b in range(scenes)
    ]


def measure(case: Case) -> Errors:
    """Lift a scene both ways."""
    seen = case.ds["visible"].values
    reference = seen.argmax(1)[:, None]
    z0 = np.take_along_axis(case.z, reference, 1)
    away = np.abs(np.arange(seen.shape[1]) - reference)
    good = case.visible & (case.z > 0) & (z0 > 0) & (away > 0) & seen.any(1)[:, None]
    good &= np.take_along_axis(case.visible, reference, 1)
    with np.errstate(all="ignore"):
        truth = np.log(case.z / z0)

    def error(lifted: xr.Dataset) -> np.ndarray:
        return np.abs(lifted["log_depth_ratio"].values - truth)[good]

    windows = case.ds.seurat.depth_ratio(device="cpu")
    chained = case.ds.seurat.depth_ratio(device="cpu", fuse="chain")
    sigma = windows["depth_ratio_sigma"].values[good]
    return Errors(
        away[good], np.abs(truth[good]), error(windows), error(chained), sigma
    )


def draw_drift(all_: Errors, path: Path) -> None:
    """Plot and print mean errors by frames from the reference."""
    middle, rows = [], []
    say("frames from reference  constant  chain  windows")
    for low, high in pairwise(EDGES):
        some = (all_.away > low) & (all_.away <= high)
        if not some.any():
            continue
        row = [v[some].mean() for v in (all_.change, all_.chain, all_.windows)]
        say(f"{low + 1:4d} to {high:4d}" + "".join(f"{v:10.4f}" for v in row))
        middle.append(all_.away[some].mean())
        rows.append(row)
    slopes = [np.polyfit(middle, column, 1)[0] for column in zip(*rows, strict=True)]
    say(f"growth with time, windows over chain: {slopes[2] / slopes[1]:.2f}")
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    names = ("depth stays constant", 'fuse="chain" (the paper)', 'fuse="windows"')
    colours = ("black", COLOURS[1], COLOURS[0])
    for name, colour, column in zip(
        names, colours, zip(*rows, strict=True), strict=True
    ):
        axes.plot(middle, column, "o-", color=colour, label=name)
    axes.set(
        xlabel="frames from the track's reference",
        ylabel="mean error of log depth ratio",
    )
    axes.legend()
    figure.savefig(path, dpi=110)


def draw_reliability(all_: Errors, path: Path) -> None:
    """Plot and print the share of errors inside multiples of sigma."""
    times = np.linspace(0, 3, 31)
    ratio = all_.in_sigma()
    inside = [(ratio <= k).mean() for k in times]
    normal = torch.erf(torch.from_numpy(times) / 2**0.5).numpy()
    say(f"inside 1 sigma {(ratio <= 1).mean():.3f}, 2 sigma {(ratio <= 2).mean():.3f}")
    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot(normal, normal, "k:", label="normal errors")
    axes.plot(normal, inside, "-", color=COLOURS[1], label="measured")
    for k in (1, 2):
        at = float(normal[10 * k])
        axes.plot(at, inside[10 * k], "o", color=COLOURS[1])
        axes.annotate(
            f"{k} sigma",
            (at, inside[10 * k]),
            (-6, 6),
            textcoords="offset points",
            ha="right",
        )
    axes.set(xlabel="share expected inside", ylabel="share found inside")
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Draw, lift, plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--frames", type=int, default=300)
    args = parser.parse_args()
    found = [measure(case) for case in draw_cases(args.scenes, args.frames)]
    all_ = Errors(*(np.concatenate(column) for column in zip(*found, strict=True)))
    args.out.mkdir(parents=True, exist_ok=True)
    draw_drift(all_, args.out / "drift.png")
    draw_reliability(all_, args.out / "reliability.png")


if __name__ == "__main__":
    main()
