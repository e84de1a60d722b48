from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from seurat_tracks.errors import SchemaError
from seurat_tracks.evaluation.align import SCALINGS, align
from seurat_tracks.evaluation.metrics import metric_intrinsics, tapvid3d_metrics
from seurat_tracks.evaluation.videos import AXES
from tests.fixtures.tapvid3d_cases import CASES, NAMES, RECORDED, Case, make_case

K = (200.0, 200.0, 128.0, 128.0)
"""At depth 2 the tolerances are 0.01, 0.02, 0.04, 0.08 and 0.16."""


def ask_ours(case: Case) -> dict[str, Any]:
    batched = "video" in case.axes
    return tapvid3d_metrics(
        case.ordered(case.gt_xyz),
        case.ordered(case.gt_visible),
        case.ordered(case.pred_xyz),
        case.ordered(case.pred_visible),
        case.intrinsics,
        case.query_frame if batched else case.query_frame[0],
        scaling=case.scaling,
        axes=case.axes,
        per=case.per,  # type: ignore[arg-type]
        fixed_thresholds=case.fixed_thresholds,
    )


def test_equal_to_the_official_code() -> None:
    """2,400 cases: every scaling in every order of axes, and every odd one."""
    with np.load(RECORDED) as recorded:
        answers, counts = recorded["answers"], recorded["counts"].astype(int)
        checksums = recorded["checksums"]
    assert len(counts) == CASES
    seen, hidden, empty = set(), 0, 0
    for index, (end, count) in enumerate(zip(np.cumsum(counts), counts, strict=True)):
        case = make_case(index)
        assert case.checksum == checksums[index], f"case {index} is another one"
        found = ask_ours(case)
        ours = np.stack([np.ravel(found[name]) for name in NAMES])
        np.testing.assert_allclose(
            ours,
            answers[:, end - count : end],
            rtol=0,
            atol=1e-9,
            err_msg=f"case {index}: {case.scaling}, {case.axes}, {case.per}",
        )
        seen.add((case.scaling, case.axes))
        empty += case.gt_visible.size == 0
        hidden += bool((~case.gt_visible.any(-1)).any())
    assert {scaling for scaling, _ in seen} == set(SCALINGS) - {"affine"}
    assert {axes for _, axes in seen} == set(AXES)
    assert len(seen) == 6 * 4 + 2  # neighbourhoods take no batch
    assert empty > 100
    assert hidden > 100


def _one_track(away: list[float], visible: list[int], answered: list[int]) -> Any:
    """A track at depth 2 whose prediction is off to the right by so many metres."""
    gt_xyz = np.tile([0.0, 0, 2], (1, len(away), 1))
    pred_xyz = gt_xyz + np.array(away)[None, :, None] * [1, 0, 0]
    flags = (np.array([f], bool) for f in (visible, answered))
    return gt_xyz, next(flags), pred_xyz, next(flags)


def test_by_hand() -> None:
    arrays = _one_track(
        away=[0, 0.015, 0.03, 0, 0.5],
        visible=[1, 1, 1, 1, 0],
        answered=[1, 1, 1, 0, 1],
    )
    found = tapvid3d_metrics(*arrays, K, scaling="none")
    within = np.array([2, 3, 4, 4, 4]) / 4
    # true positives over (4 truly visible + answers that are not right)
    jaccard = np.array([1 / (4 + 3), 2 / (4 + 2), 3 / (4 + 1), 3 / 5, 3 / 5])
    assert [found[f"pts_within_{d}"] for d in (1, 2, 4, 8, 16)] == within.tolist()
    assert [found[f"jaccard_{d}"] for d in (1, 2, 4, 8, 16)] == pytest.approx(jaccard)
    assert found["average_pts_within_thresh"] == pytest.approx(within.mean())
    assert found["average_jaccard"] == pytest.approx(jaccard.mean())
    assert found["occlusion_accuracy"] == pytest.approx(3 / 5)


def test_observations_that_do_not_count() -> None:
    whole = _one_track([0, 0.015, 0.03], [1, 1, 1], [1, 1, 1])
    part = _one_track([0, 0.03], [1, 1], [1, 1])
    counted = np.array([[True, False, True]])
    assert tapvid3d_metrics(*whole, K, counted=counted, scaling="none") == (
        tapvid3d_metrics(*part, K, scaling="none")
    )
    query = np.array([0])
    assert tapvid3d_metrics(
        *whole, K, query, counted=counted, scaling="local_neighborhood"
    ) == tapvid3d_metrics(*part, K, query, scaling="local_neighborhood")
    with pytest.raises(SchemaError, match=r"counted has shape \(3,\)"):
        tapvid3d_metrics(*whole, K, counted=counted[0])


@pytest.fixture
def tracks(rng: np.random.Generator) -> dict[str, Any]:
    gt_xyz = rng.normal(0, 0.5, (7, 9, 3)) + np.array([0, 0, 3])
    return {
        "gt_xyz": gt_xyz,
        "gt_visible": rng.random((7, 9)) < 0.8,
        "pred_xyz": gt_xyz,
        "pred_visible": rng.random((7, 9)) < 0.8,
        "query_frame": rng.integers(0, 9, 7),
    }


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_perfect_answer_at_another_scale(
    tracks: dict[str, Any], scaling: str
) -> None:
    factor = 1.0 if scaling == "none" else 3.7
    tracks["pred_xyz"] = factor * tracks["gt_xyz"]
    np.testing.assert_allclose(align(**tracks, scaling=scaling), tracks["gt_xyz"])
    tracks["pred_visible"] = tracks["gt_visible"]
    found = tapvid3d_metrics(**tracks, intrinsics=K, scaling=scaling)
    assert set(found.values()) == {1.0} or scaling == "local_neighborhood"
    assert found["average_pts_within_thresh"] == 1


def test_what_each_scaling_forgives(tracks: dict[str, Any]) -> None:
    true = tracks["gt_xyz"]
    scale = 1 + np.arange(7)[:, None, None]
    right = {
        "per_trajectory": true * scale,  # each track at its own scale
        "reproduce_2d": true * (1 + np.arange(63).reshape(7, 9, 1)),
        "affine": true * ((2 * true[..., 2:] + 3) / true[..., 2:]),
    }
    for pred_xyz in right.values():
        for scaling in ("median", "mean", "median_on_queries", "none"):
            aligned = align(**tracks | {"pred_xyz": pred_xyz}, scaling=scaling)
            assert np.abs(aligned - true).max() > 0.1
    for scaling, pred_xyz in right.items():
        aligned = align(**tracks | {"pred_xyz": pred_xyz}, scaling=scaling)
        np.testing.assert_allclose(aligned, true)


def test_affine_is_least_squares_of_depth(
    rng: np.random.Generator, tracks: dict[str, Any]
) -> None:
    pred = tracks["gt_xyz"] * rng.uniform(0.5, 2, (7, 9, 1))
    pred[0, 0] = np.nan
    tracks["pred_xyz"] = pred
    aligned = align(**tracks, scaling="affine")
    use = tracks["gt_visible"] & tracks["pred_visible"] & np.isfinite(pred[..., 2])
    x, y = pred[..., 2][use], tracks["gt_xyz"][..., 2][use]
    a, b = np.linalg.lstsq(np.column_stack([x, np.ones_like(x)]), y, rcond=None)[0]
    np.testing.assert_allclose(aligned[..., 2], a * pred[..., 2] + b)
    # along the rays: the place in the image stays
    np.testing.assert_allclose(
        aligned[..., :2] / aligned[..., 2:], pred[..., :2] / pred[..., 2:]
    )


def test_affine_of_one_depth_for_all(tracks: dict[str, Any]) -> None:
    tracks["pred_xyz"] = tracks["gt_xyz"] / tracks["gt_xyz"][..., 2:]
    aligned = align(**tracks, scaling="affine")
    use = tracks["gt_visible"] & tracks["pred_visible"]
    mean = tracks["gt_xyz"][..., 2][use].mean()
    np.testing.assert_allclose(aligned[..., 2], mean)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("axes", AXES)
def test_orders_of_axes(tracks: dict[str, Any], scaling: str, axes: str) -> None:
    names = ("gt_xyz", "gt_visible", "pred_xyz", "pred_visible")
    tracks["pred_xyz"] = tracks["pred_xyz"] * 1.01
    expected = tapvid3d_metrics(**tracks, intrinsics=K, scaling=scaling, per="track")
    aligned = align(**tracks, scaling=scaling)
    other = dict(tracks)
    for name in names:
        array = tracks[name]
        array = array.swapaxes(0, 1) if "time track" in axes else array
        other[name] = np.stack([array, array]) if "video" in axes else array
    if "video" in axes:
        other["query_frame"] = np.stack([tracks["query_frame"]] * 2)
    found = tapvid3d_metrics(
        **other, intrinsics=K, scaling=scaling, per="track", axes=axes
    )
    for name, value in expected.items():
        both = np.stack([value, value]) if "video" in axes else value
        np.testing.assert_array_equal(found[name], both)
    moved = align(**other, scaling=scaling, axes=axes)
    assert moved.shape == other["pred_xyz"].shape
    moved = moved[1] if "video" in axes else moved
    moved = moved.swapaxes(0, 1) if "time track" in axes else moved
    np.testing.assert_array_equal(moved, aligned)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_no_tracks_and_nothing_visible(tracks: dict[str, Any], scaling: str) -> None:
    hidden = tracks | {"gt_visible": np.zeros((7, 9), bool)}
    found = tapvid3d_metrics(**hidden, intrinsics=K, scaling=scaling)
    assert np.isnan(found["average_pts_within_thresh"])
    none = {name: array[:0] for name, array in tracks.items()}
    for per in ("video", "track"):
        empty = tapvid3d_metrics(
            **none,
            intrinsics=K,
            scaling=scaling,
            per=per,  # type: ignore[arg-type]
        )
        assert np.isnan(empty["average_jaccard"]).all()
        assert np.shape(empty["jaccard_1"]) == (() if per == "video" else (0,))


def test_tolerances_are_those_of_a_small_image() -> None:
    camera = metric_intrinsics((1000, 1100, 640, 360), (1280, 720))
    np.testing.assert_allclose(camera, np.array([1000, 1100, 640, 360]) * 256 / 720)


def test_misfits_are_named(tracks: dict[str, Any]) -> None:
    def fails(match: str, **changed: Any) -> None:
        with pytest.raises(SchemaError, match=match):
            tapvid3d_metrics(**{"intrinsics": K, **tracks, **changed})

    fails("scaling is 'best'; give one of", scaling="best")
    fails("axes is 'n t'; give one of", axes="n t")
    fails('give "video" or "track"', per="frame")
    fails(r"gt_visible has shape \(9, 7\)", gt_visible=tracks["gt_visible"].T)
    fails(r"pred_xyz has shape \(7, 9, 2\)", pred_xyz=tracks["pred_xyz"][..., :2])
    fails("gt_xyz has shape .* expected .video, track", axes="video track time")
    fails("threshold probabilities", pred_visible=np.full((7, 9), 0.3))
    fails("needs query_frame", query_frame=None, scaling="per_trajectory")
    fails(r"query_frame has shape \(9,\)", query_frame=np.arange(9))
    fails("1 lie outside the 9 frames", query_frame=np.arange(3, 10))
    fails(r"intrinsics has shape \(3, 3\)", intrinsics=np.eye(3))


def test_numpy_alone_is_loaded() -> None:
    code = (
        "import sys, seurat_tracks.evaluation.metrics, "
        "seurat_tracks.evaluation.stability; "
        "print(sorted({'torch', 'cv2', 'scipy', 'dask'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"
