"""Datasets of true 3D tracks, as annotated clips give them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks._values import FAR_OUTSIDE
from seurat_tracks.geometry import project, resolve_intrinsics
from seurat_tracks.io._npy import read_npz
from seurat_tracks.io.arrays import from_arrays
from seurat_tracks.schema import annotate, validate


def build_truth(
    xyz: np.ndarray,
    visible: np.ndarray,
    *,
    frame_size: Sequence[int],
    intrinsics: Any,
    query_frame: np.ndarray,
    source: str,
    xy: np.ndarray | None = None,
    ids: Any = None,
    time: np.ndarray | None = None,
) -> xr.Dataset:
    """Build a Dataset of true tracks.

    Parameters
    ----------
    xyz : float array (track, time, 3)
        Positions in each frame's camera: x right, y down, z forward, metres; hidden
        ones too, where they are known, else NaN.
    visible : bool array (track, time)
    frame_size
        Width and height in pixels.
    intrinsics
        Anything `seurat_tracks.geometry.resolve_intrinsics` takes, or None if the
        camera changes; `xy` must then be given.
    query_frame : int array (track,)
        Frame number at which each point is given to a tracker.
    source
        What the truth comes from; kept as the attributes ``tracker`` and
        ``depth_source``.
    xy : float array (track, time, 2)
        Positions in the image; None: `xyz` projected.
    ids, time
        As in `seurat_tracks.from_arrays`.

    Returns
    -------
    xarray.Dataset
        ``xy``, ``visible``, ``depth``, ``xyz``. ``xy`` is NaN behind the camera,
        ``xyz`` is not.

    Warns
    -----
    UserWarning
        If points are said to be visible that have no place in the image, or one that
        the contract refuses; they are taken as hidden.
    """
    camera = None
    if intrinsics is not None:
        camera = resolve_intrinsics(intrinsics, frame_size)
    if xy is None:
        assert camera is not None
        with np.errstate(over="ignore", invalid="ignore"):
            xy = project(xyz, camera)
    xy = np.where(np.isfinite(xy).all(-1, keepdims=True), xy, np.nan)
    lost = visible & ~np.isfinite(xy).all(-1)
    far = visible & _far_outside(xy, frame_size)
    if far.sum() < 0.01 * visible.sum():  # more: the frame's size is wrong
        lost |= far
    if lost.any():
        warnings.warn(
            f"{source}: {lost.sum()} of {visible.sum()} visible points lie behind the "
            "camera, far outside the frame or nowhere; they are taken as hidden",
            UserWarning,
            stacklevel=3,
        )
    ds = from_arrays(
        xy,
        visible & ~lost,
        frame_size=frame_size,
        ids=ids,
        time=time,
        query_frame=query_frame,
    )
    z = xyz[..., 2]
    ds = ds.assign_coords(axis=["x", "y", "z"]).assign(
        depth=(("track", "time"), np.where(z > 0, z, np.nan).astype(np.float32)),
        xyz=(("track", "time", "axis"), xyz.astype(np.float32)),
    )
    ds.attrs |= {
        "tracker": source,
        "depth_source": source,
        "units": "m",
        "frame_of_reference": "the camera of each frame",
    }
    if camera is not None:
        ds.attrs["intrinsics"] = [float(v) for v in camera]
    ds = annotate(ds)
    validate(ds, values=False)
    return ds


def _far_outside(xy: np.ndarray, frame_size: Sequence[int]) -> np.ndarray:
    """Find what the contract refuses as visible (track, time)."""
    margin = FAR_OUTSIDE * max(frame_size) + 0.5
    with np.errstate(invalid="ignore"):
        far = (xy < -margin) | (xy > np.asarray(frame_size) - 1 + margin)
    return np.any(far, axis=-1)


def true_tracks(truth: xr.Dataset) -> xr.Dataset:
    """Give the true 2D tracks alone, as a perfect tracker would.

    Parameters
    ----------
    truth
        From `seurat_tracks.io.tapvid3d.read_tapvid3d` or its like.

    Returns
    -------
    xarray.Dataset
        ``xy`` and ``visible``, with ``query_frame`` and the camera; ``xy`` is NaN
        where the point is hidden, so that nothing but what can be seen is told.
    """
    ds = truth[["xy", "visible"]].drop_vars("axis", errors="ignore")
    ds["xy"] = ds["xy"].where(ds["visible"])
    ds.attrs = {
        key: value
        for key, value in truth.attrs.items()
        if key not in ("depth_source", "units", "frame_of_reference")
    }
    return ds


def read_arrays(
    path: Path, names: Iterable[tuple[str, ...]]
) -> list[np.ndarray | None]:
    """Read arrays of an npz file; nothing in it is executed.

    Parameters
    ----------
    path
        The file.
    names
        For each wanted array, the names it may have.

    Returns
    -------
    list
        In the order of `names`; None for what is not there.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it is no npz file, holds pickles, is damaged, or claims more than it has.
    """
    wanted = list(names)
    arrays = read_npz(path, {name for spellings in wanted for name in spellings})
    return [
        next((arrays[name] for name in spellings if name in arrays), None)
        for spellings in wanted
    ]
