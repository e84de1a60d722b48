from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from seurat_tracks.errors import TrackerError
from seurat_tracks.io import video as video_io
from seurat_tracks.io.video import open_video
from seurat_tracks.trackers import TrackResult, grid, lucas_kanade, parse_queries
from seurat_tracks.trackers.lucas_kanade import LucasKanade
from seurat_tracks.windows import WindowPlan, plan_windows
from tests.fixtures.videos import moved, planar_clip

T = TypeVar("T")

SIZE = (160, 120)
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def run(
    frames: np.ndarray,
    queries: object,
    plan: WindowPlan | None = None,
    cuts: tuple[int, ...] = (),
) -> TrackResult:
    video = open_video(frames)
    return LucasKanade().track(video, parse_queries(queries, video), plan, cuts=cuts)


def errors(result: TrackResult, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(result.xy - truth, axis=-1)[result.visible]


@pytest.mark.parametrize("kind", ["translate", "zoom", "rotate", "mixed"])
def test_thirty_frames_without_drift(kind: str) -> None:
    frames, maps = planar_clip(kind, 30, SIZE, noise=2)
    points = grid(8, SIZE)[9:-9]
    result = run(frames, points)
    truth = moved(maps, points)
    last = np.linalg.norm(result.xy[:, -1] - truth[:, -1], axis=1)
    assert np.median(last[result.visible[:, -1]]) < 0.1
    assert np.percentile(errors(result, truth), 90) < 0.25
    inside = (truth >= 0).all(-1) & (truth <= np.array(SIZE) - 1).all(-1)
    assert result.visible[inside].mean() > 0.95


def test_answers_say_nan_where_nothing_is_seen() -> None:
    frames, maps = planar_clip("translate", 40, SIZE)
    points = grid(9, SIZE)
    result = run(frames, points)
    assert result.xy.shape == (81, 40, 2)
    assert (result.xy.dtype, result.confidence.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(np.isnan(result.xy).any(-1), ~result.visible)
    assert (result.confidence[result.visible] > 0).all()
    assert (result.confidence[~result.visible] == 0).all()
    assert result.confidence.max() <= 1
    # What leaves the frame is not seen.
    truth = moved(maps, points)
    gone = (truth[..., 0] > SIZE[0] + 1) | (truth[..., 1] < -2)
    assert gone.any()
    assert not result.visible[gone].any()
    assert result.support_xy is None


def test_queries_on_any_frame_go_both_ways() -> None:
    frames, maps = planar_clip("mixed", 21, SIZE)
    start = grid(4, SIZE)
    truth = moved(maps, start)
    frame = np.resize([0, 7, 20, 13, 7], len(start))
    queries = np.column_stack([frame, truth[np.arange(16), frame]])
    result = run(frames, queries)
    assert result.visible[np.arange(16), frame].all()
    given = result.xy[np.arange(16), frame]
    np.testing.assert_allclose(given, queries[:, 1:], atol=1e-4)
    assert result.visible.mean() > 0.9
    assert np.percentile(errors(result, truth), 90) < 0.2


def test_order_and_company_of_queries_change_nothing() -> None:
    frames, _ = planar_clip("mixed", 12, SIZE)
    points = np.column_stack([np.resize([0, 5], 25), grid(5, SIZE)])
    whole = run(frames, points, plan_windows(12))
    mixed = np.random.default_rng(3).permutation(25)
    some = run(frames, points[mixed[:9]], plan_windows(12))
    np.testing.assert_allclose(some.xy, whole.xy[mixed[:9]], atol=1e-3)
    np.testing.assert_array_equal(some.visible, whole.visible[mixed[:9]])
    np.testing.assert_allclose(some.support_xy, whole.support_xy, atol=1e-3)


def test_support_is_the_grid_anew_in_each_window() -> None:
    frames, maps = planar_clip("mixed", 23, SIZE)
    plan = plan_windows(23, strides=(1, 2))
    result = run(frames, [[80.0, 60.0]], plan)
    assert result.support_xy is not None
    assert result.support_visible is not None
    assert result.support_xy.shape == (len(plan), 576, 8, 2)
    points = grid(24, SIZE)
    for w in range(len(plan)):
        np.testing.assert_array_equal(result.support_xy[w, :, 0], points)
        from_start = np.einsum(
            "tij,jk->tik", maps[plan.frames[w]], np.linalg.inv(maps[plan.start[w]])
        )
        truth = moved(from_start, points)
        seen = result.support_visible[w]
        assert seen[:, -1].mean() > 0.7
        error = np.linalg.norm(result.support_xy[w] - truth, axis=-1)[seen]
        assert np.percentile(error, 90) < 0.3
    np.testing.assert_array_equal(
        np.isnan(result.support_xy).any(-1), ~result.support_visible
    )


def test_padding_steps_of_a_short_video_are_empty() -> None:
    frames, _ = planar_clip("mixed", 5, SIZE)
    result = run(frames, [[80.0, 60.0]], plan_windows(5))
    assert result.support_xy is not None
    assert result.support_visible is not None
    assert result.support_xy.shape == (1, 576, 8, 2)
    assert np.isnan(result.support_xy[:, :, 5:]).all()
    assert not result.support_visible[:, :, 5:].any()
    assert result.support_visible[:, :, :5].mean() > 0.9


def test_nothing_crosses_a_cut() -> None:
    one, _ = planar_clip("mixed", 10, SIZE, seed=1)
    frames = np.concatenate([one, one[::-1]])  # the cut cannot be told by looks
    points = np.array([[2.0, 60, 50], [15.0, 90, 70]])
    plan = plan_windows(20, cuts=(10,))
    result = run(frames, points, plan, cuts=(10,))
    assert result.visible[0, :10].all()
    assert not result.visible[0, 10:].any()
    assert result.visible[1, 10:].all()
    assert not result.visible[1, :10].any()


def test_a_point_behind_an_occluder_is_hidden_and_comes_back() -> None:
    frames, maps = planar_clip("still", 30, SIZE)
    wall = planar_clip("still", 1, SIZE, seed=9)[0][0]
    hidden = np.zeros((30, *SIZE[::-1]), bool)
    for t in range(30):
        left = -50 + 9 * t
        hidden[t, :, max(left, 0) : max(left + 45, 0)] = True
        frames[t][hidden[t]] = wall[hidden[t]]
    points = np.array([[70.0, y] for y in (25, 40, 55, 70, 85, 100)])
    result = run(frames, points)
    covered = np.stack([hidden[:, int(y), int(x)] for x, y in points])
    assert covered.any(1).all()
    # A patch of 21 pixels is half covered before and after its middle is.
    assert not result.visible[covered].mean() > 0.1
    clear = ~covered
    for t in (1, 2, 3):
        clear[:, t:] &= ~covered[:, :-t]
        clear[:, :-t] &= ~covered[:, t:]
    assert result.visible[clear].mean() > 0.85
    assert result.visible[:, -1].mean() > 0.7
    # Half covered, a patch is drawn along a little before it is given up.
    assert errors(result, moved(maps, points)).max() < 2


def test_a_blank_wall_is_not_called_seen() -> None:
    rng = np.random.default_rng(0)
    frames = np.clip(128 + rng.normal(0, 2, (8, 80, 100)), 0, 255).astype(np.uint8)
    result = run(frames, grid(5, (100, 80)))
    assert result.visible[:, 0].all()
    assert result.visible[:, 2:].mean() < 0.1


def peak_memory(frames: np.ndarray, counts: list[int]) -> list[int]:
    """Bytes at the peak of tracking the first n frames, for every n."""
    for module in (video_io, lucas_kanade):
        module._CHUNK_BYTES = 200_000
    peaks = []
    for n in counts:
        video = open_video(frames[:n])
        queries = parse_queries([[n - 1, 80.0, 60.0]], video)
        tracemalloc.start()
        LucasKanade().track(video, queries, None, support_grid=6)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return peaks


def test_memory_does_not_grow_with_the_video() -> None:
    frames = planar_clip("still", 120, (120, 80))[0]
    # in a process of its own: what other tests left behind would be counted
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        _, few, many = pool.submit(peak_memory, frames, [40, 40, 120]).result()
    # 80 frames more are 2.3 MB of colour, 770 kB of grey.
    assert many - few < 500_000


@pytest.mark.skipif(not DATA.exists(), reason="shared/data is not beside the checkout")
def test_a_hand_held_kitchen() -> None:
    folder = DATA / "sevenscenes_a"
    truth = np.load(folder / "seq_a.npz")
    video = open_video(folder / "seq_a.mp4")[:32]
    uv = truth["tracks_uv"].transpose(1, 0, 2)[:, :32]
    frame = truth["query_frame"]
    here = np.flatnonzero(frame < 32)
    uv, frame = uv[here], frame[here]
    seen = truth["visibility"].T[here, :32]
    queries = np.column_stack([frame, uv[np.arange(len(here)), frame]])
    result = LucasKanade().track(video, parse_queries(queries, video), None)
    both = seen & result.visible
    error = np.linalg.norm(result.xy - uv, axis=-1)[both]
    # The truth itself is good to about 1 px, 3 px over long gaps.
    assert np.median(error) < 2
    assert both.sum() / seen.sum() > 0.6


def test_the_answer_does_not_depend_on_the_number_of_threads() -> None:
    frames, _ = planar_clip("mixed", 10, SIZE)
    video = open_video(frames)
    points = np.column_stack([np.resize([0, 6], 36), grid(6, SIZE)])
    one, two = (
        LucasKanade(threads=n).track(
            video, parse_queries(points, video), plan_windows(10)
        )
        for n in (1, 2)
    )
    for f in fields(TrackResult):
        np.testing.assert_array_equal(getattr(one, f.name), getattr(two, f.name))


def test_the_pass_backwards_does_not_depend_on_where_its_pieces_end() -> None:
    frames, _ = planar_clip("mixed", 24, SIZE)
    video = open_video(frames)
    queries = parse_queries(np.insert(grid(5, SIZE), 0, 23, axis=1), video)
    whole, pieces = (
        LucasKanade(memory=n).track(video, queries, None) for n in (10**8, 1)
    )
    np.testing.assert_array_equal(whole.xy, pieces.xy)
    np.testing.assert_array_equal(whole.confidence, pieces.confidence)
    assert whole.visible[:, 0].mean() > 0.5


def test_an_interrupted_track_stops_its_threads() -> None:
    frames, _ = planar_clip("still", 20, SIZE)
    video = open_video(frames)
    before = set(threading.enumerate())

    def interrupt(items: Iterable[T], *, total: int, desc: str) -> Iterable[T]:
        for k, item in enumerate(items):
            if k == 3:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        LucasKanade().track(
            video, parse_queries([[80.0, 60.0]], video), None, progress=interrupt
        )
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("how", [{"threads": 0}, {"memory": 0}])
def test_settings_that_make_no_sense(how: dict[str, int]) -> None:
    with pytest.raises(TrackerError, match=f"{next(iter(how))} must be at least 1"):
        LucasKanade(**how)
