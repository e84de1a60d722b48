"""Figures as bodies: ellipsoids and capsules about the bones, and their joints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.bodies import ABSENT, BALL, CAPSULE, Bodies, make_bodies
from seurat_tracks.scenes.bones import BONES
from seurat_tracks.scenes.skeleton import Pose

_TORSO = 4  # the first bones are ellipsoids: pelvis, chest, neck, head
_STARTS = (0, 4, 5, 10, 11)  # pelvis, shoulders, hips: where no other bone ends


@dataclass
class Figure:
    """Bodies of figures, and the joints as points on them.

    Attributes
    ----------
    bodies : Bodies
        One body per bone.
    owner : int Tensor (B, J)
        Bone that carries each joint; -1 where a figure has fewer joints.
    joint : Tensor (B, J, 3)
        Its place in the bone's local coordinates.
    """

    bodies: Bodies
    owner: Tensor
    joint: Tensor


def wrap(pose: Pose, thick: Tensor, tail: Tensor) -> Figure:
    """Put bodies around the bones of a drawn figure.

    Parameters
    ----------
    pose
        Bones over time.
    thick : bool Tensor (B, L)
        Bones drawn as ellipsoids; capsules elsewhere.
    tail : bool Tensor (B,)
        Figures that have one.
    """
    B, L = pose.size.shape[:2]
    device = pose.size.device
    length, wide, deep = pose.size.unbind(-1)
    half = length / 2
    span = torch.where(thick, 1.08 * half, wide)
    diagonal = torch.stack([wide, span, torch.where(thick, deep, wide)], -1)
    frame = pose.turn * diagonal[:, :, None, None]
    centre = (pose.start + pose.end) / 2
    shape = torch.where(thick, BALL, CAPSULE)
    shape[:, -1] = torch.where(tail, shape[:, -1], ABSENT)
    aspect = torch.where(thick, 0.0, half / wide)
    bodies = make_bodies(frame, centre, shape, aspect)
    # bones end where the next begins; the spine's point up, the others down
    sign = torch.ones(L, device=device)
    sign[:_TORSO] = -1.0
    end = sign * half / span
    owner = torch.tensor([*range(L), *_STARTS], device=device).expand(B, -1).clone()
    owner[:, L - 1] = torch.where(tail, L - 1, -1)
    y = torch.cat([end, -end[:, list(_STARTS)]], 1)
    joint = torch.stack([torch.zeros_like(y), y, torch.zeros_like(y)], -1)
    return Figure(bodies, owner, joint)


def torso_bones(batch: int, device: torch.device) -> Tensor:
    """Mask (B, L) of the bones that are ellipsoids."""
    return (torch.arange(len(BONES), device=device) < _TORSO).expand(batch, -1)
