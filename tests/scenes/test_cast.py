from __future__ import annotations

import pytest
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
    Waves,
    make_bodies,
)
from seurat_tracks.scenes.cast import FAR, first_hit, hidden
from seurat_tracks.scenes.motion import rotation

SOLID = (BOX, BALL, CYLINDER, CONE, CAPSULE)


def bodies_of(shape: list[int], seed: int = 0, frames: int = 1) -> Bodies:
    """One scene of random bodies about (0, 0, 6)."""
    generator = torch.Generator().manual_seed(seed)
    K = len(shape)
    turn = rotation(torch.randn(1, K, frames, 3, generator=generator))
    size = 0.4 + torch.rand(1, K, 1, 3, generator=generator)
    kind = torch.tensor([shape])
    size = torch.where((kind == CAPSULE)[..., None, None], size[..., :1], size)
    aspect = torch.where(kind == CAPSULE, 1.3, 0.0)
    centre = torch.randn(1, K, 1, 3, generator=generator).expand(-1, -1, frames, -1)
    centre = centre + torch.tensor([0.0, 0.0, 6.0])
    bodies = make_bodies(turn * size[..., None, :], centre, kind, aspect)
    if SHEET in shape:
        bodies.waves = Waves(
            torch.tensor([[0.5, 0.3, 0.2]]),
            torch.tensor([[[2.0, 1.0], [-1.0, 3.0], [0.5, -2.0]]]),
            torch.arange(3.0)[None, :, None].expand(1, 3, frames),
            torch.tensor([1.0]),
        )
    return bodies


def inside(bodies: Bodies, k: int, point: Tensor) -> Tensor:
    """Whether world points (n, 3) are inside a body at time 0: from the definitions."""
    local = (point - bodies.centre[0, k, 0]) @ bodies.inverse[0, k, 0].T
    x, y, z = local.unbind(-1)
    kind = int(bodies.shape[0, k])
    if kind == BOX:
        return (local.abs() <= 1).all(-1)
    if kind == BALL:
        return local.norm(dim=-1) <= 1
    if kind == CYLINDER:
        return (x**2 + z**2 <= 1) & (y.abs() <= 1)
    if kind == CONE:
        return ((x**2 + z**2).sqrt() <= (1 + y) / 2) & (y.abs() <= 1)
    assert kind == CAPSULE
    h = bodies.aspect[0, k]
    nearest = torch.stack([0 * x, y.clamp(-h, h), 0 * z], -1)
    return (local - nearest).norm(dim=-1) <= 1


def rays(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    aim = torch.randn(1, count, 3, generator=generator) * 1.5
    return aim + torch.tensor([0.0, 0.0, 6.0])


@pytest.mark.parametrize("kind", SOLID)
def test_hits_agree_with_walking_along_the_ray(kind: int) -> None:
    bodies = bodies_of([kind], seed=kind)
    ray = rays(400)
    origin = torch.zeros_like(ray)
    found, body = first_hit(bodies, origin, ray, torch.zeros(1, 400, dtype=torch.long))
    steps = torch.linspace(0, 2.5, 4001)
    at = steps[:, None, None] * ray[0]
    filled = inside(bodies, 0, at.reshape(-1, 3)).view(4001, 400)
    walked = torch.where(
        filled.any(0), steps[filled.to(torch.uint8).argmax(0)], torch.tensor(FAR)
    )
    clear = filled.sum(0) != 1  # a single step inside is a ray that just touches
    assert (found[0] < FAR).float().mean() > 0.1
    hit = (found[0] < FAR) & (walked < FAR) & clear
    assert hit.sum() > 40
    assert ((found[0] - walked)[hit].abs() < 1.5 / 1600).all()
    differ = (found[0] < FAR) != (walked < FAR)
    assert differ.float().mean() <= 0.01  # chords shorter than a step
    assert (body[0][found[0] < FAR] == 0).all()
    assert (body[0][found[0] == FAR] == -1).all()


def test_known_distances() -> None:
    eye = torch.eye(3)
    frame = torch.stack([eye * torch.tensor([1.0, 2.0, 3.0]), eye, eye, eye, eye])
    centre = torch.tensor([[0.0, 0.0, 10.0]]).expand(5, 3)
    for k, (kind, distance) in enumerate(
        # a cone's radius is a half at half of its height
        [(BOX, 7.0), (BALL, 9.0), (CYLINDER, 9.0), (CONE, 9.5), (CAPSULE, 9.0)]
    ):
        bodies = make_bodies(
            frame[k][None, None, None],
            centre[k][None, None, None],
            torch.tensor([[kind]]),
            torch.tensor([[0.5 if kind == CAPSULE else 0.0]]),
        )
        ray = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]])
        found, _ = first_hit(
            bodies, torch.zeros(1, 3, 3), ray, torch.zeros(1, 3, dtype=torch.long)
        )
        torch.testing.assert_close(found[0, 0], torch.tensor(distance))
        assert (found[0, 1:] == FAR).all()


def test_hidden_agrees_with_walking_along_the_ray() -> None:
    bodies = bodies_of([*SOLID, BALL, ABSENT], seed=3)
    generator = torch.Generator().manual_seed(1)
    point = rays(600) + torch.randn(1, 600, 3, generator=generator)
    own = torch.full((1, 600), -1)
    ask = torch.ones(1, 600, 1, dtype=torch.bool)
    got = hidden(bodies, torch.zeros(1, 1, 3), point[:, :, None], own, ask)[0, :, 0]
    steps = torch.linspace(0, 0.9995, 3000)
    at = (steps[:, None, None] * point[0]).reshape(-1, 3)
    filled = torch.stack([inside(bodies, k, at) for k in range(6)]).any(0)
    filled = filled.view(3000, 600)
    assert 0.1 < got.float().mean() < 0.9
    sure = filled.sum(0) != 1
    assert (got == filled.any(0))[sure].float().mean() > 0.985
    nobody = hidden(
        bodies, torch.zeros(1, 1, 3), point[:, :, None], own, torch.zeros_like(ask)
    )
    assert not nobody.any()


@pytest.mark.parametrize("kind", [BOX, BALL, CYLINDER])
def test_a_body_hides_its_own_far_side(kind: int) -> None:
    bodies = bodies_of([kind], seed=5)
    generator = torch.Generator().manual_seed(2)
    local = torch.randn(300, 3, generator=generator)
    if kind == BOX:
        local = local / local.abs().amax(-1, keepdim=True)
    elif kind == BALL:
        local = local / local.norm(dim=-1, keepdim=True)
    else:  # the side of the cylinder
        local[:, 1] = local[:, 1].tanh()
        local[:, [0, 2]] /= local[:, [0, 2]].norm(dim=-1, keepdim=True)
    world = local @ bodies.frame[0, 0, 0].T + bodies.centre[0, 0, 0]
    # outward normals go with the inverse transpose
    normal = local.clone()
    if kind == BOX:
        normal = torch.where(local.abs() >= 1 - 1e-6, local.sign(), 0.0)
    elif kind == CYLINDER:
        normal[:, 1] = 0.0
    normal = normal @ bodies.inverse[0, 0, 0]
    cosine = (normal * world).sum(-1) / normal.norm(dim=-1) / world.norm(dim=-1)
    got = hidden(
        bodies,
        torch.zeros(1, 1, 3),
        world[None, :, None],
        torch.zeros(1, 300, dtype=torch.long),
        torch.ones(1, 300, 1, dtype=torch.bool),
    )[0, :, 0]
    sure = cosine.abs() > 0.1
    assert sure.sum() > 200
    assert (got == (cosine > 0))[sure].all()


def test_points_of_a_sheet_are_met_and_its_folds_hide() -> None:
    bodies = bodies_of([SHEET], seed=4)
    assert bodies.waves is not None
    ray = rays(500)
    zero = torch.zeros(1, 500, dtype=torch.long)
    found, body = first_hit(bodies, torch.zeros_like(ray), ray, zero)
    on = body[0] == 0
    assert on.sum() > 50
    point = (found[..., None] * ray)[0, on]
    local = (point - bodies.centre[0, 0, 0]) @ bodies.inverse[0, 0, 0].T
    n = len(local)
    height = bodies.waves.height(zero[0, :n], zero[0, :n], local[:, 0], local[:, 1])
    torch.testing.assert_close(local[:, 2], height, atol=1e-4, rtol=0)
    # what is met first is not hidden; what is twice as far is
    for far, expected in ((1.0, False), (2.0, True)):
        got = hidden(
            bodies,
            torch.zeros(1, 1, 3),
            far * point[None, :, None],
            zero[:, :n],
            torch.ones(1, n, 1, dtype=torch.bool),
        )
        assert (got == expected).all()


def test_shapes_of_a_sheet_keep_within_its_box() -> None:
    bodies = bodies_of([SHEET], seed=4)
    assert bodies.waves is not None
    x = torch.linspace(-1, 1, 41)
    grid = torch.cartesian_prod(x, x)
    zero = torch.zeros(len(grid), dtype=torch.long)
    height = bodies.waves.height(zero, zero, grid[:, 0], grid[:, 1])
    assert height.abs().max() <= 1
    hem = grid[:, 1] == -1
    assert height[hem].abs().max() < 1e-6  # it hangs from there
