"""Learned trackers with stand-ins for the official code: borders, pieces, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seurat_tracks.errors import TrackerError
from seurat_tracks.io.video import open_video
from seurat_tracks.trackers import get_tracker, track
from seurat_tracks.trackers.queries import Queries, grid
from seurat_tracks.windows import plan_windows
from tests.fixtures.stand_ins import SHIFT, write_checkout, write_weights

SIZE = (200, 120)
# Pixels of the video over pixels of the network, by the conventions of each code.
CORNERS = np.array([199 / 95, 119 / 63])  # of a network of 96 x 64, corners aligned
SQUARE = np.array([200 / 256, 120 / 256])
ALL = np.array([1.0, 1.0])
TRACKERS: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "cotracker3": ({"piece": 12, "overlap": 4}, CORNERS),
    "cotracker2": ({"piece": 12, "overlap": 4}, CORNERS),
    "cotracker3_online": ({}, CORNERS),
    "tapir": ({"piece": 12, "overlap": 4}, SQUARE),
    "bootstapir": ({"piece": 12, "overlap": 4}, SQUARE),
    "locotrack": ({"piece": 12, "overlap": 4}, SQUARE),
    "tapnext": ({}, SQUARE),
    "alltracker": ({"piece": 12, "overlap": 4, "image_size": 200}, ALL),
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (30, SIZE[1], SIZE[0], 3), np.uint8)
    return noise + np.arange(0, 210, 7, np.uint8)[:, None, None, None]


def make(name: str, repo: Path, folder: Path, **settings: Any) -> Any:
    suffix = ".ckpt" if name == "locotrack" else ".pt"
    weights = write_weights(folder / f"weights{suffix}")
    return get_tracker(
        name, repo=repo, weights=weights, device="cpu", **TRACKERS[name][0] | settings
    )


@pytest.mark.parametrize("name", TRACKERS)
def test_points_of_any_frame_are_followed_both_ways_in_the_videos_own_pixels(
    name: str, repo: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    tracker = make(name, repo, tmp_path)
    queries = Queries(
        np.array([21, 0, 9, 29, 3]),
        np.array([[90.5, 60], [50, 70], [100, 59.3], [120, 50], [-0.5, 119.5]], "f4"),
    )
    plan = plan_windows(20, strides=(1, 2))
    got = tracker.track(open_video(frames), queries, plan, cuts=[20], support_grid=5)
    # In the shots 0..19 and 20..29, and nowhere else.
    shot = np.arange(30)[None] >= 20
    same_shot = shot == (queries.frame[:, None] >= 20)
    steps = np.arange(30)[None, :, None] - queries.frame[:, None, None]
    where = queries.xy[:, None] + steps * SHIFT * TRACKERS[name][1]
    inside = ((where >= -0.5) & (where <= np.array(SIZE) - 0.5)).all(axis=-1)
    # The corner of the image leaves it at once, and is handed on to no other piece.
    assert (got.visible[:4] == (same_shot & inside)[:4]).all()
    np.testing.assert_allclose(got.xy[got.visible], where[got.visible], atol=2e-4)
    assert np.isnan(got.xy[~got.visible]).all()
    assert (got.confidence[~got.visible] == 0).all()
    assert (got.confidence[np.arange(5), queries.frame] == 1).all()
    assert got.xy.dtype == got.confidence.dtype == np.float32
    # Every window's grid starts on its own first frame.
    start = grid(5, SIZE)
    assert got.support_xy is not None
    assert got.support_visible is not None
    for w in range(len(plan)):
        away = (plan.frames[w] - plan.start[w])[None, :, None]
        wanted = start[:, None] + away * SHIFT * TRACKERS[name][1]
        seen = got.support_visible[w]
        assert seen[:, 0].all()
        assert seen.mean() > 0.5
        np.testing.assert_allclose(got.support_xy[w][seen], wanted[seen], atol=2e-4)


def features_of(tracker: Any) -> int:
    """Frames whose features were worked out so far."""
    if hasattr(tracker, "memo"):
        return int(tracker.memo.computed)
    return int(tracker.network.frames)


@pytest.mark.parametrize("name", sorted(TRACKERS.keys() - {"tapnext"}))
@pytest.mark.parametrize("late", [0, 70])
def test_features_of_a_frame_are_worked_out_once_in_each_direction(
    name: str, late: int, repo: Path, tmp_path: Path
) -> None:
    n_frames = 80
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 10, (n_frames, SIZE[1], SIZE[0], 3), np.uint8)
    frames += np.arange(0, 3 * n_frames, 3, np.uint8)[:, None, None, None]
    settings = {"piece": 24, "overlap": 6} if TRACKERS[name][0] else {}
    tracker = make(name, repo, tmp_path, **settings)
    plan = plan_windows(n_frames, strides=(1, 2, 4))
    queries = Queries(np.array([0, late]), np.array([[50, 60], [90, 50]], "f4"))
    tracker.track(open_video(frames), queries, plan, support_grid=3)
    # every frame is in several windows, and in one piece or two
    assert len(plan) > 3 * n_frames / 8
    if late:
        assert n_frames <= features_of(tracker) <= 2 * n_frames
    else:
        assert features_of(tracker) == n_frames


@pytest.mark.parametrize("name", TRACKERS)
def test_clips_of_two_frames_and_shots_of_one(
    name: str, repo: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    tracker = make(name, repo, tmp_path)
    queries = Queries(np.array([1, 2]), np.array([[50, 60], [90, 50]], "f4"))
    got = tracker.track(open_video(frames[:3]), queries, None, cuts=[2])
    assert got.visible.tolist() == [[True, True, False], [False, False, True]]
    np.testing.assert_allclose(
        got.xy[0, 0],
        np.array([50, 60]) - np.array(SHIFT) * TRACKERS[name][1],
        atol=1e-4,
    )
    assert got.support_xy is None


def test_a_dataset_says_what_followed_the_points_and_its_licence(
    repo: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path / "weights.pth")
    ds = track(
        frames,
        [[7, 120.0, 40], [0, 60, 70]],
        "cotracker3",
        ids=["late", "early"],
        strides=(1,),
        cuts=None,
        progress=False,
        repo=repo,
        weights=weights,
        device="cpu",
    )
    assert ds.attrs["tracker"] == "cotracker3"
    assert ds.attrs["tracker_licence"] == "CC-BY-NC-4.0"
    assert ds["track"].values.tolist() == ["late", "early"]
    np.testing.assert_allclose(ds["xy"].sel(track="late", time=7), [120, 40])
    assert ds.sizes["support"] == 576


def test_more_points_than_one_pass_takes_keep_their_order(
    repo: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    xy = grid(5, SIZE)
    queries = Queries(np.arange(25) % 9, xy)
    whole = make("cotracker3", repo, tmp_path)
    parts = make("cotracker3", repo, tmp_path, points=4)
    a, b = (t.track(open_video(frames[:9]), queries, None) for t in (whole, parts))
    np.testing.assert_array_equal(a.xy, b.xy)


def test_progress_counts_every_frame_that_is_looked_at(
    repo: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    seen: list[int] = []

    def progress(items: Any, *, total: int, desc: str) -> Any:
        seen.append(total)
        for item in items:
            seen[0] -= 1
            yield item

    queries = Queries(np.array([0, 29]), np.array([[50, 60], [90, 50]], "f4"))
    make("cotracker3", repo, tmp_path).track(
        open_video(frames),
        queries,
        plan_windows(30, strides=(1, 2)),
        support_grid=2,
        progress=progress,
    )
    assert seen == [0]


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("cotracker3", {"piece": 10, "overlap": 6}, "at least twice overlap"),
        ("cotracker3", {"piece": 2.5}, "piece must be a whole number"),
        ("tapir", {"points": 0}, "points must be a whole number from 1"),
        ("tapir", {"resolution": 250}, "multiple of 8"),
        ("cotracker2", {"interp_shape": (30, 50)}, "multiples of 4"),
        ("locotrack", {"model_size": "huge"}, "small or base"),
        ("alltracker", {"image_size": 8}, "64 or more"),
        (
            "tapnext",
            {"pieces": 8},
            "no setting pieces; it has weights, repo, resolution, device",
        ),
    ],
)
def test_settings_that_make_no_sense(
    name: str, settings: dict[str, Any], text: str, repo: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrackerError, match=text):
        make(name, repo, tmp_path, **settings)


def test_a_tracker_leaves_the_callers_random_numbers_alone(
    repo: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(3)
    wanted = torch.rand(2).tolist()
    torch.manual_seed(3)
    tracker = make("tapir", repo, tmp_path)
    queries = Queries(np.array([0]), np.array([[50, 60]], "f4"))
    tracker.track(open_video(frames[:5]), queries, None)
    assert torch.rand(2).tolist() == wanted
