"""Batches for training and validation, each a pure function of its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.generate import CAMERAS, SceneConfig, make_scenes
from seurat_tracks.scenes.spoil import SpoilConfig, spoil


@dataclass
class Batch:
    """A batch of windows; the first ``support`` points are the support."""

    xy: Tensor  # B P T 2, spoiled
    visible: Tensor  # B P T, as the tracker says
    z: Tensor  # B P T, exact
    truly_visible: Tensor  # B P T
    support: int


def training_batch(seed: int, step: int, tracks: int, device: torch.device) -> Batch:
    """Draw the batch of one training step.

    Parameters
    ----------
    seed, step
        Decide everything: a resumed run sees what an unbroken one would have.
    tracks
        Points in a batch; support sizes from 8 to 576 share this budget.
    device
        Where the batch is made.
    """
    generator = torch.Generator(device).manual_seed(seed * 10_000_019 + step)
    u = torch.rand(3, generator=generator, device=device).tolist()
    low, high = (8, 64) if u[0] < 0.45 else (64, 200) if u[0] < 0.9 else (200, 576)
    support = round(math.exp(math.log(low) + u[1] * math.log(high / low)))
    queries = 48 + round(48 * u[2])
    batch = max(2, tracks // (support + queries))
    scenes = make_scenes(
        batch, SceneConfig(support=support, queries=queries), generator
    )
    xy, visible = spoil(scenes.xy, scenes.visible, SpoilConfig(), generator)
    return Batch(xy, visible, scenes.z, scenes.visible, support)


def validation_batches(
    seed: int, scenes: int, device: torch.device
) -> dict[str, Batch]:
    """Draw fixed held-out scenes by kind of camera motion, with moderate noise."""
    batches = {}
    noise = SpoilConfig(clean=0.0, jitter=(3e-4, 1e-3), drift=(1e-4, 3e-4))
    for i, camera in enumerate(CAMERAS):
        generator = torch.Generator(device).manual_seed(2**40 + seed * 1000 + i)
        config = SceneConfig(support=128, queries=64, camera=camera)
        made = make_scenes(scenes, config, generator)
        xy, visible = spoil(made.xy, made.visible, noise, generator)
        batches[camera] = Batch(xy, visible, made.z, made.visible, made.support)
    return batches
