"""Score weights on held-out windows by kind of camera and by what moves.

python -m seurat_tracks.evaluation.kinds --model small
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import find_weights, load_model
from seurat_tracks.scenes.generate import CAMERAS, MOTIONS, SceneConfig, make_scenes
from seurat_tracks.scenes.spoil import SpoilConfig
from seurat_tracks.training.data import Batch, exact_tracks, make_batch
from seurat_tracks.training.loop import predict
from seurat_tracks.training.loss import targets

SEED = 2**42
"""Far from every seed of training."""

NOISES: dict[str, SpoilConfig | bool] = {
    "exact tracks": False,
    "as trackers err": SpoilConfig(clean=0.0),
}


def held_out(scenes: int, device: torch.device) -> Iterator[tuple[str, str, Batch]]:
    """Draw windows of 128 support points and 64 queries.

    Parameters
    ----------
    scenes
        Windows of each kind.
    device
        Where they are made.

    Yields
    ------
    kind, noise, batch
        ``kind`` is "camera: NAME" or "moves: NAME".
    """
    kinds = [("camera", name) for name in CAMERAS]
    kinds += [("motion", name) for name in MOTIONS if name != "mocap"]
    for i, (what, name) in enumerate(kinds):
        generator = torch.Generator(device).manual_seed(SEED + i)
        wanted = SceneConfig(support=128, queries=64)
        if what == "camera":
            wanted = replace(wanted, camera=name)
        else:
            wanted = replace(wanted, motion=name)
        exact = exact_tracks(make_scenes(scenes, wanted, generator))
        for noise, spoiled in NOISES.items():
            label = f"{'moves' if what == 'motion' else what}: {name}"
            yield label, noise, make_batch(exact, spoiled, 0.0, generator)


@torch.inference_mode()
def score(network: SeuratNetwork, batch: Batch) -> tuple[float, float]:
    """Mean absolute error of the queries' log ratios, and that of constant depth.

    Parameters
    ----------
    network
        The network.
    batch
        Windows with their truth.

    Returns
    -------
    error, constant
        Means over the frames after the first in which a point is truly visible,
        natural-log units.
    """
    M = batch.support
    query, _ = predict(network, batch)
    ratio, weight = targets(batch.z[:, M:], batch.truly_visible[:, M:])
    seen = batch.truly_visible[:, M:]
    weight = weight * (seen & seen[..., :1])
    weight[..., 0] = 0.0
    total = weight.sum().clamp_min(1.0)
    error = ((query[-1].log_ratio - ratio).abs() * weight).sum() / total
    return float(error), float((ratio.abs() * weight).sum() / total)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small", help="name or file of weights")
    parser.add_argument("--scenes", type=int, default=48, help="windows of each kind")
    args = parser.parse_args(arguments)
    network = load_model(find_weights(args.model)).network.eval()
    rows: dict[str, list[str]] = {}
    for kind, _, batch in held_out(args.scenes, torch.device("cpu")):
        error, constant = score(network, batch)
        row = rows.setdefault(kind, [f"{constant:.4f}"])
        row += [f"{error:.4f}", f"{error / constant:.2f}" if constant else ""]
    head = ["held-out windows", "constant"]
    head += [c for noise in NOISES for c in (f"{noise}: error", "error / constant")]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join([kind, *row]) + " |" for kind, row in rows.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
