from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.gltf import write_glb
from seurat_tracks.scale import RELATIVE_UNITS
from tests.fixtures.cube import (
    HIDDEN,
    INTRINSICS,
    UNKNOWN,
    corners,
    in_world,
    make_cube,
    put_in_world,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")


class Glb:
    """A small reader of its own, by the specification."""

    def __init__(self, path):
        raw = path.read_bytes()
        magic, version, total = struct.unpack_from("<4sII", raw)
        assert (magic, version, total) == (b"glTF", 2, len(raw))
        size, kind = struct.unpack_from("<I4s", raw, 12)
        assert kind == b"JSON"
        assert size % 4 == 0
        self.json = json.loads(raw[20 : 20 + size])
        length, kind = struct.unpack_from("<I4s", raw, 20 + size)
        assert kind == b"BIN\0"
        self.body = raw[28 + size :]
        assert len(self.body) == length

    def array(self, index):
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        dtype = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        assert view["byteOffset"] % 4 == 0
        flat = np.frombuffer(
            self.body, dtype, accessor["count"] * width, view["byteOffset"]
        )
        return flat.reshape(-1, width) if width > 1 else flat

    def keys(self, name, path):
        node = [n["name"] for n in self.json["nodes"]].index(name)
        animation = self.json["animations"][0]
        for channel in animation["channels"]:
            if channel["target"] == {"node": node, "path": path}:
                sampler = animation["samplers"][channel["sampler"]]
                values = self.array(sampler["output"])
                return self.array(sampler["input"]), values, sampler["interpolation"]
        return None


@pytest.mark.parametrize("lazy", [False, True])
def test_corners_move_as_they_should(tmp_path, lazy):
    glb = Glb(write_glb(make_cube(lazy=lazy), tmp_path / "a.glb"))
    for track, points in enumerate(corners()):
        times, places, how = glb.keys(str(track), "translation")
        known = np.arange(5) != (UNKNOWN[1] if track == UNKNOWN[0] else -1)
        np.testing.assert_array_equal(times, (np.arange(5) / 10)[known].astype("f4"))
        # camera x right, y down, z forward -> glTF y up, z backward
        np.testing.assert_array_equal(places, (points * [1, -1, -1])[known])
        assert how == "LINEAR"


def test_hidden_spans_have_no_size(tmp_path):
    glb = Glb(write_glb(make_cube(), tmp_path / "a.glb"))
    times, sizes, how = glb.keys(str(HIDDEN[0]), "scale")
    assert how == "STEP"
    np.testing.assert_allclose(times, [0, 0.2, 0.3])
    np.testing.assert_array_equal(sizes, np.repeat([[1], [0], [1]], 3, axis=1))
    assert glb.keys("0", "scale") is None
    shown = Glb(write_glb(make_cube(), tmp_path / "b.glb", hidden=True))
    assert shown.keys(str(HIDDEN[0]), "scale") is None
    assert shown.keys(str(UNKNOWN[0]), "scale") is not None


def test_lines_never_cross_a_gap(tmp_path):
    glb = Glb(write_glb(make_cube(), tmp_path / "a.glb"))
    mesh = next(m for m in glb.json["meshes"] if m["name"] == "trajectories")
    (lines,) = mesh["primitives"]
    points = glb.array(lines["attributes"]["POSITION"])
    ends = points[glb.array(lines["indices"]).reshape(-1, 2)]
    assert len(ends) == 8 * 4 - 4
    np.testing.assert_array_equal(ends[:, 1] - ends[:, 0], [[0, 0, -0.5]] * len(ends))
    accessor = glb.json["accessors"][lines["attributes"]["POSITION"]]
    np.testing.assert_array_equal(accessor["min"], points.min(0))


def test_lines_skip_frames_that_are_missing(tmp_path):
    ds = make_cube().isel(time=[0, 1, 3, 4])
    glb = Glb(write_glb(ds, tmp_path / "a.glb"))
    mesh = next(m for m in glb.json["meshes"] if m["name"] == "trajectories")
    ends = glb.array(mesh["primitives"][0]["indices"]).reshape(-1, 2)
    assert len(ends) == 8 * 2 - 1
    every_other = Glb(write_glb(make_cube().isel(time=[0, 2, 4]), tmp_path / "b.glb"))
    mesh = next(m for m in every_other.json["meshes"] if m["name"] == "trajectories")
    assert len(every_other.array(mesh["primitives"][0]["indices"])) // 2 == 8 * 2 - 2


def test_trimesh_opens_it_with_the_camera_where_it_stood(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    scene = trimesh.load(write_glb(make_cube(), tmp_path / "a.glb", radius=0.01))
    where = {name: scene.graph[name][0][:3, 3] for name in map(str, range(8))}
    for track, place in where.items():
        np.testing.assert_allclose(place, corners()[int(track), 0] * [1, -1, -1])
    ball = scene.geometry["point 0"]
    assert ball.is_watertight
    assert ball.volume > 0
    np.testing.assert_allclose(np.linalg.norm(ball.vertices, axis=1), 0.01, rtol=1e-6)


def test_camera_units_and_ids(tmp_path):
    ids = [f"mouse/{i}" for i in range(8)]
    path = write_glb(make_cube(units=RELATIVE_UNITS, ids=ids), tmp_path / "a.glb")
    glb = Glb(path)
    assert {n["name"] for n in glb.json["nodes"]} >= set(ids)
    for extras in (glb.json["asset"]["extras"], glb.json["scenes"][0]["extras"]):
        assert extras["units"] == RELATIVE_UNITS
        assert "y up" in extras["axes"]
        assert extras["first_frame"] == 20
    lens = glb.json["cameras"][0]["perspective"]
    assert lens["yfov"] == pytest.approx(2 * np.arctan(40 / INTRINSICS[1]))
    assert lens["aspectRatio"] == 96 / 80


def test_tracks_without_positions_are_named(tmp_path):
    ds = make_cube()
    ds["xyz"][2] = np.nan
    glb = Glb(write_glb(ds, tmp_path / "a.glb"))
    assert glb.json["asset"]["extras"]["tracks_without_positions"] == ["2"]
    ds["xyz"][:] = np.nan
    with pytest.raises(SeuratTracksError, match="no track"):
        write_glb(ds, tmp_path / "b.glb")
    assert not (tmp_path / "b.glb").exists()


def test_moments_must_be_known(tmp_path):
    ds = make_cube().drop_vars("seconds")
    with pytest.raises(SeuratTracksError, match="fps="):
        write_glb(ds, tmp_path / "a.glb")
    glb = Glb(write_glb(ds, tmp_path / "a.glb", fps=5))
    np.testing.assert_allclose(glb.keys("0", "translation")[0], np.arange(5) / 5)
    with pytest.raises(SeuratTracksError, match="radius"):
        write_glb(make_cube(), tmp_path / "a.glb", radius=-1)


def test_in_the_world_the_camera_moves(tmp_path):
    glb = Glb(write_glb(put_in_world(make_cube()), tmp_path / "a.glb"))
    _, places, _ = glb.keys("0", "translation")
    np.testing.assert_array_equal(places, in_world()[0] * [1, -1, -1])
    name = "camera of the video"
    times, places, _ = glb.keys(name, "translation")
    np.testing.assert_array_equal(places, [[i, 0, 0] for i in range(5)])
    np.testing.assert_allclose(times, np.arange(5) / 10)
    _, turns, _ = glb.keys(name, "rotation")
    # the camera looks along the world's x: glTF's -z is turned to +x
    turn = Rotation.from_quat(turns[0])
    np.testing.assert_allclose(turn.apply([0, 0, -1]), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(turn.apply([0, 1, 0]), [0, 1, 0], atol=1e-6)
    assert "world" in glb.json["asset"]["extras"]["axes"]
