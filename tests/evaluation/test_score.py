from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.evaluation.rows import Case
from seurat_tracks.evaluation.score import Score, average, score

K = (500.0, 500.0, 320.0, 240.0)


@pytest.fixture
def case(rng: np.random.Generator) -> Case:
    z = rng.uniform(2, 4, (6, 10))
    visible = np.ones((6, 10), bool)
    xy = rng.uniform(10, 400, (6, 10, 2))
    ds = st.from_arrays(xy, visible, frame_size=(640, 480))
    return Case({"all": None, "two": np.arange(6) < 2}, "made up", ds, z, visible, K)


def _answer(
    monkeypatch: pytest.MonkeyPatch, ratio: np.ndarray, sigma: np.ndarray
) -> list[dict[str, Any]]:
    """Let the network give this answer; returns what it is asked."""
    asked = []

    def depth_ratio(ds: Any, **options: Any) -> Any:
        asked.append({"attrs": dict(ds.attrs), **options})
        dims = ("track", "time")
        return ds.assign(log_depth_ratio=(dims, ratio), depth_ratio_sigma=(dims, sigma))

    monkeypatch.setattr(st, "depth_ratio", depth_ratio, raising=False)
    return asked


def test_constant_depth_scores_one_in_every_row(case: Case) -> None:
    scores = score(case, method="constant")
    assert list(scores) == ["all", "two"]
    for row in scores.values():
        assert row.relative == pytest.approx(1)
        assert row.error == row.constant > 0
        assert np.isnan(row.inside_1)
    assert scores["all"].error != scores["two"].error


def test_rows_count_their_own_tracks(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = np.log(case.z / case.z[:, :1])
    wrong = np.where(np.arange(6)[:, None] < 2, truth, truth + 0.4 * (truth != 0))
    _answer(monkeypatch, wrong, np.full((6, 10), 0.25))
    scores = score(case)
    assert scores["two"].relative == pytest.approx(0, abs=1e-9)
    assert scores["two"].inside_1 == 1
    assert scores["all"].error == pytest.approx(0.4 * 4 / 6)
    assert scores["all"].inside_1 == pytest.approx(2 / 6)
    assert scores["all"].inside_2 == 1


def test_the_camera_is_told_only_when_asked_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _answer(monkeypatch, np.zeros((6, 10)), np.ones((6, 10)))
    score(case, model="mine", fuse="chain")
    score(case, intrinsics=True)
    blind = Case(case.rows, "no camera", case.ds, case.z, case.visible)
    score(blind, intrinsics=True)
    assert "intrinsics" not in asked[0]["attrs"]
    assert (asked[0]["model"], asked[0]["fuse"]) == ("mine", "chain")
    assert asked[1]["attrs"]["intrinsics"] == list(K)
    assert asked[1]["attrs"]["intrinsics_source"] == "given"
    assert "intrinsics" not in asked[2]["attrs"]


def test_error_bars_to_another_reference_frame_do_not_count(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = np.log(case.z / case.z[:, :1])
    answer = truth.copy()
    answer[0, 1:] += 9.0  # far outside, but the tracker saw this one later
    seen = case.visible.copy()
    seen[0, 0] = False
    late = Case(
        {"all": None},
        "late",
        case.ds.assign(visible=(("track", "time"), seen)),
        case.z,
        case.visible,
    )
    _answer(monkeypatch, answer, np.full((6, 10), 0.1))
    assert score(late)["all"].inside_2 == 1
    assert score(case)["all"].inside_2 == pytest.approx(5 / 6)


def test_density_reads_an_approach_over_a_plane(rng: np.random.Generator) -> None:
    z = np.broadcast_to(np.linspace(4, 3.5, 6), (60, 6))
    flat = rng.uniform(-1, 1, (60, 2))
    xy = flat[:, None] / z[..., None] * 500 + 240
    ds = st.from_arrays(xy, frame_size=(480, 480))
    case = Case({"drive": None}, "plane", ds, z, np.ones((60, 6), bool))
    assert score(case, method="density")["drive"].relative < 0.8


def test_depth_that_never_changes_has_no_ratio(case: Case) -> None:
    flat = Case({"all": None}, "flat", case.ds, np.ones((6, 10)), case.visible)
    only = score(flat, method="constant")["all"]
    assert (only.error, only.constant) == (0, 0)
    assert only.relative == np.inf


def test_unknown_method_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="density"):
        score(case, method="magic")  # type: ignore[arg-type]


def test_average_by_hand() -> None:
    one = Score(0.5, 0.1, 0.2, 0.6, 0.9)
    two = Score(3.0, 0.03, 0.01, float("nan"), float("nan"))
    mean = average([one, two])
    assert mean.relative == pytest.approx(1.75)
    assert mean.error == pytest.approx(0.065)
    assert (mean.inside_1, mean.inside_2, mean.cases) == (0.6, 0.9, 2)
    assert average([one, two], pooled=True).relative == pytest.approx(0.13 / 0.21)
    assert np.isnan(average([two]).inside_1)
