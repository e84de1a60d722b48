from __future__ import annotations

import torch

from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.relief import Relief, make_relief
from seurat_tracks.scenes.stage import leave, make_stage


def surroundings(batch: int = 12, depth: float = 0.3) -> Relief:
    draw = Draw(torch.Generator().manual_seed(0))
    no = torch.zeros(batch, dtype=torch.bool)
    relief = make_relief(draw, make_stage(draw, batch, 8, no, no))
    relief.depth = torch.full((batch,), depth)
    return relief


def rays(batch: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, count, 3, generator=generator)


def test_a_box_is_left_where_its_wall_is() -> None:
    low, high = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([4.0, 5.0, 6.0])
    ray = torch.tensor([[1.0, 0, 0], [0, -1.0, 0], [0, 1.0, 2.0], [-1.0, 0, 0]])
    found = leave(low, high, torch.zeros(4, 3), ray)
    torch.testing.assert_close(found, torch.tensor([4.0, 2.0, 3.0, 1.0]))


def test_plane_walls_stay_and_bumps_only_push_outwards() -> None:
    ray = rays(12, 300)
    origin = torch.zeros_like(ray)
    plane = surroundings(depth=0.0).hit(origin, ray)
    bumpy = surroundings().hit(origin, ray)
    assert (bumpy >= plane * (1 - 1e-5)).all()
    assert (bumpy > 1.1 * plane).float().mean() > 0.2


def test_rays_from_elsewhere_end_on_the_surface_too() -> None:
    relief = surroundings()
    ray = rays(12, 300)
    step = (relief.stage.high - relief.stage.low).amin(-1) / 20
    origin = torch.zeros_like(ray) + step[:, None, None] * torch.tensor(
        [1.0, -0.5, 1.0]
    )
    found = relief.hit(origin, ray)
    point = (origin + found[..., None] * ray) @ relief.stage.yaw
    edge = relief.edge(torch.arange(12), point)
    close = (edge - 1).abs() < 2e-3
    assert close.float().mean() > 0.99


def test_the_first_camera_sees_everything_and_a_moved_one_does_not() -> None:
    relief = surroundings()
    ray = rays(12, 400)
    size = (relief.stage.high - relief.stage.low).amin(-1)
    eye = torch.zeros(12, 2, 3)
    eye[:, 1, 0] = size / 8
    relief.stage.contain(eye)
    point = relief.hit(torch.zeros_like(ray), ray)[..., None] * ray
    offset = point[:, :, None] - eye[:, None]
    ask = torch.ones(12, 400, 2, dtype=torch.bool)
    hidden = relief.hides(eye, offset, ask)
    assert not hidden[..., 0].any()
    assert 0.002 < hidden[..., 1].float().mean() < 0.6
    # what is found hidden, a finer walk finds too
    b, p = hidden[..., 1].nonzero(as_tuple=True)
    s = torch.linspace(0, 0.999, 400)[:, None]
    turn = relief.stage.yaw[b].transpose(1, 2)
    start = (turn @ eye[b, 1, :, None])[..., 0]
    way = (turn @ offset[b, p, 1][..., None])[..., 0]
    at = start[:, None] + s * way[:, None]
    assert (relief.edge(b, at) < 1).any(-1).all()
    # before the walls nothing is hidden
    near = relief.hides(eye, 0.4 * offset, ask)
    assert not near[..., 0].any()
    assert near[..., 1].float().mean() < 0.01


def test_plane_walls_hide_nothing_of_themselves() -> None:
    relief = surroundings(depth=0.0)
    ray = rays(12, 400)
    point = relief.hit(torch.zeros_like(ray), ray)[..., None] * ray
    size = (relief.stage.high - relief.stage.low).amin(-1)
    eye = torch.zeros(12, 1, 3)
    eye[:, 0, 0] = size / 10
    offset = point[:, :, None] - eye[:, None]
    ask = torch.ones(12, 400, 1, dtype=torch.bool)
    assert relief.hides(eye, offset, ask).float().mean() < 2e-3
