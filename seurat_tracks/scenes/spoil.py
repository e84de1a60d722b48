"""Spoil exact tracks as real trackers spoil them.

Amounts are in normalised image units (half of the frame's longer side is 1): one pixel
of a 640-pixel frame is 0.003.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from seurat_tracks.scenes.motion import Draw


@dataclass(frozen=True)
class SpoilConfig:
    """How much is spoiled; each amount is drawn anew for every scene.

    Attributes
    ----------
    clean
        Chance that a scene keeps its exact tracks.
    jitter
        Range of the white noise per frame (log-uniform).
    drift
        Range of the random walk's step per frame (log-uniform).
    sliding
        Largest share of points that stick to edges and follow only part of the motion,
        as flow does where texture has one direction.
    lost
        Largest share of points that jump to something else, or wander off.
    flipped
        Largest share of wrong visibility flags.
    """

    clean: float = 0.2
    jitter: tuple[float, float] = (5e-5, 4e-3)
    drift: tuple[float, float] = (2e-5, 1.5e-3)
    sliding: float = 0.3
    lost: float = 0.1
    flipped: float = 0.08


def spoil(
    xy: Tensor, visible: Tensor, config: SpoilConfig, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return tracks as a tracker might have given them.

    Parameters
    ----------
    xy : Tensor (B, P, T, 2)
        Exact normalised positions.
    visible : bool Tensor (B, P, T)
    config
        Amounts.
    generator
        Seeded generator on the device of the tracks.

    Returns
    -------
    xy : Tensor (B, P, T, 2)
        Zero where hidden.
    visible : bool Tensor (B, P, T)
    """
    draw = Draw(generator)
    B, P, T, _ = xy.shape
    dirty = ~draw.chance(config.clean, B, 1, 1)
    each = (0.5 * draw.normal(B, P, 1, 1)).exp()
    jitter = draw.log_uniform(B, 1, 1, 1, low=config.jitter[0], high=config.jitter[1])
    noise = jitter * each * draw.normal(B, P, T, 2)
    step = draw.log_uniform(B, 1, 1, 1, low=config.drift[0], high=config.drift[1])
    walk = (step * each * draw.normal(B, P, T, 2)).cumsum(2)
    walk = walk - walk[:, :, :1]

    # points on edges follow the motion across the edge but not all of it along
    angle = draw.uniform(B, P, 1, high=3.1416)
    along = torch.stack([angle.cos(), angle.sin()], -1)
    moved = xy - xy[:, :, :1]
    share = draw.uniform(B, 1, high=config.sliding) * draw.chance(0.5, B, 1)
    slides = draw.uniform(B, P) < share
    part = draw.uniform(B, P, 1, 1) * slides[..., None, None]
    slip = -part * (moved * along).sum(-1, keepdim=True).clamp(-0.3, 0.3) * along

    # some jump, at some frame, to something that moves another way
    share = draw.uniform(B, 1, high=config.lost) * draw.chance(0.6, B, 1)
    lost = draw.uniform(B, P) < share
    start = draw.integers(T, B, P)
    after = torch.arange(T, device=xy.device) >= start[..., None]
    far = draw.log_uniform(B, P, 1, 1, low=0.003, high=0.3)
    jump = far * (draw.normal(B, P, 1, 2) + 0.3 * draw.normal(B, P, T, 2).cumsum(2))
    jump = jump * (after & lost[..., None])[..., None]

    spoiled = xy + (noise + walk + slip + jump) * dirty[..., None]

    flips = draw.uniform(B, 1, 1, high=config.flipped)
    dropped = draw.uniform(B, P, T) < flips
    # early loss and late finding: from some frame on, or up to it
    ends = draw.uniform(B, P) < flips[..., 0]
    edge = draw.integers(T, B, P)[..., None]
    frames = torch.arange(T, device=xy.device)
    late = torch.where(draw.chance(0.5, B, P, 1), frames >= edge, frames < edge)
    dropped = (dropped | (late & ends[..., None])) & dirty
    # a hidden point that the tracker believes it still sees, a little off
    ghosts = draw.uniform(B, P, T) < 0.5 * flips
    ghosts = ghosts & dirty & ~visible & (xy.abs() < 1.0).all(-1)
    spoiled = spoiled + torch.where(
        ghosts[..., None], 0.03 * draw.normal(B, P, 1, 2), 0.0
    )
    seen = (visible & ~dropped) | ghosts
    return torch.where(seen[..., None], spoiled, 0.0), seen
