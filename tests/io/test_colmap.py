from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seurat_tracks.errors import CameraError, SchemaError, SeuratTracksError
from seurat_tracks.geometry import project
from seurat_tracks.io.colmap import write_colmap
from seurat_tracks.scale import RELATIVE_UNITS
from tests.fixtures.cube import (
    HIDDEN,
    INTRINSICS,
    UNKNOWN,
    corners,
    make_cube,
    put_in_world,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")

STILL = corners()[:, 0]


def following():
    """Give the poses of a camera that backs away, so that the cube stands still."""
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 2, 3] = np.arange(5) * 0.5
    return poses


def lines(path):
    text = [one for one in path.read_text().split("\n") if not one.startswith("#")]
    return text[:-1]


def test_a_standing_cube_has_no_error(tmp_path):
    folder = write_colmap(make_cube(), tmp_path / "m", world_to_camera=following())
    rows = [one.split() for one in lines(folder / "points3D.txt")]
    assert [int(r[0]) for r in rows] == list(range(1, 9))
    np.testing.assert_allclose(np.array([r[1:4] for r in rows], float), STILL)
    assert max(float(r[7]) for r in rows) < 1e-4
    camera = lines(folder / "cameras.txt")[0].split()
    assert camera[:4] == ["1", "PINHOLE", "96", "80"]
    np.testing.assert_array_equal(np.array(camera[4:], float), [100, 110, 48, 40])
    images = lines(folder / "images.txt")
    assert len(images) == 10
    assert images[2].split()[-1] == "frame_000021.png"
    # each observation of a point is that point's in its image
    for row in rows:
        pairs = np.array(row[8:], int).reshape(-1, 2)
        for image, index in pairs:
            x, y, point = images[2 * image - 1].split()[3 * index : 3 * index + 3]
            assert point == row[0]
            place = corners()[int(row[0]) - 1, image - 1]
            seen = project(place, INTRINSICS) + 0.5
            np.testing.assert_allclose([float(x), float(y)], seen, rtol=1e-6)
    counts = [len(r[8:]) // 2 for r in rows]
    assert counts == [4 if t in (HIDDEN[0], UNKNOWN[0]) else 5 for t in range(8)]


@pytest.mark.parametrize("lazy", [False, True])
def test_pycolmap_reads_it(tmp_path, lazy):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is not installed")
    turn = Rotation.from_euler("xyz", [0.2, -0.3, 0.1]).as_matrix()
    poses = following()
    poses[:, :3, :3] = turn  # the world is turned, the cameras are where they were
    ds = make_cube(lazy=lazy)
    folder = write_colmap(ds, tmp_path / "m", world_to_camera=poses[:, :3])
    model = pycolmap.Reconstruction(folder)
    assert model.num_images() == 5
    for number, point in model.points3D.items():
        np.testing.assert_allclose(point.xyz, turn.T @ STILL[number - 1], atol=1e-6)
    image = model.images[3]
    pose = (
        image.cam_from_world()
        if callable(image.cam_from_world)
        else image.cam_from_world
    )
    np.testing.assert_allclose(pose.matrix(), poses[2, :3], atol=1e-9)
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-4


def test_moving_tracks_have_an_error_and_can_be_left_out(tmp_path):
    still = np.tile(np.eye(4), (5, 1, 1))
    folder = write_colmap(make_cube(), tmp_path / "m", world_to_camera=still)
    errors = [float(one.split()[7]) for one in lines(folder / "points3D.txt")]
    assert min(errors) > 0.5
    ds = make_cube()
    ds["camera_to_world"] = (("time", "row", "column"), still)
    few = write_colmap(ds, tmp_path / "n", max_error=0.5)
    assert lines(few / "points3D.txt") == []


def test_comments_say_units(tmp_path):
    ds = make_cube(units=RELATIVE_UNITS, ids=list("abcdefgh"))
    folder = write_colmap(ds, tmp_path / "m", world_to_camera=following())
    for path in folder.iterdir():
        assert f"# units: {RELATIVE_UNITS}\n" in path.read_text()
    assert "# track h\n8 " in (folder / "points3D.txt").read_text()


def test_bad_poses_are_refused(tmp_path):
    with pytest.raises(SchemaError, match="world_to_camera="):
        write_colmap(make_cube(), tmp_path / "m")
    for wrong, said in (
        (np.eye(4), "shape"),
        (np.full((5, 4, 4), np.nan), "not finite"),
        (following() * 2, "no rotation"),
        (following() * [1, 1, -1, 1], "no rotation"),
        ("x", "shape"),
    ):
        with pytest.raises(CameraError, match=said):
            write_colmap(make_cube(), tmp_path / "m", world_to_camera=wrong)
    ds = make_cube()
    del ds.attrs["intrinsics"]
    with pytest.raises(CameraError, match=r"intrinsics.*shape"):
        write_colmap(ds, tmp_path / "m", world_to_camera=np.eye(4))
    with pytest.raises(SeuratTracksError, match="same name"):
        write_colmap(
            make_cube(), tmp_path / "m", world_to_camera=following(), image_name="a"
        )
    assert list(tmp_path.iterdir()) == []


def test_poses_and_world_of_the_dataset(tmp_path):
    ds = put_in_world(make_cube())
    moving = ds["xyz"] - ds["xyz"].isel(time=0)  # taken out, so that the cube stands
    ds["xyz"] = ds["xyz"] - moving
    world = np.moveaxis(ds["xyz"].values.astype(float), 0, 1)
    poses = ds["camera_to_world"].values
    inside = np.einsum("tji,tnj->tni", poses[:, :3, :3], world - poses[:, None, :3, 3])
    xy = project(inside, INTRINSICS).swapaxes(0, 1).astype(np.float32)
    ds["xy"] = ds["xy"].copy(data=np.where(np.isfinite(ds["xy"]), xy, np.nan))
    folder = write_colmap(ds, tmp_path / "m")
    rows = np.array([r.split()[:8] for r in lines(folder / "points3D.txt")], float)
    np.testing.assert_allclose(rows[:, 1:4], ds["xyz"][:, 0], rtol=1e-6)
    assert rows[:, 7].max() < 1e-4
    ds["camera_to_world"][2] = np.nan
    with pytest.raises(CameraError, match=r"not finite in frames \[22\]"):
        write_colmap(ds, tmp_path / "n")
