"""Pictures of a benchmark: error over time and by motion, and the worst tracks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.evaluation.benchmark import Run, worst_tracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours that colour-blind readers can tell apart (Okabe and Ito)."""

MOTION_EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, np.inf)
"""Bins of the range of log depth."""


def error_over_time(run: Run, path: Path) -> Path:
    """Draw mean error of log depth against frames since the query.

    Parameters
    ----------
    run
        A finished run.
    path
        PNG file to write.

    Returns
    -------
    Path
        The same.
    """
    frames = run.frames[run.frames["scaling"] == run.settings["scalings"][0]]
    figure, axes = _figure(9, 4.5)
    frames = frames.assign(bin=_coarse(frames["frames_since_query"].to_numpy()))
    for name, colour in _coloured(run):
        mine = frames[frames["method"] == name]
        sums = mine.groupby(["source", "bin"])[["sum_log_depth_error", "answered"]]
        total = sums.sum()
        curve = total["sum_log_depth_error"] / total["answered"].where(
            total["answered"] > 0
        )
        curve = curve.groupby("bin").mean()
        curve = curve.where(curve > 1e-4)  # none on the query frame: a gap
        axes.plot(curve.index, curve.to_numpy(), color=colour, label=name)
    first = frames[frames["method"] == frames["method"].iloc[0]]
    count = first.groupby("frames_since_query")["visible"].sum()
    right = axes.twinx()
    right.fill_between(count.index, count.to_numpy(), color="#bbbbbb", alpha=0.4, lw=0)
    right.set_ylabel("observations", color="#777777")
    right.set_ylim(0, 3 * float(count.max()))
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.set_xlabel("frames since the query")
    axes.set_ylabel("mean |log(answer / true depth)|")
    axes.set_xscale("symlog", linthresh=10)
    ticks = _plain_ticks(frames["bin"].min(), frames["bin"].max())
    axes.set_xticks(ticks, [f"{t}" for t in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-4)
    axes.legend(fontsize=8, loc="upper left")
    return _save(figure, path)


def error_by_motion(run: Run, path: Path) -> Path:
    """Draw error of a track's depth ratio against how much its depth changes.

    Parameters
    ----------
    run
        A finished run.
    path
        PNG file to write.

    Returns
    -------
    Path
        The same.
    """
    tracks = run.tracks[run.tracks["scaling"] == run.settings["scalings"][0]]
    tracks = tracks[tracks["log_ratio_error"].notna() & tracks["motion"].notna()]
    edges = np.array(MOTION_EDGES)
    bins = np.digitize(tracks["motion"], edges) - 1
    labels = [
        f"{a:g} to {b:g}" if np.isfinite(b) else f"over {a:g}"
        for a, b in pairwise(edges)
    ]
    tracks = tracks.assign(bin=bins)
    figure, axes = _figure(9, 4.5)
    for name, colour in _coloured(run):
        mine = tracks[tracks["method"] == name].groupby("bin")["log_ratio_error"]
        axes.plot(
            mine.mean().index,
            np.maximum(mine.mean().to_numpy(), 1e-5),
            "o-",
            color=colour,
            label=name,
        )
    first = tracks["bin"][tracks["method"] == _coloured(run)[0][0]]
    counts = np.bincount(first, minlength=len(labels))
    axes.set_xticks(
        range(len(labels)),
        [f"{a}\n{n} tracks" for a, n in zip(labels, counts, strict=True)],
        fontsize=8,
    )
    axes.set_yscale("log")
    axes.set_xlabel("range of the logarithm of true depth")
    axes.set_ylabel("mean error of the log ratio")
    axes.legend(fontsize=8)
    return _save(figure, path)


def worst_tracks_drawn(run: Run, method: str, path: Path) -> Path:
    """Draw the true and the predicted depth of a method's ten worst tracks.

    Parameters
    ----------
    run
        A finished run.
    method
        Name of the method.
    path
        PNG file to write.

    Returns
    -------
    Path
        The same.
    """
    found = worst_tracks(run, method, run.settings["scalings"][0])
    rows = max(1, -(-len(found) // 2))
    figure, grid = _figure(12, 2.6 * rows, rows, 4, width_ratios=(4, 1, 4, 1))
    pairs = np.reshape(grid, (-1, 2))
    for (curve, place), track in zip(pairs, found, strict=False):
        _draw_depth(curve, track)
        _draw_path(place, track)
    for axes in pairs[len(found) :].ravel():
        axes.set_axis_off()
    return _save(figure, path)


def _draw_depth(axes: Axes, track: dict[str, Any]) -> None:
    time, seen = track["time"], track["visible"]
    true = np.where(seen, track["true"], np.nan)
    guess = np.where(track["guess"] > 0, track["guess"], np.nan)
    axes.plot(time, guess, color=COLOURS[0], lw=0.7)
    axes.plot(time, np.where(seen, guess, np.nan), color=COLOURS[0], lw=2)
    axes.plot(time, true, color="black", lw=2, marker=".", ms=3)
    values = np.concatenate([true, np.where(seen, guess, np.nan)])
    values = values[np.isfinite(values)]
    if values.size:
        low, high = float(values.min()), float(values.max())
        room = 0.05 * (high - low) + 0.01 * abs(high)
        axes.set_ylim(low - room, high + room)
    axes.set_title(
        f"{track['source']}/{track['clip']}, track {track['track']}: APD "
        f"{100 * track['score']:.0f}, error {track['error']:.2g}",
        fontsize=8,
    )
    axes.set_ylabel("depth", fontsize=8)
    axes.tick_params(labelsize=7)


def _draw_path(axes: Axes, track: dict[str, Any]) -> None:
    xy = track["xy"][track["visible"]]
    axes.plot(xy[:, 0], xy[:, 1], color="black", lw=0.8)
    axes.plot(xy[:1, 0], xy[:1, 1], "o", color="black", ms=3)
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    axes.tick_params(labelsize=6)


def _coloured(run: Run) -> list[tuple[str, str]]:
    """Give each method a colour; the true depth's error is nothing to draw."""
    kinds = {name: stamp["kind"] for name, stamp in run.settings["methods"].items()}
    names = [n for n in kinds if n in set(run.videos["method"])]
    names = [n for n in names if kinds[n] != "oracle_depth"] or names
    return [(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)]


def _coarse(offset: np.ndarray) -> np.ndarray:
    """Put frames since the query into bins: single ones to 10, then ever wider."""
    most = int(np.abs(offset).max(initial=0))
    steps = [*range(11)]
    while steps[-1] < most:
        steps.append(round(1.15 * steps[-1]))
    edges = np.array(steps)
    return np.sign(offset) * edges[np.searchsorted(edges, np.abs(offset), "right") - 1]


def _plain_ticks(low: int, high: int) -> list[int]:
    """Give round numbers of frames between two, sparse enough to be read."""
    up = [0, *(step * 10**power for power in range(6) for step in (1, 2, 5))]
    return sorted({t for u in up for t in (-u, u) if low <= t <= high})


def _figure(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, Any]:
    """Make a figure that no window knows of."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, width_ratios=width_ratios)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path
