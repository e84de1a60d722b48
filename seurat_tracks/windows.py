"""Cut a video into windows, and fuse the windows' answers into one curve per track.

All positions here count along the time axis of a Dataset, from 0; they are not
frame numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

WINDOW_LENGTH = 8
"""Frames in a window, W of the paper (section 4.2)."""

WINDOW_STEP = 4
"""Frames between window starts, S of the paper; not stated there, W / 2 here."""

DEFAULT_STRIDES = (1, 2, 4, 8, 16)
"""Frame strides of the windows: long baselines carry what neighbouring frames lose."""

LONGEST_SPAN = (WINDOW_LENGTH - 1) * DEFAULT_STRIDES[-1]
"""Frames between the ends of the longest windows that are used unasked."""


def usual_strides(length: int) -> tuple[int, ...]:
    """Frame strides for windows of some length: up to about the same span.

    >>> usual_strides(8), usual_strides(32)
    ((1, 2, 4, 8, 16), (1, 2, 4))
    """
    most = 1.2 * LONGEST_SPAN / (length - 1)
    return tuple(s for s in DEFAULT_STRIDES if s <= most) or (1,)


@dataclass(frozen=True)
class WindowPlan:
    """Which frames each window sees.

    Attributes
    ----------
    start : int array (window,)
        Position of each window's first frame on the time axis.
    stride : int array (window,)
        Frames between two steps of the window.
    frames : int array (window, step)
        Position of every step on the time axis; -1 where a shot is shorter than
        the window and the step is padding.
    """

    start: np.ndarray
    stride: np.ndarray
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def plan_windows(
    n_frames: int,
    *,
    length: int = WINDOW_LENGTH,
    step: int | None = None,
    strides: Sequence[int] | None = None,
    cuts: Sequence[int] = (),
) -> WindowPlan:
    """Place windows over a video, never across a cut.

    Parameters
    ----------
    n_frames
        Length of the video in frames.
    length
        Frames in a window (W of the paper).
    step
        Window steps between the starts of neighbouring windows (S of the paper), half
        of the length by default; a window of stride d starts every ``step * d`` frames.
    strides
        Frame strides, `usual_strides` by default. Stride 1 always covers the whole
        video; a larger stride is used only in shots that hold a whole window of it.
    cuts
        Positions of the first frame of each new shot.

    Returns
    -------
    WindowPlan
        Ordered by stride, then by start.

    Notes
    -----
    The last window of a shot is shifted back so that it ends with the shot. A shot
    shorter than a window is padded: its missing steps are -1.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, got {n_frames}")
    step = length // 2 if step is None else step
    strides = usual_strides(length) if strides is None else strides
    if not 1 <= step < length:
        raise ValueError(f"step must lie in 1..{length - 1} so that windows overlap")
    if any(int(s) != s or s < 1 for s in strides):
        raise ValueError(f"strides must be whole numbers of at least 1, got {strides}")
    edges = [0, *sorted({int(c) for c in cuts if 0 < int(c) < n_frames}), n_frames]
    starts: list[int] = []
    used: list[int] = []
    frames: list[np.ndarray] = []
    for stride in sorted({int(s) for s in strides} | {1}):
        span = (length - 1) * stride + 1
        for begin, end in pairwise(edges):
            if end - begin < span:
                if stride > 1:
                    continue
                begins = [begin]
            else:
                begins = list(range(begin, end - span + 1, step * stride))
                if begins[-1] != end - span:
                    begins.append(end - span)
            for b in begins:
                positions = b + stride * np.arange(length)
                starts.append(b)
                used.append(stride)
                frames.append(np.where(positions < end, positions, -1))
    return WindowPlan(
        start=np.array(starts), stride=np.array(used), frames=np.stack(frames)
    )


def split_windows(plan: WindowPlan, n_frames: int, piece: int) -> list[np.ndarray]:
    """Sort windows into pieces of time, for work that need not see all frames at once.

    Parameters
    ----------
    plan
        The windows.
    n_frames
        Length of the video in frames.
    piece
        Frames in which the windows of one piece begin, about.

    Returns
    -------
    list of int array
        For every piece that has any, the windows that begin in it, in the plan's order.
    """
    pieces = max(1, round(n_frames / piece))
    own = np.minimum(plan.start * pieces // n_frames, pieces - 1)
    return [np.flatnonzero(own == p) for p in range(pieces) if (own == p).any()]


def window_piece(plan: WindowPlan, index: np.ndarray) -> tuple[WindowPlan, slice]:
    """Give some windows as a plan of their own, and the frames that it counts from.

    Returns
    -------
    WindowPlan, slice
        Positions of the plan count from the slice's start.
    """
    frames = plan.frames[index]
    begin, end = int(frames[:, 0].min()), int(frames.max()) + 1
    return (
        WindowPlan(
            plan.start[index] - begin,
            plan.stride[index],
            np.where(frames >= 0, frames - begin, -1),
        ),
        slice(begin, end),
    )


def plan_from_starts(
    start: np.ndarray,
    stride: np.ndarray,
    n_frames: int,
    *,
    length: int = WINDOW_LENGTH,
    cuts: Sequence[int] = (),
) -> WindowPlan:
    """Rebuild the plan of windows whose support was tracked earlier.

    Parameters
    ----------
    start, stride : int array (window,)
        As in `WindowPlan`.
    n_frames, length, cuts
        As in `plan_windows`.
    """
    edges = np.array([*sorted({int(c) for c in cuts if 0 < c < n_frames}), n_frames])
    end = edges[np.searchsorted(edges, start, side="right")]
    frames = start[:, None] + stride[:, None] * np.arange(length)
    return WindowPlan(start, stride, np.where(frames < end[:, None], frames, -1))
