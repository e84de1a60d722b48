from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from napari_seurat_tracks.space import (
    TEXTURE,
    bounds,
    error_bars,
    floor_grid,
    frustum,
    moved,
    nice_step,
    picture_corners,
    to_napari,
)
from seurat_tracks.geometry import project

K, SIZE = (300.0, 310.0, 155.0, 118.0), (320, 240)


def at_pixel(corners: np.ndarray, x: float, y: float) -> np.ndarray:
    """Where the texture puts a place of the picture, by its corners alone."""
    u, v = (x + 0.5) / SIZE[0], (y + 0.5) / SIZE[1]
    return corners[0] + u * (corners[1] - corners[0]) + v * (corners[3] - corners[0])


@pytest.mark.parametrize("depth", [0.4, 7.0])
def test_pixels_lie_on_their_rays_at_the_planes_depth(depth):
    corners = picture_corners(SIZE, K, depth)
    assert np.allclose(corners[:, 2], depth)
    for x, y in ((0, 0), (319, 0), (319, 239), (17.25, 200)):
        point = at_pixel(corners, x, y)
        assert np.allclose(project(point[None], K), [[x, y]], atol=1e-9)


def test_texture_is_upright():
    """Texture v runs from the bottom, since napari flips images."""
    corners = picture_corners(SIZE, K, 1.0)
    top_left = np.argmin(corners[:, 0] + corners[:, 1])
    assert TEXTURE.texcoords[top_left].tolist() == [0, 1]
    bottom_right = np.argmax(corners[:, 0] + corners[:, 1])
    assert TEXTURE.texcoords[bottom_right].tolist() == [1, 0]


def test_frustum_runs_from_the_camera_through_the_corners():
    corners = picture_corners(SIZE, K, 2.0)
    lines = frustum(corners)
    assert np.allclose(lines[:4, 0], 0)
    assert np.allclose(lines[:4, 1], corners)
    assert lines[-1, 0][1] < corners[0][1]  # the mark is above: y points down


def test_poses_bring_the_camera_into_the_world():
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    pose[:3, 3] = [1, 2, 3]
    assert np.allclose(moved(np.array([[0.0, 0, 2]]), pose), [[3, 2, 3]])
    assert moved(np.ones((1, 3)), None).tolist() == [[1, 1, 1]]
    assert to_napari(np.array([1.0, 2, 3])).tolist() == [3, 2, 1]


@given(some.floats(1e-4, 1e5))
def test_steps_are_round_and_fit(length):
    step = nice_step(length)
    digit = step / 10.0 ** np.floor(np.log10(step) + 1e-9)
    assert min(abs(digit - d) for d in (1, 2, 5, 10)) < 1e-6
    assert 3 <= length / step <= 12


def test_grid_covers_the_box_at_round_numbers():
    grid = floor_grid(np.array([-0.7, -1, 2.1]), np.array([1.3, 0.9, 6.4]), "m")
    ends = grid.lines.reshape(-1, 3)
    assert (ends[:, 1] == 0.9).all()
    assert ends[:, 0].min() <= -0.7
    assert ends[:, 2].max() >= 6.4
    assert "3 m" in grid.text
    relative = floor_grid(np.zeros(3), np.ones(3), "relative")
    assert not any("m" in text for text in relative.text)


def test_stragglers_do_not_blow_up_the_box():
    points = np.random.default_rng(0).uniform(0, 1, (100, 20, 3))
    points[0, 0] = 1e6
    points[1] = np.nan
    low, high = bounds(points, np.ones((100, 20), bool))
    assert (high < 2).all()
    assert (low > -1).all()
    low, high = bounds(points[1:2], np.ones((1, 20), bool))
    assert (high > low).all()


def test_error_bars_lie_along_the_ray():
    points = np.array([[1.0, 0.5, 4.0]])
    centre = np.array([0.5, 0, 0])
    bars = error_bars(points, np.array([0.1]), centre)[0]
    along = bars - centre
    assert np.allclose(np.cross(along[0], along[1]), 0)
    assert np.allclose(along[1] / (points[0] - centre), np.exp(0.1))
