"""Turn training checkpoints into weights files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.pretrained import load_model, save_weights


def export_weights(
    checkpoint: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    scores: dict[str, Any] | None = None,
    averaged: bool = True,
) -> Path:
    """Write the averaged weights of a checkpoint as safetensors, half precision.

    Parameters
    ----------
    checkpoint
        ``checkpoint.pt`` of a run.
    path
        File to write.
    scores
        Measured scores, recorded in the file.
    averaged
        Take the exponential moving average of the weights, not the last ones.
    """
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    recipe = dict(state["config"])
    if recipe.get("clips"):
        recipe["clips"] = Path(recipe["clips"]).name  # no folder of this machine
    record = {
        "recipe": recipe,
        "seed": state["config"]["seed"],
        "steps": state["step"],
        "scores": scores or {},
    }
    save_weights(
        path,
        state["average" if averaged else "network"],
        ModelConfig.from_dict(state["model"]),
        record=record,
    )
    return Path(path)


def average_weights(
    files: Sequence[str | os.PathLike[str]],
    shares: Sequence[float],
    path: str | os.PathLike[str],
    *,
    scores: dict[str, Any] | None = None,
) -> Path:
    """Average weights files of one run, which often generalises better than its last.

    Parameters
    ----------
    files
        Weights files of one size, the latest last: its record is kept.
    shares
        Share of each file; they must add up to 1.
    path
        File to write.
    scores
        Measured scores, recorded in the file.

    Notes
    -----
    "Model soups" (Wortsman et al. 2022): weights that lie in one basin of the loss can
    be averaged.
    """
    if len(files) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"{len(files)} files need shares that sum to 1, got {shares}")
    models = [load_model(file) for file in files]
    if len({model.config for model in models}) > 1:
        raise ValueError("the files hold networks of different sizes")
    states = [model.network.state_dict() for model in models]
    mixed = {
        name: sum(share * s[name] for share, s in zip(shares, states, strict=True))
        for name in states[0]
    }
    parts = [
        {"hash": m.hash, "steps": m.record.get("steps"), "share": round(share, 4)}
        for m, share in zip(models, shares, strict=True)
    ]
    record = {**models[-1].record, "averaged_from": parts, "scores": scores or {}}
    save_weights(path, mixed, models[-1].config, record=record)
    return Path(path)
