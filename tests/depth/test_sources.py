import numpy as np
import pytest
import xarray as xr

from seurat_tracks.depth import AtTracks, Constant, DepthMaps, Known, resolve_depth
from seurat_tracks.depth.base import DepthSource
from seurat_tracks.errors import DepthError
from seurat_tracks.geometry import unproject
from seurat_tracks.scale import anchor


@pytest.fixture
def ds():
    rng = np.random.default_rng(7)
    visible = np.ones((3, 5), dtype=bool)
    visible[1, 2] = False
    return xr.Dataset(
        {
            "xy": (
                ("track", "time", "coord"),
                rng.uniform(0, 60, (3, 5, 2)).astype(np.float32),
            ),
            "visible": (("track", "time"), visible),
            "log_depth_ratio": (
                ("track", "time"),
                rng.normal(0, 0.2, (3, 5)).astype(np.float32),
            ),
        },
        coords={"track": [7, 2, 9], "time": [10, 11, 12, 13, 14]},
        attrs={"frame_size": [64, 48]},
    )


class TestConstant:
    def test_everywhere(self, ds):
        out = Constant(2.5).at_tracks(ds)
        assert out.shape == (3, 5)
        assert (out == 2.5).all()

    @pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "far"])
    def test_refuses_what_is_no_depth(self, bad):
        with pytest.raises(DepthError, match="positive, finite"):
            Constant(bad)


class TestKnown:
    def test_by_track(self, ds):
        out = Known({2: 3.0, 7: 1.0}).at_tracks(ds)
        np.testing.assert_array_equal(out[:, 0], [1, 3, np.nan])
        anchored = anchor(ds, {2: 3.0})["depth"]
        assert np.isnan(anchored.sel(track=[7, 9])).all()
        seen = ds["visible"].sel(track=2).values
        np.testing.assert_allclose(
            np.median(anchored.sel(track=2).values[seen]), 3.0, rtol=0.05
        )

    def test_in_one_frame(self, ds):
        depth = anchor(ds, Known({9: 4.0}, frame=13))["depth"]
        assert float(depth.sel(track=9, time=13)) == pytest.approx(4.0)

    def test_several_frames_of_one_track(self, ds):
        depth = anchor(ds, {(2, 11): 4.0, (2, 13): 5.0})["depth"]
        assert float(depth.sel(track=2, time=11)) == pytest.approx(4.0)
        assert float(depth.sel(track=2, time=13)) == pytest.approx(5.0)

    def test_spread_gives_the_others_the_median(self, ds):
        out = Known({2: 3.0, 7: 1.0}, spread="median").at_tracks(ds)
        np.testing.assert_array_equal(out[:, 0], [1, 3, 2])

    def test_distance_needs_a_camera(self, ds):
        source = Known({2: 3.0}, ray_length=True)
        with pytest.raises(DepthError, match="intrinsics"):
            source.at_tracks(ds)
        ds.attrs["intrinsics"] = [50.0, 50.0, 31.5, 23.5]
        z = source.at_tracks(ds).sel(track=1)
        xyz = unproject(ds["xy"].values[1], z.values, ds.attrs["intrinsics"])
        np.testing.assert_allclose(np.linalg.norm(xyz, axis=-1), 3.0, rtol=1e-5)

    def test_all_faults_at_once(self, ds):
        with pytest.raises(DepthError, match=r"no track 3; no frame 99.*frames 10 to"):
            Known({(3, 10): 1.0, (7, 99): 2.0}).at_tracks(ds)
        with pytest.raises(DepthError, match=r"track 1:.*-2.*track 5:.*nan"):
            Known({1: -2, 5: float("nan")})

    def test_hidden_observation(self, ds):
        with pytest.raises(DepthError, match="track 2 in frame 12"):
            Known({(2, 12): 1.0}).at_tracks(ds)

    @pytest.mark.parametrize("bad", [{}, {(1, 2, 3): 1.0}, {1: 2.0, (2, 3): 1.0}])
    def test_malformed(self, bad):
        with pytest.raises(DepthError):
            Known(bad)


class TestAtTracks:
    def test_matched_by_coordinates(self, ds):
        values = xr.DataArray(
            np.arange(1.0, 29).reshape(4, 7),
            dims=("track", "time"),
            coords={"track": [9, 8, 7, 2], "time": np.arange(9, 16)},
        )
        out = AtTracks(values.transpose("time", "track")).at_tracks(ds)
        np.testing.assert_array_equal(
            out, values.sel(track=[7, 2, 9], time=slice(10, 14))
        )

    def test_missing_label(self, ds):
        values = xr.DataArray(
            np.ones((2, 5)), dims=("track", "time"), coords={"track": [7, 2]}
        )
        with pytest.raises(DepthError, match="1 track labels, such as 9"):
            AtTracks(values).at_tracks(ds)

    def test_values_that_are_no_metres(self, ds):
        with pytest.raises(DepthError, match=r"millimetres: divide by 1000"):
            anchor(ds, AtTracks(np.full((3, 5), 2300.0)))
        with pytest.raises(DepthError, match="no depth in it"):
            anchor(ds, AtTracks(np.zeros((3, 5))))
        far = AtTracks(np.full((3, 5), 2300.0), check=False)
        assert float(anchor(ds, far)["depth"].max()) > 1000

    def test_transposed_array(self, ds):
        with pytest.raises(DepthError, match="transpose"):
            AtTracks(np.ones((5, 3))).at_tracks(ds)


class TestResolve:
    def test_each_kind(self):
        assert resolve_depth(None) is None
        assert resolve_depth(2) == Constant(2)
        assert resolve_depth(np.float32(2)) == Constant(2)
        assert resolve_depth(np.array(2.0)) == Constant(2)
        assert isinstance(resolve_depth({1: 2.0}), Known)
        assert isinstance(resolve_depth(np.ones((2, 3, 4))), DepthMaps)
        array = xr.DataArray(np.ones((2, 3)), dims=("time", "track"))
        assert isinstance(resolve_depth(array), AtTracks)
        source = Constant(3)
        assert resolve_depth(source) is source

    def test_all_satisfy_the_protocol(self):
        for source in (
            Constant(1),
            Known({1: 2.0}),
            AtTracks(np.ones((2, 3))),
            DepthMaps(np.ones((2, 3, 4))),
        ):
            assert isinstance(source, DepthSource)
            assert isinstance(source.name, str)

    @pytest.mark.parametrize("bad", ["maps.npy", True, np.ones((2, 3)), [1, 2], Known])
    def test_anything_else_lists_what_is_accepted(self, bad):
        with pytest.raises(DepthError, match=r"metres.*track id.*time, y, x"):
            resolve_depth(bad)
