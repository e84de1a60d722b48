from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seurat_tracks.scenes.bodies import FAR, hit_distance, make_bodies
from seurat_tracks.scenes.generate import CAMERAS, SceneBatch, SceneConfig, make_scenes
from seurat_tracks.scenes.motion import rotation

CONFIG = SceneConfig(support=60, queries=25)


def make(seed: int = 0, batch: int = 6, **settings: object) -> SceneBatch:
    generator = torch.Generator().manual_seed(seed)
    return make_scenes(batch, replace(CONFIG, **settings), generator)


def test_same_seed_same_scenes() -> None:
    a, b, c = make(3), make(3), make(4)
    assert torch.equal(a.xy, b.xy)
    assert torch.equal(a.visible, b.visible)
    assert not torch.equal(a.xy, c.xy)


def test_shapes() -> None:
    s = make(batch=4, frames=11)
    assert s.xy.shape == (4, 85, 11, 2)
    assert s.z.shape == s.visible.shape == (4, 85, 11)
    assert s.half.amax(1).tolist() == [1, 1, 1, 1]
    assert torch.isfinite(s.xy).all()
    assert torch.isfinite(s.z).all()


def test_visible_points_are_in_the_frame_and_in_front() -> None:
    s = make(batch=20)
    inside = (s.xy.abs() <= s.half[:, None, None] + 1e-6).all(-1)
    assert (inside | ~s.visible).all()
    assert (s.z[s.visible] > 0).all()


def test_support_is_seen_where_it_was_cast() -> None:
    s = make(batch=20, sparse=0.0)
    assert s.visible[:, :60, 0].float().mean() > 0.93


def test_a_still_camera_in_a_still_world_sees_no_change() -> None:
    s = make(batch=12, camera="static", moving=0.0, figures=0.0)
    assert torch.allclose(s.xy, s.xy[:, :, :1].expand_as(s.xy), atol=1e-4)
    assert torch.allclose(s.z, s.z[:, :, :1].expand_as(s.z), rtol=1e-4)


def test_zoom_changes_the_picture_and_hardly_the_depth() -> None:
    s = make(batch=16, camera="zoom", moving=0.0, figures=0.0)
    change = (s.z[..., -1] / s.z[..., 0]).log().abs()[s.visible[..., -1]]
    grown = (s.xy[..., -1, :] - s.xy[..., 0, :]).norm(dim=-1)[s.visible[..., -1]]
    assert change.median() < 0.03
    assert grown.mean() > 0.02


def test_driving_forwards_expands_the_picture() -> None:
    s = make(batch=40, camera="drive", moving=0.0, figures=0.0, sparse=0.0)
    ok = s.visible[..., 0] & s.visible[..., -1]
    change = (s.z[..., -1] / s.z[..., 0].clamp_min(0.01)).log()
    radius = s.xy.norm(dim=-1)
    outwards = radius[..., -1] - radius[..., 0]
    large = ok & (change.abs() > 0.1)
    assert large.sum() > 300
    assert (outwards * change < 0)[large].float().mean() > 0.85


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_kind_of_camera_is_drawn_on_demand(camera: str) -> None:
    s = make(camera=camera)
    assert {CAMERAS[k] for k in s.camera.tolist()} == {camera}


def test_a_rigid_body_keeps_its_distances() -> None:
    # two points of one box: their distance in space does not change, so the
    # projections must agree with their depths
    s = make(seed=9, batch=30, camera="free", figures=0.0, moving=0.0, sparse=0.0)
    on_wall = (s.body < 0) & s.visible.all(-1)
    assert on_wall.sum() > 50
    scene, point = on_wall.nonzero()[::7].T
    other = torch.roll(point, 1)
    same = torch.roll(scene, 1) == scene
    # focal lengths are not part of the batch: recover them from the rigidity itself
    uv, z = s.xy[scene, point], s.z[scene, point]
    uv2, z2 = s.xy[scene, other], s.z[scene, other]
    a = ((uv * z[..., None] - uv2 * z2[..., None]) ** 2).sum(-1)
    b = (z - z2) ** 2
    a, b = a[same], b[same]
    # |dX|^2 = a / f^2 + b is constant in time: solve f^2 from the first and last frame
    top, bottom = a[:, -1] - a[:, 0], b[:, 0] - b[:, -1]
    clear = (top.abs() > 0.05 * a[:, 0]) & (bottom.abs() > 0.05 * b[:, 0])
    f2 = (top / bottom)[clear]
    assert len(f2) > 5
    inside = (f2.sqrt() > 0.65) & (f2.sqrt() < 3.8)  # 30 to 110 degrees
    assert inside.float().mean() > 0.9


def test_hit_distance_of_known_shapes() -> None:
    frame = torch.diag_embed(torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]))
    turn = rotation(torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.2, 0.9]]))
    bodies = make_bodies(
        (turn @ frame)[None, :, None],
        torch.tensor([[[[0.0, 0.0, 10.0]], [[0.0, 0.0, 10.0]]]]),
        torch.tensor([[False, True]]),
    )
    rays = torch.tensor([[[[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]], [[0.0, 0.0, -1.0]]]])
    found = hit_distance(torch.zeros(1, 1, 3), rays, bodies)[0, :, :, 0]
    torch.testing.assert_close(found[0], torch.tensor([7.0, 9.0]))
    assert (found[1:] == FAR).all()
    leaving = hit_distance(
        torch.tensor([[[0.0, 0.0, 10.0]]]), rays, bodies, inside=True
    )
    assert leaving[0, 0, 0, 0] == pytest.approx(3.0)


def test_rotation_is_a_rotation() -> None:
    torch.manual_seed(0)
    turn = rotation(torch.randn(50, 3))
    eye = torch.eye(3).expand(50, 3, 3)
    torch.testing.assert_close(turn @ turn.transpose(1, 2), eye, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(50))
    quarter = rotation(torch.tensor([0.0, 0.0, torch.pi / 2]))
    moved = quarter @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(moved, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
