from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from seurat_tracks import fusion
from seurat_tracks.fusion import _inverse_diagonal, chain, linked_frames, solve
from seurat_tracks.windows import WindowPlan, plan_windows


def exact(plan: WindowPlan, curve: np.ndarray) -> np.ndarray:
    """Answers (W, N, K) of a network that makes no mistake."""
    there = np.maximum(plan.frames, 0)
    answer = np.moveaxis(curve[:, there] - curve[:, there[:, :1]], 0, 1)
    return np.where(plan.frames[:, None] >= 0, answer, 0.0)


@pytest.fixture
def curve(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 0.03, (7, 43)).cumsum(1)


def test_chain_follows_equation_9(curve: np.ndarray) -> None:
    plan = plan_windows(43)
    found = chain(plan, exact(plan, curve), 43)
    np.testing.assert_allclose(found, curve - curve[:, :1], atol=1e-12)


def test_chain_uses_the_index_of_the_next_start_only(curve: np.ndarray) -> None:
    plan = plan_windows(20, strides=(1,))
    answer = exact(plan, curve[:, :20])
    spoilt = answer.copy()
    spoilt[0, :, 5:] += 1.0  # frames 5.. of window 0: the next window has the say
    np.testing.assert_array_equal(
        chain(plan, answer, 20)[0], chain(plan, spoilt, 20)[0]
    )
    spoilt[0, :, 4] += 0.1  # the link to the next window
    moved = chain(plan, spoilt, 20) - chain(plan, answer, 20)
    np.testing.assert_allclose(moved[:, 4:], 0.1, atol=1e-12)


def test_chain_starts_anew_after_a_cut(curve: np.ndarray) -> None:
    plan = plan_windows(43, cuts=[17])
    found = chain(plan, exact(plan, curve), 43)
    assert linked_frames(plan, 43).tolist() == [0] * 17 + [1] * 26
    np.testing.assert_allclose(found[:, 17:], curve[:, 17:] - curve[:, 17:18])


def test_frames_without_a_window_between_them_are_not_linked() -> None:
    plan = plan_windows(30, strides=(1,))
    keep = np.isin(plan.start, [0, 4, 16])
    some = WindowPlan(plan.start[keep], plan.stride[keep], plan.frames[keep])
    group = linked_frames(some, 30)
    assert len(set(group[:12])) == len(set(group[16:24])) == 1
    assert len({group[0], group[12], group[15], group[16], group[29]}) == 5


def test_solve_recovers_exact_answers(
    curve: np.ndarray, rng: np.random.Generator
) -> None:
    plan = plan_windows(43)
    seen = rng.random((7, 43)) > 0.2
    reference = seen.argmax(1)
    answer = exact(plan, curve)
    found, sigma = solve(plan, answer, np.full_like(answer, -5.0), seen, reference)
    truth = curve - np.take_along_axis(curve, reference[:, None], 1)
    np.testing.assert_allclose(found, truth, atol=1e-3)
    assert (np.take_along_axis(sigma, reference[:, None], 1) == 0).all()
    assert (sigma >= 0).all()


def test_solve_withstands_a_wrong_window_that_chain_does_not(curve: np.ndarray) -> None:
    plan = plan_windows(43)
    answer = exact(plan, curve)
    wrong = np.flatnonzero((plan.stride == 1) & (plan.start == 16))[0]
    answer[wrong, :, 1:] += 0.5
    reference = np.zeros(7, int)
    seen = np.ones((7, 43), bool)
    found, _ = solve(plan, answer, np.full_like(answer, -4.0), seen, reference)
    truth = curve - curve[:, :1]
    chained = chain(plan, answer, 43)
    assert np.abs(chained - truth).max() > 0.4
    assert np.abs(found - truth).max() < 0.15


def test_sigma_grows_where_the_network_is_unsure_and_far_from_the_reference(
    curve: np.ndarray,
) -> None:
    plan = plan_windows(43)
    answer = exact(plan, curve)
    seen, reference = np.ones((7, 43), bool), np.zeros(7, int)
    sure = solve(plan, answer, np.full_like(answer, -5.0), seen, reference)[1]
    unsure = solve(plan, answer, np.full_like(answer, -3.0), seen, reference)[1]
    assert (unsure[:, 1:] > 2 * sure[:, 1:]).all()
    assert (sure[:, 40] > sure[:, 4]).all()


def test_sigma_has_a_part_that_averages_out_and_one_that_adds_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # one window whose pairs are all equally sure
    plan = plan_windows(8, strides=(1,))
    zero = np.zeros((1, 2, 8))
    arguments = (plan, zero, zero - 4.0, np.ones((2, 8), bool), np.zeros(2, int))
    monkeypatch.setattr(fusion, "SHARED_ERROR", 0.0)
    own = solve(*arguments)[1]
    assert np.ptp(own[:, 1:]) < 1e-6  # every frame is tied to the first as well
    monkeypatch.setattr(fusion, "SHARED_ERROR", 1.0)
    monkeypatch.setattr(fusion, "OWN_ERROR", 0.0)
    shared = solve(*arguments)[1]
    assert (np.diff(shared, axis=1) > 0).all()


def test_inverse_diagonal(rng: np.random.Generator) -> None:
    band = np.vstack([np.full(31, 12.0), rng.normal(size=(6, 31))])
    full = np.zeros((31, 31))
    for k in range(7):
        for t in range(31 - k):
            full[t + k, t] = full[t, t + k] = band[k, t]
    factor = scipy.linalg.cholesky_banded(band, lower=True)
    expected = np.diag(np.linalg.inv(full))
    np.testing.assert_allclose(_inverse_diagonal(factor), expected, rtol=1e-9)
