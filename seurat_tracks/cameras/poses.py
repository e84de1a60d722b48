"""Where the camera is in each frame: from the caller or from files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.errors import CameraError, DepthError

if TYPE_CHECKING:
    import xarray as xr

Convention = Literal["camera_to_world", "world_to_camera"]

_RIGID = 1e-3  # how far a rotation may be from one, as text files round


@dataclass(frozen=True, eq=False)
class Poses:
    """Camera poses, one for each frame.

    Parameters
    ----------
    matrices : float array (time, 4, 4)
        Rigid motions. NaN throughout a matrix = unknown.
    convention
        Which way they go; there is no default, because both are common.
    frames : int array (time,), optional
        Frame numbers they belong to; None: the frames of the tracks, in order.
    source
        What to record.
    estimated
        True if they were found from the tracks themselves.

    Raises
    ------
    CameraError
        If a matrix is not rigid, or shapes do not match; lists every fault.
    """

    matrices: Any
    convention: Convention
    frames: Any = None
    source: str = "given"
    estimated: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no pose, and keep camera-to-world matrices."""
        if self.convention not in ("camera_to_world", "world_to_camera"):
            raise CameraError(
                'poses: convention must be "camera_to_world" (the matrix takes points '
                'of the camera\'s frame to the world) or "world_to_camera", got '
                f"{self.convention!r}"
            )
        m = np.asarray(self.matrices, np.float64)
        if m.ndim != 3 or m.shape[1:] != (4, 4):
            raise CameraError(
                f"poses must be (time, 4, 4), got {m.shape}; 3 x 4 lacks a row 0 0 0 1"
            )
        faults = _faults(m)
        if self.frames is not None and np.shape(self.frames) != (len(m),):
            faults.append(
                f"{len(m)} matrices for frames of shape {np.shape(self.frames)}"
            )
        elif self.frames is not None and len(np.unique(self.frames)) != len(m):
            faults.append("several poses have the same frame number")
        if faults:
            raise CameraError(f"poses ({self.source}): " + "; ".join(faults))
        if self.convention == "world_to_camera":
            m = _inverse(m)
        object.__setattr__(self, "matrices", m)
        object.__setattr__(self, "convention", "camera_to_world")

    def of(self, ds: xr.Dataset) -> np.ndarray:
        """Camera-to-world matrices of the frames of a Dataset.

        Returns
        -------
        float64 array (time, 4, 4)
            NaN for frames that have none.

        Raises
        ------
        CameraError
            If there is one pose per frame and their number differs, or no frame has
            one.
        """
        time = ds["time"].values
        if self.frames is None:
            if len(self.matrices) != len(time):
                raise CameraError(
                    f"{len(self.matrices)} poses for {len(time)} frames: give one for "
                    "each frame, or Poses(..., frames=)"
                )
            return np.asarray(self.matrices)
        own = np.asarray(self.frames)
        order = np.argsort(own)
        at = np.clip(np.searchsorted(own[order], time), 0, len(own) - 1)
        found = own[order][at] == time
        if not found.any():
            raise CameraError(
                f"none of the frames {time[0]} to {time[-1]} has a pose; poses are for "
                f"frames {own.min()} to {own.max()}"
            )
        out = np.full((len(time), 4, 4), np.nan)
        out[found] = np.asarray(self.matrices)[order][at[found]]
        return out


def _faults(m: np.ndarray) -> list[str]:
    known = np.isfinite(m).all((1, 2))
    faults = []
    if not known.any():
        return ["no pose is finite"]
    partly = np.flatnonzero(np.isfinite(m).any((1, 2)) & ~known)
    if len(partly):
        faults.append(f"pose {partly[0]} is partly NaN")
    bottom = known & (np.abs(m[:, 3] - [0, 0, 0, 1]).max(1) > _RIGID)
    if bottom.any():
        k = int(np.flatnonzero(bottom)[0])
        turned = np.abs(m[k, :, 3] - [0, 0, 0, 1]).max() <= _RIGID
        hint = ": it is transposed" if turned else ""
        faults.append(
            f"the last row of pose {k} is {m[k, 3].tolist()}, not 0 0 0 1{hint}"
        )
    r = m[known][:, :3, :3]
    off = np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    if (off > 10 * _RIGID).any():
        k = int(np.flatnonzero(known)[off.argmax()])
        faults.append(f"pose {k} is not rigid: its rotation scales or shears")
    elif (np.linalg.det(r) < 0).any():
        k = int(np.flatnonzero(known)[np.linalg.det(r).argmin()])
        faults.append(f"pose {k} mirrors (determinant -1): an axis has the wrong sign")
    return faults


def _inverse(m: np.ndarray) -> np.ndarray:
    out = np.full_like(m, np.nan)
    known = np.isfinite(m).all((1, 2))
    r = m[known, :3, :3].transpose(0, 2, 1)
    full = np.zeros((known.sum(), 4, 4))
    full[:, :3, :3] = r
    full[:, :3, 3] = -(r @ m[known, :3, 3:])[..., 0]
    full[:, 3, 3] = 1
    out[known] = full
    return out


def check_poses(ds: xr.Dataset, poses: Any) -> np.ndarray:
    """Camera-to-world matrices (time, 4, 4) of a Dataset's frames.

    Raises
    ------
    CameraError
        If `poses` is no `Poses` or does not fit.
    """
    if not isinstance(poses, Poses):
        raise CameraError(
            "poses must say which way they go: pass seurat_tracks.cameras.Poses("
            'matrices, "camera_to_world") or (matrices, "world_to_camera"), or '
            "read_poses(path)"
        )
    return poses.of(ds)


def to_world(ds: xr.Dataset, poses: Poses) -> xr.Dataset:
    """Put lifted tracks into the world's frame.

    Parameters
    ----------
    ds
        Tracks with ``xyz`` in the camera's frame, in metres.
    poses
        Poses of the camera, in metres.

    Returns
    -------
    xr.Dataset
        ``xyz`` in the world's frame; NaN in frames without a pose. ``depth`` stays the
        z of the camera. The matrices are in ``camera_to_world`` (time, row, column),
        attributes ``frame_of_reference`` "world", ``poses`` and ``poses_estimated``.
        Lazy if ``xyz`` is.

    Raises
    ------
    CameraError
        If the poses do not fit the frames, or ``xyz`` is in the world's frame already.
    DepthError
        If depth is relative: positions without a common unit have no place in a world.
    """
    import xarray as xr

    matrices = check_poses(ds, poses)
    if "xyz" not in ds:
        raise DepthError("no xyz to put into the world: call lift3d or anchor first")
    if ds.attrs.get("frame_of_reference") == "world":
        raise CameraError("xyz is in the world's frame already")
    if ds.attrs.get("units") != "m":
        raise DepthError(
            f"poses need metric depth, but units are {ds.attrs.get('units')!r}: give "
            "depth= in metres"
        )
    pose = xr.DataArray(matrices, dims=("time", "row", "column"))
    xyz = ds["xyz"].transpose("track", "time", "axis")
    bare = xyz.drop_vars(list(xyz.coords))
    if bare.chunks is not None:
        bare = bare.chunk({"axis": -1})
        pose = pose.chunk({"time": bare.chunksizes["time"]})
    moved = xr.apply_ufunc(
        _move,
        bare,
        pose,
        input_core_dims=[["axis"], ["row", "column"]],
        output_core_dims=[["axis"]],
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    moved = moved.transpose("track", "time", "axis")
    moved.attrs = {"units": "m", "long_name": "position in the world's frame"}
    out = ds.assign(
        xyz=moved,
        camera_to_world=(
            ("time", "row", "column"),
            matrices,
            {"units": "m", "long_name": "pose of the camera"},
        ),
    )
    return out.assign_attrs(
        frame_of_reference="world",
        poses=poses.source,
        poses_estimated=int(poses.estimated),
    )


def _move(xyz: np.ndarray, pose: np.ndarray) -> np.ndarray:
    turned = np.einsum("...ij,...j->...i", pose[..., :3, :3], xyz)
    return (turned + pose[..., :3, 3]).astype(np.float32)


def read_poses(
    path: str | os.PathLike[str],
    *,
    seconds: Any = None,
    tolerance: float = 0.02,
) -> Poses:
    """Read a COLMAP images.txt or a TUM trajectory.

    Parameters
    ----------
    path
        COLMAP's images.txt (world to camera: qw qx qy qz tx ty tz; the frame number is
        the last number in the image's name), or a TUM trajectory (camera to world:
        timestamp tx ty tz qx qy qz qw).
    seconds : float array (time,) or DataArray
        For TUM: when each frame was shown, in the trajectory's clock. A DataArray with
        the coordinate ``time``, such as ``ds.seconds``, names the frames; otherwise
        they are numbered from 0. Each frame takes the nearest pose.
    tolerance
        For TUM: seconds between a frame and its pose at most.

    Returns
    -------
    Poses
        COLMAP's unit is arbitrary: multiply by what makes it metres with
        ``Poses(...)`` of your own where it is not.

    Raises
    ------
    CameraError
        If the file is missing or malformed, or nothing matches.
    """
    path = Path(path)
    if not path.is_file():
        raise CameraError(f"pose file {path} does not exist")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [(n, line.split()) for n, line in enumerate(lines, 1)]
    data = [(n, w) for n, w in rows if w and not w[0].startswith("#")]
    if not data:
        raise CameraError(f"{path} holds no poses")
    if len(data[0][1]) == 8:
        return _tum(data, seconds, tolerance, path)
    if len(data[0][1]) >= 10:
        # every second line lists the image's points, and may be empty
        return _colmap(rows, path)
    raise CameraError(
        f"{path}, line {data[0][0]}: neither a TUM trajectory (8 numbers) nor COLMAP's "
        "images.txt (id, 4 + 3 numbers, camera, name)"
    )


def _matrices(quaternions: np.ndarray, places: np.ndarray, where: Any) -> np.ndarray:
    """Rigid motions of unit quaternions (x, y, z, w)."""
    from scipy.spatial.transform import Rotation

    length = np.linalg.norm(quaternions, axis=1)
    wrong = np.flatnonzero(np.abs(length - 1) > 0.01)
    if len(wrong):
        raise CameraError(
            f"{where}: quaternion {wrong[0]} has length {length[wrong[0]]:.3g}, "
            "not 1: are the columns in another order?"
        )
    out = np.tile(np.eye(4), (len(places), 1, 1))
    out[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    out[:, :3, 3] = places
    return out


def _numbers(words: list[str], number: int, path: Path) -> list[float]:
    try:
        return [float(w) for w in words]
    except ValueError:
        raise CameraError(f"{path}, line {number}: not numbers: {words}") from None


def _tum(
    data: list[tuple[int, list[str]]], seconds: Any, tolerance: float, path: Path
) -> Poses:
    if seconds is None:
        raise CameraError(
            f"{path} is a TUM trajectory, which goes by time: pass seconds=, such as "
            "ds.seconds, in the same clock"
        )
    short = [n for n, w in data if len(w) != 8]
    if short:
        raise CameraError(f"{path}, line {short[0]}: not 8 numbers")
    table = np.array([_numbers(w, n, path) for n, w in data])
    table = table[np.argsort(table[:, 0])]
    when = np.asarray(seconds, np.float64)
    frames = np.arange(len(when))
    if "time" in getattr(seconds, "coords", ()):
        frames = seconds["time"].values
    right = np.clip(np.searchsorted(table[:, 0], when), 1, max(1, len(table) - 1))
    right = np.minimum(right, len(table) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(table[left, 0] - when) <= np.abs(table[right, 0] - when)
    nearest = np.where(nearer, left, right)
    near = np.abs(table[nearest, 0] - when) <= tolerance
    if not near.any():
        raise CameraError(
            f"{path}: no pose within {tolerance:g} s of any frame; the trajectory runs "
            f"from {table[0, 0]:.3f} to {table[-1, 0]:.3f} s, the frames from "
            f"{when[0]:.3f} to {when[-1]:.3f} s"
        )
    row = table[nearest[near]]
    m = _matrices(row[:, 4:], row[:, 1:4], path)
    return Poses(m, "camera_to_world", frames[near], f"{path.name} (TUM)")


def _colmap(rows: list[tuple[int, list[str]]], path: Path) -> Poses:
    while rows and (not rows[0][1] or rows[0][1][0].startswith("#")):
        rows = rows[1:]
    rows = [r for r in rows if not (r[1] and r[1][0].startswith("#"))]
    values, frames = [], []
    for number, words in rows[::2]:
        if not words:
            continue
        if len(words) < 10:
            raise CameraError(f"{path}, line {number}: not an image of images.txt")
        values.append(_numbers(words[1:8], number, path))
        name = " ".join(words[9:])
        digits = re.findall(r"\d+", Path(name).stem)
        if not digits:
            raise CameraError(
                f"{path}, line {number}: no frame number in the image's name {name!r}"
            )
        frames.append(int(digits[-1]))
    table = np.array(values)
    m = _matrices(table[:, [1, 2, 3, 0]], table[:, 4:], path)
    return Poses(m, "world_to_camera", np.array(frames), f"{path.name} (COLMAP)")
