from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import seurat_tracks as st
from seurat_tracks import fusion
from seurat_tracks.errors import (
    CameraError,
    DepthError,
    SchemaError,
    SeuratTracksError,
    WeightsError,
)
from seurat_tracks.evaluation.ratio import log_ratio_error
from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import save_weights
from seurat_tracks.scenes.generate import SceneBatch, SceneConfig, make_scenes
from seurat_tracks.windows import plan_windows

SIZE = (640, 480)


def scene(camera: str = "drive", frames: int = 12, seed: int = 5) -> SceneBatch:
    config = SceneConfig(
        frames=frames, support=150, queries=23, camera=camera, figures=0, sparse=0
    )
    return make_scenes(1, config, torch.Generator().manual_seed(seed))


def pixels(batch: SceneBatch) -> np.ndarray:
    centre = np.array([(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2])
    return batch.xy[0].numpy().astype(np.float64) * max(SIZE) / 2 + centre


def dataset(batch: SceneBatch, *, support: bool = True) -> xr.Dataset:
    """Tracks of a scene; support is the scene's own, in every window."""
    M, T = batch.support, batch.xy.shape[2]
    xy, visible = pixels(batch), batch.visible[0].numpy()
    inside = ((xy >= 0) & (xy <= np.array(SIZE) - 1)).all(-1)
    visible = visible & inside
    keep = visible.any(1)
    keep[:M] = False
    seen = np.where(visible[..., None], xy, np.nan)
    ds = st.from_arrays(seen[keep], visible[keep], frame_size=SIZE)
    if support:
        plan = plan_windows(T)
        frames = np.maximum(plan.frames, 0)
        there = visible[:M, frames] & (plan.frames >= 0)
        places = np.where(there[..., None], xy[:M][:, frames], np.nan)
        ds = ds.assign(
            support_xy=(
                ("window", "support", "step", "coord"),
                np.moveaxis(places, 0, 1).astype(np.float32),
            ),
            support_visible=(
                ("window", "support", "step"),
                np.ascontiguousarray(np.moveaxis(there, 0, 1)),
            ),
        ).assign_coords(
            window_start=("window", plan.start), window_stride=("window", plan.stride)
        )
    ds.attrs["truth"] = batch.z[0].numpy()[keep].tolist()
    return ds


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return dataset(scene())


@pytest.fixture(scope="module")
def lifted(ds: xr.Dataset) -> xr.Dataset:
    return ds.seurat.depth_ratio(device="cpu")


def test_ratios_follow_a_driving_camera(ds: xr.Dataset, lifted: xr.Dataset) -> None:
    score = log_ratio_error(
        lifted.log_depth_ratio.values,
        np.array(ds.attrs["truth"]),
        ds.visible.values,
    )
    assert score.constant > 0.02
    assert score.relative < 0.6


def test_what_is_returned(ds: xr.Dataset, lifted: xr.Dataset) -> None:
    lifted.seurat.validate()
    assert lifted.log_depth_ratio.dtype == lifted.depth_ratio_sigma.dtype == np.float32
    assert lifted.track.values.tolist() == ds.track.values.tolist()
    first = ds.visible.values.argmax(1)
    assert lifted.reference_frame.values.tolist() == ds.time.values[first].tolist()
    at_reference = lifted.log_depth_ratio.values[np.arange(len(first)), first]
    assert (at_reference == 0).all()
    assert np.isfinite(lifted.log_depth_ratio).all()
    assert (lifted.depth_ratio_sigma >= 0).all()
    assert lifted.attrs["model_hash"] == st.load_model().hash
    assert "log_depth_ratio" not in ds


def same(a: xr.Dataset, b: xr.Dataset, atol: float = 1e-4) -> None:
    np.testing.assert_allclose(
        a.log_depth_ratio.values, b.log_depth_ratio.values, atol=atol
    )


def test_track_chunks_do_not_matter(ds: xr.Dataset, lifted: xr.Dataset) -> None:
    for size in (1, 5):
        out = ds.chunk({"track": size}).seurat.depth_ratio(device="cpu")
        assert out.log_depth_ratio.chunks is not None
        same(out, lifted)


def test_order_and_number_of_tracks_do_not_matter(
    ds: xr.Dataset, lifted: xr.Dataset
) -> None:
    order = np.random.default_rng(0).permutation(ds.sizes["track"])
    same(ds.isel(track=order).seurat.depth_ratio(), lifted.isel(track=order))
    same(ds.isel(track=[3]).seurat.depth_ratio(), lifted.isel(track=[3]))


def test_image_size_does_not_matter(ds: xr.Dataset, lifted: xr.Dataset) -> None:
    # pixel centres are at integers: pixel x of an image is 2 x + 0.5 of its double
    larger = {v: (2 * ds[v] + 0.5).astype("float32") for v in ("xy", "support_xy")}
    large = ds.assign(larger).assign_attrs(frame_size=[2 * s for s in SIZE])
    same(large.seurat.depth_ratio(), lifted, atol=1e-5)


def test_tracks_alone_in_any_order_and_chunks() -> None:
    batch = scene("orbit")
    ds = dataset(batch, support=False)
    whole = ds.seurat.depth_ratio()
    order = np.random.default_rng(1).permutation(ds.sizes["track"])
    same(ds.isel(track=order).seurat.depth_ratio(), whole.isel(track=order))
    lazy = ds.chunk({"track": 4, "time": 5}).seurat.depth_ratio()
    same(lazy, whole)


def test_hidden_coordinates_do_not_matter(ds: xr.Dataset, lifted: xr.Dataset) -> None:
    guess = ds.xy.where(ds.visible, 17.0)
    same(ds.assign(xy=guess.astype(np.float32)).seurat.depth_ratio(), lifted, 1e-6)


def test_building_the_graph_computes_nothing(
    ds: xr.Dataset, raise_if_dask_computes: Callable[[], Any]
) -> None:
    tracks = ds.chunk({"track": 6})
    tracks = tracks.drop_vars(["support_xy", "support_visible"], errors="ignore")
    with raise_if_dask_computes():
        out = tracks.seurat.lift3d(intrinsics={"fov": 70}, depth=2.0)
    assert out.xyz.chunks is not None
    out.compute(scheduler="synchronous")


def test_chain_is_the_papers(ds: xr.Dataset, lifted: xr.Dataset) -> None:
    chained = ds.seurat.depth_ratio(fuse="chain")
    assert np.isnan(chained.depth_ratio_sigma).all()
    difference = np.abs(chained.log_depth_ratio - lifted.log_depth_ratio).values
    assert difference.max() > 1e-4
    assert np.median(difference) < 0.1


def test_fewer_frames_than_a_window() -> None:
    out = dataset(scene(frames=5), support=False).seurat.depth_ratio()
    assert np.isfinite(out.log_depth_ratio).all()


def test_nothing_is_linked_across_a_cut(ds: xr.Dataset) -> None:
    bare = ds.drop_vars(["support_xy", "support_visible"])
    bare = bare.drop_vars(["window_start", "window_stride"])
    visible = bare.visible.values.copy()
    visible[0, 7:] = False
    visible[1, :7] = False
    if not visible[1].any():
        visible[1, 8:10] = True
    bare = bare.assign(
        visible=(("track", "time"), visible),
        xy=bare.xy.fillna(100.0),
    ).assign_attrs(cuts=[7])
    out = bare.seurat.depth_ratio()
    ratio = out.log_depth_ratio.values
    assert np.isnan(ratio[0, 7:]).all()
    assert np.isfinite(ratio[0, :7]).all()
    assert np.isnan(ratio[1, :7]).all()
    assert np.isfinite(ratio[1, 7:]).all()


def test_lift3d_relative_is_honest(ds: xr.Dataset) -> None:
    with pytest.warns(UserWarning, match="60"):
        out = ds.seurat.lift3d()
    assert "relative" in out.attrs["units"]
    assert out.attrs["depth_source"] == "none"
    np.testing.assert_allclose(out.depth, np.exp(out.log_depth_ratio), rtol=1e-5)


def test_lift3d_metric_projects_back(ds: xr.Dataset) -> None:
    out = ds.seurat.lift3d(depth=4.0, intrinsics=(500.0, 510.0, 300.0, 200.0))
    assert out.attrs["units"] == "m"
    x, y, z = (out.xyz.sel(axis=a) for a in "xyz")
    seen = ds.visible.values
    np.testing.assert_allclose(
        (500 * x / z + 300).values[seen], ds.xy.sel(coord="x").values[seen], atol=0.01
    )
    np.testing.assert_allclose(
        (510 * y / z + 200).values[seen], ds.xy.sel(coord="y").values[seen], atol=0.01
    )
    assert np.median(z.values[seen]) == pytest.approx(4.0, rel=0.3)
    out.seurat.validate()


def tracks(n: int = 6, frames: int = 10, **settings: Any) -> xr.Dataset:
    rng = np.random.default_rng(2)
    xy = rng.uniform(50, 400, (n, 1, 2)) + rng.normal(0, 1, (n, frames, 2))
    return st.from_arrays(xy, frame_size=SIZE, **settings)


def approach(n: int = 40, frames: int = 48) -> np.ndarray:
    """Pixels (n, frames, 2) of points that a camera drives towards."""
    rng = np.random.default_rng(4)
    place = rng.uniform(-1.5, 1.5, (n, 1, 2))
    z = rng.uniform(6, 12, (n, 1)) - 0.06 * np.arange(frames)
    return 400 * place / z[..., None] + np.array(SIZE) / 2


def test_sigma_shows_where_a_track_jumps_and_stays_large() -> None:
    xy = approach()
    before = st.from_arrays(xy, frame_size=SIZE).seurat.depth_ratio()
    xy[0, 30:] += (35.0, -20.0)
    after = st.from_arrays(xy, frame_size=SIZE).seurat.depth_ratio()
    sure, unsure = (d["depth_ratio_sigma"].values[0] for d in (before, after))
    assert (unsure[30:] > 4 * sure[30:]).all()
    assert (unsure[30:] > 0.1).all()
    assert (unsure[:20] < 0.1).all()
    named = after.seurat.quality()
    assert "jump at 30" in named["reason"].values[0]
    assert not named["doubtful"].values[1:].any()


def test_sigma_shows_where_a_track_was_lost_and_found_again() -> None:
    xy = approach()
    visible = np.ones(xy.shape[:2], bool)
    before = st.from_arrays(xy, visible, frame_size=SIZE).seurat.depth_ratio()
    visible[0, 20:32] = False
    after = st.from_arrays(xy, visible, frame_size=SIZE).seurat.depth_ratio()
    sure, unsure = (d["depth_ratio_sigma"].values[0] for d in (before, after))
    assert (unsure[32:] > 2 * sure[32:]).all()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda d: d.isel(track=slice(0, 0)), "track"),
        (lambda d: d.isel(time=[3]), "at least two frames"),
        (lambda d: d.assign(visible=d.visible & False), "visible"),
        (lambda d: d.assign(xy=d.xy.where(d.xy < 60)), "xy"),
        (lambda d: d.assign(xy=d.xy.where(d.xy < 60, np.inf)), "xy"),
        (lambda d: d.assign_coords(track=[1, 1, 2, 3, 4, 5]), "track"),
        (lambda d: d.rename(track="points"), "points"),
        (lambda d: d.transpose("time", "track", "coord"), "order|dim"),
        (lambda d: d.assign_coords(time=d.time[::-1].values), "time"),
        (lambda d: d.assign(xy=d.xy + 5000), "frame"),
        (lambda d: d.drop_attrs(), "frame_size"),
    ],
)
def test_bad_tracks_are_refused(
    spoil: Callable[[xr.Dataset], xr.Dataset], text: str
) -> None:
    with pytest.raises(SchemaError, match=text):
        spoil(tracks()).seurat.lift3d(intrinsics={"fov": 60})


def test_bad_settings_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from seurat_tracks.ratios import graph

    monkeypatch.setattr(graph, "lift_block", None)
    good = tracks()
    with pytest.raises(SeuratTracksError, match="fuse"):
        good.seurat.depth_ratio(fuse="magic")
    with pytest.raises(SeuratTracksError, match=r"strides.*iterations"):
        good.seurat.depth_ratio(strides=3, iterations=0)
    with pytest.raises(WeightsError, match="name or a path"):
        good.seurat.depth_ratio(model=None)
    with pytest.raises(SchemaError):
        st.depth_ratio(None)
    with pytest.raises(WeightsError, match="no model"):
        good.seurat.lift3d(model="nowhere", intrinsics={"fov": 60})
    for device in ("vulkan", "cpu:x", "cuda:99"):
        with pytest.raises(WeightsError, match="not available"):
            good.seurat.depth_ratio(device=device)
    with pytest.raises(DepthError):
        good.seurat.lift3d(depth="deep", intrinsics={"fov": 60})
    with pytest.raises(CameraError):
        good.seurat.lift3d(intrinsics=(1.0, -2.0, 3.0, 4.0))


def test_lazy_tracks_with_bad_values_fail_when_computed() -> None:
    ds = tracks().chunk({"track": 2})
    bad = ds.assign(xy=ds.xy.where(ds.track != 4))
    out = bad.seurat.depth_ratio()
    with pytest.raises(SchemaError, match="not finite"):
        out.compute()


def test_ids_stay_the_callers_own() -> None:
    ids = ["tail", "nose", "ear", "eye", "left paw", "right paw"]
    out = tracks(ids=ids).seurat.lift3d(intrinsics={"fov": 60})
    assert out.track.values.tolist() == ids


def test_an_interrupt_ends_lazy_work_soon(tmp_path: Path) -> None:
    out = tracks(40, 60).chunk({"track": 20}).seurat.depth_ratio()
    real, calls = fusion.pause_point, []

    def interrupted(*what: str) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "pause_point", interrupted)
        with pytest.raises(KeyboardInterrupt):
            out.seurat.save(tmp_path / "out.zarr")
    assert len(calls) < 40
    assert list(tmp_path.iterdir()) == []
    out.seurat.save(tmp_path / "out.zarr")
    assert st.open(tmp_path / "out.zarr").sizes["track"] == 40


def test_a_stated_camera_is_used_and_an_assumed_one_is_not() -> None:
    ds = dataset(scene("walk"))
    alone = ds.seurat.depth_ratio()
    camera = {"intrinsics": [900.0, 900.0, 319.5, 239.5]}
    stated = ds.assign_attrs(camera, intrinsics_source="given")
    assumed = ds.assign_attrs(camera, intrinsics_source="assumed: 60 degrees wide")
    xr.testing.assert_equal(
        assumed.seurat.depth_ratio().log_depth_ratio, alone.log_depth_ratio
    )
    other = stated.seurat.depth_ratio().log_depth_ratio
    assert np.abs(other - alone.log_depth_ratio).max() > 1e-4


def test_other_methods_answer_as_lift3d_does(ds: xr.Dataset) -> None:
    out = ds.seurat.lift3d(method="constant", intrinsics={"fov": 60})
    assert (out.log_depth_ratio.values[ds.visible.values] == 0).all()
    assert out.xyz.dims == ("track", "time", "axis")
    with pytest.raises(SeuratTracksError, match="nothing"):
        ds.seurat.lift3d(method="nothing")


def test_a_network_of_longer_windows(tmp_path: Path, ds: xr.Dataset) -> None:
    size = ModelConfig(window=12, width=32, heads=2, layers=1, pair_width=8, motions=1)
    torch.manual_seed(0)
    path = tmp_path / "long.safetensors"
    save_weights(path, SeuratNetwork(size).state_dict(), size, record={})
    with pytest.raises(SchemaError, match=r"windows of 12 frames.*windows of 8"):
        ds.seurat.depth_ratio(model=path)
    alone = ds.drop_dims("window").drop_vars("query_frame", errors="ignore")
    for fuse in ("windows", "chain"):
        out = alone.seurat.depth_ratio(model=path, device="cpu", fuse=fuse)
        lazy = alone.chunk({"track": 7}).seurat.depth_ratio(
            model=path, device="cpu", fuse=fuse
        )
        assert np.isfinite(out["log_depth_ratio"]).all()
        xr.testing.assert_allclose(lazy["log_depth_ratio"], out["log_depth_ratio"])
    with pytest.raises(SeuratTracksError, match="windows of 12 frames"):
        next(iter(st.stream([alone], model=path)))


def long_tracks(n: int = 9, frames: int = 70) -> xr.Dataset:
    rng = np.random.default_rng(6)
    xy = rng.uniform(100, 400, (n, 1, 2)) + rng.normal(0, 1, (n, frames, 2)).cumsum(1)
    visible = rng.random((n, frames)) > 0.2
    return st.from_arrays(xy, visible, frame_size=SIZE, time=np.arange(frames) + 5)


def counted(patch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Tracks and windows of every call of the network."""
    from seurat_tracks.ratios import blocks

    calls: list[tuple[int, int]] = []
    real = blocks._predicted

    def predicted(xy: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        calls.append((len(xy), len(kwargs["plan"])))
        return real(xy, *args, **kwargs)

    patch.setattr(blocks, "_predicted", predicted)
    return calls


@pytest.mark.parametrize("fuse", ["windows", "chain"])
def test_pieces_of_time_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, fuse: str
) -> None:
    from seurat_tracks.ratios import prepare

    ds = long_tracks().assign_attrs(cuts=[45])
    whole = ds.seurat.depth_ratio(fuse=fuse)
    monkeypatch.setattr(prepare, "PIECE_FRAMES", 16)
    calls = counted(monkeypatch)
    lazy = ds.chunk({"track": 4, "time": 11}).seurat.depth_ratio(fuse=fuse).compute()
    assert len({w for _, w in calls}) > 1
    assert len(calls) == 3 * 4  # chunks of tracks, pieces of time
    xr.testing.assert_allclose(lazy, whole, rtol=1e-4, atol=1e-5)


def test_outputs_computed_together_are_one_pass_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    ds = long_tracks(9, 20).chunk({"track": 3})
    out = ds.seurat.lift3d(depth=2.0, intrinsics={"fov": 60})
    out.seurat.save(tmp_path / "out.zarr")
    assert [n for n, _ in calls] == [3, 3, 3]


def test_a_judged_source_holds_no_chunk_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from seurat_tracks import robust
    from seurat_tracks.ratios import prepare

    monkeypatch.setattr(robust, "MOST_TRACKS", 5)
    monkeypatch.setattr(prepare, "_LARGE", 0)  # reads large tracks twice
    ds = long_tracks(20, 20)
    depth = np.random.default_rng(1).uniform(2, 3, (20, 20)).astype(np.float32)
    depth = xr.DataArray(depth, dims=("track", "time"))
    settings = {"depth": depth, "intrinsics": {"fov": 60}}
    whole = ds.seurat.lift3d(**settings)
    calls = counted(monkeypatch)
    one = ds.chunk({"track": 4}).seurat.lift3d(**settings)["depth"][:4]
    xr.testing.assert_allclose(one.compute(), whole["depth"][:4], rtol=1e-4)
    assert sorted(n for n, _ in calls) == [4, 5]


def test_depth_of_a_person_is_lazy_too(
    raise_if_dask_computes: Callable[[], Any],
) -> None:
    ds = long_tracks(9, 20)
    lazy = ds.chunk({"track": 4})
    for depth in (2.0, {3: 2.5, 8: 4.0}, {(3, 7): 2.5}):
        visible = ds.visible.copy()
        visible[3, 2] = True
        settings = {"depth": depth, "intrinsics": {"fov": 60}}
        seen = {"visible": visible, "xy": ds.xy.fillna(200.0)}
        with raise_if_dask_computes():
            out = lazy.assign(seen).chunk({"track": 4}).seurat.lift3d(**settings)
            assert out["depth"].chunksizes["track"] == (4, 4, 1)
        whole = ds.assign(seen).seurat.lift3d(**settings)
        xr.testing.assert_allclose(out["depth"].compute(), whole["depth"], rtol=1e-4)


def test_a_device_is_used_by_one_thread_at_a_time() -> None:
    from seurat_tracks.workers import alone_on

    with alone_on("cuda"):
        assert not alone_on("cuda:0").acquire(blocking=False)
        assert alone_on("cuda:1").acquire(blocking=False)
        alone_on("cuda:1").release()
        with alone_on("cpu"), alone_on("cpu"):
            pass


def test_a_stated_camera_moves_its_principal_point_to_the_centre():
    ds = dataset(scene("walk"))
    square = ds.assign_attrs(intrinsics=[500.0, 500.0, 319.5, 239.5])
    # the same rays through a camera with other pixels, cut out of a larger picture
    stretch, moved = np.array([0.8, 1.25]), np.array([60.0, -35.0])
    cropped = ds.assign_attrs(
        intrinsics=[400.0, 625.0, 319.5 * 0.8 + 60, 239.5 * 1.25 - 35]
    )
    cropped.attrs["frame_size"] = [700, 700]
    for name in ("xy", "support_xy"):
        cropped[name] = (ds[name] * stretch + moved).astype(np.float32)
    want = square.seurat.depth_ratio(progress=False)["log_depth_ratio"].values
    got = cropped.seurat.depth_ratio(progress=False)["log_depth_ratio"].values
    np.testing.assert_allclose(got, want, atol=2e-3)
    without = cropped.copy()
    del without.attrs["intrinsics"]
    lost = without.seurat.depth_ratio(progress=False)["log_depth_ratio"].values
    assert np.nanmean(np.abs(lost - want)) > 5 * np.nanmean(np.abs(got - want))
