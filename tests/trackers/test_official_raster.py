"""TAPIR, BootsTAPIR, LocoTrack, TAPNext and AllTracker against the official code."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seurat_tracks.trackers.alltracker import AllTracker, alltracker_source
from seurat_tracks.trackers.locotrack import LocoTrack, locotrack_source
from seurat_tracks.trackers.tapir import TAPIR, BootsTAPIR
from seurat_tracks.trackers.tapnext import TAPNext
from tests.trackers.official import (
    checkout,
    clip_of,
    filled_in,
    moving,
    official,
    one_thread,
    some_queries,
)

SIZE = (200, 120)
FRAMES = 8
TAPNET = ("SEURAT_TAPNET_REPO", "github.com/google-deepmind/tapnet")


def compare(name: str, got: np.ndarray, wanted: np.ndarray, size: Any = SIZE) -> None:
    difference = np.abs(got - wanted).max()
    print(f"{name}: largest difference {difference:.2e} px")  # noqa: T201
    assert difference < 1e-5 * max(size)
    assert np.abs(np.diff(wanted, axis=1)).max() > 0.5  # something moved


def counted(network: Any) -> list[int]:
    """How many images each call of an encoder sees from now on."""
    seen: list[int] = []
    network.resnet_torch.register_forward_pre_hook(
        lambda _, given: seen.append(len(given[0]))
    )
    return seen


def tapir_answer(network: Any, frames: np.ndarray, frame: Any, xy: Any) -> Any:
    """What the official demonstration does; raster positions of the video."""
    height, width = frames.shape[1:3]
    video = torch.from_numpy(frames).float() / 255 * 2 - 1
    video = torch.nn.functional.interpolate(
        video.permute(0, 3, 1, 2), (256, 256), mode="bilinear", align_corners=False
    ).permute(0, 2, 3, 1)[None]
    x, y = (xy + 0.5).T
    table = np.column_stack([frame, y * 256 / height, x * 256 / width])
    with torch.no_grad():
        out = network(video, torch.from_numpy(table).float()[None])
    tracks = out["tracks"][0].numpy() * [width / 256, height / 256] - 0.5
    seen = (1 - torch.sigmoid(out["occlusion"])) * (
        1 - torch.sigmoid(out["expected_dist"])
    )
    return tracks, (seen > 0.5)[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TAPIR, BootsTAPIR])
def test_tapir_gives_the_same_tracks(kind: type[TAPIR], tmp_path: Path) -> None:
    repo = checkout(*TAPNET, "einshape", "tree")
    module = official(kind.source, "tapnet.torch.tapir_model", repo)
    network = module.TAPIR(**kind.architecture).eval()
    with torch.no_grad():
        network.torch_cost_volume_track_mods["occ_out"].bias.fill_(-1.0)
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    with one_thread():
        adapter = kind(path, repo, device="cpu")
        images = counted(adapter.network)
        frames = moving(FRAMES, SIZE)
        frame, xy = some_queries(9, FRAMES, SIZE)
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        assert sum(images) == FRAMES  # once each, for both directions
        tracks, visible = tapir_answer(network, frames, frame, xy)
    compare(kind.name, got.xy, tracks)
    assert (got.visible == visible).all()


@pytest.mark.slow
def test_tapir_at_two_resolutions_gives_the_same_tracks(tmp_path: Path) -> None:
    repo = checkout(*TAPNET, "einshape", "tree")
    module = official(TAPIR.source, "tapnet.torch.tapir_model", repo)
    network = module.TAPIR(**TAPIR.architecture).eval()
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    with one_thread():
        adapter = TAPIR(path, repo, device="cpu", resolution=320)
        frames = moving(3, (320, 320))
        frame, xy = some_queries(5, 3, (320, 320))
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        table = np.column_stack([frame, xy[:, ::-1] + 0.5])
        video = torch.from_numpy(frames).float()[None] / 255 * 2 - 1
        with torch.no_grad():
            out = network(video, torch.from_numpy(table).float()[None])
    compare("tapir at 320", got.xy, out["tracks"][0].numpy() - 0.5, (320, 320))


@pytest.mark.slow
@pytest.mark.parametrize("model_size", ["small", "base"])
def test_locotrack_gives_the_same_tracks(model_size: str, tmp_path: Path) -> None:
    repo = checkout(
        "SEURAT_LOCOTRACK_REPO", "github.com/cvlab-kaist/locotrack", "einops"
    )
    source = locotrack_source(model_size)
    module = official(source, "models.locotrack_model", repo)
    network = module.LocoTrack(model_size=model_size).eval()
    with torch.no_grad():
        network.occ_linear.bias.fill_(-1.2)
    # Named and packed as its training framework does.
    state = {f"model.{k}": v for k, v in network.state_dict().items()}
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": state, "epoch": 3}, path)
    with one_thread():
        adapter = LocoTrack(path, repo, model_size=model_size, device="cpu")
        images = counted(adapter.network)
        frames = moving(FRAMES, SIZE)
        frame, xy = some_queries(9, FRAMES, SIZE)
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        assert sum(images) == FRAMES
        table = torch.from_numpy(np.column_stack([frame, xy[:, ::-1] + 0.5])).float()
        with torch.no_grad():
            out = network.inference(frames[None], table[None])
    compare(f"locotrack {model_size}", got.xy, out["tracks"][0].numpy() - 0.5)
    assert (got.visible == ~out["occlusion"][0].numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["torch", "jax"])
def test_tapnext_gives_the_same_tracks(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = checkout(*TAPNET, "einops", "torchvision")
    module = official(TAPNext.source, "tapnet.tapnext.tapnext_torch", repo)
    wrapper = official(TAPNext.source, "tapnet.tapnextpp.votsp2026.model", repo)
    utils = official(TAPNext.source, "tapnet.tapnext.tapnext_torch_utils", repo)
    if form == "torch":
        # The full network takes 5 s a frame on one core: a narrow one has its code.
        narrow = functools.partial(module.TAPNext, width=96, lru_width=96, depth=3)
        monkeypatch.setattr(module, "TAPNext", narrow)
    network = filled_in(module.TAPNext(image_size=(256, 256)))
    path = tmp_path / ("weights.pt" if form == "torch" else "weights.npz")
    if form == "torch":
        state = {f"tapnext.{k}": v for k, v in network.state_dict().items()}
        torch.save({"state_dict": state}, path)
    else:
        np.savez(path, **utils.convert_pytorch_model_to_jax_checkpoint(network))
    n_frames, n = (6, 9) if form == "torch" else (2, 3)
    with one_thread():
        adapter = TAPNext(path, repo, device="cpu")
        frames = moving(n_frames, SIZE)
        frame, xy = some_queries(n, n_frames, SIZE)
        frame[:] = 0
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        official_one = wrapper.TAPNextPP(network, torch.device("cpu"))
        state, where, seen = None, [], []
        for picture in frames[..., ::-1]:  # blue first, as it wants them
            points = xy + 0.5 if state is None else None
            at, visible, state = official_one.track_frame(picture, points, state)
            where.append(at - 0.5)
            seen.append(visible)
    compare(f"tapnext {form}", got.xy, np.stack(where, 1))
    assert (got.visible == np.stack(seen, 1)).all()


@pytest.mark.slow
def test_tapnext_on_later_frames_is_the_official_network_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = checkout(*TAPNET, "einops", "torchvision")
    module = official(TAPNext.source, "tapnet.tapnext.tapnext_torch", repo)
    narrow = functools.partial(module.TAPNext, width=96, lru_width=96, depth=3)
    monkeypatch.setattr(module, "TAPNext", narrow)
    network = filled_in(module.TAPNext(image_size=(256, 256)))
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    with one_thread():
        adapter = TAPNext(path, repo, device="cpu")
        frames = moving(6, (256, 256))
        frame, xy = some_queries(7, 6, (256, 256))
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        last = int(frame.max())

        def whole(video: np.ndarray, frame: np.ndarray) -> np.ndarray:
            """All frames in one call of the network, not one after the other."""
            table = torch.from_numpy(np.column_stack([frame, xy[:, ::-1] + 0.5]))
            scaled = torch.from_numpy(video.copy())[None].float() / 127.5 - 1
            with torch.no_grad():
                tracks, *_ = network(scaled, table[None].float())
            return tracks[0].numpy().swapaxes(0, 1)[..., ::-1] - 0.5

        ahead = whole(frames, frame)
        back = whole(frames[last::-1], last - frame)[:, ::-1]
    early = np.arange(6) < frame[:, None]
    wanted = np.where(
        early[..., None], np.pad(back, ((0, 0), (0, 5 - last), (0, 0))), ahead
    )
    compare("tapnext, later frames", got.xy, wanted, (256, 256))


@pytest.mark.slow
@pytest.mark.parametrize("tiny", [False, True])
def test_alltracker_gives_the_same_tracks(tiny: bool, tmp_path: Path) -> None:
    repo = checkout(
        "SEURAT_ALLTRACKER_REPO",
        "github.com/aharley/alltracker",
        "einops",
        "torchvision",
    )
    module = official(alltracker_source(tiny), "nets.alltracker", repo)
    kind = {"use_basicencoder": True, "no_split": True} if tiny else {}
    network = module.Net(16, init_weights=False, **kind).eval()
    with torch.no_grad():
        network.flow_head[2].weight.mul_(3)
        network.visconf_head[2].bias.fill_(0.34)
    path = tmp_path / "weights.pth"
    torch.save({"model": network.state_dict()}, path)
    size, n_frames = (128, 128), 20
    with one_thread(), warnings.catch_warnings():
        # Its own use of meshgrid without an order.
        warnings.filterwarnings("ignore", "torch.meshgrid", UserWarning)
        adapter = AllTracker(path, repo, tiny=tiny, device="cpu", image_size=128)
        frames = moving(n_frames, size)
        frame = np.array([0, 0, 0, 7])
        xy = np.array([[3, 5], [64, 80], [120, 31], [50, 60]], np.float32)
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        assert adapter.memo.computed == n_frames
        # The official demonstration runs on CUDA alone: pictures stay where they are.
        features = network.get_fmaps
        network.get_fmaps = lambda *args: features(*args[:4], True)
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()

        def run(video: Any) -> Any:
            with torch.no_grad():
                flow, sure, *_ = network.forward_sliding(video, iters=4)
            return flow[0].numpy(), sure[0].numpy()

        at_start, from_7, to_7 = (
            run(video),
            run(video[:, 7:]),
            run(video[:, :8].flip(1)),
        )
    wanted = np.zeros((4, n_frames, 4))
    for k, (x, y) in enumerate(xy.astype(int)):
        parts = [at_start] if frame[k] == 0 else [from_7]
        both = np.concatenate([np.concatenate(p, axis=1) for p in parts])
        if frame[k]:
            early = np.concatenate(to_7, axis=1)[::-1][:-1]
            both = np.concatenate([early, both])
        wanted[k] = both[:, :, y, x]
        wanted[k, :, :2] += xy[k]
    compare(f"alltracker tiny={tiny}", got.xy, wanted[..., :2], size)
    sure = wanted[..., 2] * wanted[..., 3]
    np.testing.assert_allclose(got.confidence, sure, atol=1e-5)
    assert (got.visible == (sure >= 0.6)).mean() > 0.99
