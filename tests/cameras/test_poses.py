import numpy as np
import pytest
import xarray as xr
from scipy.spatial.transform import Rotation

import seurat_tracks as st
from seurat_tracks.cameras import Poses, estimate_poses, read_poses, to_world
from seurat_tracks.errors import CameraError, DepthError, SchemaError
from seurat_tracks.schema import validate

K = (300.0, 310.0, 160.0, 120.0)


def motion(t=9):
    """Camera-to-world matrices of a camera that walks and turns."""
    m = np.tile(np.eye(4), (t, 1, 1))
    turn = np.linspace(0, 0.2, t)[:, None] * [0.3, 1, 0.1]
    m[:, :3, :3] = Rotation.from_rotvec(turn).as_matrix()
    m[:, :3, 3] = np.linspace(0, 0.5, t)[:, None] * [1, 0.2, 0.4]
    return m


@pytest.fixture
def still(rng):
    """Lifted tracks of points that stand still before a moving camera; their places."""
    world = rng.uniform([-1, -1, 3], [1, 1, 5], (30, 3))
    m = motion()
    inverse = np.linalg.inv(m)
    xyz = np.einsum("tij,nj->nti", inverse[:, :3, :3], world) + inverse[:, :3, 3]
    xy = xyz[..., :2] / xyz[..., 2:] * K[:2] + K[2:]
    ds = st.from_arrays(xy, frame_size=(320, 240))
    ratio = np.log(xyz[..., 2] / xyz[:, :1, 2]).astype(np.float32)
    ds = ds.assign(
        log_depth_ratio=(("track", "time"), ratio),
        depth=(("track", "time"), xyz[..., 2].astype(np.float32), {"units": "m"}),
        xyz=(("track", "time", "axis"), xyz.astype(np.float32), {"units": "m"}),
    )
    ds = ds.assign_coords(axis=["x", "y", "z"])
    ds.attrs |= {"units": "m", "frame_of_reference": "camera", "intrinsics": [*K]}
    return ds, world, m


def test_world_frame(still, raise_if_dask_computes, tmp_path):
    ds, world, m = still
    out = to_world(ds, Poses(m, "camera_to_world"))
    np.testing.assert_allclose(out.xyz, world[:, None].repeat(9, 1), atol=1e-4)
    assert out.attrs["frame_of_reference"] == "world"
    np.testing.assert_array_equal(out.depth, ds.depth)
    inverse = Poses(np.linalg.inv(m), "world_to_camera")
    np.testing.assert_allclose(to_world(ds, inverse).xyz, out.xyz, atol=1e-5)
    with raise_if_dask_computes():
        lazy = to_world(ds.chunk(track=7, time=4), Poses(m, "camera_to_world"))
    np.testing.assert_array_equal(lazy.xyz, out.xyz)
    validate(out)
    out.seurat.save(tmp_path / "a.zarr")
    again = st.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(again.camera_to_world, m)


def test_lift_and_anchor_take_poses(still):
    ds, _, m = still
    poses = Poses(m, "camera_to_world")
    source = ds.depth.copy()
    out = ds.seurat.anchor(source, poses=poses)
    np.testing.assert_allclose(
        out.xyz.values, to_world(ds, poses).xyz.values, atol=1e-3
    )
    bare = ds.drop_vars(["depth", "xyz", "log_depth_ratio"])
    with pytest.raises(CameraError, match="which way"):
        bare.seurat.lift3d(depth=source, poses=m)
    lifted = bare.seurat.lift3d(depth=source, poses=poses)
    assert lifted.attrs["frame_of_reference"] == "world"


def test_frames_by_number(still):
    ds, _, m = still
    some = Poses(m[[4, 2]], "camera_to_world", frames=[4, 2])
    out = to_world(ds, some)
    assert np.isfinite(out.xyz.isel(time=[2, 4])).all()
    assert np.isnan(out.xyz.isel(time=[0, 1, 3])).all()
    with pytest.raises(CameraError, match="none of the frames"):
        to_world(ds, Poses(m, "camera_to_world", frames=np.arange(9) + 50))
    with pytest.raises(CameraError, match="9 poses"):
        Poses(m, "camera_to_world").of(ds.isel(time=slice(3)))


def test_refuses_what_is_not_rigid():
    m = motion()
    with pytest.raises(CameraError, match="transposed"):
        Poses(m.transpose(0, 2, 1)[1:], "camera_to_world")
    for factor, text in (((2, 2, 2), "scales"), ((1, 1, -1), "mirrors")):
        bad = m.copy()
        bad[3, :3, :3] *= factor
        with pytest.raises(CameraError, match=f"pose 3.*{text}"):
            Poses(bad, "camera_to_world")
    with pytest.raises(CameraError, match="convention must be"):
        Poses(m, "c2w")
    with pytest.raises(CameraError, match="time, 4, 4"):
        Poses(m[:, :3], "camera_to_world")
    with pytest.raises(CameraError, match="several poses"):
        Poses(m, "camera_to_world", frames=[1] * 9)


def test_relative_depth_has_no_place_in_a_world(still):
    ds, _, m = still
    with pytest.raises(DepthError, match="metric"):
        to_world(ds.assign_attrs(units="relative"), Poses(m, "camera_to_world"))
    world = to_world(ds, Poses(m, "camera_to_world"))
    with pytest.raises(CameraError, match="already"):
        to_world(world, Poses(m, "camera_to_world"))


def test_tum(tmp_path):
    m = motion()
    q = Rotation.from_matrix(m[:, :3, :3]).as_quat()
    when = np.arange(9) / 10
    path = tmp_path / "traj.txt"
    np.savetxt(path, np.column_stack([when + 0.003, m[:, :3, 3], q]), header="stamp")
    seconds = xr.DataArray(when[2:6], dims="time", coords={"time": [20, 21, 22, 23]})
    poses = read_poses(path, seconds=seconds)
    assert poses.frames.tolist() == [20, 21, 22, 23]
    np.testing.assert_allclose(poses.matrices, m[2:6], atol=1e-9)
    with pytest.raises(CameraError, match="seconds="):
        read_poses(path)
    with pytest.raises(CameraError, match="no pose within"):
        read_poses(path, seconds=when + 50)


def test_colmap(tmp_path):
    m = motion()
    w2c = np.linalg.inv(m)
    q = Rotation.from_matrix(w2c[:, :3, :3]).as_quat()
    lines = ["# Image list with two lines of data per image:"]
    for k in range(9):
        values = [*q[k][[3, 0, 1, 2]], *w2c[k, :3, 3]]
        text = " ".join(f"{v:.12f}" for v in values)
        points = "" if k % 2 else "3.0 4.0 -1 5.0 6.0 7"
        lines += [f"{k + 1} {text} 1 clip2_frame_{k + 10:04d}.png", points]
    path = tmp_path / "images.txt"
    path.write_text("\n".join(lines) + "\n")
    poses = read_poses(path)
    assert poses.frames.tolist() == list(range(10, 19))
    np.testing.assert_allclose(poses.matrices, m, atol=1e-9)
    assert poses.convention == "camera_to_world"
    path.write_text("1 9 0 0 0 0 0 0 1 a1.png\n\n")
    with pytest.raises(CameraError, match="quaternion"):
        read_poses(path)
    path.write_text("1 2 3\n")
    with pytest.raises(CameraError, match="neither"):
        read_poses(path)


def test_poses_from_what_stands_still(still, rng):
    ds, _, m = still
    moving = ds.xyz.values.copy()
    moving[:5] += np.linspace(0, 1, 9)[:, None] * [0.4, 0, 0.3]
    xy = moving[..., :2] / moving[..., 2:] * K[:2] + K[2:]
    ds = ds.assign(
        xyz=ds.xyz.copy(data=moving),
        xy=ds.xy.copy(data=xy.astype(np.float32)),
    )
    late = ds.visible.values.copy()
    late[20:, :3] = False
    ds = ds.assign(visible=ds.visible.copy(data=late))
    poses, table = estimate_poses(ds)
    assert poses.estimated
    np.testing.assert_allclose(poses.matrices, m, atol=2e-3)
    assert table.points.values.tolist() == [20] * 3 + [20] + [30] * 5
    assert (table.inliers.values[4:] >= 25).all()
    assert table.inliers.values[-1] == 25
    out = to_world(ds, poses)
    assert out.attrs["poses_estimated"] == 1
    only, _ = estimate_poses(ds, static=ds.track.values[10:20])
    np.testing.assert_allclose(only.matrices, m, atol=2e-3)


def test_estimate_refuses(still):
    ds, _, _ = still
    with pytest.raises(SchemaError, match="no track 999"):
        estimate_poses(ds, static=[999])
    with pytest.raises(CameraError, match="no frame shows"):
        estimate_poses(ds, static=ds.track.values[:4])
    with pytest.raises(DepthError, match="metric"):
        estimate_poses(ds.assign_attrs(units="relative"))
    with pytest.raises(SchemaError, match="xyz"):
        estimate_poses(ds.drop_vars("xyz"))
