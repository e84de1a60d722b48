"""Replay recorded motion: clips of joint positions, with bodies about the bones.

File format (``.npz``):

* ``positions`` float (F, J, 3): metres, y up, the frames of all clips in a row;
* ``start`` int (C + 1): where each clip starts, and F at the end;
* ``rate`` float (C): frames per second;
* ``parent`` int (J): -1 for the root; parents come before children;
* ``hips`` int (2): the joints of the left and right hip;
* ``spine`` int (2): from the hips to the neck; with the hips it says which way the body
  faces;
* ``names`` text (J): optional.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.scenes.bodies import ABSENT, BALL, CAPSULE, make_bodies
from seurat_tracks.scenes.figure import Figure
from seurat_tracks.scenes.motion import Draw, axis_turn, cross_matrix


@dataclass
class Motions:
    """Clips of joint positions.

    Attributes
    ----------
    positions : Tensor (F, J, 3)
        Metres, y down.
    start : int Tensor (C + 1,)
    rate : Tensor (C,)
        Frames per second.
    parent : tuple of int
    hips, spine : tuple of int
        Pairs of joints.
    """

    positions: Tensor
    start: Tensor
    rate: Tensor
    parent: tuple[int, ...]
    hips: tuple[int, int]
    spine: tuple[int, int]

    def to(self, device: torch.device) -> Motions:
        """Move the clips to a device."""
        return Motions(
            self.positions.to(device),
            self.start.to(device),
            self.rate.to(device),
            self.parent,
            self.hips,
            self.spine,
        )

    @property
    def bones(self) -> list[int]:
        """Joints that have a parent: the far ends of the bones."""
        return [j for j, p in enumerate(self.parent) if p >= 0]


def load_motions(path: str | Path) -> Motions:
    """Read clips in the format of this module.

    Raises
    ------
    SeuratTracksError
        If an array is missing, has the wrong shape, or holds what is not finite.
    """
    with np.load(path) as file:
        data = {k: file[k] for k in file.files}
    missing = {"positions", "start", "rate", "parent", "hips", "spine"} - set(data)
    if missing:
        msg = f"{path}: motion clips lack {sorted(missing)}; see scenes.mocap."
        raise SeuratTracksError(msg)
    positions = data["positions"].astype(np.float32)
    if positions.ndim != 3 or positions.shape[2] != 3:
        msg = f"{path}: positions have shape {positions.shape}, not (frame, joint, 3)."
        raise SeuratTracksError(msg)
    if not np.isfinite(positions).all():
        msg = f"{path}: positions are not all finite; cut the clips where they are not."
        raise SeuratTracksError(msg)
    start, parent = data["start"].astype(np.int64), data["parent"].astype(np.int64)
    if start[0] != 0 or start[-1] != len(positions) or (np.diff(start) < 2).any():
        msg = (
            f"{path}: start must rise from 0 to {len(positions)} by 2 frames or more "
            f"a clip, and is {start.tolist()}."
        )
        raise SeuratTracksError(msg)
    if len(parent) != positions.shape[1] or (parent >= np.arange(len(parent))).any():
        msg = f"{path}: parent must hold one earlier joint per joint, -1 for the root."
        raise SeuratTracksError(msg)
    if len(data["rate"]) != len(start) - 1 or (data["rate"] <= 0).any():
        msg = f"{path}: rate must be one positive number per clip."
        raise SeuratTracksError(msg)
    flip = np.array([-1, -1, 1], np.float32)  # y up to y down, still right-handed
    hips, spine = (tuple(int(i) for i in data[k]) for k in ("hips", "spine"))
    return Motions(
        torch.from_numpy(positions * flip),
        torch.from_numpy(start),
        torch.from_numpy(data["rate"].astype(np.float32)),
        tuple(int(p) for p in parent),
        (hips[0], hips[1]),
        (spine[0], spine[1]),
    )


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def _align(a: Tensor, b: Tensor) -> Tensor:
    """Smallest rotations (..., 3, 3) that take unit vectors a to b."""
    cross = cross_matrix(torch.linalg.cross(a, b))
    cosine = (a * b).sum(-1)[..., None, None]
    eye = torch.eye(3, device=a.device)
    return eye + cross + cross @ cross / (1 + cosine).clamp_min(1e-3)


def _square(x: Tensor, y: Tensor) -> Tensor:
    """Rotations (..., 3, 3) whose second axis is y and whose first is near x."""
    x = _unit(x - (x * y).sum(-1, keepdim=True) * y)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def replay(
    draw: Draw,
    motions: Motions,
    slots: int,
    place: Tensor,
    floor: Tensor,
    tall: Tensor,
    seconds: Tensor,
) -> Figure:
    """Replay random clips as figures.

    Parameters
    ----------
    draw
        Source of randomness.
    motions
        Clips, on the same device.
    slots
        Bodies per figure; those that the skeleton does not need are absent.
    place : Tensor (B, 3)
        Where the figure is in the middle of the time; its y is not used.
    floor : Tensor (B,)
        World y of the ground, which the lowest joint of the whole scene touches.
    tall : Tensor (B,)
        Height of the figure, metres.
    seconds : Tensor (B, T)

    Returns
    -------
    Figure
        At a random speed, time, heading and scale; half of them mirrored.
    """
    B, T = seconds.shape
    lengths = motions.start.diff()
    clip = torch.multinomial(lengths.float().sqrt(), B, True, generator=draw.generator)
    frames = lengths[clip].float() - 1
    pace = draw.log_uniform(B, low=0.6, high=1.6) * motions.rate[clip]
    at = draw.uniform(B, 1) * frames[:, None] + pace[:, None] * seconds
    # beyond the end a clip is played backwards
    last = frames[:, None].clamp_min(1)
    at = torch.remainder(at, 2 * last)
    at = torch.minimum(at, 2 * last - at)
    low = at.floor().clamp(max=last - 1)
    first = motions.start[clip][:, None] + low.long()
    part = (at - low)[..., None, None]
    joints = motions.positions[first] * (1 - part) + motions.positions[first + 1] * part
    mirror = torch.ones(B, 1, 1, 3, device=draw.device)
    mirror[:, 0, 0, 0] = torch.where(draw.chance(0.5, B), -1.0, 1.0)
    heading = axis_turn(draw.uniform(B, high=6.2832), 1)[:, None]
    joints = (joints * mirror) @ heading.transpose(-1, -2)
    # clips of standing people tell the height; 1.7 m is that of an adult
    joints = joints * (tall / 1.7)[:, None, None, None]
    ground = joints[..., 1].amax((1, 2)) + 0.03 * tall
    shift = place - joints[:, T // 2, 0]
    shift = torch.stack([shift[:, 0], floor - ground, shift[:, 2]], -1)
    joints = joints + shift[:, None, None]
    return wrap_joints(draw, motions, joints, slots, tall)


def wrap_joints(
    draw: Draw, motions: Motions, joints: Tensor, slots: int, tall: Tensor
) -> Figure:
    """Put bodies about bones given by joint positions (B, T, J, 3)."""
    B, T = joints.shape[:2]
    device = joints.device
    bones = motions.bones
    L = len(bones)
    if slots < L:
        msg = f"{slots} bodies cannot hold a skeleton of {L} bones."
        raise SeuratTracksError(msg)
    # the trunk's axes turn with the body; limbs turn in them as little as they can
    across = joints[:, :, motions.hips[1]] - joints[:, :, motions.hips[0]]
    up = joints[:, :, motions.spine[1]] - joints[:, :, motions.spine[0]]
    trunk = _square(across, -_unit(up))  # B T 3 3
    end = joints[:, :, bones].transpose(1, 2)  # B L T 3
    start = joints[:, :, [motions.parent[j] for j in bones]].transpose(1, 2)
    length = (end - start).norm(dim=-1).mean(-1)
    inside = (trunk.transpose(-1, -2)[:, None] @ (end - start)[..., None])[..., 0]
    way = _unit(inside)
    first = way[:, :, :1]
    flip = torch.where(first[..., 1:2] < 0, -1.0, 1.0)  # bones that point up start so
    axis = flip * torch.tensor([0.0, 1.0, 0.0], device=device)
    turn = _align(first.expand_as(way), way) @ _align(axis, first)
    turn = trunk[:, None] @ _square(turn[..., 0], way)
    # bones across the body (hips, shoulders) are fat, others thin for their length
    thick = draw.log_uniform(B, 1, low=0.7, high=1.4) * tall[:, None]
    short = length < 0.13 * thick
    wide = torch.where(short, 0.045 * thick, 0.028 * thick + 0.03 * length)
    trunk_bone = torch.zeros(L, dtype=torch.bool, device=device)
    for i, j in enumerate(bones):
        trunk_bone[i] = j == motions.spine[1] or motions.parent[j] in motions.spine
    round_ = trunk_bone.expand(B, L)
    wide = torch.where(round_, 0.07 * thick, wide)
    half = (length / 2).clamp_min(1e-3)
    span = torch.where(round_, half + 0.5 * wide, wide)
    diagonal = torch.stack([wide * torch.where(round_, 1.3, 1.0), span, wide], -1)
    frame = turn * diagonal[:, :, None, None]
    centre = (start + end) / 2
    shape = torch.where(round_, BALL, CAPSULE)
    aspect = torch.where(round_, 0.0, half / wide)
    extra = slots - L
    eye = torch.eye(3, device=device).expand(B, extra, T, 3, 3)
    bodies = make_bodies(
        torch.cat([frame, eye], 1),
        torch.cat([centre, torch.zeros(B, extra, T, 3, device=device)], 1),
        torch.cat([shape, torch.full((B, extra), ABSENT, device=device)], 1),
        torch.cat([aspect, torch.zeros(B, extra, device=device)], 1),
    )
    y = half / span
    root = bones.index(next(j for j in bones if motions.parent[j] == 0))
    y = torch.cat([y, -y[:, root : root + 1]], 1)
    joint = torch.stack([torch.zeros_like(y), y, torch.zeros_like(y)], -1)
    owner = torch.tensor([*range(L), root], device=device).expand(B, -1)
    return Figure(bodies, owner, joint)


#  joints of the humanoid of DeepMimic (Peng et al. 2018): parent, and place in it in
#  metres; it faces x, y is up, z points to its right
_DEEP_MIMIC = (
    ("root", -1, (0.0, 0.0, 0.0)),
    ("chest", 0, (0.0, 0.236, 0.0)),
    ("neck", 1, (0.0, 0.224, 0.0)),
    ("head", 2, (0.0, 0.25, 0.0)),
    ("right_hip", 0, (0.0, 0.0, 0.085)),
    ("right_knee", 4, (0.0, -0.4215, 0.0)),
    ("right_ankle", 5, (0.0, -0.4099, 0.0)),
    ("right_toe", 6, (0.15, -0.04, 0.0)),
    ("right_shoulder", 1, (-0.024, 0.2435, 0.183)),
    ("right_elbow", 8, (0.0, -0.2748, 0.0)),
    ("right_wrist", 9, (0.0, -0.259, 0.0)),
    ("left_hip", 0, (0.0, 0.0, -0.085)),
    ("left_knee", 11, (0.0, -0.4215, 0.0)),
    ("left_ankle", 12, (0.0, -0.4099, 0.0)),
    ("left_toe", 13, (0.15, -0.04, 0.0)),
    ("left_shoulder", 1, (-0.024, 0.2435, -0.183)),
    ("left_elbow", 15, (0.0, -0.2748, 0.0)),
    ("left_wrist", 16, (0.0, -0.259, 0.0)),
)
#  where each joint's rotation stands in a frame: a quaternion w x y z, or one angle
_TURNS = {1: 8, 2: 12, 4: 16, 6: 21, 8: 25, 11: 30, 13: 35, 15: 39}
_HINGES = {5: 20, 9: 29, 12: 34, 16: 43}


def convert_deep_mimic(paths: list[str | Path], out: str | Path) -> None:
    """Turn DeepMimic motion files into the format of this module.

    Parameters
    ----------
    paths
        ``humanoid3d_*.txt``: JSON with ``Frames``, each of 44 numbers: seconds to the
        next, root position, then rotations from the root outwards, quaternions
        (w, x, y, z) for ball joints and radians about z for knees and elbows. The
        wheel of PyBullet brings such files in ``pybullet_data/data/motions``.
    out
        The ``.npz`` to write.

    Raises
    ------
    SeuratTracksError
        If a frame does not hold 44 numbers.
    """
    clips, rates = [], []
    for path in paths:
        frames = np.array(json.loads(Path(path).read_text())["Frames"], np.float64)
        if frames.ndim != 2 or frames.shape[1] != 44:
            msg = f"{path}: frames have shape {frames.shape}, not (frame, 44)."
            raise SeuratTracksError(msg)
        turns: list[np.ndarray] = []
        places: list[np.ndarray] = []
        for j, (_, parent, offset) in enumerate(_DEEP_MIMIC):
            if parent < 0:
                turns.append(_quaternion(frames[:, 4:8]))
                places.append(frames[:, 1:4])
                continue
            local = np.broadcast_to(np.eye(3), (len(frames), 3, 3))
            if j in _TURNS:
                local = _quaternion(frames[:, _TURNS[j] : _TURNS[j] + 4])
            elif j in _HINGES:
                half = frames[:, _HINGES[j]] / 2
                zero = np.zeros_like(half)
                local = _quaternion(
                    np.stack([np.cos(half), zero, zero, np.sin(half)], -1)
                )
            turns.append(turns[parent] @ local)
            places.append(places[parent] + turns[parent] @ np.array(offset))
        clips.append(np.stack(places, 1))
        rates.append(1 / frames[0, 0])
    np.savez_compressed(
        out,
        positions=np.concatenate(clips).astype(np.float32),
        start=np.cumsum([0, *(len(c) for c in clips)]),
        rate=np.array(rates, np.float32),
        parent=np.array([p for _, p, _ in _DEEP_MIMIC]),
        hips=np.array([11, 4]),
        spine=np.array([0, 2]),
        names=np.array([n for n, _, _ in _DEEP_MIMIC]),
    )


def _quaternion(q: np.ndarray) -> np.ndarray:
    """Rotation matrices (F, 3, 3) of quaternions (F, 4), w x y z."""
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)
