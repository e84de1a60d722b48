from __future__ import annotations

import dask
import numpy as np
import pytest

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.io.ply import write_ply
from seurat_tracks.scale import RELATIVE_UNITS
from tests.fixtures.cube import HIDDEN, UNKNOWN, corners, make_cube, put_in_world

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")

trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")


def vertices(path):
    cloud = trimesh.load(path)
    raw = cloud.metadata["_ply_raw"]["vertex"]["data"]
    return np.asarray(cloud.vertices), raw


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_the_cube_is_in_one_file(tmp_path, binary, lazy):
    path = write_ply(make_cube(lazy=lazy), tmp_path / "a.ply", binary=binary)
    points, raw = vertices(path)
    known = np.ones((8, 5), bool)
    known[UNKNOWN] = False
    np.testing.assert_array_equal(points, corners()[known])
    track, time = np.nonzero(known)
    np.testing.assert_array_equal(np.ravel(raw["track"]), track)
    np.testing.assert_array_equal(np.ravel(raw["frame"]), time + 20)
    np.testing.assert_array_equal(np.ravel(raw["sigma"]), np.full(39, 0.125))
    seen = np.ravel(raw["visible"]).astype(bool)
    assert list(zip(track[~seen], time[~seen], strict=True)) == [HIDDEN]


def test_only_seen_leaves_hidden_points_out(tmp_path):
    points, _ = vertices(write_ply(make_cube(), tmp_path / "a.ply", only_seen=True))
    assert len(points) == 38


@pytest.mark.parametrize("lazy", [False, True])
def test_one_file_a_frame(tmp_path, lazy):
    folder = write_ply(make_cube(lazy=lazy), tmp_path / "frames", per_frame=True)
    names = sorted(p.name for p in folder.iterdir())
    assert names == [f"frame_{i:06d}.ply" for i in range(20, 25)]
    points, raw = vertices(folder / "frame_000021.ply")
    np.testing.assert_array_equal(points, np.delete(corners()[:, 1], 5, axis=0))
    assert set(np.ravel(raw["frame"])) == {21}


def test_header_says_units_axes_and_ids(tmp_path):
    ids = [f"mouse {i}\nä" for i in range(8)]
    ds = make_cube(units=RELATIVE_UNITS, ids=ids)
    head = write_ply(ds, tmp_path / "a.ply").read_bytes().split(b"end_header")[0]
    text = head.decode("ascii")
    assert f"comment units {RELATIVE_UNITS}\n" in text
    assert "comment axes camera: x right, y down, z forward\n" in text
    assert "comment id 7 mouse 7\\n\\u00e4\n" in text
    world = write_ply(put_in_world(make_cube()), tmp_path / "b.ply").read_bytes()
    assert b"comment axes world, as the camera poses have it\n" in world


def test_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "a.ply"
    path.write_text("old")

    def fail(block):
        raise RuntimeError("no")

    ds = make_cube(lazy=True)
    ds["xyz"] = ds["xyz"].copy(
        data=ds["xyz"].data.map_blocks(fail, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
    )
    with pytest.raises(RuntimeError), dask.config.set(scheduler="synchronous"):
        write_ply(ds, path, overwrite=True)
    assert path.read_text() == "old"
    with pytest.raises(SeuratTracksError, match="overwrite=True"):
        write_ply(make_cube(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_bad_targets_and_2d_tracks_are_refused(tmp_path):
    with pytest.raises(SchemaError, match="lift3d"):
        write_ply(make_cube().drop_vars(["xyz", "axis"]), tmp_path / "a.ply")
    with pytest.raises(SeuratTracksError, match="Create it first"):
        write_ply(make_cube(), tmp_path / "no" / "a.ply")
    (tmp_path / "f").mkdir()
    with pytest.raises(SeuratTracksError, match="not replaced"):
        write_ply(make_cube(), tmp_path / "f", per_frame=True)
