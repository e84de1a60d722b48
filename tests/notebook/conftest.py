"""A box that approaches the camera over a ground, passing behind a pole."""

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.geometry import project
from seurat_tracks.scale import add_xyz, anchor

W, H, T, FIRST = 160, 120, 22, 40
K = (150.0, 150.0, 79.5, 59.5)


@pytest.fixture(scope="session")
def scene():
    """Lifted Dataset (metric) and the video, frames numbered from 40."""
    rng = np.random.default_rng(5)
    t = np.arange(T)
    box = rng.uniform([-0.5, -0.4, -0.4], [0.5, 0.4, 0.4], (60, 3))
    path = np.stack([-1.2 + 0.1 * t, 0.0 * t, 6 - 0.15 * t], axis=-1)
    ground = rng.uniform([-2.5, 0.8, 3], [2.5, 1.0, 9], (90, 3))
    xyz = np.concatenate(
        [box[:, None] + path, np.broadcast_to(ground[:, None], (90, T, 3))]
    )
    xy = project(xyz, K)
    visible = ((xy >= 0) & (xy <= (W - 1, H - 1))).all(-1)
    visible[:60] &= np.abs(xy[:60, :, 0] - 70) > 6
    xy[~visible] = np.nan
    ds = xr.Dataset(
        {
            "xy": (("track", "time", "coord"), xy.astype(np.float32)),
            "visible": (("track", "time"), visible),
            "log_depth_ratio": (
                ("track", "time"),
                np.log(xyz[..., 2] / xyz[:, :1, 2]).astype(np.float32),
            ),
        },
        coords={
            "track": np.arange(len(xyz)),
            "time": FIRST + t,
            "coord": ["x", "y"],
        },
        attrs={"frame_size": [W, H], "fps": 25.0},
    )
    measured = xr.DataArray(xyz[..., 2], dims=("track", "time"))
    # blocks that slide to the right, which a tracker can follow, behind a pole
    blocks = rng.integers(80, 130, (H // 4, W // 4)).astype(np.uint8)
    blocks = blocks.repeat(4, axis=0).repeat(4, axis=1)
    video = np.stack([np.roll(blocks, k, axis=1) for k in range(T)])
    video = np.repeat(video[..., None], 3, axis=-1)
    video[:, :, 64:77] = 60
    video = xr.DataArray(
        video,
        dims=("time", "y", "x", "rgb"),
        coords={"time": FIRST + t},
        attrs={"fps": 25.0},
    )
    return add_xyz(anchor(ds, measured), K), video
