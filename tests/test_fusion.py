from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks import fusion
from seurat_tracks.fusion import RunningFit, chain, linked_frames, solve
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


def test_sigma_is_larger_where_windows_disagree(curve: np.ndarray) -> None:
    plan = plan_windows(43)
    answer = exact(plan, curve)
    noise = np.random.default_rng(0).normal(0, 0.05, answer[:, 3:5].shape)
    answer[:, 3:5] += noise
    scale = np.full_like(answer, -4.0)
    seen, reference = np.ones((7, 43), bool), np.zeros(7, int)
    sigma = solve(plan, answer, scale, seen, reference)[1]
    assert (sigma[3:5, 1:] > 2 * sigma[:3, 1:].max(0)).all()


def test_what_windows_disagree_by_is_held_against_what_they_say() -> None:
    factor = fusion.honest(np.array([1.0, 4.0, 0.0, 3.0]), np.array([1.0, 1, 1, 0]))
    assert factor[0] == pytest.approx(fusion.SIGMA_FACTOR)
    assert factor[1] == pytest.approx(fusion.SIGMA_FACTOR * 2**fusion.SIGMA_POWER)
    assert 0 < factor[2] < factor[0]
    assert factor[3] == factor[0]  # nothing is known of it


def test_sigma_of_what_rests_is_small(curve: np.ndarray) -> None:
    rest = np.concatenate([curve[:4], curve[4:] * 1e-6])
    plan = plan_windows(43)
    seen, reference = np.ones((7, 43), bool), np.zeros(7, int)
    answer = exact(plan, rest)
    sigma = solve(plan, answer, np.full_like(answer, -4.0), seen, reference)[1]
    share = sigma[4:, 1:] / sigma[0, 1:]
    np.testing.assert_allclose(share, fusion.LEAST_AT_REST)
    np.testing.assert_allclose(sigma[:4], sigma[:1].repeat(4, 0))


def test_sigma_rises_for_good_where_the_track_may_have_changed_its_object(
    curve: np.ndarray,
) -> None:
    plan = plan_windows(43)
    answer = exact(plan, curve)
    scale = np.full_like(answer, -4.0)
    seen, reference = np.ones((7, 43), bool), np.zeros(7, int)
    widening = np.zeros((7, 43))
    widening[3, 20] = 5.0
    sure = solve(plan, answer, scale, seen, reference)[1]
    doubted = solve(plan, answer, scale, seen, reference, widening)[1]
    np.testing.assert_allclose(doubted[3, 1:8], sure[3, 1:8], rtol=0.25)
    assert (doubted[3, 20:] > 5 * sure[3, 20:]).all()
    others = np.arange(7) != 3
    np.testing.assert_allclose(doubted[others], sure[others], rtol=1e-9)


def noisy(
    curve: np.ndarray, rng: np.random.Generator
) -> tuple[WindowPlan, np.ndarray, np.ndarray, np.ndarray]:
    """Answers that err, their scales, and what is seen."""
    plan = plan_windows(curve.shape[1], strides=(1, 2, 4))
    answer = exact(plan, curve)
    scale = rng.normal(-4, 0.5, answer.shape)
    answer = answer + np.exp(scale) * rng.normal(size=answer.shape)
    return plan, answer, scale, rng.random(curve.shape) > 0.1


def running(
    plan: WindowPlan,
    answer: np.ndarray,
    scale: np.ndarray,
    seen: np.ndarray,
    lag: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit while windows arrive, with a lag in blocks."""
    block, T = 28, seen.shape[1]
    fit = RunningFit(block)
    fit.add_tracks(seen.argmax(1))
    there = np.moveaxis(seen[:, np.maximum(plan.frames, 0)], 0, 1)
    last = plan.frames.max(1)
    parts, come = [], 0
    for now in range(block, T + block, block):
        now = min(now, T)
        new = (last >= come) & (last < now)
        fit.add_windows(
            plan.frames[new],
            answer[new],
            scale[new],
            there[new],
            np.zeros_like(answer[new], int),
        )
        come = now
        if now - fit.first >= (lag + 1) * block and now < T:
            parts.append(fit.finish(now)[1:])
    parts.append(fit.flush(T)[1:])
    curve, sigma = (np.concatenate(p, 1) for p in zip(*parts, strict=True))
    return curve, sigma


def test_a_running_fit_is_the_whole_fit_while_all_blocks_are_open(
    rng: np.random.Generator,
) -> None:
    curve = rng.normal(0, 0.03, (5, 150)).cumsum(1)
    plan, answer, scale, seen = noisy(curve, rng)
    whole, spread = solve(plan, answer, scale, seen, seen.argmax(1))
    found, sigma = running(plan, answer, scale, seen, 10)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    some = spread > 0
    np.testing.assert_allclose(sigma[some], spread[some], rtol=1e-5)


def test_a_running_fit_that_closes_blocks_stays_near_the_whole_fit(
    rng: np.random.Generator,
) -> None:
    curve = rng.normal(0, 0.03, (5, 400)).cumsum(1)
    plan, answer, scale, seen = noisy(curve, rng)
    whole, _ = solve(plan, answer, scale, seen, seen.argmax(1))
    far = np.abs(running(plan, answer, scale, seen, 1)[0] - whole)
    farther = np.abs(running(plan, answer, scale, seen, 2)[0] - whole)
    error = np.abs(whole - (curve - curve[:, :1]))[:, 200:].mean()
    assert far.mean() < 0.1 * error
    assert farther.mean() <= far.mean()


def test_a_running_fit_without_robust_rounds_is_exact_at_its_end(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "ROUNDS", 1)
    curve = rng.normal(0, 0.03, (5, 400)).cumsum(1)
    plan, answer, scale, seen = noisy(curve, rng)
    whole, spread = solve(plan, answer, scale, seen, seen.argmax(1))
    found, sigma = running(plan, answer, scale, seen, 1)
    # what closed blocks say is kept without loss: the last blocks know all
    np.testing.assert_allclose(found[:, -28:], whole[:, -28:], atol=1e-5)
    # closed windows keep the disagreement that they had when they were closed
    np.testing.assert_allclose(sigma[:, -28:], spread[:, -28:], rtol=5e-3)


def test_tracks_come_and_go_in_a_running_fit(rng: np.random.Generator) -> None:
    curve = rng.normal(0, 0.03, (5, 84)).cumsum(1)
    plan, answer, scale, seen = noisy(curve, rng)
    there = np.moveaxis(seen[:, plan.frames], 0, 1)
    early = plan.frames.max(1) < 56
    piece = np.zeros_like(answer, int)
    fit = RunningFit(28)
    fit.add_tracks(np.zeros(3, int))
    fit.add_windows(
        plan.frames[early],
        *(a[early][:, :3] for a in (answer, scale, there, piece)),
    )
    first, found, _ = fit.finish(56)
    assert first == 0
    assert found.shape == (3, 28)
    fit.add_tracks(np.array([60, 61]))
    fit.keep_tracks(np.array([True, False, True, True, True]))
    kept = np.array([0, 2, 3, 4])
    late = ~early & (plan.start >= 28)
    fit.add_windows(
        plan.frames[late],
        *(a[late][:, kept] for a in (answer, scale, there, piece)),
    )
    first, found, sigma = fit.flush(84)
    assert first == 28
    assert found.shape == sigma.shape == (4, 56)
    assert np.isfinite(found).all()
    assert np.isfinite(sigma).all()
    truth = curve[kept, 28:] - curve[kept, [0, 0, 60, 61]][:, None]
    assert np.abs(found[2:, 32:] - truth[2:, 32:]).max() < 0.1
    assert np.abs(found[:2] - truth[:2]).max() < 0.15


def test_a_window_longer_than_a_block_is_refused(rng: np.random.Generator) -> None:
    curve = rng.normal(0, 0.03, (2, 64)).cumsum(1)
    plan = plan_windows(64, strides=(8,))
    answer = exact(plan, curve)
    fit = RunningFit(28)
    fit.add_tracks(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"56 frames.*block of 28"):
        fit.add_windows(plan.frames, answer, answer, answer > -1, answer)
