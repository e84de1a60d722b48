"""Boxes, balls, cylinders, cones, capsules: standing, falling, rolling, deforming."""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.scenes.bodies import (
    BALL,
    BOX,
    CAPSULE,
    CONE,
    CYLINDER,
    Bodies,
    make_bodies,
)
from seurat_tracks.scenes.camera import narrow, sideways
from seurat_tracks.scenes.motion import Draw, rotation, smooth_path
from seurat_tracks.scenes.physics import GRAVITY, collide, drive, fall, slide
from seurat_tracks.scenes.stage import Stage

_SHAPES = (BOX, BALL, CYLINDER, CONE, CAPSULE)
_SHAPE_SHARE = (0.36, 0.28, 0.14, 0.10, 0.12)


def _shapes(draw: Draw, batch: int, count: int) -> Tensor:
    share = torch.tensor(_SHAPE_SHARE, device=draw.device)
    pick = torch.multinomial(share, batch * count, True, generator=draw.generator)
    return torch.tensor(_SHAPES, device=draw.device)[pick].view(batch, count)


def _extent(shape: Tensor, frame: Tensor, aspect: Tensor) -> Tensor:
    """How far bodies reach below their centres; frame (..., 3, 3) in world axes."""
    row = frame[..., 1, :]
    ball = row.norm(dim=-1)
    corner = row.abs().sum(-1)
    disc = row[..., [0, 2]].norm(dim=-1) + row[..., 1].abs()
    uniform = frame[..., :, 0].norm(dim=-1) + aspect * row[..., 1].abs()
    low = torch.where(shape == BALL, ball, corner)
    low = torch.where((shape == CYLINDER) | (shape == CONE), disc, low)
    return torch.where(shape == CAPSULE, uniform, low)


def stand(
    draw: Draw, stage: Stage, count: int, frames: int, moving: Tensor, floating: float
) -> Bodies:
    """Draw bodies about the scene; some move at will.

    Parameters
    ----------
    draw
        Source of randomness.
    stage
        Surroundings of B scenes.
    count
        Bodies per scene, K.
    frames
        T.
    moving : bool Tensor (B, K)
        Bodies that move on smooth random paths, turn, and sometimes stretch.
    floating
        Share of the bodies that hang anywhere in the picture; others are on the ground.
    """
    device = draw.device
    B = len(stage.floor)
    time = torch.linspace(0, 1, frames, device=device)
    focal = stage.focal[:, None]
    place = draw.uniform(B, count, 2, low=-1.1, high=1.1) * stage.half[:, None]
    # half of them about as far as the subject, half anywhere before the walls
    share = draw.uniform(B, count, low=0.12, high=0.95)
    far = draw.chance(0.5, B, count)
    near = stage.depth[:, None] * draw.log_uniform(B, count, low=0.5, high=2.5)
    z = torch.where(far, stage.high[:, 2:] * share, near).clamp_min(0.15)
    centre = torch.cat([place * (z / focal)[..., None], z[..., None]], -1)
    centre = centre @ stage.tilt.transpose(1, 2)
    angular = draw.log_uniform(B, count, low=0.04, high=0.5)
    size = (angular * z / focal)[..., None] * draw.log_uniform(
        B, count, 3, low=0.35, high=1.6
    )
    shape = _shapes(draw, B, count)
    even = (shape == CAPSULE)[..., None]
    size = torch.where(even, 0.5 * size[..., :1], size)
    aspect = torch.where(even[..., 0], draw.log_uniform(B, count, low=0.3, high=5.0), 0)
    hangs = draw.chance(floating, B, count)
    wild = rotation(draw.normal(B, count, 3) * 1.2)
    upright = torch.zeros(B, count, 3, device=device)
    upright[..., 1] = draw.uniform(B, count, high=6.28)
    turn = torch.where(hangs[..., None, None], wild, rotation(upright))
    low = _extent(shape, turn * size[..., None, :], aspect)
    ground = stage.floor[:, None] - low
    y = torch.where(hangs, centre[..., 1], ground)
    centre = torch.stack([centre[..., 0], y, centre[..., 2]], -1)

    travel = draw.log_uniform(B, count, low=0.01, high=0.7) * z
    path = smooth_path(draw, (B, count), time) * travel[..., None, None]
    path = path * sideways(narrow(stage.focal))[:, None, None]
    path = path @ stage.tilt.transpose(1, 2)[:, None]
    level = torch.tensor([1.0, 0.0, 1.0], device=device)
    path = torch.where(hangs[..., None, None], path, path * level)
    angle = draw.log_uniform(B, count, low=0.01, high=1.2)
    angle = angle * draw.chance(0.6, B, count)
    spin = smooth_path(draw, (B, count), time) * angle[..., None, None]
    spin = torch.where(hangs[..., None, None], spin, spin * (1 - level))
    soft = draw.chance(0.15, B, count)
    stretch = smooth_path(draw, (B, count), time) * 0.35 * soft[..., None, None]
    stretch = torch.where(even[:, :, None], stretch[..., :1], stretch)
    go = moving[..., None, None]
    path, spin, stretch = (torch.where(go, a, 0.0) for a in (path, spin, stretch))
    scale = size[:, :, None] * stretch.exp()
    frame = (rotation(spin) @ turn[:, :, None]) * scale[..., None, :]
    return make_bodies(frame, centre[:, :, None] + path, shape, aspect)


def _near_subject(draw: Draw, stage: Stage, count: int) -> tuple[Tensor, Tensor]:
    """Draw ground places (B, K, 3) about the subject (y 0), and sizes (B, K)."""
    B = len(stage.floor)
    size = stage.tall[:, None] / 2 * draw.log_uniform(B, count, low=0.5, high=1.4)
    spread = draw.normal(B, count, 3) * stage.tall[:, None, None] * 1.3
    spread[:, 0] = 0.0
    place = stage.subject[:, None] + spread
    place[..., 1] = 0.0
    return place, size


def falling(draw: Draw, stage: Stage, count: int, frames: int) -> Bodies:
    """Draw bodies that are thrown or dropped, spin, bounce and come to rest."""
    place, size = _near_subject(draw, stage, count)
    B = len(size)
    seconds = stage.seconds(frames)[:, None].expand(B, count, frames)
    shape = _shapes(draw, B, count)
    shape = torch.where(shape == CAPSULE, BALL, shape)
    size = size[..., None] * draw.log_uniform(B, count, 3, low=0.6, high=1.4)
    # what has been falling for a while already, or is about to land
    last = seconds[..., -1]
    height = stage.tall[:, None] * draw.log_uniform(B, count, low=0.2, high=3.0)
    lands = draw.uniform(B, count, low=0.1, high=1.3) * last.clamp(max=2.0)
    upwards = (GRAVITY / 2 * lands - height / lands.clamp_min(1e-3)).clamp(-8.0, 8.0)
    above, flown = fall(
        seconds, height, upwards, draw.uniform(B, count, low=0.1, high=0.75)
    )
    speed = stage.tall[:, None] * draw.log_uniform(B, count, low=0.1, high=3.0)
    angle = draw.uniform(B, count, high=6.28)
    way = torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos()], -1)
    path = (speed[..., None] * way)[:, :, None] * flown[..., None]
    path = path - path[:, :, frames // 2, None]
    rate = draw.log_uniform(B, count, low=0.2, high=12.0)
    axis = draw.direction(B, count) * rate[..., None]
    turn = rotation(draw.normal(B, count, 3) * 1.2)
    spun = rotation(axis[:, :, None] * flown[..., None]) @ turn[:, :, None]
    rest = size.amin(-1)  # the centre rests here: what lies, lies on its flat side
    y = stage.floor[:, None, None] - rest[..., None] - above
    zero = torch.zeros_like(y)
    centre = place[:, :, None] + path + torch.stack([zero, y, zero], -1)
    return make_bodies(spun * size[:, :, None, None], centre, shape)


def rolling(draw: Draw, stage: Stage, count: int, frames: int) -> Bodies:
    """Draw balls and lying cylinders that roll without slipping, and slow down."""
    place, size = _near_subject(draw, stage, count)
    B = len(size)
    seconds = stage.seconds(frames)[:, None].expand(B, count, frames)
    ball = draw.chance(0.65, B, count)
    angle = draw.uniform(B, count, high=6.28)
    zero = torch.zeros_like(angle)
    way = torch.stack([angle.sin(), zero, angle.cos()], -1)
    # up x way, with up = -y
    axis = torch.stack([-angle.cos(), zero, angle.sin()], -1)
    speed = stage.tall[:, None] * draw.log_uniform(B, count, low=0.2, high=6.0)
    friction = GRAVITY * draw.log_uniform(B, count, low=0.003, high=0.1)
    gone = slide(seconds, speed, friction)
    turn = rotation(axis[:, :, None] * (gone / size[..., None])[..., None])
    # a cylinder's axis, its local y, lies along the axis it turns about
    lay = torch.stack([_down(axis), axis, torch.linalg.cross(_down(axis), axis)], -1)
    lay = torch.where(ball[..., None, None], rotation(draw.normal(B, count, 3)), lay)
    wide = torch.stack(
        [size, size * draw.log_uniform(B, count, low=0.3, high=2.0), size], -1
    )
    wide = torch.where(ball[..., None], size[..., None], wide)
    frame = (turn @ lay[:, :, None]) * wide[:, :, None, None]
    path = way[:, :, None] * (gone - gone[..., frames // 2, None])[..., None]
    y = (stage.floor[:, None] - size)[..., None].expand_as(gone)
    zeros = torch.zeros_like(y)
    centre = place[:, :, None] + path + torch.stack([zeros, y, zeros], -1)
    return make_bodies(frame, centre, torch.where(ball, BALL, CYLINDER))


def _down(like: Tensor) -> Tensor:
    return torch.tensor([0.0, 1.0, 0.0], device=like.device).expand_as(like)


def colliding(draw: Draw, stage: Stage, count: int, frames: int) -> Bodies:
    """Draw balls or upright discs that slide over the ground and hit in pairs."""
    pairs = (count + 1) // 2
    place, size = _near_subject(draw, stage, 2 * pairs)
    B = len(size)
    seconds = stage.seconds(frames)
    size = size.view(B, pairs, 2)
    hit = draw.uniform(B, pairs, low=0.2, high=0.8) * seconds[:, -1:]
    angle = draw.uniform(B, pairs, high=6.28)
    zero = torch.zeros_like(angle)
    normal = torch.stack([angle.sin(), zero, angle.cos()], -1)
    speed = stage.tall[:, None, None, None] * draw.log_uniform(
        B, pairs, 2, 1, low=0.2, high=5.0
    )
    aside = torch.stack([angle.cos(), zero, -angle.sin()], -1)
    toward = torch.stack([normal, -normal * draw.uniform(B, pairs, 1)], 2)
    before = speed * (toward + 0.5 * draw.normal(B, pairs, 2, 1) * aside[:, :, None])
    closing = ((before[:, :, 0] - before[:, :, 1]) * normal).sum(-1) <= 0
    before = torch.where(closing[..., None, None], before.flip(2), before)
    after = collide(size**3, before, normal, draw.uniform(B, pairs, low=0.1, high=1.0))
    since = seconds[:, None, None] - hit[..., None, None]  # B pairs 1 T
    early = before[..., None, :] * since.clamp(max=0)[..., None]
    late = after[..., None, :] * since.clamp_min(0)[..., None]
    middle = place.view(B, pairs, 2, 3)[:, :, :1]
    apart = torch.stack([-size[..., :1] * normal, size[..., 1:] * normal], 2)
    y = stage.floor[:, None, None, None] - size[..., None]
    lift = torch.cat([torch.zeros_like(y), y, torch.zeros_like(y)], -1)
    centre = (middle + apart + lift)[:, :, :, None] + early + late
    rate = draw.normal(B, pairs, 2, 2) * 2.0
    turned = rate[..., :1] * since.clamp(max=0) + rate[..., 1:] * since.clamp_min(0)
    vector = torch.stack(
        [torch.zeros_like(turned), turned, torch.zeros_like(turned)], -1
    )
    frame = rotation(vector) * size[..., None, None, None]
    disc = draw.chance(0.4, B, pairs, 2)
    shape = torch.where(disc, CYLINDER, BALL)
    K = 2 * pairs
    return make_bodies(
        frame.reshape(B, K, frames, 3, 3)[:, :count],
        centre.reshape(B, K, frames, 3)[:, :count],
        shape.reshape(B, K)[:, :count],
    )


def driving(draw: Draw, stage: Stage, count: int, frames: int) -> Bodies:
    """Draw cars, each a body and a cabin, that drive along arcs or stand parked."""
    device = draw.device
    cars = (count + 1) // 2
    B = len(stage.floor)
    seconds = stage.seconds(frames)[:, None].expand(B, cars, frames)
    tall = stage.tall[:, None] * (0.12 * draw.normal(B, cars)).exp()
    tall = tall * torch.where(draw.chance(0.15, B, cars), 1.7, 1.0)  # vans and buses
    long, wide = 2.8 * tall * draw.uniform(B, cars, low=0.8, high=1.3), 1.2 * tall
    speed = draw.log_uniform(B, cars, low=0.5, high=20.0)
    speed = speed * torch.where(draw.chance(0.1, B, cars), -0.3, 1.0)
    parked = draw.chance(0.3, B, cars)
    parked[:, 0] = False
    speed = torch.where(parked, 0.0, speed)
    brakes = 6.0 * draw.uniform(B, cars) * draw.chance(0.3, B, cars)
    gone = slide(seconds, speed, brakes)
    # along the street or across; bends up to a radius of 5 metres
    along = draw.integers(4, B, cars) * 1.5708 + 0.1 * draw.normal(B, cars)
    free = draw.chance(0.3, B, 1)
    heading = torch.where(free, draw.uniform(B, cars, high=6.2832), along)
    bend = draw.log_uniform(B, cars, low=0.002, high=0.2)
    bend = bend * draw.normal(B, cars).sign() * draw.chance(0.45, B, cars)
    path, heading_now = drive(gone, heading, bend)
    path = path - path[:, :, frames // 2, None]
    spread = draw.normal(B, cars, 3) * torch.tensor([6.0, 0.0, 12.0], device=device)
    spread[:, 0] = 0.0
    place = stage.subject[:, None] + spread
    place[..., 1] = 0.0
    vector = torch.zeros(B, cars, frames, 3, device=device)
    vector[..., 1] = heading_now
    turn = rotation(vector)
    clear = 0.12 * tall
    low_half, high_half = 0.25 * tall, 0.2 * tall
    body = torch.stack([wide / 2, low_half, long / 2], -1)
    cabin = torch.stack([0.45 * wide, high_half, 0.28 * long], -1)
    size = torch.stack([body, cabin], 2)  # B cars 2 3
    floor = stage.floor[:, None]
    y = torch.stack(
        [floor - clear - low_half, floor - clear - 2 * low_half - high_half], -1
    )
    base = (place[:, :, None] + path)[:, :, None].expand(B, cars, 2, frames, 3).clone()
    base[..., 1] = y[..., None].expand(B, cars, 2, frames)
    frame = turn[:, :, None] * size[:, :, :, None, None]
    shape = torch.zeros(B, 2 * cars, dtype=torch.long, device=device) + BOX
    K = 2 * cars
    return make_bodies(
        frame.reshape(B, K, frames, 3, 3)[:, :count],
        base.reshape(B, K, frames, 3)[:, :count],
        shape[:, :count],
    )


def deforming(draw: Draw, stage: Stage, count: int, frames: int) -> Bodies:
    """Draw bodies that swell, shrink and stretch, turning and moving a little."""
    place, size = _near_subject(draw, stage, count)
    B = len(size)
    time = torch.linspace(0, 1, frames, device=draw.device)
    shape = torch.where(draw.chance(0.6, B, count), BALL, _shapes(draw, B, count))
    shape = torch.where(shape == CAPSULE, CYLINDER, shape)
    size = size[..., None] * draw.log_uniform(B, count, 3, low=0.6, high=1.4)
    gain = draw.log_uniform(B, count, 1, 1, low=0.03, high=0.6)
    swell = smooth_path(draw, (B, count), time) * gain
    # all axes alike swells; keeping the volume stretches
    mean = swell.mean(-1, keepdim=True)
    style = draw.integers(3, B, count)[..., None, None]
    swell = torch.where(style == 0, 1.7 * mean.expand_as(swell), swell)
    swell = torch.where(style == 1, swell - mean, swell)
    turn = rotation(draw.normal(B, count, 3) * 1.2)
    angle = draw.log_uniform(B, count, 1, 1, low=0.01, high=0.5)
    spin = rotation(smooth_path(draw, (B, count), time) * angle)
    frame = (spin @ turn[:, :, None]) * (size[:, :, None] * swell.exp())[..., None, :]
    travel = stage.tall[:, None, None, None] * draw.log_uniform(
        B, count, 1, 1, low=0.01, high=0.5
    )
    path = smooth_path(draw, (B, count), time) * travel
    y = (stage.floor[:, None] - size.amax(-1))[..., None]
    lift = torch.stack([torch.zeros_like(y), y, torch.zeros_like(y)], -1)
    return make_bodies(frame, place[:, :, None] + lift + path, shape)
