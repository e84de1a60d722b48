from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seurat_tracks.scenes import skeleton
from seurat_tracks.scenes.actions import ACTIONS
from seurat_tracks.scenes.bodies import ABSENT
from seurat_tracks.scenes.bones import BONES, PARENT
from seurat_tracks.scenes.figure import torso_bones, wrap
from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.skeleton import Pose, make_pose

FLOOR = 0.7


def pose(
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    *,
    beast: bool = False,
    batch: int = 20,
    seconds: Tensor | None = None,
) -> Pose:
    monkeypatch.setattr(
        skeleton,
        "draw_actions",
        lambda draw, beast: torch.full((len(beast),), ACTIONS.index(action)),
    )
    if seconds is None:
        seconds = torch.linspace(0, 3, 181).expand(batch, -1)
    return make_pose(
        Draw(torch.Generator().manual_seed(1)),
        torch.full((batch,), 1.7),
        torch.full((batch,), beast),
        torch.tensor([1.0, 0.0, 4.0]).expand(batch, 3),
        torch.full((batch,), FLOOR),
        seconds,
    )


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("beast", [False, True])
def test_bones_keep_their_lengths_and_hang_together(
    monkeypatch: pytest.MonkeyPatch, action: str, beast: bool
) -> None:
    p = pose(monkeypatch, action, beast=beast)
    length = (p.end - p.start).norm(dim=-1)
    torch.testing.assert_close(
        length, p.size[:, :, None, 0].expand_as(length), rtol=1e-3, atol=1e-4
    )
    for i in (2, 3, 6, 7, 8, 9, 12, 13, 14, 15):
        torch.testing.assert_close(p.start[:, i], p.end[:, PARENT[i]])
    eye = torch.eye(3).expand_as(p.turn)
    torch.testing.assert_close(
        p.turn @ p.turn.transpose(-1, -2), eye, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_joints_stay_in_human_ranges(
    monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    p = pose(monkeypatch, action)
    for upper, lower, sign in ((4, 6, 1), (5, 7, 1), (10, 12, -1), (11, 13, -1)):
        # a hinge: the lower part turns about the upper part's x axis alone
        between = p.turn[:, upper].transpose(-1, -2) @ p.turn[:, lower]
        bend = torch.atan2(between[..., 2, 1], between[..., 1, 1]) * sign
        assert bend.min() > -0.02  # knees and elbows never bend the wrong way
        assert bend.max() < torch.deg2rad(torch.tensor(150.0))
        assert between[..., 0, 1].abs().max() < 1e-3


@pytest.mark.parametrize("action", ["stand", "walk", "sit", "bend", "gesture"])
def test_feet_are_on_the_ground(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    p = pose(monkeypatch, action)
    lowest = p.end[:, 4:16, :, 1].amax(1)
    assert (lowest < FLOOR + 1e-4).all()
    assert (lowest > FLOOR - 0.1).all()  # above it by the sole's thickness
    head = p.end[:, 3, :, 1].amin(1)
    assert (head < FLOOR - 1.0).all()


def test_height_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    p = pose(monkeypatch, "stand", batch=60)
    tall = FLOOR - p.end[:, 3, 0, 1]
    assert 1.6 < tall.mean() < 1.8
    assert 0.02 < tall.std() < 0.2


def test_standing_feet_stay_and_walking_feet_stand_while_they_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(skeleton, "CARRIED", 0.0)
    still = pose(monkeypatch, "stand")
    ankle = still.end[:, [12, 13]]
    wander = (ankle - ankle[:, :, :1])[..., [0, 2]].norm(dim=-1).amax((1, 2))
    assert wander.median() < 0.1
    assert wander.max() < 0.35  # of those that turn on the spot
    p = pose(monkeypatch, "walk")
    root = p.start[:, 0, :, [0, 2]]
    speed = (root[:, -1] - root[:, 0]).norm(dim=-1) / 3
    assert 0.5 < speed.mean() < 2.2  # metres per second, at 1.7 m
    # the foot behind the slower of the two moves little against the body's speed
    feet = p.end[:, [12, 13]][..., [0, 2]].diff(dim=2).norm(dim=-1).amin(1) * 60
    assert feet.median() < 0.5 * speed.mean()
    # legs swing against each other
    ahead = p.end[:, 12, :, [0, 2]] - p.end[:, 13, :, [0, 2]]
    way = torch.nn.functional.normalize(root.diff(dim=1), dim=-1)
    lead = (ahead[:, 1:] * way).sum(-1)
    swaps = (lead[:, 1:] * lead[:, :-1] < 0).sum(1)
    assert (swaps >= 3).float().mean() > 0.8


def test_carried_figures_drift_steadily(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeleton, "LEANING", 0.0)
    monkeypatch.setattr(skeleton, "CARRIED", 1.0)
    p = pose(monkeypatch, "stand")
    ankle = p.end[:, [12, 13]].mean(1)[..., [0, 2]]
    way = ankle[:, -1] - ankle[:, 0]
    assert (way.norm(dim=-1) > 0.1).float().mean() > 0.8
    half = ankle.shape[1] // 2
    first, second = ankle[:, half] - ankle[:, 0], ankle[:, -1] - ankle[:, half]
    alike = torch.nn.functional.cosine_similarity(first, second, dim=-1)
    assert alike.median() > 0.95


def test_some_lean_far_over_their_feet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeleton, "CARRIED", 0.0)

    def lean(share: float) -> torch.Tensor:
        monkeypatch.setattr(skeleton, "LEANING", share)
        p = pose(monkeypatch, "stand")
        up = (p.end[:, 0] - p.start[:, 0])[..., 1].abs()
        length = (p.end[:, 0] - p.start[:, 0]).norm(dim=-1)
        return (up / length).clamp(max=1).acos().amax(-1)

    few, all_ = lean(0.0), lean(1.0)
    assert all_.median() > 1.5 * few.median()
    assert all_.max() < 1.0  # radians: nobody falls over


def test_jumps_fly_under_gravity(monkeypatch: pytest.MonkeyPatch) -> None:
    p = pose(monkeypatch, "jump")
    lowest = p.end[:, 4:16, :, 1].amax(1)
    lift = FLOOR - lowest
    assert (lift.amax(1) > 0.1).float().mean() > 0.5
    assert lift.max() < 0.6
    fall = lift.diff(dim=1).diff(dim=1) * 60**2
    flies = (lift[:, 2:] > 0.12) & (lift[:, :-2] > 0.12)
    # feet move in the air too, but together they fall
    assert fall[flies].median() == pytest.approx(-9.81, rel=0.25)


def test_four_legs_carry_a_level_back(monkeypatch: pytest.MonkeyPatch) -> None:
    p = pose(monkeypatch, "walk", beast=True)
    back = p.end[:, 1] - p.start[:, 0]
    assert (back[..., 1].abs() < 0.5 * back.norm(dim=-1)).float().mean() > 0.95
    hands, feet = p.end[:, [8, 9]][..., 1].amax(1), p.end[:, [14, 15]][..., 1].amax(1)
    assert (FLOOR - hands).median() < 0.25
    assert (FLOOR - feet).median() < 0.25


def test_bodies_follow_the_bones(monkeypatch: pytest.MonkeyPatch) -> None:
    p = pose(monkeypatch, "dance", batch=5)
    figure = wrap(p, torso_bones(5, p.size.device), torch.zeros(5, dtype=torch.bool))
    assert (figure.bodies.shape[:, -1] == ABSENT).all()
    # joints in the bones' coordinates are where the bones end
    for j in range(len(BONES)):
        owner = figure.owner[:, j]
        if (owner < 0).any():
            continue
        i = int(owner[0])
        world = figure.bodies.frame[:, i] @ figure.joint[:, j, None, :, None]
        world = world[..., 0] + figure.bodies.centre[:, i]
        torch.testing.assert_close(world, p.end[:, i], atol=2e-3, rtol=0)
    assert figure.owner.shape[1] - (figure.owner < 0).sum(1).unique().item() == 21
