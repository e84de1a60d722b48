"""Sequences of PointOdyssey: true 3D tracks of rendered scenes.

The files are those of https://pointodyssey.com (Zheng et al., ICCV 2023), version 1.1
and later. Their generator stores float16: positions in the image are good to a
quarter of a pixel on the right half of the frame, world positions to a millimetre
near the origin and a centimetre some ten metres away.

The corner of the first pixel is 0 in the files, so its centre is 0.5, and half a pixel
is taken off here. The evidence, in the code of y-zheng18/point_odyssey:
``trajs_2d`` is K X / Z with the principal point at (width / 2, height / 2)
(``render_single.py``, ``get_calibration_matrix_K_from_blender``), and Blender's optical
axis meets the image at its centre, which is width / 2 from the left edge and, counted
in pixel centres, (width - 1) / 2; the pixel in which a point lies is ``floor(uv)``, and
points are in the frame when ``0 <= u < width`` (``utils/gen_tracking.py``). At borders
of objects the generator moves points to whole numbers, up to one pixel away.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError, SeuratTracksError
from seurat_tracks.io import _files, _npy
from seurat_tracks.io.truth import build_truth, read_arrays
from seurat_tracks.schema import validate

FRAME_SIZE = (960, 540)
"""Width and height of the published videos."""

FILES = ("anno.npz", "annot.npz", "annotations.npz")
"""Names of the annotations in a sequence's folder."""

_KEYS = (
    ("trajs_2d",),
    ("trajs_3d",),
    ("intrinsics",),
    ("extrinsics",),
    ("visibs",),
    ("valids",),
    ("visibilities",),
)


CORNER = 0.5
"""Centre of the first pixel in the files."""


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a path is a sequence's folder, or its annotations."""
    if path.is_dir():
        return any((path / name).is_file() for name in FILES)
    return head.startswith(_npy.ZIP) and "trajs_2d" in _npy.npz_headers(path)


def read_pointodyssey(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] = FRAME_SIZE,
    frames: slice = slice(None),
) -> xr.Dataset:
    """Read the true tracks of a sequence.

    Parameters
    ----------
    path
        A sequence's folder, or its annotations: ``trajs_2d`` (time, track, 2) pixels,
        ``trajs_3d`` (time, track, 3) world, ``intrinsics`` (time, 3, 3),
        ``extrinsics`` (time, 4, 4) world to camera, and ``visibs`` and ``valids``
        (time, track), or ``visibilities`` with 0 hidden, 1 visible, 2 invalid.
    frame_size
        Width and height in pixels.
    frames
        Which frames to take; sequences run to thousands.

    Returns
    -------
    xarray.Dataset
        ``xy`` (that of the file less half a pixel), ``visible``, ``depth``, ``xyz``,
        with ``time`` the frame number in the sequence and ``query_frame`` the first
        frame in which the track is visible. Tracks never visible in `frames` are left
        out; ids are the columns of the file. Points outside the frame are hidden. The
        attribute ``intrinsics`` is missing if the focal length changes by more than
        1 %.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    SeuratTracksError
        If arrays are missing or misshapen, nothing is visible, or the 3D positions
        do not project to the 2D ones, as in version 1.0, whose cameras look the other
        way.
    """
    path = _annotations(Path(path))
    xy, world, k, pose, visible, valid, state = read_arrays(path, _KEYS)
    if state is not None and visible is None:
        visible, valid = state == 1, state < 2
    given = {"trajs_2d": xy, "trajs_3d": world, "intrinsics": k, "extrinsics": pose}
    given["visibs or visibilities"] = visible
    missing = [name for name, array in given.items() if array is None]
    if xy is None or world is None or k is None or pose is None or visible is None:
        raise SeuratTracksError(
            f"{path} is not an annotation of PointOdyssey: no {', '.join(missing)}"
        )
    valid = np.ones_like(visible) if valid is None else valid
    shape = xy.shape[:2]
    if world.shape[:1] != shape[:1] or world.ndim != 3:
        raise SeuratTracksError(
            f"{path}: trajs_3d has shape {world.shape} beside trajs_2d {xy.shape}; "
            "some sequences come without 3D positions and cannot be used"
        )
    for name, found, expected in (
        ("trajs_2d", xy, (*shape, 2)),
        ("trajs_3d", world, (*shape, 3)),
        ("intrinsics", k, (shape[0], 3, 3)),
        ("extrinsics", pose, (shape[0], 4, 4)),
        ("visibs", visible, shape),
        ("valids", valid, shape),
    ):
        if found.shape != expected:
            raise SeuratTracksError(
                f"{path}: {name} has shape {found.shape}, expected {expected}"
            )
    number = np.arange(shape[0])[frames]
    for name, array in [*given.items(), ("valids", valid)]:
        assert array is not None
        if array.dtype.kind not in "biuf":
            raise SeuratTracksError(f"{path}: {name} holds {array.dtype}")
    xy, world, k, pose = (a[frames].astype(np.float64) for a in (xy, world, k, pose))
    if not (np.isfinite(k).all() and np.isfinite(pose).all()):
        raise SeuratTracksError(f"{path}: a camera is not finite")
    xy -= CORNER
    k[:, :2, 2] -= CORNER
    usable = (valid[frames] > 0) & np.isfinite(xy).all(-1) & np.isfinite(world).all(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        xyz = np.einsum("tij,tnj->tni", pose[:, :3, :3], world)
        xyz += pose[:, None, :3, 3]
        xyz[~usable] = np.nan
        inside = ((xy > -0.5) & (xy < np.asarray(frame_size) - 0.5)).all(-1)
    seen = (visible[frames] > 0) & usable & inside
    if not seen.any():
        raise SeuratTracksError(f"{path}: no track is visible in the chosen frames")
    _refuse_misprojected(path, xyz[seen], xy[seen], k[seen.nonzero()[0]], frame_size)
    seen &= xyz[..., 2] > 0
    kept = seen.any(0)
    xy[~usable] = np.nan
    focal = k[:, [0, 1], [0, 1]]
    steady = np.ptp(focal, axis=0).max() <= 0.01 * focal.min()
    return build_truth(
        xyz[:, kept].swapaxes(0, 1),
        seen[:, kept].T,
        frame_size=frame_size,
        intrinsics=np.median(k, 0) * np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
        if steady
        else None,
        query_frame=number[seen[:, kept].argmax(0)],
        source=f"PointOdyssey, {path.parent.name}",
        xy=xy[:, kept].swapaxes(0, 1),
        ids=np.flatnonzero(kept),
        time=number,
    )


def write_pointodyssey(
    ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write lifted tracks in the layout of PointOdyssey's annotations.

    Parameters
    ----------
    ds
        With `xyz` and the attribute ``intrinsics``, under the contract of
        `seurat_tracks.schema`.
    path
        The npz file: ``trajs_2d``, ``trajs_3d``, ``visibs``, ``valids``,
        ``intrinsics``, ``extrinsics``, float32 where theirs are float16. The world is
        the camera's frame: every extrinsic matrix is the identity.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    FormatError
        If `xyz` or the camera is missing, or the path is taken.

    Warns
    -----
    UserWarning
        Names what the file has no place for.
    """
    validate(ds, values=False)
    target = Path(path)
    if "xyz" not in ds or "intrinsics" not in ds.attrs:
        raise FormatError(
            f"{target}: PointOdyssey holds positions in 3D and the camera; the tracks "
            "need xyz and attrs['intrinsics']: ds.seurat.lift3d(intrinsics=...) first"
        )
    fx, fy, cx, cy = ds.attrs["intrinsics"]
    k = np.array([[fx, 0, cx + CORNER], [0, fy, cy + CORNER], [0, 0, 1]], np.float32)
    n = ds.sizes["time"]
    with _files.writing(target, overwrite=overwrite) as partial:
        world = ds["xyz"].transpose("time", "track", "axis").values
        arrays = {
            "trajs_2d": ds["xy"].transpose("time", "track", "coord").values
            + np.float32(CORNER),
            "trajs_3d": world,
            "visibs": ds["visible"].transpose("time", "track").values,
            "valids": np.isfinite(world).all(-1),
            "intrinsics": np.tile(k, (n, 1, 1)),
            "extrinsics": np.tile(np.eye(4, dtype=np.float32), (n, 1, 1)),
        }
        _npy.write_npz(partial, arrays)
    kept = ("xy", "xyz", "depth", "visible")
    lost = ["ids", *(str(v) for v in ds.data_vars if v not in kept)]
    never = int((~ds["visible"].any("time")).sum())
    lost += [f"{never} tracks that are never visible"] if never else []
    _files.note_lost(target, "PointOdyssey", lost)
    return target


def _annotations(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(f"{path} holds none of {', '.join(FILES)}")


def _refuse_misprojected(
    path: Path,
    xyz: np.ndarray,
    xy: np.ndarray,
    k: np.ndarray,
    frame_size: Sequence[int],
) -> None:
    """Compare positions (M, 3) with their places (M, 2), by cameras (M, 3, 3)."""
    with np.errstate(all="ignore"):
        shown = np.einsum("mij,mj->mi", k, xyz / xyz[:, 2:])[:, :2]
    away = np.linalg.norm(shown - xy, axis=1)
    away = float(np.median(np.where(xyz[:, 2] > 0, away, np.inf)))
    if not away <= 0.05 * max(frame_size):
        raise SeuratTracksError(
            f"{path}: trajs_3d lie {away:.0f} pixels from trajs_2d when projected (in "
            "the median). Version 1.0 of the data has other camera axes and is not "
            "read: use 1.1 or later"
        )
