"""3D tracks that other programs predicted, to be scored beside ours.

What each file holds is told by `LAYOUTS`; ``docs/evaluation.md`` says where every
layout is from. Nothing in a file is executed: pickles are refused, and the text of the
error says how to turn one into an npz file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.geometry import unproject
from seurat_tracks.io.truth import read_arrays

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Layout:
    """How a program writes its tracks.

    Attributes
    ----------
    meaning
        What the file holds.
    endings
        What the file's name may have after the clip's name.
    space
        "camera": positions in each frame's camera. "world": positions that the
        file's own extrinsics (world to camera) carry there. "pixels": x and y in
        pixels of the clip's frames, and depth.
    """

    meaning: str
    endings: tuple[str, ...]
    space: str


LAYOUTS: dict[str, Layout] = {
    "tapvid3d": Layout(
        "TAPVid-3D's evaluator: npz with tracks_XYZ (time, track, 3) in each frame's "
        "camera and visibility (time, track)",
        (".npz",),
        "camera",
    ),
    "spatialtracker": Layout(
        "SpatialTracker's demo: npy (time, track, 3), x and y in pixels and depth; it "
        "holds no visibility, so every point counts as seen",
        ("_spatracker_tracks.npy", ".npy"),
        "pixels",
    ),
    "spatialtrackerv2": Layout(
        "SpaTrackerV2's inference: npz with coords (time, track, 3) in the world, "
        "extrinsics (time, 4, 4) world to camera, visibs (time, track[, 1])",
        ("_result.npz", ".npz"),
        "world",
    ),
    "tapip3d": Layout(
        "TAPIP3D's inference: npz with coords (time, track, 3), visibs (time, track) "
        "and extrinsics (time, 4, 4) world to camera, without which coords are the "
        "camera's",
        (".result.npz", ".npz"),
        "world",
    ),
    "delta": Layout(
        "DELTA's predictor as npz: trajs_uv (time, track, 2) pixels, trajs_depth "
        "(time, track[, 1]), vis (time, track); its demo writes a pickle",
        (".npz",),
        "pixels",
    ),
    "tracksto4d": Layout(
        "TracksTo4D's outputs as npz: points3D (time, 3, track) in the world, "
        "rotation_params (time, 3, 3) and translation_params (time, 3), the camera's "
        "axes and place; it holds no visibility, so every point counts as seen",
        (".npz",),
        "world",
    ),
}
"""Layouts by name."""

_POINTS = {
    "tapvid3d": ("tracks_XYZ", "tracks_xyz"),
    "spatialtrackerv2": ("coords",),
    "tapip3d": ("coords",),
    "tracksto4d": ("points3D",),
}
_FLAGS = ("visibility", "visible", "visibs", "vis")
_PICKLE = (
    "is a pickle, which could run anything, and is not read: load it where it was "
    "made and write np.savez(name, **{k: np.asarray(v) for k, v in tracks.items()})"
)


def find_predictions(folder: Path, clip: str, layout: str) -> Path:
    """Find the file of a clip in a folder of predictions.

    Parameters
    ----------
    folder
        Holds one file a clip.
    clip
        The clip's name.
    layout
        A key of `LAYOUTS`.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is none; names what was looked for.
    """
    names = [clip + ending for ending in LAYOUTS[layout].endings]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} holds no {' or '.join(names)}")


def read_predictions(
    path: str | os.PathLike[str], truth: xr.Dataset, *, layout: str
) -> xr.Dataset:
    """Read one clip's tracks as another program predicted them.

    Parameters
    ----------
    path
        The file.
    truth
        The clip's true tracks, whose ids and frames the predictions get: both are in
        the truth's order. Its ``intrinsics`` put pixels and depth into space.
    layout
        A key of `LAYOUTS`.

    Returns
    -------
    xarray.Dataset
        ``xyz`` (track, time, axis) in each frame's camera, x right, y down, z
        forward, in the program's own unit; ``visible`` (track, time).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If it does not hold what the layout says, or other numbers of tracks or frames
        than the truth; lists every fault.
    """
    import xarray as xr

    if layout not in LAYOUTS:
        raise SeuratTracksError(f"layout is {layout!r}; give one of {list(LAYOUTS)}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix in (".pkl", ".pickle"):
        raise SeuratTracksError(f"{path} {_PICKLE}")
    shape = (truth.sizes["time"], truth.sizes["track"])
    if layout == "spatialtracker":
        xyz, visible = _spatialtracker(path, truth, shape)
    elif layout == "delta":
        xyz, visible = _delta(path, truth, shape)
    else:
        xyz, visible = _in_space(path, layout, shape)
    ds = xr.Dataset(
        {
            "xyz": (("track", "time", "axis"), xyz.swapaxes(0, 1).astype(np.float32)),
            "visible": (("track", "time"), visible.T),
        },
        coords={
            "track": truth["track"].variable,
            "time": truth["time"].variable,
            "axis": ["x", "y", "z"],
        },
    )
    ds["xyz"].attrs = {
        "units": "unit of the program",
        "long_name": "position in the camera frame (x right, y down, z forward)",
    }
    ds.attrs = {"tracker": layout, "frame_of_reference": "the camera of each frame"}
    return ds


def _in_space(
    path: Path, layout: str, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Read positions in 3D; carry those of the world into each frame's camera."""
    names = [
        _POINTS[layout],
        _FLAGS,
        ("extrinsics",),
        ("rotation_params",),
        ("translation_params",),
    ]
    points, flags, world_to_camera, axes, place = read_arrays(path, names)
    if layout == "tracksto4d" and points is not None:
        points = _squeeze(points, 3).swapaxes(-1, -2)
    faults = [_misfit(" or ".join(_POINTS[layout]), points, (*shape, 3))]
    if layout == "tracksto4d":
        axes = None if axes is None else _squeeze(axes, 3)
        place = None if place is None else _squeeze(place, 2)
        faults.append(_misfit("rotation_params", axes, (shape[0], 3, 3)))
        faults.append(_misfit("translation_params", place, (shape[0], 3)))
        flags = np.ones(shape, bool) if flags is None else flags
    elif layout == "spatialtrackerv2" or world_to_camera is not None:
        if world_to_camera is not None:
            world_to_camera = _square(world_to_camera)
        if layout != "tapvid3d":
            wanted = (shape[0], 4, 4)
            faults.append(_misfit("extrinsics", world_to_camera, wanted))
    flags, fault = _visibility(flags, shape)
    _raise(path, layout, [*faults, fault])
    assert points is not None
    assert flags is not None
    points = points.astype(np.float64)
    if layout == "tracksto4d":
        assert axes is not None
        assert place is not None
        # columns of a rotation are the camera's axes in the world
        return np.einsum("tji,tnj->tni", axes, points - place[:, None]), flags
    if layout != "tapvid3d" and world_to_camera is not None:
        turn, shift = world_to_camera[:, :3, :3], world_to_camera[:, :3, 3]
        points = np.einsum("tij,tnj->tni", turn, points) + shift[:, None]
    return points, flags


def _spatialtracker(
    path: Path, truth: xr.Dataset, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    try:
        tracks = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise SeuratTracksError(f"{path} is no plain array: {error}") from None
    if not isinstance(tracks, np.ndarray):
        raise SeuratTracksError(f"{path} is an npz file, not the npy of the demo")
    _raise(path, "spatialtracker", [_misfit("the array", tracks, (*shape, 3))])
    tracks = tracks.astype(np.float64)
    xyz = unproject(tracks[..., :2], tracks[..., 2], truth.attrs["intrinsics"])
    return xyz, np.ones(shape, bool)


def _delta(
    path: Path, truth: xr.Dataset, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    xy, depth, flags = read_arrays(path, [("trajs_uv",), ("trajs_depth",), _FLAGS])
    xy = None if xy is None else _squeeze(xy, 3)
    depth = _without_last(depth, shape)
    flags, fault = _visibility(flags, shape)
    faults = [
        _misfit("trajs_uv", xy, (*shape, 2)),
        _misfit("trajs_depth", depth, shape),
        fault,
    ]
    _raise(path, "delta", faults)
    assert xy is not None
    assert depth is not None
    assert flags is not None
    xyz = unproject(
        xy.astype(np.float64), depth.astype(np.float64), truth.attrs["intrinsics"]
    )
    return xyz, flags


def _visibility(
    flags: np.ndarray | None, shape: tuple[int, int]
) -> tuple[np.ndarray | None, str]:
    """Read visibility: flags, or probabilities, of which over one half is seen."""
    flags = _without_last(flags, shape)
    fault = _misfit(" or ".join(_FLAGS), flags, shape)
    if flags is None or fault:
        return flags, fault
    if flags.dtype != bool:
        if not ((flags >= 0) & (flags <= 1)).all():
            return flags, "visibility holds values outside 0 to 1"
        flags = flags > 0.5
    return flags, ""


def _squeeze(array: np.ndarray, dims: int) -> np.ndarray:
    """Drop a first axis of one, that of the batch."""
    return array[0] if array.ndim == dims + 1 and len(array) == 1 else array


def _without_last(
    array: np.ndarray | None, shape: tuple[int, int]
) -> np.ndarray | None:
    """Drop the batch's axis and a last axis of one."""
    if array is None:
        return None
    if array.ndim == 4 or (array.ndim == 3 and array.shape[1:] == shape):
        array = _squeeze(array, array.ndim - 1)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _square(matrix: np.ndarray) -> np.ndarray:
    """Complete matrices (time, 3, 4) to (time, 4, 4)."""
    matrix = matrix.astype(np.float64)
    if matrix.ndim == 3 and matrix.shape[1:] == (3, 4):
        last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(matrix), 1, 4))
        return np.concatenate([matrix, last], 1)
    return matrix


def _misfit(name: str, array: np.ndarray | None, wanted: tuple[int, ...]) -> str:
    if array is None:
        return f"there is no {name}"
    if array.shape != wanted:
        return f"{name} has shape {array.shape}, expected {wanted}"
    return ""


def _raise(path: Path, layout: str, faults: list[str]) -> None:
    faults = [fault for fault in faults if fault]
    if faults:
        raise SeuratTracksError(
            f"{path} does not hold the clip's tracks: {'; '.join(faults)}. Layout "
            f"{layout}: {LAYOUTS[layout].meaning}"
        )
