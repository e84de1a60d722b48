"""The training loop.

It resumes by itself from ``OUT/checkpoint.pt``. Every batch is a pure function of the
seed and the step, so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import Prediction, SeuratNetwork
from seurat_tracks.model.pretrained import load_model, resolve_device
from seurat_tracks.progress import bar, shown
from seurat_tracks.training.config import TrainConfig, TrainingError
from seurat_tracks.training.curves import Curves
from seurat_tracks.training.data import Batch, scene_batch, validation_scenes
from seurat_tracks.training.export import export_weights
from seurat_tracks.training.files import TrackFiles
from seurat_tracks.training.loss import prediction_loss, targets
from seurat_tracks.training.picture import draw_predictions

log = logging.getLogger(__name__)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm up, stay, fall linearly to 0."""
    rise = min(1.0, (step + 1) / config.warmup)
    left = (config.steps - step) / max(1, round(config.decay * config.steps))
    return config.learning_rate * min(rise, 1.0, max(0.0, left))


def predict(
    network: SeuratNetwork, batch: Batch
) -> tuple[list[Prediction], list[Prediction]]:
    """Predictions for the queries and for the support, one per iteration."""
    M = batch.support
    known = {} if batch.focal is None else {"log_focal": batch.focal.log()}
    query, support = network(
        batch.xy[:, :M],
        batch.visible[:, :M],
        batch.xy[:, M:],
        batch.visible[:, M:],
        **known,
    )
    return query, support


def run_batch(
    network: SeuratNetwork, batch: Batch, loss: str = "laplace"
) -> torch.Tensor:
    """Loss of one batch, both branches."""
    M = batch.support
    query, support = predict(network, batch)
    ratio, weight = targets(batch.z, batch.truly_visible)
    on_support = prediction_loss(support, ratio[:, :M], weight[:, :M], loss)
    on_query = prediction_loss(query, ratio[:, M:], weight[:, M:], loss)
    return on_support + on_query


@torch.inference_mode()
def validate(
    network: SeuratNetwork, batches: dict[str, Batch]
) -> tuple[dict[str, float], dict[str, list[Prediction]]]:
    """Score the queries of held-out batches.

    Returns
    -------
    scores
        Error over the error of "depth stays constant", by batch, and their mean.
    predictions
        What was scored, by batch.
    """
    scores, predictions = {}, {}
    for name, batch in batches.items():
        M = batch.support
        predictions[name], _ = predict(network, batch)
        ratio, weight = targets(batch.z[:, M:], batch.truly_visible[:, M:])
        weight = weight * (batch.truly_visible[:, M:, :1] & batch.truly_visible[:, M:])
        error = ((predictions[name][-1].log_ratio - ratio).abs() * weight).sum()
        scores[name] = float(error / (ratio.abs() * weight).sum())
    return {"mean": sum(scores.values()) / len(scores), **scores}, predictions


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write beside, then rename: a checkpoint is whole or absent."""
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    os.replace(beside, path)


def _load(path: Path) -> dict[str, Any]:
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise TrainingError(f"{path} is not a readable checkpoint: {error}") from error
    if not isinstance(state, dict) or not {"model", "average", "config"} <= set(state):
        raise TrainingError(f"{path} is no checkpoint of seurat-tracks")
    try:
        ModelConfig.from_dict(state["model"])
    except ValueError as error:
        raise TrainingError(f"{path}: {error}") from error
    found: dict[str, Any] = state
    return found


def _read_checkpoint(path: Path, config: TrainConfig, change: bool) -> dict[str, Any]:
    """Read where a run stopped; refuse to go on with other settings unasked."""
    state = _load(path)
    if ModelConfig.from_dict(state["model"]) != config.model:
        raise TrainingError(
            f"{path} holds a network of other size or switches ({state['model']}); "
            "give the same ones, or another folder"
        )
    saved = {**TrainConfig().to_dict(), **state["config"]}
    other = [
        f"{name} was {saved[name]!r}, now {value!r}"
        for name, value in config.to_dict().items()
        if saved[name] != value
    ]
    if other and not change:
        raise TrainingError(
            f"{path} belongs to a run with other settings: {'; '.join(other)}. Give "
            "the same ones, another folder, or say that they shall change (--change)"
        )
    return state


def _start_weights(start: Path, config: TrainConfig) -> dict[str, torch.Tensor]:
    """Averaged weights of a checkpoint, or those of a weights file.

    A network without rigid motions may begin one with them; what it lacks is new.
    What was learned of each step of a window is stretched over longer or shorter ones.
    """
    if start.suffix == ".safetensors":
        model = load_model(start)
        size, weights = model.config, model.network.state_dict()
    else:
        state = _load(start)
        size, weights = ModelConfig.from_dict(state["model"]), state["average"]
    alike = replace(config.model, window=size.window)
    if size not in (alike, replace(alike, motions=0)):
        raise TrainingError(f"{start} holds another network ({size})")
    if size.window != config.model.window:
        for name in [n for n in weights if n.endswith("branch.time")]:
            weights[name] = torch.nn.functional.interpolate(
                weights[name].T[None].float(),
                config.model.window,
                mode="linear",
                align_corners=True,
            )[0].T
    return weights


def _begin_from(network: SeuratNetwork, weights: dict[str, torch.Tensor]) -> None:
    """Load weights; rigid motions that they lack say nothing at first."""
    missing, _ = network.load_state_dict(weights, strict=False)
    if missing:
        for branch in {network.support_branch, network.query_branch}:
            torch.nn.init.zeros_(branch.rigid.weight)
            with torch.no_grad():
                branch.blend.bias[0] = 4.0


def train(
    config: TrainConfig,
    out: Path,
    *,
    folder: Path | None = None,
    device: str = "auto",
    minutes: float = math.inf,
    save_every: float = 180.0,
    start: Path | None = None,
    change: bool = False,
    progress: bool | None = None,
) -> Path:
    """Train until ``config.steps`` or the time is up; resume where a run stopped.

    Parameters
    ----------
    config
        The run.
    out
        Folder of ``checkpoint.pt``, ``loss.csv``, ``validation.csv``, pictures,
        TensorBoard's files and, when it stops, ``weights.safetensors``.
    folder
        Data set to train on, in a layout of `seurat_tracks.training.files`; procedural
        scenes without.
    device
        "auto", "cpu", "cuda".
    minutes
        Stop, with a checkpoint, after this long.
    save_every
        Seconds between checkpoints.
    start
        Weights file or checkpoint whose averaged weights begin a new run.
    change
        Resume with other settings than those in the checkpoint.
    progress
        True or False for a bar or none; None: a bar in a notebook or on a terminal.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    TrainingError
        If the folder holds another run, or the weights another network, or the data
        are missing or of an unknown layout.
    """
    if minutes < 0:
        raise TrainingError(f"minutes={minutes} must not be negative")
    place = torch.device(resolve_device(device))
    files = None if folder is None else TrackFiles(folder, config.model.window)
    if files is not None:
        config = replace(config, data=files.name)
    elif config.data != "scenes":
        raise TrainingError(
            f"this recipe trains on {config.data}: give the folder that holds it "
            "(--data), or train on procedural scenes (--set data=scenes)"
        )
    path = out / "checkpoint.pt"
    torch.manual_seed(config.seed)
    network = SeuratNetwork(config.model)
    state = _read_checkpoint(path, config, change) if path.exists() else None
    if state is not None:
        network.load_state_dict(state["network"])
    elif start is not None:
        _begin_from(network, _start_weights(start, config))
    network.to(place)
    # a second network follows the first slowly: it is judged, and shipped
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    weights = list(network.parameters())
    followers: list[torch.Tensor] = list(averaged.parameters())
    optimiser = torch.optim.AdamW(
        weights,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, config.beta2),
    )
    step, best, spent = 0, math.inf, 0.0
    # sums since the last row, on the device: nothing waits for them
    sums, counted = torch.zeros(2, device=place), 0
    if state is not None:
        averaged.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, best, spent = state["step"], state["best"], state["seconds"]
        sums, counted = state["sums"].to(place), state["counted"]
        torch.set_rng_state(state["random"])
        if "cuda_random" in state and place.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_random"], place)
        log.info("resumed at step %d", step)

    draw_batch = scene_batch if files is None else files.batch
    support = min(128, config.most_support)
    held_out = validation_scenes(24, place, config.model.window, support)
    if files is not None:
        held_out[files.name] = files.validation(48, place)
    log.info(
        "%.2f M parameters on %s, steps %d to %d, data: %s",
        sum(w.numel() for w in weights) / 1e6,
        place,
        step,
        config.steps,
        config.data,
    )
    out.mkdir(parents=True, exist_ok=True)
    curves = Curves(out, step)
    began = saved = time.monotonic()

    def seconds() -> float:
        return spent + time.monotonic() - began

    def checkpoint() -> None:
        state = {
            "network": network.state_dict(),
            "average": averaged.state_dict(),
            "optimiser": optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": step,
            "best": best,
            "seconds": seconds(),
            "sums": sums,
            "counted": counted,
            "model": config.model.to_dict(),
            "config": config.to_dict(),
        }
        if place.type == "cuda":
            state["cuda_random"] = torch.cuda.get_rng_state(place)
        curves.flush()  # no row up to here is lost to a kill
        save_checkpoint(path, state)

    with _showing(step, config.steps, progress) as advance:
        while step < config.steps and time.monotonic() - began < 60 * minutes:
            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = draw_batch(config, step, place)
            with torch.autocast(place.type, torch.bfloat16, enabled=config.bfloat16):
                loss = run_batch(network, batch, config.loss)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(weights, config.clip)
            if torch.isfinite(norm):
                optimiser.step()
            step += 1
            advance()
            # the average follows quickly at first
            keep = min(config.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(followers, [w.detach() for w in weights], 1 - keep)

            sums, counted = (
                sums + torch.stack([loss.detach(), norm.detach()]),
                counted + 1,
            )
            if step % config.log_every == 0:
                mean_loss, mean_norm = (sums / counted).tolist()
                if not math.isfinite(mean_norm):
                    # the step that was not finite has been left out: go on, but say so
                    log.warning("step %d: a gradient was not finite", step)
                row = {"loss": mean_loss, "gradient_norm": mean_norm}
                row |= {"learning_rate": rate, "seconds": seconds()}
                curves.add("loss", step, row)
                log.info("step %d loss %.4f, %.0f s", step, mean_loss, seconds())
                sums, counted = torch.zeros_like(sums), 0
            first_look = step == max(1, config.validate_every // 10)
            if first_look or step % config.validate_every == 0 or step == config.steps:
                scores, predictions = validate(averaged, held_out)
                best = min(best, scores["mean"])
                curves.add("validation", step, scores)
                curves.picture(step, partial(draw_predictions, held_out, predictions))
                log.info("step %d %s", step, _as_text(scores))
            if time.monotonic() - saved > save_every:
                checkpoint()
                saved = time.monotonic()
    checkpoint()
    curves.close()
    export_weights(path, out / "weights.safetensors")
    return path


def _as_text(scores: dict[str, float]) -> str:
    return " ".join(f"{name}={value:.4f}" for name, value in scores.items())


@contextmanager
def _showing(
    step: int, steps: int, progress: bool | None
) -> Iterator[Callable[[], object]]:
    """Show a bar of steps, if one is wanted; gives what moves it by one."""
    if not shown(progress):  # nothing beyond torch is needed then
        yield lambda: None
        return
    from tqdm.contrib.logging import logging_redirect_tqdm

    steps_bar = bar(
        initial=step, total=steps, desc="training", unit="step", progress=True
    )
    with steps_bar, logging_redirect_tqdm():
        yield steps_bar.update
