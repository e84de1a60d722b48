from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from seurat_tracks.evaluation.mocap_room import (
    IN_VIEW,
    RATE,
    SIZE,
    Walk,
    cut_pieces,
    film_in_room,
)

Body = Callable[..., tuple[np.ndarray, np.ndarray]]
WALKS: tuple[Walk, ...] = ("past", "round")


def _eyes(room: np.ndarray) -> np.ndarray:
    """Where the camera was (T, 3), in its own axes of the first frame.

    Found from static points (N, T, 3) alone: the rigid motion that takes each frame's
    view of them to the first one's (Kabsch).
    """
    first = room[:, 0] - room[:, 0].mean(0)
    eyes = []
    for t in range(room.shape[1]):
        middle = room[:, t].mean(0)
        u, _, vt = np.linalg.svd((room[:, t] - middle).T @ first)
        turn = (u @ vt).T
        np.testing.assert_allclose(np.linalg.det(turn), 1.0)  # not a mirror image
        np.testing.assert_allclose((room[:, t] - middle) @ turn.T, first, atol=1e-8)
        eyes.append(room[:, 0].mean(0) - turn @ middle)
    return np.array(eyes)


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_camera_walks_about_a_metre_a_second(
    walk: Walk, seed: int, moving_body: Body
) -> None:
    body = moving_body(np.random.default_rng(seed), seconds=2, fps=RATE)
    clip = film_in_room(*body, 2, walk, seed)
    eyes = _eyes(clip.xyz[~clip.body])
    speed = np.linalg.norm(np.diff(eyes, axis=0), axis=1) * RATE
    assert 0.5 < speed.mean() < 1.5
    assert np.linalg.norm(eyes[-1] - eyes[0]) > 0.7


@pytest.mark.parametrize("walk", WALKS)
def test_the_body_stays_mostly_in_view_and_its_own_shape(
    walk: Walk, moving_body: Body
) -> None:
    xyz, valid = moving_body(np.random.default_rng(8), seconds=2, fps=RATE)
    clip = film_in_room(xyz, valid, 2, walk, 11)
    assert clip.body.sum() == xyz.shape[1]
    assert clip.visible[clip.body].mean() > IN_VIEW
    seen = clip.xyz[clip.body].transpose(1, 0, 2)
    for t in (0, 30, 59):  # filming is a rigid motion: no scaling, no mirror
        gap = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (xyz[t], seen[t])]
        np.testing.assert_allclose(gap[0], gap[1], atol=1e-8)
        triple = [np.linalg.det(p[1:4] - p[0]) for p in (xyz[t], seen[t])]
        assert triple[0] == pytest.approx(triple[1])


def test_round_the_body_its_distance_hardly_changes(moving_body: Body) -> None:
    xyz, valid = moving_body(np.random.default_rng(1), seconds=2, fps=RATE)
    still = np.repeat(xyz[:1], len(xyz), 0)
    change = {}
    for walk in WALKS:
        clips = [film_in_room(still, valid, 2, walk, seed) for seed in range(6)]
        away = [c.xyz[c.body].mean(0) for c in clips]
        away = [np.linalg.norm(a, axis=-1) for a in away]
        change[walk] = np.mean([np.abs(np.log(a / a[0])).mean() for a in away])
    assert change["round"] < 0.05 < 2 * change["round"] + 0.05 < change["past"]


def test_up_is_up(moving_body: Body) -> None:
    xyz, valid = moving_body(np.random.default_rng(2), seconds=1, fps=RATE)
    z_up = film_in_room(xyz, valid, 2, "past", 3)
    y_up = film_in_room(xyz[..., [1, 2, 0]], valid, 1, "past", 3)
    np.testing.assert_allclose(z_up.xyz, y_up.xyz, atol=1e-9)
    # image y runs down: the highest marker appears above the lowest
    top, bottom = xyz[0, :, 2].argmax(), xyz[0, :, 2].argmin()
    assert z_up.xyz[top, 0, 1] < z_up.xyz[bottom, 0, 1]


def test_unknown_markers_are_never_seen(moving_body: Body) -> None:
    xyz, valid = moving_body(np.random.default_rng(4), seconds=1, fps=RATE)
    valid[5:20, 3] = False
    xyz[5:20, 3] = 1e6
    clip = film_in_room(xyz, valid, 2, "past", 5)
    assert not clip.visible[3, 5:20].any()
    assert np.isnan(clip.xy[3, 5:20]).all()
    assert np.isfinite(clip.xy[clip.visible]).all()
    assert (clip.xy[clip.visible] <= np.array(SIZE) - 1).all()


def test_a_crowd_that_no_camera_can_hold_is_refused() -> None:
    rng = np.random.default_rng(6)
    spread = rng.uniform([-8, -8, 0], [8, 8, 2], (40, 3))
    xyz = np.repeat(spread[None], 10, 0)
    with pytest.raises(ValueError, match="sees most of it"):
        film_in_room(xyz, np.ones((10, 40), bool), 2, "past", 5)


def test_pieces_are_those_with_most_markers_at_the_cameras_rate() -> None:
    frame = np.arange(120 * 10)
    xyz = np.broadcast_to(frame[:, None, None] / 120.0, (1200, 4, 3))
    valid = np.ones((1200, 4), bool)
    valid[:480, 1:] = False  # the first four seconds have one marker
    pieces = cut_pieces(xyz, valid, 120.0, 60, most=2)
    starts = [piece[0, 0, 0] for piece, _ in pieces]
    assert starts == [4.0, 6.0]
    for piece, known in pieces:
        np.testing.assert_allclose(np.diff(piece[:, 0, 0]), 1 / RATE)
        assert known.shape == (60, 4)
        assert known.all()


def test_a_short_recording_is_one_piece() -> None:
    pieces = cut_pieces(np.zeros((40, 3, 3)), np.ones((40, 3), bool), RATE, 64, most=2)
    assert [len(piece) for piece, _ in pieces] == [40]
