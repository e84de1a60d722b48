"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.model.network import Prediction

GAMMA = 0.8
"""Weight of an iteration relative to the next (CoTracker's; the paper states none)."""

NEAREST = 0.02
"""Depths below this, in metres, have no usable ratio."""

LARGEST = 2.5
"""Log ratios beyond this are left out of the loss."""


def targets(z: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Log depth ratio to the window's first frame (Eq. 7), and its weight.

    Parameters
    ----------
    z : Tensor (B, N, T)
        Depth along the optical axis.
    visible : bool Tensor (B, N, T)
        True visibility; hidden points count less.

    Returns
    -------
    log_ratio, weight : Tensor (B, N, T)
    """
    usable = (z > NEAREST) & (z[..., :1] > NEAREST)
    safe = torch.where(z > NEAREST, z, 1.0)
    log_ratio = torch.where(usable, (safe / safe[..., :1]).log(), 0.0)
    usable = usable & (log_ratio.abs() < LARGEST)
    # points that are never seen say nothing
    usable = usable & visible.any(-1, keepdim=True)
    weight = torch.where(visible & visible[..., :1], 1.0, 0.3)
    return log_ratio, weight * usable


def prediction_loss(
    predictions: list[Prediction],
    log_ratio: Tensor,
    weight: Tensor,
    kind: str = "laplace",
) -> Tensor:
    """Absolute error (Eq. 8), together with its Laplace likelihood, over iterations.

    The likelihood is multiplied by the root of its own scale (as in beta-NLL,
    Seitzer et al. 2022), so that still windows, whose scale is tiny, do not
    outweigh all others. ``kind="l1"`` leaves it out: the paper's loss.
    """
    total = log_ratio.new_zeros(())
    last = len(predictions) - 1
    norm = weight.sum().clamp_min(1.0)
    for i, prediction in enumerate(predictions):
        error = (prediction.log_ratio - log_ratio).abs()
        if kind == "l1":
            value = error
        else:
            value = 2.0 * error + _likelihood(error, prediction.log_scale)
        total = total + GAMMA ** (last - i) * (value * weight).sum() / norm
    return total


def _likelihood(error: Tensor, log_scale: Tensor) -> Tensor:
    """Negative Laplace log likelihood times the root of its scale."""
    return (0.5 * log_scale.detach()).exp() * (error * (-log_scale).exp() + log_scale)
