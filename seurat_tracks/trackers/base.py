"""What a tracker is: one small protocol, its answer, and a registry by name."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.plugins import load_plugin, plugin_names
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


_REGISTRY: dict[str, Callable[..., Tracker]] = {}

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_OURS = {
    "alltracker": "alltracker:AllTracker",
    "bootstapir": "tapir:BootsTAPIR",
    "cotracker2": "cotracker2:CoTracker2",
    "cotracker3": "cotracker3:CoTracker3",
    "cotracker3_online": "cotracker3_online:CoTracker3Online",
    "lk": "lucas_kanade:LucasKanade",
    "locotrack": "locotrack:LocoTrack",
    "tapir": "tapir:TAPIR",
    "tapnext": "tapnext:TAPNext",
}
"""Trackers of this package: file and class, loaded when asked for."""


def register_tracker(name: str, make: Callable[..., Tracker]) -> None:
    """Make a tracker known by name, in this process.

    A package that brings a tracker names it in its metadata instead, in the group
    `seurat_tracks.trackers.plugins.GROUP`.

    Parameters
    ----------
    name
        What `get_tracker` is asked for.
    make
        Called with the caller's settings when the tracker is wanted.

    Raises
    ------
    TrackerError
        The name is taken.
    """
    if name in _REGISTRY or name in _OURS:
        raise TrackerError(f"a tracker named {name!r} is registered already.")
    _REGISTRY[name] = make


def available_trackers() -> list[str]:
    """Names that `get_tracker` knows, sorted; those of installed packages too."""
    return sorted({*_REGISTRY, *_OURS, *plugin_names()})


def get_tracker(tracker: str | Tracker, **settings: Any) -> Tracker:
    """Return the tracker of this name; a tracker object is passed through.

    Parameters
    ----------
    tracker
        One of `available_trackers`, or an object with the methods of `Tracker`.
    settings
        What the tracker of this name is made with, such as `weights` and `device`.

    Raises
    ------
    TrackerError
        No tracker has this name (close matches and all known names are listed); it
        has no such setting; a plugin is broken; or what the tracker needs is not
        there.
    WeightsError
        Its weights are missing, damaged or another model's, or the device is not
        there.
    """
    if not isinstance(tracker, str):
        if not callable(getattr(tracker, "track", None)):
            raise TrackerError(
                f"{type(tracker).__name__} is no tracker: it has no method `track`. "
                f"Known by name: {', '.join(available_trackers())}."
            )
        if settings:
            raise TrackerError(
                f"settings ({', '.join(sorted(settings))}) go with a tracker's name; "
                f"{type(tracker).__name__} is made already: give them when making it."
            )
        return tracker
    make = _find(tracker)
    _check_settings(tracker, make, settings)
    made = make(**settings)
    lacking = [n for n in ("name", "licence", "track") if not hasattr(made, n)]
    if lacking:
        raise TrackerError(
            f"what was made for tracker {tracker!r} is no tracker: "
            f"{type(made).__name__} has no {' and no '.join(lacking)}."
        )
    return made


def licence_of(name: str) -> str:
    """Licence of the tracker of this name, "unknown" where it does not say so.

    Raises
    ------
    TrackerError
        No tracker has this name, or its package is broken.
    """
    return str(getattr(_find(name), "licence", "unknown"))


def settings_of(name: str) -> dict[str, Any]:
    """List the settings that a tracker takes, with what they are by default.

    Returns
    -------
    dict
        By name; `inspect.Parameter.empty` for what must be given. Empty where the
        tracker does not say.

    Raises
    ------
    TrackerError
        No tracker has this name, or its package is broken.
    """
    try:
        parameters = inspect.signature(_find(name)).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in parameters if p.kind in _NAMED}


def _find(name: str) -> Callable[..., Tracker]:
    if name in _OURS:
        module, _, attribute = _OURS[name].partition(":")
        found = importlib.import_module(f"seurat_tracks.trackers.{module}")
        made: Callable[..., Tracker] = getattr(found, attribute)
        return made
    if name in _REGISTRY:
        return _REGISTRY[name]
    plugin = load_plugin(name)
    if plugin is not None:
        return plugin
    known = available_trackers()
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise TrackerError(
        f"there is no tracker {name!r}.{hint} Known: {', '.join(known)}."
    )


def _check_settings(
    name: str, make: Callable[..., Tracker], settings: dict[str, Any]
) -> None:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # made in C: it will say itself what it takes
        return
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [p.name for p in parameters if p.kind in _NAMED]
    unknown = sorted(set(settings) - set(known))
    if unknown and not open_ended:
        raise TrackerError(
            f"the tracker {name!r} has no setting {', '.join(unknown)}; it has "
            f"{', '.join(known) or 'none'}."
        )
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty and p.name in known and p.name not in settings
    ]
    if missing:
        raise TrackerError(
            f"the tracker {name!r} needs {' and '.join(f'{m}=' for m in missing)}: "
            "see the table in docs/trackers.md."
        )
