from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.scenes.camera import CAMERAS
from seurat_tracks.scenes.generate import MOTIONS, SceneBatch, SceneConfig, make_scenes
from seurat_tracks.scenes.mocap import Motions, load_motions

CONFIG = SceneConfig(support=60, queries=25)


def make(
    seed: int = 0, batch: int = 6, motions: Motions | None = None, **settings: object
) -> SceneBatch:
    generator = torch.Generator().manual_seed(seed)
    return make_scenes(batch, replace(CONFIG, **settings), generator, motions)


@pytest.fixture
def clips(tmp_path: Path) -> Motions:
    rng = np.random.default_rng(0)
    rest = np.array([[0, 1, 0], [0, 1.5, 0], [-0.1, 1, 0], [-0.1, 0, 0], [0.1, 1, 0]])
    positions = rest + 0.05 * rng.standard_normal((30, 5, 3)).cumsum(0) / 5
    np.savez(
        tmp_path / "clips.npz",
        positions=positions,
        start=[0, 12, 30],
        rate=[30.0, 60.0],
        parent=[-1, 0, 0, 2, 0],
        hips=[2, 4],
        spine=[0, 1],
    )
    return load_motions(tmp_path / "clips.npz")


def test_same_seed_same_scenes() -> None:
    a, b, c = make(3), make(3), make(4)
    assert torch.equal(a.xy, b.xy)
    assert torch.equal(a.visible, b.visible)
    assert not torch.equal(a.xy, c.xy)


@pytest.mark.parametrize("frames", [1, 8, 60])
def test_shapes(frames: int) -> None:
    s = make(batch=4, frames=frames)
    assert s.xy.shape == (4, 85, frames, 2)
    assert s.z.shape == s.visible.shape == (4, 85, frames)
    assert s.focal.shape == (4, frames)
    assert s.half.amax(1).tolist() == [1, 1, 1, 1]
    assert torch.isfinite(s.xy).all()
    assert torch.isfinite(s.z).all()


def test_visible_points_are_in_the_frame_and_in_front() -> None:
    s = make(batch=20)
    inside = (s.xy.abs() <= s.half[:, None, None] + 1e-6).all(-1)
    assert (inside | ~s.visible).all()
    assert (s.z[s.visible] > 0).all()


@pytest.mark.parametrize("motion", MOTIONS)
def test_support_is_seen_where_it_was_cast(motion: str, clips: Motions) -> None:
    s = make(batch=20, sparse=0.0, motion=motion, motions=clips)
    assert {MOTIONS[k] for k in s.motion.tolist()} == {motion}
    assert s.visible[:, :60, 0].float().mean() > 0.985
    assert torch.isfinite(s.xy).all()


@pytest.mark.parametrize("motion", MOTIONS)
def test_what_moves_moves(motion: str, clips: Motions) -> None:
    s = make(batch=20, sparse=0.0, motion=motion, motions=clips, camera="static")
    moved = (s.xy - s.xy[:, :, :1]).norm(dim=-1).amax(-1)
    on_body = (s.body >= 0) & s.visible[..., 0]
    assert moved[s.body < 0].amax() < 1e-5  # the background stands
    lively = (moved > 1e-3) & on_body
    if motion == "none":
        assert not lively.any()
    else:
        assert lively.any(1).float().mean() > 0.6  # of the scenes


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
    assert (s.focal[:, -1] / s.focal[:, 0]).log().abs().mean() > 0.05


def test_driving_forwards_expands_the_picture() -> None:
    s = make(batch=40, camera="drive", moving=0.0, figures=0.0, sparse=0.0)
    ok = s.visible[..., 0] & s.visible[..., -1]
    change = (s.z[..., -1] / s.z[..., 0].clamp_min(0.01)).log()
    radius = s.xy.norm(dim=-1)
    outwards = radius[..., -1] - radius[..., 0]
    large = ok & (change.abs() > 0.1)
    assert large.sum() > 300
    assert (outwards * change < 0)[large].float().mean() > 0.8


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_kind_of_camera_is_drawn_on_demand(camera: str) -> None:
    s = make(camera=camera)
    assert {CAMERAS[k] for k in s.camera.tolist()} == {camera}


def test_the_background_keeps_its_distances_in_space() -> None:
    s = make(seed=9, batch=30, camera="free", figures=0.0, moving=0.0, sparse=0.0)
    xy = s.xy / s.focal[:, None, :, None] * s.z[..., None]
    space = torch.cat([xy, s.z[..., None]], -1)
    ok = s.visible.all(-1)
    assert ok.sum() > 300
    for scene in range(30):
        if ok[scene].sum() < 5:
            continue
        x = space[scene, ok[scene]].transpose(0, 1)
        apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        torch.testing.assert_close(
            apart,
            apart[:1].expand_as(apart),
            rtol=2e-3,
            atol=2e-4 * float(x.abs().max()),
        )


def test_mixture_holds_every_motion(clips: Motions) -> None:
    s = make(batch=300, support=4, queries=2, motions=clips)
    assert set(s.motion.tolist()) == set(range(len(MOTIONS)))


def test_joints_alone_leave_no_other_support() -> None:
    s = make(batch=60, motion="figure", sparse=1.0)
    seen = s.visible[:, :60].any(-1).sum(1)
    assert (seen <= 22).any()  # the joints of one figure
    assert (s.body[:, :60] < 0).any()  # and others have a background


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"camera": "spin"}, "handheld"),
        ({"motion": "fly"}, "rigid"),
        ({"motion": "mocap"}, "load_motions"),
        ({"frames": 0}, "frame"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SeuratTracksError, match=words):
        make(**settings)


def test_everything_is_made_on_the_generators_device(clips: Motions) -> None:
    # what does not name its device lands on "meta", and then meets a CPU tensor
    for motion in (None, *MOTIONS):
        generator = torch.Generator().manual_seed(0)
        config = replace(CONFIG, motion=motion)
        with torch.device("meta"):
            s = make_scenes(3, config, generator, clips)
        assert s.xy.device == s.visible.device == s.focal.device == generator.device
        assert torch.isfinite(s.z).all()
