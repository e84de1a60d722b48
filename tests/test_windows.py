from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from seurat_tracks.windows import (
    plan_from_starts,
    plan_windows,
    split_windows,
    window_piece,
)


def test_windows_of_the_paper() -> None:
    plan = plan_windows(16, strides=(1,))
    assert plan.start.tolist() == [0, 4, 8]
    assert plan.frames[1].tolist() == list(range(4, 12))


def test_last_window_is_shifted_back_not_padded() -> None:
    plan = plan_windows(18, strides=(1,))
    assert plan.start.tolist() == [0, 4, 8, 10]
    assert (plan.frames >= 0).all()


def test_longer_windows_have_fewer_strides() -> None:
    plan = plan_windows(200, length=32)
    assert plan.frames.shape[1] == 32
    assert sorted(set(plan.stride.tolist())) == [1, 2, 4]
    assert set(np.diff(plan.start[plan.stride == 2])[:-1].tolist()) == {32}
    assert sorted(set(plan_windows(200).stride.tolist())) == [1, 2, 4, 8, 16]


def test_short_video_is_padded() -> None:
    plan = plan_windows(5)
    assert plan.frames.tolist() == [[0, 1, 2, 3, 4, -1, -1, -1]]


@pytest.mark.parametrize("n", [0, -3])
def test_no_frames_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_windows(n)


def test_a_step_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        plan_windows(20, length=8, step=8)


@given(
    n=some.integers(1, 90),
    strides=some.sets(some.integers(1, 6), max_size=4),
    cuts=some.lists(some.integers(-2, 95), max_size=4),
)
def test_every_frame_is_seen_and_no_cut_is_crossed(
    n: int, strides: set[int], cuts: list[int]
) -> None:
    plan = plan_windows(n, strides=sorted(strides), cuts=cuts)
    once = plan.frames[plan.stride == 1]
    assert set(once[once >= 0].tolist()) == set(range(n))
    for frames, stride in zip(plan.frames, plan.stride, strict=True):
        there = frames[frames >= 0]
        assert (np.diff(there) == stride).all()
        assert not any(there[0] < c <= there[-1] for c in cuts)
    again = plan_from_starts(plan.start, plan.stride, n, cuts=cuts)
    assert np.array_equal(again.frames, plan.frames)


@pytest.mark.parametrize("strides", [(0,), (1, -2), (1.5,)])
def test_strides_are_whole_numbers(strides):
    with pytest.raises(ValueError, match="whole numbers of at least 1"):
        plan_windows(20, strides=strides)


def test_pieces_hold_every_window_once() -> None:
    plan = plan_windows(300, cuts=[130])
    pieces = split_windows(plan, 300, 64)
    assert len(pieces) == 5
    assert sorted(np.concatenate(pieces).tolist()) == list(range(len(plan)))
    for index in pieces:
        part, frames = window_piece(plan, index)
        assert part.frames.max() == frames.stop - frames.start - 1
        there = plan.frames[index] >= 0
        np.testing.assert_array_equal(
            np.where(there, part.frames + frames.start, -1), plan.frames[index]
        )
        np.testing.assert_array_equal(part.start, part.frames[:, 0])
    assert len(split_windows(plan, 300, 10**6)) == 1
