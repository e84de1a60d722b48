from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.evaluation.street import SIZE, drive_through_street
from seurat_tracks.evaluation.view import NEAREST


@pytest.mark.parametrize("seed", [0, 7, 123])
def test_points_stand_still_while_the_car_passes_them(seed: int) -> None:
    drive = drive_through_street(seed, points=60, frames=12)
    # distances between points that do not move are the same from every camera
    gap = np.linalg.norm(drive.xyz[:, None] - drive.xyz[None], axis=-1)
    np.testing.assert_allclose(gap, gap[..., :1].repeat(12, -1), rtol=1e-6, atol=1e-6)


def test_what_is_seen_lies_in_the_frame_where_the_camera_projects_it() -> None:
    drive = drive_through_street(3)
    fx, fy, cx, cy = drive.intrinsics
    x, y, z = np.moveaxis(drive.xyz[drive.visible], -1, 0)
    expected = np.stack([fx * x / z + cx, fy * y / z + cy], -1)
    np.testing.assert_allclose(drive.xy[drive.visible], expected)
    assert np.isnan(drive.xy[~drive.visible]).all()
    assert (expected >= 0).all()
    assert (expected <= np.array(SIZE) - 1).all()
    assert (z > NEAREST).all()
    assert drive.visible[:, 0].sum() >= 100


@pytest.mark.parametrize("seed", range(10))
def test_depth_shrinks_to_a_third_for_what_stays_in_view(seed: int) -> None:
    drive = drive_through_street(seed)
    through = drive.visible[:, 0] & drive.visible[:, -1]
    assert through.sum() >= 30
    z = drive.xyz[through, :, 2]
    assert np.median(z[:, -1] / z[:, 0]) == pytest.approx(1 / 3, abs=0.06)


def test_the_seed_decides_everything() -> None:
    first, again = drive_through_street(4), drive_through_street(4)
    other = drive_through_street(5)
    np.testing.assert_array_equal(first.xyz, again.xyz)
    assert not np.array_equal(first.xyz, other.xyz)
