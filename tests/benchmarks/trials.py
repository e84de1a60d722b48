"""Short training runs that differ in one thing each: what helps, what does not.

    python -m tests.benchmarks.trials --out runs/trials [--steps 250] [--only NAME ...]

Every run has the same seed, the same batches and the same number of steps; a row is
the error on held-out scenes over the error of "depth stays constant". At this scale a
difference of a few hundredths is noise: ``again`` is the first run with another seed.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from seurat_tracks.model import network as model
from seurat_tracks.model.features import point_features
from seurat_tracks.model.network import Attention, Prediction, SeuratNetwork
from seurat_tracks.scenes.generate import CAMERAS
from seurat_tracks.training import loop
from seurat_tracks.training.config import TrainConfig, make_config
from seurat_tracks.training.data import Batch, validation_scenes
from seurat_tracks.training.loss import prediction_loss, targets


class OneEncoder(SeuratNetwork):
    """Support and queries in one encoder, all attending to all (paper, Table 3, II)."""

    def forward(self, support_xy, support_visible, query_xy, query_visible, **told):  # type: ignore[no-untyped-def]
        """Encode everything as support; split the predictions."""
        M = support_xy.shape[1]
        state = self.encode_support(
            torch.cat([support_xy, query_xy], 1),
            torch.cat([support_visible, query_visible], 1),
            **told,
        )
        parts = [
            [Prediction(*(a[:, part] for a in p)) for p in state.predictions]
            for part in (slice(M, None), slice(None, M))
        ]
        return parts[0], parts[1]


class RotaryAttention(Attention):
    """Spatial attention that sees the offset between query and key (rotary, 2D)."""

    where: tuple[Tensor, Tensor]

    def project(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Project as `Attention` does, keys turned by their positions."""
        k, v = super().project(context)
        return _turned(k.float(), self.where[1]), v.float()

    def forward(self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attend as `Attention` does, queries turned by their positions."""
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        with torch.autocast("cpu", enabled=False):
            q = _turned(q.float(), self.where[0])
            y = F.scaled_dot_product_attention(q, k, v, mask)
        return self.out(y.transpose(1, 2).flatten(-2))


def _turned(x: Tensor, at: Tensor) -> Tensor:
    """Rotate pairs of channels (A, H, N, C) by positions (A, N, 2) times rates."""
    pairs = x.shape[-1] // 2
    rate = 2.0 ** torch.linspace(-1, 5, pairs // 2, device=x.device)
    angle = torch.cat([at[..., :1] * rate, at[..., 1:] * rate], -1)[:, None]
    a, b = x.chunk(2, dim=-1)
    return torch.cat(
        [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1
    )


class RelativeAttention(SeuratNetwork):
    """Relative geometry between query and support inside the spatial attention."""

    def __init__(self, config: Any) -> None:
        with mock.patch.object(model, "Attention", RotaryAttention):
            super().__init__(config)
        for layer in self.support_branch.layers:
            layer.time = Attention(config.width, config.heads)

    def _place(self, at: Tensor, support: Tensor) -> None:
        flat = [x.transpose(1, 2).flatten(0, 1) for x in (at, support)]
        for layer in self.support_branch.layers:
            layer.space.where = (flat[0], flat[1])

    def encode_support(self, xy: Tensor, visible: Tensor, *a: Any, **k: Any) -> Any:
        """Tell the layers where the points are."""
        filled = model.fill_hidden(xy, visible)
        self._place(filled, filled)
        return super().encode_support(xy, visible, *a, **k)

    def query(self, xy: Tensor, visible: Tensor, support: Any) -> Any:
        """Tell the layers where the points are."""
        self._place(model.fill_hidden(xy, visible), support.xy)
        return super().query(xy, visible, support)


def relative_points(*args: Any) -> Tensor:
    """`point_features` without any absolute position."""
    features = point_features(*args).clone()
    features[..., :14] = 0.0
    features[..., 29:] = 0.0
    return features


def query_frame_loss(
    network: SeuratNetwork, batch: Batch, loss: str = "laplace"
) -> Tensor:
    """Ratios relative to a frame of each track's own (paper, Table 3, IV)."""
    M = batch.support
    query, support = loop.predict(network, batch)
    ratio, weight = targets(batch.z, batch.truly_visible)
    B, P, T = ratio.shape
    generator = torch.Generator().manual_seed(int(batch.xy.shape[0]) * 1000 + P)
    frame = torch.randint(T, (B, P, 1), generator=generator)

    def own(values: Tensor, part: slice) -> Tensor:
        return values - values.gather(2, frame[:, part])

    def moved(found: list[Prediction], part: slice) -> list[Prediction]:
        return [p._replace(log_ratio=own(p.log_ratio, part)) for p in found]

    first, rest = slice(None, M), slice(M, None)
    return prediction_loss(
        moved(support, first), own(ratio[:, first], first), weight[:, first], loss
    ) + prediction_loss(
        moved(query, rest), own(ratio[:, rest], rest), weight[:, rest], loss
    )


@contextmanager
def _network(kind: type[SeuratNetwork]) -> Iterator[None]:
    with mock.patch.object(loop, "SeuratNetwork", kind):
        yield


@contextmanager
def _relative() -> Iterator[None]:
    with mock.patch.object(model, "point_features", relative_points):
        yield


def one_look(scenes: int, device: torch.device, frames: int) -> dict[str, Batch]:
    """Little to validate on while a run goes: it is judged at its end."""
    return {"walk": validation_scenes(2, device, frames)["walk"]}


@contextmanager
def _query_frame() -> Iterator[None]:
    with mock.patch.object(loop, "run_batch", query_frame_loss):
        yield


TRIALS: dict[str, tuple[list[str], Callable[[], Any] | None]] = {
    "as shipped": ([], None),
    "again, another seed": (["seed=1"], None),
    "no rigid motion": (["motions=0"], None),
    "one rigid motion": (["motions=1"], None),
    "no pair features": (["near=0", "far=0"], None),
    "no pairs, no rigid motion": (["near=0", "far=0", "motions=0"], None),
    "nearest neighbours alone": (["near=20", "far=0"], None),
    "relative attention": ([], lambda: _network(RelativeAttention)),
    "no absolute coordinates": ([], _relative),
    "1 layer": (["layers=1"], None),
    "2 layers": (["layers=2"], None),
    "4 layers": (["layers=4"], None),
    "branches with weights of their own": (["shared_branches=false"], None),
    "one encoder, no branches": ([], lambda: _network(OneEncoder)),
    "2 iterations": (["iterations=2"], None),
    "4 iterations": (["iterations=4"], None),
    "plain L1": (["loss=l1"], None),
    "never told the focal length": (["known_focal=0"], None),
    "reference: the query's frame": ([], _query_frame),
    "whole clip of 24 frames": (["window=24"], None),
}
"""Settings of each run, and a patch where settings do not suffice."""


@torch.inference_mode()
def judge(network: SeuratNetwork, config: TrainConfig) -> dict[str, float]:
    """Error over constant's on held-out scenes by camera, and over all but zoom."""
    place = torch.device("cpu")
    scores, total = {}, torch.zeros(2)
    held_out = validation_scenes(32, place, config.model.window)
    for name in CAMERAS:
        batch = held_out[name]
        M = batch.support
        query, _ = loop.predict(network, batch)
        ratio, weight = targets(batch.z[:, M:], batch.truly_visible[:, M:])
        weight = weight * (batch.truly_visible[:, M:, :1] & batch.truly_visible[:, M:])
        error = ((query[-1].log_ratio - ratio).abs() * weight).sum()
        both = torch.stack([error, (ratio.abs() * weight).sum()])
        scores[name] = float(both[0] / both[1])
        if name != "zoom":
            total += both
    return {"all but zoom": float(total[0] / total[1]), **scores}


def main() -> None:
    """Train and judge one run after another; a row each in ``trials.csv``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--only", nargs="*", default=list(TRIALS), metavar="NAME")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / "trials.csv"
    columns = ["trial", "steps", "parameters", "seconds", "all but zoom", *CAMERAS]
    done = set()
    if table.exists():
        with table.open(newline="") as file:
            done = {row["trial"] for row in csv.DictReader(file)}
    for name in args.only:
        if name in done:
            continue
        settings, patch = TRIALS[name]
        common = [f"steps={args.steps}", f"tracks={args.tracks}", "warmup=50"]
        common += ["decay=0.5", "ema=0.99", f"validate_every={100 * args.steps}"]
        config = make_config("ours", "small", common + settings)
        with (
            mock.patch.object(loop, "validation_scenes", one_look),
            patch() if patch else _network(SeuratNetwork),
        ):
            path = loop.train(
                config, args.out / name.replace(" ", "-").replace(",", ""), device="cpu"
            )
            state = torch.load(path, weights_only=True)
            network = loop.SeuratNetwork(config.model)
            network.load_state_dict(state["average"])
            scores = judge(network.eval(), config)
        row = {
            "trial": name,
            "steps": args.steps,
            "parameters": sum(p.numel() for p in network.parameters()),
            "seconds": round(state["seconds"]),
            **{key: round(value, 4) for key, value in scores.items()},
        }
        new = not table.exists()
        with table.open("a", newline="") as file:
            writer = csv.DictWriter(file, columns)
            if new:
                writer.writeheader()
            writer.writerow(row)
        logging.warning("%s", row)


if __name__ == "__main__":
    main()
