"""From a video to a Dataset of tracks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError
from seurat_tracks.interrupt import counted
from seurat_tracks.io.video import open_video
from seurat_tracks.progress import bar, shown
from seurat_tracks.trackers.base import (
    SUPPORT_GRID,
    Progress,
    Tracker,
    TrackResult,
    get_tracker,
)
from seurat_tracks.trackers.checks import check_result
from seurat_tracks.trackers.queries import Queries, grid, parse_queries
from seurat_tracks.windows import DEFAULT_STRIDES, WindowPlan, plan_windows


def track(
    video: str | PathLike[str] | np.ndarray | xr.DataArray,
    queries: Any = None,
    tracker: str | Tracker = "lk",
    *,
    grid: int = 24,
    strides: Sequence[int] = DEFAULT_STRIDES,
    support: bool = True,
    support_grid: int = SUPPORT_GRID,
    cuts: Literal["auto"] | Iterable[int] | None = "auto",
    ids: Sequence[Any] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Track points through a video.

    Parameters
    ----------
    video
        Anything `seurat_tracks.io.video.open_video` takes, or what it returns.
    queries
        Points to follow, in the caller's order: an array (N, 2) of x, y in pixels on
        the first frame; (N, 3) of frame, x, y; or named columns (dict, DataFrame,
        Dataset). None: a grid on the first frame.
    tracker
        Name of a tracker (`available_trackers`), or a tracker object. What each
        needs is in the table of docs/trackers.md.
    grid
        Points along each side of the query grid; used where `queries` is None.
    strides
        Frame strides of the windows in which support is tracked.
    support
        Whether to track the support grid of each window too.
    support_grid
        Points along each side of the support grid, 24 as the paper has it. Fewer are
        faster and a little less exact: docs/speed.md says how much.
    cuts
        Frame numbers that begin a new shot; "auto" looks for hard cuts, None or ()
        says there are none.
    ids
        Unique ids of the tracks, in the order of the queries; 0, 1, ... by default.
    progress
        True or False for a bar or none; None: a bar in a notebook or on a terminal.
    settings
        What the tracker of that name is made with, such as `weights`, `repo`,
        `device` and `piece`.

    Returns
    -------
    Dataset
        `xy` (track, time, coord) float32 pixels, NaN where not observed; `visible`
        (track, time) bool; `confidence` (track, time) float32; and with support
        `support_xy` (window, support, step, coord) float32, `support_visible`.
        Coordinates and attributes follow `seurat_tracks.schema`.

    Raises
    ------
    TrackerError
        No queries, queries that do not fit the video, a video of one frame, an
        unknown tracker or setting, ids or cuts that make no sense: nothing is tracked
        then. Also where a tracker's answer has another order or shape than its
        queries.
    WeightsError
        The tracker's weights or its device are not there, or do not fit.
    VideoError
        The video cannot be opened or breaks.

    Warns
    -----
    UserWarning
        No point could be followed beyond the frame of its query.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    >>> clip = np.stack([np.roll(noise, k, axis=1) for k in range(3)])
    >>> ds = track(clip, [[30.0, 20.0]], support=False, cuts=None, progress=False)
    >>> ds.xy.sel(coord="x").round(1).values.tolist()
    [[30.0, 31.0, 32.0]]
    """
    engine = get_tracker(tracker, **settings)
    frames = open_video(video)
    n = frames.sizes["time"]
    if n < 2:
        raise TrackerError(
            f"the video {frames.attrs['source']} has {n} frame; motion needs 2."
        )
    if queries is None:
        points = _grid_queries(grid, frames)
    else:
        points = parse_queries(queries, frames)
    labels = _ids(ids, points)
    if support:
        strides = _strides(strides)
        if support_grid < 2:
            raise TrackerError(
                f"support_grid must be a whole number from 2, got {support_grid!r}"
            )
    times = frames["time"].values
    frame_bar = _bar(progress)
    if isinstance(cuts, str):
        if cuts != "auto":
            raise TrackerError(f'cuts must be "auto" or frame numbers, got {cuts!r}.')
        from seurat_tracks.trackers.cuts import find_cuts

        places = find_cuts(frames, progress=frame_bar)
    else:
        places = _cut_positions(cuts or (), times)
    plan = plan_windows(n, strides=strides, cuts=places) if support else None
    result = engine.track(
        frames,
        points,
        plan,
        cuts=places,
        support_grid=support_grid,
        progress=frame_bar,
    )
    check_result(result, points, n, frames.attrs["frame_size"], plan, engine.name)
    if result.visible.sum() == len(points):
        warnings.warn(
            f"no point of {frames.attrs['source']} could be followed to another frame: "
            "the picture may be blank or blurred, or the points lie on nothing that "
            "can be told apart. Depth of these tracks rests on no evidence.",
            UserWarning,
            stacklevel=2,
        )
    return _dataset(frames, points, labels, plan, places, result, engine)


def _strides(strides: Any) -> tuple[int, ...]:
    array = np.asarray(strides)
    whole = array.ndim == 1 and array.size > 0 and array.dtype.kind in "iu"
    if not whole or (array < 1).any():
        raise TrackerError(
            f"strides must be whole numbers of at least 1, such as (1, 2, 4), got "
            f"{strides!r}; support=False tracks no windows."
        )
    return tuple(array.tolist())


def _grid_queries(n: Any, frames: xr.DataArray) -> Queries:
    if not isinstance(n, int | np.integer) or isinstance(n, bool):
        raise TrackerError(f"grid must be the number of points a side, got {n!r}.")
    width, height = frames.attrs["frame_size"]
    xy = grid(int(n), (width, height))
    return Queries(np.zeros(len(xy), np.int64), xy)


def _ids(ids: Sequence[Any] | None, points: Queries) -> np.ndarray:
    if ids is None and points.ids is None:
        return np.arange(len(points))
    labels = np.asarray(points.ids if ids is None else ids)
    if labels.dtype == object and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(np.str_)  # strings as pandas gives them
    faults = []
    if labels.shape != (len(points),):
        faults.append(f"their shape is {labels.shape}, expected ({len(points)},)")
    if labels.dtype.kind not in "iuUT":
        faults.append(f"their dtype is {labels.dtype}, expected integers or strings")
    elif len(np.unique(labels)) < labels.size:
        faults.append("they are not unique")
    if faults:
        raise TrackerError("the ids do not fit the queries: " + "; ".join(faults))
    return labels


def _cut_positions(cuts: Iterable[int], times: np.ndarray) -> list[int]:
    wanted = np.unique(np.asarray(list(cuts), dtype=np.int64))
    unknown = wanted[~np.isin(wanted, times)]
    if len(unknown):
        raise TrackerError(
            f"cuts {unknown.tolist()} are no frames of the video "
            f"({times[0]}..{times[-1]})."
        )
    return [int(p) for p in np.searchsorted(times, wanted) if p > 0]


def _bar(progress: bool | None) -> Progress:
    def wrap(items: Iterable[Any], *, total: int, desc: str) -> Iterable[Any]:
        watched = counted(items, total=total, what=desc)
        if not shown(progress):
            return watched
        frames: Iterable[Any] = bar(
            watched, total=total, desc=desc, unit="frame", progress=progress
        )
        return frames

    return wrap


def _dataset(
    frames: xr.DataArray,
    points: Queries,
    labels: np.ndarray,
    plan: WindowPlan | None,
    cuts: list[int],
    result: TrackResult,
    engine: Tracker,
) -> xr.Dataset:
    from seurat_tracks import schema

    times = frames["time"].values
    ds = xr.Dataset(
        {
            "xy": (("track", "time", "coord"), result.xy),
            "visible": (("track", "time"), result.visible),
            "confidence": (("track", "time"), result.confidence),
        },
        coords={
            "track": labels,
            "time": times,
            "coord": ["x", "y"],
            "query_frame": ("track", times[points.frame]),
        },
        attrs={
            "frame_size": [int(v) for v in frames.attrs["frame_size"]],
            "cuts": [int(times[c]) for c in cuts],
            "tracker": engine.name,
            "tracker_licence": engine.licence,
            "contract_version": schema.CONTRACT_VERSION,
        },
    )
    if "seconds" in frames.coords:
        ds = ds.assign_coords(seconds=("time", frames["seconds"].values))
    if frames.attrs.get("fps"):
        ds.attrs["fps"] = float(frames.attrs["fps"])
    if plan is not None and result.support_xy is not None:
        dims = ("window", "support", "step")
        ds["support_xy"] = ((*dims, "coord"), result.support_xy)
        ds["support_visible"] = (dims, result.support_visible)
        ds = ds.assign_coords(
            window_start=("window", times[plan.start]),
            window_stride=("window", plan.stride),
            window_frame=(
                ("window", "step"),
                np.where(plan.frames < 0, -1, times[plan.frames]),
            ),
        )
    schema.validate(ds)
    return schema.annotate(ds)
