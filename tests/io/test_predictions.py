from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.geometry import project
from seurat_tracks.io.predictions import LAYOUTS, find_predictions, read_predictions
from seurat_tracks.io.truth import build_truth

SIZE = (320, 240)
K = (300.0, 290.0, 160.0, 118.0)
N, T = 7, 5


@pytest.fixture
def truth(rng: np.random.Generator) -> xr.Dataset:
    xyz = rng.uniform([-0.5, -0.4, 3], [0.5, 0.4, 5], (N, 1, 3))
    xyz = xyz + rng.normal(0, 0.02, (N, T, 3)).cumsum(1)
    return build_truth(
        xyz,
        rng.random((N, T)) < 0.8,
        frame_size=SIZE,
        intrinsics=K,
        query_frame=np.zeros(N, int),
        source="a test",
        ids=[f"p{i}" for i in range(N)],
    )


@pytest.fixture
def poses(rng: np.random.Generator) -> np.ndarray:
    """Cameras (time, 4, 4), world to camera."""
    poses = np.tile(np.eye(4), (T, 1, 1))
    for t in range(T):
        turn, _ = np.linalg.qr(np.eye(3) + rng.normal(0, 0.1, (3, 3)))
        poses[t, :3, :3] = turn * np.sign(np.linalg.det(turn))
        poses[t, :3, 3] = [0.1 * t, -0.2, 0.3 * t]
    return poses


def _camera(truth: xr.Dataset) -> np.ndarray:
    """Positions (time, track, 3)."""
    return truth.xyz.values.swapaxes(0, 1).astype(float)


def _world(truth: xr.Dataset, poses: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(poses)
    camera = _camera(truth)
    return np.einsum("tij,tnj->tni", back[:, :3, :3], camera) + back[:, None, :3, 3]


def _seen(truth: xr.Dataset) -> np.ndarray:
    return truth.visible.values.T


def _check(ds: xr.Dataset, truth: xr.Dataset, *, flags: bool = True) -> None:
    np.testing.assert_allclose(ds.xyz, truth.xyz, rtol=1e-4, atol=1e-4)
    expected = truth.visible if flags else np.ones((N, T), bool)
    np.testing.assert_array_equal(ds.visible, expected)
    assert ds.track.values.tolist() == truth.track.values.tolist()
    scores = ds.seurat.evaluate(truth, scaling="none")
    assert float(scores.video_average_pts_within) == 1.0


@pytest.mark.parametrize(
    "keys", [("tracks_XYZ", "visibility"), ("tracks_xyz", "visible")]
)
def test_tapvid3d(truth: xr.Dataset, tmp_path: Path, keys: tuple[str, str]) -> None:
    path = tmp_path / "clip.npz"
    np.savez(path, **{keys[0]: _camera(truth), keys[1]: _seen(truth)})
    _check(read_predictions(path, truth, layout="tapvid3d"), truth)


def test_spatialtracker(truth: xr.Dataset, tmp_path: Path) -> None:
    xyz = _camera(truth)
    path = tmp_path / "clip_spatracker_tracks.npy"
    np.save(path, np.concatenate([project(xyz, K), xyz[..., 2:]], -1))
    _check(read_predictions(path, truth, layout="spatialtracker"), truth, flags=False)


@pytest.mark.parametrize("last", [False, True])
def test_spatialtrackerv2(
    truth: xr.Dataset, poses: np.ndarray, tmp_path: Path, last: bool
) -> None:
    flags = _seen(truth)[..., None] if last else _seen(truth)
    path = tmp_path / "clip_result.npz"
    np.savez(
        path,
        coords=_world(truth, poses),
        extrinsics=poses,
        visibs=np.where(flags, 0.9, 0.2),
        video=np.zeros((T, 3, 2, 2)),
    )
    _check(read_predictions(path, truth, layout="spatialtrackerv2"), truth)


@pytest.mark.parametrize("camera", [(4, 4), (3, 4), None])
def test_tapip3d(
    truth: xr.Dataset, poses: np.ndarray, tmp_path: Path, camera: tuple | None
) -> None:
    arrays = {"coords": _camera(truth), "visibs": _seen(truth)}
    if camera:
        arrays |= {"coords": _world(truth, poses), "extrinsics": poses[:, : camera[0]]}
    np.savez(tmp_path / "clip.npz", **arrays)
    _check(read_predictions(tmp_path / "clip.npz", truth, layout="tapip3d"), truth)


@pytest.mark.parametrize("batch", [False, True])
def test_delta(truth: xr.Dataset, tmp_path: Path, batch: bool) -> None:
    xyz = _camera(truth)
    arrays = {
        "trajs_uv": project(xyz, K),
        "trajs_depth": xyz[..., 2:],
        "vis": _seen(truth),
    }
    if batch:
        arrays = {key: value[None] for key, value in arrays.items()}
    np.savez(tmp_path / "clip.npz", **arrays)
    _check(read_predictions(tmp_path / "clip.npz", truth, layout="delta"), truth)


def test_tracksto4d(truth: xr.Dataset, poses: np.ndarray, tmp_path: Path) -> None:
    turn = poses[:, :3, :3].swapaxes(1, 2)  # camera to world
    place = -np.einsum("tij,tj->ti", turn, poses[:, :3, 3])
    np.savez(
        tmp_path / "clip.npz",
        points3D=_world(truth, poses).swapaxes(1, 2)[None],
        rotation_params=turn[None],
        translation_params=place[None],
    )
    ds = read_predictions(tmp_path / "clip.npz", truth, layout="tracksto4d")
    _check(ds, truth, flags=False)


def test_a_pickle_is_refused_with_a_cure(truth: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "sparse_3d_track.pkl"
    path.write_bytes(pickle.dumps({"coords": np.zeros(3)}))
    with pytest.raises(SeuratTracksError, match=r"np\.savez"):
        read_predictions(path, truth, layout="delta")
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(SeuratTracksError, match="no plain array"):
        read_predictions(tmp_path / "x.npy", truth, layout="spatialtracker")


def test_every_fault_is_listed(truth: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    np.savez(path, coords=np.zeros((T, N + 1, 3)), visibs=np.full((T, N), 7.0))
    with pytest.raises(SeuratTracksError) as told:
        read_predictions(path, truth, layout="spatialtrackerv2")
    for words in ("coords has shape", "no extrinsics", "outside 0 to 1"):
        assert words in str(told.value)
    with pytest.raises(SeuratTracksError, match="no tracks_XYZ or tracks_xyz"):
        read_predictions(path, truth, layout="tapvid3d")
    with pytest.raises(SeuratTracksError, match="no trajs_uv"):
        read_predictions(path, truth, layout="delta")


def test_files_are_found_by_the_clips_name(tmp_path: Path) -> None:
    (tmp_path / "clip_result.npz").touch()
    found = find_predictions(tmp_path, "clip", "spatialtrackerv2")
    assert found.name == "clip_result.npz"
    with pytest.raises(FileNotFoundError, match=r"clip\.npz"):
        find_predictions(tmp_path, "clip", "tapvid3d")


def test_no_such_thing(truth: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(SeuratTracksError, match="layout is 'other'"):
        read_predictions(tmp_path / "x.npz", truth, layout="other")
    for layout in LAYOUTS:
        with pytest.raises(FileNotFoundError):
            read_predictions(tmp_path / "x.npz", truth, layout=layout)
