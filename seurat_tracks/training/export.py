"""Turn a training checkpoint into a weights file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.pretrained import save_weights


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
    record = {
        "recipe": state["config"],
        "seed": state["config"]["seed"],
        "steps": state["step"],
        "best_validation": state["best"],
        "scores": scores or {},
    }
    save_weights(
        path,
        state["average" if averaged else "network"],
        ModelConfig.from_dict(state["model"]),
        record=record,
    )
    return Path(path)
