import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from seurat_tracks.depth import AtTracks, Constant
from seurat_tracks.errors import CameraError, DepthError, SchemaError
from seurat_tracks.median import run_scale
from seurat_tracks.scale import add_xyz, anchor, set_intrinsics

NAN = np.nan


@pytest.fixture
def rng():
    return np.random.default_rng(20250422)


def no_compute(dsk, keys, **kwargs):
    raise AssertionError("dask computed something")


def tracks(rng, n=11, t=17, chunks=None):
    """Random tracks with gaps, their ratios, and a truth of known scale."""
    visible = rng.random((n, t)) < 0.7
    visible[:, 3] = True
    log_ratio = rng.normal(0, 0.3, (n, t)).astype(np.float32)
    xy = rng.uniform(0, 600, (n, t, 2)).astype(np.float32)
    xy[~visible] = NAN
    ds = xr.Dataset(
        {
            "xy": (("track", "time", "coord"), xy),
            "visible": (("track", "time"), visible),
            "log_depth_ratio": (("track", "time"), log_ratio),
        },
        coords={
            "track": [f"p{i}" for i in range(n)],
            "time": 5 + np.arange(t),
            "coord": ["x", "y"],
            "seconds": ("time", np.arange(t) / 25),
        },
        attrs={"frame_size": [640, 480]},
    )
    return ds if chunks is None else ds.chunk(track=chunks)


def slow_run_scale(log_ratio, visible, metric, time):
    """Eq. 10 word by word, one run at a time."""
    out = np.full(log_ratio.shape, NAN)
    for i, row in enumerate(visible):
        anchors = {}
        t = 0
        while t < len(row):
            if not row[t]:
                t += 1
                continue
            end = t
            while end < len(row) and row[end]:
                end += 1
            frames = [
                f
                for f in range(t, end)
                if np.isfinite(metric[i, f])
                and metric[i, f] > 0
                and np.isfinite(log_ratio[i, f])
            ]
            if frames:
                s = np.median(metric[i, frames]) / np.median(
                    np.exp(log_ratio[i, frames])
                )
                anchors.update(dict.fromkeys(range(t, end), np.log(s)))
            t = end
        if anchors:
            known = sorted(anchors)
            out[i] = np.exp(np.interp(time, time[known], [anchors[k] for k in known]))
    return out


class TestRunScale:
    def test_one_run_by_hand(self):
        log_ratio = np.log([[1.0, 2.0, 4.0]])
        scale = run_scale(log_ratio, np.ones((1, 3), bool), np.array([[3.0, 9, 9]]))
        np.testing.assert_allclose(scale, [[4.5, 4.5, 4.5]])
        assert scale.dtype == np.float32

    def test_log_linear_between_runs_and_constant_outside(self):
        visible = np.array([[0, 1, 0, 0, 0, 1, 0]], dtype=bool)
        metric = np.array([[NAN, 1, 5, 5, 5, 16, NAN]])
        scale = run_scale(np.zeros((1, 7)), visible, metric)
        np.testing.assert_allclose(scale, [[1, 1, 2, 4, 8, 16, 16]], rtol=1e-6)

    def test_interpolates_in_frame_numbers(self):
        visible = np.array([[1, 0, 1]], dtype=bool)
        metric = np.array([[1.0, NAN, 16.0]])
        scale = run_scale(np.zeros((1, 3)), visible, metric, time=np.array([0, 1, 4]))
        np.testing.assert_allclose(scale, [[1, 2, 16]], rtol=1e-6)

    def test_run_without_depth_is_interpolated_like_a_hidden_one(self):
        visible = np.array([[1, 0, 1, 0, 1]], dtype=bool)
        metric = np.array([[1.0, NAN, NAN, NAN, 16.0]])
        scale = run_scale(np.zeros((1, 5)), visible, metric)
        np.testing.assert_allclose(scale, [[1, 2, 4, 8, 16]], rtol=1e-6)

    @pytest.mark.parametrize("hole", [NAN, 0.0, -3.0, np.inf])
    def test_holes_do_not_count(self, hole):
        metric = np.array([[2.0, hole, 2.0]])
        log_ratio = np.array([[0.0, 9.0, 0.0]])
        scale = run_scale(log_ratio, np.ones((1, 3), bool), metric)
        np.testing.assert_allclose(scale, [[2, 2, 2]])

    def test_unknown_ratio_does_not_count(self):
        log_ratio = np.array([[0.0, NAN, 0.0]])
        scale = run_scale(log_ratio, np.ones((1, 3), bool), np.array([[2.0, 90, 2]]))
        np.testing.assert_allclose(scale, [[2, 2, 2]])

    def test_tracks_without_depth_are_nan_and_alone(self):
        metric = np.array([[NAN, NAN], [3.0, 3.0], [2.0, 2.0]])
        visible = np.array([[1, 1], [1, 1], [0, 0]], dtype=bool)
        scale = run_scale(np.zeros((3, 2)), visible, metric)
        np.testing.assert_array_equal(scale, [[NAN, NAN], [3, 3], [NAN, NAN]])

    def test_agrees_with_the_equation_word_by_word(self, rng):
        n, t = 60, 23
        visible = rng.random((n, t)) < 0.6
        log_ratio = rng.normal(0, 0.5, (n, t))
        log_ratio[rng.random((n, t)) < 0.1] = NAN
        metric = rng.uniform(-1, 9, (n, t))
        metric[rng.random((n, t)) < 0.4] = NAN
        metric[3] = NAN
        time = np.cumsum(rng.integers(1, 4, t))
        np.testing.assert_allclose(
            run_scale(log_ratio, visible, metric, time=time),
            slow_run_scale(log_ratio, visible, metric, time),
            rtol=1e-5,
        )

    def test_whole_track(self):
        visible = np.array([[1, 1, 0, 1]], dtype=bool)
        metric = np.full((1, 4), 6.0)
        ratio = np.array([[1.0, 2.0, 77.0, 3.0]])
        scale = run_scale(np.log(ratio), visible, metric, whole_track=True)
        np.testing.assert_allclose(scale, [[3, 3, 3, 3]])

    def test_shapes_must_match(self):
        with pytest.raises(ValueError, match="track, time"):
            run_scale(np.zeros((3, 2)), np.ones((2, 3), bool), np.zeros((3, 2)))

    def test_all_hidden(self):
        some = np.ones((3, 4))
        assert np.isnan(run_scale(some, np.zeros((3, 4), bool), some)).all()

    def test_more_tracks_than_one_block(self, rng, monkeypatch):
        inputs = (
            rng.normal(0, 0.3, (50, 7)),
            rng.random((50, 7)) < 0.5,
            rng.uniform(1, 9, (50, 7)),
        )
        whole = run_scale(*inputs)
        monkeypatch.setattr("seurat_tracks.median._BLOCK", 30)
        np.testing.assert_array_equal(run_scale(*inputs), whole)

    def test_empty(self):
        none = np.zeros((0, 4))
        assert run_scale(none, none.astype(bool), none).shape == (0, 4)


class TestAnchor:
    def test_recovers_a_metric_scale_per_run(self, rng):
        ds = tracks(rng)
        truth = np.exp(ds["log_depth_ratio"].values) * rng.uniform(1, 9, (11, 1))
        out = anchor(ds, AtTracks(truth))
        np.testing.assert_allclose(out["depth"], truth, rtol=1e-5)
        assert out.attrs["units"] == out["depth"].attrs["units"] == "m"
        assert out.attrs["frame_of_reference"] == "camera"
        assert "depth_note" not in out.attrs
        assert out["depth"].dims == out["scale"].dims == ("track", "time")
        assert out["depth"].dtype == out["scale"].dtype == np.float32

    def test_lazy_in_lazy_out_and_chunks_do_not_matter(self, rng):
        eager = tracks(rng)
        truth = da.from_array(rng.uniform(1, 9, (11, 17)), chunks=(11, 1))
        expected = add_xyz(anchor(eager, AtTracks(truth)), {"fov": 70}).compute()
        for chunks in (3, 11):
            with dask.config.set(scheduler=no_compute):
                out = add_xyz(
                    anchor(eager.chunk(track=chunks, time=5), AtTracks(truth)),
                    {"fov": 70},
                )
            for name in ("scale", "depth", "xyz"):
                assert out[name].chunks is not None
                np.testing.assert_array_equal(out[name], expected[name])

    def test_long_videos_chunked_in_time(self, rng):
        ds = tracks(rng)
        out = anchor(ds.chunk(track=4, time=3), Constant(2))
        np.testing.assert_array_equal(out["depth"], anchor(ds, 2.0)["depth"])

    def test_without_depth_nothing_claims_metres(self, rng):
        out = anchor(tracks(rng))
        np.testing.assert_array_equal(out["scale"], 1)
        np.testing.assert_allclose(out["depth"], np.exp(out["log_depth_ratio"]))
        for units in (out.attrs["units"], out["depth"].attrs["units"]):
            assert units.startswith("relative")
        assert out.attrs["depth_source"] == "none"
        assert "equally far away" in out.attrs["depth_note"]
        assert out.attrs["frame_of_reference"] == "camera, relative"
        again = anchor(out, 2.0)
        assert "depth_note" not in again.attrs
        assert again.attrs["units"] == "m"

    def test_source_that_is_not_metric(self, rng):
        ds = tracks(rng)
        out = anchor(ds, AtTracks(np.ones((11, 17)), metric=False, licence="CC0"))
        assert out.attrs["units"].startswith("relative")
        assert out.attrs["depth_source_licence"] == "CC0"
        assert "metres" not in str(out.attrs)

    def test_constant_keeps_the_change_across_a_gap(self, rng):
        ds = tracks(rng)
        out = anchor(ds, 2.0)
        np.testing.assert_allclose(
            out["depth"] / out["depth"][:, :1],
            np.exp(ds["log_depth_ratio"] - ds["log_depth_ratio"][:, :1]),
            rtol=1e-5,
        )
        median = out["depth"].where(out["visible"]).median("time")
        np.testing.assert_allclose(median, 2, rtol=0.2)

    def test_ids_order_and_coordinates_stay(self, rng):
        ds = tracks(rng).isel(track=[4, 0, 9])
        out = add_xyz(anchor(ds, 2.0), {"fov": 60})
        assert out["track"].values.tolist() == ["p4", "p0", "p9"]
        xr.testing.assert_identical(
            out[["xy", "visible"]].drop_attrs(), ds[["xy", "visible"]].drop_attrs()
        )

    def test_old_xyz_goes_with_its_scale(self, rng):
        out = add_xyz(anchor(tracks(rng), 2.0), {"fov": 60})
        assert "xyz" not in anchor(out, 3.0)

    def test_needs_ratios(self, rng):
        with pytest.raises(SchemaError, match="log_depth_ratio"):
            anchor(tracks(rng).drop_vars("log_depth_ratio"), 2.0)

    def test_bad_depth(self, rng):
        with pytest.raises(DepthError, match="give None"):
            anchor(tracks(rng), "deep")


class TestXyz:
    def test_nan_only_where_there_is_no_observation(self, rng):
        ds = tracks(rng)
        out = add_xyz(anchor(ds, 2.0), (500, 500, 320, 240))
        assert out["xyz"].dims == ("track", "time", "axis")
        assert out["axis"].values.tolist() == ["x", "y", "z"]
        missing = np.isnan(ds["xy"].values).any(-1)
        np.testing.assert_array_equal(
            np.isnan(out["xyz"]), np.broadcast_to(missing[..., None], (11, 17, 3))
        )
        np.testing.assert_array_equal(
            out["xyz"].sel(axis="z").values[~missing], out["depth"].values[~missing]
        )
        assert out["xyz"].dtype == np.float32
        assert out["xyz"].attrs["units"] == "m"

    def test_intrinsics_given_kept_or_assumed(self, rng):
        ds = anchor(tracks(rng), 2.0)
        given = add_xyz(ds, (500, 510, 320, 240))
        assert given.attrs["intrinsics"] == [500, 510, 320, 240]
        assert given.attrs["intrinsics_source"] == "given"
        xr.testing.assert_identical(add_xyz(given), given)
        with pytest.warns(UserWarning, match="60 degrees"):
            assumed = add_xyz(ds)
        assert assumed.attrs["intrinsics_source"].startswith("assumed")
        assert set_intrinsics(assumed).attrs["intrinsics_source"].startswith("assumed")

    def test_needs_depth_and_frame_size(self, rng):
        ds = tracks(rng)
        with pytest.raises(SchemaError, match="anchor"):
            add_xyz(ds, {"fov": 60})
        del ds.attrs["frame_size"]
        with pytest.raises(CameraError, match="frame_size"):
            set_intrinsics(ds, {"fov": 60})
