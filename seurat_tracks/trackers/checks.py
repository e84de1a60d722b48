"""Check what a tracker answered before anything is built on it."""

from __future__ import annotations

import numpy as np

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.base import TrackResult
from seurat_tracks.trackers.queries import Queries
from seurat_tracks.windows import WindowPlan


def check_result(
    result: TrackResult,
    queries: Queries,
    n_frames: int,
    frame_size: tuple[int, int],
    plan: WindowPlan | None,
    name: str,
) -> None:
    """Refuse an answer of another order, shape, dtype, or with values missing.

    Parameters
    ----------
    result
        What the tracker returned.
    queries
        What it was asked; track k must pass through query k.
    n_frames
        Frames of the video.
    frame_size
        Width and height of the frame, pixels.
    plan
        Windows it was asked for, None for no support.
    name
        The tracker's name, for the text.

    Raises
    ------
    TrackerError
        Every fault at once.

    Notes
    -----
    Order is checked where it can be seen: on its query's own frame a visible track
    must lie within 2 % of the longer side (at least 3 pixels) of the query.
    """
    shape = (len(queries), n_frames)
    faults = _array_faults("xy", result.xy, (*shape, 2), "f")
    faults += _array_faults("visible", result.visible, shape, "b")
    faults += _array_faults("confidence", result.confidence, shape, "f")
    if not faults:
        faults += _values(result.xy, result.visible, "")
        c = result.confidence
        with np.errstate(invalid="ignore"):
            if ((c < 0) | (c > 1)).any():
                faults.append("confidence lies outside 0..1")
        faults += _order(result, queries, frame_size)
    xy, visible = result.support_xy, result.support_visible
    if (xy is None) != (visible is None):
        faults.append("support_xy and support_visible must come together")
    elif xy is not None and visible is not None:
        if plan is None:
            faults.append("support was not asked for")
        elif xy.ndim != 4:
            faults.append(f"support_xy has shape {xy.shape}, expected 4 dims")
        else:
            want = (len(plan), xy.shape[1], plan.frames.shape[1])
            wrong = _array_faults("support_xy", xy, (*want, 2), "f")
            wrong += _array_faults("support_visible", visible, want, "b")
            faults += wrong or _values(xy, visible, "support_")
    if faults:
        raise TrackerError(
            f"the tracker {name!r} gave an answer that cannot be used: "
            f"{'; '.join(faults)}. This is a fault of the tracker, not of the video."
        )


def _array_faults(
    name: str, array: object, shape: tuple[int, ...], kind: str
) -> list[str]:
    if not isinstance(array, np.ndarray):
        return [f"{name} is a {type(array).__name__}, not a NumPy array"]
    faults = []
    if array.shape != shape:
        faults.append(f"{name} has shape {array.shape}, expected {shape}")
    if array.dtype.kind != kind:
        wanted = {"f": "float", "b": "bool"}[kind]
        faults.append(f"{name} has dtype {array.dtype}, expected {wanted}")
    return faults


def _values(xy: np.ndarray, visible: np.ndarray, prefix: str) -> list[str]:
    missing = visible & ~np.isfinite(xy).all(axis=-1)
    faults = []
    if missing.any():
        faults.append(
            f"{prefix}xy is NaN or infinite in {missing.sum()} places where "
            f"{prefix}visible is True"
        )
    if np.isinf(xy).any():
        faults.append(f"{prefix}xy holds infinities")
    return faults


def _order(
    result: TrackResult, queries: Queries, frame_size: tuple[int, int]
) -> list[str]:
    track = np.arange(len(queries))
    seen = result.visible[track, queries.frame]
    at = result.xy[track, queries.frame]
    with np.errstate(invalid="ignore"):
        off = np.abs(at - queries.xy).max(axis=1)
        wrong = np.flatnonzero(seen & (off > max(3.0, 0.02 * max(frame_size))))
    if len(wrong) == 0:
        return []
    k = int(wrong[0])
    return [
        f"{len(wrong)} tracks do not pass through their queries (track {k} is at "
        f"{at[k].round(1).tolist()}, its query at {queries.xy[k].round(1).tolist()}): "
        "another order, or another convention of coordinates"
    ]
