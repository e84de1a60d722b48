import numpy as np
import pytest
import xarray as xr

from seurat_tracks.depth import AtTracks, DepthMaps, kind_of, resolve_depth
from seurat_tracks.errors import DepthError
from seurat_tracks.scale import anchor

W, H, T, N = 32, 24, 9, 20


@pytest.fixture
def scene(rng):
    """Planes that come nearer by half, each map with a step; tracks that know it."""
    z = 3 * np.exp(np.linspace(0, -0.7, T)).astype(np.float32)
    maps = np.ones((T, H, W), np.float32) * z[:, None, None]
    maps[:, :, W // 2 :] *= 2
    xy = rng.uniform(2, 20, (N, T, 2)).astype(np.float32)
    ds = xr.Dataset(
        {
            "xy": (("track", "time", "coord"), xy),
            "visible": (("track", "time"), np.ones((N, T), bool)),
            "log_depth_ratio": (
                ("track", "time"),
                np.tile(np.log(z / z[0]).astype(np.float32), (N, 1)),
            ),
        },
        coords={"track": range(N), "time": range(T)},
        attrs={"frame_size": [W, H]},
    )
    return ds, maps


def depth(ds, maps, **settings):
    return anchor(ds, DepthMaps(maps, **settings))["depth"].values


def test_metres_pass(scene):
    ds, maps = scene
    assert np.isfinite(depth(ds, maps)).all()


class TestUnits:
    @pytest.mark.parametrize("lazy", [False, True])
    def test_millimetres(self, scene, lazy):
        ds, maps = scene
        given = DepthMaps(maps * 1000).maps
        if lazy:
            given = xr.DataArray(given, dims=("time", "y", "x")).chunk(time=1)
        with pytest.raises(DepthError, match=r"millimetres: say scale=0\.001"):
            depth(ds, given)
        np.testing.assert_allclose(
            depth(ds, given, scale=0.001), depth(ds, maps), rtol=1e-5
        )

    def test_stated_but_wrong(self, scene):
        ds, maps = scene
        with pytest.raises(DepthError, match="millimetres"):
            depth(ds, maps * 1000, scale=1.0)
        assert depth(ds, maps * 1000, scale=1.0, check=False).max() > 1000

    def test_whole_numbers(self, scene):
        ds, maps = scene
        whole = (maps * 1000).astype(np.uint16)
        with pytest.raises(DepthError, match=r"whole numbers \(uint16\).*0\.001"):
            depth(ds, whole)
        np.testing.assert_allclose(
            depth(ds, whole, scale=0.001), depth(ds, maps), rtol=1e-3
        )
        with pytest.raises(DepthError, match=r"whole numbers \(uint8\)"):
            resolve_depth((maps * 20).astype(np.uint8))

    def test_tiny_numbers(self, scene):
        ds, maps = scene
        with pytest.raises(DepthError, match=r"another unit, or inverse depth"):
            depth(ds, maps / 10_000)

    def test_normalised_maps(self, scene):
        _, maps = scene
        low, high = maps.min(), maps.max()
        normal = (maps - low) / (high - low)
        normal[:, 0, 0], normal[:, 0, 1] = 0, 1
        with pytest.raises(DepthError, match=r'normalised.*kind="affine"'):
            resolve_depth(normal)

    def test_nothing_is_read_before_it_is_asked_for(self, scene):
        ds, maps = scene
        lazy = xr.DataArray(maps * 1000, dims=("time", "y", "x")).chunk(time=1)
        out = anchor(ds, lazy)
        with pytest.raises(DepthError, match="millimetres"):
            out["depth"].compute()


class TestInverse:
    def test_seen_by_the_direction_of_the_tracks(self, scene):
        ds, maps = scene
        with pytest.raises(DepthError, match=r"falls where.*disparity=True"):
            depth(ds, 1 / maps)

    def test_said(self, scene):
        ds, maps = scene
        np.testing.assert_allclose(
            depth(ds, 40 / maps, disparity=True, scale=40.0),
            depth(ds, maps),
            rtol=1e-4,
        )

    def test_needs_its_scale(self, scene):
        with pytest.raises(DepthError, match=r"disparity=True needs scale="):
            DepthMaps(scene[1], disparity=True)

    def test_unknown_scale_is_for_affine_fusion(self, scene):
        ds, maps = scene
        source = DepthMaps(1 / maps - 0.2, kind="affine_disparity")
        with pytest.raises(DepthError, match=r"inverse depth up to an unknown"):
            resolve_depth(source)
        with pytest.raises(DepthError, match=r"affine='disparity' needs"):
            anchor(ds, source, "median")
        assert kind_of(resolve_depth(source, affine=True)) == "affine_disparity"
        # the numbers themselves, negative ones too
        found = source.at_tracks(ds)
        assert float(found.min()) < 0
        with pytest.raises(DepthError, match=r"disparity=True.*ray_length=True"):
            DepthMaps(maps, kind="affine", disparity=True, ray_length=True)

    def test_a_still_scene_says_nothing(self, scene):
        ds, maps = scene
        still = ds.assign(log_depth_ratio=ds["log_depth_ratio"] * 0)
        assert np.isfinite(depth(still, 1 / maps)).all()

    def test_kinds(self, scene):
        _, maps = scene
        assert kind_of(DepthMaps(maps)) == "metric"
        assert kind_of(DepthMaps(maps, metric=False)) == "scale"
        assert kind_of(AtTracks(np.ones((2, 3)))) == "metric"
        assert kind_of(AtTracks(np.ones((2, 3)), metric=False)) == "scale"
        with pytest.raises(DepthError, match="kind must be one of metric, scale"):
            DepthMaps(maps, kind="relative")


class TestHoles:
    @pytest.mark.parametrize("hole", [np.nan, 0.0, -1.0, np.inf])
    def test_all_holes(self, scene, hole):
        ds, maps = scene
        with pytest.raises(DepthError, match="all holes"):
            depth(ds, np.full_like(maps, hole))

    def test_holes_wherever_the_tracks_are(self, scene):
        ds, maps = scene
        maps[:, :, :21] = np.nan
        with pytest.raises(DepthError, match="no depth under any of 180 visible"):
            depth(ds, maps)

    def test_some_maps_may_be_holes(self, scene):
        ds, maps = scene
        maps[2:5] = np.nan
        assert np.isfinite(depth(ds, maps)).all()

    def test_affine_maps_have_values_at_zero(self, scene):
        ds, maps = scene
        source = DepthMaps(np.zeros_like(maps), kind="affine")
        source.check()
        np.testing.assert_array_equal(source.at_tracks(ds), 0)


def test_ray_length_is_converted_when_said(scene):
    ds, maps = scene
    ds.attrs["intrinsics"] = [20.0, 20.0, 15.5, 11.5]
    x, y = np.meshgrid((np.arange(W) - 15.5) / 20, (np.arange(H) - 11.5) / 20)
    rays = maps * np.sqrt(1 + x * x + y * y)
    # between pixels a ray length is not quite linear
    np.testing.assert_allclose(
        depth(ds, rays, ray_length=True), depth(ds, maps), rtol=2e-3
    )
