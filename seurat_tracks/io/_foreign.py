"""Tables from other programs: which column is what, and the Dataset they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files
from seurat_tracks.io._rows import Rows
from seurat_tracks.schema import VARIABLES, annotate

NAMES: Mapping[str, tuple[str, ...]] = {
    "track": (
        *("track", "track_id", "trackid", "track id", "particle", "particle_id"),
        *("trajectory", "trajectory_id", "traj_id", "point", "point_id", "object_id"),
        *("individual", "keypoint", "id"),
    ),
    "frame": (
        *("frame", "frame_id", "frame_index", "frame_idx", "frame_number"),
        *("frame number", "image", "t", "time", "timepoint"),
    ),
    "x": ("x", "x_px", "x [px]", "pos_x", "position_x", "x_position", "px"),
    "y": ("y", "y_px", "y [px]", "pos_y", "position_y", "y_position", "py"),
    "visible": ("visible", "visibility", "is_visible", "vis"),
    "occluded": ("occluded", "is_occluded", "occlusion", "hidden"),
    "confidence": ("confidence", "conf", "likelihood", "score", "probability"),
    "log_depth_ratio": ("log_depth_ratio",),
    "depth_ratio_sigma": ("depth_ratio_sigma", "sigma"),
    "scale": ("scale",),
    "depth": ("depth",),
    "xyz_x": ("xyz_x",),
    "xyz_y": ("xyz_y",),
    "xyz_z": ("xyz_z",),
}
"""Names, in small letters, that a column may have; the first that is there counts."""

NEEDED = ("track", "frame", "x", "y")
"""Columns without which nothing can be read."""

FLAGS = ("visible", "occluded")
UNITS = ("frames", "seconds")


def missing(path: Path, names: Sequence[str], found: Mapping[str, int]) -> None:
    """Refuse a table that misses a needed column.

    Raises
    ------
    FormatError
        Lists what was looked for and what is there.
    """
    absent = [name for name in NEEDED if name not in found]
    if absent:
        looked = "; ".join(f"{n} ({', '.join(NAMES[n])})" for n in absent)
        raise FormatError(
            f"{path} has no column for {looked}. Its columns are "
            f"{', '.join(map(str, names))[:400]}: name them with "
            "columns={'track': ..., 'frame': ..., 'x': ..., 'y': ...}"
        )


def frame_numbers(
    path: Path, moments: np.ndarray, unit: str, fps: float | None
) -> np.ndarray:
    """Turn a column of frame numbers or seconds into frame numbers.

    Raises
    ------
    FormatError
        If the rate is missing, or moments lie between two frames.
    """
    if unit not in UNITS:
        raise FormatError(f"time_unit is {unit!r}; give 'frames' or 'seconds'")
    if unit == "frames":
        return moments.astype(np.int64)
    if fps is None:
        raise FormatError(f"{path}: time_unit='seconds' needs fps=, frames per second")
    exact = moments.astype(np.float64) * float(fps)
    if not np.isfinite(exact).all() or (np.abs(exact) > 2**53).any():
        raise FormatError(f"{path}: moments are missing, or beyond any video")
    nearest = np.rint(exact)
    off = np.abs(exact - nearest)
    if off.size and off.max() > 0.25:
        raise FormatError(
            f"{path}: at {fps} frames per second the moment {moments[off.argmax()]} s "
            f"is frame {exact[off.argmax()]:.2f}, between two frames: fps is wrong"
        )
    return nearest.astype(np.int64)


def seen(
    flags: Mapping[str, np.ndarray], finite: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Say which rows are visible.

    Parameters
    ----------
    flags
        Columns `visible` or `occluded`, 1, 0 or -1 (not said).
    finite
        Whether each row has a position.

    Returns
    -------
    visible : bool array
    wrong : bool array
        Rows that are said to be visible and have no position.
    """
    state = flags.get("visible")
    if state is None and "occluded" in flags:
        hidden = flags["occluded"]
        state = np.where(hidden < 0, -1, 1 - hidden)
    if state is None:
        return finite.copy(), np.zeros_like(finite)
    # "not occluded" without a position says nothing; "visible" would
    wrong = (state == 1) & ~finite & ("visible" in flags)
    return np.where(state < 0, finite, (state == 1) & finite), wrong


def assemble(
    path: Path,
    rows: Rows,
    ids: list[Any],
    *,
    frame_size: Any,
    fps: float | None,
    coordinates: str | None = None,
    first_pixel: float = 0.0,
    frames: str = "all",
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Build the Dataset of a table with the columns x, y, visible and others.

    Raises
    ------
    FormatError
        If facts are missing, or the rows make no Dataset under the contract.
    """
    size = _files.need_frame_size(path, frame_size)
    time, made = rows.grid(frames=frames)
    xy = np.stack([made["x"], made["y"]], -1)
    xy = _files.to_pixels(path, xy, size, coordinates, first_pixel=first_pixel)
    ds = _files.build(
        path,
        xy,
        made["visible"],
        frame_size=size,
        fps=fps,
        ids=ids,
        time=time,
        confidence=made.get("confidence"),
    )
    derived: dict[str, Any] = {
        n: (("track", "time"), made[n].astype(np.float32))
        for n, spec in VARIABLES.items()
        if spec.derived and n in made
    }
    if all(f"xyz_{a}" in made for a in "xyz"):
        xyz = np.stack([made[f"xyz_{a}"] for a in "xyz"], -1).astype(np.float32)
        ds = ds.assign_coords(axis=["x", "y", "z"])
        derived["xyz"] = (("track", "time", "axis"), xyz)
    if derived:
        ds = annotate(ds.assign(derived))
    if attrs:
        ds = ds.assign_attrs(attrs)
    return _files.checked(ds, path) if derived or attrs else ds
