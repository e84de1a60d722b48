"""What ratios add to depth on real clips; the bars of ``docs/scale.md``.

The data are not part of the repository; without them these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

import seurat_tracks as st
from seurat_tracks.cameras import Poses, estimate_poses
from seurat_tracks.evaluation.stability import temporal_coherence

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the evaluation data are not on this machine"
)

Clip = tuple[xr.Dataset, dict[str, np.ndarray], np.ndarray, np.ndarray]


def read(path: str, ids: str | None = None, folder: Path = DATA) -> Clip:
    """Tracks with ratios, the file, true positions (track, time, 3), visibility."""
    with np.load(folder / path, allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    visible = data["visibility"].T.astype(bool)
    xy = np.where(visible[..., None], data["tracks_uv"].transpose(1, 0, 2), np.nan)
    height, width = (int(v) for v in data["size_hw"])
    names = None if ids is None else [str(n) for n in data[ids]]
    ds = st.from_arrays(xy, visible, frame_size=(width, height), ids=names)
    k = data["intrinsics"]
    ds.attrs["intrinsics"] = [float(k[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2))]
    return (
        ds.seurat.depth_ratio(),
        data,
        data["tracks_xyz"].transpose(1, 0, 2).astype(np.float64),
        visible,
    )


@pytest.fixture(scope="module")
def kitchen() -> Clip:
    return read("sevenscenes_a/seq_a.npz")


def error(out: xr.Dataset, truth: np.ndarray, visible: np.ndarray) -> float:
    assert np.isfinite(out.depth.values[visible]).mean() > 0.99
    return float(np.nanmedian(np.abs(out.depth / truth[..., 2] - 1).values[visible]))


def test_one_frame_in_eight(kitchen: Clip) -> None:
    ds, data, truth, visible = kitchen
    maps = data["depth"].copy()
    maps[np.arange(len(maps)) % 8 != 0] = np.nan
    assert error(ds.seurat.anchor(maps), truth, visible) < 0.03


@pytest.mark.parametrize("kind", ["field", "gain"])
def test_flicker_is_cured(kitchen: Clip, kind: str) -> None:
    ds, data, truth, visible = kitchen
    rng = np.random.default_rng(1)
    maps = data["depth"]
    noise = rng.normal(size=(len(maps), 1, 1))
    if kind == "field":
        coarse = gaussian_filter(rng.normal(size=(len(maps), 36, 48)), (0, 8, 8))
        noise = (coarse / coarse.std()).repeat(10, 1).repeat(10, 2)
    maps = maps * np.exp(0.1 * noise)
    ours = ds.seurat.anchor(maps)
    alone = ds.seurat.lift3d(method="per_frame", depth=maps)
    assert error(ours, truth, visible) < error(alone, truth, visible) / 3
    coherence = [
        temporal_coherence(truth, visible, out.xyz.values) for out in (ours, alone)
    ]
    assert coherence[0] < coherence[1] / 5
    steady = ds_steadiness(ours, maps, data["depth"])
    assert steady < 0.4


def ds_steadiness(ours: xr.Dataset, maps: np.ndarray, true: np.ndarray) -> float:
    """Change from frame to frame of steadied over flickering maps."""
    steadied = ours.seurat.stabilise_depth(maps).values
    change = []
    for some in (steadied, maps):
        with np.errstate(all="ignore"):
            step = np.abs(np.diff(np.log(some / true), axis=0))
        change.append(np.median(step[np.isfinite(step)]))
    return float(change[0] / change[1])


def test_rigid_points_and_one_distance(kitchen: Clip) -> None:
    ds, _, truth, visible = kitchen
    long = np.flatnonzero(visible.mean(1) > 0.8)
    rows = long[np.linspace(0, len(long) - 1, 12).round().astype(int)]
    ids: list[Any] = ds.track.values[rows].tolist()
    apart = np.linalg.norm(truth[rows[0]] - truth[rows[-1]], axis=-1)
    out = ds.seurat.anchor(rigid=ids, distance={(ids[0], ids[-1]): np.median(apart)})
    assert error(out.isel(track=rows), truth[rows], visible[rows]) < 0.02


def test_poses_from_the_kitchen(kitchen: Clip) -> None:
    ds, data, _, _ = kitchen
    out = ds.seurat.anchor(data["depth"])
    poses, table = estimate_poses(out)
    true = Poses(data["cam_to_world"], "camera_to_world").matrices
    true = np.linalg.inv(true[0]) @ true
    off = np.linalg.norm(poses.matrices[:, :3, 3] - true[:, :3, 3], axis=1)
    assert np.median(off) < 0.03
    assert table.inliers.min() > 20


@pytest.mark.parametrize("camera", ["cam2", "cam4"])
def test_one_known_distance_of_a_person(camera: str) -> None:
    """Equal depth at the first frame is assumed; a trunk's diagonal is known."""
    ds, _, truth, _ = read(f"pose2sim_balancing/{camera}.npz", "joint_names")
    names = ds.track.values.tolist()
    ends = [names.index(n) for n in ("RHip", "LShoulder")]
    metres = float(np.median(np.linalg.norm(truth[ends[0]] - truth[ends[1]], axis=-1)))
    out = ds.seurat.anchor(
        assume="equal_depth", distance={("RHip", "LShoulder"): metres}
    )
    off = np.median(np.linalg.norm(out.xyz.values - truth, axis=-1), axis=1)
    assert (off[ends] < 0.15).all()
    assert np.median(off) < 0.2  # all joints: the assumption limits it
