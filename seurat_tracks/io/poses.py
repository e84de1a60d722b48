"""Poses of animals and people as tracks: what every reader of keypoints shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.arrays import from_arrays

DEFAULT_INDIVIDUAL = "individual_0"
"""Name of the only animal of a file that names none, as `movement` has it."""

SEPARATOR = "/"


def track_ids(individuals: Sequence[str], keypoints: Sequence[str]) -> list[str]:
    """Name tracks ``individual/keypoint``.

    Parameters
    ----------
    individuals, keypoints
        One of each a track.

    Returns
    -------
    list of str

    Raises
    ------
    SeuratTracksError
        If two tracks would get the same id.

    Examples
    --------
    >>> track_ids(["a", "b"], ["nose", "nose"])
    ['a/nose', 'b/nose']
    """
    ids = [SEPARATOR.join(pair) for pair in zip(individuals, keypoints, strict=True)]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise SeuratTracksError(
            f"these individuals and keypoints are there twice: {twice}. Cure: give "
            f"each its own name, without {SEPARATOR!r} in it"
        )
    return ids


def build_poses(
    xy: np.ndarray,
    score: np.ndarray | None,
    *,
    individuals: Sequence[str],
    keypoints: Sequence[str],
    frame_size: Sequence[int],
    fps: float | None,
    min_confidence: float,
    source: str,
    time: np.ndarray | None = None,
    seconds: np.ndarray | None = None,
    unscored_seen: bool | np.ndarray = False,
) -> xr.Dataset:
    """Build a Dataset of tracks from keypoints.

    Parameters
    ----------
    xy : float array (time, track, 2)
        Positions in pixels, NaN where there is none; a position that is NaN or
        infinite in one number is none.
    score : float array (time, track), optional
        Likelihood or score of each position. Values above 1, which peaks of
        confidence maps can have, become 1; those below 0 become 0.
    individuals, keypoints
        Names, one of each a track.
    frame_size
        Width and height in pixels.
    fps
        Frames per second, where known.
    min_confidence
        A point counts as seen where its score is above this.
    source
        The program that made the poses; kept as the attribute ``tracker``.
    time, seconds
        As in `seurat_tracks.from_arrays`.
    unscored_seen
        What a position with NaN as its score is, for all tracks or each (track,):
        True where a program gives no score to points that a person placed.

    Returns
    -------
    xarray.Dataset
        Tracks named by `track_ids`, with the coordinates ``individual`` and
        ``keypoint`` (track), ``xy``, ``visible``, ``confidence``. If no point has a
        score there is no ``confidence``, and what has a position is seen.

    Raises
    ------
    SeuratTracksError
        If there are no keypoints, `min_confidence` is not in 0..1, or nothing is above
        it.
    SchemaError
        If the tracks break the contract.
    """
    check_threshold(min_confidence)
    if not len(keypoints):
        raise SeuratTracksError("there are no keypoints: the skeleton is empty")
    xy = np.where(np.isfinite(xy).all(-1, keepdims=True), xy, np.nan)
    visible = np.isfinite(xy).all(-1)
    if score is not None and np.isnan(score).all():
        score = None
    if score is not None:
        score = np.clip(score, 0, 1)
        with np.errstate(invalid="ignore"):
            above = score > min_confidence
        visible &= above | (np.isnan(score) & unscored_seen)
        if not visible.any():
            raise SeuratTracksError(
                f"no keypoint has a confidence above min_confidence={min_confidence}; "
                f"the largest is {np.nanmax(score):.3g}. Cure: give a lower one"
            )
    ds = from_arrays(
        xy,
        visible,
        frame_size=frame_size,
        fps=fps,
        ids=track_ids(individuals, keypoints),
        time=time,
        seconds=seconds,
        confidence=score,
        axes="time track",
    )
    return named(ds, individuals, keypoints, source, min_confidence)


def named(
    ds: xr.Dataset,
    individuals: Sequence[str],
    keypoints: Sequence[str],
    source: str,
    min_confidence: float,
) -> xr.Dataset:
    """Keep both names of every track as coordinates, and how visibility was made.

    Parameters
    ----------
    ds
        Tracks.
    individuals, keypoints, source, min_confidence
        As in `build_poses`.

    Returns
    -------
    xarray.Dataset
    """
    ds = ds.assign_coords(
        individual=("track", np.asarray(individuals, dtype=np.str_)),
        keypoint=("track", np.asarray(keypoints, dtype=np.str_)),
    )
    ds.attrs |= {"tracker": source, "min_confidence": float(min_confidence)}
    return ds


def check_threshold(min_confidence: float) -> None:
    """Refuse a threshold that is no number in 0..1.

    Parameters
    ----------
    min_confidence
        The option as it was given.

    Raises
    ------
    SeuratTracksError
    """
    try:
        fits = 0 <= float(min_confidence) <= 1
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise SeuratTracksError(
            f"min_confidence is {min_confidence!r}; give a number from 0 to 1"
        )


def need_frame_size(path: Path | str, found: Any, given: Any) -> Any:
    """Return the frame's size as given, else as found, else say how to give it.

    Parameters
    ----------
    path
        The file, for the error.
    found, given
        Width and height, or None.

    Returns
    -------
    sequence of int

    Raises
    ------
    SeuratTracksError
        If neither is known, or the two contradict each other.
    """
    if given is None and found is None:
        raise SeuratTracksError(
            f"{path} does not say how large the video's frames are: give "
            "frame_size=(width, height), in pixels"
        )
    if given is None:
        return found
    if found is not None and [int(v) for v in found] != [int(v) for v in given]:
        raise SeuratTracksError(
            f"{path} says that its frames are {tuple(int(v) for v in found)}, and "
            f"frame_size={tuple(given)} says otherwise: leave frame_size out, or scale "
            "xy to the other size"
        )
    return given


def frames_from_seconds(
    path: Path | str, seconds: np.ndarray, fps: float | None
) -> tuple[np.ndarray, float]:
    """Give frames their numbers by the moments at which they were shown.

    Parameters
    ----------
    path
        The file, for errors.
    seconds : float array (time,)
        Strictly increasing.
    fps
        Frames per second.

    Returns
    -------
    time : int array (time,)
        ``round(seconds * fps)``.
    fps : float

    Raises
    ------
    SeuratTracksError
        If `fps` is None, or is not the rate of these moments.
    """
    if fps is None:
        raise SeuratTracksError(
            f"{path} gives times in seconds and no frame rate, so frames cannot be "
            "numbered: give fps="
        )
    seconds = np.asarray(seconds, dtype=np.float64)
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise SeuratTracksError(
            f"{path}: its times are not finite and strictly increasing seconds"
        )
    exact = seconds * float(fps)
    if np.abs(exact).max(initial=0) > 2**53:
        raise SeuratTracksError(f"{path}: its times are beyond any video")
    time = np.rint(exact).astype(np.int64)
    if (np.abs(exact - time) > 0.25).any() or (np.diff(time) <= 0).any():
        raise SeuratTracksError(
            f"{path}: its times are not multiples of 1 / fps = 1 / {fps:g} s. Cure: "
            "give the fps of the video that was tracked"
        )
    return time, float(fps)
