"""Draw the pictures of docs/failure-modes.md with the weights in the package.

    python docs/pictures/failure_modes.py [--only NAME ...] [--out docs/images/failures]

Prints a line of figures for each scene, the ones that the page quotes.
"""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from failure_scenes import FPS, SCENES, SIZE, Scene
from PIL import Image

import seurat_tracks as st
from seurat_tracks.reasons import flagged

mpl.use("Agg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73")
SEED = 7


def lift(scene: Scene) -> xr.Dataset:
    """Lift a scene's tracks, from tracks alone, and judge them."""
    xy = np.where(scene.visible[..., None], scene.xy, np.nan).astype(np.float32)
    ds = st.from_arrays(xy, scene.visible, frame_size=SIZE, fps=FPS)
    ds.attrs.update(scene.attrs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no camera intrinsics", UserWarning)
        return st.lift3d(ds, **scene.settings).seurat.quality().compute()


def references(out: xr.Dataset) -> np.ndarray:
    """Position of each track's reference frame along time."""
    return np.searchsorted(out["time"].values, out["reference_frame"].values)


def true_change(scene: Scene, out: xr.Dataset) -> np.ndarray:
    """Compute the true log depth ratio to each reference frame, (track, time)."""
    z = np.log(scene.z)
    return z - np.take_along_axis(z, references(out)[:, None], axis=1)


def figures(scene: Scene, out: xr.Dataset) -> dict[str, float]:
    """Measure the answer on the subject's visible frames."""
    seen = scene.visible & scene.subject[:, None]
    seen[np.arange(len(seen)), references(out)] = False
    truth, answer = true_change(scene, out), out["log_depth_ratio"].values
    known = seen & np.isfinite(answer)
    error = np.abs(answer - truth)[known]
    sigma = out["depth_ratio_sigma"].values[known]
    return {
        "answered": known.sum() / seen.sum(),
        "error": error.mean(),
        "constant": np.abs(truth)[known].mean(),
        "sigma": np.median(sigma),
        "in_1": (error < sigma).mean(),
        "in_2": (error < 2 * sigma).mean(),
        "doubtful": out["doubtful"].values[scene.subject].mean(),
    }


def show_tracks(ax: Axes, scene: Scene) -> None:
    """Draw the tracks in the image: the subject dark, the chosen ones in colour."""
    for i, (path, seen) in enumerate(zip(scene.xy, scene.visible, strict=True)):
        if not seen.any():
            continue
        chosen = i in scene.shown
        colour = COLOURS[scene.shown.index(i)] if chosen else "0.35"
        if not scene.subject[i]:
            colour = "0.8"
        line = np.where(seen[:, None], path, np.nan)
        ax.plot(*line.T, color=colour, lw=2 if chosen else 0.7, zorder=2 + chosen)
        x, y = path[np.flatnonzero(seen)[-1]]
        ax.plot(x, y, "o", color=colour, ms=4 if chosen else 2, zorder=3 + chosen)
    ax.set(xlim=(0, SIZE[0]), ylim=(SIZE[1], 0), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.set_title("tracks, with a dot where they end", fontsize=9)


def show_curves(ax: Axes, scene: Scene, out: xr.Dataset) -> None:
    """Draw truth, answer and two standard errors of the chosen tracks."""
    time = out["time"].values
    truth, doubts = true_change(scene, out), flagged(out).values
    for i, colour in zip(scene.shown, COLOURS, strict=False):
        answer = out["log_depth_ratio"].values[i]
        sigma = out["depth_ratio_sigma"].values[i]
        ax.plot(time, np.exp(truth[i]), "--", color=colour, lw=1.2)
        seen = scene.visible[i]
        ax.plot(time, np.exp(answer), ":", color=colour, lw=1)
        ax.plot(time, np.where(seen, np.exp(answer), np.nan), color=colour, lw=1.8)
        low, high = np.exp(answer - 2 * sigma), np.exp(answer + 2 * sigma)
        ax.fill_between(time, low, high, color=colour, alpha=0.18, lw=0)
        bad = doubts[i] & seen
        ax.plot(time[bad], np.exp(answer[bad]), "x", color="k", ms=4, mew=0.9, zorder=5)
    finite = np.exp(true_change(scene, out)[scene.shown])
    given = np.exp(out["log_depth_ratio"].values[scene.shown])
    values = np.concatenate([finite.ravel(), given[np.isfinite(given)]])
    low, high = np.percentile(values, [0, 100])
    margin = 0.35 * max(high - low, 0.15)
    ax.set_ylim(max(low - margin, 0), high + margin)
    ax.grid(alpha=0.3)
    ax.set_xlabel("frame")
    ax.set_title("depth over depth at the start", fontsize=9)
    for style, label in (("--", "true"), ("-", "answer, ± 2 σ")):
        ax.plot([], [], style, color="0.3", label=label)
    ax.plot([], [], "x", color="k", ms=4, label="doubted by quality()")
    ax.legend(fontsize=8, loc="best", framealpha=0.8)


def show_errors(ax: Axes, scene: Scene, out: xr.Dataset) -> None:
    """Draw each subject's error against what its sigma says."""
    seen = scene.visible & scene.subject[:, None]
    seen[np.arange(len(seen)), references(out)] = False
    error = np.abs(out["log_depth_ratio"].values - true_change(scene, out))
    sigma = out["depth_ratio_sigma"].values
    known = seen & np.isfinite(error)
    doubted = flagged(out).values & known
    for points, colour, size in ((known & ~doubted, "0.35", 5), (doubted, "k", 12)):
        marker = "x" if colour == "k" else "o"
        x, y = sigma[points].clip(1e-3), error[points].clip(1e-3)
        style: dict[str, Any] = {"linewidths": 0.7 if colour == "k" else 0}
        ax.scatter(x, y, s=size, c=colour, marker=marker, alpha=0.45, **style)
    line = np.array([1e-3, 3])
    for times, style in ((1, "-"), (2, ":")):
        ax.plot(line, times * line, style, color="#d55e00", lw=1, label=f"{times} σ")
    ax.set(xscale="log", yscale="log", xlim=(1e-3, 2), ylim=(1e-3, 2))
    ax.set_xlabel("σ (log depth)")
    ax.set_title("error against its σ", fontsize=9)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="upper left")


def draw(scene: Scene, out: xr.Dataset, title: str, path: Path) -> None:
    """Write one picture, small: 128 colours are enough."""
    fig, axes = plt.subplots(
        1, 3, figsize=(12, 3.5), width_ratios=(1.15, 1.35, 1), layout="constrained"
    )
    show_tracks(axes[0], scene)
    show_curves(axes[1], scene, out)
    show_errors(axes[2], scene, out)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    file = io.BytesIO()
    fig.savefig(file, dpi=85)
    plt.close(fig)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(file).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    """Read the arguments, write the pictures, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="*", choices=sorted(SCENES))
    parser.add_argument("--out", type=Path, default=Path("docs/images/failures"))
    args = parser.parse_args()
    for name, (title, make) in SCENES.items():
        if args.only and name not in args.only:
            continue
        scene = make(np.random.default_rng(SEED))
        out = lift(scene)
        draw(scene, out, title, args.out / f"{name}.png")
        found = "  ".join(f"{k} {v:.3f}" for k, v in figures(scene, out).items())
        reasons = [str(r) for r in out["reason"].values[scene.subject] if str(r)][:2]
        sys.stdout.write(f"{name}: {found}  {reasons}\n")


if __name__ == "__main__":
    main()
