from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from seurat_tracks.errors import SchemaError
from seurat_tracks.io.arrays import from_arrays
from seurat_tracks.schema import validate

N, T = 3, 7


@pytest.fixture
def xy(rng):
    xy = rng.uniform(5, 45, (N, T, 2))
    xy[1, 2:4] = np.nan
    return xy


def _refused(match, *args, **kwargs):
    kwargs.setdefault("frame_size", (50, 60))
    with pytest.raises(SchemaError, match=match) as caught:
        from_arrays(*args, **kwargs)
    return str(caught.value)


def test_contents(xy):
    confidence = np.linspace(0, 1, N * T).reshape(N, T)
    ds = from_arrays(
        xy,
        frame_size=np.array([50, 60]),
        fps=25,
        ids=["b", "a", "c"],
        confidence=confidence,
        query_frame=[0, 4, 1],
    )
    assert ds["xy"].dims == ("track", "time", "coord")
    assert ds["xy"].dtype == np.float32
    np.testing.assert_array_equal(ds["xy"], xy.astype(np.float32))
    assert ds["visible"].dtype == bool
    np.testing.assert_array_equal(ds["visible"], np.isfinite(xy[..., 0]))
    np.testing.assert_array_equal(ds["confidence"], confidence.astype(np.float32))
    assert list(ds["track"].values) == ["b", "a", "c"]
    assert list(ds["coord"].values) == ["x", "y"]
    np.testing.assert_array_equal(ds["time"], np.arange(T))
    np.testing.assert_allclose(ds["seconds"], np.arange(T) / 25)
    assert ds["query_frame"].values.tolist() == [0, 4, 1]
    assert ds.attrs == {"frame_size": [50, 60], "fps": 25.0, "contract_version": "1"}
    validate(ds)


def test_time_first(xy):
    visible = np.isfinite(xy).all(-1)
    visible[0, 5] = False
    confidence = np.where(visible, 0.9, 0.1)
    one = from_arrays(xy, visible, confidence=confidence, frame_size=(50, 60))
    two = from_arrays(
        xy.swapaxes(0, 1),
        visible.T,
        confidence=confidence.T,
        frame_size=(50, 60),
        axes="time track",
    )
    xr.testing.assert_identical(one, two)


@given(
    n=st.integers(1, 6),
    t=st.integers(1, 6),
    time_first=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_values_ids_and_order_are_kept(n, t, time_first, seed):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 49, (n, t, 2)).astype(np.float32)
    ids = rng.permutation(10 * n)[:n]
    given_xy = xy.swapaxes(0, 1) if time_first else xy
    axes = "time track" if time_first else "track time"
    ds = from_arrays(given_xy, ids=ids, frame_size=(50, 60), axes=axes)
    np.testing.assert_array_equal(ds["track"], ids)
    np.testing.assert_array_equal(ds["xy"], xy)


def test_lists_and_masked_arrays(xy):
    masked = np.ma.masked_invalid(xy)
    masked.data[1, 2:4] = 1e6
    ds = from_arrays(masked, frame_size=(50, 60))
    xr.testing.assert_identical(ds, from_arrays(xy.tolist(), frame_size=(50, 60)))
    assert not ds["visible"].values[1, 2:4].any()
    whole = np.ma.MaskedArray(np.ones((2, 4, 2), int), mask=False)
    whole[1, 3] = np.ma.masked
    ds = from_arrays(whole, frame_size=(50, 60))
    assert ds["visible"].values.tolist() == [[True] * 4, [True, True, True, False]]


def test_lazy_stays_lazy(xy, raise_if_dask_computes):
    lazy = da.from_array(xy.swapaxes(0, 1), chunks=(4, 1, 2))
    with raise_if_dask_computes():
        ds = from_arrays(lazy, frame_size=(50, 60), axes="time track")
        assert ds["xy"].chunks is not None
        assert ds["visible"].chunks is not None
    xr.testing.assert_identical(ds.compute(), from_arrays(xy, frame_size=(50, 60)))


def test_lazy_faults_are_found_when_asked(xy):
    xy[0, 0, 0] = np.inf
    ds = from_arrays(da.from_array(xy), frame_size=(50, 60))
    with pytest.raises(SchemaError, match="1 values are infinite"):
        validate(ds)


def test_nan_where_visible_is_refused(xy):
    text = _refused("2 positions are NaN", xy, np.ones((N, T), bool))
    assert "first: track 1, time 2" in text


def test_infinities_are_counted_and_placed(xy):
    xy[2, 5] = [np.inf, 1]
    xy[0, 6] = [-np.inf, np.inf]
    text = _refused("3 values are infinite", xy, ids=["a", "b", "c"])
    assert "in 2 of 3 tracks (first: track 'a', time 6)" in text
    xy[:] = 1
    xy[2, 5, 0] = 1e300
    _refused("1 values are infinite", xy)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"ids": range(T)}, "ids"),
        ({"time": np.arange(N)}, "time"),
        ({"seconds": np.arange(N) / 5}, "seconds"),
        ({"query_frame": np.zeros(T, int)}, "query_frame"),
    ],
)
def test_a_length_of_the_other_axis_suggests_a_swap(xy, kwargs, name):
    text = _refused("track and time look swapped", xy, **kwargs)
    assert f"- {name}: there are" in text
    assert 'pass axes="time track"' in text
    text = _refused("track and time", xy.swapaxes(0, 1), ids=range(N))
    assert 'axes="time track"' in text


@pytest.mark.parametrize("name", ["visible", "confidence"])
def test_a_transposed_companion_suggests_a_swap(xy, name):
    text = _refused("swapped between xy and", xy, **{name: np.ones((T, N), bool)})
    assert f"pass {name}.T" in text
    assert 'axes="time track"' in text


def test_faults_of_all_arguments_at_once(xy):
    text = _refused(
        "in 7 places",
        xy,
        np.full((N, T), 0.5),
        frame_size=(0, 10),
        fps=-1,
        ids=[1, "a", 2],
        time=np.arange(T) / 2,
        seconds=["a"] * T,
        confidence=np.ones((N, T + 1)),
    )
    assert "visible > 0.5" in text
    assert "give moments as seconds" in text


@pytest.mark.parametrize(
    ("shape", "cure"),
    [
        ((N, T, 3), "xy[..., :2]"),
        ((2, N, T), "np.moveaxis"),
        ((1, T, N, 2), "xy[0]"),
        ((T, 2), "xy[np.newaxis]"),
        ((5,), "one array of all tracks"),
    ],
)
def test_shapes_of_xy(shape, cure):
    assert cure in _refused("its shape is", np.zeros(shape))


def test_ragged_and_foreign_input(xy):
    _refused("differ in length", [[[1, 2]], [[1, 2], [3, 4]]])
    _refused("its dtype is <U", np.full((N, T, 2), "1"))
    _refused("its dtype is complex", xy.astype(complex))
    _refused("axes is 'tracks,time'", xy, axes="tracks,time")


def test_named_arrays_must_agree_with_axes(xy):
    named = xr.DataArray(xy, dims=("track", "time", "coord"))
    ds = from_arrays(named, frame_size=(50, 60))
    xr.testing.assert_identical(ds, from_arrays(xy, frame_size=(50, 60)))
    _refused("its dimensions are", named, axes="time track")


def test_flags(xy):
    zeros_and_ones = np.isfinite(xy[..., 0]).astype("uint8")
    ds = from_arrays(xy, zeros_and_ones, frame_size=(50, 60))
    np.testing.assert_array_equal(ds["visible"], zeros_and_ones.astype(bool))
    _refused("expected True and False", xy, zeros_and_ones * 255)
    _refused("expected True and False", xy, da.from_array(zeros_and_ones))


def test_bad_ids_and_times(xy):
    _refused("given to more than one track", xy, ids=["a", "b", "a"])
    _refused("all integers or all strings", xy, ids=[0.5, 1.5, 2.5])
    _refused("all integers or all strings", xy, ids=[True, False, True])
    _refused("must increase strictly", xy, time=[0, 1, 2, 2, 3, 4, 5])
    _refused("query_frame: 1 frame numbers", xy, query_frame=[0, 99, 1])


def test_no_tracks_and_all_hidden(xy):
    _refused("there are no tracks", np.zeros((0, T, 2)))
    _refused("no track is visible", xy, np.zeros((N, T), bool))
    _refused("no track is visible", np.full((N, T, 2), np.nan))
