from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.io.movement import (
    from_movement,
    read_movement,
    recognises,
    to_movement,
    write_movement,
)
from seurat_tracks.scale import RELATIVE_UNITS
from tests.fixtures.cube import HIDDEN, UNKNOWN, corners, make_cube
from tests.fixtures.poses import FRAME_SIZE, N_FRAMES, NAMES, positions, scores

PAIRS = {
    "plural": ("keypoints", "individuals"),
    "singular": ("keypoint", "individual"),
}


@pytest.fixture(params=["plural", "singular"])
def names(request):
    return request.param


def theirs(names: str = "plural", **attrs) -> xr.Dataset:
    """Build what movement's loaders give, as its layout is published."""
    keypoint, individual = PAIRS[names]
    dims = ("time", "space", keypoint, individual)
    return xr.Dataset(
        {
            "position": (dims, positions().transpose(0, 3, 2, 1)),
            "confidence": (("time", keypoint, individual), scores().swapaxes(1, 2)),
        },
        coords={
            "time": np.arange(3, 3 + N_FRAMES) / 20,
            "space": ["x", "y"],
            keypoint: ["nose", "tail"],
            individual: ["a", "b"],
        },
        attrs={
            "ds_type": "poses",
            "fps": 20.0,
            "time_unit": "seconds",
            "source_software": "SLEAP",
        }
        | attrs,
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_2d_in(names, lazy, raise_if_dask_computes):
    given = theirs(names)
    if lazy:
        with raise_if_dask_computes():
            ds = from_movement(given.chunk({"time": 3}), frame_size=FRAME_SIZE)
        assert ds["xy"].chunks is not None
        ds = ds.compute()
    else:
        ds = from_movement(given, frame_size=FRAME_SIZE)
    xy = positions().reshape(N_FRAMES, 4, 2).swapaxes(0, 1)
    score = scores().reshape(N_FRAMES, 4).T.astype(np.float32)
    np.testing.assert_array_equal(ds["xy"], xy)
    np.testing.assert_array_equal(ds["confidence"], score)
    np.testing.assert_array_equal(ds["visible"], score > 0)
    assert ds["track"].values.tolist() == NAMES
    assert ds["individual"].values.tolist() == ["a", "a", "b", "b"]
    assert ds["time"].values.tolist() == list(range(3, 3 + N_FRAMES))
    np.testing.assert_array_equal(ds["seconds"], given["time"])
    assert ds.attrs["fps"] == 20
    ds.seurat.validate()


@pytest.mark.parametrize("lazy", [False, True])
def test_no_confidence_at_all_is_seen(lazy):
    given = theirs()
    given["confidence"][:] = np.nan
    ds = from_movement(given.chunk() if lazy else given, frame_size=FRAME_SIZE)
    assert ds["visible"].values.all()


def test_threshold_follows_the_program():
    for software, threshold in (("DeepLabCut", 0.6), ("SLEAP", 0.0)):
        given = theirs(source_software=software)
        ds = from_movement(given, frame_size=FRAME_SIZE)
        assert ds.attrs["min_confidence"] == threshold
        assert ds["visible"].sum() == 4 * N_FRAMES - 1 - (threshold > 0.25)
    with pytest.raises(SeuratTracksError, match="lower one"):
        from_movement(given, frame_size=FRAME_SIZE, min_confidence=0.95)


def test_any_order_of_dimensions_and_times_in_frames(names):
    given = theirs(names, time_unit="frames", fps=None).transpose(*PAIRS[names], ...)
    given = given.assign_coords(time=np.arange(N_FRAMES) * 2)
    del given.attrs["fps"]
    ds = from_movement(given, frame_size=FRAME_SIZE)
    assert ds["time"].values.tolist() == list(range(0, 14, 2))
    np.testing.assert_array_equal(ds["xy"][3, 2], positions()[2, 1, 1])


def test_confidence_of_boxes_or_none():
    given = theirs().drop_vars("confidence")
    assert "confidence" not in from_movement(given, frame_size=FRAME_SIZE)
    given["confidence"] = (("time", "individuals"), np.full((N_FRAMES, 2), 0.5))
    ds = from_movement(given, frame_size=FRAME_SIZE)
    assert (ds["confidence"] == 0.5).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.drop_vars("position"), "no position"),
        (lambda d: d.isel(keypoints=0), "has the dimensions"),
        (lambda d: d.isel(keypoints=slice(0)), "no keypoints"),
        (lambda d: d.drop_vars("space"), "space has no coordinate"),
        (lambda d: d.assign_coords(space=["x", "z"]), r"\(x, y\) can be lifted"),
        (lambda d: d.drop_attrs(), "give fps="),
        (lambda d: d.assign_attrs(fps=7), "not multiples"),
        (lambda d: d.assign_coords(individuals=["a", "a"]), "there twice"),
        (lambda d: d.isel(time=[1, 0]), "strictly increasing"),
    ],
)
def test_what_is_not_of_movement_is_refused(change, said):
    with pytest.raises(SeuratTracksError, match=said):
        from_movement(change(theirs()), frame_size=FRAME_SIZE)
    with pytest.raises(SeuratTracksError, match="frame_size="):
        from_movement(theirs())


@pytest.mark.parametrize("lazy", [False, True])
def test_3d_out(names, lazy, raise_if_dask_computes):
    ds = make_cube(lazy=lazy, units=RELATIVE_UNITS)
    with raise_if_dask_computes():
        out = to_movement(ds, names=names)
    keypoint, individual = PAIRS[names]
    assert out["position"].dims == ("time", "space", keypoint, individual)
    assert (out["position"].chunks is not None) == lazy
    expected = corners().transpose(1, 2, 0)[:, :, None]
    expected[UNKNOWN[1], :, 0, UNKNOWN[0]] = np.nan
    np.testing.assert_array_equal(out["position"], expected)
    assert out["space"].values.tolist() == ["x", "y", "z"]
    assert out[individual].values.tolist() == [str(i) for i in range(8)]
    np.testing.assert_allclose(out["time"], np.arange(20, 25) / 10)
    assert out.attrs["time_unit"] == "seconds"
    assert out["position"].attrs["units"] == RELATIVE_UNITS
    seen = to_movement(ds, only_seen=True)["position"]
    assert np.isnan(seen[HIDDEN[1], :, 0, HIDDEN[0]]).all()
    flat = to_movement(ds, space="2d", names=names)["position"]
    assert flat.sizes["space"] == 2
    np.testing.assert_array_equal(
        flat.values[:, :, 0].transpose(2, 0, 1), ds["xy"].values
    )


def test_everything_comes_back(names):
    for ids in (None, [9, 3, 7, 1, 0, 2, 4, 5], list("hgfedcba")):
        ds = make_cube(ids=ids)
        ds["confidence"] = (
            ds["visible"].astype(np.float32).assign_attrs(units="1", long_name="trust")
        )
        for space in ("2d", "3d"):
            made = to_movement(ds, names=names, space=space)
            xr.testing.assert_identical(from_movement(made), ds)


def test_keypoints_that_some_animals_lack(names):
    ds = from_movement(theirs(), frame_size=FRAME_SIZE).isel(track=[3, 0, 1])
    made = to_movement(ds, names=names)
    keypoint, individual = PAIRS[names]
    assert np.isnan(made["position"].sel({keypoint: "nose", individual: "b"})).all()
    xr.testing.assert_identical(from_movement(made), ds)
    lazy = to_movement(ds.chunk(), names=names)
    xr.testing.assert_equal(lazy.compute(), made)


def test_what_movement_changed_is_kept():
    made = to_movement(make_cube(), space="2d", names="plural")
    made["position"] = made["position"].where(made["confidence"] > 0.5) + 1
    back = from_movement(made)
    assert not back["visible"].values[HIDDEN]
    assert np.isnan(back["xy"].values[HIDDEN]).all()
    np.testing.assert_array_equal(back["xy"][0], make_cube()["xy"][0] + 1)
    half = from_movement(made.isel(individuals=slice(2)))
    assert half["track"].values.tolist() == [0, 1]


@pytest.mark.parametrize("lazy", [False, True])
def test_netcdf(tmp_path, names, lazy):
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
    ds = make_cube(lazy=lazy)
    path = write_movement(ds, tmp_path / "a.nc", names=names)
    assert recognises(path)
    xr.testing.assert_identical(read_movement(path), ds.compute())
    with read_movement(path, lazy=True) as opened:
        assert opened["xyz"].chunks is not None
        xr.testing.assert_equal(opened.compute(), ds.compute())
    assert list(tmp_path.iterdir()) == [path]


def test_netcdf_that_is_cut_or_another_is_refused(tmp_path):
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
    theirs().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert recognises(tmp_path / "a.nc")
    read_movement(tmp_path / "a.nc", frame_size=FRAME_SIZE)
    raw = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "b.nc").write_bytes(raw[: len(raw) // 2])
    assert not recognises(tmp_path / "b.nc")
    with pytest.raises(SeuratTracksError, match="cut short"):
        read_movement(tmp_path / "b.nc", frame_size=FRAME_SIZE)
    xr.Dataset({"a": ("x", [1])}).to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    assert not recognises(tmp_path / "c.nc")
    with pytest.raises(SeuratTracksError, match="no position"):
        read_movement(tmp_path / "c.nc")
    (tmp_path / "d.nc").write_text("x")
    with pytest.raises(SeuratTracksError, match="no netCDF-4"):
        read_movement(tmp_path / "d.nc")


def test_bad_options():
    ds = make_cube().drop_vars(["xyz", "axis"])
    with pytest.raises(SchemaError, match="lift3d"):
        to_movement(ds, space="3d")
    with pytest.raises(SeuratTracksError, match="space is"):
        to_movement(ds, space="4d")
    with pytest.raises(SeuratTracksError, match="names is"):
        to_movement(ds, names="x")
    twice = ds.assign_coords(
        individual=("track", ["a"] * 8), keypoint=("track", ["k"] * 8)
    )
    with pytest.raises(SeuratTracksError, match="there twice"):
        to_movement(twice)


# In a process of its own: importing movement changes xarray's and warnings' options.
VALIDATE = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from movement.validators.datasets import ValidPosesInputs
from movement.io import load_poses, save_poses
from movement.kinematics import compute_velocity
from seurat_tracks.io.movement import from_movement, read_movement, to_movement
from tests.fixtures.cube import make_cube
from tests.fixtures.poses import positions, scores
for lazy in (False, True):
    for space in ("2d", "3d"):
        out = to_movement(make_cube(lazy=lazy), space=space)
        ValidPosesInputs.validate(out)
        assert set(ValidPosesInputs.DIM_NAMES) == set(out["position"].dims)
        speed = compute_velocity(out["position"])
        assert (speed.chunks is not None) == lazy
np.testing.assert_allclose(speed.values[1:-1, 2, 0, 0], 5, rtol=1e-5)  # 0.5 m / 0.1 s
xy, score = positions().transpose(0, 3, 2, 1), scores().swapaxes(1, 2)
made = load_poses.from_numpy(
    xy, score, ["a", "b"], ["nose", "tail"], fps=20.0, source_software="SLEAP"
)
ds = from_movement(made, frame_size=(96, 80))
assert ds["track"].values.tolist() == ["a/nose", "a/tail", "b/nose", "b/tail"]
made.to_netcdf(sys.argv[1])
assert read_movement(sys.argv[1], frame_size=(96, 80)).equals(ds)
save_poses.to_dlc_file(made, sys.argv[2], split_individuals=False)
from seurat_tracks.io.deeplabcut import read_deeplabcut
dlc = read_deeplabcut(sys.argv[2], frame_size=(96, 80), min_confidence=0)
assert dlc["xy"].equals(ds["xy"].drop_vars("seconds")), (dlc, ds)
print("passed")
"""


def test_movements_own_validation_and_files(tmp_path):
    if importlib.util.find_spec("movement") is None:
        pytest.skip("movement is not installed: pip install movement")
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE, tmp_path / "a.nc", tmp_path / "a.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("passed\n"), done.stderr[-3000:]
