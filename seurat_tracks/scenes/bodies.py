"""Moving bodies: unit shapes under affine maps that change with time.

``world = frame @ local + centre``: turning, stretching and swelling are all exact. The
columns of ``frame`` are at right angles, so its inverse is a scaled transpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BOX, BALL, CYLINDER, CONE, CAPSULE, SHEET, ABSENT = range(7)
"""Unit shapes, all but the capsule inside the cube |x|, |y|, |z| <= 1.

Cylinder and cone stand along local y, the cone's tip at y = -1 (up). A capsule has
radius 1 about the segment from y = -aspect to y = aspect. A sheet is the height field
z = h(x, y, t) of `seurat_tracks.scenes.cloth`. An absent body hides nothing.
"""


@dataclass
class Waves:
    """Travelling waves of the one sheet that a scene may hold.

    Attributes
    ----------
    gain : Tensor (B, W)
        Heights; their magnitudes sum to at most 1.
    number : Tensor (B, W, 2)
        Wave vectors, radians per local unit.
    phase : Tensor (B, W, T)
        Radians.
    free : Tensor (B,)
        0: waves everywhere; 1: none at the edge y = -1, from which the sheet hangs.
    """

    gain: Tensor
    number: Tensor
    phase: Tensor
    free: Tensor

    def height(self, scene: Tensor, time: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Local z of the sheet at local (x, y), each (n, ...); scene, time (n,)."""
        extra = (1,) * (x.dim() - 1)
        total = torch.zeros_like(x)
        for w in range(self.gain.shape[1]):
            k = self.number[scene, w].view(-1, 2, *extra)
            phase = self.phase[scene, w, time].view(-1, *extra)
            gain = self.gain[scene, w].view(-1, *extra)
            total = total + gain * (k[:, 0] * x + k[:, 1] * y + phase).sin()
        free = self.free[scene].view(-1, *extra)
        return total * (1 - free + free * (1 + y) / 2)


@dataclass
class Bodies:
    """Bodies of a batch of scenes over time.

    Attributes
    ----------
    frame, inverse : Tensor (B, K, T, 3, 3)
        Affine map of each body, and back.
    centre : Tensor (B, K, T, 3)
        World position, metres.
    shape : int Tensor (B, K)
        `BOX` ... `ABSENT`.
    aspect : Tensor (B, K)
        Half length of a capsule's straight part in radii; 0 elsewhere.
    radius : Tensor (B, K, T)
        Of a sphere about the centre that holds the body, metres.
    waves : Waves or None
        Of the body whose shape is `SHEET`.
    """

    frame: Tensor
    inverse: Tensor
    centre: Tensor
    shape: Tensor
    aspect: Tensor
    radius: Tensor
    waves: Waves | None = None


def make_bodies(
    frame: Tensor, centre: Tensor, shape: Tensor, aspect: Tensor | None = None
) -> Bodies:
    """Build `Bodies`, with inverse maps and radii, from the other attributes."""
    if aspect is None:
        aspect = torch.zeros_like(centre[:, :, 0, 0])
    square = (frame * frame).sum(-2)  # of the columns
    inverse = frame.transpose(-1, -2) / square[..., None].clamp_min(1e-16)
    whole = square.sum(-1).sqrt()
    widest = square.amax(-1).sqrt()
    round_ = ((shape == BALL) | (shape == CAPSULE))[:, :, None]
    radius = torch.where(round_, widest * (1 + aspect[:, :, None]), whole)
    return Bodies(frame, inverse, centre, shape, aspect, radius)


def join(a: Bodies, b: Bodies) -> Bodies:
    """Put the bodies of two batches side by side; the waves are those of `a`."""
    return Bodies(
        torch.cat([a.frame, b.frame], 1),
        torch.cat([a.inverse, b.inverse], 1),
        torch.cat([a.centre, b.centre], 1),
        torch.cat([a.shape, b.shape], 1),
        torch.cat([a.aspect, b.aspect], 1),
        torch.cat([a.radius, b.radius], 1),
        a.waves,
    )


def choose(keep: Tensor, a: Bodies, b: Bodies) -> Bodies:
    """Take body by body from `a` where keep (B, K) or (B, 1), else from `b`."""
    k3, k4, k5 = (keep[(...,) + (None,) * n] for n in (1, 2, 3))
    return Bodies(
        torch.where(k5, a.frame, b.frame),
        torch.where(k5, a.inverse, b.inverse),
        torch.where(k4, a.centre, b.centre),
        torch.where(keep, a.shape, b.shape),
        torch.where(keep, a.aspect, b.aspect),
        torch.where(k3, a.radius, b.radius),
        a.waves,
    )
