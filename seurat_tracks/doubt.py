"""Find the steps of a track that its own motion does not explain.

A tracker that hops to something else leaves an offset in an otherwise steady motion.
Each step is held against the motion before and after it: a point that speeds up, slows
down or bounces makes steps between those two, a hop does not. How far is far depends on
the same track nearby in time, so that a shaking one is not doubted all the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seurat_tracks.errors import SeuratTracksError

LEAST_SHARE = 0.0075
"""A departure below this share of the frame's longer side is never doubted."""

LONG_GAP = 8
"""A point that was hidden for more frames than this is doubted where it comes back."""

REACH = 8
"""Steps before and after a step that say how much the track's motion varies."""

FEWEST = 4
"""With fewer other steps within reach, there is no motion to compare with."""

TIMES = 5.0
"""A doubtful step departs by so many times the track's typical departure."""

TURN = 0.5
"""And by more than this share of the change of velocity around it."""

JUMP_ERROR = 300.0
"""What is said of depth across a jump may be wrong by so many times more."""

FOUND_ERROR = 30.0
"""The same, across the step at which a point was found again."""

_BLOCK = 1 << 17
_EPSILON = 1e-12


@dataclass(frozen=True)
class Doubts:
    """Which steps are doubtful, and why.

    Attributes
    ----------
    jump : bool array (track, time)
        The step from the frame before departs from the track's own motion.
    found_again : bool array (track, time)
        The point was hidden in the frames before, and either for long or it comes
        back elsewhere than its own motion says.
    """

    jump: np.ndarray
    found_again: np.ndarray

    @property
    def any(self) -> np.ndarray:
        """Doubtful for whichever reason; bool array (track, time)."""
        return self.jump | self.found_again

    @property
    def widening(self) -> np.ndarray:
        """Log factor on errors of depth across each step; float array (track, time)."""
        return np.log(JUMP_ERROR) * self.jump + np.log(FOUND_ERROR) * self.found_again


def suspicious_steps(
    xy: np.ndarray,
    visible: np.ndarray,
    frame_size: Sequence[int],
    cuts: Sequence[int] = (),
) -> Doubts:
    """Say where the step from a track's previous visible frame is doubtful.

    Each track is judged by itself: neither the others nor their order matter.

    Parameters
    ----------
    xy : float array (track, time, 2)
        Pixels. Only visible frames are read; the others may hold anything.
    visible : bool array (track, time)
    frame_size
        Width and height in pixels.
    cuts
        Positions on the time axis, from 0, of the first frame of each new shot. No
        step across a cut is judged, nor the motion of another shot used.

    Returns
    -------
    Doubts
        Bool arrays (track, time), True at the frame in which the step ends.

    Raises
    ------
    SeuratTracksError
        If the shapes, the frame size or the cuts make no sense, or a visible frame
        has no finite position.

    Notes
    -----
    A step's departure is its distance from the nearest of four segments between a
    velocity before and one after: those of the neighbouring steps, the medians of
    three steps on each side, and the neighbour's velocity on one side, continued as it
    has been changing, with the neighbour's on the other. It must exceed `LEAST_SHARE`
    of the longer side, `TIMES` the upper quartile of those of the `REACH` steps on
    each side, and `TURN` of the change of velocity. Over a gap the velocity is the
    mean one, its departure counts once for each frame, and the bar grows as an unknown
    motion may.
    """
    xy, visible = np.asarray(xy), np.asarray(visible)
    _check(xy, visible, frame_size, cuts)
    N, T = visible.shape
    jump, found = np.zeros((N, T), bool), np.zeros((N, T), bool)
    least = LEAST_SHARE * float(max(frame_size))
    edges = [0, *sorted({int(c) for c in cuts if 0 < c < T}), T]
    for begin, end in pairwise(edges):
        # working arrays that stay in the cache
        block = max(1, _BLOCK // max(1, end - begin))
        for first in range(0, N, block):
            part = slice(first, first + block), slice(begin, end)
            jump[part], found[part] = _judge(xy[part], visible[part], least)
    return Doubts(jump, found)


@dataclass(frozen=True)
class Departures:
    """How far each step of a series leaves the motion around it.

    Steps are those between neighbouring known frames, packed to the front.

    Attributes
    ----------
    frame : int array (series, step)
        Position at which the step ends.
    frames : int array (series, step)
        How many frames it spans.
    size : float array (series, step)
        Departure of the step's mean velocity, per frame; NaN where there is no step,
        or no other one to compare it with.
    spread : float array (series, step)
        The same without regard to how the velocity has been changing: what a series
        is measured by, so that a smooth one is not held to rules too fine for it.
    turn : float array (series, step)
        Change of velocity around the step, per frame.
    """

    frame: np.ndarray
    frames: np.ndarray
    size: np.ndarray
    spread: np.ndarray
    turn: np.ndarray


def departures(values: np.ndarray, known: np.ndarray, least: float) -> Departures:
    """Hold every step of a series against the motion before and after it.

    Parameters
    ----------
    values : float array (series, time, D)
        D quantities that change together, such as x and y; finite where known.
    known : bool array (series, time)
    least
        Departures below this, over all frames of the step, are not looked into.

    Returns
    -------
    Departures
    """
    count = known.sum(1)
    most = int(count.max(initial=0))
    at = np.argsort(~known, axis=1, kind="stable")[:, :most]
    there = np.arange(most) < count[:, None]
    frames = np.diff(at, axis=1)
    usable = there[:, 1:]
    u = []
    for d in range(values.shape[2]):
        packed = np.take_along_axis(values[:, :, d], at, 1).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.diff(packed, axis=1) / np.where(usable, frames, 1)
        u.append(np.where(usable, steps, np.nan))
    before, after = [_side(a, 1) for a in u], [_side(a, -1) for a in u]
    spread = np.minimum(
        _distance(u, [b.next for b in before], [a.next for a in after]),
        _distance(u, [b.steady for b in before], [a.steady for a in after]),
    )
    # what few steps need is worked out for them alone
    with np.errstate(invalid="ignore"):
        row, step = np.nonzero(spread * frames > least)
    size = spread.copy()
    size[row, step] = np.minimum(spread[row, step], _continued(u, row, step))
    turn = np.zeros(usable.shape)
    for b, a in zip(before, after, strict=True):
        turn += (b.steady - a.steady) ** 2
    return Departures(at[:, 1:], frames, size, spread, np.sqrt(turn))


def typical(spread: np.ndarray, row: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Upper quartile of the departures around some steps, themselves left out.

    Parameters
    ----------
    spread : float array (series, step)
        As in `Departures`.
    row, step : int arrays (M,)
        Which steps are asked about.

    Returns
    -------
    float array (M,)
        Infinite where fewer than `FEWEST` others are within `REACH`.
    """
    out = np.full(len(row), np.inf)
    offsets = np.r_[-REACH:0, 1 : REACH + 1]
    for begin in range(0, len(row), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        at = step[part, None] + offsets
        inside = (at >= 0) & (at < spread.shape[1])
        around = spread[row[part, None], np.where(inside, at, 0)]
        around = np.sort(np.where(inside, around, np.nan), axis=1)
        n = np.isfinite(around).sum(1)
        quartile = np.ceil(0.75 * (n - 1)).astype(int).clip(0)
        value = np.take_along_axis(around, quartile[:, None], 1)[:, 0]
        out[part] = np.where(n >= FEWEST, value, np.inf)
    return out


def _judge(
    xy: np.ndarray, visible: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Doubts of the tracks of one shot: jump and found again (N, T)."""
    jump, found = np.zeros(visible.shape, bool), np.zeros(visible.shape, bool)
    steps = departures(xy, visible, least)
    gap = steps.frames.astype(np.float64)
    with np.errstate(invalid="ignore"):
        far = steps.size * gap > np.maximum(least, TURN * steps.turn * gap)
    row, step = np.nonzero(far)
    span = gap[row, step]
    # a velocity that is known to q and wanders by q each frame, over the gap
    growth = np.where(span > 1, np.sqrt(1 + span**2 / 4 + span**3 / 12), 1.0)
    bar = TIMES * typical(steps.spread, row, step) * growth
    keep = steps.size[row, step] * span > bar
    row, step, span = row[keep], step[keep], span[keep]
    frame = steps.frame[row, step]
    jump[row[span == 1], frame[span == 1]] = True
    found[row[span > 1], frame[span > 1]] = True
    # the tail of the packed steps lies on hidden frames
    long = (steps.frames > LONG_GAP + 1) & np.take_along_axis(visible, steps.frame, 1)
    row, step = np.nonzero(long)
    found[row, steps.frame[row, step]] = True
    return jump, found


class _Side(NamedTuple):
    """Velocities on one side of each step, one axis; float arrays (series, step)."""

    next: np.ndarray
    """Of the neighbouring step."""
    steady: np.ndarray
    """Median of three steps."""


def _side(u: np.ndarray, way: int) -> _Side:
    """Motion before each step (way 1) or after it (-1).

    Where the series ends, the steps of the other side are continued there.
    """
    one, two, three = (_shift(u, way * k) for k in (1, 2, 3))
    two = np.where(np.isnan(two), one, two)
    three = np.where(np.isnan(three), one, three)
    steady = np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))
    end = np.isnan(one)
    other = _shift(u, -way)
    line = 2 * other - _shift(u, -2 * way)
    line = np.where(np.isnan(line), other, line)
    return _Side(np.where(end, line, one), np.where(end, other, steady))


def _continued(u: list[np.ndarray], row: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Departure of some steps from velocities that go on changing as they did (M,).

    A foot that speeds up until it strikes the ground makes steps outside what is
    between the velocities of its neighbours.
    """
    at = step[:, None] + np.arange(-3, 4)
    inside = (at >= 0) & (at < u[0].shape[1])
    here, before, after, earlier, later = [], [], [], [], []
    for a in u:
        near = np.where(inside, a[row[:, None], np.where(inside, at, 0)], np.nan)
        here.append(near[:, 3])
        before.append(near[:, 2])
        after.append(near[:, 4])
        earlier.append(_ahead(near[:, 2], near[:, 1], near[:, 0]))
        later.append(_ahead(near[:, 4], near[:, 5], near[:, 6]))
    # fmin: at the ends of a series there is nothing to go on from
    found = np.fmin(_distance(here, earlier, after), _distance(here, before, later))
    return np.where(np.isnan(found), np.inf, found)


def _ahead(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> np.ndarray:
    """Continue three velocities, the nearest first, as they have been changing."""
    two = np.where(np.isnan(two), one, two)
    three = np.where(np.isnan(three), two, three)
    return one + _common(one - two, two - three)


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Take the smaller of two changes of one sign; none where they disagree."""
    with np.errstate(invalid="ignore"):
        smaller = np.sign(a) * np.minimum(np.abs(a), np.abs(b))
        return np.where(a * b < 0, 0.0, smaller)


def _shift(u: np.ndarray, by: int) -> np.ndarray:
    """Move along the second axis, NaN moving in."""
    out = np.full_like(u, np.nan)
    if by > 0:
        out[:, by:] = u[:, :-by]
    else:
        out[:, :by] = u[:, -by:]
    return out


def _distance(
    u: list[np.ndarray], p: list[np.ndarray], q: list[np.ndarray]
) -> np.ndarray:
    """Distance of points from the segments between p and q, a list entry an axis."""
    along: np.ndarray | float = 0.0
    length: np.ndarray | float = 0.0
    for a, b, c in zip(u, p, q, strict=True):
        along = along + (a - b) * (c - b)
        length = length + (c - b) ** 2
    share = np.clip(along / (length + _EPSILON), 0, 1)
    square: np.ndarray | float = 0.0
    for a, b, c in zip(u, p, q, strict=True):
        square = square + (a - b - share * (c - b)) ** 2
    return np.sqrt(square)


def _check(
    xy: np.ndarray, visible: np.ndarray, frame_size: Sequence[int], cuts: Sequence[int]
) -> None:
    """Refuse what makes no sense, all at once."""
    faults = []
    if xy.ndim != 3 or xy.shape[-1] != 2 or visible.shape != xy.shape[:2]:
        faults.append(
            f"xy must be (track, time, 2) and visible (track, time), got {xy.shape} "
            f"and {visible.shape}"
        )
    elif visible.dtype != bool:
        faults.append(f"visible must be bool, got {visible.dtype}; use visible > 0.5")
    else:
        wrong = int((visible & ~np.isfinite(xy).all(-1)).sum())
        if wrong:
            faults.append(
                f"{wrong} observations are marked visible but their xy is not finite; "
                "set visible to False there"
            )
    size = np.asarray(frame_size)
    if size.shape != (2,) or size.dtype.kind not in "iuf" or not (size > 0).all():
        faults.append(
            f"frame_size must be two positive numbers, width and height in pixels, got "
            f"{frame_size!r}"
        )
    where = np.asarray(cuts)
    if where.size and (where.ndim != 1 or where.dtype.kind not in "iu"):
        faults.append(
            f"cuts must be positions on the time axis, integers, got {cuts!r}"
        )
    if faults:
        raise SeuratTracksError("; ".join(faults))
