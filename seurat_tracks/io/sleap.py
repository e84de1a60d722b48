"""Poses from SLEAP: its projects (``.slp``) and its analysis files (HDF5)."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io._hdf5 import array_of, errors_of, holds, open_hdf5, text_of
from seurat_tracks.io.poses import (
    DEFAULT_INDIVIDUAL,
    build_poses,
    check_threshold,
    need_frame_size,
)

_ANALYSIS = "an analysis file of SLEAP"
_PROJECT = "a project of SLEAP"
_DIMS = {
    "tracks": ("track", "xy", "node", "frame"),
    "point_scores": ("track", "node", "frame"),
}
_UNTRACKED = (
    "its instances are not tracked, so nothing says which animal is which from frame "
    "to frame. Cure: track them in SLEAP, and export again"
)


def read_sleap(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    min_confidence: float = 0.0,
    video: int | None = None,
) -> xr.Dataset:
    """Read poses from a SLEAP project or an analysis file.

    Parameters
    ----------
    path
        A ``.slp`` project (read through `sleap_io`) or the HDF5 file that SLEAP's
        "Export Analysis HDF5" writes; told apart by content.
    frame_size
        Width and height of the video in pixels. Projects mostly say it; analysis
        files of SLEAP itself do not.
    fps
        Frames per second, which the files do not say; may stay unknown.
    min_confidence
        A keypoint counts as seen where its score is above this. SLEAP has already
        left out what was under its own threshold.
    video
        Which video of a project, counted from 0; needed when there are several.

    Returns
    -------
    xarray.Dataset
        Tracks ``individual/keypoint``, ``xy`` (track, time, coord) pixels as they are
        in the file (SLEAP has the first pixel's centre at 0), ``visible``,
        ``confidence`` = point score, cut to 0..1; the coordinates ``individual`` and
        ``keypoint``. A point without a score was placed by a person: it is seen and
        has no confidence. An instance that a person placed or corrected replaces
        SLEAP's own of the same animal in that frame.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If ``frame_size`` or ``video`` is missing, several animals are not tracked, or
        the file is damaged or not SLEAP's.

    Warns
    -----
    UserWarning
        If some instances belong to no track; they are left out, and counted.
    """
    path = Path(path)
    check_threshold(min_confidence)
    with open_hdf5(path, f"{_PROJECT}, or {_ANALYSIS}") as file:
        kind = _kind(file)
    if kind == "analysis":
        return _read_analysis(path, frame_size, fps, min_confidence)
    if kind == "project":
        return _read_project(path, frame_size, fps, min_confidence, video)
    raise SeuratTracksError(f"{path} is neither {_PROJECT} nor {_ANALYSIS}")


def recognises(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is a project or an analysis file of SLEAP, by its content.

    Parameters
    ----------
    path
        Any path; it need not exist.

    Returns
    -------
    bool
    """
    return holds(path, lambda file: bool(_kind(file)))


def _kind(file: Any) -> str:
    if {"tracks", "node_names", "track_names"} <= set(file):
        return "analysis"
    if {"metadata", "instances", "frames"} <= set(file):
        return "project"
    return ""


def _read_analysis(
    path: Path,
    frame_size: Sequence[int] | None,
    fps: float | None,
    min_confidence: float,
) -> xr.Dataset:
    with open_hdf5(path, _ANALYSIS) as file:
        xy = _ordered(path, file, "tracks")
        score = None
        if "point_scores" in file:
            score = _ordered(path, file, "point_scores")
        nodes = [text_of(v) for v in array_of(path, file, "node_names").ravel()]
        names = [text_of(v) for v in array_of(path, file, "track_names").ravel()]
        size = _analysis_size(file)
    n_frames, n_animals, n_nodes, n_coords = xy.shape
    if not names and n_animals == 1:
        names = [DEFAULT_INDIVIDUAL]
    elif not names:
        raise SeuratTracksError(f"{path}: {_UNTRACKED}")
    faults = []
    if not nodes:
        faults.append("there are no keypoints: the skeleton is empty")
    if n_coords != 2 or n_nodes != len(nodes) or n_animals != len(names):
        faults.append(
            f"tracks hold {n_animals} animals, {n_nodes} nodes and {n_coords} "
            f"coordinates, for {len(names)} names, {len(nodes)} nodes and x, y"
        )
    if score is not None and score.shape != xy.shape[:3]:
        faults.append(f"point_scores have shape {score.shape}, tracks {xy.shape[:3]}")
    if not n_frames:
        faults.append("there are no frames")
    if faults:
        raise SeuratTracksError(f"{path}: {'; '.join(faults)}")
    return _build(
        xy, score, names, nodes, need_frame_size(path, size, frame_size), fps,
        min_confidence, np.arange(n_frames),
    )  # fmt: skip


def _ordered(path: Path, file: Any, name: str) -> np.ndarray:
    """Read an array as (frame, track, node[, xy]), whatever order it says it has."""
    array = array_of(path, file, name)
    said = file[name].attrs.get("dims")
    dims = tuple(json.loads(text_of(said))) if said is not None else _DIMS[name]
    wanted = [d for d in ("frame", "track", "node", "xy") if d in _DIMS[name]]
    if sorted(dims) != sorted(wanted) or array.ndim != len(dims):
        raise SeuratTracksError(
            f"{path}: {name} has shape {array.shape} and dimensions {dims}, expected "
            f"{_DIMS[name]}"
        )
    if array.dtype.kind not in "fiu":
        raise SeuratTracksError(f"{path}: {name} holds {array.dtype} values")
    return array.transpose([dims.index(d) for d in wanted]).astype(np.float64)


def _analysis_size(file: Any) -> list[int] | None:
    """Return the frame's size, which files that sleap-io wrote may hold."""
    try:
        said = json.loads(text_of(file.attrs["video_backend_metadata"]))["shape"]
        return _width_height(said)
    except (KeyError, TypeError, ValueError):
        return None


def _width_height(shape: Any) -> list[int] | None:
    """Read (frames, height, width, channels)."""
    if shape is None or len(shape) != 4:
        return None
    height, width = int(shape[1]), int(shape[2])
    return [width, height] if min(width, height) > 0 else None


def _read_project(
    path: Path,
    frame_size: Sequence[int] | None,
    fps: float | None,
    min_confidence: float,
    video: int | None,
) -> xr.Dataset:
    try:
        import sleap_io
    except ImportError:
        raise SeuratTracksError(
            f"{path}: reading a SLEAP project needs sleap-io: pip install "
            '"seurat-tracks[sleap]". Or export an analysis HDF5 from SLEAP'
        ) from None
    with errors_of(path, _PROJECT):
        labels = sleap_io.load_slp(os.fspath(path), open_videos=False)
        chosen = _choose(path, labels, video)
        frames = [f for f in labels.labeled_frames if f.video is chosen]
        skeletons = {id(i.skeleton): i.skeleton for f in frames for i in f.instances}
        if len(skeletons) > 1:
            raise SeuratTracksError(
                f"{path} has {len(skeletons)} skeletons, expected 1"
            )
        nodes = [n for s in skeletons.values() for n in s.node_names]
        if not frames or not skeletons or not nodes:
            raise SeuratTracksError(f"{path} holds no instances, or an empty skeleton")
        names, rows = _rows(path, labels, frames)
        time, xy, score = _fill(path, frames, rows, len(names), len(nodes))
        size = None
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            size = _width_height(chosen.shape)
    return _build(
        xy, score, names, nodes, need_frame_size(path, size, frame_size), fps,
        min_confidence, time,
    )  # fmt: skip


def _choose(path: Path, labels: Any, video: int | None) -> Any:
    videos = list(labels.videos)
    if video is None and len(videos) == 1:
        return videos[0]
    listed = ", ".join(f"{i}: {v.filename}" for i, v in enumerate(videos))
    if video is None or not 0 <= video < len(videos):
        raise SeuratTracksError(
            f"{path} has {len(videos)} videos ({listed}): give video=, one of their "
            "numbers"
        )
    return videos[video]


def _rows(
    path: Path, labels: Any, frames: list[Any]
) -> tuple[list[str], dict[int, int]]:
    """Name the animals, and give each track object its row."""
    used = {id(i.track) for f in frames for i in f.instances if i.track is not None}
    tracks = [t for t in labels.tracks if id(t) in used]
    loose = sum(i.track is None for f in frames for i in f.instances)
    if not tracks:
        kinds = [{type(i) for i in f.instances} for f in frames]
        crowded = any(
            len(f.instances) > len(k) for f, k in zip(frames, kinds, strict=True)
        )
        if crowded:
            raise SeuratTracksError(f"{path}: {_UNTRACKED}")
        return [DEFAULT_INDIVIDUAL], {id(None): 0}
    if loose:
        warnings.warn(
            f"{path}: {loose} instances belong to no track and are left out",
            UserWarning,
            stacklevel=5,
        )
    return [t.name for t in tracks], {id(t): row for row, t in enumerate(tracks)}


def _fill(
    path: Path, frames: list[Any], rows: dict[int, int], n_animals: int, n_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put points into arrays (time, animal, node), a person's over SLEAP's."""
    numbers = [int(f.frame_idx) for f in frames]
    first, last = min(numbers), max(numbers)
    if (last - first) * n_animals * n_nodes > 1100 * max(path.stat().st_size, 2**16):
        raise SeuratTracksError(
            f"{path} says that its frames reach from {first} to {last}, far more than "
            f"the {len(frames)} it holds"
        )
    time = np.arange(first, last + 1)
    xy = np.full((len(time), n_animals, n_nodes, 2), np.nan)
    score = np.full(xy.shape[:3], np.nan)
    for number, frame in zip(numbers, frames, strict=True):
        # an instance that has no score was placed or corrected by a person
        for one in sorted(frame.instances, key=lambda i: not hasattr(i, "score")):
            row = rows.get(id(one.track))
            if row is None:
                continue
            points = one.points
            xy[number - first, row] = points["xy"]
            xy[number - first, row][~points["visible"].astype(bool)] = np.nan
            score[number - first, row] = (
                points["score"] if "score" in points.dtype.names else np.nan
            )
    return time, xy, score


def _build(
    xy: np.ndarray,
    score: np.ndarray | None,
    names: list[str],
    nodes: list[str],
    frame_size: Any,
    fps: float | None,
    min_confidence: float,
    time: np.ndarray,
) -> xr.Dataset:
    n_frames = len(xy)
    return build_poses(
        xy.reshape(n_frames, -1, 2),
        None if score is None else score.reshape(n_frames, -1),
        individuals=[name for name in names for _ in nodes],
        keypoints=nodes * len(names),
        frame_size=frame_size,
        fps=fps,
        min_confidence=min_confidence,
        source="SLEAP",
        time=time,
        unscored_seen=True,
    )
