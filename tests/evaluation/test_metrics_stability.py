from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.evaluation.stability import scale_drift, temporal_coherence


@pytest.fixture
def true_xyz(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 0.5, (6, 20, 3)) + np.array([0, 0, 3])


def test_coherence_ignores_what_moves_evenly(true_xyz: np.ndarray) -> None:
    visible = np.ones((6, 20), bool)
    even = true_xyz + [1, 2, 3] + np.arange(20)[:, None] * [0.1, 0, -0.2]
    assert temporal_coherence(true_xyz, visible, even) == pytest.approx(0, abs=1e-12)


def test_coherence_by_hand() -> None:
    true = np.zeros((2, 5, 3))
    visible = np.ones((2, 5), bool)
    visible[1, 2] = False  # no three frames in a row
    guess = true.copy()
    guess[0, 2] = [3, 0, 4]  # 5 away: accelerations 5, 10, 5
    guess[1] = 100
    assert temporal_coherence(true, visible, guess) == pytest.approx(20 / 3)
    per_track = temporal_coherence(true, visible, guess, per="track")
    np.testing.assert_allclose(per_track, [20 / 3, np.nan])
    guess[0, 4] = np.nan  # no answer: what is left is 5 and 10
    assert temporal_coherence(true, visible, guess) == pytest.approx(7.5)
    # only frames 0, 1, 2 and 1, 2, 3 are neighbours
    frames = [0, 1, 2, 3, 9]
    guess[0, 4] = 0
    found = temporal_coherence(true, visible, guess, frames=frames)
    assert found == pytest.approx(7.5)
    swapped = temporal_coherence(
        true.swapaxes(0, 1), visible.T, guess.swapaxes(0, 1), axes="time track"
    )
    assert swapped == pytest.approx(20 / 3)


@pytest.mark.parametrize("stride", [1, 3])
def test_drift_of_an_exponential(
    rng: np.random.Generator, true_xyz: np.ndarray, stride: int
) -> None:
    frames = 40 + stride * np.arange(20)
    rates = np.array([0.3, -0.2, 0.0, 0.1, 0.5, 0.5])
    scale = rng.uniform(0.2, 5, (6, 1)) * np.exp(rates[:, None] * frames / 100)
    visible = rng.random((6, 20)) < 0.8
    visible[5] = np.arange(20) == 4
    guess = true_xyz * scale[..., None]
    found = scale_drift(true_xyz, visible, guess, per="track", frames=frames)
    np.testing.assert_allclose(found, [*rates[:5], np.nan], atol=1e-9)
    even = true_xyz * np.exp(0.2 * frames / 100)[:, None] * scale[:, :1, None]
    video = scale_drift(true_xyz, visible, even, frames=frames)
    assert video == pytest.approx(0.2)


def test_drift_of_a_video_is_one_slope_for_all(
    rng: np.random.Generator, true_xyz: np.ndarray
) -> None:
    visible = rng.random((6, 20)) < 0.7
    guess = true_xyz * rng.uniform(0.5, 2, (6, 20, 1))
    guess[2, 3] *= -1  # behind the camera: no logarithm, and it does not count
    guess[4, 5] = np.nan
    use = visible & (guess[..., 2] > 0)
    track, frame = use.nonzero()
    design = np.column_stack([frame, track[:, None] == np.arange(6)])
    error = np.log(guess[use][:, 2] / true_xyz[use][:, 2])
    slope = np.linalg.lstsq(design.astype(float), error, rcond=None)[0][0]
    assert scale_drift(true_xyz, visible, guess) == pytest.approx(100 * slope)


def test_nothing_to_measure_is_nan(true_xyz: np.ndarray) -> None:
    hidden = np.zeros((6, 20), bool)
    assert np.isnan(temporal_coherence(true_xyz, hidden, true_xyz))
    assert np.isnan(scale_drift(true_xyz, hidden, true_xyz))
    short = slice(0, 2)
    two = np.ones((6, 2), bool)
    assert np.isnan(temporal_coherence(true_xyz[:, short], two, true_xyz[:, short]))
