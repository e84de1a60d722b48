from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from seurat_tracks import schema
from seurat_tracks.errors import SchemaError
from seurat_tracks.schema import find_faults, validate, validate_for_lift

DOCS = Path(__file__).resolve().parents[1] / "docs" / "dataset.md"


def _with_support(ds, n_windows=3):
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 70, (n_windows, 4, 8, 2)).astype("float32")
    visible = np.ones((n_windows, 4, 8), bool)
    xy[1, 2, 3] = np.nan
    visible[1, 2, 3] = False
    ds["support_xy"] = (("window", "support", "step", "coord"), xy)
    ds["support_visible"] = (("window", "support", "step"), visible)
    return ds.assign_coords(
        window_start=("window", np.array([0, 2, 3])[:n_windows]),
        window_stride=("window", np.ones(n_windows, int)),
    )


def _coordinates_in_memory(ds):
    """As `open_store` gives them; `chunk` makes those that are no index lazy."""
    return ds.assign_coords({name: ds[name].compute() for name in ds.coords})


def _only(ds, **kwargs):
    faults = find_faults(ds, **kwargs)
    assert len(faults) == 1, faults
    return faults[0]


def test_good_tracks_pass(make_tracks):
    assert find_faults(make_tracks()) == []
    validate(_with_support(make_tracks()))
    validate_for_lift(_with_support(make_tracks()))
    validate_for_lift(make_tracks(n_frames=2))


def test_every_fault_in_one_error(make_tracks):
    ds = make_tracks()
    ds["xy"] = ds["xy"].astype("float64").transpose("time", "track", "coord")
    ds["confidence"] = ds["confidence"] * 3
    ds = ds.drop_vars("visible").assign_coords(track=[1, 2, 2, 3, 3])
    del ds.attrs["frame_size"]
    with pytest.raises(SchemaError) as caught:
        validate(ds)
    lines = str(caught.value).splitlines()
    assert "in 6 places" in lines[0]
    starts = [line.split(":")[0] for line in lines[1:]]
    assert starts == [
        "- attrs['frame_size']",
        "- confidence",
        "- track",
        "- visible",
        "- xy",
        "- xy",
    ]
    assert all("Cure: " in line for line in lines[1:])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("frames", "time"),
        ("frame", "time"),
        ("points", "track"),
        ("particles", "track"),
        ("individuals", "track"),
        ("keypoint", "track"),
        ("space", "coord"),
    ],
)
def test_wrong_dim_name_is_one_fault_with_its_rename(make_tracks, theirs, ours):
    ds = make_tracks().rename({ours: theirs})
    fault = _only(ds)
    cure = f'ds.rename({{"{theirs}": "{ours}"}})'
    assert fault.startswith("dimensions:")
    assert fault.endswith(cure)
    validate(ds.rename({theirs: ours}))


def test_two_dims_that_count_points_are_to_be_stacked(make_tracks):
    ds = make_tracks(n_tracks=6)
    ds = ds.assign_coords(
        individuals=("track", list("aaabbb")), keypoints=("track", list("xyzxyz"))
    )
    ds = ds.drop_vars("track").set_index(track=["individuals", "keypoints"])
    ds = ds.unstack("track")
    faults = find_faults(ds)
    assert any('ds.stack(track=["individuals", "keypoints"])' in f for f in faults)


def test_unknown_dim_name(make_tracks):
    fault = find_faults(make_tracks().rename({"track": "blob"}))
    assert any('ds.rename({"blob": "track"})' in f for f in fault)


def test_wrong_dim_order_and_its_cure(make_tracks):
    ds = make_tracks().transpose("time", "track", "coord")
    faults = find_faults(ds)
    assert [f.split(":")[0] for f in faults] == ["confidence", "visible", "xy"]
    assert 'ds.transpose("track", "time", "coord", ...)' in faults[-1]
    validate(ds.transpose("track", "time", "coord", ...))


def test_dtype(make_tracks):
    ds = make_tracks()
    ds["visible"] = ds["visible"].astype("uint8")
    assert 'ds["visible"].astype("bool")' in _only(ds)


def test_coord_labels(make_tracks):
    fault = _only(make_tracks().assign_coords(coord=["y", "x"]))
    assert "coord: its labels are ['y', 'x']" in fault
    assert 'ds.sel(coord=["x", "y"])' in fault.replace("'", '"')


@pytest.mark.parametrize(
    "ids", [[1, 1, 2, 3, 2], ["b", "a", "b", "a", "c"]], ids=["int", "str"]
)
def test_duplicate_ids(make_tracks, ids):
    fault = _only(make_tracks().assign_coords(track=ids))
    assert "2 ids are given to more than one track" in fault
    assert repr(ids[0]) in fault


def test_ids_of_a_wrong_kind(make_tracks):
    assert "track: ids are float64" in _only(
        make_tracks().assign_coords(track=np.arange(5.0))
    )
    mixed = np.array(["a", 1, "b", 2, "c"], dtype=object)
    assert "all integers or all strings" in _only(
        make_tracks().assign_coords(track=mixed)
    )


def test_time_must_increase(make_tracks):
    time = np.arange(11)
    time[[4, 5]] = time[[5, 4]]
    fault = _only(make_tracks().drop_vars("seconds").assign_coords(time=time))
    assert "4 follows 5" in fault
    assert "ds.sortby('time')" in fault
    time = np.minimum(np.arange(11), 8)
    assert "8 follows 8" in _only(make_tracks().assign_coords(time=time))


def test_time_must_be_frame_numbers(make_tracks):
    fault = find_faults(make_tracks().assign_coords(time=np.arange(11) / 25))
    assert any(f.startswith("time: its dtype is float64") for f in fault)
    assert any('seconds=("time", moments)' in f for f in fault)


def test_missing_index_coordinates(make_tracks):
    ds = make_tracks().drop_vars(["track", "time", "coord"])
    faults = find_faults(ds)
    assert {f.split(":")[0] for f in faults} == {"track", "time", "coord"}


def test_infinite_positions_are_counted_and_placed(make_tracks):
    ds = make_tracks(ids=["a", "b", "c", "d", "e"])
    ds["xy"][1, 4, 0] = np.inf
    ds["xy"][3, 7] = -np.inf
    fault = _only(ds)
    assert "3 values are infinite, in 2 of 5 tracks (first: track 'b', time 4)" in fault


def test_nan_where_visible(make_tracks):
    ds = make_tracks()
    ds["visible"][2, 1] = True
    fault = _only(ds)
    assert "1 positions are NaN although visible is True" in fault
    assert "first: track 2, time 1" in fault


def test_half_a_position(make_tracks):
    ds = make_tracks()
    ds["xy"][0, 3, 1] = np.nan
    ds["visible"][0, 3] = False
    assert "only one of x and y" in _only(ds)


def test_no_tracks_and_no_frames(make_tracks):
    assert "there are no tracks" in _only(make_tracks().isel(track=slice(0, 0)))
    assert "there are no frames" in _only(make_tracks().isel(time=slice(0, 0)))
    with pytest.raises(SchemaError, match="there are no tracks"):
        validate_for_lift(make_tracks().isel(track=slice(0, 0)))


def test_all_hidden(make_tracks):
    ds = make_tracks()
    ds["visible"][:] = False
    assert "no track is visible in any frame" in _only(ds)
    with pytest.raises(SchemaError, match="no track is visible"):
        validate_for_lift(ds)


def test_one_frame_is_refused_for_lifting_only(make_tracks):
    ds = make_tracks(n_frames=1)
    validate(ds)
    with pytest.raises(SchemaError, match="needs at least two frames") as caught:
        validate_for_lift(ds, values=False)
    assert "swapped" in str(caught.value)


@pytest.mark.parametrize("size", [None, [96], [96, 0], [96.5, 80], "96x80", [96, True]])
def test_frame_size(make_tracks, size):
    ds = make_tracks()
    ds.attrs["frame_size"] = size
    assert 'ds.attrs["frame_size"] = [width, height]' in _only(ds)


def test_numpy_frame_size_names_tolist_or_list(make_tracks):
    ds = make_tracks()
    ds.attrs["frame_size"] = np.array([96, 80])
    assert "two positive integers" in _only(ds)


def test_far_outside_the_frame(make_tracks):
    ds = make_tracks()
    ds["xy"][3, 2] = [300, 10]
    ds["xy"][4, 5] = [10, -30]
    fault = _only(ds)
    assert "2 visible positions lie far outside the frame of 96 x 80" in fault
    assert "first: track 3, time 2" in fault
    ds["visible"][3, 2] = False
    ds["visible"][4, 5] = False
    validate(ds)


def test_a_little_outside_is_a_trackers_overshoot(make_tracks):
    ds = make_tracks()
    ds["xy"][3, 2] = [96 + 8, -8]
    validate(ds)


def test_swapped_frame_size_is_named(make_tracks):
    ds = make_tracks()
    ds["xy"][0, :, 0] = 190
    ds.attrs["frame_size"] = [100, 200]
    assert 'ds.attrs["frame_size"] = [200, 100]' in _only(ds)


def test_query_frame_not_in_time(make_tracks):
    ds = make_tracks().assign_coords(query_frame=("track", [0, 3, 50, -1, 0]))
    fault = _only(ds)
    assert "query_frame: 2 frame numbers are not among the values of time" in fault
    assert "first: track 2" in fault


def test_cuts_not_in_time(make_tracks):
    ds = make_tracks()
    ds.attrs["cuts"] = [4, 99]
    assert "attrs['cuts']: 1 frame numbers" in _only(ds)


@pytest.mark.parametrize("bad", [-0.1, 1.2])
def test_confidence_range(make_tracks, bad):
    ds = make_tracks()
    ds["confidence"][1, 6] = bad
    assert "outside 0..1 (first: track 1, time 6)" in _only(ds)
    ds["confidence"][1, 6] = np.nan
    validate(ds)


def test_swapped_track_and_time_are_named(make_tracks):
    ds = make_tracks()
    swapped = ds.rename({"track": "time", "time": "track"})
    faults = find_faults(swapped)
    assert sum("track and time look swapped" in f for f in faults) == 2
    cured = swapped.rename({"track": "time", "time": "track"})
    validate(cured.transpose("track", "time", ...))


def test_seconds(make_tracks):
    ds = make_tracks()
    seconds = ds["seconds"].values.copy()
    seconds[5] = seconds[4]
    seconds[9] = np.nan
    bad = ds.assign_coords(seconds=("time", seconds))
    assert "seconds: 3 moments" in _only(bad)
    assert "first: time 5" in _only(bad)


def test_support_must_be_whole(make_tracks):
    ds = _with_support(make_tracks())
    assert "support_visible: the variable is missing" in _only(
        ds.drop_vars("support_visible")
    )
    faults = find_faults(ds.drop_vars(["window_start", "window_stride"]))
    assert [f.split(":")[0] for f in faults] == ["window_start", "window_stride"]
    late = ds.assign_coords(window_start=("window", [0, 2, 40]))
    assert "window_start: 1 of 3 windows" in _only(late)
    ds["support_visible"][1, 2, 3] = True
    assert "although support_visible is True" in _only(ds)
    turned = ds.transpose("support", "window", ...)
    assert sum("ds.transpose(" in f for f in find_faults(turned, values=False)) == 2


def test_other_version_of_the_contract(make_tracks):
    ds = make_tracks()
    ds.attrs["contract_version"] = "7"
    assert "install the seurat-tracks that made the Dataset" in _only(ds)


def test_attributes_must_be_json(make_tracks):
    ds = make_tracks()
    ds.attrs["note"] = {"a": 1}
    ds.attrs["gain"] = np.float64(2)
    ds["xy"].attrs["when"] = None
    faults = find_faults(ds)
    assert [f.split(":")[0] for f in faults] == [
        "attrs['gain']",
        "attrs['note']",
        "xy.attrs['when']",
    ]


def test_registered_attributes(make_tracks):
    ds = make_tracks()
    ds.attrs.update(fps=-1, intrinsics=[1, 2, 3], cuts=3, tracker=None)
    assert [f.split("'")[1] for f in find_faults(ds)] == [
        "cuts",
        "fps",
        "intrinsics",
        "tracker",
    ]


def test_foreign_variable_names_are_recognised(make_tracks):
    ds = make_tracks().rename({"xy": "position", "visible": "visibility"})
    faults = find_faults(ds)
    assert 'ds.rename({"visibility": "visible"})' in faults[0]
    assert 'ds.rename({"position": "xy"})' in faults[1]


def test_required_derived_variables(make_tracks):
    ds = make_tracks()
    assert "ds.seurat.lift3d()" in _only(ds, require=("xy", "visible", "depth"))
    depth = np.full((5, 11), 2, "float32")
    depth[2, 3], depth[4, 4] = -1, np.inf
    ds["depth"] = (("track", "time"), depth)
    validate(ds)
    faults = find_faults(ds, require=("depth",))
    assert "1 values are infinite" in faults[0]
    assert "1 values are not above zero" in faults[1]
    with pytest.raises(ValueError, match="does not know"):
        validate(ds, require=("depths",))


def test_not_a_dataset():
    with pytest.raises(SchemaError, match="Dataset, got dict"):
        validate({"xy": 1})
    with pytest.raises(SchemaError, match="got ndarray"):
        validate_for_lift(np.zeros(3))


def test_structure_is_checked_without_computing(make_tracks, raise_if_dask_computes):
    ds = _coordinates_in_memory(_with_support(make_tracks(lazy=True)).chunk())
    ds["xy"] = ds["xy"] * np.float32(np.inf)
    with raise_if_dask_computes():
        validate(ds, values=False)
        validate_for_lift(ds, values=False)
        assert find_faults(ds.drop_vars("visible"), values=False)
    with raise_if_dask_computes(), pytest.raises(AssertionError, match="computed"):
        validate(ds)


def test_lazy_values_give_the_same_faults_in_one_pass(make_tracks):
    import dask

    ds = _with_support(make_tracks())
    ds["xy"][1, 4, 0] = np.inf
    ds["visible"][2, 1] = True
    ds["confidence"][1, 6] = 5
    lazy = _coordinates_in_memory(ds.chunk({"track": 2, "time": 3}))
    calls = []

    def counting(dsk, keys, **kwargs):
        calls.append(len(keys))
        return dask.get(dsk, keys, **kwargs)

    with dask.config.set(scheduler=counting):
        faults = find_faults(lazy)
    assert faults == find_faults(ds)
    assert len(faults) == 3
    assert len(calls) == 1


def test_derived_values_are_not_computed_unasked(make_tracks):
    import dask.array as da

    ds = make_tracks()

    def explode(block):
        raise AssertionError("the network ran")

    lazy = da.zeros((5, 11), dtype="float32").map_blocks(explode, dtype="float32")
    ds["log_depth_ratio"] = (("track", "time"), lazy)
    validate(ds)
    with pytest.raises(AssertionError, match="the network ran"):
        validate(ds, require=("xy", "visible", "log_depth_ratio"))


def test_the_dataset_is_left_alone(make_tracks):
    ds = make_tracks().rename({"time": "frames"})
    before = ds.copy(deep=True)
    find_faults(ds)
    xr.testing.assert_identical(ds, before)


def test_annotate_keeps_what_is_there(make_tracks):
    ds = make_tracks()
    ds["depth"] = (("track", "time"), np.ones((5, 11), "float32"), {"units": "1"})
    out = schema.annotate(ds)
    assert out["depth"].attrs["units"] == "1"
    assert out["xy"].attrs["units"] == "px"
    assert out.attrs["contract_version"] == schema.CONTRACT_VERSION
    assert "long_name" not in ds["depth"].attrs


def _rows(heading: str) -> list[list[str]]:
    section = DOCS.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"\s*\|\s*", li)[1:-1]] for li in lines]


def test_the_documentation_shows_the_contract():
    assert _rows("Variables") == [
        [
            f"`{v.name}`",
            ", ".join(v.dims),
            v.dtype,
            v.units,
            "optional" if v.optional else "required",
            v.meaning,
        ]
        for v in schema.VARIABLES.values()
    ]
    assert _rows("Coordinates") == [
        [f"`{c.name}`", ", ".join(c.dims), c.kind, c.units, c.meaning]
        for c in schema.COORDINATES.values()
    ]
    assert _rows("Attributes") == [
        [
            f"`{a.name}`",
            a.kind,
            "optional" if a.optional else "required",
            a.meaning,
        ]
        for a in schema.ATTRIBUTES.values()
    ]
    assert [row[0] for row in _rows("Dimensions")] == [f"`{d}`" for d in schema.DIMS]


def test_poses(make_tracks):
    ds = make_tracks()
    poses = np.tile(np.eye(4), (ds.sizes["time"], 1, 1))
    dims = ("time", "row", "column")
    validate(ds.assign(camera_to_world=(dims, poses)))
    assert "expected 4 x 4" in _only(ds.assign(camera_to_world=(dims, poses[:, :3])))
    assert "float64" in _only(ds.assign(camera_to_world=(dims, poses.astype("f4"))))
    turned = ds.assign(
        camera_to_world=(("row", "time", "column"), poses.swapaxes(0, 1))
    )
    assert "ds.transpose" in _only(turned)


def test_lens(make_tracks):
    lens = {"distortion": [-0.2, 0.1, 0, 0], "lens": "opencv"}
    validate(make_tracks().assign_attrs(lens))
    assert "list of numbers" in _only(make_tracks().assign_attrs(distortion="none"))


def test_support_of_frames_left_out_is_refused(make_tracks):
    ds = _with_support(make_tracks(n_frames=11)).drop_vars("query_frame")
    frames = ds["window_start"].values[:, None] + np.arange(8)
    ds = ds.assign_coords(window_frame=(("window", "step"), frames))
    validate_for_lift(ds)
    for part in (
        ds.isel(time=slice(0, 9)),  # a window runs over the end
        ds.isel(time=slice(1, None)),  # a window's first frame is gone
        ds.drop_sel(time=5),
        ds.isel(time=slice(None, None, 2)),
    ):
        for lazy in (part, part.chunk(track=2)):
            with pytest.raises(SchemaError, match="frames were left out"):
                validate_for_lift(lazy, values=lazy is part)
        validate_for_lift(part.drop_dims("window"))
    # A result may be cut to some frames and kept: only lifting it anew is refused.
    validate(ds.isel(time=slice(0, 9)), values=False)


def test_padding_of_support_is_no_fault(make_tracks):
    ds = _with_support(make_tracks(n_frames=5)).isel(window=[0])
    frames = np.where(np.arange(8) < 5, np.arange(8), -1)[None]
    ds = ds.assign_coords(window_frame=(("window", "step"), frames))
    validate_for_lift(ds)


def test_cures_of_common_slips(make_tracks):
    ds = _with_support(make_tracks())
    repeated = ds["support_xy"].expand_dims(track=ds["track"])
    assert 'data_vars="minimal"' in _only(ds.assign(support_xy=repeated))
    assert any("ds.isel(track=[0])" in f for f in find_faults(ds.isel(track=0)))
    (late,) = find_faults(make_tracks().isel(time=slice(2, None)))
    assert 'ds.drop_vars("query_frame")' in late


def test_fractions_of_the_frame_are_refused(make_tracks):
    ds = make_tracks()
    ds["xy"] = ds["xy"] / np.float32(96)
    assert "between 0 and 1" in _only(ds)
    ds["xy"][0, 0] = 30.0
    assert find_faults(ds) == []
