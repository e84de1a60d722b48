from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.depth import Constant, DepthMaps, DepthModel
from seurat_tracks.errors import DepthError, SeuratTracksError
from seurat_tracks.evaluation.baselines import METHODS, fill_in_time, lift_by, own_start
from seurat_tracks.evaluation.expansion import expansion_ratio
from seurat_tracks.io.truth import build_truth, true_tracks
from tests.fixtures.depth_models import Counting, clip

SIZE = (320, 240)
K = (300.0, 300.0, 159.5, 119.5)
N, T = 40, 12


@pytest.fixture
def truth(rng: np.random.Generator) -> xr.Dataset:
    """Points of a wall that faces the camera and comes nearer, some seen late."""
    z = np.linspace(4.0, 2.5, T)
    start = rng.uniform([-1, -0.8], [1, 0.8], (N, 2))
    xyz = np.empty((N, T, 3))
    xyz[..., :2] = start[:, None]
    xyz[..., 2] = z
    visible = np.ones((N, T), bool)
    visible[:6, :4] = False
    visible[7, 5:8] = False
    visible[8, -2:] = False
    inside = np.abs(xyz[..., :2] / xyz[..., 2:]) < [0.5, 0.37]
    visible &= inside.all(-1)
    visible[:, 0] |= ~visible.any(1)
    return build_truth(
        xyz,
        visible,
        frame_size=SIZE,
        intrinsics=K,
        query_frame=visible.argmax(1),
        source="a test",
        ids=[f"p{i}" for i in range(N)],
    )


@pytest.fixture
def tracks(truth: xr.Dataset) -> xr.Dataset:
    return true_tracks(truth)


def _true_ratio(truth: xr.Dataset) -> np.ndarray:
    z = truth.depth.values.astype(float)
    first = truth.visible.values.argmax(1)
    return np.log(z / z[np.arange(N), first][:, None])


def _seen(truth: xr.Dataset) -> np.ndarray:
    return truth.visible.values


def test_every_method_answers_alike(truth: xr.Dataset, tracks: xr.Dataset) -> None:
    maps = np.broadcast_to(np.linspace(4, 2.5, T)[:, None, None], (T, 24, 32))
    needs = {
        "frame_depth": {"depth": DepthMaps(maps)},
        "video_depth": {"depth": maps},
        "oracle_depth": {"truth": truth},
    }
    for method in METHODS:
        if method == "seurat":
            continue
        out = lift_by(tracks, method, **needs.get(method, {}))
        assert out.attrs["method"] == method
        assert out.log_depth_ratio.dims == ("track", "time")
        assert out.xyz.dims == ("track", "time", "axis")
        assert out.xyz.dtype == out.log_depth_ratio.dtype == np.float32
        seen = _seen(truth)
        assert np.isfinite(out.xyz.values[seen]).all()
        np.testing.assert_array_equal(
            out.reference_frame.values, _seen(truth).argmax(1)
        )
        at_reference = out.log_depth_ratio.values[np.arange(N), seen.argmax(1)]
        np.testing.assert_allclose(at_reference, 0, atol=1e-6)
        assert out.track.values.tolist() == tracks.track.values.tolist()


def test_seurat_is_the_lift(tracks: xr.Dataset) -> None:
    from seurat_tracks.lift import lift3d

    expected = lift3d(tracks, model="small")
    found = lift_by(tracks, "seurat", model="small")
    xr.testing.assert_equal(found, expected)


def test_constant(truth: xr.Dataset, tracks: xr.Dataset) -> None:
    out = lift_by(tracks, "constant", depth=Constant(3.0))
    np.testing.assert_allclose(out.depth.values[_seen(truth)], 3.0)
    assert out.attrs["units"] == "m"
    relative = lift_by(tracks, "constant")
    np.testing.assert_allclose(relative.depth.values[_seen(truth)], 1.0)
    assert relative.attrs["units"].startswith("relative")


@pytest.mark.parametrize(("method", "most"), [("density", 0.5), ("affine", 1e-3)])
def test_a_wall_that_comes_nearer(
    truth: xr.Dataset, tracks: xr.Dataset, method: str, most: float
) -> None:
    out = lift_by(tracks, method)
    seen = _seen(truth)
    error = np.abs(out.log_depth_ratio.values - _true_ratio(truth))[seen]
    constant = np.abs(_true_ratio(truth))[seen]
    assert error.mean() < most * constant.mean()


def test_expansion_is_not_misled_by_outliers_or_rotation(
    rng: np.random.Generator,
) -> None:
    points = rng.uniform(-50, 50, (30, 2))
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    xy = np.stack([points, 1.25 * points @ turn.T], 1)
    xy[:3, 1] += rng.uniform(100, 200, (3, 2))
    ratio = expansion_ratio(xy, np.ones((30, 2), bool))[3:, 1]
    np.testing.assert_allclose(np.log(ratio), -np.log(1.25), atol=0.01)


def test_expansion_where_there_is_nothing_to_compare(rng: np.random.Generator) -> None:
    xy = rng.uniform(0, 50, (4, 3, 2))
    visible = np.ones((4, 3), bool)
    visible[1:, 2] = False
    visible[3, 0] = False
    ratio = expansion_ratio(xy, visible)
    assert np.isnan(ratio[3]).all()
    assert np.isnan(ratio[:, 2]).all()
    same_place = expansion_ratio(np.ones((3, 2, 2)), np.ones((3, 2), bool))
    assert np.isnan(same_place).all()
    assert np.isnan(expansion_ratio(xy[:1], visible[:1])).all()


def test_each_track_starts_where_it_is_first_seen() -> None:
    visible = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], bool)
    asked = []

    def formula(xy: np.ndarray, seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
        asked.append((seen.shape, rows.tolist()))
        answer = np.full((len(rows), seen.shape[1]), np.e)
        answer[:, -1] = np.nan
        return answer

    out = own_start(np.zeros((4, 4, 2)), visible, formula)
    assert asked == [((1, 4), [0]), ((2, 3), [1]), ((3, 2), [2])]
    np.testing.assert_allclose(
        out[:3], [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], atol=1e-7
    )
    assert np.isnan(out[3]).all()


def test_holes_are_filled_in_time() -> None:
    nan = np.nan
    rows = np.array([[nan, 1, nan, 3, nan], [nan] * 5, [1, 2, 3, 4, 5]])
    expected = [[1, 1, 2, 3, 3], [nan] * 5, [1, 2, 3, 4, 5]]
    np.testing.assert_array_equal(fill_in_time(rows), expected)


def test_depth_maps_are_the_answer_as_they_are(
    truth: xr.Dataset, tracks: xr.Dataset
) -> None:
    z = np.linspace(4, 2.5, T)
    maps = np.broadcast_to(z[:, None, None], (T, 24, 32)).copy()
    maps[3] = np.nan  # a frame without depth
    out = lift_by(tracks, "video_depth", depth=maps)
    seen = _seen(truth)
    expected = np.broadcast_to(z, (N, T))
    np.testing.assert_allclose(out.depth.values[seen], expected[seen], rtol=1e-3)
    assert out.attrs["units"] == "m"
    inverse = lift_by(tracks, "video_depth", depth=5 / maps, disparity=True)
    np.testing.assert_allclose(
        inverse.log_depth_ratio.values[seen],
        out.log_depth_ratio.values[seen],
        atol=1e-5,
    )
    assert inverse.attrs["units"].startswith("relative")


def test_oracle_depth_is_the_truth(truth: xr.Dataset, tracks: xr.Dataset) -> None:
    out = lift_by(tracks.isel(track=slice(None, None, -1)), "oracle_depth", truth=truth)
    seen = _seen(truth)
    found = out.xyz.sel(track=truth.track).values[seen]
    np.testing.assert_allclose(found, truth.xyz.values[seen], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["per_frame", "per_video", "constant"])
def test_a_model_looks_at_the_video(tracks: xr.Dataset, method: str) -> None:
    video = clip(T, 48, 64)
    out = lift_by(tracks, method, depth=DepthModel(Counting()), video=video)
    assert out.attrs["depth_source"] == "counting"
    seen = tracks.visible.values
    if method != "constant":
        levels = np.broadcast_to(np.arange(1, T + 1), seen.shape)
        np.testing.assert_allclose(out.depth.values[seen], levels[seen], rtol=1e-5)


def test_smoothing(truth: xr.Dataset, tracks: xr.Dataset) -> None:
    rng = np.random.default_rng(0)
    jitter = truth.depth.values * rng.normal(1, 0.05, (N, T))
    noisy = xr.DataArray(jitter.astype(np.float32), dims=("track", "time"))
    plain = lift_by(tracks, "frame_depth", depth=noisy)
    once = lift_by(tracks, "frame_depth", depth=noisy, smooth=1)
    thrice = lift_by(tracks, "frame_depth", depth=noisy, smooth=3)

    def bend(ds: xr.Dataset) -> float:
        return float(np.nanmean(np.abs(np.diff(ds.xyz.values, 2, axis=1))))

    assert bend(thrice) < bend(once) < 0.5 * bend(plain)
    np.testing.assert_array_equal(np.isnan(once.xyz), np.isnan(plain.xyz))
    np.testing.assert_array_equal(once.depth, once.xyz.sel(axis="z"))
    still = lift_by(tracks.isel(time=[0, 1]), "constant", smooth=2)
    straight = lift_by(tracks.isel(time=[0, 1]), "constant")
    np.testing.assert_allclose(still.depth, straight.depth, rtol=1e-5)


@pytest.mark.parametrize("method", ["constant", "density", "affine", "video_depth"])
def test_lazy_in_lazy_out(
    truth: xr.Dataset,
    tracks: xr.Dataset,
    method: str,
    raise_if_dask_computes: Callable,
) -> None:
    maps = np.broadcast_to(np.linspace(4, 2.5, T)[:, None, None], (T, 24, 32))
    more = {"depth": maps} if method == "video_depth" else {}
    expected = lift_by(tracks, method, smooth=1, **more)
    with raise_if_dask_computes():
        lazy = lift_by(tracks.chunk(track=7), method, smooth=1, **more)
    assert lazy.xyz.chunks is not None
    np.testing.assert_allclose(lazy.xyz.values, expected.xyz.values, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("magic", {}, "method is 'magic'"),
        ("density", {"n": 3}, "does not take"),
        ("constant", {"k": 3}, "no options"),
        ("oracle_depth", {}, "needs truth="),
        ("constant", {"smooth": -1}, "smooth"),
    ],
)
def test_refuses(tracks: xr.Dataset, method: str, more: dict, message: str) -> None:
    with pytest.raises(SeuratTracksError, match=message):
        lift_by(tracks, method, **more)


@pytest.mark.parametrize("depth", [None, 2.0])
def test_per_video_depth_needs_maps(tracks: xr.Dataset, depth: float | None) -> None:
    with pytest.raises(DepthError, match="depth maps"):
        lift_by(tracks, "video_depth", depth=depth)


def test_plain_names_of_depth_alone(truth: xr.Dataset, tracks: xr.Dataset) -> None:
    maps = np.full((T, 24, 32), 3.0) * np.linspace(1, 1.3, T)[:, None, None]
    for name, same in (("per_frame", "frame_depth"), ("per_video", "video_depth")):
        out = tracks.seurat.lift3d(method=name, depth=maps)
        expected = lift_by(tracks, same, depth=maps)
        np.testing.assert_array_equal(out.depth, expected.depth)
        assert out.attrs["method"] == name
        # unlike video_depth, per_video takes any source
        any_source = tracks.seurat.lift3d(method=name, depth=Constant(2))
        seen = _seen(truth)
        np.testing.assert_allclose(any_source.depth.values[seen], 2)
        with pytest.raises(DepthError, match=name):
            lift_by(tracks, name)
