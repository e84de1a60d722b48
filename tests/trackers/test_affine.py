from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.trackers import affine
from seurat_tracks.trackers.affine import align, cut_patches, smooth
from seurat_tracks.trackers.queries import grid
from tests.fixtures.videos import motion, moved, planar_clip

SIZE = (200, 140)


@pytest.mark.parametrize("kind", ["zoom", "rotate", "mixed"])
def test_a_stretched_and_turned_patch_is_placed_to_a_few_hundredths(kind: str) -> None:
    frames, maps = planar_clip(kind, 21, SIZE, noise=0)
    points = grid(9, SIZE)
    patches = cut_patches(smooth(frames[0, ..., 0]), points)
    truth = moved(maps, points)
    for t in range(1, 21):  # the maps are followed from frame to frame
        xy, patches.affine, likeness = align(
            smooth(frames[t, ..., 0]), patches, truth[:, t].astype(np.float32) + 0.2
        )
    inside = ((truth >= 2) & (truth <= np.array(SIZE) - 3)).all(axis=(1, 2))
    assert inside.sum() > 40
    error = np.linalg.norm(xy - truth[:, -1], axis=1)[inside]
    assert np.median(error) < 0.05
    assert np.percentile(error, 90) < 0.15
    assert np.median(likeness[inside]) > 0.99
    turn = motion(kind, 20, SIZE)[:2, :2]
    np.testing.assert_allclose(
        np.median(patches.affine[inside], axis=0), turn, atol=0.01
    )


def test_brightness_and_contrast_do_not_count() -> None:
    frames, _ = planar_clip("still", 1, SIZE, noise=0)
    points = grid(5, SIZE)
    picture = smooth(frames[0, ..., 0])
    patches = cut_patches(picture, points)
    xy, _, likeness = align(0.5 * picture + 70, patches, points)
    np.testing.assert_allclose(xy, points, atol=1e-3)
    np.testing.assert_allclose(likeness, 1, atol=1e-4)


def test_another_picture_is_not_alike() -> None:
    one, two = (
        smooth(planar_clip("still", 1, SIZE, seed=s)[0][0, ..., 0]) for s in (1, 2)
    )
    points = grid(7, SIZE)
    _, _, likeness = align(two, cut_patches(one, points), points)
    assert np.percentile(likeness, 95) < 0.8


def test_points_at_the_border_use_what_is_inside() -> None:
    frames, maps = planar_clip("translate", 2, SIZE, noise=0)
    edge = np.array([[4, 70], [SIZE[0] - 6, 30], [90, 3], [5, SIZE[1] - 5]], np.float32)
    patches = cut_patches(smooth(frames[0, ..., 0]), edge)
    truth = moved(maps, edge)[:, 1]
    xy, _, _ = align(smooth(frames[1, ..., 0]), patches, truth.astype(np.float32) + 0.3)
    assert np.linalg.norm(xy - truth, axis=1).max() < 0.1


def test_a_blank_patch_stays_where_it_was_led() -> None:
    picture = np.full((60, 80), 90, np.float32)
    points = np.array([[30.25, 20.5]], np.float32)
    xy, shape, likeness = align(picture, cut_patches(picture, points), points)
    np.testing.assert_array_equal(xy, points)
    np.testing.assert_array_equal(shape[0], np.eye(2))
    assert likeness[0] < 0.5


def test_half_of_the_pixels_place_as_well_as_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, maps = planar_clip("mixed", 6, (320, 240), noise=3)
    first, last = (smooth(frames[t, ..., 0]) for t in (0, 5))
    points = grid(16, (320, 240))
    truth = moved(maps, points)[:, 5]
    inside = ((truth > 12) & (truth < [307, 227])).all(axis=1)

    def errors() -> tuple[np.ndarray, np.ndarray]:
        start = truth.astype(np.float32) + 0.3
        xy, _, likeness = align(last, cut_patches(first, points), start)
        return np.linalg.norm(xy - truth, axis=1)[inside], likeness[inside]

    few, few_likeness = errors()
    everywhere = affine._Samples(np.ones(21 * 21, bool))
    for name in ("_MANY", "_FEW"):
        monkeypatch.setattr(affine, name, everywhere)
    every, every_likeness = errors()
    assert np.median(few) < 1.05 * np.median(every)
    assert np.percentile(few, 95) < 1.05 * np.percentile(every, 95)
    np.testing.assert_allclose(few_likeness, every_likeness, atol=0.02)


def test_blocks_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = planar_clip("mixed", 2, SIZE)
    one, two = (smooth(frames[t, ..., 0]) for t in (0, 1))
    points = grid(9, SIZE)
    whole = align(two, cut_patches(one, points), points)
    monkeypatch.setattr(affine, "_BLOCK", 10)
    parts = align(two, cut_patches(one, points), points)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    which = np.array([40, 3, 17])
    few = align(two, cut_patches(one, points), points[which], which)
    for a, b in zip(whole, few, strict=True):
        np.testing.assert_allclose(a[which], b, atol=1e-3)
