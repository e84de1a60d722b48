"""What tracking errors are made of: fields, paths in time, and what carries points off.

Tensors are (B scenes, P points, T frames, 2) in normalised image units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seurat_tracks.scenes.motion import Draw


def waiting(draw: Draw, *shape: int) -> Tensor:
    """Draw from the exponential distribution of mean 1."""
    return -(1 - draw.uniform(*shape)).log()


def alike_nearby(
    draw: Draw, at: Tensor, channels: int, reach: Tensor, share: Tensor
) -> Tensor:
    """Draw normal numbers (B, P, channels) that are alike in neighbouring places.

    Correlation is ``share * exp(-distance / reach)``; at is (B, P, 2), reach and share
    (B,). Random Fourier features (Rahimi and Recht 2007): wave vectors of an
    exponential covariance in the plane follow Student's t with one degree of freedom.
    """
    B, P, _ = at.shape
    waves = 32
    chi = draw.normal(B, 1, waves).abs().clamp_min(0.02)
    vector = draw.normal(B, 2, waves) / (chi * reach[:, None, None])
    angle = at @ vector + draw.uniform(B, 1, waves, high=2 * math.pi)
    field = angle.cos() @ draw.normal(B, waves, channels) * (2 / waves) ** 0.5
    share = share[:, None, None]
    return share.sqrt() * field + (1 - share).sqrt() * draw.normal(B, P, channels)


def lasting(memory: float, T: int, device: torch.device) -> Tensor:
    """Filter (T, T) from white noise to noise of unit variance that lasts (AR(1))."""
    t = torch.arange(T, device=device)
    lag = (t[:, None] - t).clamp_min(0)
    kept = memory ** lag.float() * (t[:, None] >= t)
    kept[:, 1:] *= (1 - memory**2) ** 0.5
    return kept


def walking(memory: float, T: int, device: torch.device) -> Tensor:
    """Filter (T, T) to a walk with steps that last: 0 at first, unit variance at 7."""
    n = max(T, 8)
    steps = lasting(memory, n, device)
    steps[0] = 0
    walk = steps.cumsum(0)
    return (walk / walk[7].norm())[:T, :T]


def filtered(kernel: Tensor, z: Tensor) -> Tensor:
    """Apply a filter (T, T) to numbers (B, P, T, 2)."""
    return torch.einsum("ts,bpsc->bptc", kernel, z)


def stretched(draw: Draw, error: Tensor, ratio: float) -> Tensor:
    """Larger by `ratio` along one direction of each point than across it."""
    angle = draw.uniform(*error.shape[:2], 1, high=math.pi)
    along = torch.stack([angle.cos(), angle.sin()], -1)
    part = (error * along).sum(-1, keepdim=True) * along
    return ratio**-0.5 * (error - part) + ratio**0.5 * part


def largest(normal: Tensor, share: Tensor) -> Tensor:
    """Whether normal numbers are among the largest `share` of all."""
    return normal > math.sqrt(2) * torch.erfinv(1 - 2 * share.clamp(1e-4, 0.9999))


def first_frame(flag: Tensor) -> Tensor:
    """First frame (B, P) at which flag (B, P, T) holds; T where it never does."""
    T = flag.shape[-1]
    frames = torch.arange(T, device=flag.device)
    return torch.where(flag, frames, T).amin(-1)


def rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows of values (B, P, ...) picked by index (B, ...) within each scene."""
    batch = torch.arange(len(values), device=values.device)
    return values[batch.view(-1, *(1,) * (index.dim() - 1)), index]


def neighbour(draw: Draw, xy: Tensor, when: Tensor, visible: Tensor | None) -> Tensor:
    """Pick another point (B, P) for each: near at frame `when`, moving another way.

    With `visible`, one that is seen then. It is the best of a few drawn at random: the
    cost stays linear in points.
    """
    B, P = xy.shape[:2]
    some = draw.integers(P, B, P, 12)
    mine = torch.arange(P, device=xy.device)[:, None]
    path = rows(xy, some)  # B P 12 T 2
    at = when[:, :, None, None, None]
    place = path.gather(3, at.expand(B, P, 12, 1, 2))[..., 0, :]
    own = xy.gather(2, when[:, :, None, None].expand(B, P, 1, 2))
    distance = (place - own).norm(dim=-1)
    went = xy[:, :, -1] - xy[:, :, 0]
    unlike = (rows(went, some) - went[:, :, None]).norm(dim=-1)
    score = (distance + 0.02) / (unlike + 0.003)
    bad = some == mine
    if visible is not None:
        then = rows(visible, some).gather(3, at[..., 0].expand(B, P, 12, 1))
        bad = bad | ~then[..., 0]
    best = torch.where(bad, torch.inf, score).argmin(-1, keepdim=True)
    return some.gather(2, best)[..., 0]


def drawn_along(
    draw: Draw, xy: Tensor, visible: Tensor, start: Tensor, part: Tensor
) -> Tensor:
    """Error (B, P, T, 2) of points that another surface draws along from `start` on.

    They take a part (B, P) of its motion for theirs: none for 0, all of it for 1.
    """
    B, P, T, _ = xy.shape
    other = rows(xy, neighbour(draw, xy, start, visible))
    relative = (other - xy).clamp(-2, 2)
    begin = relative.gather(2, start[:, :, None, None].expand(B, P, 1, 2))
    frames = torch.arange(T, device=xy.device)
    part = part[..., None] * (frames > start[..., None])
    return part[..., None] * (relative - begin)
