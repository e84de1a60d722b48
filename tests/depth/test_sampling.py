import numpy as np
import pytest

from seurat_tracks.depth.sampling import DEFAULT_SAMPLING, check_sampling, sample_map
from seurat_tracks.errors import DepthError

W, H = 20, 16


def step(near=1.0, far=4.0):
    """Near left of column 10, far from there on."""
    out = np.full((H, W), far)
    out[:, :10] = near
    return out


def read(depth_map, xy, **settings):
    return sample_map(
        depth_map, np.atleast_2d(np.asarray(xy, float)), (W, H), **settings
    )


class TestEdges:
    xy = ((9.4, 5.3), (9.6, 5.3), (9.2, 5.0), (9.9, 5.5))

    def test_default_takes_one_side(self):
        np.testing.assert_array_equal(read(step(), self.xy), [1, 4, 1, 4])

    def test_bilinear_bleeds(self):
        blurred = read(step(), self.xy, sampling="bilinear")
        np.testing.assert_allclose(blurred, [2.2, 2.8, 1.6, 3.7], rtol=1e-6)

    def test_default_is_bilinear_on_a_surface(self, rng):
        x, y = np.meshgrid(np.arange(W), np.arange(H))
        surface = 3 + 0.05 * x + 0.02 * y
        xy = rng.uniform(0, 15, (50, 2))
        np.testing.assert_allclose(
            read(surface, xy), 3 + 0.05 * xy[:, 0] + 0.02 * xy[:, 1], rtol=1e-6
        )

    def test_side_of_the_nearest_valid_pixel(self):
        holed = step()
        holed[5, 9] = np.nan
        np.testing.assert_array_equal(read(holed, (9.4, 5.3)), [4.0])
        np.testing.assert_array_equal(read(holed, (9.3, 5.4)), [1.0])

    @pytest.mark.parametrize("sampling", ["nearest", "median"])
    def test_others_take_values_of_the_map(self, rng, sampling):
        xy = rng.uniform(0, 15, (60, 2))
        assert set(read(step(), xy, sampling=sampling)) <= {1.0, 4.0}


@pytest.mark.parametrize("sampling", ["edge", "bilinear", "nearest", "median"])
class TestAll:
    def test_constant(self, rng, sampling):
        xy = rng.uniform(-0.4, 15, (30, 2))
        assert (read(np.full((H, W), 2.5), xy, sampling=sampling) == 2.5).all()

    def test_holes_outside_and_unobserved(self, sampling):
        holed = np.full((H, W), 2.5)
        holed[:, :8] = 0
        xy = [(3, 3), (12, 3), (-2, 3), (3, 99), (np.nan, np.nan)]
        np.testing.assert_array_equal(
            read(holed, xy, sampling=sampling), [np.nan, 2.5, np.nan, np.nan, np.nan]
        )

    def test_signed_values(self, sampling):
        minus = np.full((H, W), -1.5)
        assert np.isnan(read(minus, (5, 5), sampling=sampling))
        assert read(minus, (5, 5), sampling=sampling, signed=True) == -1.5


def test_names():
    check_sampling(DEFAULT_SAMPLING, "maps")
    with pytest.raises(DepthError, match="sampling must be one of bilinear, edge"):
        check_sampling("cubic", "maps")
