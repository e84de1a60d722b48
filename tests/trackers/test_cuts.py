from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.io.video import open_video
from seurat_tracks.trackers.cuts import find_cuts
from tests.fixtures.videos import planar_clip, texture


def shot(seed: int, n: int = 8) -> np.ndarray:
    return planar_clip("mixed", n, (160, 120), seed=seed)[0]


def cuts(frames: np.ndarray) -> list[int]:
    return find_cuts(open_video(frames))


def test_cuts_are_found_exactly() -> None:
    frames = np.concatenate([shot(1, 9), shot(2, 7), shot(3, 2), shot(4, 6)])
    assert cuts(frames) == [9, 16, 18]


def test_a_cut_before_the_last_frame_is_found() -> None:
    assert cuts(np.concatenate([shot(1, 5), shot(2, 1)])) == [5]


def test_one_shot_has_none() -> None:
    assert cuts(shot(1, 14)) == []
    assert cuts(np.full((6, 40, 60, 3), 90, np.uint8)) == []


def test_a_flash_is_no_cut() -> None:
    frames = shot(1, 12)
    frames[5] = 255
    assert cuts(frames) == []


@pytest.mark.parametrize("gain", [0.5, 1.6])
def test_a_jump_of_exposure_is_no_cut(gain: float) -> None:
    frames = shot(1, 12)
    frames[6:] = np.clip(frames[6:] * gain, 0, 255).astype(np.uint8)
    assert cuts(frames) == []


@pytest.mark.parametrize("speed", [10, 30])
def test_a_fast_pan_is_no_cut(speed: int) -> None:
    wide = texture(120, 700, 5)
    frames = [wide[:, t * speed : t * speed + 160] for t in range(12)]
    frames = [np.repeat(f[..., None], 3, axis=2) for f in frames]
    assert cuts(np.clip(np.stack(frames), 0, 255).astype(np.uint8)) == []


def test_a_fade_to_black_and_back_to_another_shot_is_a_cut() -> None:
    black = np.zeros((3, 120, 160, 3), np.uint8)
    found = cuts(np.concatenate([shot(1, 6), black, shot(2, 6)]))
    assert found
    assert set(found) <= {6, 9}
    assert 9 in found
