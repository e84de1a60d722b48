"""Draw the pictures of docs/scenes.md.

    python docs/make_scenes_page.py [--motions clips.npz] [--data folder] [--out folder]

``scenes-sheet.png``: one row of scenes per kind of motion. ``scenes-statistics.png``:
how far depth changes, how fast points go and how many are seen, in drawn windows of 8
frames and in the evaluation's real clips where their folder is given.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

from seurat_tracks.evaluation.cases import cases
from seurat_tracks.scenes.camera import CAMERAS
from seurat_tracks.scenes.generate import (
    MOTIONS,
    SceneBatch,
    SceneConfig,
    make_scenes,
)
from seurat_tracks.scenes.mocap import Motions, load_motions

mpl.use("Agg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
MOST_BYTES = 300_000
REAL = ("kitchen", "libmv-01", "libmv-02", "libmv-03", "mocap", "joints-2", "joints-4")
MEASURES = (
    ("mean |log depth ratio| over the window", 1e-4, 3),
    ("the same about its median", 1e-4, 3),
    ("speed, half longer sides per frame", 1e-4, 1),
    ("share of observations that is visible", 0.0, 1),
)


def draw(
    motion: str | None,
    batch: int,
    motions: Motions | None,
    *,
    support: int,
    seed: int = 0,
    **settings: object,
) -> SceneBatch:
    """Draw scenes of one kind of motion."""
    config = SceneConfig(motion=motion, support=support, queries=40, **settings)  # type: ignore[arg-type]
    return make_scenes(batch, config, torch.Generator().manual_seed(seed), motions)


def show_scene(ax: Axes, scenes: SceneBatch, i: int) -> None:
    """Show points where they end, coloured by how their depth changed, with tails."""
    xy, z = scenes.xy[i].numpy(), scenes.z[i].numpy()
    seen = scenes.visible[i].numpy()
    ratio = np.log(z.clip(0.02) / z[:, :1].clip(0.02))
    last = np.where(seen, np.arange(seen.shape[1]), -1).max(1)
    start = seen[:, 0] & (last > 0)
    change = ratio[np.arange(len(z)), last.clip(0)]
    for p in np.flatnonzero(start):
        path = xy[p][seen[p]]
        ax.plot(path[:, 0], path[:, 1], color="0.6", lw=0.5, zorder=1)
    ends = xy[np.arange(len(z)), last.clip(0)]
    x, y = ends[start].T
    ax.scatter(x, y, c=change[start], s=5, cmap="coolwarm", vmin=-0.2, vmax=0.2)
    half = scenes.half[i].tolist()
    ax.set(xlim=(-half[0], half[0]), ylim=(half[1], -half[1]), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.set_facecolor("0.97")
    name = CAMERAS[int(scenes.camera[i])]
    ax.set_title(f"{name}, {7 * float(scenes.interval[i]):.1f} s", fontsize=7, pad=2)


def make_sheet(out: Path, motions: Motions | None) -> None:
    """Draw one row of scenes per kind of motion, and one of joints alone."""
    kinds = [m for m in MOTIONS if m != "mocap" or motions]
    rows: list[tuple[str, str, float]] = [(m, m, 0.0) for m in kinds]
    rows.append(("joints alone", "mocap" if motions else "figure", 1.0))
    fig, axes = plt.subplots(
        len(rows), COLUMNS, figsize=(2.1 * COLUMNS, 1.75 * len(rows))
    )
    for r, (title, motion, sparse) in enumerate(rows):
        scenes = draw(motion, COLUMNS, motions, support=300, seed=r, sparse=sparse)
        for c in range(COLUMNS):
            show_scene(axes[r, c], scenes, c)
        axes[r, 0].set_ylabel(title, fontsize=9)
    fig.tight_layout(pad=0.4)
    save(fig, out / "scenes-sheet.png")


def save(fig: Figure, path: Path) -> None:
    """Write a small file: 128 colours are enough, and sometimes fewer."""
    file = io.BytesIO()
    fig.savefig(file, dpi=75)
    plt.close(fig)
    image = Image.open(file).convert("RGB")
    for colours in (128, 96, 64):
        image.quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return


def window_measures(
    xy: np.ndarray, z: np.ndarray, visible: np.ndarray
) -> tuple[float, float, float, float] | None:
    """Compute the `MEASURES` of one window.

    Parameters
    ----------
    xy : float array (N, T, 2)
        In half longer sides.
    z : float array (N, T)
    visible : bool array (N, T)

    Returns
    -------
    tuple or None
        None where fewer than three points are seen at both ends.
    """
    ends = visible[:, 0] & visible[:, -1]
    if ends.sum() < 3:
        return None
    change = np.log(z[ends, -1] / z[ends, 0])
    both = visible[:, 1:] & visible[:, :-1]
    speed = np.linalg.norm(np.diff(xy, axis=1), axis=-1)[both].mean()
    seen = visible[visible.any(1)].mean()
    spread = np.abs(change - np.median(change)).mean()
    return float(np.abs(change).mean()), float(spread), float(speed), float(seen)


def drawn_measures(scenes: SceneBatch) -> list[tuple[float, float, float, float]]:
    """Compute the `MEASURES` of every scene."""
    found = [
        window_measures(scenes.xy[i].numpy(), scenes.z[i].numpy(), seen.numpy())
        for i, seen in enumerate(scenes.visible)
    ]
    return [f for f in found if f is not None]


def real_measures(data: Path) -> dict[str, list[tuple[float, float, float, float]]]:
    """Compute the `MEASURES` of the real clips' windows at strides 1, 2 and 4."""
    found = defaultdict(list)
    for case in cases(data, only=REAL):
        row = next(r for r in REAL if r in case.rows)
        xy = case.ds["xy"].transpose("track", "time", "coord").values
        xy = xy / (max(case.ds.attrs["frame_size"]) / 2)
        for stride in (1, 2, 4):
            for start in range(0, xy.shape[1] - 7 * stride, 4 * stride):
                part = slice(start, start + 7 * stride + 1, stride)
                one = window_measures(
                    xy[:, part], case.z[:, part], case.visible[:, part]
                )
                if one is not None:
                    found[row].append(one)
    return found


def make_statistics(
    out: Path,
    drawn: Mapping[str, Sequence[tuple[float, ...]]],
    real: Mapping[str, Sequence[tuple[float, ...]]],
) -> None:
    """Draw cumulative distributions of each measure, drawn above real windows."""
    groups = [("drawn", drawn), ("real", real)] if real else [("drawn", drawn)]
    fig, axes = plt.subplots(
        len(groups),
        len(MEASURES),
        figsize=(14, 3.1 * len(groups)),
        sharex="col",
        squeeze=False,
    )
    for row, (group, lines) in enumerate(groups):
        for ax, (title, low, high), m in zip(
            axes[row], MEASURES, range(4), strict=True
        ):
            for i, (name, values) in enumerate(lines.items()):
                x = np.sort(np.array(values)[:, m]).clip(low)
                y = np.arange(1, len(x) + 1) / len(x)
                style = {"color": "k", "lw": 2} if name == "mixture" else {}
                ax.plot(x, y, label=name, **{"lw": 1.2, "color": f"C{i}", **style})
            if low:
                ax.set_xscale("log")
            ax.set_xlim(low, high)
            ax.grid(alpha=0.3)
            if row == len(groups) - 1:
                ax.set_xlabel(title)
        axes[row, 0].set_ylabel(f"share of {group} windows")
        axes[row, -1].legend(fontsize=7, loc="upper left")
    fig.tight_layout()
    save(fig, out / "scenes-statistics.png")


def main() -> None:
    """Read the arguments and write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--motions", type=Path, help="clips to replay, .npz")
    parser.add_argument("--data", type=Path, help="folder of the real clips")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--scenes", type=int, default=200, help="per line")
    args = parser.parse_args()
    motions = load_motions(args.motions) if args.motions else None
    make_sheet(args.out, motions)
    kinds = ["rigid", "driving", "falling", "figure", *(["mocap"] if motions else [])]
    drawn = {
        name: drawn_measures(draw(name, args.scenes, motions, support=120))
        for name in kinds
    }
    drawn["mixture"] = drawn_measures(draw(None, 2 * args.scenes, motions, support=120))
    make_statistics(args.out, drawn, real_measures(args.data) if args.data else {})


if __name__ == "__main__":
    main()
