"""The training loop.

Run it with::

    python -m seurat_tracks.training.loop --preset small --out runs/small --minutes 60

It resumes by itself from ``OUT/checkpoint.pt``: every batch is a pure function of the
seed and the step, so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from seurat_tracks.model.config import PRESETS, ModelConfig
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import load_model
from seurat_tracks.training.data import Batch, training_batch, validation_batches
from seurat_tracks.training.loss import prediction_loss, targets

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run.

    Attributes
    ----------
    preset
        Name in `seurat_tracks.model.config.PRESETS`.
    seed
        Seed of the initial weights and of every batch.
    steps
        Length of the run; the last ``decay`` share of it lets the learning rate fall
        to 0 linearly, after a constant middle. ``decay=1`` is the paper's schedule.
    tracks
        Points per batch.
    learning_rate, weight_decay, warmup
        AdamW (the paper: 5e-4, 1e-5, 1,000 steps).
    clip
        Largest gradient norm (CoTracker2's is 10; the paper states none).
    ema
        Decay of the averaged weights, which are the ones that are shipped.
    bfloat16
        Compute the network in bfloat16; weights stay float32.
    """

    preset: str = "small"
    seed: int = 0
    steps: int = 100_000
    tracks: int = 1300
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    warmup: int = 1000
    decay: float = 0.25
    clip: float = 1.0
    ema: float = 0.999
    bfloat16: bool = True


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm up, stay, fall linearly to 0."""
    rise = min(1.0, (step + 1) / config.warmup)
    left = (config.steps - step) / max(1, round(config.decay * config.steps))
    return config.learning_rate * min(rise, 1.0, max(0.0, left))


def run_batch(network: SeuratNetwork, batch: Batch) -> torch.Tensor:
    """Loss of one batch, both branches."""
    M = batch.support
    query, support = network(
        batch.xy[:, :M], batch.visible[:, :M], batch.xy[:, M:], batch.visible[:, M:]
    )
    ratio, weight = targets(batch.z, batch.truly_visible)
    on_support = prediction_loss(support, ratio[:, :M], weight[:, :M])
    on_query = prediction_loss(query, ratio[:, M:], weight[:, M:])
    return on_support + on_query


@torch.inference_mode()
def validate(network: SeuratNetwork, batches: dict[str, Batch]) -> dict[str, float]:
    """Error of the queries over the error of "depth stays constant", by camera."""
    scores = {}
    for name, batch in batches.items():
        M = batch.support
        query, _ = network(
            batch.xy[:, :M], batch.visible[:, :M], batch.xy[:, M:], batch.visible[:, M:]
        )
        ratio, weight = targets(batch.z[:, M:], batch.truly_visible[:, M:])
        weight = weight * (batch.truly_visible[:, M:, :1] & batch.truly_visible[:, M:])
        error = ((query[-1].log_ratio - ratio).abs() * weight).sum()
        scores[name] = float(error / (ratio.abs() * weight).sum())
    scores["mean"] = sum(scores.values()) / len(scores)
    return scores


def save_checkpoint(path: Path, state: dict) -> None:
    """Write beside, then rename: a checkpoint is whole or absent."""
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    os.replace(beside, path)


def _start_weights(start: Path, place: torch.device) -> dict[str, torch.Tensor]:
    """Averaged weights of a checkpoint, or those of a weights file."""
    if start.suffix == ".safetensors":
        return load_model(start).network.to(place).state_dict()
    state = torch.load(start, map_location=place, weights_only=True)
    return {name: value.clone() for name, value in state["average"].items()}


def train(
    config: TrainConfig,
    out: Path,
    *,
    device: str = "cpu",
    minutes: float = math.inf,
    save_every: float = 180.0,
    validate_every: int = 1000,
    start: Path | None = None,
) -> Path:
    """Train until ``config.steps`` or the time is up; resume where a run stopped.

    Parameters
    ----------
    config
        The run.
    out
        Folder of ``checkpoint.pt``, ``loss.csv`` and ``validation.csv``.
    device
        "cpu" or "cuda".
    minutes
        Stop, with a checkpoint, after this long.
    save_every
        Seconds between checkpoints.
    validate_every
        Steps between validations.
    start
        Weights file or checkpoint whose averaged weights begin a new run.

    Returns
    -------
    Path
        The checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "checkpoint.pt"
    place = torch.device(device)
    torch.manual_seed(config.seed)
    model_config: ModelConfig = PRESETS[config.preset]
    network = SeuratNetwork(model_config).to(place)
    average = {k: v.detach().clone() for k, v in network.state_dict().items()}
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
    )
    step, best = 0, math.inf
    if path.exists():
        state = torch.load(path, map_location=place, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average, step, best = state["average"], state["step"], state["best"]
        log.info("resumed at step %d", step)
    elif start is not None:
        begun = _start_weights(start, place)
        network.load_state_dict(begun)
        average = {k: v.clone() for k, v in begun.items()}

    held_out = validation_batches(0, 24, place)
    judge = SeuratNetwork(model_config).to(place).eval()

    def note(name: str, *values: object) -> None:
        with (out / name).open("a", newline="") as file:
            csv.writer(file).writerow(values)

    def checkpoint() -> None:
        save_checkpoint(
            path,
            {
                "network": network.state_dict(),
                "average": average,
                "optimiser": optimiser.state_dict(),
                "step": step,
                "best": best,
                "model": model_config.to_dict(),
                "config": asdict(config),
            },
        )

    began = saved = time.monotonic()
    mean_loss, counted = 0.0, 0
    while step < config.steps and time.monotonic() - began < 60 * minutes:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config)
        batch = training_batch(config.seed, step, config.tracks, place)
        with torch.autocast(place.type, torch.bfloat16, enabled=config.bfloat16):
            loss = run_batch(network, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        if torch.isfinite(norm):
            optimiser.step()
        step += 1
        # the average follows quickly at first
        keep = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        mean_loss, counted = mean_loss + float(loss.detach()), counted + 1
        if step % 50 == 0:
            elapsed = time.monotonic() - began
            note("loss.csv", step, f"{mean_loss / counted:.5f}", f"{elapsed:.0f}")
            mean_loss, counted = 0.0, 0
        if step % validate_every == 0 or step == config.steps:
            judge.load_state_dict(average)
            scores = validate(judge, held_out)
            best = min(best, scores["mean"])
            row = [f"{k}={v:.4f}" for k, v in scores.items()]
            note("validation.csv", step, *row)
            log.info("step %d %s", step, " ".join(row))
        if time.monotonic() - saved > save_every:
            checkpoint()
            saved = time.monotonic()
    checkpoint()
    return path


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small", choices=sorted(PRESETS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tracks", type=int, default=TrainConfig.tracks)
    parser.add_argument("--rate", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--warmup", type=int, default=TrainConfig.warmup)
    parser.add_argument("--decay", type=float, default=TrainConfig.decay)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--start", type=Path, help="weights file or checkpoint to begin from"
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = TrainConfig(
        preset=args.preset,
        steps=args.steps,
        seed=args.seed,
        tracks=args.tracks,
        learning_rate=args.rate,
        warmup=args.warmup,
        decay=args.decay,
    )
    train(config, args.out, device=args.device, minutes=args.minutes, start=args.start)


if __name__ == "__main__":
    main()
