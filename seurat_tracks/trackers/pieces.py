"""Follow points through whole videos, piece by piece, with bounded memory.

Within a shot a learned tracker sees one piece at a time. A point is handed to the next
piece at the last of the frames both share in which it was seen. One that is hidden in
all of these is looked for in a piece of its own, which begins shortly before it was
last seen and is as long as the others. If it is not seen there either, it is lost from
there on: asking anew at a guessed place would follow what hides it. Support grids are
followed each in its own clip, from the first frame of its windows to their last, and
start while the piece around them is still in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from seurat_tracks.trackers.base import Progress, TrackResult
from seurat_tracks.trackers.clips import Clip, Frames
from seurat_tracks.trackers.learned import Followed, LearnedTracker
from seurat_tracks.trackers.queries import Queries, grid
from seurat_tracks.windows import WindowPlan


def piece_edges(
    begin: int, end: int, piece: int | None, overlap: int
) -> list[tuple[int, int]]:
    """Cut frames begin..end into pieces that share `overlap` frames or more.

    The last piece is shifted back, so that all are equally long.

    Examples
    --------
    >>> piece_edges(0, 20, 8, 2)
    [(0, 8), (6, 14), (12, 20)]
    >>> piece_edges(5, 9, 8, 2)
    [(5, 9)]
    """
    if piece is None or end - begin <= piece:
        return [(begin, end)]
    starts = [*range(begin, end - piece, piece - overlap), end - piece]
    return [(b, b + piece) for b in starts]


class Chain:
    """Points on their way through the pieces of one stretch of a video.

    Parameters
    ----------
    tracker
        What follows them.
    frames
        The video.
    size
        Width and height in pixels.
    begin, end
        The stretch, as in `range`.
    frame : int array (point,)
        Frame of each point, in begin..end.
    xy : float32 array (point, 2)
        Pixels.

    Attributes
    ----------
    edges : list of (int, int)
        The pieces.
    xy : float32 array (point, end - begin, 2)
        NaN where not seen.
    visible : bool array (point, end - begin)
    confidence : float32 array (point, end - begin)
    """

    def __init__(
        self,
        tracker: LearnedTracker,
        frames: Frames,
        size: tuple[int, int],
        begin: int,
        end: int,
        frame: np.ndarray,
        xy: np.ndarray,
    ) -> None:
        n, length = len(frame), end - begin
        self._tracker, self._frames, self._size = tracker, frames, size
        self._begin, self._frame = begin, frame
        self.edges = piece_edges(begin, end, tracker.piece, tracker.overlap)
        self.xy = np.full((n, length, 2), np.nan, np.float32)
        self.visible = np.zeros((n, length), bool)
        self.confidence = np.zeros((n, length), np.float32)
        last = np.array([e for _, e in self.edges])
        self._home = np.searchsorted(last, frame, side="right")
        self._given = (frame.astype(np.int64), xy.astype(np.float32))
        # Where each point is taken up in the piece it goes on to, by direction.
        self._onward: dict[tuple[int, int], list[tuple[int, int]]] = {}
        # Who is hidden where pieces meet, and when it was last seen, by direction.
        self._hidden: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def backward_pieces(self) -> list[int]:
        """Pieces that only points of later pieces still have to go back through."""
        furthest = int(self._home.max(initial=0))
        return list(range(furthest - 1, -1, -1))

    def forward(self, k: int) -> None:
        """Follow through piece k what begins in it and what was handed to it."""
        mine = np.flatnonzero(self._home == k)
        self._look_for(k, 1)
        handed = self._onward.pop((k, 1), [])
        index = np.array([*mine, *(i for i, _ in handed)], np.int64)
        at = np.array([*self._given[0][mine], *(t for _, t in handed)], np.int64)
        if len(index) == 0:
            return
        b, e = self.edges[k]
        begun = self._frame[mine]
        answer = self._follow(b, e, index, at, backward=bool((begun > b).any()))
        n = len(mine)
        self._write(index[:n], answer, slice(0, n), b, np.full(n, b), np.full(n, e))
        late = at[n:] + 1
        self._write(index[n:], answer, slice(n, None), b, late, np.full(len(late), e))
        self._hand_on(k, 1, index, at)
        self._hand_on(k, -1, mine, begun)

    def backward(self, k: int) -> None:
        """Follow back through piece k what later pieces handed to it."""
        self._look_for(k, -1)
        handed = self._onward.pop((k, -1), [])
        if not handed:
            return
        index, at = (np.array(column, np.int64) for column in zip(*handed, strict=True))
        b, e = self.edges[k]
        answer = self._follow(b, e, index, at, backward=True)
        self._write(index, answer, slice(None), b, np.full(len(at), b), at)
        self._hand_on(k, -1, index, at)

    def _follow(
        self, b: int, e: int, index: np.ndarray, at: np.ndarray, *, backward: bool
    ) -> Followed:
        xy = self.xy[index, at - self._begin]
        fresh = at == self._given[0][index]
        xy = np.where(fresh[:, None], self._given[1][index], xy)
        points, at_piece = len(index), at - b
        out = Followed(
            np.empty((points, e - b, 2), np.float32),
            np.empty((points, e - b), bool),
            np.empty((points, e - b), np.float32),
        )
        if e - b == 1:
            out.xy[:, 0], out.visible[:], out.confidence[:] = xy, True, 1
            return out
        clip = Clip(self._frames, b, e, self._size)
        for a in range(0, points, self._tracker.points):
            some = slice(a, a + self._tracker.points)
            got = self._tracker.follow(
                clip, at_piece[some], xy[some], backward=backward
            )
            out.xy[some] = got.xy
            out.visible[some] = got.visible
            out.confidence[some] = got.confidence
        width, height = self._size
        x, y = out.xy[..., 0], out.xy[..., 1]
        with np.errstate(invalid="ignore"):
            inside = (
                (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
            )
        out.visible[~inside] = False
        # A point is where it was asked to be, whatever the network makes of it.
        row = np.arange(points)
        out.xy[row, at_piece] = xy
        out.visible[row, at_piece] = True
        out.confidence[row, at_piece] = np.maximum(out.confidence[row, at_piece], 0.5)
        own = np.flatnonzero(fresh)
        out.confidence[own, at_piece[own]] = 1
        return out

    def _write(
        self,
        index: np.ndarray,
        answer: Followed,
        rows: slice,
        b: int,
        start: np.ndarray,
        stop: np.ndarray,
    ) -> None:
        """Take frames start..stop of each point from a piece's answer."""
        length = answer.visible.shape[1]
        t = b + np.arange(length)
        wanted = (t >= start[:, None]) & (t < stop[:, None])
        part = slice(b - self._begin, b - self._begin + length)
        seen = wanted & answer.visible[rows]
        for array, value, empty in (
            (self.xy, answer.xy[rows], np.nan),
            (self.visible, answer.visible[rows], False),
            (self.confidence, answer.confidence[rows], 0),
        ):
            deep = (...,) + (None,) * (value.ndim - 2)
            held = array[index, part]
            value = np.where(seen[deep], value, empty)
            array[index, part] = np.where(wanted[deep], value, held)

    def _hand_on(self, k: int, way: int, index: np.ndarray, at: np.ndarray) -> None:
        """Take points up again in the next piece, where both see them."""
        if not 0 <= k + way < len(self.edges):
            return
        first = max(self.edges[k][0], self.edges[k + way][0])
        last = min(self.edges[k][1], self.edges[k + way][1])
        t = np.arange(first, last)
        seen = self.visible[index[:, None], t - self._begin]
        seen &= t >= at[:, None] if way > 0 else t <= at[:, None]
        found = np.flatnonzero(seen.any(axis=1))
        lost = np.flatnonzero(~seen.any(axis=1))
        if len(lost):
            b, e = self.edges[k]
            frames = np.arange(b, e)[::-way]
            there = self.visible[index[lost][:, None], frames - self._begin]
            when = frames[there.argmax(axis=1)]
            hidden = self._hidden.setdefault((k + way, way), [])
            hidden += list(zip(index[lost].tolist(), when.tolist(), strict=True))
        place = seen[found] if way < 0 else seen[found, ::-1]
        step = place.argmax(axis=1)
        chosen = t[step] if way < 0 else t[::-1][step]
        onward = self._onward.setdefault((k + way, way), [])
        onward += list(zip(index[found].tolist(), chosen.tolist(), strict=True))

    def _look_for(self, k: int, way: int) -> None:
        """Look for points that the piece before k lost, from where they were seen.

        The pieces of their own begin at steps of `overlap`, so that few are needed, and
        lie within the piece before and piece k.
        """
        hidden = self._hidden.pop((k, way), [])
        if not hidden:
            return
        index, seen = (
            np.array(column, np.int64) for column in zip(*hidden, strict=True)
        )
        b, e = self.edges[k - way]
        step = self._tracker.overlap
        back = ((seen - b) if way > 0 else (e - 1 - seen)) // step * step
        for start in np.unique(back[back > 0]).tolist():
            mine = back == start
            first, last = (b + start, e + start) if way > 0 else (b - start, e - start)
            answer = self._follow(
                first, last, index[mine], seen[mine], backward=way < 0
            )
            # the frames of the piece before are answered already
            left, right = (e, last) if way > 0 else (first, b)
            n = int(mine.sum())
            self._write(
                index[mine],
                answer,
                slice(None),
                first,
                np.full(n, left),
                np.full(n, right),
            )
            frames = np.arange(left, right)[::-way]
            there = self.visible[index[mine][:, None], frames - self._begin]
            again = there.any(axis=1)
            when = frames[there[again].argmax(axis=1)]
            onward = self._onward.setdefault((k, way), [])
            onward += list(zip(index[mine][again].tolist(), when.tolist(), strict=True))


@dataclass(frozen=True)
class _Job:
    """One grid: where it starts and ends, and the (window, step, position) it fills."""

    start: int
    end: int
    samples: list[tuple[int, int, int]]


def grid_jobs(plan: WindowPlan) -> list[_Job]:
    """Grids to follow, by start; windows with the same start share one."""
    jobs = []
    for start in np.unique(plan.start).tolist():
        samples = [
            (w, k, p)
            for w in np.flatnonzero(plan.start == start).tolist()
            for k, p in enumerate(plan.frames[w].tolist())
            if p >= 0
        ]
        jobs.append(_Job(start, max(p for *_, p in samples) + 1, samples))
    return jobs


def follow_video(
    tracker: LearnedTracker,
    video: xr.DataArray,
    queries: Queries,
    plan: WindowPlan | None,
    *,
    cuts: Iterable[int],
    support_grid: int,
    progress: Progress | None,
) -> TrackResult:
    """Follow queries and support grids shot by shot; see `Tracker.track`."""
    n, t = len(queries), video.sizes["time"]
    size = (int(video.sizes["x"]), int(video.sizes["y"]))
    points = grid(support_grid, size)
    result = TrackResult(
        np.full((n, t, 2), np.nan, np.float32),
        np.zeros((n, t), bool),
        np.zeros((n, t), np.float32),
    )
    jobs: list[_Job] = []
    if plan is not None:
        shape = (len(plan), len(points), plan.frames.shape[1])
        result = TrackResult(
            result.xy,
            result.visible,
            result.confidence,
            np.full((*shape, 2), np.nan, np.float32),
            np.zeros(shape, bool),
        )
        jobs = grid_jobs(plan)
    frames = Frames(video, tracker.encode, tracker.keep(plan))

    def grids(jobs: list[_Job]) -> Iterator[None]:
        for job in jobs:
            at = np.full(len(points), job.start)
            chain = Chain(tracker, frames, size, job.start, job.end, at, points)
            for k, (b, e) in enumerate(chain.edges):
                chain.forward(k)
                yield from [None] * (e - b)
            for window, step, position in job.samples:
                assert result.support_xy is not None
                assert result.support_visible is not None
                at_step = position - job.start
                result.support_xy[window, :, step] = chain.xy[:, at_step]
                result.support_visible[window, :, step] = chain.visible[:, at_step]

    left = jobs
    meanwhile = 0  # frames of grids that were followed during a walk

    def reached(position: int) -> None:
        nonlocal left, meanwhile
        ready = [j for j in left if j.end <= position]
        if ready:
            left = [j for j in left if j.end > position]
            frames.reached = None  # their own walks are short
            meanwhile += sum(1 for _ in grids(ready))
            frames.reached = reached

    def work(shots: list[tuple[int, int, np.ndarray, Chain]]) -> Iterator[None]:
        nonlocal left, meanwhile
        for begin, end, mine, chain in shots:
            for k, (b, e) in enumerate(chain.edges):
                if len(mine):
                    frames.reached = reached
                    chain.forward(k)
                    frames.reached = None
                    yield from [None] * meanwhile
                    meanwhile = 0
                yield from [None] * (e - b)
                # What a later piece would find gone from memory starts now.
                until = chain.edges[k + 1][0] if k + 1 < len(chain.edges) else end
                yield from grids([j for j in left if j.start < until])
                left = [j for j in left if j.start >= until]
            for k in chain.backward_pieces():
                chain.backward(k)
                yield from [None] * (chain.edges[k][1] - chain.edges[k][0])
            part = slice(begin, end)
            result.xy[mine, part] = chain.xy
            result.visible[mine, part] = chain.visible
            result.confidence[mine, part] = chain.confidence

    edges = [0, *sorted({c for c in cuts if 0 < c < t}), t]
    shots = []
    for begin, end in pairwise(edges):
        mine = np.flatnonzero((queries.frame >= begin) & (queries.frame < end))
        chain = Chain(
            tracker, frames, size, begin, end, queries.frame[mine], queries.xy[mine]
        )
        shots.append((begin, end, mine, chain))
    steps: Iterable[None] = work(shots)
    if progress is not None:
        total = sum(_frames_of(chain.edges) for *_, chain in shots)
        total += sum(
            chain.edges[k][1] - chain.edges[k][0]
            for *_, chain in shots
            for k in chain.backward_pieces()
        )
        total += sum(
            _frames_of(piece_edges(j.start, j.end, tracker.piece, tracker.overlap))
            for j in jobs
        )
        steps = progress(steps, total=total, desc="tracking")
    for _ in steps:
        pass
    return result


def _frames_of(edges: list[tuple[int, int]]) -> int:
    return sum(e - b for b, e in edges)
