"""Arrays of true and predicted 3D tracks, checked and cut into single videos."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from seurat_tracks.errors import SchemaError

AXES = ("track time", "time track", "video track time", "video time track")
"""Orders of the leading axes that arrays may come in."""

Per = Literal["video", "track"]
Scores = dict[str, Any]


class Video(NamedTuple):
    """True and predicted tracks of one video.

    Attributes
    ----------
    gt_xyz, pred_xyz : float array (N, T, 3)
        Positions in the camera's frame: x right, y down, z forward.
    gt_visible, pred_visible : bool array (N, T)
    query_frame : int array (N,) or None
        Positions on the time axis.
    """

    gt_xyz: np.ndarray
    gt_visible: np.ndarray
    pred_xyz: np.ndarray
    pred_visible: np.ndarray
    query_frame: np.ndarray | None = None

    @property
    def both(self) -> np.ndarray:
        """Observations (N, T) that the truth and the prediction call visible."""
        return self.gt_visible & self.pred_visible


def split(
    axes: str,
    gt_xyz: Any,
    gt_visible: Any,
    pred_xyz: Any,
    pred_visible: Any,
    query_frame: Any = None,
) -> list[Video]:
    """Check arrays and cut them into videos with track first, time second.

    Parameters
    ----------
    axes, gt_xyz, gt_visible, pred_xyz, pred_visible, query_frame
        As in `seurat_tracks.evaluation.align.align`. float32 and wider keep their
        precision; anything else becomes float64.

    Returns
    -------
    list of Video
        One, unless `axes` names video.

    Raises
    ------
    SchemaError
        If the arrays do not fit together; lists every fault.
    """
    if axes not in AXES:
        raise SchemaError(f"axes is {axes!r}; give one of {list(AXES)}")
    true, guess = _floats(gt_xyz), _floats(pred_xyz)
    seen, answered = np.asarray(gt_visible), np.asarray(pred_visible)
    wanted = axes.replace(" ", ", ")
    faults = []
    if true.ndim != len(axes.split()) + 1 or true.shape[-1] != 3:
        faults.append(f"gt_xyz has shape {true.shape}, expected ({wanted}, 3)")
    if guess.shape != true.shape:
        faults.append(f"pred_xyz has shape {guess.shape}, expected {true.shape}")
    if "video" in axes and not len(true):
        faults.append("there is no video")
    for name, flag in (("gt_visible", seen), ("pred_visible", answered)):
        if flag.shape != true.shape[:-1]:
            faults.append(f"{name} has shape {flag.shape}, expected {true.shape[:-1]}")
        if flag.dtype != bool and not np.isin(flag, (0, 1)).all():
            faults.append(
                f"{name} holds values other than True and False: threshold "
                "probabilities first, as with > 0.5"
            )
    if faults:
        raise SchemaError(
            f"with axes={axes!r}: {'; '.join(faults)}. Give all four in one order and "
            f"name it, one of {list(AXES)}"
        )
    true, guess = track_first(axes, true), track_first(axes, guess)
    seen = track_first(axes, seen.astype(bool))
    answered = track_first(axes, answered.astype(bool))
    batched = "video" in axes
    query = _query_frames(query_frame, seen.shape if batched else (1, *seen.shape))
    if not batched:
        one = None if query is None else query[0]
        return [Video(true, seen, guess, answered, one)]
    return [
        Video(
            true[i],
            seen[i],
            guess[i],
            answered[i],
            None if query is None else query[i],
        )
        for i in range(len(true))
    ]


def track_first(axes: str, array: np.ndarray) -> np.ndarray:
    """Move an array's axes to ([video], track, time, ...), or back: it is a swap."""
    first = int("video" in axes)
    return array if "track time" in axes else array.swapaxes(first, first + 1)


def join(found: list[Scores], axes: str) -> Scores:
    """Stack the videos' scores; of a single video, floats or one value a track."""
    if "video" in axes:
        return {name: np.stack([f[name] for f in found]) for name in found[0]}
    return {
        name: float(value) if np.ndim(value) == 0 else value
        for name, value in found[0].items()
    }


def _floats(values: Any) -> np.ndarray:
    array = np.asarray(values)
    kept = array.dtype.kind == "f" and array.dtype.itemsize >= 4
    return array if kept else array.astype(np.float64)


def _query_frames(values: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return positions on the time axis (video, track), or None without any."""
    if values is None:
        return None
    videos, tracks, times = shape
    frames = np.rint(np.asarray(values))
    if frames.shape not in ((videos, tracks), (tracks,) if videos == 1 else ()):
        raise SchemaError(
            f"query_frame has shape {frames.shape}, expected one position on the time "
            f"axis for each of {tracks} tracks"
            + (f" of each of {videos} videos" if videos > 1 else "")
        )
    outside = ~((frames >= 0) & (frames < times))
    if outside.any():
        raise SchemaError(
            f"query_frame: {outside.sum()} lie outside the {times} frames; they count "
            "positions on the time axis from 0"
        )
    return frames.astype(np.int64).reshape(videos, tracks)
