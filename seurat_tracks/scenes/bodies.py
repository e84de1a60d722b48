"""Moving primitives: boxes, ellipsoids and the room around them; exact ray casting.

A primitive is a unit shape under an affine map that changes with time, so that turning,
stretching and swelling are all exact: ``world = frame @ local + centre``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FAR = 1e6
"""Distance returned where a ray meets nothing."""


@dataclass
class Bodies:
    """Primitives of a batch of scenes over time.

    Attributes
    ----------
    frame : Tensor (B, K, T, 3, 3)
        Affine map of each body; its inverse is kept beside it.
    centre : Tensor (B, K, T, 3)
        World position, metres.
    round : bool Tensor (B, K)
        Ellipsoid if True, box if False.
    """

    frame: Tensor
    centre: Tensor
    round: Tensor
    inverse: Tensor

    def at(self, t: int) -> Bodies:
        """Take the bodies at one time, keeping the time axis."""
        part = slice(t, t + 1)
        return Bodies(
            self.frame[:, :, part],
            self.centre[:, :, part],
            self.round,
            self.inverse[:, :, part],
        )


def make_bodies(frame: Tensor, centre: Tensor, round_: Tensor) -> Bodies:
    """Build `Bodies` with the inverse maps."""
    return Bodies(frame, centre, round_, torch.linalg.inv(frame))


def hit_distance(
    origin: Tensor, ray: Tensor, bodies: Bodies, inside: bool = False
) -> Tensor:
    """Cast rays against every body.

    Parameters
    ----------
    origin : Tensor (B, T, 3)
        Where the rays of each time start (the camera).
    ray : Tensor (B, N, T, 3)
        Directions, any length.
    bodies
        K primitives.
    inside
        Return where the ray leaves the body, for the room that holds the camera.

    Returns
    -------
    Tensor (B, N, K, T)
        Multiples of the ray's length; `FAR` where there is no hit in front.
    """
    # local rays by one matrix product per body and time
    o = torch.einsum(
        "bktij,bktj->bkti", bodies.inverse, origin[:, None] - bodies.centre
    )[:, None]  # B 1 K T 3
    d = torch.einsum("bktij,bntj->bnkti", bodies.inverse, ray)  # B N K T 3
    # box: slabs
    small = torch.where(d < 0, -1e-9, 1e-9)
    safe = torch.where(d.abs() < 1e-9, small, d)
    t1, t2 = (-1 - o) / safe, (1 - o) / safe
    enter = torch.minimum(t1, t2).amax(-1)
    leave = torch.maximum(t1, t2).amin(-1)
    if inside:
        return torch.where(leave > 1e-6, leave, FAR)
    box = torch.where((enter < leave) & (enter > 1e-6), enter, FAR)
    # sphere: quadratic
    a = (d * d).sum(-1)
    b = (o * d).sum(-1)
    c = (o * o).sum(-1) - 1
    square = b * b - a * c
    near = (-b - square.clamp_min(0).sqrt()) / a.clamp_min(1e-12)
    ball = torch.where((square > 0) & (near > 1e-6), near, FAR)
    return torch.where(bodies.round[:, None, :, None], ball, box)
