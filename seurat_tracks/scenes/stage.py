"""Where a scene plays: lens, level ground, walls, and the place of its subject.

World axes are level: x right, y down (along gravity), z forward, metres; the camera of
time 0 is at the origin and looks about forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.motion import Draw, as_divisor, rotation

SETTINGS = ("room", "street", "table", "far", "ground")
"""Kinds of surroundings."""

ROOM, STREET, TABLE, FAR, GROUND = range(len(SETTINGS))
"""Indices into `SETTINGS`."""

SETTING_SHARE = (0.35, 0.15, 0.12, 0.10, 0.28)
"""How often each is drawn; cars have a street, people no table."""

#             room street table far  ground
_WIDTH = ((2.0, 8.0, 0.5, 60.0, 15.0), (9.0, 40.0, 3.0, 400.0, 120.0))
_STRETCH = ((0.6, 1.5, 0.6, 0.6, 0.6), (1.6, 6.0, 1.6, 1.6, 1.6))


@dataclass
class Stage:
    """Surroundings of a batch of scenes.

    Attributes
    ----------
    half : Tensor (B, 2)
        Half width and height of the frame; the larger is 1.
    focal : Tensor (B,)
        At time 0, in half longer sides.
    tilt : Tensor (B, 3, 3)
        Camera of time 0 to world.
    interval : Tensor (B,)
        Seconds between frames.
    setting : int Tensor (B,)
        Index into `SETTINGS`.
    floor : Tensor (B,)
        World y of the ground.
    yaw : Tensor (B, 3, 3)
        Axes of the walls to world.
    low, high : Tensor (B, 3)
        The room in the axes of its walls.
    reach : Tensor (B,)
        Typical depth, metres; cameras move in proportion.
    subject : Tensor (B, 3)
        World place of what the scene is about (its middle).
    tall : Tensor (B,)
        Height of the subject, metres.
    """

    half: Tensor
    focal: Tensor
    tilt: Tensor
    interval: Tensor
    setting: Tensor
    floor: Tensor
    yaw: Tensor
    low: Tensor
    high: Tensor
    reach: Tensor
    subject: Tensor
    tall: Tensor

    @property
    def depth(self) -> Tensor:
        """Depth (B,) of the subject, metres."""
        return (self.tilt.transpose(1, 2) @ self.subject[..., None])[:, 2, 0]

    def seconds(self, frames: int) -> Tensor:
        """Give the times (B, T) of the frames, from 0 on."""
        return self.interval[:, None] * torch.arange(
            frames, device=self.interval.device
        )

    def face(self, draw: Draw, scene: Tensor) -> None:
        """Turn some scenes (B,) into a wall across the view and nothing else."""
        batch = len(scene)
        away = draw.log_uniform(batch, low=0.05, high=30.0)
        spin = draw.normal(batch, 3) * torch.tensor(
            [0.05, 0.05, 0.3], device=draw.device
        )
        wide = 1e3 * away
        ahead = torch.stack([torch.zeros_like(away), torch.zeros_like(away), away], -1)
        for name, value in (
            ("tilt", rotation(spin)),
            ("yaw", torch.eye(3, device=draw.device).expand(batch, 3, 3)),
            ("low", torch.stack([-wide, -wide, -wide], -1)),
            ("high", torch.stack([wide, wide, away], -1)),
            ("floor", wide),
            ("reach", away),
            ("subject", ahead),
            ("tall", 0.1 * away),
        ):
            old = getattr(self, name)
            chosen = scene.reshape(-1, *[1] * (old.ndim - 1))
            setattr(self, name, torch.where(chosen, value, old))

    def contain(self, path: Tensor) -> None:
        """Move walls outwards where a path (B, T, 3) would pass them."""
        inside = path @ self.yaw
        margin = 0.05 * self.reach[:, None]
        self.low = torch.minimum(self.low, inside.amin(1) - margin)
        high = torch.maximum(self.high, inside.amax(1) + margin)
        # the ground stays where it is, and the path above it
        high[:, 1] = self.high[:, 1]
        self.high = high


def leave(low: Tensor, high: Tensor, origin: Tensor, ray: Tensor) -> Tensor:
    """Where rays leave a box.

    Parameters
    ----------
    low, high : Tensor (..., 3)
        Corners of the box.
    origin, ray : Tensor (..., 3)
        Start, inside, and direction, in the box's axes.

    Returns
    -------
    Tensor (...)
        Multiples of the ray's length; 0.001 where the start is outside already.
    """
    ray = as_divisor(ray)
    wall = torch.where(ray > 0, high, low)
    return ((wall - origin) / ray).amin(-1).clamp_min(1e-3)


def make_stage(
    draw: Draw,
    batch: int,
    frames: int,
    person: Tensor,
    car: Tensor,
) -> Stage:
    """Draw surroundings.

    Parameters
    ----------
    draw
        Source of randomness.
    batch
        Scenes, B.
    frames
        T; long scenes have short intervals, so that they last no minutes.
    person, car : bool Tensor (B,)
        Where the subject is a figure, or a car.
    """
    device = draw.device
    aspect = draw.log_uniform(batch, low=0.5625, high=1.0)
    wide = draw.chance(0.75, batch)
    one = torch.ones_like(aspect)
    half = torch.stack(
        [torch.where(wide, one, aspect), torch.where(wide, aspect, one)], -1
    )
    # most cameras see about 55 degrees; long and very wide lenses are rarer
    fov = (55.0 * (0.42 * draw.normal(batch)).exp()).clamp(10.0, 115.0)
    focal = 1 / (torch.deg2rad(fov) / 2).tan()
    pitch = draw.normal(batch) * 0.2 - draw.uniform(batch, high=0.35)
    zero = torch.zeros_like(pitch)
    roll = draw.normal(batch) * 0.06
    tilt = rotation(torch.stack([pitch, zero, roll], -1))

    share = torch.tensor(SETTING_SHARE, device=device)
    setting = torch.multinomial(share, batch, True, generator=draw.generator)
    setting = torch.where(person & (setting == TABLE), ROOM, setting)
    road = torch.where(setting == GROUND, GROUND, STREET)
    setting = torch.where(car, road, setting)

    # the subject: its size in metres and in the picture give its distance
    low = torch.tensor([0.15, 0.2, 0.02, 0.3, 0.1], device=device)[setting]
    high = torch.tensor([1.5, 3.0, 0.3, 5.0, 3.0], device=device)[setting]
    tall = low * (high / low) ** draw.uniform(batch)
    human = torch.where(
        draw.chance(0.8, batch),
        1.7 * (0.08 * draw.normal(batch)).exp(),
        draw.log_uniform(batch, low=0.3, high=1.7),
    )
    tall = torch.where(person, human, tall)
    tall = torch.where(car, 1.5 * (0.12 * draw.normal(batch)).exp(), tall)
    angular = torch.where(
        person,
        draw.log_uniform(batch, low=0.2, high=1.5),
        torch.where(
            car,
            draw.log_uniform(batch, low=0.06, high=0.5),
            draw.log_uniform(batch, low=0.1, high=0.9),
        ),
    )
    depth = tall * focal / angular
    place = draw.uniform(batch, 2, low=-0.6, high=0.6) * half
    subject = torch.cat([place * (depth / focal)[:, None], depth[:, None]], -1)
    subject = (tilt @ subject[..., None])[..., 0]
    # the ground carries it, and the camera stays above the ground
    floor = subject[:, 1] + tall / 2
    floor = torch.maximum(floor, torch.minimum(0.15 * depth, 0.6 * tall + 0.1))
    subject = torch.stack([subject[:, 0], floor - tall / 2, subject[:, 2]], -1)

    width = torch.tensor(_WIDTH, device=device)[:, setting]
    stretch = torch.tensor(_STRETCH, device=device)[:, setting]
    across = width[0] * (width[1] / width[0]) ** draw.uniform(batch)
    deep = across * (stretch[0] + (stretch[1] - stretch[0]) * draw.uniform(batch))
    above = torch.where(
        setting == ROOM, draw.uniform(batch, low=0.4, high=2.0), across * 0.7
    )
    side = draw.uniform(batch, low=-0.7, high=0.7) * across / 2
    front = deep * draw.uniform(batch, low=0.55, high=0.95)
    lower = torch.stack([side - across / 2, -above, front - deep], -1)
    upper = torch.stack([side + across / 2, floor, front], -1)
    turn = draw.uniform(batch, low=-0.7, high=0.7)
    yaw = rotation(torch.stack([zero, turn, zero], -1))
    # room for the subject, and something behind it
    inside = (yaw.transpose(1, 2) @ subject[..., None])[..., 0]
    margin = tall[:, None] * draw.log_uniform(batch, 3, low=0.6, high=4.0)
    level = torch.tensor([1.0, 0.0, 1.0], device=device)
    lower = torch.minimum(lower, inside - margin)
    upper = torch.maximum(upper, (inside + margin) * level + upper * (1 - level))
    reach = torch.where(setting == FAR, 1.5 * depth, upper[:, 2]).clamp(max=60.0)
    reach = torch.minimum(reach, 8 * depth)
    slowest = min(0.25, max(1 / 30, 10 / frames))
    interval = draw.log_uniform(batch, low=1 / 60, high=slowest)
    return Stage(
        half,
        focal,
        tilt,
        interval,
        setting,
        floor,
        yaw,
        lower,
        upper,
        reach,
        subject,
        tall,
    )
