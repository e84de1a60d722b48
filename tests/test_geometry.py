import math

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seurat_tracks.errors import CameraError
from seurat_tracks.geometry import (
    FieldOfView,
    density_ratio,
    project,
    ray_length_to_z,
    resolve_intrinsics,
    unproject,
)

SIZE = (640, 480)
K = (500.0, 510.0, 321.0, 238.0)


@pytest.fixture
def rng():
    return np.random.default_rng(20250422)


class TestResolveIntrinsics:
    def test_four_numbers(self):
        assert resolve_intrinsics([500, 510, 321, 238], SIZE) == K

    def test_matrix(self):
        matrix = np.array([[500, 0, 321], [0, 510, 238], [0, 0, 1]])
        assert resolve_intrinsics(matrix, SIZE) == K

    @pytest.mark.parametrize("fov", [{"fov": 90}, FieldOfView(90)])
    def test_field_of_view_is_that_of_the_frame_edges(self, fov):
        k = resolve_intrinsics(fov, SIZE)
        assert (k.cx, k.cy) == (319.5, 239.5)
        left = math.degrees(math.atan((k.cx + 0.5) / k.fx))
        right = math.degrees(math.atan((639.5 - k.cx) / k.fx))
        assert left + right == pytest.approx(90)
        assert k.fx == k.fy

    def test_default_is_60_degrees_and_says_how_to_give_the_real_one(self):
        with pytest.warns(UserWarning, match=r"60 degrees.*intrinsics=\(fx"):
            k = resolve_intrinsics(None, SIZE)
        assert k == resolve_intrinsics({"fov": 60}, SIZE)

    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            ((500, 510, 321), "4 numbers"),
            ("wide", "cannot read"),
            (np.eye(4), "shape"),
            ((0, 510, 321, 238), "fx is 0"),
            ((500, -1, 321, 238), "fy is -1"),
            ((500, float("nan"), 321, 238), "fy is nan"),
            ((500, 510, 3210, 238), "another resolution"),
            ((1.2, 1.2, 0.5, 0.5), "in pixels"),
            ([[500, 0, 0], [0, 510, 0], [321, 238, 1]], "transpose"),
            ([[500, 9, 321], [0, 510, 238], [0, 0, 1]], "skew"),
            ({"fov": 180}, "between 0 and 180"),
            ({"fov": "wide"}, "between 0 and 180"),
            ({"fov": 60, "fx": 3}, "fov"),
            (FieldOfView(-3), "between 0 and 180"),
        ],
    )
    def test_malformed(self, bad, text):
        with pytest.raises(CameraError, match=text):
            resolve_intrinsics(bad, SIZE)

    def test_all_faults_at_once(self):
        with pytest.raises(CameraError, match=r"fx is 0.*fy is nan.*cx is 9999"):
            resolve_intrinsics((0, float("nan"), 9999, 238), SIZE)

    @pytest.mark.parametrize("size", [(0, 480), None, (640,), (640, float("inf"))])
    def test_bad_frame_size(self, size):
        with pytest.raises(CameraError, match="frame_size"):
            resolve_intrinsics(K, size)


class TestProject:
    def test_hand_computed(self):
        xyz = np.array([[1.0, -0.5, 2.0]])
        np.testing.assert_allclose(project(xyz, K), [[571.0, 110.5]])

    def test_behind_the_camera_has_no_image(self):
        out = project(np.array([[1.0, 1.0, -2.0], [1.0, 1.0, 0.0]]), K)
        assert np.isnan(out).all()

    @settings(max_examples=200, deadline=None)
    @given(
        x=st.floats(-2000, 2000),
        y=st.floats(-2000, 2000),
        z=st.floats(0.01, 1000),
        f=st.floats(50, 5000),
        aspect=st.floats(0.5, 2),
    )
    def test_inverse_of_unproject(self, x, y, z, f, aspect):
        k = (f, f * aspect, 320.0, 240.0)
        xy = np.array([[x, y]])
        xyz = unproject(xy, np.array([z]), k)
        assert xyz[0, 2] == z
        np.testing.assert_allclose(project(xyz, k), xy, rtol=1e-9, atol=1e-6)

    def test_keeps_float32_and_leading_shape(self, rng):
        xyz = rng.uniform(1, 2, (3, 5, 3)).astype(np.float32)
        xy = project(xyz, K)
        assert xy.shape == (3, 5, 2)
        assert xy.dtype == np.float32
        back = unproject(xy, xyz[..., 2], K)
        assert back.dtype == np.float32
        np.testing.assert_allclose(back, xyz, rtol=1e-4)

    def test_dask_stays_lazy_and_agrees(self, rng):
        xyz = rng.uniform(1, 2, (6, 5, 3)).astype(np.float32)
        lazy = da.from_array(xyz, chunks=(2, 5, 3))
        xy = project(lazy, K)
        back = unproject(xy, lazy[..., 2], K)
        assert isinstance(xy, da.Array)
        assert isinstance(back, da.Array)
        assert xy.dtype == back.dtype == np.float32
        np.testing.assert_array_equal(xy.compute(), project(xyz, K))
        np.testing.assert_array_equal(
            back.compute(), unproject(project(xyz, K), xyz[..., 2], K)
        )

    def test_nan_in_any_input_is_nan_everywhere(self):
        xy = np.array([[np.nan, 3.0], [2.0, 3.0], [2.0, 3.0]])
        xyz = unproject(xy, np.array([2.0, np.nan, 2.0]), K)
        np.testing.assert_array_equal(
            np.isnan(xyz), [[True] * 3, [True] * 3, [False] * 3]
        )


def test_ray_length_to_z(rng):
    xyz = rng.uniform(1, 4, (4, 7, 3))
    length = np.linalg.norm(xyz, axis=-1)
    z = ray_length_to_z(length, project(xyz, K), K)
    np.testing.assert_allclose(z, xyz[..., 2])
    assert (z < length).all()


class TestDensityRatio:
    def magnified(self, rng, factors, n=200):
        first = rng.uniform(0, 400, (n, 2))
        centre = np.array([200.0, 150.0])
        return centre + (first - centre)[:, None] * np.asarray(factors)[:, None]

    def test_approaching_plane(self, rng):
        depth = np.array([1.0, 0.97, 0.93, 0.9])
        ratio = density_ratio(
            self.magnified(rng, 1 / depth), np.ones((200, 4), dtype=bool)
        )
        np.testing.assert_array_equal(ratio[:, 0], 1)
        np.testing.assert_allclose(np.median(ratio, axis=0), depth, atol=0.012)

    def test_image_scale_does_not_matter(self, rng):
        xy = self.magnified(rng, [1.0, 1.05, 1.1])
        seen = np.ones((200, 3), dtype=bool)
        np.testing.assert_allclose(
            density_ratio(xy, seen), density_ratio(2 * xy, seen), rtol=1e-6
        )

    def test_neighbours_stay_those_of_the_first_frame(self, rng):
        xy = self.magnified(rng, [1.0, 1.0, 1.0], n=40)
        xy[20:, 1:] += 500  # half of the points fly off
        near_both = density_ratio(xy, np.ones((40, 3), dtype=bool), k=1)
        moved = np.abs(near_both[:, 1] - 1) > 0.1
        assert 0 < moved.sum() < 40

    def test_hidden_points_have_no_ratio_and_do_not_count(self, rng):
        xy = self.magnified(rng, [1.0, 1.0, 1.0])
        visible = np.ones((200, 3), dtype=bool)
        visible[:9, 0] = False
        visible[9:15, 1] = False
        xy[~visible] = np.nan
        ratio = density_ratio(xy, visible)
        assert np.isnan(ratio[:9]).all()
        assert np.isnan(ratio[9:15, 1]).all()
        np.testing.assert_allclose(ratio[15:], 1)

    def test_too_few_points(self):
        assert np.isnan(density_ratio(np.zeros((1, 3, 2)), np.ones((1, 3), bool))).all()

    def test_shape_mismatch(self):
        with pytest.raises(ValueError, match="track, time"):
            density_ratio(np.zeros((4, 3, 2)), np.ones((3, 4), bool))
