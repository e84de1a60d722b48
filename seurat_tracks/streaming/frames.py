"""Follow points through frames as they come; support grids for every window."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat, tee
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError, VideoError
from seurat_tracks.io.video import iter_frames
from seurat_tracks.schema import CONTRACT_VERSION
from seurat_tracks.streaming.batch import Batch
from seurat_tracks.streaming.support import Schedule
from seurat_tracks.trackers.base import SUPPORT_GRID
from seurat_tracks.trackers.cuts import shot_starts
from seurat_tracks.trackers.live import LivePoints, Settings
from seurat_tracks.trackers.lucas_kanade import LucasKanade, _view
from seurat_tracks.trackers.queries import Queries, _columns, grid, parse_queries
from seurat_tracks.trackers.track import _grid_queries
from seurat_tracks.windows import WINDOW_LENGTH, WINDOW_STEP, WindowPlan


@dataclass(frozen=True)
class Following:
    """What to follow, as `seurat_tracks.stream` was asked.

    Attributes
    ----------
    queries, grid
        As in `seurat_tracks.track`.
    refill
        Frames after which empty cells of the grid get new points.
    cuts
        "auto", or frame numbers.
    strides
        Frame strides of the windows.
    """

    queries: Any
    grid: Any
    refill: int | None
    cuts: Any
    strides: tuple[int, ...]


def batches_of_video(video: xr.DataArray, follow: Following) -> Iterator[Batch]:
    """Track through a video of `seurat_tracks.io.video.open_video`, frame by frame."""
    seconds = video["seconds"].values if "seconds" in video.coords else repeat(None)
    attrs = {"fps": float(video.attrs["fps"])} if video.attrs.get("fps") else {}
    queries = _queries(follow, video)
    clock = zip(video["time"].values.tolist(), seconds, strict=False)
    yield from _track(iter_frames(video), clock, queries, follow, attrs)


def batches_of_frames(frames: Iterator[Any], follow: Following) -> Iterator[Batch]:
    """Track through frames that come one by one, numbered from 0.

    Raises
    ------
    VideoError
        A frame is no uint8 picture, or of another size than the first.
    TrackerError
        Queries or cuts make no sense.
    """
    checked = _checked(frames)
    first = next(checked)
    last = 0.0
    if follow.queries is not None:
        named = _columns(follow.queries)[0]
        finite = [] if named is None else named[np.isfinite(named)]
        last = max([0.0, *finite])
    # stands for the video: its size, and as many frames as queries name
    width, height = first.shape[1], first.shape[0]
    video = xr.DataArray(
        np.zeros(int(last) + 1, bool),
        dims="time",
        coords={"time": np.arange(int(last) + 1)},
        attrs={"frame_size": [width, height]},
    )
    queries = _queries(follow, video)

    def all_frames() -> Iterator[np.ndarray]:
        yield first
        yield from checked

    yield from _track(all_frames(), zip(count(), repeat(None)), queries, follow, {})


def _queries(follow: Following, video: xr.DataArray) -> Queries:
    if follow.queries is None:
        return _grid_queries(follow.grid, video)
    return parse_queries(follow.queries, video)


def _checked(frames: Iterator[Any]) -> Iterator[np.ndarray]:
    size: tuple[int, ...] | None = None
    for k, frame in enumerate(frames):
        fault = ""
        if not isinstance(frame, np.ndarray):
            fault = f"a {type(frame).__name__}, expected a NumPy array"
        elif frame.ndim not in (2, 3) or frame.shape[2:] not in ((), (3,)):
            fault = f"of shape {frame.shape}, expected (y, x, 3) or (y, x)"
        elif 0 in frame.shape:
            fault = f"of shape {frame.shape}: there is no pixel in it"
        elif frame.dtype != np.uint8:
            fault = f"{frame.dtype}, expected uint8, 0..255"
        elif size is not None and frame.shape[:2] != size:
            fault = (
                f"{frame.shape[1]} x {frame.shape[0]} pixels, the first frame was "
                f"{size[1]} x {size[0]}"
            )
        if fault:
            raise VideoError(f"frame {k} of the stream is {fault}.")
        size = frame.shape[:2]
        if frame.ndim == 2:
            frame = np.repeat(frame[..., None], 3, 2)
        yield frame


def _with_cuts(
    frames: Iterator[np.ndarray], cuts: Any
) -> Iterator[tuple[np.ndarray, bool | None]]:
    """Frames, and whether each begins a shot; None: its number decides."""
    if isinstance(cuts, str):
        if cuts != "auto":
            raise TrackerError(f'cuts must be "auto" or frame numbers, got {cuts!r}.')
        one, other = tee(frames)
        return zip(one, shot_starts(other), strict=True)
    return zip(frames, repeat(None))


def _track(
    frames: Iterator[np.ndarray],
    clock: Iterator[tuple[int, float | None]],
    queries: Queries,
    follow: Following,
    attrs: dict[str, Any],
) -> Iterator[Batch]:
    """Advance all points by a frame at a time; queries lead no one."""
    engine = LucasKanade()
    known = set() if isinstance(follow.cuts, str) else {*(follow.cuts or ())}
    labels = np.arange(len(queries)) if queries.ids is None else queries.ids
    live: LivePoints | None = None
    grids: _Grids | None = None
    made = len(queries)
    start = position = 0
    for position, (frame, cut) in enumerate(_with_cuts(frames, follow.cuts)):
        time, second = next(clock)
        size = (frame.shape[1], frame.shape[0])
        if live is None:
            live = LivePoints(size, engine.settings)
        new_shot = position == 0 or (time in known if cut is None else cut)
        if new_shot:
            live.clear()
            start = position
            grids = _Grids(follow.strides, size, engine.settings)
        assert grids is not None
        view = _view(frame)
        live.advance(view)
        grids.renew(live, position - start)
        asked = np.flatnonzero(queries.frame == position)
        live.add_queries(asked, queries.xy[asked])
        if follow.refill and position and (new_shot or position % follow.refill == 0):
            xy = _empty_cells(live, int(follow.grid), size)
            live.add_queries(made + np.arange(len(xy)), xy)
            made += len(xy)
        live.settle(view)
        grids.record(live, position - start, view.grey)
        number, xy, confidence = live.seen_queries()
        yield Batch(
            np.array([time]),
            number if follow.refill else labels[number],
            xy[:, None],
            np.ones((len(number), 1), bool),
            None if second is None else np.array([second], np.float64),
            confidence[:, None],
            grids if new_shot else None,
            attrs
            | {
                "frame_size": list(size),
                "tracker": engine.name,
                "tracker_licence": engine.licence,
                "contract_version": CONTRACT_VERSION,
            },
            late=int(isinstance(follow.cuts, str)),
        )
    late = int((queries.frame > position).sum())
    if late:
        warnings.warn(
            f"{late} queries are on frames that never came: the last one was "
            f"{position}",
            UserWarning,
            stacklevel=2,
        )


def _empty_cells(live: LivePoints, n: int, size: tuple[int, int]) -> np.ndarray:
    """Centres (point, 2) of those of n x n cells in which no query is seen."""
    _, xy, _ = live.seen_queries()
    cell = np.floor((xy + 0.5) / np.array(size) * n).astype(int).clip(0, n - 1)
    return np.delete(grid(n, size), cell[:, 1] * n + cell[:, 0], axis=0)


class _Grids(Schedule):
    """Support grids of one shot, tracked along with the queries.

    Parameters
    ----------
    strides
        Frame strides of the windows.
    size
        Width and height, pixels.
    settings
        Of the tracker.
    """

    def __init__(
        self, strides: tuple[int, ...], size: tuple[int, int], settings: Settings
    ) -> None:
        super().__init__(strides)
        self._size = size
        self._settings = settings
        self._points = grid(SUPPORT_GRID, size)
        self._windows: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        # the frames of any window that is shifted back to the end
        self._greys: deque[np.ndarray] = deque(maxlen=self.longest + 1)
        self._end = 0

    def _strides_from(self, position: int) -> list[int]:
        return [s for s in self.strides if position % (WINDOW_STEP * s) == 0]

    def renew(self, live: LivePoints, position: int) -> None:
        """Start the grid of windows that begin here; drop those that have ended."""
        ends = {
            g: g + (WINDOW_LENGTH - 1) * max(self._strides_from(g))
            for g in live.groups()
        }
        live.drop_groups([g for g, end in ends.items() if end < position])
        if strides := self._strides_from(position):
            live.add_group(position, self._points)
            for stride in strides:
                self._windows[position, stride] = self._empty()

    def _empty(self) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(self._points), WINDOW_LENGTH)
        return np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, bool)

    def record(self, live: LivePoints, position: int, grey: np.ndarray) -> None:
        """Write down where the grids are on this frame."""
        self._greys.append(grey)
        self._end = position + 1
        for (start, stride), window in self._windows.items():
            _sample(live, window, position, start, stride)

    def points(
        self,
        start: np.ndarray,
        plan: WindowPlan,
        xy: np.ndarray,
        visible: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `seurat_tracks.streaming.support.Support.points`."""
        asked = list(zip(start.tolist(), plan.stride.tolist(), strict=True))
        again = [key for key in asked if key not in self._windows]
        if again:
            self._windows |= self._track_again(again)
        found = [self._windows.pop(key) for key in asked]
        return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])

    def _track_again(
        self, windows: list[tuple[int, int]]
    ) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        """Track windows that nobody knew of when their first frame came."""
        found = {key: self._empty() for key in windows}
        live = LivePoints(self._size, self._settings)
        for position in range(min(s for s, _ in windows), self._end):
            view = _view(self._greys[position - self._end])
            live.advance(view)
            if any(position == start for start, _ in windows):
                live.add_group(position, self._points)
            live.settle(view)
            for (start, stride), window in found.items():
                _sample(live, window, position, start, stride)
        return found


def _sample(
    live: LivePoints,
    window: tuple[np.ndarray, np.ndarray],
    position: int,
    start: int,
    stride: int,
) -> None:
    step, rest = divmod(position - start, stride)
    if rest == 0 and 0 <= step < WINDOW_LENGTH:
        xy, seen = live.group(start)
        window[0][:, step] = np.where(seen[:, None], xy, np.nan)
        window[1][:, step] = seen
