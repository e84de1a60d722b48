"""The exact motion is what the rendered video shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.benchmarks.known_motion import Clip, make_clip
from tests.benchmarks.tracking_errors import PIXEL, measure


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(300, 400, 3)) for _ in range(4)]
    smooth = [cv2.GaussianBlur(n, (0, 0), 2.0) for n in noise]
    return [np.clip(128 + 400 * s, 0, 255).astype(np.uint8) for s in smooth]


def clip(seed: int, frames: int = 24) -> Clip:
    return make_clip(seed, pictures(), frames, sizes=((240, 180),))


def grid() -> np.ndarray:
    x, y = np.meshgrid(np.arange(10.0, 240, 12), np.arange(10.0, 180, 12))
    return np.stack([x, y], -1).reshape(-1, 2)


@pytest.mark.parametrize("seed", [0, 4])
def test_points_lie_where_their_colour_is(seed: int) -> None:
    video = clip(seed)
    xy, visible, _ = video.follow(grid(), 0)
    np.testing.assert_allclose(xy[:, 0], grid(), atol=1e-3)
    assert visible[:, 8].mean() > 0.1

    def colours(t: int, at: np.ndarray) -> np.ndarray:
        at = at.astype(np.float32)[:, None]
        return cv2.remap(video.frames[t], at, None, cv2.INTER_LINEAR)[:, 0].ravel()

    both = visible[:, 0] & visible[:, 8]
    now, then = colours(8, xy[both, 8]), colours(0, xy[both, 0])
    stayed = colours(8, xy[both, 0])
    assert np.corrcoef(now, then)[0, 1] > 0.85
    assert np.corrcoef(stayed, then)[0, 1] < 0.7  # and they did move


def test_nearer_layers_hide_and_other_layers_carry() -> None:
    video = clip(0)
    _, _, layer = video.follow(grid(), 0)
    assert len(np.unique(layer)) > 1
    other = video.other_surfaces(grid(), layer, 0, np.arange(9))
    assert other.shape == (len(video.layers) - 1, len(layer), 9, 2)
    np.testing.assert_allclose(
        other[:, :, 0], grid()[None].repeat(len(other), 0), atol=1e-3
    )


def test_lucas_kanade_is_measured_well_where_texture_is_rich() -> None:
    windows = measure(clip(4, 16), 0, side=8)
    support = windows.take(windows.kind == 1)
    both = support.visible & support.seen
    error = np.linalg.norm(support.xy - support.truth, axis=-1) / PIXEL
    assert both[:, 7].mean() > 0.3
    assert np.median(error[both[:, 1], 1]) < 0.5
    assert np.median(error[both[:, 7], 7]) < 1.0
    assert not support.carried[both].any() or error[support.carried & both].min() >= 3
