"""A small lifted Dataset of known motion, for the tests and pictures of the plugin."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.geometry import project, unproject
from seurat_tracks.io.arrays import from_arrays

SIZE = (160, 120)
INTRINSICS = [150.0, 150.0, 79.5, 59.5]


def make_lifted(
    n_tracks: int = 6,
    n_frames: int = 9,
    *,
    ids: Any = None,
    units: str = "m",
    seed: int = 3,
) -> xr.Dataset:
    """Points that drift away from the camera; every other one is hidden in between."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform((-1, -0.7, 3), (1, 0.7, 6), (n_tracks, 3))[:, None]
    drift = rng.normal(0, 0.02, (n_tracks, n_frames, 3)).cumsum(1)
    drift[..., 2] += 0.05 * np.arange(n_frames)
    xyz = (xyz + drift).astype(np.float32)
    xy = project(xyz, INTRINSICS).astype(np.float32)
    visible = np.ones((n_tracks, n_frames), bool)
    third = n_frames // 3
    visible[1::2, third : 2 * third] = False
    if n_tracks > 3 and n_frames > 4:
        xy[3, third : 2 * third] = np.nan  # hidden, and no guess either
    ds = from_arrays(
        xy,
        visible,
        frame_size=SIZE,
        fps=25,
        ids=ids,
        confidence=rng.uniform(0, 1, visible.shape).astype(np.float32),
    )
    dims = ("track", "time")
    depth = np.where(np.isfinite(xy).all(-1), xyz[..., 2], np.nan).astype(np.float32)
    ratio = np.log(depth / depth[:, :1])
    sigma = np.full_like(depth, 0.05)
    ds = ds.assign(
        log_depth_ratio=(dims, ratio, {"units": "1"}),
        depth_ratio_sigma=(dims, sigma, {"units": "1"}),
        scale=(dims, (depth / np.exp(ratio)).astype(np.float32), {"units": units}),
        depth=(dims, depth, {"units": units}),
        xyz=(
            (*dims, "axis"),
            unproject(xy, depth, INTRINSICS).astype(np.float32),
            {"units": units},
        ),
    ).assign_coords(axis=["x", "y", "z"])
    return ds.assign_attrs(
        units=units, intrinsics=INTRINSICS, frame_of_reference="camera"
    )


def make_video(n_frames: int = 9) -> np.ndarray:
    """Frames whose four quarters differ: red, green, blue, white; brightness grows."""
    width, height = SIZE
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2, 0] = 200
    frame[: height // 2, width // 2 :, 1] = 200
    frame[height // 2 :, : width // 2, 2] = 200
    frame[height // 2 :, width // 2 :] = 200
    grow = np.arange(n_frames, dtype=np.uint8)[:, None, None, None]
    return frame[None] + grow
