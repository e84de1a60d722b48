"""Poses from NWB files (the ``ndx-pose`` extension), read as plain HDF5."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io._hdf5 import array_of, holds, open_hdf5, text_of
from seurat_tracks.io.poses import (
    DEFAULT_INDIVIDUAL,
    build_poses,
    check_threshold,
    frames_from_seconds,
    need_frame_size,
)

_WHAT = "an NWB file with poses"


class _Series(NamedTuple):
    """One keypoint of one animal."""

    individual: str
    keypoint: str
    xy: np.ndarray
    score: np.ndarray | None
    seconds: np.ndarray
    rate: float | None


def read_nwb(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    min_confidence: float = 0.0,
) -> xr.Dataset:
    """Read 2D poses from an NWB file.

    Parameters
    ----------
    path
        An HDF5 file with ``PoseEstimation`` objects of the ``ndx-pose`` extension, one
        an animal, anywhere in it.
    frame_size
        Width and height of the video in pixels, unless the file's source video says.
    fps
        Frames per second. Needed where keypoints have other moments than each other,
        because frames in which nothing was found are then missing from the file.
    min_confidence
        A keypoint counts as seen where its confidence is above this.

    Returns
    -------
    xarray.Dataset
        Tracks ``individual/keypoint``, ``xy`` (track, time, coord) pixels as they are
        in the file, ``visible``, ``confidence``, ``seconds``; the coordinates
        ``individual`` and ``keypoint``. The only animal of a file is named by its
        subject's id. Frames are numbered by the rate, or by ``fps`` if given; moments
        without either are numbered from 0. NaN as confidence is not seen.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If ``frame_size`` or ``fps`` is missing, poses are in 3D or not in pixels,
        arrays differ in length, or the file is damaged or holds no poses.
    """
    path = Path(path)
    check_threshold(min_confidence)
    with open_hdf5(path, _WHAT) as file:
        poses = _poses(file)
        if not poses:
            raise SeuratTracksError(
                f"{path} is not {_WHAT}: it holds no PoseEstimation of ndx-pose"
            )
        series = [
            _series(path, group, name, individual)
            for individual, group in _individuals(file, poses)
            for name in group
            if _type(group[name]) == "PoseEstimationSeries"
        ]
        size = _size(path, poses)
    if not series:
        raise SeuratTracksError(f"{path} has no keypoints: the skeleton is empty")
    frame_size = need_frame_size(path, size, frame_size)
    time, seconds, rate = _moments(path, series, fps)
    xy = np.full((len(time), len(series), 2), np.nan)
    score = np.full(xy.shape[:2], np.nan)
    unscored = np.array([one.score is None for one in series])
    for column, one in enumerate(series):
        at = np.searchsorted(seconds, one.seconds)
        xy[at, column] = one.xy
        if one.score is not None:
            score[at, column] = one.score
    return build_poses(
        xy,
        score,
        individuals=[one.individual for one in series],
        keypoints=[one.keypoint for one in series],
        frame_size=frame_size,
        fps=rate,
        min_confidence=min_confidence,
        source="NWB",
        time=time,
        seconds=seconds,
        unscored_seen=unscored,
    )


def recognises(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is NWB and holds poses, by its content.

    Parameters
    ----------
    path
        Any path; it need not exist.

    Returns
    -------
    bool
    """
    return holds(path, lambda file: "nwb_version" in file.attrs and bool(_poses(file)))


def _type(node: Any) -> str:
    return text_of(node.attrs.get("neurodata_type", b""))


def _poses(file: Any) -> list[Any]:
    """Find every animal's group, in the order of their paths."""
    import h5py

    found: dict[str, Any] = {}

    def look(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and _type(node) == "PoseEstimation":
            found[name] = node

    file.visititems(look)
    return [found[name] for name in sorted(found)]


def _individuals(file: Any, poses: list[Any]) -> list[tuple[str, Any]]:
    if len(poses) == 1:
        subject = file.get("general/subject/subject_id")
        name = DEFAULT_INDIVIDUAL if subject is None else text_of(subject[()])
        return [(name, poses[0])]
    names = [p.name.rsplit("/", 1)[-1].removeprefix("track=") for p in poses]
    if len(set(names)) < len(names):
        names = [p.name.removeprefix("/processing/") for p in poses]
    return list(zip(names, poses, strict=True))


def _series(path: Path, group: Any, name: str, individual: str) -> _Series:
    node = group[name]
    where = f"{path}: {node.name}"
    xy = array_of(path, node, "data").astype(np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise SeuratTracksError(
            f"{where} has data of shape {xy.shape}, expected (time, 2): only 2D poses "
            "can be lifted"
        )
    unit = text_of(node["data"].attrs.get("unit", b"pixels")).lower()
    if not unit.startswith(("pixel", "px")):
        raise SeuratTracksError(f"{where} is in {unit!r}, expected pixels")
    score = None
    if "confidence" in node:
        score = array_of(path, node, "confidence").astype(np.float64)
    rate = None
    if "timestamps" in node:
        seconds = array_of(path, node, "timestamps").astype(np.float64)
    elif "starting_time" in node:
        rate = float(node["starting_time"].attrs["rate"])
        start = float(node["starting_time"][()])
        if not (np.isfinite([rate, start]).all() and rate > 0):
            raise SeuratTracksError(
                f"{where} has the rate {rate} and starts at {start}"
            )
        seconds = start + np.arange(len(xy)) / rate
    else:
        raise SeuratTracksError(f"{where} has neither timestamps nor a rate")
    lengths = {"data": len(xy), "timestamps": len(seconds)}
    if score is not None:
        lengths["confidence"] = len(score)
    if len(set(lengths.values())) > 1 or seconds.ndim != 1:
        raise SeuratTracksError(f"{where} has arrays of different lengths: {lengths}")
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise SeuratTracksError(f"{where} has timestamps that do not increase")
    keypoint = node.name.rsplit("/", 1)[-1]
    return _Series(individual, keypoint, xy, score, seconds, rate)


def _moments(
    path: Path, series: list[_Series], fps: float | None
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Return frame numbers, seconds and the rate, for all series together."""
    seconds = np.unique(np.concatenate([one.seconds for one in series]))
    if not len(seconds):
        raise SeuratTracksError(f"{path} holds no frames")
    if fps is None and all(one.rate == series[0].rate for one in series):
        fps = series[0].rate
    if fps is not None:
        time, rate = frames_from_seconds(path, seconds, fps)
        return time, seconds, rate
    if any(len(one.seconds) != len(seconds) for one in series):
        raise SeuratTracksError(
            f"{path}: its keypoints have other moments than each other, so frames "
            "without any are missing and cannot be numbered: give fps="
        )
    return np.arange(len(seconds)), seconds, None


def _size(path: Path, poses: list[Any]) -> list[int] | None:
    """Return the frame's size if the file says it, the same for every animal."""
    sizes = set()
    for pose in poses:
        for node, name in (
            (pose.get("source_video"), "dimension"),
            (pose, "dimensions"),
        ):
            if node is None or name not in node:
                continue
            array = array_of(path, node, name)
            if array.dtype.kind in "iu" and array.size and array.size % 2 == 0:
                sizes |= {(int(w), int(h)) for w, h in array.reshape(-1, 2)}
                break
    if len(sizes) != 1 or min(min(sizes)) <= 0:
        return None
    return list(sizes.pop())
