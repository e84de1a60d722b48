"""The surroundings: plane walls and ground, pushed outwards in smooth bumps.

Seen from the origin, where the camera of time 0 stands, the surface is the graph of a
distance over directions. From elsewhere bumps hide each other, which is found by
walking along the ray.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.stage import Stage, leave

OCTAVES = 3

STEPS = 8
"""Places along the way behind the plane walls where bumps are looked for: one that is
passed in less than 1/8 of that way may be missed."""

_BISECTIONS = 16


@dataclass
class Relief:
    """Bumpy surroundings of a batch of scenes.

    Attributes
    ----------
    stage : Stage
        The plane walls.
    depth : Tensor (B,)
        Logarithm of how far walls are pushed out, about; 0 leaves them plane.
    wave : Tensor (B, OCTAVES, 3)
        Wave vectors over unit directions in the axes of the walls, radians.
    phase : Tensor (B, OCTAVES)
        Radians.
    """

    stage: Stage
    depth: Tensor
    wave: Tensor
    phase: Tensor

    def edge(self, scene: Tensor, point: Tensor) -> Tensor:
        """Distance of the surface behind points, in multiples of the points' own.

        Parameters
        ----------
        scene : int Tensor (n,)
        point : Tensor (n, S, 3)
            In the axes of the walls, seen from the origin.

        Returns
        -------
        Tensor (n, S)
            Below 1 where the point is behind the surface. Walls are pushed outwards
            only, so that nothing before them is behind the relief; the ground straight
            below the origin keeps its place.
        """
        low, high = self.stage.low[scene, None], self.stage.high[scene, None]
        wall = leave(low, high, torch.zeros_like(low), point)
        way = point / (point * point).sum(-1, keepdim=True).sqrt().clamp_min(1e-9)
        angle = way @ self.wave[scene].transpose(1, 2) + self.phase[scene, None]
        size = 0.6 ** torch.arange(OCTAVES, device=point.device)
        level = (1 - way[..., 1].clamp_min(0)) ** 2
        bump = (angle.sin() * size).sum(-1) + size.sum()
        return wall * (self.depth[scene, None] * level * bump / 2).exp()

    def hit(self, origin: Tensor, ray: Tensor) -> Tensor:
        """Where rays meet the surface.

        Parameters
        ----------
        origin, ray : Tensor (B, P, 3)
            World start, in the room, and direction.

        Returns
        -------
        Tensor (B, P)
            Multiples of the ray's length.
        """
        o, d = origin @ self.stage.yaw, ray @ self.stage.yaw
        everyone = torch.arange(len(ray), device=ray.device)
        result = self.edge(everyone, d)  # from the origin itself this is all
        length = (d * d).sum(-1).sqrt()
        moved = (o * o).sum(-1).sqrt() > 1e-5 * length * result
        b, p = moved.nonzero(as_tuple=True)
        if len(b) == 0:
            return result
        # from elsewhere: walk until outside, then halve
        o, d = o[b, p, None], d[b, p, None]
        wall = leave(self.stage.low[b, None], self.stage.high[b, None], o, d)
        grow = (2 * self.depth[b, None]).exp()  # no bump is farther out
        far = (grow * 1.5).clamp_min(1.01) * wall + (o * o).sum(-1).sqrt()
        s = wall + (far - wall) * torch.linspace(0, 1, 25, device=ray.device) ** 1.5
        out = self.edge(b, o + s[..., None] * d) < 1
        first = out.to(torch.uint8).argmax(1, keepdim=True).clamp_min(1)
        low, high = s.gather(1, first - 1), s.gather(1, first)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            out = self.edge(b, o + middle[..., None] * d) < 1
            low, high = torch.where(out, low, middle), torch.where(out, middle, high)
        result[b, p] = low[:, 0]
        return result

    def hides(self, eye: Tensor, offset: Tensor, ask: Tensor) -> Tensor:
        """Whether walls or bumps stand between the eye and points.

        Parameters
        ----------
        eye : Tensor (B, T, 3)
        offset : Tensor (B, P, T, 3)
            From the eye to the point.
        ask : bool Tensor (B, P, T)
            Where the answer is needed; False is returned elsewhere.

        Returns
        -------
        bool Tensor (B, P, T)
        """
        stage = self.stage
        result = torch.zeros_like(ask)
        inner = torch.linspace(0, 1, STEPS + 1, device=eye.device)[:-1]
        for t in range(ask.shape[2]):  # one time at a time keeps the tensors in cache
            origin = eye[:, t, None] @ stage.yaw  # B 1 3
            ray = offset[:, :, t] @ stage.yaw
            wall = leave(stage.low[:, None], stage.high[:, None], origin, ray)
            # before the walls nothing hides; the first camera sees all of the surface
            moved = (origin * origin).sum(-1) > 1e-8 * (ray * ray).sum(-1)
            b, p = (ask[:, :, t] & (wall < 0.999) & moved).nonzero(as_tuple=True)
            start = wall[b, p, None].clamp_min(0)
            s = start + (1 - start) * inner  # n STEPS
            at = origin[b] + s[..., None] * ray[b, p, None]
            result[b, p, t] = (self.edge(b, at) < 0.999).any(-1)
        return result


def make_relief(draw: Draw, stage: Stage) -> Relief:
    """Draw bumps; three scenes in ten keep plane walls."""
    B = len(stage.floor)
    depth = draw.uniform(B, high=0.35) * draw.chance(0.7, B)
    scale = 2.5 * 2.0 ** torch.arange(OCTAVES, device=draw.device)
    wave = draw.normal(B, OCTAVES, 3) * scale[:, None]
    return Relief(stage, depth, wave, draw.uniform(B, OCTAVES, high=6.28))
