"""What a tracker is: one small protocol, its answer, and a registry by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.queries import Queries
from seurat_tracks.windows import WindowPlan

SUPPORT_GRID = 24
"""Support points along each side of the image (section 4.2 of the paper)."""

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable and shows how far it has come, as `tqdm` does."""

    def __call__(self, items: Iterable[T], *, total: int, desc: str) -> Iterable[T]:
        """Yield the items unchanged; `total` of them, for the purpose `desc`."""
        ...


@dataclass(frozen=True)
class TrackResult:
    """A tracker's answer, in the caller's order of queries.

    Attributes
    ----------
    xy : float32 array (track, time, 2)
        Pixels, pixel centres at integers; NaN where there is no observation.
    visible : bool array (track, time)
        Seen in that frame; False wherever `xy` is NaN.
    confidence : float32 array (track, time)
        0 (not seen) to 1.
    support_xy : float32 array (window, support, step, 2) or None
        Positions of the support grid in each window; NaN where not seen or padding.
    support_visible : bool array (window, support, step) or None
        False wherever `support_xy` is NaN.
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray
    support_xy: np.ndarray | None = None
    support_visible: np.ndarray | None = None


class Tracker(Protocol):
    """Follows points through a video.

    Attributes
    ----------
    name : str
        As in `get_tracker`; recorded in the Dataset.
    licence : str
        SPDX identifier or name of the licence of what it runs; recorded too.
    """

    name: str
    licence: str

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
        """Track the queries over the whole video, and support grids in windows.

        Parameters
        ----------
        video
            DataArray (time, y, x, rgb) uint8 of `seurat_tracks.io.video.open_video`.
        queries
            Points to follow, forwards and backwards from their own frame.
        plan
            Windows in which a fresh grid is tracked; None for no support.
        cuts
            Positions of the first frames of new shots; no track crosses one.
        support_grid
            Support points along each side of the image.
        progress
            Shows progress over frames.
        """
        ...


_REGISTRY: dict[str, Callable[[], Tracker]] = {}


def register_tracker(name: str, make: Callable[[], Tracker]) -> None:
    """Make a tracker known by name.

    Parameters
    ----------
    name
        What `get_tracker` is asked for.
    make
        Called without arguments when the tracker is first wanted.

    Raises
    ------
    TrackerError
        The name is taken.
    """
    if name in _REGISTRY:
        raise TrackerError(f"a tracker named {name!r} is registered already.")
    _REGISTRY[name] = make


def available_trackers() -> list[str]:
    """Names that `get_tracker` knows, sorted."""
    return sorted(_REGISTRY)


def get_tracker(tracker: str | Tracker) -> Tracker:
    """Return the tracker of this name; a tracker object is passed through.

    Raises
    ------
    TrackerError
        No tracker has this name; close matches and all known names are listed.
    """
    if not isinstance(tracker, str):
        if not callable(getattr(tracker, "track", None)):
            raise TrackerError(
                f"{type(tracker).__name__} is no tracker: it has no method `track`. "
                f"Known by name: {', '.join(available_trackers())}."
            )
        return tracker
    if tracker not in _REGISTRY:
        close = difflib.get_close_matches(tracker, _REGISTRY, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise TrackerError(
            f"there is no tracker {tracker!r}.{hint} "
            f"Known: {', '.join(available_trackers())}."
        )
    return _REGISTRY[tracker]()


def _lucas_kanade() -> Tracker:
    from seurat_tracks.trackers.lucas_kanade import LucasKanade

    return LucasKanade()


register_tracker("lk", _lucas_kanade)
