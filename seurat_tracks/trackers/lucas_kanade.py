"""The embedded tracker: Lucas-Kanade with affine alignment, no weights needed.

From frame to frame every live point, query or support, is followed there and back by
one call each of OpenCV's pyramidal Lucas-Kanade; then aligned to the patch it was
first seen with (`seurat_tracks.trackers.affine`), which stops drift. A point is
visible only while both agree.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError
from seurat_tracks.io.video import iter_frames, read_ahead
from seurat_tracks.trackers.affine import smooth
from seurat_tracks.trackers.base import SUPPORT_GRID, Progress, TrackResult
from seurat_tracks.trackers.live import LivePoints, Settings, View
from seurat_tracks.trackers.queries import Queries, grid
from seurat_tracks.windows import WindowPlan

_CHUNK_BYTES = 64_000_000
_GUIDE_STEP = 4  # frames between grids that only lead weak points on


@dataclass(frozen=True)
class _Grid:
    """A support grid: the frame it ends on, and which window steps want it."""

    end: int
    samples: dict[int, list[tuple[int, int]]]  # position -> (window, step)


class LucasKanade:
    """Pyramidal Lucas-Kanade with affine alignment to first-frame templates.

    Parameters
    ----------
    settings
        Thresholds; the defaults are the measured ones of `docs/trackers.md`.
    threads
        Cores to use, by default all there are. The answer does not depend on it.
    memory
        Bytes of frames held at most for the pass backwards, which queries on later
        frames need; at least 8 frames are.
    """

    name = "lk"
    licence = "Apache-2.0"

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        threads: int | None = None,
        memory: int | None = None,
    ) -> None:
        for name, value in (("threads", threads), ("memory", memory)):
            if value is not None and value < 1:
                raise TrackerError(f"{name} must be at least 1, got {value}.")
        self.settings = settings or Settings()
        self.threads = threads or os.cpu_count() or 1
        self.memory = memory or _CHUNK_BYTES

    def track(
        self,
        video: xr.DataArray,
        queries: Queries,
        plan: WindowPlan | None,
        *,
        cuts: Iterable[int] = (),
        support_grid: int = SUPPORT_GRID,
        progress: Progress | None = None,
    ) -> TrackResult:
        """Track queries both ways and support grids forwards; see `Tracker.track`.

        One pass forwards serves queries and support. Queries on frames other than a
        shot's first take a second pass backwards, decoded in chunks. Memory holds one
        chunk of frames and the live points, whatever the length of the video.
        """
        n, t = len(queries), video.sizes["time"]
        size = (video.sizes["x"], video.sizes["y"])
        result = TrackResult(
            np.full((n, t, 2), np.nan, np.float32),
            np.zeros((n, t), bool),
            np.zeros((n, t), np.float32),
        )
        grids: dict[int, _Grid] = {}
        points = grid(support_grid, size)
        if plan is not None:
            shape = (len(plan), len(points), plan.frames.shape[1])
            result = TrackResult(
                result.xy,
                result.visible,
                result.confidence,
                np.full((*shape, 2), np.nan, np.float32),
                np.zeros(shape, bool),
            )
            grids = _grids(plan)
        edges = [0, *sorted({c for c in cuts if 0 < c < t}), t]
        back = [
            (a, int(queries.frame[mine].max()))
            for a, b in pairwise(edges)
            if (mine := (queries.frame > a) & (queries.frame < b)).any()
        ]
        total = t + sum(last - first + 1 for first, last in back)
        with (
            ThreadPoolExecutor(self.threads) as pool,
            closing(read_ahead(_walk(video, edges, back, self.memory))) as walk,
        ):
            steps: Iterable[_Step] = walk
            if progress is not None:
                steps = progress(steps, total=total, desc="tracking")
            live = LivePoints(size, self.settings, pool.map)
            self._follow(steps, live, queries, plan, grids, points, result)
        return result

    def _follow(
        self,
        steps: Iterable[_Step],
        live: LivePoints,
        queries: Queries,
        plan: WindowPlan | None,
        grids: dict[int, _Grid],
        points: np.ndarray,
        result: TrackResult,
    ) -> None:
        for step in steps:
            if step.age == 0:
                live.clear()
            live.advance(step.view)
            if step.forward and plan is not None:
                started = [step.position] if step.position in grids else []
                ended = [g for g in live.groups() if grids[g].end < step.position]
            else:
                started = [step.age] if step.age % _GUIDE_STEP == 0 else []
                ended = [g for g in live.groups() if step.age - g > 2 * _GUIDE_STEP]
            live.drop_groups(ended)
            for g in started:
                live.add_group(g, points)
            new = np.flatnonzero(queries.frame == step.position)
            live.add_queries(new, queries.xy[new])
            live.settle(step.view)
            _record(result, live, step, grids)


@dataclass(frozen=True)
class _Step:
    position: int
    view: View
    forward: bool
    age: int  # frames since its shot began; nothing is carried over into age 0


def _grids(plan: WindowPlan) -> dict[int, _Grid]:
    """Grids by the frame they start on; windows that start there share one."""
    found = {}
    for start in np.unique(plan.start).tolist():
        samples: dict[int, list[tuple[int, int]]] = {}
        for w in np.flatnonzero(plan.start == start).tolist():
            for step, position in enumerate(plan.frames[w].tolist()):
                if position >= 0:
                    samples.setdefault(position, []).append((w, step))
        found[start] = _Grid(max(samples), samples)
    return found


def _view(frame: np.ndarray) -> View:
    import cv2

    grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return View(grey, smooth(grey))


def _walk(
    video: xr.DataArray, edges: list[int], back: list[tuple[int, int]], memory: int
) -> Iterator[_Step]:
    """All frames forwards; then, shot by shot, backwards where queries need it."""
    import cv2

    age = 0
    for position, frame in enumerate(iter_frames(video)):
        age = 0 if position in edges else age + 1
        yield _Step(position, _view(frame), True, age)
    held = int(np.clip(memory // (video.sizes["x"] * video.sizes["y"]), 8, 256))
    for first, last in back:
        for end in range(last + 1, first, -held):
            begin = max(first, end - held)
            chunk = [
                cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
                for frame in iter_frames(video, begin, end)
            ]
            for position in range(end - 1, begin - 1, -1):
                view = _view(chunk.pop())
                yield _Step(position, view, False, last - position)


def _record(
    result: TrackResult, live: LivePoints, step: _Step, grids: dict[int, _Grid]
) -> None:
    number, xy, confidence = live.seen_queries()
    # The backward pass passes over queries' own frames again; both agree there.
    result.xy[number, step.position] = xy
    result.visible[number, step.position] = True
    result.confidence[number, step.position] = confidence
    if not step.forward or result.support_xy is None:
        return
    assert result.support_visible is not None
    for g in live.groups():
        for window, k in grids[g].samples.get(step.position, ()):
            xy, seen = live.group(g)
            result.support_xy[window, :, k] = np.where(seen[:, None], xy, np.nan)
            result.support_visible[window, :, k] = seen


__all__ = ["LucasKanade", "Settings"]
