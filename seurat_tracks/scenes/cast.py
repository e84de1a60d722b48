"""Exact ray casting against bodies.

Few bodies lie near a ray: a bounding sphere picks the pairs of ray and body, and only
those are intersected.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.scenes.bodies import (
    ABSENT,
    BALL,
    BOX,
    CAPSULE,
    CONE,
    CYLINDER,
    SHEET,
    Bodies,
)
from seurat_tracks.scenes.motion import as_divisor

FAR = 1e6
"""Distance returned where a ray meets nothing."""

MARCH = 32
"""Steps along a ray in which a sheet's folds are looked for: of two crossings nearer to
each other than 1/32 of the ray's way through the sheet's box, both may be missed."""

BISECTIONS = 14
"""Halvings after that: a sheet is met to within 1/32 * 2**-14 of that way."""

SLACK = 5e-3
"""A body hides its own points only from this share of its radius away."""

Interval = tuple[Tensor, Tensor]


def _slabs(o: Tensor, d: Tensor) -> Interval:
    safe = as_divisor(d)
    a, b = (-1 - o) / safe, (1 - o) / safe
    return torch.minimum(a, b).amax(-1), torch.maximum(a, b).amin(-1)


def _ball(o: Tensor, d: Tensor) -> Interval:
    b = (o * d).sum(-1)
    square = b * b - (o * o).sum(-1) + 1
    root = square.clamp_min(0).sqrt()
    miss = torch.where(square > 0, 0.0, FAR)
    return -b - root + miss, -b + root - miss


def _quadratic(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Roots of a t² + 2 b t + c, the smaller first, and whether there are any."""
    square = b * b - a * c
    root = square.clamp_min(0).sqrt()
    a = as_divisor(a)
    one, two = (-b - root) / a, (-b + root) / a
    return torch.minimum(one, two), torch.maximum(one, two), square > 0


def _cylinder(o: Tensor, d: Tensor, half: Tensor | float = 1.0) -> Interval:
    x, y, z = o.unbind(-1)
    u, v, w = d.unbind(-1)
    near, far, real = _quadratic(u * u + w * w, x * u + z * w, x * x + z * z - 1)
    v = as_divisor(v)
    a, b = (-half - y) / v, (half - y) / v
    miss = torch.where(real, 0.0, FAR)
    enter = torch.maximum(near, torch.minimum(a, b)) + miss
    return enter, torch.minimum(far, torch.maximum(a, b)) - miss


def _cone(o: Tensor, d: Tensor) -> Interval:
    x, y, z = o.unbind(-1)
    u, v, w = d.unbind(-1)
    up = 1 + y  # from the tip; the radius is half of it
    a = u * u + w * w - v * v / 4
    near, far, real = _quadratic(
        a, x * u + z * w - up * v / 4, x * x + z * z - up * up / 4
    )
    # steeper than the side (a < 0): inside beyond one root, the one below the tip
    down = v > 0
    enter = torch.where(a > 0, near, torch.where(down, far, -FAR))
    leave = torch.where(a > 0, far, torch.where(down, FAR, near))
    v = as_divisor(v)
    s, t = (-1 - y) / v, (1 - y) / v
    miss = torch.where(real, 0.0, FAR)
    enter = torch.maximum(enter, torch.minimum(s, t)) + miss
    return enter, torch.minimum(leave, torch.maximum(s, t)) - miss


def _capsule(o: Tensor, d: Tensor, half: Tensor) -> Interval:
    enter, leave = _cylinder(o, d, half)
    hit = enter < leave
    enter, leave = torch.where(hit, enter, FAR), torch.where(hit, leave, -FAR)
    for end in (half, -half):
        shifted = torch.stack([o[:, 0], o[:, 1] - end, o[:, 2]], -1)
        near, far = _ball(shifted, d)
        hit = near < far
        enter = torch.where(hit, torch.minimum(enter, near), enter)
        leave = torch.where(hit, torch.maximum(leave, far), leave)
    return enter, leave


def _sheet(o: Tensor, d: Tensor, bodies: Bodies, b: Tensor, t: Tensor) -> Interval:
    """First crossing of the height field, by marching and bisection."""
    assert bodies.waves is not None
    waves = bodies.waves
    enter, leave = _slabs(o, d)
    inside = enter < leave
    width = torch.where(inside, leave - enter, 0.0)
    steps = torch.linspace(0, 1, MARCH + 1, device=o.device)
    s = enter[:, None] + width[:, None] * steps
    at = o[:, None] + s[..., None] * d[:, None]
    above = at[..., 2] > waves.height(b, t, at[..., 0], at[..., 1])  # n MARCH+1
    crosses = above[:, 1:] != above[:, :-1]
    first = crosses.to(torch.uint8).argmax(1)[:, None]
    low, high = s.gather(1, first)[:, 0], s.gather(1, first + 1)[:, 0]
    start = above.gather(1, first)[:, 0]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        at = o + middle[:, None] * d
        same = (at[:, 2] > waves.height(b, t, at[:, 0], at[:, 1])) == start
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    hit = inside & crosses.any(1)
    found = (low + high) / 2
    return torch.where(hit, found, FAR), torch.where(hit, found + 1, -FAR)


def pair_distance(
    bodies: Bodies, b: Tensor, k: Tensor, t: Tensor, origin: Tensor, ray: Tensor
) -> Tensor:
    """Where each ray enters its body.

    Parameters
    ----------
    bodies
        Of B scenes.
    b, k, t : int Tensor (n,)
        Scene, body and time of each pair.
    origin, ray : Tensor (n, 3)
        World start and direction.

    Returns
    -------
    Tensor (n,)
        Multiples of the ray's length; `FAR` where it does not enter in front.
    """
    inverse = bodies.inverse[b, k, t]
    o = (inverse @ (origin - bodies.centre[b, k, t])[..., None])[..., 0]
    d = (inverse @ ray[..., None])[..., 0]
    # unit steps from the point nearest to the centre: far bodies lose no digits
    length = d.norm(dim=-1).clamp_min(1e-12)
    d = d / length[:, None]
    back = -(o * d).sum(-1)
    o = o + back[:, None] * d
    enter = torch.full_like(back, FAR)
    shape = bodies.shape[b, k]
    for kind in (BOX, BALL, CYLINDER, CONE, CAPSULE, SHEET):
        if kind == SHEET and bodies.waves is None:
            continue
        i = (shape == kind).nonzero()[:, 0]
        if len(i) == 0:
            continue
        if kind == BOX:
            near, far = _slabs(o[i], d[i])
        elif kind == BALL:
            near, far = _ball(o[i], d[i])
        elif kind == CYLINDER:
            near, far = _cylinder(o[i], d[i])
        elif kind == CONE:
            near, far = _cone(o[i], d[i])
        elif kind == CAPSULE:
            near, far = _capsule(o[i], d[i], bodies.aspect[b[i], k[i]])
        else:
            near, far = _sheet(o[i], d[i], bodies, b[i], t[i])
        distance = (near + back[i]) / length[i]
        hit = (near < far) & (distance > 1e-6)
        enter[i] = torch.where(hit, distance, FAR)
    return enter


def first_hit(
    bodies: Bodies, origin: Tensor, ray: Tensor, when: Tensor
) -> tuple[Tensor, Tensor]:
    """Cast one ray per point, each at its own time.

    Parameters
    ----------
    bodies
        Of B scenes.
    origin, ray : Tensor (B, P, 3)
        World start and direction.
    when : int Tensor (B, P)

    Returns
    -------
    distance : Tensor (B, P)
        Multiples of the ray's length; `FAR` where nothing is met.
    body : int Tensor (B, P)
        Which body; -1 where nothing is met.
    """
    B, P, _ = ray.shape
    scene = torch.arange(B, device=ray.device)[:, None]
    unit = ray / ray.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    centre = bodies.centre.transpose(1, 2)[scene, when] - origin[:, :, None]
    radius = bodies.radius.transpose(1, 2)[scene, when]  # B P K
    along = (centre @ unit[..., None])[..., 0]
    off = (centre * centre).sum(-1) - along * along
    near = (off <= radius * radius) & (along > -radius)
    near = near & (bodies.shape != ABSENT)[:, None]
    b, p, k = near.nonzero(as_tuple=True)
    found = pair_distance(bodies, b, k, when[b, p], origin[b, p], ray[b, p])
    flat = b * P + p
    best = ray.new_full((B * P,), FAR).scatter_reduce(0, flat, found, "amin")
    wins = (found == best[flat]) & (found < FAR)
    body = torch.full((B * P,), -1, device=ray.device)
    body[flat[wins]] = k[wins]
    return best.view(B, P), body.view(B, P)


def hidden(
    bodies: Bodies, eye: Tensor, offset: Tensor, own: Tensor, ask: Tensor
) -> Tensor:
    """Whether a body stands between the eye and each point.

    Parameters
    ----------
    bodies
        Of B scenes.
    eye : Tensor (B, T, 3)
        World position of the camera.
    offset : Tensor (B, P, T, 3)
        From the eye to the point.
    own : int Tensor (B, P)
        Body on which the point sits, which hides its own far side; -1 for none.
    ask : bool Tensor (B, P, T)
        Where the answer is needed; False is returned elsewhere.

    Returns
    -------
    bool Tensor (B, P, T)
    """
    result = torch.zeros_like(ask)
    absent = bodies.shape == ABSENT
    for t in range(offset.shape[2]):  # one time at a time keeps the tensors in cache
        v = offset[:, :, t]
        length = v.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        centre = bodies.centre[:, :, t] - eye[:, t, None]  # B K 3
        radius = bodies.radius[:, :, t]
        edge = (centre * centre).sum(-1) - radius * radius
        edge = edge.masked_fill(absent, torch.inf)[:, None]
        along = (v / length) @ centre.transpose(1, 2)  # B P K
        near = (along * along >= edge) & ask[:, :, t, None]
        b, p, k = near.nonzero(as_tuple=True)
        reach, r = along[b, p, k], radius[b, k]
        near = (reach > -r) & (reach - r < length[b, p, 0])
        b, p, k = b[near], p[near], k[near]
        when = torch.full_like(b, t)
        found = pair_distance(bodies, b, k, when, eye[b, when], v[b, p])
        slack = torch.where(
            own[b, p] == k, SLACK * radius[b, k] / length[b, p, 0], 1e-4
        )
        behind = found < 1 - slack
        result[b[behind], p[behind], t] = True
    return result
