"""A jointed skeleton, two- or four-legged, and how it moves.

Bone lengths follow the body-segment proportions of Winter, *Biomechanics and Motor
Control of Human Movement* (after Drillis and Contini 1964), as shares of the height,
with a random spread. In a bone's own axes x is right, y down the limb, z forward; knees
and elbows are hinges, hips, shoulders and spine ball joints, all within human ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.actions import draw_actions, joint_angles, random_waves
from seurat_tracks.scenes.bones import BONES, PARENT
from seurat_tracks.scenes.motion import Draw, axis_turn

CARRIED = 0.2
"""Share of figures that are moved along: on skates, in a chair, by a vehicle."""

LEANING = 0.4
"""Share of standing figures that lean their whole body far over their feet."""

_UP = (0, 1, 2, 3)  # bones that point up, the others down
_LEFT = (4, 6, 8, 10, 12, 14)
_RIGHT = (5, 7, 9, 11, 13, 15)

#  length, half width and half depth as shares of the height
_HUMAN = (
    (0.12, 0.090, 0.065),
    (0.17, 0.100, 0.070),
    (0.05, 0.030, 0.030),
    (0.13, 0.045, 0.055),
    *((0.186, 0.026, 0.026),) * 2,
    *((0.146, 0.021, 0.021),) * 2,
    *((0.09, 0.018, 0.018),) * 2,
    *((0.245, 0.042, 0.042),) * 2,
    *((0.246, 0.030, 0.030),) * 2,
    *((0.13, 0.022, 0.022),) * 2,
    (0.01, 0.01, 0.01),
)
#  the same for four legs, as shares of the height of the back
_BEAST = (
    (0.50, 0.20, 0.24),
    (0.50, 0.21, 0.27),
    (0.35, 0.10, 0.12),
    (0.30, 0.09, 0.10),
    *((0.36, 0.06, 0.06),) * 2,
    *((0.34, 0.045, 0.045),) * 2,
    *((0.10, 0.045, 0.045),) * 2,
    *((0.36, 0.08, 0.08),) * 2,
    *((0.34, 0.05, 0.05),) * 2,
    *((0.10, 0.045, 0.045),) * 2,
    (0.45, 0.03, 0.03),
)


@dataclass
class Pose:
    """Bones of a batch of figures over time.

    Attributes
    ----------
    start, end : Tensor (B, L, T, 3)
        World ends of each bone, metres.
    turn : Tensor (B, L, T, 3, 3)
        Bone axes to world.
    size : Tensor (B, L, 3)
        Length, half width and half depth, metres.
    action : int Tensor (B,)
        Index into `ACTIONS`; -1 for replayed motion.
    """

    start: Tensor
    end: Tensor
    turn: Tensor
    size: Tensor
    action: Tensor


def _mirror(values: Tensor, spread: Tensor) -> Tensor:
    """Scale by random factors, the same left and right; both (B, L, ...)."""
    spread = spread.clone()
    spread[:, list(_RIGHT)] = spread[:, list(_LEFT)]
    return values * spread


def make_pose(
    draw: Draw,
    tall: Tensor,
    beast: Tensor,
    place: Tensor,
    floor: Tensor,
    seconds: Tensor,
) -> Pose:
    """Draw figures that do something on the ground.

    Parameters
    ----------
    draw
        Source of randomness.
    tall : Tensor (B,)
        Heights, metres.
    beast : bool Tensor (B,)
        Four legs instead of two.
    place : Tensor (B, 3)
        Where the figure is in the middle of the scene's time; its y is not used.
    floor : Tensor (B,)
        World y of the ground (y points down).
    seconds : Tensor (B, T)

    Returns
    -------
    Pose
        Whose lowest foot is on the ground but where it jumps or runs.
    """
    device = draw.device
    B, T = seconds.shape
    L = len(BONES)
    action = draw_actions(draw, beast)
    angle, speed, lift = joint_angles(draw, action, beast, tall, seconds)

    share = torch.where(
        beast[:, None, None],
        torch.tensor(_BEAST, device=device),
        torch.tensor(_HUMAN, device=device),
    )
    back = torch.where(beast, 0.75, 1.0) * tall  # a beast's height has its head on top
    share = _mirror(share, (0.07 * draw.normal(B, L, 1)).exp())
    thick = torch.ones(B, 1, 3, device=device)
    thick[..., 1:] = (0.15 * draw.normal(B, 1, 1)).exp()
    size = share * thick * back[:, None, None]
    length = size[..., 0]

    # the root: heading, lean, and a path that the gait drives
    goes = torch.isin(action, torch.tensor([1, 2], device=device))
    turning = draw.normal(B, 1) * draw.chance(0.5, B, 1)
    turning = turning * torch.where(goes, 0.5, 0.15)[:, None]  # radians per second
    loose = random_waves(draw, (B, 3), seconds) * torch.pi / 180
    steady = torch.tensor([2.5, 3.0, 2.0], device=device)
    rate = torch.isin(action, torch.tensor([7, 8], device=device))
    loose = loose * steady[:, None] * torch.where(rate, 3.0, 1.0)[:, None, None]
    # some lean their whole body far over their feet, as in a lunge or a caught fall
    far = ~goes & ~beast & draw.chance(LEANING, B)
    lean_far = draw.log_uniform(B, low=1.5, high=5.0)
    loose = loose * torch.where(far, lean_far, 1.0)[:, None, None]
    start = draw.uniform(B, 1, high=6.2832)
    heading = start + turning * seconds + loose[:, 1]
    lean = -torch.where(action == 2, 0.15, 0.03)[:, None] + loose[:, 0]
    lean = lean - torch.where(beast, torch.pi / 2, 0.0)[:, None]
    root = (
        axis_turn(heading, 1) @ axis_turn(lean, 0) @ axis_turn(loose[:, 2], 2)
    )  # B T 3 3

    side = torch.zeros(L, device=device)
    side[list(_LEFT)], side[list(_RIGHT)] = 1.0, -1.0
    bend = axis_turn(angle[:, :, 0], 0)
    away = axis_turn(angle[:, :, 1] * torch.where(side == 0, 1.0, side)[:, None], 2)
    twist = axis_turn(angle[:, :, 2] * torch.where(side == 0, 1.0, side)[:, None], 1)
    local = bend @ away @ twist  # B L T 3 3

    sign = torch.ones(L, device=device)
    sign[list(_UP)] = -1.0
    spread = torch.zeros(B, L, device=device)  # of shoulders and hips from the middle
    spread[:, 4:6] = (size[:, 1, 1] * 1.15)[:, None]
    spread[:, 10:12] = (size[:, 0, 1] * 0.62)[:, None]
    turns, starts, ends = [root], [], []
    starts.append(torch.zeros(B, T, 3, device=device))
    ends.append(-length[:, 0, None, None] * root[..., 1])
    for i in range(1, L):
        p = PARENT[i]
        turn = turns[p] @ local[:, i]
        hips = i in (10, 11, 16)
        at = starts[p] if hips else ends[p]
        if i in (4, 5):  # shoulders sit below the top of the chest
            at = starts[p] + 0.9 * (ends[p] - starts[p])
        at = at - (side[i] * spread[:, i])[:, None, None] * turns[p][..., 0]
        turns.append(turn)
        starts.append(at)
        ends.append(at + (sign[i] * length[:, i])[:, None, None] * turn[..., 1])
    first, last = torch.stack(starts, 1), torch.stack(ends, 1)

    # on the ground: the lowest end of a bone touches it, unless in flight
    sole = size[..., 2, None].where(size[..., 2, None] > 0, 0.0)
    limbs = list(range(4, 16))
    lowest = (last[:, limbs, :, 1] + sole[:, limbs]).amax(1)  # B T
    height = floor[:, None] - lowest - lift
    # forwards along the heading; standing figures keep their feet where they are
    direction = torch.stack([heading.sin(), heading.cos()], -1)
    step = torch.diff(seconds, dim=1, prepend=seconds[:, :1])
    path = (speed[:, None, None] * step[..., None] * direction).cumsum(1)
    feet = last[:, [12, 13]][..., [0, 2]]  # ankles
    weight = draw.uniform(B, 1, 1) * torch.ones(B, 1, 1, device=device)
    weight = torch.where((action == 8)[:, None, None], 1.0, weight)
    stance = weight * feet[:, 0] + (1 - weight) * feet[:, 1]
    path = torch.where(goes[:, None, None], path, stance[:, :1] - stance)
    drift = draw.log_uniform(B, 1, low=0.05, high=1.5) * draw.chance(CARRIED, B, 1)
    way = draw.uniform(B, 1, high=6.2832)
    drift = drift * torch.cat([way.sin(), way.cos()], -1)
    path = path + drift[:, None] * (seconds - seconds[:, :1])[..., None]
    path = path - path[:, T // 2, None] + place[:, None, [0, 2]]
    shift = torch.stack([path[..., 0], height, path[..., 1]], -1)[:, None]
    return Pose(first + shift, last + shift, torch.stack(turns, 1), size, action)
