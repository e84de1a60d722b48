import threading

import dask
import numpy as np
import pytest
import xarray as xr

from seurat_tracks.depth import DepthMaps
from seurat_tracks.depth.maps import sample_map
from seurat_tracks.errors import DepthError

W, H, T, N = 64, 48, 5, 9


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def dataset(xy, frame_size=(W, H), first=0):
    xy = np.asarray(xy, dtype=np.float32)
    return xr.Dataset(
        {
            "xy": (("track", "time", "coord"), xy),
            "visible": (("track", "time"), np.isfinite(xy).all(-1)),
        },
        coords={"time": first + np.arange(xy.shape[1])},
        attrs={"frame_size": list(frame_size)},
    )


def plane(width, height, frame_size=(W, H)):
    """A map of 2 + 0.1 x + 0.01 y of frame coordinates, exact under bilinear."""
    x = (np.arange(width) + 0.5) * frame_size[0] / width - 0.5
    y = (np.arange(height) + 0.5) * frame_size[1] / height - 0.5
    return 2 + 0.1 * x + 0.01 * y[:, None]


class TestSampleMap:
    def test_pixel_centres_are_integers(self, rng):
        depth_map = rng.uniform(1, 9, (H, W))
        xy = np.stack([rng.integers(0, W, N), rng.integers(0, H, N)], axis=-1)
        np.testing.assert_allclose(
            sample_map(depth_map, xy, (W, H)), depth_map[xy[:, 1], xy[:, 0]], rtol=1e-6
        )

    @pytest.mark.parametrize("size", [(W, H), (2 * W, 2 * H), (W // 2, H // 2)])
    def test_bilinear_at_any_map_size(self, rng, size):
        xy = rng.uniform(1, 46, (40, 2))
        np.testing.assert_allclose(
            sample_map(plane(*size), xy, (W, H)),
            2 + 0.1 * xy[:, 0] + 0.01 * xy[:, 1],
            rtol=1e-6,
        )

    @pytest.mark.parametrize("hole", [np.nan, 0.0, -1.0, np.inf])
    def test_holes_get_no_weight(self, hole):
        depth_map = np.full((H, W), 3.0)
        depth_map[10, 21] = hole
        xy = np.array([[20.4, 10.0], [20.6, 10.0], [20.6, 10.5], [21.0, 10.0]])
        out = sample_map(depth_map, xy, (W, H))
        np.testing.assert_array_equal(out, [3, np.nan, 3, np.nan])

    def test_integer_maps_have_holes_at_zero(self):
        depth_map = np.full((H, W), 3000, dtype=np.uint16)
        depth_map[:, 30:] = 0
        out = sample_map(depth_map, np.array([[5.5, 5.5], [40.0, 5.0]]), (W, H))
        np.testing.assert_array_equal(out, [3000, np.nan])

    def test_edges_of_the_frame(self):
        out = sample_map(
            plane(W, H),
            np.array([[-0.5, 0], [-0.6, 0], [W - 0.5, 0], [W, 0], [np.nan, 3]]),
            (W, H),
        )
        np.testing.assert_array_equal(np.isnan(out), [False, True, False, True, True])
        assert out[0] == pytest.approx(2.0)


class TestDepthMaps:
    def test_each_frame_reads_its_own_map(self, rng):
        maps = np.ones((T, H, W)) * np.arange(1, T + 1)[:, None, None]
        ds = dataset(rng.uniform(0, 40, (N, T, 2)))
        out = DepthMaps(maps, scale=0.001).at_tracks(ds)
        assert out.dims == ("track", "time")
        assert out.dtype == np.float32
        np.testing.assert_allclose(
            out, np.broadcast_to(np.arange(1, T + 1) / 1000, (N, T)), rtol=1e-6
        )

    def test_one_frame_in_memory_at_a_time(self, rng):
        class Recorder:
            shape = (T, H, W)
            dtype = np.dtype("float64")
            ndim = 3

            def __init__(self):
                self.asked = []
                self.lock = threading.Lock()

            def __getitem__(self, key):
                part = np.ones(self.shape)[key]
                with self.lock:
                    self.asked.append(part.shape)
                return part

        maps = Recorder()
        ds = dataset(rng.uniform(0, 40, (N, T, 2))).chunk(track=4)

        def no_compute(dsk, keys, **kwargs):
            raise AssertionError("dask computed something")

        with dask.config.set(scheduler=no_compute):
            out = DepthMaps(maps).at_tracks(ds)
        assert maps.asked == []
        assert out.chunksizes["track"] == (4, 4, 1)
        np.testing.assert_array_equal(out, 1)
        assert maps.asked == [(1, H, W)] * T

    def test_frame_numbers_select_the_maps(self, rng):
        maps = xr.DataArray(
            np.ones((20, H, W)) * np.arange(100, 120)[:, None, None],
            dims=("time", "y", "x"),
            coords={"time": np.arange(100, 120)},
        ).chunk(time=7)
        ds = dataset(rng.uniform(0, 40, (N, T, 2)), first=108)
        out = DepthMaps(maps.transpose("y", "time", "x")).at_tracks(ds)
        np.testing.assert_array_equal(out[0], np.arange(108, 113))

    def test_no_observation_no_depth(self, rng):
        xy = rng.uniform(0, 40, (N, T, 2))
        xy[2, 3] = np.nan
        out = DepthMaps(np.ones((T, H, W))).at_tracks(dataset(xy))
        expected = np.ones((N, T))
        expected[2, 3] = np.nan
        np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize(
        ("shape", "text"),
        [
            ((T + 1, H, W), "6 maps for 5 frames"),
            ((T, W, H), r"time, x, y"),
            ((T, H, W + 9), "aspect ratio"),
        ],
    )
    def test_maps_of_another_video(self, shape, text):
        with pytest.raises(DepthError, match=text):
            DepthMaps(np.ones(shape)).at_tracks(dataset(np.ones((N, T, 2))))

    def test_both_faults_at_once(self):
        with pytest.raises(DepthError, match=r"6 maps.*aspect"):
            DepthMaps(np.ones((6, W, H))).at_tracks(dataset(np.ones((N, T, 2))))

    def test_missing_frame(self):
        maps = xr.DataArray(
            np.ones((T, H, W)), dims=("time", "y", "x"), coords={"time": range(T)}
        )
        with pytest.raises(DepthError, match=r"no map for 2 of 5 frames.*frame 5"):
            DepthMaps(maps).at_tracks(dataset(np.ones((N, T, 2)), first=2))

    def test_odd_rounding_of_a_resized_map_is_fine(self):
        ds = dataset(np.ones((N, T, 2)), frame_size=(854, 480))
        out = DepthMaps(np.full((T, 135, 240), 4.0)).at_tracks(ds)
        np.testing.assert_array_equal(out, 4)

    def test_malformed(self):
        with pytest.raises(DepthError, match="time, y, x"):
            DepthMaps(np.ones((3, 4)))
        with pytest.raises(DepthError, match="scale"):
            DepthMaps(np.ones((3, 4, 5)), scale=0)
        with pytest.raises(DepthError, match="rename"):
            DepthMaps(xr.DataArray(np.ones((3, 4, 5)), dims=("frame", "y", "x")))
