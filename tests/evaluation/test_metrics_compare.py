from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.errors import SchemaError
from seurat_tracks.evaluation.align import SCALINGS, align
from seurat_tracks.evaluation.compare import MEANINGS, evaluate
from seurat_tracks.evaluation.metrics import metric_intrinsics, tapvid3d_metrics
from seurat_tracks.evaluation.ratio import log_ratio_error
from seurat_tracks.evaluation.stability import scale_drift, temporal_coherence
from seurat_tracks.io.truth import build_truth

SIZE = (320, 240)
K = (260.0, 262.0, 160.0, 119.0)
N, T = 8, 15


@pytest.fixture
def truth(rng: np.random.Generator) -> xr.Dataset:
    xy = rng.uniform([100, 80], [220, 160], (N, 1, 2))
    xy = xy + rng.normal(0, 1, (N, T, 2)).cumsum(1)
    z = rng.uniform(2, 4, (N, 1)) * np.exp(rng.normal(0, 0.02, (N, T)).cumsum(1))
    xyz = np.concatenate([(xy - K[2:]) / K[:2] * z[..., None], z[..., None]], -1)
    visible = rng.random((N, T)) < 0.8
    visible[3] = False
    return build_truth(
        xyz,
        visible,
        frame_size=SIZE,
        intrinsics=K,
        query_frame=10 + rng.integers(0, T, N),
        source="a test",
        ids=[f"p{i}" for i in range(N)],
        time=10 + np.arange(T),
    )


@pytest.fixture
def lifted(rng: np.random.Generator, truth: xr.Dataset) -> xr.Dataset:
    """An answer at another scale, in another order, with things nobody asked for."""
    noise = rng.normal(0, 0.01, (N, T, 3)).astype(np.float32)
    ds = truth.assign(
        xyz=0.4 * (truth.xyz + noise),
        visible=(("track", "time"), rng.random((N, T)) < 0.8),
    )
    other = ds.isel(track=[0]).assign_coords(track=["other"])
    return xr.concat([ds.isel(track=slice(None, None, -1)), other], "track")


def test_equal_to_the_arrays(truth: xr.Dataset, lifted: xr.Dataset) -> None:
    scores = evaluate(lifted, truth, scaling=list(SCALINGS))
    asked = lifted.sel(track=truth.track)
    arrays = (
        truth.xyz.values,
        truth.visible.values,
        asked.xyz.values,
        asked.visible.values,
    )
    query = truth.query_frame.values - 10
    camera = metric_intrinsics(K, SIZE)
    for name in SCALINGS:
        one = scores.sel(scaling=name)
        pers: list[Any] = [("video", "video_"), ("track", "")]
        for per, prefix in pers:
            found = tapvid3d_metrics(*arrays, camera, query, scaling=name, per=per)
            for ours, theirs in (
                ("average_jaccard", "average_jaccard"),
                ("average_pts_within", "average_pts_within_thresh"),
                ("occlusion_accuracy", "occlusion_accuracy"),
            ):
                np.testing.assert_array_equal(one[prefix + ours], found[theirs])
            for delta in (1, 2, 4, 8, 16):
                at = one.sel(threshold=delta)
                for key in ("jaccard", "pts_within"):
                    np.testing.assert_array_equal(
                        at[prefix + key], found[f"{key}_{delta}"]
                    )
            aligned = align(*arrays, query, scaling=name)
            np.testing.assert_array_equal(
                one[prefix + "temporal_coherence"],
                temporal_coherence(*arrays[:2], aligned, per=per),
            )
    assert 0.2 < float(scores.video_average_jaccard.sel(scaling="median")) < 0.9
    np.testing.assert_allclose(
        scores.scale_drift, scale_drift(*arrays[:3], per="track")
    )
    ratio = log_ratio_error(
        np.log(asked.xyz.values[..., 2]), truth.depth.values, truth.visible.values
    )
    assert float(scores.video_log_ratio_error) == pytest.approx(ratio.error, rel=1e-6)
    assert float(scores.video_log_ratio_error_constant) == pytest.approx(
        ratio.constant, rel=1e-6
    )
    assert np.isnan(scores.log_ratio_error.sel(track="p3"))  # never visible
    assert np.isfinite(scores.log_ratio_error.sel(track="p4"))


def test_shape_and_words(truth: xr.Dataset, lifted: xr.Dataset) -> None:
    one = evaluate(lifted, truth)
    assert set(one.data_vars) == {p + n for p in ("", "video_") for n in MEANINGS}
    assert one.scaling.item() == "median"
    assert one.average_jaccard.sizes == {"track": N}
    assert one.jaccard.sizes == {"threshold": 5, "track": N}
    assert one.video_average_jaccard.sizes == {}
    assert one.temporal_coherence.attrs["units"] == "m/frame^2"
    assert "median (one factor a video" in one.attrs["protocol"]
    # sqrt(260 * 262) * 256 / 240
    assert "is 278.398 px at a shorter side of 256" in one.attrs["protocol"]
    assert one.attrs["visible"] == int(truth.visible.sum())
    several = evaluate(lifted, truth, scaling=["median"])
    assert several.average_jaccard.sizes == {"scaling": 1, "track": N}
    assert several.isel(scaling=0).equals(one)
    fixed = evaluate(lifted, truth.drop_attrs(), fixed_thresholds=True)
    assert fixed.threshold.values.tolist() == [0.01, 0.04, 0.16, 0.64, 2.56]
    assert "m at any depth" in fixed.attrs["protocol"]


def test_visible_points_without_a_true_position_do_not_count(
    truth: xr.Dataset, lifted: xr.Dataset
) -> None:
    unknown = truth.copy(deep=True)
    t = int(truth.visible.values[2].argmax())
    unknown["xyz"][2, t] = np.nan
    hidden = truth.copy(deep=True)
    hidden["visible"][2, t] = False
    silent = lifted.copy(deep=True)
    silent["visible"].loc[{"track": "p2", "time": 10 + t}] = False
    found = evaluate(lifted, unknown, scaling="none")
    expected = evaluate(silent, hidden, scaling="none")
    assert found.attrs["observations"] == N * T - 1
    for name in ("average_jaccard", "average_pts_within", "temporal_coherence"):
        xr.testing.assert_allclose(found[name], expected[name])


def test_lazy_answers(truth: xr.Dataset, lifted: xr.Dataset) -> None:
    lazy = lifted.chunk({"track": 3})
    assert evaluate(lazy, truth).equals(evaluate(lifted, truth))


def test_everything_missing_is_named(truth: xr.Dataset, lifted: xr.Dataset) -> None:
    with pytest.raises(SchemaError, match="the tracks have no xyz: call ds"):
        evaluate(lifted.drop_vars("xyz"), truth)
    few = lifted.isel(track=slice(3, None), time=slice(1, None))
    with pytest.raises(
        SchemaError, match=r"2 of 6 tracks .*'p5'.*1 of 15 frames .*first: 10"
    ):
        evaluate(few.drop_sel(track="p3"), truth.drop_sel(track=["p6", "p3"]))
    blind = truth.drop_vars("query_frame")
    del blind.attrs["intrinsics"]
    with pytest.raises(SchemaError, match=r"'intrinsics'.*'per_trajectory' needs"):
        evaluate(lifted, blind, scaling="per_trajectory")
    late = truth.isel(time=slice(12, None))
    with pytest.raises(SchemaError, match="every query_frame among"):
        evaluate(lifted, late, scaling="median_on_queries")
    assert np.isfinite(evaluate(lifted, late).video_average_jaccard)
    with pytest.raises(SchemaError, match="'best' is not one of"):
        evaluate(lifted, truth, scaling=["median", "best"])
    with pytest.raises(SchemaError, match="no scaling is given"):
        evaluate(lifted, truth, scaling=[])
