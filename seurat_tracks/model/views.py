"""Points before a moving pinhole camera, and how their pictures change with it.

Components come first and points last, (B, component, T, M): every step of the solver in
`seurat_tracks.model.rigid` then runs along contiguous memory. Units as there;
``motion`` is a `RigidMotion`, ``place`` (B, 3, M) is `RigidPoints.place` with points
last.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEAREST = 0.05
"""Points come no nearer than this share of the typical depth."""


class RigidMotion(NamedTuple):
    """Motion of a rigid thing before the camera, per window.

    Attributes
    ----------
    turn : Tensor (B, T, 3, 3)
        Rotation from the first frame's camera to frame t's; identity at t = 0.
    shift : Tensor (B, T, 3)
        Translation after it, in typical depths; zero at t = 0.
    log_focal : Tensor (B,)
        Focal length, half longer sides.
    noise : Tensor (B,)
        Size of the residuals of the points that fit, normalised.
    """

    turn: Tensor
    shift: Tensor
    log_focal: Tensor
    noise: Tensor


class View(NamedTuple):
    """What the camera has before it.

    Attributes
    ----------
    ray : Tensor (B, 3, T, M)
        First rays, turned as the camera turned.
    place : Tensor (B, 3, T, M)
        Points before the camera, over their own depth at the first frame.
    near : Tensor (B, 1, M)
        Inverse depth at the first frame.
    """

    ray: Tensor
    place: Tensor
    near: Tensor


def rotation(vector: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (..., 3), in radians (Rodrigues)."""
    angle = vector.norm(dim=-1, keepdim=True)[..., None].clamp_min(1e-8)
    x, y, z = vector.unbind(-1)
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, device=vector.device)
    return (
        eye
        + (angle.sin() / angle) * cross
        + ((1 - angle.cos()) / angle.square()) * (cross @ cross)
    )


def turn_vector(turn: Tensor) -> Tensor:
    """Axis times sine of the angle (..., 3) of rotation matrices (..., 3, 3)."""
    odd = 0.5 * (turn - turn.transpose(-1, -2))
    return torch.stack([odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]], -1)


def inverse(h: Tensor) -> Tensor:
    """Inverse of positive definite (B, 3, 3, M), in closed form after scaling."""
    root = h.diagonal(dim1=1, dim2=2).mT.clamp_min(1e-12).rsqrt()  # B 3 M
    root = root[:, :, None] * root[:, None]
    a, b, c = (h[:, i, j] * root[:, i, j] for i, j in ((0, 1), (0, 2), (1, 2)))
    # unit diagonal: cofactors and determinant
    aa, bb, cc = 1 - c * c, 1 - b * b, 1 - a * a
    ab, ac, bc = b * c - a, a * c - b, a * b - c
    det = (aa + a * ab + b * ac).clamp_min(1e-6)
    flat = torch.stack([aa, ab, ac, ab, bb, bc, ac, bc, cc], 1) / det[:, None]
    return flat.unflatten(1, (3, 3)) * root


def look(place: Tensor, motion: RigidMotion) -> View:
    """Put points before the camera of every frame."""
    B, _, M = place.shape
    T = motion.turn.shape[1]
    f = motion.log_focal.exp()[:, None, None]
    first = torch.cat([place[:, :2] / f, torch.ones_like(place[:, :1])], 1)
    turn = motion.turn.transpose(1, 2).reshape(B, 3 * T, 3)
    ray = (turn @ first).view(B, 3, T, M)
    near = place[:, 2:].exp()
    return View(ray, ray + motion.shift.mT[..., None] * near[:, :, None], near)


def image(view: View, log_focal: Tensor) -> Tensor:
    """Project to normalised positions (B, 2, T, M)."""
    f = log_focal.exp()[:, None, None, None]
    return f * view.place[:, :2] / view.place[:, 2:].clamp_min(NEAREST)


def slopes(view: View, log_focal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Derive image positions by the place before the camera, (B, T, M) each.

    They are a, p, q of the matrix ``[[a, 0, p], [0, a, q]]``.
    """
    x, y, z = view.place.unbind(1)
    a = log_focal.exp()[:, None, None] / z.clamp_min(NEAREST)
    pull = torch.where(z > NEAREST, -a / z, 0.0)
    return a, pull * x, pull * y


def by_place(
    view: View, motion: RigidMotion, slope: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Differentiate image positions by `RigidPoints.place`: (B, T, 3, 2, M)."""
    a, p, q = (s[:, :, None] for s in slope)
    f = motion.log_focal.exp()[:, None, None, None]
    basis = torch.cat([motion.turn[..., :2] / f, motion.shift[..., None]], -1)
    x, y, z = (basis[:, :, i, :, None] for i in range(3))  # B T 3 1
    u, v = a * x + p * z, a * y + q * z
    u[:, :, 2] *= view.near
    v[:, :, 2] *= view.near
    return torch.stack([u, v], 3)


def by_camera(
    view: View, motion: RigidMotion, slope: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Differentiate them by turn, shift and log focal length: (B, T, 7, 2, M)."""
    a, p, q = slope
    x, y, z = view.ray.unbind(1)
    by_shift, o = a * view.near, torch.zeros_like(a)
    # a longer lens makes the first ray narrower and the picture larger
    narrow = motion.turn[..., 2].mT[..., None] - view.ray
    larger = a * view.place[:, 0], a * view.place[:, 1]
    rows = [
        *(p * y, q * y - a * z),
        *(a * z - p * x, -q * x),
        *(-a * y, a * x),
        *(by_shift, o),
        *(o, by_shift),
        *(p * view.near, q * view.near),
        larger[0] + a * narrow[:, 0] + p * narrow[:, 2],
        larger[1] + a * narrow[:, 1] + q * narrow[:, 2],
    ]
    return torch.stack(rows, 2).unflatten(2, (7, 2))
