"""Eight corners of a cube that moves along z: exact numbers in every file."""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import seurat_tracks as st
from seurat_tracks.schema import annotate

SIZE = (640, 480)
FX, FY, CX, CY = 512.0, 512.0, 319.5, 239.5
T, N = 3, 8

# corners at ±0.25 m, centre at z = 2.25, 4.25, 8.25 m: 512 x / z is exact for the near
# face, z = 2, 4, 8
CORNERS = [
    (x, y, z) for z in (-0.25, 0.25) for y in (-0.25, 0.25) for x in (-0.25, 0.25)
]
CENTRE = (2.25, 4.25, 8.25)
NEAR = {2.0: 64.0, 4.0: 32.0, 8.0: 16.0}  # 512 * 0.25 / z


@pytest.fixture
def cube() -> xr.Dataset:
    xyz = np.array([[(x, y, z + c) for c in CENTRE] for x, y, z in CORNERS])
    xy = np.stack(
        [FX * xyz[..., 0] / xyz[..., 2] + CX, FY * xyz[..., 1] / xyz[..., 2] + CY], -1
    )
    ds = st.from_arrays(xy, frame_size=SIZE, fps=10, ids=range(10, 18), query_frame=0)
    ds = ds.assign_coords(axis=["x", "y", "z"]).assign(
        depth=(("track", "time"), xyz[..., 2].astype("f4")),
        xyz=(("track", "time", "axis"), xyz.astype("f4")),
    )
    ds.attrs |= {"units": "m", "intrinsics": [FX, FY, CX, CY]}
    return annotate(ds)


def write(ds: xr.Dataset, path: Path, format: str, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return st.export(ds, path, format, **options)


def test_the_cube_itself(cube):
    """Track 13 is the near corner at +x, +y; pixel centres are at integers."""
    near = cube.sel(track=13)
    for t, offset in enumerate(NEAR.values()):
        assert near.xy.values[t].tolist() == [319.5 + offset, 239.5 + offset]
    assert near.xyz.values.tolist() == [[0.25, 0.25, z] for z in NEAR]


def test_csv(cube, tmp_path):
    path = write(cube, tmp_path / "x.csv", "csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == N * T
    (row,) = (r for r in rows if (r["track"], r["frame"]) == ("13", "1"))
    assert row == {
        "track": "13",
        "frame": "1",
        "seconds": "0.1",
        "x": "351.5",
        "y": "271.5",
        "visible": "1",
        "depth": "4",
        "xyz_x": "0.25",
        "xyz_y": "0.25",
        "xyz_z": "4",
    }
    units = json.loads((tmp_path / "x.csv.json").read_text())["units"]
    assert units["x"] == "px"
    assert units["depth"] == units["xyz_x"] == "m"
    assert units["seconds"] == "s"


def test_parquet(cube, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    got = pq.read_table(write(cube, tmp_path / "x.pq", "parquet"))
    (row,) = (r for r in got.to_pylist() if (r["track"], r["frame"]) == (13, 1))
    assert (row["x"], row["y"], row["depth"]) == (351.5, 271.5, 4.0)
    assert (row["xyz_x"], row["xyz_y"], row["xyz_z"]) == (0.25, 0.25, 4.0)
    assert (row["visible"], row["seconds"]) == (True, 0.1)
    assert got.schema.field("xyz_z").metadata == {b"units": b"m"}
    assert str(got.schema.field("x").type) == "float"


def test_cotracker(cube, tmp_path):
    """Pixel centres at integers, (1, time, track, 2)."""
    got = np.load(write(cube, tmp_path / "x.npz", "cotracker"))
    assert got["tracks"].shape == (1, T, N, 2)
    assert got["tracks"][0, 1, 3].tolist() == [351.5, 271.5]
    assert got["visibility"].shape == (1, T, N)
    alone = np.load(write(cube, tmp_path / "x.npy", "cotracker"))
    np.testing.assert_array_equal(alone, got["tracks"])
    assert st.read(tmp_path / "x.npy", frame_size=SIZE).xy.values[3, 1, 0] == 351.5


def test_tapvid(cube, tmp_path):
    """The first pixel's corner is 0: half a pixel more; (track, time, 2)."""
    path = write(cube, tmp_path / "x.npz", "tapvid", coordinates="pixels")
    got = np.load(path)
    assert got["target_points"].shape == (N, T, 2)
    assert got["target_points"][3, 1].tolist() == [352.0, 272.0]
    assert got["query_points"][3].tolist() == [0, 304.0, 384.0]  # t, y, x
    assert st.read(path).xy.values[3, 1].tolist() == [351.5, 271.5]
    path = write(cube, tmp_path / "y.npz", "tapvid")
    got = np.load(path)
    np.testing.assert_allclose(got["points"][3, 1], [352 / 640, 272 / 480], rtol=1e-7)
    assert not got["occluded"].any()
    np.testing.assert_allclose(st.read(path).xy.values[3, 1], [351.5, 271.5], rtol=1e-7)


def test_tapvid3d(cube, tmp_path):
    """Metres in each frame's camera, (time, track, 3); the camera is not shifted."""
    path = write(cube, tmp_path / "x.npz", "tapvid3d")
    got = np.load(path)
    assert got["tracks_XYZ"].shape == (T, N, 3)
    assert got["tracks_XYZ"][1, 3].tolist() == [0.25, 0.25, 4.0]
    assert got["fx_fy_cx_cy"].tolist() == [FX, FY, CX, CY]
    assert got["queries_xyt"][3].tolist() == [383.5, 303.5, 0]
    back = st.read(path, frame_size=SIZE)
    assert back.xy.values[3, 1].tolist() == [351.5, 271.5]


def test_pointodyssey(cube, tmp_path):
    """The first pixel's corner is 0, for positions and camera; metres."""
    path = write(cube, tmp_path / "x.npz", "pointodyssey")
    got = np.load(path)
    assert got["trajs_2d"][1, 3].tolist() == [352.0, 272.0]
    assert got["trajs_3d"][1, 3].tolist() == [0.25, 0.25, 4.0]
    assert got["intrinsics"][1, :2, 2].tolist() == [320, 240]  # the frame's centre
    back = st.read(path, frame_size=SIZE)
    assert back.xy.values[3, 1].tolist() == [351.5, 271.5]
    assert back.xyz.values[3, 1].tolist() == [0.25, 0.25, 4.0]
    assert back.attrs["intrinsics"] == [FX, FY, CX, CY]


def test_trackmate(cube, tmp_path):
    """Pixel centres at integers, a pixel of size 1."""
    path = write(cube, tmp_path / "x.xml", "trackmate")
    (spot,) = (
        line
        for line in path.read_text().splitlines()
        if 'FRAME="1"' in line and 'POSITION_X="351.5"' in line and '"271.5"' in line
    )
    assert re.search(r'POSITION_Y="271.5" POSITION_Z="0.0" POSITION_T="0.1"', spot)
    back = st.read(path)
    assert back.xy.sel(track=13, time=1).values.tolist() == [351.5, 271.5]
    assert back.attrs["fps"] == 10
    path = write(cube, tmp_path / "x.csv", "trackmate")
    assert ",13,1.0,351.5,271.5,0.0,0.1,1,2.5,1\n" in path.read_text()
    path = write(cube, tmp_path / "y.xml", "trackmate", layout="tracks")
    assert '<detection t="1" x="351.5" y="271.5" z="0.0" />' in path.read_text()
    back = st.read(path, frame_size=SIZE)
    assert back.track.values.tolist() == [*range(N)]  # it has no ids
    assert back.xy.values[3, 1].tolist() == [351.5, 271.5]


def test_napari(cube, tmp_path):
    """ID, T, Y, X in pixels, centres at integers; or ID, T, Z, Y, X in metres."""
    path = write(cube, tmp_path / "x.csv", "napari")
    assert "13,1,271.5,351.5\n" in path.read_text()
    path = write(cube, tmp_path / "x.npy", "napari", space="camera")
    assert [13, 1, 4.0, 0.25, 0.25] in np.load(path).tolist()
    back = st.read(path, frame_size=SIZE, z="camera", intrinsics=(FX, FY, CX, CY))
    assert back.xy.sel(track=13, time=1).values.tolist() == [351.5, 271.5]
    np.testing.assert_array_equal(back.xyz.values, cube.xyz.values)
