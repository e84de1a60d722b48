"""COLMAP's text model: camera, images with poses, points with their observations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from seurat_tracks.errors import CameraError, SchemaError, SeuratTracksError
from seurat_tracks.io._export import (
    Block,
    about,
    blocks,
    camera_to_world,
    check_lifted,
    colours,
    in_world,
    left_out,
    one_line,
)
from seurat_tracks.io._files import note_lost, writing

AXES = "world of the poses; cameras with x right, y down, z forward"

_HALF = 0.5  # COLMAP puts the centre of the first pixel at (0.5, 0.5)
_NEAR = 1e-6


class _Points(NamedTuple):
    """Points of one block, and where each was seen."""

    xyz: np.ndarray
    error: np.ndarray
    kept: np.ndarray
    track: np.ndarray
    time: np.ndarray
    xy: np.ndarray


def write_colmap(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    world_to_camera: Any = None,
    max_error: float | None = None,
    image_name: str = "frame_{:06d}.png",
) -> Path:
    """Write tracks as a sparse model of COLMAP, in its text format.

    Parameters
    ----------
    ds
        Lifted tracks, with ``intrinsics`` in the attributes. Lazy variables are
        computed chunk by chunk; what stays in memory is 16 bytes an observation, twice
        while images are written.
    path
        A folder that does not exist yet, to hold ``cameras.txt``, ``images.txt`` and
        ``points3D.txt``.
    world_to_camera : float array (time, 3 or 4, 4)
        One pose a frame, which takes points of the world to the camera (x right, y
        down, z forward), in the units of ``xyz``. None: the inverse of the Dataset's
        variable ``camera_to_world`` (time, row, column), if it has one. Every frame
        needs a pose: select the frames that have one.
    max_error
        Leave out points with a larger mean reprojection error, in pixels. None keeps
        all.
    image_name
        Name of the image of a frame; the frame number is put in.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract, or has no ``xyz`` or no poses.
    CameraError
        If intrinsics are missing or poses are malformed; lists every fault.
    SeuratTracksError
        If `path` exists already or cannot be written.

    Warns
    -----
    UserWarning
        Names what COLMAP has no place for.

    Notes
    -----
    A point of COLMAP stands still. Each track that is seen at least twice becomes one:
    the median of its positions in the world over the frames in which it is seen, with
    the mean distance in pixels from its observations as its error. A track that moves
    in the world has a large error; `max_error` leaves such tracks out. Pixel centres
    lie at halves in COLMAP, so 0.5 is added to observations and the principal point.
    ``POINT3D_ID`` is the track's position, counted from 1; ``IMAGE_ID`` is the frame's
    position, counted from 1. Comments state units and ids.
    """
    check_lifted(ds, "COLMAP")
    poses = _poses(ds, world_to_camera)
    fx, fy, cx, cy = (float(v) for v in ds.attrs["intrinsics"])
    camera = np.array([fx, fy, cx, cy])
    width, height = (int(v) for v in ds.attrs["frame_size"])
    frames = ds["time"].values
    notes = "".join(f"# {k}: {one_line(v)}\n" for k, v in about(ds, AXES).items())
    seen_in: list[tuple[np.ndarray, ...]] = []
    with writing(path, folder=True) as folder:
        (folder / "cameras.txt").write_text(
            f"{notes}# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
            f"1 PINHOLE {width} {height} {fx:.17g} {fy:.17g} "
            f"{cx + _HALF:.17g} {cy + _HALF:.17g}\n"
        )
        place = np.zeros(len(frames), np.int64)
        missing = 0
        ids = [one_line(v) for v in ds["track"].values]
        with (folder / "points3D.txt").open("w") as file:
            file.write(f"{notes}# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n")
            for block in blocks(ds):
                found = _still_points(block, poses, camera, max_error, in_world(ds))
                missing += len(block.xyz) - int(found.kept.sum())
                index = _indices(found.time, place)
                _write_points(file, block, found, index, ids)
                number = (block.start + found.track + 1).astype(np.int32)
                seen_in.append((found.time.astype(np.int32), number, found.xy))
        _write_images(folder / "images.txt", seen_in, poses, frames, image_name, notes)
    lost = left_out(ds, "xy", "depth", "camera_to_world")
    lost.append("the motion of points, which stand still at their median")
    lost += [f"{missing} tracks that are seen less than twice"] if missing else []
    if missing and max_error is not None:
        lost[-1] += f" or whose error exceeds {max_error:g} pixels"
    note_lost(Path(path), "COLMAP", lost)
    return Path(path)


def _poses(ds: xr.Dataset, given: Any) -> np.ndarray:
    """Return poses as float64 (time, 3, 4), or every fault in one error."""
    if given is None:
        known = camera_to_world(ds)
        if known is not None:
            given = np.full_like(known, np.nan)
            finite = np.isfinite(known).all((1, 2))
            given[finite] = np.linalg.inv(known[finite])
    if given is None:
        raise SchemaError(
            "COLMAP needs camera poses, and the Dataset has none. Cure: give "
            "world_to_camera=, an array (time, 4, 4)"
        )
    faults = []
    if "intrinsics" not in ds.attrs:
        faults.append(
            "there are no intrinsics: ds.attrs['intrinsics'] = [fx, fy, cx, cy]"
        )
    try:
        poses = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        poses = np.empty(0)
    n = ds.sizes["time"]
    if poses.shape not in ((n, 4, 4), (n, 3, 4)):
        faults.append(
            f"world_to_camera has shape {poses.shape}, expected {(n, 4, 4)} or "
            f"{(n, 3, 4)}, one pose a frame"
        )
    elif not np.isfinite(poses).all():
        bad = ds["time"].values[~np.isfinite(poses).all((1, 2))]
        faults.append(f"world_to_camera is not finite in frames {bad[:5].tolist()}")
    else:
        turn = poses[:, :3, :3]
        off = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max((1, 2))
        wrong = (off > 1e-3) | (np.linalg.det(turn) < 0)
        if wrong.any():
            frames = ds["time"].values[wrong][:5].tolist()
            faults.append(
                f"world_to_camera is no rotation in frames {frames}: a pose has no "
                "scale and no mirror"
            )
    if faults:
        raise CameraError("; ".join(faults))
    return poses[:, :3]


def _still_points(
    block: Block,
    poses: np.ndarray,
    camera: np.ndarray,
    max_error: float | None,
    world_already: bool,
) -> _Points:
    """Take the median in the world of every track that is seen at least twice."""
    turn, shift = poses[:, :, :3], poses[:, :, 3]
    xyz = block.xyz.astype(np.float64)
    world = xyz if world_already else np.einsum("tji,ntj->nti", turn, xyz - shift)
    world[~block.seen] = np.nan
    often = block.seen.sum(1) >= 2
    middle = np.full((len(xyz), 3), np.nan)
    if often.any():
        middle[often] = np.nanmedian(world[often], axis=1)
    inside = np.einsum("tij,nj->nti", turn, middle) + shift
    z = inside[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(z > _NEAR, z, np.nan)
        place = inside[..., :2] / z[..., None] * camera[:2] + camera[2:]
        off = np.linalg.norm(place - block.xy, axis=-1)
    used = block.seen & np.isfinite(off)
    count = used.sum(1)
    error = np.where(used, off, 0).sum(1) / np.maximum(count, 1)
    kept = often & (count >= 2)
    if max_error is not None:
        kept &= error <= max_error
    track, time = np.nonzero(used & kept[:, None])
    return _Points(middle, error, kept, track, time, block.xy[track, time] + _HALF)


def _indices(time: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Count each observation within its image; `place` moves on."""
    order = np.argsort(time, kind="stable")
    counts = np.bincount(time, minlength=len(place))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    index = np.empty(len(time), np.int64)
    index[order] = np.arange(len(time)) - np.repeat(starts, counts)
    index += place[time]
    place += counts
    return index


def _write_points(
    file: Any, block: Block, found: _Points, index: np.ndarray, ids: list[str]
) -> None:
    paint = colours(block.start + np.arange(len(found.xyz)))
    edges = np.searchsorted(found.track, np.arange(len(found.xyz) + 1))
    for row in np.flatnonzero(found.kept):
        number = block.start + row
        part = slice(edges[row], edges[row + 1])
        pairs = " ".join(
            f"{t + 1} {i}" for t, i in zip(found.time[part], index[part], strict=True)
        )
        x, y, z = found.xyz[row]
        r, g, b = paint[row]
        file.write(
            f"# track {ids[number]}\n{number + 1} {x:.9g} {y:.9g} {z:.9g} {r} {g} {b} "
            f"{found.error[row]:.6g} {pairs}\n"
        )


def _write_images(
    path: Path,
    seen_in: list[tuple[np.ndarray, ...]],
    poses: np.ndarray,
    frames: np.ndarray,
    image_name: str,
    notes: str,
) -> None:
    from scipy.spatial.transform import Rotation

    time, number, xy = (np.concatenate(v) for v in zip(*seen_in, strict=True))
    order = np.argsort(time, kind="stable")
    edges = np.searchsorted(time[order], np.arange(len(frames) + 1))
    names = [_name(image_name, int(frame)) for frame in frames]
    if len(set(names)) < len(names):
        raise SeuratTracksError(
            f"image_name={image_name!r} gives the same name to several frames: put the "
            'frame number in, as in "frame_{:06d}.png"'
        )
    with path.open("w") as file:
        file.write(f"{notes}# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n")
        file.write("# POINTS2D[] as (X, Y, POINT3D_ID)\n")
        for i, (pose, name) in enumerate(zip(poses, names, strict=True)):
            qx, qy, qz, qw = Rotation.from_matrix(pose[:, :3]).as_quat(canonical=True)
            moved = " ".join(f"{v:.17g}" for v in (qw, qx, qy, qz, *pose[:, 3]))
            rows = order[edges[i] : edges[i + 1]]
            points = " ".join(
                f"{x:.9g} {y:.9g} {n}"
                for (x, y), n in zip(xy[rows], number[rows], strict=True)
            )
            file.write(f"{i + 1} {moved} 1 {name}\n{points}\n")


def _name(image_name: str, frame: int) -> str:
    try:
        return image_name.format(frame)
    except (IndexError, KeyError, ValueError):
        raise SeuratTracksError(
            f"image_name is {image_name!r}; give one as frame_{{:06d}}.png"
        ) from None
