from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.evaluation.ratio import coverage, log_ratio_error


def test_a_perfect_answer_to_any_reference(rng: np.random.Generator) -> None:
    z = rng.uniform(1, 3, (5, 9))
    visible = rng.random((5, 9)) > 0.3
    score = log_ratio_error(np.log(z) + rng.normal(size=(5, 1)), z, visible)
    assert score.error == pytest.approx(0, abs=1e-12)
    assert score.relative == pytest.approx(0, abs=1e-12)


def test_no_answer_counts_as_constant(rng: np.random.Generator) -> None:
    z = rng.uniform(1, 3, (5, 9))
    visible = np.ones((5, 9), bool)
    assert log_ratio_error(np.zeros((5, 9)), z, visible).relative == pytest.approx(1)
    none = np.full((5, 9), np.nan)
    assert log_ratio_error(none, z, visible).relative == pytest.approx(1)


def test_by_hand() -> None:
    z = np.array([[9.0, 1.0, np.e, np.e**2], [1, 1, 1, 1], [2, 2, 2, 2]])
    visible = np.array([[0, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], bool)
    guess = np.array([[7.0, 5.0, 6.5, 6.0], [0, 0, 0, 0], [0, 0.3, 0, 0]])
    score = log_ratio_error(guess, z, visible)
    assert score.observations == 3
    assert score.error == pytest.approx((0.5 + 1.0 + 0.3) / 3)
    assert score.constant == pytest.approx((1 + 2 + 0) / 3)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="two frames"):
        log_ratio_error(np.zeros((2, 3)), np.ones((2, 3)), np.eye(2, 3, dtype=bool))


def test_coverage_by_hand() -> None:
    z = np.exp(np.array([[0.0, 0.1, 0.2, 0.3], [0, 0, 0, 0]]))
    visible = np.array([[1, 1, 1, 1], [0, 1, 1, 0]], bool)
    guess = np.array([[5.0, 5.1, 5.35, np.nan], [9, 0, -0.15, 9]])
    sigma = np.array([[0, 0.01, 0.1, 9], [0, 0, 0.1, 9]])
    # errors 0, 0.15, unknown; -0.15; each track's first frame does not count
    assert coverage(guess, sigma, z, visible) == pytest.approx(1 / 3)
    assert coverage(guess, sigma, z, visible, 2.0) == 1
    assert np.isnan(coverage(guess, np.full((2, 4), np.nan), z, visible))


def test_coverage_of_normal_errors(rng: np.random.Generator) -> None:
    z = rng.uniform(1, 3, (200, 50))
    sigma = rng.uniform(0.01, 0.2, z.shape)
    sigma[:, 0] = 0
    guess = np.log(z) + sigma * rng.normal(size=z.shape)
    seen = np.ones(z.shape, bool)
    assert coverage(guess, sigma, z, seen) == pytest.approx(0.683, abs=0.02)
    assert coverage(guess, sigma, z, seen, 2.0) == pytest.approx(0.954, abs=0.01)
