"""Which points to follow: grids, good features, or points of the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError

FRAME_NAMES = ("frame", "query_frame", "time", "t")
"""Column names understood as the frame number of a query."""

ID_NAMES = ("track", "id", "ids")
"""Column names understood as the caller's id of a query."""

_FORMS = (
    "Give an array (N, 2) of x, y in pixels on the first frame; an array (N, 3) of "
    "frame, x, y; or named columns (dict, DataFrame, Dataset) x, y and, if not the "
    "first frame, frame"
)


@dataclass(frozen=True)
class Queries:
    """Points to follow, checked against a video.

    Attributes
    ----------
    frame : int array (track,)
        Position on the time axis at which each point is given.
    xy : float32 array (track, 2)
        Pixels, pixel centres at integers.
    ids : array (track,) or None
        The caller's own ids, where the queries came with some.
    """

    frame: np.ndarray
    xy: np.ndarray
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frame)


def grid(n: int, frame_size: tuple[int, int]) -> np.ndarray:
    """Centres of n x n equal cells that cover the image, row by row.

    Parameters
    ----------
    n
        Points along each side.
    frame_size
        Width and height in pixels.

    Returns
    -------
    float32 array (n * n, 2)
        x, y in pixels, pixel centres at integers: the image spans -0.5 .. width - 0.5.

    Examples
    --------
    >>> grid(2, (8, 4)).tolist()
    [[1.5, 0.5], [5.5, 0.5], [1.5, 2.5], [5.5, 2.5]]
    """
    if n < 1:
        raise TrackerError(f"a grid needs at least 1 point a side, got {n}.")
    width, height = frame_size
    x = (np.arange(n) + 0.5) * width / n - 0.5
    y = (np.arange(n) + 0.5) * height / n - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)


def good_features(
    video: xr.DataArray, n: int = 300, *, frame: int | None = None
) -> np.ndarray:
    """Corners that can be followed well (Shi and Tomasi 1994), best first.

    Parameters
    ----------
    video
        DataArray (time, y, x, rgb) of `seurat_tracks.io.video.open_video`.
    n
        Most points to return; fewer where the picture has fewer corners.
    frame
        Frame number to look at, the first one by default.

    Returns
    -------
    float64 array (N, 3)
        frame, x, y: queries for `track`.

    Raises
    ------
    TrackerError
        The frame is not in the video, or has no corner at all.
    """
    import cv2

    times = video["time"].values
    frame = int(times[0]) if frame is None else frame
    if frame not in times:
        raise TrackerError(
            f"frame {frame} is not in the video ({times[0]}..{times[-1]})."
        )
    grey = cv2.cvtColor(video.sel(time=frame).to_numpy(), cv2.COLOR_RGB2GRAY)
    spread = 0.7 * np.sqrt(grey.size / max(n, 1))
    # None where there is no corner, whatever OpenCV's stubs say.
    found: Any = cv2.goodFeaturesToTrack(grey, n, 0.005, spread)
    if found is None or len(found) == 0:
        raise TrackerError(
            f"frame {frame} has no corner to follow; choose another frame or a grid."
        )
    xy = found.reshape(-1, 2)
    return np.column_stack([np.full(len(xy), float(frame)), xy])


def parse_queries(queries: Any, video: xr.DataArray) -> Queries:
    """Check a caller's points against a video, all faults in one error.

    Parameters
    ----------
    queries
        Array (N, 2) of x, y in pixels on the first frame; array (N, 3) of frame, x,
        y; or a dict, DataFrame or Dataset with columns `x`, `y`, optionally `frame`
        (or `query_frame`, `time`, `t`) and `track` (or `id`). Frames are frame
        numbers, values of `video.time`. Order and ids are kept.
    video
        DataArray (time, y, x, rgb).

    Raises
    ------
    TrackerError
        No queries; wrong shape or names; NaN or infinite values; points outside the
        image or frames outside the video.

    Notes
    -----
    The order (t, y, x) of TAP-Vid and TAPIR cannot be told from (frame, x, y): swap
    the columns, and take 0.5 from x and y, since their first pixel's centre is 0.5.
    """
    frame, xy, ids = _columns(queries)
    width, height = video.attrs["frame_size"]
    times = video["time"].values
    frame = np.full(len(xy), float(times[0])) if frame is None else frame
    if len(xy) == 0:
        raise TrackerError(f"there are no queries. {_FORMS}.")
    faults = []
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        faults.append(f"x or y is NaN or infinite in {_rows(bad)}")
    x, y = xy.T
    with np.errstate(invalid="ignore"):
        outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    outside &= ~bad
    if outside.any():
        faults.append(
            f"outside the image of {width} x {height} pixels in {_rows(outside)} "
            f"(first at x={x[outside][0]:g}, y={y[outside][0]:g})"
        )
    bad_frame = ~np.isfinite(frame)
    position = np.searchsorted(times, np.where(bad_frame, times[0], frame))
    position = np.minimum(position, len(times) - 1)
    bad_frame |= times[position] != frame
    if bad_frame.any():
        faults.append(
            f"frame is not one of the video's {times[0]}..{times[-1]} in "
            f"{_rows(bad_frame)} (first: {frame[bad_frame][0]:g})"
        )
    if (outside.any() or bad_frame.any()) and _columns_are_positional(queries):
        faults.append(
            "columns are read as frame, x, y; the order t, y, x cannot be guessed: "
            "if yours is that, pass queries[:, [0, 2, 1]]"
        )
    if ids is not None and len(np.unique(ids)) < len(ids):
        faults.append("ids are not unique")
    if faults:
        raise TrackerError("the queries do not fit the video: " + "; ".join(faults))
    return Queries(position.astype(np.int64), xy.astype(np.float32), ids)


def _columns_are_positional(queries: Any) -> bool:
    return not hasattr(queries, "keys") and np.asarray(queries).shape[-1:] == (3,)


def _rows(mask: np.ndarray) -> str:
    where = np.flatnonzero(mask)
    shown = ", ".join(map(str, where[:5])) + (", ..." if len(where) > 5 else "")
    return f"{len(where)} of {len(mask)} queries (rows {shown})"


def _columns(
    queries: Any,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Frame (or None), xy and ids (or None) of any accepted form."""
    if isinstance(queries, Mapping | xr.Dataset) or hasattr(queries, "columns"):
        return _named(queries)
    try:
        array = np.asarray(queries, dtype=np.float64)
    except (TypeError, ValueError) as error:
        text = f"the queries are not numbers ({error}). {_FORMS}."
        raise TrackerError(text) from None
    if array.size == 0:
        return None, np.empty((0, 2)), None
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise TrackerError(f"the queries have shape {array.shape}. {_FORMS}.")
    if array.shape[1] == 2:
        return None, array, None
    return array[:, 0], array[:, 1:], None


def _named(queries: Any) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
    names = (
        [str(n) for n in queries.variables]
        if isinstance(queries, xr.Dataset)
        else [str(n) for n in queries]
    )
    missing = [n for n in ("x", "y") if n not in names]
    if missing:
        raise TrackerError(
            f"the queries lack {' and '.join(missing)}; they have "
            f"{', '.join(sorted(names)) or 'no columns'}. {_FORMS}."
        )
    frames = [n for n in FRAME_NAMES if n in names]
    if len(frames) > 1:
        raise TrackerError(f"the queries name the frame twice: {', '.join(frames)}.")
    ids = next((n for n in ID_NAMES if n in names), None)
    wanted = ["x", "y", *frames]
    try:
        values = {n: np.asarray(queries[n], dtype=np.float64) for n in wanted}
    except (TypeError, ValueError) as error:
        raise TrackerError(f"the queries are not numbers ({error}).") from None
    labels = None if ids is None else np.asarray(queries[ids])
    shapes = {n: v.shape for n, v in values.items()}
    if labels is not None:
        shapes[str(ids)] = labels.shape
    if len(set(shapes.values())) > 1 or any(len(s) != 1 for s in shapes.values()):
        raise TrackerError(
            "the columns of the queries must be one-dimensional and equally long, "
            f"got {', '.join(f'{n} {s}' for n, s in shapes.items())}."
        )
    frame = values[frames[0]] if frames else None
    return frame, np.column_stack([values["x"], values["y"]]), labels
