"""Batches for training and validation, each a pure function of its seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from seurat_tracks.scenes.camera import CAMERAS
from seurat_tracks.scenes.generate import SceneBatch, SceneConfig, make_scenes
from seurat_tracks.scenes.mocap import Motions, load_motions
from seurat_tracks.scenes.spoil import SpoilConfig, spoil
from seurat_tracks.training.config import TrainConfig

SPOILED = SpoilConfig(clean=0.0)
"""What happens to held-out windows: none stays exact."""

ZOOM = 0.002
"""Log change of the focal length from which on it counts as unknown."""


@dataclass
class Batch:
    """A batch of windows; the first ``support`` points are the support.

    Attributes
    ----------
    xy : Tensor (B, P, T, 2)
        Normalised positions as a tracker gives them.
    visible : bool Tensor (B, P, T)
        Visibility as a tracker gives it.
    z : Tensor (B, P, T)
        Exact depth along the optical axis; 0 where it is not known.
    truly_visible : bool Tensor (B, P, T)
        Exact visibility.
    support : int
        How many of the points are support.
    focal : Tensor (B,) or None
        Focal length at the window's first frame, in halves of the longer side; NaN
        where the network is not told.
    """

    xy: Tensor
    visible: Tensor
    z: Tensor
    truly_visible: Tensor
    support: int
    focal: Tensor | None = None


@dataclass(frozen=True)
class BatchSize:
    """Windows in a batch, and support and query points in a window."""

    windows: int
    support: int
    queries: int


def batch_seed(config: TrainConfig, step: int) -> int:
    """Seed of one step's batch: all of its randomness comes from this."""
    return config.seed * 10_000_019 + step


def batch_size(config: TrainConfig, draw: random.Random) -> BatchSize:
    """Draw how many windows and points a batch holds, where the run leaves it open."""
    low, high = draw.choices([(8, 64), (64, 200), (200, 576)], [0.45, 0.45, 0.1])[0]
    low, high = min(low, config.most_support // 2), min(high, config.most_support)
    some = round(math.exp(draw.uniform(math.log(low), math.log(high))))
    support, queries = config.support or some, config.queries or draw.randint(48, 96)
    windows = config.batch or max(2, config.tracks // (support + queries))
    return BatchSize(windows, support, queries)


def scene_batch(config: TrainConfig, step: int, device: torch.device) -> Batch:
    """Draw the batch of one training step from procedural scenes.

    Parameters
    ----------
    config, step
        Decide everything: a resumed run sees what an unbroken one would have.
    device
        Where the batch is made.
    """
    seed = batch_seed(config, step)
    # sizes from a generator of the host's own: the device need not be waited for
    host = random.Random(seed)
    size = batch_size(config, host)
    generator = torch.Generator(device).manual_seed(seed)
    frames = config.model.window
    wanted = SceneConfig(frames=frames, support=size.support, queries=size.queries)
    if host.random() < config.joints:
        size = _joints_size(config, host)
        camera = host.choices(["static", "handheld", None], [0.45, 0.25, 0.3])[0]
        wanted = _joints(frames, size, camera)
    elif host.random() < config.facing:
        kinds = ["drive", "zoom", "handheld", "orbit"]
        camera = host.choices(kinds, [0.6, 0.15, 0.15, 0.1])[0]
        wanted = _facing(frames, size, camera)
    motions = _motions(config.clips, device) if config.clips else None
    scenes = make_scenes(size.windows, wanted, generator, motions)
    return make_batch(exact_tracks(scenes), config.spoil, config.known_focal, generator)


@lru_cache(maxsize=1)
def _motions(path: str, device: torch.device) -> Motions:
    return load_motions(path).to(device)


def _joints_size(config: TrainConfig, host: random.Random) -> BatchSize:
    """Draw 8 to 40 joints or markers as support, and some more as queries."""
    support = config.support or round(math.exp(host.uniform(2.08, 3.69)))
    queries = config.queries or 24
    windows = config.batch or max(2, config.tracks // (2 * (support + queries)))
    return BatchSize(windows, support, queries)


def _joints(frames: int, size: BatchSize, camera: str | None) -> SceneConfig:
    """Joints or markers of figures, and nothing else."""
    return SceneConfig(
        frames=frames,
        support=size.support,
        queries=size.queries,
        camera=camera,
        figures=1.0,
        sparse=1.0,
    )


def _facing(frames: int, size: BatchSize, camera: str) -> SceneConfig:
    """Ask for a wall across the view, and nothing else."""
    return SceneConfig(
        frames=frames,
        support=size.support,
        queries=size.queries,
        camera=camera,
        motion="none",
        sparse=0.0,
        facing=1.0,
    )


def validation_scenes(
    scenes: int, device: torch.device, frames: int = 8, support: int = 128
) -> dict[str, Batch]:
    """Draw fixed held-out scenes, all of them spoiled.

    They go by kind of camera motion; "joints" are those of figures alone, before a
    camera that stands; "facing" is a wall that the camera goes towards or away from.
    """
    wanted = {
        camera: SceneConfig(frames=frames, support=support, queries=64, camera=camera)
        for camera in CAMERAS
    }
    wanted["joints"] = _joints(frames, BatchSize(scenes, 24, 24), "static")
    wanted["facing"] = _facing(frames, BatchSize(scenes, support, 64), "drive")
    batches = {}
    for i, (name, config) in enumerate(wanted.items()):
        generator = torch.Generator(device).manual_seed(2**40 + i)
        made = make_scenes(scenes, config, generator)
        batches[name] = make_batch(exact_tracks(made), SPOILED, 0.0, generator)
    return batches


def make_batch(
    exact: Batch,
    noise: SpoilConfig | bool,
    known_focal: float,
    generator: torch.Generator,
) -> Batch:
    """Turn exact tracks into what a tracker, and a person, might tell the network.

    Parameters
    ----------
    exact
        Exact tracks.
    noise
        How they are spoiled; True for the usual amounts.
    known_focal
        Share of the windows whose focal length the network is told.
    generator
        On the device of the tracks.
    """
    xy, visible, focal = exact.xy, exact.visible, exact.focal
    if noise:
        noise = noise if isinstance(noise, SpoilConfig) else SpoilConfig()
        xy, visible = spoil(xy, visible, noise, generator)
    if focal is not None:
        told = torch.rand(focal.shape, generator=generator, device=focal.device).lt(
            known_focal
        )
        focal = torch.where(told, focal, torch.nan)
    return replace(exact, xy=xy, visible=visible, focal=focal)


def exact_tracks(scenes: SceneBatch) -> Batch:
    """Take scenes as they are: nothing spoiled, the focal length told.

    One that changes is never told: who knows the lens knows that it did not zoom.
    """
    focal = scenes.focal[:, 0]
    zoom = (scenes.focal / focal[:, None]).log().abs().amax(1) > ZOOM
    focal = torch.where(zoom, torch.nan, focal)
    seen = scenes.visible
    return Batch(scenes.xy, seen, scenes.z, seen, scenes.support, focal)
