from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from seurat_tracks.scenes import solids
from seurat_tracks.scenes.bodies import BALL, BOX, CYLINDER
from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.physics import GRAVITY, collide, drive, fall, slide
from seurat_tracks.scenes.stage import make_stage

if TYPE_CHECKING:
    from seurat_tracks.scenes.stage import Stage


def stage_of(seed: int = 0, batch: int = 12, car: bool = False) -> tuple[Draw, Stage]:
    draw = Draw(torch.Generator().manual_seed(seed))
    no = torch.zeros(batch, dtype=torch.bool)
    return draw, make_stage(draw, batch, 8, no, no | car)


def test_a_fall_is_a_parabola_until_the_ground() -> None:
    seconds = torch.linspace(0, 0.4, 9, dtype=torch.float64)
    height, flown = fall(
        seconds,
        torch.tensor(1.0, dtype=torch.float64),
        torch.tensor(0.5, dtype=torch.float64),
        torch.tensor(0.5, dtype=torch.float64),
    )
    torch.testing.assert_close(height, 1 + 0.5 * seconds - GRAVITY / 2 * seconds**2)
    torch.testing.assert_close(flown, seconds)


def test_bounces_lose_speed_and_end() -> None:
    seconds = torch.linspace(0, 6, 60001, dtype=torch.float64)
    one = torch.tensor(1.0, dtype=torch.float64)
    height, flown = fall(seconds, one, 0 * one, 0.6 * one)
    assert (height >= 0).all()
    tops = (height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:])
    peaks = height[1:-1][tops]
    # the height of each bounce is the square of the share of speed that is kept
    torch.testing.assert_close(
        peaks[:4], 0.36 ** torch.arange(1, 5, dtype=torch.float64), rtol=1e-4, atol=1e-6
    )
    assert height[-1] == 0
    assert flown[-1] - flown[-1000] < 1e-9  # it lies still
    speed = flown.diff()
    assert (speed[1:] <= speed[:-1] + 1e-9).all()


def test_sliding_slows_down_evenly_and_stands() -> None:
    seconds = torch.tensor([0.0, 1.0, 2.0, 5.0])
    gone = slide(seconds, torch.tensor(4.0), torch.tensor(2.0))
    assert gone.tolist() == [0.0, 3.0, 4.0, 4.0]
    back = slide(seconds, torch.tensor(-4.0), torch.tensor(2.0))
    assert back.tolist() == [0.0, -3.0, -4.0, -4.0]
    free = slide(seconds, torch.tensor(4.0), torch.tensor(0.0))
    assert free.tolist() == [0.0, 4.0, 8.0, 20.0]


def test_collision_keeps_momentum_and_energy() -> None:
    torch.manual_seed(0)
    mass = torch.rand(50, 2) + 0.1
    velocity = torch.randn(50, 2, 3)
    normal = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
    after = collide(mass, velocity, normal, torch.ones(50))
    momentum = (mass[..., None] * velocity).sum(1)
    torch.testing.assert_close((mass[..., None] * after).sum(1), momentum)
    energy = (mass * (velocity**2).sum(-1)).sum(-1)
    torch.testing.assert_close((mass * (after**2).sum(-1)).sum(-1), energy)
    closing = ((velocity[:, 0] - velocity[:, 1]) * normal).sum(-1)
    parting = ((after[:, 1] - after[:, 0]) * normal).sum(-1)
    hit = closing > 0
    torch.testing.assert_close(parting[hit], closing[hit])


def test_an_arc_keeps_its_length_and_heading() -> None:
    distance = torch.linspace(0, 20, 2001, dtype=torch.float64)
    start = torch.tensor(0.3, dtype=torch.float64)
    curve = torch.tensor(0.2, dtype=torch.float64)
    place, heading = drive(distance, start, curve)
    assert place.diff(dim=0).norm(dim=-1).sum() == pytest.approx(20, rel=1e-5)
    way = place.diff(dim=0)
    angle = torch.atan2(way[:, 0], way[:, 2])
    middle = (heading[1:] + heading[:-1]) / 2
    assert torch.cos(angle - middle).min() > 1 - 1e-9
    assert heading[-1] == pytest.approx(0.3 + 4.0)


def test_falling_bodies_fall_with_gravity() -> None:
    draw, stage = stage_of()
    stage.interval = torch.full((12,), 1 / 60)
    bodies = solids.falling(draw, stage, 5, 60)
    y = bodies.centre[..., 1].double()
    dt = stage.interval[:, None, None].double()
    pull = (y[..., 2:] - 2 * y[..., 1:-1] + y[..., :-2]) / dt**2
    rest = stage.floor[:, None, None] - bodies.frame.norm(dim=-2).amin(-1)
    flies = (rest - bodies.centre[..., 1]) > 1e-4
    flies = flies[..., 2:] & flies[..., 1:-1] & flies[..., :-2]
    good = (pull - GRAVITY).abs() < 0.03 * GRAVITY + 1e-5 * y.abs()[..., 1:-1] / dt**2
    # the rest of them bounce between these frames
    assert good[flies].float().mean() > 0.9
    assert (bodies.centre[..., 1] <= rest + 1e-4).all()


def test_rolling_does_not_slip() -> None:
    draw, stage = stage_of(1)
    frames = 40
    bodies = solids.rolling(draw, stage, 6, frames)
    assert {BALL, CYLINDER} == set(bodies.shape.unique().tolist())
    radius = stage.floor[:, None] - bodies.centre[:, :, 0, 1]
    round_ = bodies.frame.norm(dim=-2)[:, :, 0]  # of the columns
    torch.testing.assert_close(round_[..., 0], radius, rtol=1e-3, atol=1e-4)
    turn = bodies.frame / bodies.frame.norm(dim=-2, keepdim=True)
    step = bodies.centre.diff(dim=2)
    between = turn[:, :, 1:] @ turn[:, :, :-1].transpose(-1, -2)
    cosine = (between.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angle = cosine.clamp(-1, 1).acos()
    small = (angle > 0.03) & (angle < 2.5)
    assert small.sum() > 100
    gone = step.norm(dim=-1)
    torch.testing.assert_close(
        (angle * radius[..., None])[small], gone[small], rtol=2e-2, atol=1e-5
    )
    # the point that touches the ground stands: v + w x r = 0
    axis = torch.stack(
        [
            between[..., 2, 1] - between[..., 1, 2],
            between[..., 0, 2] - between[..., 2, 0],
            between[..., 1, 0] - between[..., 0, 1],
        ],
        -1,
    )
    axis = torch.nn.functional.normalize(axis, dim=-1)
    down = torch.tensor([0.0, 1.0, 0.0]).expand_as(axis)
    touching = torch.linalg.cross(axis, down) * (angle * radius[..., None])[..., None]
    slip = (touching + step).norm(dim=-1)
    assert (slip[small] < 0.03 * gone[small]).all()
    # a cylinder lies: its axis is level
    lies = bodies.shape == CYLINDER
    assert turn[..., 1, 1][lies].abs().max() < 1e-5


def test_colliding_bodies_touch_once_and_never_overlap() -> None:
    draw, stage = stage_of(2)
    bodies = solids.colliding(draw, stage, 4, 200)
    first, second = bodies.centre[:, 0::2], bodies.centre[:, 1::2]
    flat = torch.tensor([1.0, 0.0, 1.0])
    apart = ((first - second) * flat).norm(dim=-1)
    radius = bodies.frame.norm(dim=-2)[..., 0]
    touch = (radius[:, 0::2] + radius[:, 1::2])[..., :1]
    assert (apart / touch[..., 0, None]).amin(-1).max() < 1.5
    assert (apart / touch[..., 0, None]).min() > 0.98


def test_cars_go_where_they_point() -> None:
    draw, stage = stage_of(3, car=True)
    bodies = solids.driving(draw, stage, 6, 60)
    assert (bodies.shape == BOX).all()
    step = bodies.centre.diff(dim=2)
    gone = step.norm(dim=-1)
    assert step[..., 1].abs().max() < 1e-5
    forward = bodies.frame[..., 2] / bodies.frame[..., 2].norm(dim=-1, keepdim=True)
    middle = (forward[:, :, 1:] + forward[:, :, :-1]) / 2
    along = (step * middle).sum(-1).abs()
    moves = gone > 0.02
    assert moves.float().mean() > 0.3
    assert (along[moves] > 0.98 * gone[moves]).all()
    # the cabin stays on the body
    offset = bodies.centre[:, 0::2] - bodies.centre[:, 1::2]
    torch.testing.assert_close(
        offset, offset[:, :, :1].expand_as(offset), atol=1e-4, rtol=0
    )


def test_what_stands_on_the_ground_touches_it() -> None:
    draw, stage = stage_of(4)
    no = torch.zeros(12, 20, dtype=torch.bool)
    bodies = solids.stand(draw, stage, 20, 1, no, 0.0)
    kind = bodies.shape
    row = bodies.frame[:, :, 0, 1]
    low = row.abs().sum(-1)  # of boxes, and of what stands upright
    gap = stage.floor[:, None] - bodies.centre[:, :, 0, 1] - low
    upright = (kind == BOX) | (kind == BALL) | (kind == CYLINDER)
    torch.testing.assert_close(
        gap[upright], torch.zeros_like(gap[upright]), atol=1e-4, rtol=0
    )
