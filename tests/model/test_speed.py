"""Speed changes no answer; memory that is short makes batches smaller."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import seurat_tracks as st
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.model import speed
from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.features import neighbours
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.predict import predict_windows
from seurat_tracks.model.speed import MemoryNotice, prepare, resolve_precision
from seurat_tracks.windows import WindowPlan, plan_windows

SIZE = (640, 480)
ANSWERS = Path(__file__).parents[1] / "fixtures" / "small_answers.npz"


def tiny() -> SeuratNetwork:
    torch.manual_seed(1)
    config = ModelConfig(
        width=32, heads=2, layers=2, iterations=2, pair_width=8, shared_branches=False
    )
    network = SeuratNetwork(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture
def tracks() -> tuple[WindowPlan, Callable[..., tuple[np.ndarray, np.ndarray]]]:
    """Windows, and the tiny network's answers for 11 tracks with 20 support points."""
    rng = np.random.default_rng(0)
    plan = plan_windows(20, strides=(1, 2))
    place = rng.uniform([-2, -1.5, 4], [2, 1.5, 9], (31, 1, 3))
    place = place - np.linspace(0, 1, 20)[:, None] * [0.4, -0.1, 1.5]
    xy = 500 * place[..., :2] / place[..., 2:] + np.array(SIZE) / 2
    xy += rng.normal(0, 0.3, xy.shape)
    visible = rng.random((31, 20)) > 0.1
    support = np.moveaxis(xy[11:][:, plan.frames], 0, 1).astype(np.float32)
    seen = np.moveaxis(visible[11:][:, plan.frames], 0, 1)

    def answer(network: SeuratNetwork) -> tuple[np.ndarray, np.ndarray]:
        arguments = xy[:11], visible[:11], support, seen
        return predict_windows(network, plan, *arguments, SIZE)

    return plan, answer


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_fits", {})


@pytest.mark.parametrize("own_support", [False, True])
def test_shipped_weights_answer_as_recorded(
    own_support: bool,
) -> None:
    """The file holds their answers in float32; a change of them must be meant."""
    kept = np.load(ANSWERS)
    xy = kept["xy"]
    seen = np.isfinite(xy).all(-1)
    ds = st.from_arrays(xy[:12], seen[:12], frame_size=SIZE)
    if own_support:
        plan = plan_windows(20)
        dims = ("window", "support", "step")
        ds = ds.assign(
            support_xy=((*dims, "coord"), np.moveaxis(xy[12:][:, plan.frames], 0, 1)),
            support_visible=(dims, np.moveaxis(seen[12:][:, plan.frames], 0, 1)),
        ).assign_coords(
            window_start=("window", plan.start), window_stride=("window", plan.stride)
        )
    out = ds.seurat.depth_ratio(model="small", device="cpu")
    name = "support" if own_support else "tracks"
    ratio, sigma = kept[f"{name}_ratio"], kept[f"{name}_sigma"]
    assert np.abs(ratio).max() > 0.4
    # a change of the positions by one unit in the last place does 5e-6
    np.testing.assert_allclose(out["log_depth_ratio"], ratio, atol=3e-5)
    np.testing.assert_allclose(out["depth_ratio_sigma"], sigma, atol=6e-5)
    # and a stated setting changes them by less than the error bars
    fast = ds.seurat.depth_ratio(model="small", device="cpu", precision="bfloat16")
    far = np.abs(fast["log_depth_ratio"].values - ratio)
    assert 1e-6 < np.median(far) < 0.3 * np.median(sigma)


def test_batches_change_nothing(tracks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, answer = tracks
    network = tiny()
    whole = answer(network)
    for tokens in (8, 100, 700):
        for even in (False, True):
            monkeypatch.setitem(speed.TOKENS, "cpu", tokens)
            network.even_batches = even
            for a, b in zip(answer(network), whole, strict=True):
                np.testing.assert_allclose(a, b, atol=2e-5)


def test_threads_change_no_byte(tracks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, answer = tracks
    network = tiny()
    monkeypatch.setitem(speed.TOKENS, "cpu", 700)
    seen: set[int] = set()
    real = network.query

    def query(*args: Any) -> Any:
        seen.add(threading.get_ident())
        return real(*args)

    monkeypatch.setattr(network, "query", query)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(answer(network))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(seen) > 1
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"),
        MemoryError("Unable to allocate 1 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory"),
    ],
    ids=["cuda", "numpy", "cpu", "mps"],
)
@pytest.mark.parametrize(("where", "most"), [("encode_support", 900), ("query", 500)])
def test_short_memory_halves_the_batch_and_says_so(
    tracks: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    where: str,
    most: int,
) -> None:
    _, answer = tracks
    network = tiny()
    whole = answer(network)
    monkeypatch.setitem(speed.TOKENS, "cpu", 1600)
    real = getattr(network, where)
    sizes = []

    def tight(xy: torch.Tensor, *rest: Any, **more: Any) -> Any:
        sizes.append(xy[..., 0].numel())
        if sizes[-1] > most:
            raise error
        return real(xy, *rest, **more)

    monkeypatch.setattr(network, where, tight)
    with pytest.warns(MemoryNotice, match="out of memory with 1,600.*on with 800"):
        found = answer(network)
    assert max(sizes) > most
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    # what fits is remembered: the next call is silent (warnings are errors here)
    sizes.clear()
    answer(network)
    assert max(sizes) <= most


def test_memory_that_holds_nothing_is_said(
    tracks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny()

    def never(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(network, "query", never)
    with (
        pytest.warns(MemoryNotice),
        pytest.raises(MemoryError, match="not even one window of one track"),
    ):
        tracks[1](network)


def test_other_errors_are_not_taken_for_short_memory(
    tracks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(network, "query", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        tracks[1](network)


def test_precision_is_chosen_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision("auto", "cpu") == resolve_precision("auto", "mps")
    assert resolve_precision("auto", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    for can, chosen in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda can=can: can)
        assert resolve_precision("auto", "cuda:0") == chosen
    with pytest.raises(SeuratTracksError, match="float32, bfloat16, got 'int8'"):
        resolve_precision("int8", "cpu")  # type: ignore[arg-type]


def test_an_unknown_precision_is_refused_before_any_work(
    make_tracks: Callable[..., xr.Dataset],
) -> None:
    with pytest.raises(SeuratTracksError, match="precision must be one of"):
        make_tracks(lazy=True).seurat.depth_ratio(precision="half")


def test_bfloat16_keeps_heads_and_geometry_in_float32(tracks: Any) -> None:
    network = prepare(tiny(), "cpu", "bfloat16", False)
    branch = network.query_branch
    assert branch.head.weight.dtype == branch.norm.weight.dtype == torch.float32
    assert branch.layers[0].time.out.weight.dtype == torch.bfloat16
    ratio, scale = tracks[1](network)
    exact, _ = tracks[1](tiny())
    far = np.abs(ratio - exact)
    assert 0 < np.median(far) < 0.05 * np.abs(exact).max()
    assert np.isfinite(scale).all()


@pytest.mark.slow
# torch's compiler uses what torch itself no longer likes
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiled_answers_are_the_same(tracks: Any) -> None:
    plain = tracks[1](tiny())
    compiled = tracks[1](prepare(tiny(), "cpu", "float32", True))
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_equally_near_neighbours_come_in_the_order_of_their_index() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    grid = torch.from_numpy(np.stack([x, y], -1).reshape(1, -1, 2)).float()
    seen = torch.rand(1, 81, generator=torch.Generator().manual_seed(0)) > 0.2
    index, valid = neighbours(grid, grid, seen, 12, 8)
    distance = torch.cdist(
        grid, grid, compute_mode="donot_use_mm_for_euclid_dist"
    ).masked_fill(~seen[:, None], torch.inf)
    distance = distance.masked_fill(torch.eye(81, dtype=torch.bool), torch.inf)
    order = distance.sort(dim=-1, stable=True).indices
    assert torch.equal(index[..., :12], order[..., :12])
    assert valid[..., :12].all()
