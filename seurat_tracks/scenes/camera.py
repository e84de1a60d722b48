"""How the camera moves: eight kinds, in proportion to the scene's depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.motion import Draw, jitter_path, rotation, smooth_path
from seurat_tracks.scenes.stage import Stage

CAMERAS = (
    "static",
    "handheld",
    "orbit",
    "pan",
    "drive",
    "walk",
    "zoom",
    "free",
)
"""Kinds of camera motion, in the order of `CAMERA_SHARE`."""

STATIC, HANDHELD, ORBIT, PAN, DRIVE, WALK, ZOOM, FREE = range(len(CAMERAS))
"""Indices into `CAMERAS`."""

CAMERA_SHARE = (0.14, 0.24, 0.15, 0.08, 0.14, 0.10, 0.04, 0.11)
"""How often each kind is drawn in training; people are filmed by standing and hand-held
cameras more often."""


@dataclass
class Camera:
    """Cameras of a batch of scenes.

    Attributes
    ----------
    position : Tensor (B, T, 3)
        World, metres; 0 at time 0.
    turn : Tensor (B, T, 3, 3)
        Camera to world.
    focal : Tensor (B, T)
        In half longer sides.
    kind : int Tensor (B,)
        Index into `CAMERAS`.
    """

    position: Tensor
    turn: Tensor
    focal: Tensor
    kind: Tensor


def narrow(focal: Tensor) -> Tensor:
    """How much smaller motion is filmed through a long lens, so that it stays in."""
    return (1.732 / focal).clamp(max=1.0)  # 1 at a field of view of 60 degrees


def sideways(slow: Tensor) -> Tensor:
    """Factors (..., 3) that slow motion across the picture, not along its depth."""
    return torch.stack([slow, slow, torch.ones_like(slow)], -1)


def draw_kinds(
    draw: Draw, batch: int, person: Tensor, solo: Tensor, forced: str | None
) -> Tensor:
    """Draw the kind of each camera; still where one object alone moves (solo)."""
    if forced is not None:
        return torch.full((batch,), CAMERAS.index(forced), device=draw.device)
    share = torch.tensor(CAMERA_SHARE, device=draw.device)
    kind = torch.multinomial(share, batch, True, generator=draw.generator)
    again = person & draw.chance(0.35, batch)
    still = torch.where(draw.chance(0.65, batch), STATIC, HANDHELD)
    kind = torch.where(again, still, kind)
    return torch.where(solo, STATIC, kind)


def make_camera(draw: Draw, stage: Stage, kind: Tensor, frames: int) -> Camera:
    """Draw camera paths of the given kinds (B,) in a stage."""
    device = draw.device
    batch = len(kind)
    time = torch.linspace(0, 1, frames, device=device)
    seconds = stage.seconds(frames)

    def pick(*values: float) -> Tensor:
        return torch.tensor(values, device=device)[kind]

    #          static hand orbit pan drive walk zoom free
    low = pick(0, 0.002, 0.008, 1e-4, 0.006, 0.006, 1e-4, 0.004)
    high = pick(0, 0.12, 0.7, 0.01, 0.75, 0.3, 0.02, 0.6)
    turn_low = pick(0, 0.002, 0.002, 0.03, 0.001, 0.005, 1e-4, 0.01)
    turn_high = pick(0, 0.08, 0.03, 0.9, 0.12, 0.15, 0.02, 0.5)
    slow = narrow(stage.focal)
    u, w = draw.uniform(batch), draw.uniform(batch)
    travel = low.clamp_min(1e-6) * (high / low.clamp_min(1e-6)).clamp_min(1e-6) ** u
    travel = torch.where(kind == STATIC, 0.0, travel) * stage.reach
    angle = turn_low.clamp_min(1e-6)
    angle = angle * (turn_high / turn_low.clamp_min(1e-6)).clamp_min(1e-6) ** w
    angle = torch.where(kind == STATIC, 0.0, angle * slow)

    path = smooth_path(draw, (batch,), time)
    # the main direction by kind: sideways to orbit, forwards or back to drive and walk
    bias = torch.zeros(batch, 3, device=device)
    ahead = torch.where(draw.chance(0.75, batch), 1.0, -1.0)
    forwards = (kind == DRIVE) | (kind == WALK)
    bias[:, 2] = torch.where(forwards, ahead, 0.0)
    bias[:, 0] = torch.where(kind == ORBIT, draw.normal(batch).sign(), 0.0)
    bias[:, 1] = torch.where(kind == ORBIT, 0.4 * draw.normal(batch), 0.0)
    steer = torch.where(
        (forwards | (kind == ORBIT))[:, None, None],
        bias[:, None] * time[:, None] + 0.12 * path,
        path,
    )
    shake = jitter_path(draw, (batch,), time)
    shaky = pick(0, 0.15, 0.02, 0.01, 0.01, 0.10, 0.02, 0.05)
    position = travel[:, None, None] * (steer + shaky[:, None, None] * shake)
    position = position * sideways(slow)[:, None]
    # steps of a walk: up and down twice as often as from side to side
    pace = 6.2832 * draw.uniform(batch, 1, low=0.7, high=1.2)
    phase = draw.uniform(batch, 1, high=6.28)
    sway = (pace * seconds + phase).sin() - phase.sin()
    bob = (2 * pace * seconds + 2 * phase).sin() - (2 * phase).sin()
    gain = 0.02 * draw.log_uniform(batch, 1, low=0.3, high=2.0)
    gain = gain * (stage.reach[:, None] / 4).clamp(max=1.0) * (kind == WALK)[:, None]
    step = torch.stack([gain * sway, gain * bob, torch.zeros_like(bob)], -1)
    position = position + step * sideways(slow)[:, None]

    spin = smooth_path(draw, (batch,), time)
    spin = spin * torch.tensor([0.7, 1.0, 0.35], device=device)
    wobble = jitter_path(draw, (batch,), time)
    vector = angle[:, None, None] * (spin + shaky[:, None, None] * wobble)
    # an orbit looks back at its target, at about the scene's depth
    target = stage.reach * draw.uniform(batch, low=0.6, high=1.3)
    near = draw.chance(0.5, batch)
    target = torch.where(near, stage.depth, target)
    away = (target[:, None] - position[..., 2]).clamp_min(1e-3)
    look = torch.stack(
        [
            torch.atan2(position[..., 1], away),
            -torch.atan2(position[..., 0], away),
            torch.zeros_like(away),
        ],
        -1,
    )
    vector = vector + torch.where((kind == ORBIT)[:, None, None], look, 0.0)

    zoom = draw.normal(batch) * 0.25 * (kind == ZOOM)
    focal = stage.focal[:, None] * (zoom[:, None] * time).exp()

    # wheels and feet go level, other cameras along their own axes
    flat = torch.eye(3, device=device).expand(batch, 3, 3)
    axes = torch.where(forwards[:, None, None], flat, stage.tilt)
    position = position @ axes.transpose(1, 2)
    above = torch.minimum(position[..., 1], 0.9 * stage.floor[:, None])
    position = torch.stack([position[..., 0], above, position[..., 2]], -1)
    turn = stage.tilt[:, None] @ rotation(vector)
    return Camera(position, turn, focal, kind)
