"""Figures of tracking errors, measured and drawn, side by side.

    python -m tests.benchmarks.error_tables errors.npz --figure tracking-errors.png

Prints the tables of `docs/tracking-errors.md` from what `tracking_errors` measured.
Errors are in pixels of a frame 640 wide.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seurat_tracks.scenes.spoil import STYLES, SpoilConfig, spoil
from tests.benchmarks.tracking_errors import PIXEL, Windows

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99)
DISTANCES = (0.0, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)
GRIPS = (0, 0.5, 1, 2, 4, 8, 16, 32, np.inf)
SIZES = (0, 0.3, 1, 3, np.inf)


def drawn_like(windows: Windows, seed: int = 0, style: str = "flow") -> Windows:
    """Return the same windows, with errors drawn by `spoil` instead of measured."""
    config = SpoilConfig(clean=0.0, styles=tuple(float(s == style) for s in STYLES))
    generator = torch.Generator().manual_seed(seed)
    xy, seen = np.full_like(windows.xy, np.nan), np.zeros_like(windows.seen)
    # rows of one clip, kind and start are the points of one scene
    scene = np.stack([windows.clip, windows.kind, windows.start], 1)
    _, where = np.unique(scene, axis=0, return_inverse=True)
    for k in range(where.max() + 1):
        rows = where == k
        a, b = spoil(
            torch.from_numpy(windows.truth[rows])[None],
            torch.from_numpy(windows.visible[rows])[None],
            config,
            generator,
        )
        seen[rows] = b[0].numpy()
        xy[rows] = np.where(seen[rows, :, None], a[0].numpy(), np.nan)
    return replace(windows, xy=xy, seen=seen)


def summary(w: Windows, kinds: tuple[int, ...]) -> dict[str, Any]:
    """Figures of the windows of some kinds; see the tables for what they are."""
    w = w.take(np.isin(w.kind, kinds))
    error = (w.xy - w.truth) / PIXEL
    size = np.linalg.norm(error, axis=-1)
    both = w.visible & w.seen & w.visible[:, :1]
    out: dict[str, Any] = {}
    out["size"] = np.array(
        [np.quantile(size[both[:, k], k], QUANTILES) for k in range(8)]
    )
    out["over"] = {
        px: np.array([(size[both[:, k], k] > px).mean() for k in range(8)])
        for px in (3, 10)
    }
    clips = np.unique(w.clip)
    out["clips"] = [
        np.median(size[mine, 7])
        for c in clips
        if (mine := both[:, 7] & (w.clip == c)).any()
    ]
    path = error[both.all(1)]
    rms = np.sqrt((path**2).sum(-1).mean(1))
    out["step"] = np.quantile(np.abs(np.diff(path, axis=1)), QUANTILES)
    out["flicker"] = np.quantile(np.abs(np.diff(path, n=2, axis=1)) / 6**0.5, QUANTILES)
    unit = path / (rms[:, None, None] + 0.02)
    out["paths"] = []
    for low, high in pairwise(SIZES):
        mine = (rms >= low) & (rms < high)
        covariance = np.einsum("nka,nla->kl", unit[mine], unit[mine]) / 2 / mine.sum()
        deviation = np.sqrt(np.diag(covariance)) + 1e-9
        relation = covariance / np.outer(deviation, deviation)
        out["paths"].append(
            (mine.mean(), deviation[1] / deviation[7], relation[1, 7], relation[3, 4])
        )
    out["near"] = _alike(w, error, both, 7)
    so_far = np.logical_and.accumulate(w.visible, axis=1)
    out["seen"] = (w.seen & so_far).sum(0) / so_far.sum(0)
    lost = both[:, :-1] & w.visible[:, 1:] & ~w.seen[:, 1:]
    out["lost"] = lost.sum(0) / (both[:, :-1] & w.visible[:, 1:]).sum(0)
    found = [
        (lost[:, : 7 - lag] & w.visible[:, 1 + lag :], w.seen[:, 1 + lag :])
        for lag in range(1, 7)
    ]
    out["found"] = sum((a & b).sum() for a, b in found) / sum(a.sum() for a, _ in found)
    inside = (np.abs(w.truth) < w.half[:, None]).all(-1)
    hidden = ~w.visible & inside & w.visible[:, :1]
    onset = hidden[:, 1:] & both[:, :-1]
    out["hidden seen"] = []
    for lag in range(5):
        still = onset[:, : 7 - lag] & hidden[:, 1 + lag :]
        out["hidden seen"].append((w.seen[:, 1 + lag :] & still).sum() / still.sum())
    out["hidden size"] = np.quantile(size[w.seen & hidden], QUANTILES)
    # of the tracker alone: nothing that `spoil` knows of
    gross = both & (size > 3)
    out["cover"] = (w.cover & both).sum() / both.sum()
    out["carried"] = (w.carried & gross).sum() / gross.sum()
    out["hidden carried"] = (w.carried & hidden & w.seen).sum() / (
        hidden & w.seen
    ).sum()
    out["grip"] = []
    for low, high in pairwise(GRIPS):
        mine = (w.grip >= low) & (w.grip < high) & w.visible[:, 0]
        at_end = mine & both[:, 7]
        out["grip"].append(
            (
                mine.sum() / w.visible[:, 0].sum(),
                *np.quantile(size[at_end, 7], (0.5, 0.9, 0.97)),
                (mine & w.visible[:, 1] & ~w.seen[:, 1]).sum()
                / (mine & w.visible[:, 1]).sum(),
            )
        )
    end, weak = error[both[:, 7], 7], w.weak[both[:, 7]]
    out["along"] = np.quantile(np.abs((end * weak).sum(1)), QUANTILES)
    across = end[:, 0] * weak[:, 1] - end[:, 1] * weak[:, 0]
    out["across"] = np.quantile(np.abs(across), QUANTILES)
    return out


def _alike(w: Windows, error: np.ndarray, both: np.ndarray, step: int) -> np.ndarray:
    """Correlation by distance of the error and of its size's logarithm, (2, bin).

    Errors beyond the 80th percentile of their window are shortened to it, so that a few
    large ones do not decide.
    """
    total, count = np.zeros((2, len(DISTANCES) - 1)), np.zeros(len(DISTANCES) - 1)
    for clip in np.unique(w.clip):
        of_clip = np.flatnonzero(w.clip == clip)
        window = np.stack([w.kind[of_clip], w.start[of_clip]], 1)
        _, where = np.unique(window, axis=0, return_inverse=True)
        for n in range(where.max() + 1):
            mine = of_clip[(where == n) & both[of_clip, step]]
            if len(mine) < 50:
                continue
            e = error[mine, step]
            size = np.linalg.norm(e, axis=1)
            e = e * np.minimum(1, np.quantile(size, 0.8) / (size + 1e-6))[:, None]
            log = np.log(size + 0.01)
            log -= log.mean()
            place = w.truth[mine, 0]
            i, j = np.triu_indices(len(place), 1)
            far = np.linalg.norm(place[i] - place[j], axis=1)
            of = np.digitize(far, DISTANCES) - 1
            for k in range(len(count)):
                a, b = i[of == k], j[of == k]
                count[k] += len(a)
                total[0, k] += (e[a] * e[b]).sum() / (e**2).sum(1).mean()
                total[1, k] += (log[a] * log[b]).sum() / (log**2).mean()
    return total / np.maximum(count, 1)


def tables(sets: dict[str, dict[str, Any]]) -> str:
    """Markdown tables of several summaries, one column or row for each."""
    lines: list[str] = []

    def table(title: str, head: list[str], rows: list[list[Any]]) -> None:
        lines.extend(["", f"**{title}**", "", _line(head), _line(["---"] * len(head))])
        lines.extend(_line(row) for row in rows)

    names = list(sets)
    quantiles = [f"{q:.0%}" for q in QUANTILES]
    table(
        "Size of the error, pixels",
        ["step", "", *quantiles, "> 3 px", "> 10 px"],
        [
            [k, n, *s["size"][k], *(f"{s['over'][px][k]:.1%}" for px in (3, 10))]
            for k in (1, 2, 4, 7)
            for n, s in sets.items()
        ],
    )
    table(
        "Median of each clip at step 7",
        ["", *quantiles],
        [[n, *np.quantile(s["clips"], QUANTILES)] for n, s in sets.items()],
    )
    table(
        "Change per step, and flicker (second difference / √6), per axis",
        ["", "", *quantiles],
        [[what, n, *s[what]] for what in ("step", "flicker") for n, s in sets.items()],
    )
    table(
        "Paths by their size",
        ["px", "", "share", "step 1 / step 7", "corr(1, 7)", "corr(3, 4)"],
        [
            [f"{SIZES[k]} to {SIZES[k + 1]}", n, *s["paths"][k]]
            for k in range(len(SIZES) - 1)
            for n, s in sets.items()
        ],
    )
    table(
        "Correlation by distance at step 7: error, log of its size",
        ["distance", *names, *names],
        [
            [f"{DISTANCES[k]} to {DISTANCES[k + 1]}"]
            + [s["near"][a][k] for a in (0, 1) for s in sets.values()]
            for k in range(len(DISTANCES) - 1)
        ],
    )
    table(
        "Seen of the points visible so far; then lost per step",
        ["", *(f"step {k}" for k in range(8))],
        [[n, *s["seen"]] for n, s in sets.items()]
        + [
            [f"{n}, lost", "", *(f"{v:.1%}" for v in s["lost"])]
            for n, s in sets.items()
        ]
        + [[f"{n}, found again", f"{s['found']:.1%}"] for n, s in sets.items()],
    )
    table(
        "Covered by something, and still called seen",
        ["", *(f"after {k}" for k in range(5)), *(f"size {q}" for q in quantiles)],
        [[n, *s["hidden seen"], *s["hidden size"]] for n, s in sets.items()],
    )
    return "\n".join(lines)


def tracker_tables(sets: dict[str, dict[str, Any]]) -> str:
    """Markdown tables of what only a tracker has."""
    rows = [
        [
            f"{GRIPS[k]} to {GRIPS[k + 1]}",
            *(x for s in sets.values() for x in s["grip"][k]),
        ]
        for k in range(len(GRIPS) - 1)
    ]
    head = ["grip"] + [
        f"{n}: {x}"
        for n in sets
        for x in ("share", "50%", "90%", "97%", "lost at once")
    ]
    lines = [_line(head), _line(["---"] * len(head)), *(_line(r) for r in rows), ""]
    for n, s in sets.items():
        lines.append(
            f"{n}: on another surface {s['cover']:.2%} of seen and visible; carried "
            f"{s['carried']:.0%} of those off by 3 px; of hidden and seen carried "
            f"{s['hidden carried']:.0%}; along {s['along'].round(3)}; across "
            f"{s['across'].round(3)}"
        )
    return "\n".join(lines)


def _line(cells: list[Any]) -> str:
    shown = [f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells]
    return "| " + " | ".join(shown) + " |"


def figure(sets: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw measured (lines) against drawn (dashes)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 2, figsize=(9.6, 6.8), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, 5))
    step = np.arange(8)
    middle = (np.array(DISTANCES[:-1]) + DISTANCES[1:]) / 2
    for (name, s), style in zip(sets.items(), ("-", "--"), strict=True):
        for q, colour in zip((1, 2, 3, 4, 5), colours, strict=True):
            label = f"{QUANTILES[q]:.0%}" if style == "-" else None
            values = s["size"][1:, q]
            axes[0, 0].plot(step[1:], values, style, color=colour, label=label)
        for k, colour in ((1, colours[0]), (7, colours[3])):
            axes[0, 1].plot(
                s["size"][k], QUANTILES, style, marker=".", color=colour,
                label=f"step {k}, {name}",
            )  # fmt: skip
        axes[1, 0].plot(
            middle, s["near"][0], style, color=colours[0], label=f"error, {name}"
        )
        axes[1, 0].plot(
            middle, s["near"][1], style, color=colours[3], label=f"log size, {name}"
        )
        axes[1, 1].plot(
            step, s["seen"], style, color=colours[0], label=f"visible, {name}"
        )
        axes[1, 1].plot(
            np.arange(5), s["hidden seen"], style, color=colours[3],
            label=f"covered since, {name}",
        )  # fmt: skip
    axes[0, 0].set(yscale="log", xlabel="step of the window", ylabel="error, px of 640")
    axes[0, 0].set_ylim(0.02, 20)
    axes[0, 0].set_title("How errors grow: lines measured, dashes drawn")
    axes[0, 1].set(xscale="log", xlabel="error, px of 640", ylabel="share below")
    axes[0, 1].set_title("Distribution")
    axes[1, 0].axhline(0, color="0.8", lw=0.8)
    axes[1, 0].set(xlabel="distance, half of the longer side = 1", ylabel="correlation")
    axes[1, 0].set_title("Neighbours err alike")
    axes[1, 1].set(ylim=(0, 1.02), xlabel="step; frames since covered")
    axes[1, 1].set(ylabel="share called seen", title="Visibility")
    for ax in axes.flat:
        if ax is axes[0, 0]:
            ax.legend(fontsize=8, ncols=5, loc="lower right")
        else:
            ax.legend(fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=110)


def main() -> None:
    """Print the tables; draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("errors", type=Path)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    windows = Windows.load(args.errors)
    drawn = drawn_like(windows)
    support = (1, 2, 4)
    all_of_them = {
        "measured": summary(windows, support),
        "drawn": summary(drawn, support),
    }
    middle = windows.clip.max() // 2
    halves = {
        "first half": summary(windows.take(windows.clip <= middle), support),
        "second half": summary(windows.take(windows.clip > middle), support),
    }
    names = {"stride 1": 1, "stride 2": 2, "stride 4": 4, "queries": 0}
    each = {name: summary(windows, (kind,)) for name, kind in names.items()}
    for title, sets in (("support", all_of_them), ("halves", halves), ("each", each)):
        print(f"\n## {title}\n{tables(sets)}")  # noqa: T201
    print(tracker_tables(each))  # noqa: T201
    if args.figure:
        figure(all_of_them, args.figure)


if __name__ == "__main__":
    main()
