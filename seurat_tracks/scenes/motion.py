"""Smooth random motion over a window, in normalised time 0..1. Batched torch."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


class Draw:
    """Random tensors from one generator on one device.

    Parameters
    ----------
    generator
        Source of all randomness; same seed and device, same scenes.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw uniformly from [low, high)."""
        u = torch.rand(*shape, generator=self.generator, device=self.device)
        return low + (high - low) * u

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        """Draw log-uniformly from [low, high)."""
        a = torch.tensor([low, high], device=self.device).log()
        return (a[0] + (a[1] - a[0]) * self.uniform(*shape)).exp()

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def chance(self, p: float, *shape: int) -> Tensor:
        """Draw booleans, True with probability p."""
        return self.uniform(*shape) < p

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw integers from 0 to high - 1."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def direction(self, *shape: int) -> Tensor:
        """Draw unit vectors (*shape, 3)."""
        v = self.normal(*shape, 3)
        return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def as_divisor(values: Tensor) -> Tensor:
    """Keep values away from 0, each on its own side, so that they can divide."""
    tiny = torch.where(values < 0, -1e-9, 1e-9)
    return torch.where(values.abs() < 1e-9, tiny, values)


def cross_matrix(vector: Tensor) -> Tensor:
    """Matrices (..., 3, 3) that multiply by the cross product with vectors (..., 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def rotation(vector: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (..., 3), in radians (Rodrigues)."""
    angle = vector.norm(dim=-1, keepdim=True)[..., None].clamp_min(1e-8)
    cross = cross_matrix(vector / angle[..., 0])
    eye = torch.eye(3, device=vector.device)
    return eye + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def axis_turn(angle: Tensor, axis: int) -> Tensor:
    """Rotation matrices by angle (...) about x, y or z (0, 1, 2)."""
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rows = (
        (one, zero, zero, zero, c, -s, zero, s, c),
        (c, zero, s, zero, one, zero, -s, zero, c),
        (c, -s, zero, s, c, zero, zero, zero, one),
    )[axis]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def smooth_path(draw: Draw, shape: tuple[int, ...], time: Tensor) -> Tensor:
    """Random smooth vector paths of about unit length, 0 at time 0.

    Mostly steady, with some acceleration, and sometimes an oscillation, as bodies
    and hands move.

    Parameters
    ----------
    draw
        Source of randomness.
    shape
        Leading axes.
    time : Tensor (T,)
        Normalised time.

    Returns
    -------
    Tensor (*shape, T, 3)
    """
    steady = draw.direction(*shape)[..., None, :]
    bend = draw.normal(*shape, 1, 3) * draw.uniform(*shape, 1, 1) * 0.7
    wave = draw.normal(*shape, 1, 3) * 0.3 * draw.chance(0.3, *shape, 1, 1)
    rate = draw.uniform(*shape, 1, 1, low=2.0, high=10.0)
    phase = draw.uniform(*shape, 1, 1, high=6.28)
    t = time[:, None]
    swing = (rate * t + phase).sin() - phase.sin()
    return steady * t + bend * t * (t - 1) + wave * swing


def jitter_path(draw: Draw, shape: tuple[int, ...], time: Tensor) -> Tensor:
    """Shake of a hand-held camera: fast sinusoids, 0 at time 0. (*shape, T, 3)."""
    t = time[:, None]
    total = torch.zeros(*shape, len(time), 3, device=time.device)
    for _ in range(3):
        rate = draw.uniform(*shape, 1, 3, low=3.0, high=25.0)
        phase = draw.uniform(*shape, 1, 3, high=6.28)
        gain = draw.normal(*shape, 1, 3) / 3
        total = total + gain * ((rate * t + phase).sin() - phase.sin())
    return total
