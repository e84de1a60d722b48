"""Metres on real clips: the tables of docs/scale.md.

    python -m tests.benchmarks.metres [DATA] [--draws 8]

DATA holds `sevenscenes_a/` and `pose2sim_balancing/`, which are not part of this
repository. Some two minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from seurat_tracks.evaluation.stability import temporal_coherence
from tests.evaluation.test_real_depth import Clip
from tests.evaluation.test_real_depth import read as read_tracks

SMOOTH = 2.5
"""Standard deviation in frames of what smooths flicker: its integral time is nine."""

Flicker = Callable[[np.random.Generator, int], np.ndarray]


def one_factor(rng: np.random.Generator, frames: int) -> np.ndarray:
    """One factor a frame, new in each; logs (time, 1, 1), unit variance."""
    return rng.normal(size=(frames, 1, 1))


def smooth_field(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Fields smooth over 480 x 360 pixels, new in each frame; unit variance."""
    coarse = gaussian_filter(rng.normal(size=(frames, 36, 48)), (0, 8, 8))
    return (coarse / coarse.std()).repeat(10, 1).repeat(10, 2)


def smooth_in_time(rng: np.random.Generator, frames: int) -> np.ndarray:
    """One factor a frame, smooth over some ten frames; unit variance on average."""
    edge = int(8 * SMOOTH)
    wide = gaussian_filter1d(rng.normal(size=frames + 2 * edge), SMOOTH)[edge:-edge]
    return wide[:, None, None] * np.sqrt(2 * SMOOTH * np.sqrt(np.pi))


def smooth_without_mean(rng: np.random.Generator, frames: int) -> np.ndarray:
    """The same about its mean over the clip, so that the source is right on average."""
    wide = smooth_in_time(rng, frames)
    return wide - wide.mean()


KINDS: dict[str, Flicker] = {
    "one factor a frame": one_factor,
    "a smooth field, new in each frame": smooth_field,
    "one factor, smooth over some ten frames": smooth_in_time,
    "the same, 0 on average over the clip": smooth_without_mean,
}


def percent(depth: xr.DataArray, truth: np.ndarray, visible: np.ndarray) -> float:
    """Median relative error over visible points, per cent."""
    return 100 * float(np.nanmedian(np.abs(depth.values / truth - 1)[visible]))


def flicker_table(clip: Clip, draws: int) -> None:
    """Errors under 10 % of flicker, against the source alone and the best there is."""
    ds, data, truth, visible = clip
    maps, depth = data["depth"], truth[..., 2]
    head = ("per frame", "ours", "ratio", "best", "TC ratio", "within a third")
    row("flicker of 10 %", *head)
    row(*["---"] * 7)
    for name, draw in KINDS.items():
        found = []
        for seed in range(draws):
            noise = 0.1 * draw(np.random.default_rng(seed), len(maps))
            bad = maps * np.exp(noise)
            ours = ds.seurat.anchor(bad)
            alone = ds.seurat.lift3d(method="per_frame", depth=bad)
            steady = [
                temporal_coherence(truth, visible, out.xyz.values)
                for out in (alone, ours)
            ]
            errors = [percent(out.depth, depth, visible) for out in (alone, ours)]
            best = np.nan
            if noise.shape[1:] == (1, 1):
                best = 100 * abs(np.expm1(noise.mean()))
            found.append((*errors, errors[1] / errors[0], best, steady[0] / steady[1]))
        values = np.array(found)
        mean = values.mean(0)
        row(
            name,
            f"{mean[0]:.1f} %",
            f"{mean[1]:.2f} %",
            f"{mean[2]:.2f} (worst {values[:, 2].max():.2f})",
            f"{mean[3]:.2f} %" if np.isfinite(mean[3]) else "",
            f"{values[:, 4].min():.0f} at least",
            f"{(values[:, 2] < 1 / 3).sum()} of {draws}",
        )


def short_table(clip: Clip, draws: int, last: int = 16) -> None:
    """Do the same where tracks last for some frames only."""
    ds, data, truth, visible = clip
    ds, rows = cut_short(ds, visible, last)
    depth, visible = truth[rows, :, 2], ds["visible"].values
    maps = data["depth"]
    row(f"tracks of {last} frames", "per frame", "no gains", "ours", "90th percentiles")
    row(*["---"] * 5)
    for name, draw in KINDS.items():
        found = []
        for seed in range(draws):
            bad = maps * np.exp(0.1 * draw(np.random.default_rng(seed), len(maps)))
            outs = [
                ds.seurat.lift3d(method="per_frame", depth=bad),
                anchor_plainly(ds, bad),
                ds.seurat.anchor(bad),
            ]
            errors = [np.abs(o.depth.values / depth - 1)[visible] for o in outs]
            found.append(
                [100 * np.nanquantile(e, q) for q in (0.5, 0.9) for e in errors]
            )
        mean = np.mean(found, axis=0)
        tail = ", ".join(f"{v:.1f}" for v in mean[3:]) + " %"
        row(name, *(f"{v:.2f} %" for v in mean[:3]), tail)


def anchor_plainly(ds: xr.Dataset, maps: np.ndarray) -> xr.Dataset:
    """Anchor without gains."""
    from seurat_tracks.scale import anchor

    return anchor(ds, maps, gains=False)


def cut_short(
    ds: xr.Dataset, visible: np.ndarray, last: int
) -> tuple[xr.Dataset, np.ndarray]:
    """Cut tracks to pieces of some frames, each a track with a reference of its own."""
    rng = np.random.default_rng(5)
    frames = visible.shape[1]
    rows, seen = [], []
    for i, track in enumerate(visible):
        for begin in range(-int(rng.integers(last)), frames, last):
            time = np.arange(frames)
            piece = track & (time >= begin) & (time < begin + last)
            if piece.sum() >= 3:
                rows.append(i)
                seen.append(piece)
    index, there = np.array(rows), np.array(seen)
    out = ds.isel(track=index).assign_coords(track=np.arange(len(index)))
    first = there.argmax(1)[:, None]
    ratio = out["log_depth_ratio"].values
    ratio = ratio - np.take_along_axis(ratio, first, 1)
    # the error between two frames of a piece grows as it does from the old reference
    time = np.arange(frames)
    old = np.abs(time - visible.argmax(1)[index][:, None])
    sigma = out["depth_ratio_sigma"].values * np.sqrt(
        np.abs(time - first) / np.maximum(old, 1)
    )
    dims = ("track", "time")
    out = out.assign(
        visible=(dims, there),
        log_depth_ratio=(dims, ratio.astype(np.float32)),
        depth_ratio_sigma=(dims, sigma.astype(np.float32)),
        xy=out["xy"].where(xr.DataArray(there, dims=dims)),
    )
    return out.assign_coords(reference_frame=("track", first[:, 0])), index


def sparse_depth(clip: Clip) -> None:
    """Sensor depth on one frame in eight."""
    ds, data, truth, visible = clip
    maps = data["depth"].copy()
    maps[np.arange(len(maps)) % 8 != 0] = np.nan
    found = []
    for kind in ("robust", "median"):
        out = ds.seurat.anchor(maps, anchor=kind)
        found.append(f"{kind} {percent(out.depth, truth[..., 2], visible):.2f} %")
    say(f"\nDepth on one frame in eight, median error: {', '.join(found)}\n")


def person_table(data: Path) -> None:
    """Anchor a balancing person by one distance."""
    row("known distance", "cam2: joints, all", "cam4: joints, all")
    row(*["---"] * 3)
    clips = [
        read_tracks(f"pose2sim_balancing/{c}.npz", "joint_names", data)
        for c in ("cam2", "cam4")
    ]
    trunk: Iterable[tuple[str, str]] = (
        ("RHip", "LShoulder"),
        ("LHip", "RShoulder"),
        ("LHip", "LShoulder"),
        ("RHip", "RShoulder"),
    )
    for pair in trunk:
        cells = []
        for ds, _, truth, _ in clips:
            names = ds.track.values.tolist()
            ends = [names.index(n) for n in pair]
            apart = np.linalg.norm(truth[ends[0]] - truth[ends[1]], axis=-1)
            known = {pair: float(np.median(apart))}
            out: Any = ds.seurat.anchor(assume="equal_depth", distance=known)
            off = 100 * np.linalg.norm(out.xyz.values - truth, axis=-1)
            each = np.median(off, axis=1)
            cells.append(
                f"{each[ends[0]]:.1f}, {each[ends[1]]:.1f}; {np.median(off):.1f}"
            )
        row(" to ".join(pair), *cells)


def row(*cells: str) -> None:
    """Print a row of a Markdown table."""
    say("| " + " | ".join(cells) + " |")


def say(text: str) -> None:
    """Print."""
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[3] / "shared" / "data"
    parser.add_argument("data", type=Path, nargs="?", default=default)
    parser.add_argument("--draws", type=int, default=8)
    args = parser.parse_args()
    kitchen = read_tracks("sevenscenes_a/seq_a.npz", None, args.data)
    sparse_depth(kitchen)
    flicker_table(kitchen, args.draws)
    say("")
    short_table(kitchen, args.draws)
    say("")
    person_table(args.data)


if __name__ == "__main__":
    main()
