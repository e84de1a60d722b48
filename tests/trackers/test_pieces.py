"""Handing points from piece to piece, with a tracker whose answers are known."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from seurat_tracks.io.video import open_video
from seurat_tracks.trackers.clips import Clip, Frames
from seurat_tracks.trackers.learned import Followed, LearnedTracker
from seurat_tracks.trackers.pieces import grid_jobs, piece_edges
from seurat_tracks.trackers.queries import Queries
from seurat_tracks.windows import plan_windows

SIZE = (64, 48)


class Drifting(LearnedTracker):
    """Points go right by half a pixel a frame; hidden on `hidden` frames of the video.

    Each frame is encoded as its number, which its pixels hold.
    """

    name = "drifting"
    licence = "MIT"

    def __init__(self, hidden: Any = (), **settings: Any) -> None:
        settings = {
            "device": "cpu",
            "piece": 10,
            "overlap": 4,
            "points": 100,
        } | settings
        super().__init__(**settings)
        self.hidden = list(hidden)
        self.calls: list[tuple[int, int, list[int], bool]] = []
        self.encoded: list[int] = []

    def encode(self, frames: np.ndarray) -> list[Any]:
        self.encoded += frames[:, 0, 0, 0].tolist()
        return frames[:, 0, 0, 0].tolist()

    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        number = np.array(clip.all())
        assert number.tolist() == list(range(clip.begin, clip.end))
        self.calls.append(
            (clip.begin, clip.end, (frame + clip.begin).tolist(), backward)
        )
        where = np.repeat(xy[:, None], len(number), axis=1)
        where[..., 0] += (np.arange(len(number)) - frame[:, None]) * 0.5
        visible = ~np.isin(number, self.hidden)[None].repeat(len(frame), axis=0)
        if not backward:
            early = np.arange(len(number)) < frame[:, None]
            where[early], visible[early] = -999, True  # whatever: nobody may read it
        return Followed(
            where.astype("f4"), visible, np.where(visible, 0.7, 0.1).astype("f4")
        )


def numbered(n_frames: int) -> Any:
    frames = np.zeros((n_frames, SIZE[1], SIZE[0], 3), np.uint8)
    frames += np.arange(n_frames, dtype=np.uint8)[:, None, None, None]
    return open_video(frames)


def run(tracker: Drifting, n_frames: int, frame: Any, plan: Any = None) -> Any:
    xy = np.column_stack([np.full(len(frame), 20.0), 10 + np.arange(len(frame))])
    queries = Queries(np.array(frame), xy.astype("f4"))
    result = tracker.track(numbered(n_frames), queries, plan, support_grid=2)
    return queries, result


def test_points_are_handed_on_in_both_directions() -> None:
    tracker = Drifting()
    queries, got = run(tracker, 30, [25, 0, 12])
    assert got.visible.all()
    steps = np.arange(30) - queries.frame[:, None]
    np.testing.assert_allclose(got.xy[..., 0], 20 + steps * 0.5, atol=1e-5)
    np.testing.assert_array_equal(got.xy[..., 1], queries.xy[:, 1:].repeat(30, axis=1))
    assert [call[:2] for call in tracker.calls] == [
        *[(0, 10), (6, 16), (12, 22), (18, 28), (20, 30)],
        *[(12, 22), (6, 16), (0, 10)],
    ]
    # Handed on at the last frame that both pieces share; back at the first.
    assert tracker.calls[1][2] == [12, 9]
    assert tracker.calls[5][2] == [18]


def test_answers_of_one_piece_and_of_many_agree_where_nothing_hides() -> None:
    _, whole = run(Drifting(piece=None), 40, [3, 30])
    for piece, overlap in ((8, 2), (10, 5), (39, 1)):
        _, parts = run(Drifting(piece=piece, overlap=overlap), 40, [3, 30])
        np.testing.assert_allclose(parts.xy, whole.xy, atol=1e-4)
        np.testing.assert_array_equal(parts.visible, whole.visible)


def test_a_point_seen_in_part_of_the_overlap_goes_on_from_there() -> None:
    tracker = Drifting(hidden=[8, 9, 10, 11])
    _, got = run(tracker, 16, [0])
    assert tracker.calls[1][2] == [7]  # the last shared frame in which it was seen
    assert np.flatnonzero(~got.visible[0]).tolist() == [8, 9, 10, 11]
    np.testing.assert_allclose(got.xy[0, 15], [27.5, 10])


def test_a_point_hidden_through_the_whole_overlap_is_found_again() -> None:
    tracker = Drifting(hidden=range(5, 11), piece=10, overlap=3)
    queries, got = run(tracker, 30, [0, 29])
    assert np.flatnonzero(~got.visible[0]).tolist() == list(range(5, 11))
    assert np.flatnonzero(~got.visible[1]).tolist() == list(range(5, 11))
    steps = np.arange(30) - queries.frame[:, None]
    seen = got.visible
    np.testing.assert_allclose(got.xy[..., 0][seen], (20 + steps * 0.5)[seen])
    # a piece of its own, from a step of `overlap` before it was last seen
    assert (3, 13, [4], False) in tracker.calls
    assert all(end - begin <= 10 for begin, end, *_ in tracker.calls)


def test_a_point_hidden_for_longer_than_that_is_lost() -> None:
    hidden = range(5, 14)
    tracker = Drifting(hidden=hidden, piece=10, overlap=3)
    _, got = run(tracker, 30, [0, 29])
    assert np.flatnonzero(got.visible[0]).tolist() == list(range(5))
    assert np.flatnonzero(got.visible[1]).tolist() == list(range(14, 30))
    assert np.isnan(got.xy[0, 5:]).all()
    whole = Drifting(hidden=hidden, piece=None)
    _, got = run(whole, 30, [0, 29])
    assert got.visible[0].sum() == 21  # a piece longer than the gap sees it again


@pytest.mark.parametrize(("piece", "overlap"), [(8, 2), (10, 3), (12, 4), (13, 6)])
def test_gaps_shorter_than_a_piece_less_its_overlap_never_lose_a_point(
    piece: int, overlap: int
) -> None:
    longest = piece - 2 * overlap
    for first in range(4, 30):
        hidden = range(first, first + longest)
        frame = [0, 39, 2]
        _, got = run(Drifting(hidden, piece=piece, overlap=overlap), 40, frame)
        assert np.flatnonzero(~got.visible.all(0)).tolist() == list(hidden)


def test_what_leaves_the_image_is_not_seen() -> None:
    _, got = run(Drifting(piece=None), 120, [0])
    last = int((SIZE[0] - 0.5 - 20) / 0.5)
    assert np.flatnonzero(got.visible[0]).tolist() == list(range(last + 1))


def test_grids_start_afresh_and_share_what_was_encoded() -> None:
    tracker = Drifting()
    plan = plan_windows(40, strides=(1, 2, 4))
    _, got = run(tracker, 40, [0], plan)
    start = grid_jobs(plan)
    assert sorted({job.start for job in start}) == np.unique(plan.start).tolist()
    for w in range(len(plan)):
        away = (plan.frames[w] - plan.start[w]) * 0.5
        np.testing.assert_allclose(got.support_xy[w, 0, :, 0], 15.5 + away, atol=1e-5)
    assert sorted(tracker.encoded) == list(range(40))
    # A grid is followed in its own clip, no frame of which comes before its window.
    assert (4, 12, [4] * 4, False) in tracker.calls


def test_memory_is_bounded_by_the_frames_kept() -> None:
    made: list[int] = []

    def encode(frames: np.ndarray) -> list[Any]:
        made.extend(frames[:, 0, 0, 0].tolist())
        return frames[:, 0, 0, 0].tolist()

    frames = Frames(numbered(100), encode, keep=20)
    assert [frames[i] for i in range(100)] == list(range(100))
    assert made == list(range(100))
    assert len(frames._held) == 20
    assert frames[3] == 3  # gone, and made again
    assert made[100:] == list(range(8))
    with pytest.raises(IndexError):
        Clip(frames, 4, 9, SIZE)[5]


def test_a_whole_shot_walked_backwards_decodes_each_frame_once() -> None:
    made: list[int] = []

    def encode(frames: np.ndarray) -> list[Any]:
        made.extend(frames[:, 0, 0, 0].tolist())
        return frames[:, 0, 0, 0].tolist()

    frames = Frames(numbered(50), encode, keep=16)
    assert [frames[i] for i in range(49, -1, -1)] == list(range(49, -1, -1))
    assert sorted(made) == list(range(50))


def test_pieces_cover_all_frames_and_share_at_least_the_overlap() -> None:
    for n in range(1, 60):
        edges = piece_edges(5, 5 + n, 10, 3)
        assert edges[0][0] == 5
        assert edges[-1][1] == 5 + n
        for (_, end), (begin, _) in pairwise(edges):
            assert end - begin >= 3
        assert all(e - b == min(n, 10) for b, e in edges)
