"""Which windows are due while frames come, and where their support is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import xarray as xr

from seurat_tracks.errors import SchemaError
from seurat_tracks.support import support_from_tracks
from seurat_tracks.windows import WINDOW_LENGTH, WINDOW_STEP, WindowPlan


class Support(Protocol):
    """Windows of one shot, and their support.

    Positions count frames from the shot's first one.

    Attributes
    ----------
    longest : int
        Frames from the first to the last of the longest window.
    length : int
        Steps of a window.
    drawn : bool
        Whether support is drawn from the tracks that `points` is given, so that what
        was done to their positions is done.
    """

    longest: int
    length: int
    drawn: bool

    def due(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Start and stride (window,) of windows that lie in so many frames.

        Each window is given once.
        """

    def last(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Start and stride (window,) of what is left when a shot has ended."""

    def points(
        self,
        start: np.ndarray,
        plan: WindowPlan,
        xy: np.ndarray,
        visible: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Support of windows that `due` or `last` have just given.

        Parameters
        ----------
        start : int array (window,)
            Positions in the shot.
        plan
            The same windows, with positions in the arrays that follow.
        xy : float32 array (track, time, 2)
            The tracks in the frames that are held, pixels.
        visible : bool array (track, time)

        Returns
        -------
        support_xy : float32 array (window, support, step, 2)
        support_visible : bool array (window, support, step)
        """


class Schedule:
    """The windows of `seurat_tracks.windows.plan_windows`, as they become due.

    Parameters
    ----------
    strides
        Frame strides; 1 is always among them.
    """

    drawn = False

    def __init__(self, strides: Sequence[int]) -> None:
        self.strides = sorted({int(s) for s in strides} | {1})
        self.longest = (WINDOW_LENGTH - 1) * self.strides[-1]
        self.length = WINDOW_LENGTH
        self._next = dict.fromkeys(self.strides, 0)

    def due(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Support.due`."""
        found = []
        for stride in self.strides:
            while self._next[stride] + (WINDOW_LENGTH - 1) * stride < n_frames:
                found.append((self._next[stride], stride))
                self._next[stride] += WINDOW_STEP * stride
        return _two(found)

    def last(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Support.last`: each stride's last window is shifted back to the end.

        A shot shorter than a window has one of stride 1, whose end is padding.
        """
        found = []
        for stride in self.strides:
            start = n_frames - 1 - (WINDOW_LENGTH - 1) * stride
            before = self._next[stride] - WINDOW_STEP * stride
            if start < 0:
                if stride == 1:
                    found.append((0, 1))
            elif start != before:
                found.append((start, stride))
        return _two(found)


class FromTracks(Schedule):
    """Support drawn from the tracks themselves.

    Parameters
    ----------
    strides
        Frame strides of the windows.
    frame_size
        Width and height, pixels.
    """

    drawn = True

    def __init__(self, strides: Sequence[int], frame_size: tuple[int, int]) -> None:
        super().__init__(strides)
        self.frame_size = frame_size

    def points(
        self,
        start: np.ndarray,
        plan: WindowPlan,
        xy: np.ndarray,
        visible: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Support.points`."""
        return support_from_tracks(xy, visible, plan, self.frame_size)


class FromDataset:
    """Support that a Dataset has for all its windows; read when it is due.

    Parameters
    ----------
    ds
        Dataset with ``support_xy`` and ``support_visible``, lazy or not.
    plan
        All its windows, with positions on its time axis.
    begin, end
        Positions of the shot's first frame and of the frame after its last.
    """

    drawn = False

    def __init__(self, ds: xr.Dataset, plan: WindowPlan, begin: int, end: int) -> None:
        dims = ("window", "support", "step")
        self._xy = ds["support_xy"].transpose(*dims, "coord").variable
        self._visible = ds["support_visible"].transpose(*dims).variable
        self._plan = plan
        self._begin = begin
        self._left = (plan.start >= begin) & (plan.start < end)
        self._given = np.zeros(0, np.int64)
        self.longest = int((plan.frames.max(1) - plan.start).max())
        self.length = int(plan.frames.shape[1])

    def due(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Support.due`."""
        ended = self._plan.frames.max(1) < self._begin + n_frames
        self._given = np.flatnonzero(self._left & ended)
        self._left[self._given] = False
        return self._plan.start[self._given] - self._begin, self._plan.stride[
            self._given
        ]

    def last(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Support.last`; `due` leaves none."""
        return self.due(n_frames)

    def points(
        self,
        start: np.ndarray,
        plan: WindowPlan,
        xy: np.ndarray,
        visible: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Support.points`."""
        places = self._xy[self._given].values
        seen = self._visible[self._given].values
        wrong = int((seen & ~np.isfinite(places).all(-1)).sum())
        if wrong:
            raise SchemaError(
                f"support_xy: {wrong} points are not finite although support_visible "
                "is True. Cure: set support_visible to False there"
            )
        return places, seen


def _two(found: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
