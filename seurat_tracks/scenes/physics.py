"""How solids move by themselves: closed forms, exact at any time and frame rate."""

from __future__ import annotations

import torch
from torch import Tensor

GRAVITY = 9.81
"""Metres per second squared."""

BOUNCES = 10
"""After this many a body rests."""


def fall(
    seconds: Tensor, height: Tensor, upwards: Tensor, bounce: Tensor
) -> tuple[Tensor, Tensor]:
    """Fall, bounce and come to rest.

    Parameters
    ----------
    seconds : Tensor (..., T)
        Time, from 0 on.
    height : Tensor (...)
        Above the ground at time 0, metres.
    upwards : Tensor (...)
        Speed at time 0, metres per second.
    bounce : Tensor (...)
        Share of the speed kept at each bounce, below 1.

    Returns
    -------
    height : Tensor (..., T)
        Parabolas under `GRAVITY`; 0 once at rest.
    flown : Tensor (..., T)
        Seconds of motion to the side: each bounce also slows that, by the same share.
    """
    g = GRAVITY
    landing = (upwards + (upwards * upwards + 2 * g * height).sqrt()) / g
    speed = g * landing - upwards  # at which it lands
    first = height[..., None] + upwards[..., None] * seconds - g / 2 * seconds**2
    after = (seconds - landing[..., None]).clamp_min(0)
    now, flown = (
        torch.where(after > 0, 0.0, first),
        torch.minimum(seconds, landing[..., None]),
    )
    start = torch.zeros_like(landing)
    gain = torch.ones_like(landing)
    for _ in range(BOUNCES):
        gain = gain * bounce
        v = (speed * gain)[..., None]
        lasts = 2 * v / g
        t = after - start[..., None]
        inside = (t > 0) & (t <= lasts)
        now = torch.where(inside, v * t - g / 2 * t * t, now)
        flown = flown + gain[..., None] * t.clamp_min(0).minimum(lasts)
        start = start + lasts[..., 0]
    return now.clamp_min(0), flown


def slide(seconds: Tensor, speed: Tensor, friction: Tensor) -> Tensor:
    """Distance (..., T) gone by what slows down evenly and then stands.

    Parameters
    ----------
    seconds : Tensor (..., T)
    speed : Tensor (...)
        At time 0, metres per second.
    friction : Tensor (...)
        Deceleration, metres per second squared; 0 for none.
    """
    stop = speed.abs() / friction.clamp_min(1e-6)
    t = torch.minimum(seconds, stop[..., None])
    return speed[..., None] * t - (speed.sign() * friction)[..., None] / 2 * t * t


def collide(mass: Tensor, velocity: Tensor, normal: Tensor, bounce: Tensor) -> Tensor:
    """Velocities after two bodies hit each other.

    Parameters
    ----------
    mass : Tensor (..., 2)
    velocity : Tensor (..., 2, 3)
    normal : Tensor (..., 3)
        Unit vector from the first to the second.
    bounce : Tensor (...)
        Share of the closing speed that they part with.

    Returns
    -------
    Tensor (..., 2, 3)
        Momentum is kept; only the part along the normal changes.
    """
    closing = ((velocity[..., 0, :] - velocity[..., 1, :]) * normal).sum(-1)
    impulse = (1 + bounce) * closing.clamp_min(0) / (1 / mass).sum(-1)
    push = impulse[..., None] * normal
    return torch.stack(
        [
            velocity[..., 0, :] - push / mass[..., :1],
            velocity[..., 1, :] + push / mass[..., 1:],
        ],
        -2,
    )


def drive(distance: Tensor, heading: Tensor, curve: Tensor) -> tuple[Tensor, Tensor]:
    """Go along an arc.

    Parameters
    ----------
    distance : Tensor (..., T)
        Along the arc, metres.
    heading : Tensor (...)
        At distance 0, about the y axis: 0 is forward (z), pi / 2 right (x).
    curve : Tensor (...)
        Radians per metre.

    Returns
    -------
    place : Tensor (..., T, 3)
        From the start; y is 0.
    heading : Tensor (..., T)
    """
    turned = curve[..., None] * distance
    half = turned / 2
    chord = distance * torch.sinc(half / torch.pi)
    way = heading[..., None] + half
    zero = torch.zeros_like(chord)
    place = torch.stack([chord * way.sin(), zero, chord * way.cos()], -1)
    return place, heading[..., None] + turned
