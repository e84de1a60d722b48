"""Adapters of packages around the packages themselves, with small random weights.

Run where the environment names clones, as for trackers.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from seurat_tracks.depth import DepthModel
from seurat_tracks.errors import DepthError
from tests.trackers.official import checkout, one_thread

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (2, 90, 160, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def theirs_alone() -> Iterator[None]:
    """Leave modules and paths as they were, and warnings of the packages aside."""
    before, path = set(sys.modules), list(sys.path)
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("moge", "utils3d", "depth_anything_3", "depth_pro"):
            del sys.modules[name]


def without(path: Path, key: str, inside: str | None = None) -> None:
    """Save a copy of weights in which one is missing."""
    held = torch.load(path, weights_only=True)
    (held if inside is None else held[inside]).pop(key)
    torch.save(held, path.with_name("holes.pt"))


@pytest.fixture
def moge(tmp_path: Path) -> tuple[Any, Path]:
    address = "github.com/microsoft/MoGe"
    sys.path[:0] = [
        checkout("SEURAT_MOGE_REPO", address, "torchvision"),
        checkout("SEURAT_UTILS3D_REPO", "github.com/EasternJournalist/utils3d"),
    ]
    from moge.model.v2 import MoGeModel  # type: ignore[import-not-found]

    dims = [64, 32, 16, 16, 8]
    stack = {
        "dim_in": dims,
        "dim_res_blocks": dims,
        "num_res_blocks": [0, 1, 1, 1, 0],
        "res_block_in_norm": "none",
        "res_block_hidden_norm": "none",
        "resamplers": ["conv_transpose"] * 3 + ["bilinear"],
    }
    config = {
        "encoder": {
            "backbone": "dinov2_vits14",
            "intermediate_layers": [5, 11],
            "dim_out": 64,
        },
        "neck": stack | {"dim_in": [66, 2, 2, 2, 2], "dim_out": None},
        "points_head": stack | {"dim_out": [None] * 4 + [3]},
        "mask_head": stack | {"dim_out": [None] * 4 + [1]},
        "scale_head": {"dims": [384, 64, 1]},
        "remap_output": "exp",
        "num_tokens_range": [100, 200],
    }
    torch.manual_seed(0)
    network = MoGeModel(**config).eval()
    with torch.no_grad():  # so that the mask has both values
        last = network.mask_head.output_blocks[-1]
        last.weight.normal_(0, 0.3)
        last.bias.zero_()
        # points near a plane of 2 m, seen as a camera would
        network.points_head.output_blocks[-1].bias[2] = 0.7
    path = tmp_path / "model.pt"
    torch.save({"model_config": config, "model": network.state_dict()}, path)
    return network, path


def test_moge(moge: tuple[Any, Path], frames: np.ndarray) -> None:
    network, path = moge
    # a folder as from the hub, or the file in it
    sources = [
        DepthModel("moge-2", weights=p, device="cpu", video=frames)
        for p in (path, path.parent)
    ]
    maps, focal = sources[0].model(frames)
    assert sources[0].model.digest == sources[1].model.digest
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    wanted = network.infer(images, use_fp16=False)
    seen = wanted["mask"].numpy()
    assert 0 < seen.mean() < 1
    assert np.isnan(maps[~seen]).all()
    np.testing.assert_allclose(maps[seen], wanted["depth"].numpy()[seen], rtol=1e-5)
    # the camera that projects its own points onto their pixels
    points = wanted["points"].numpy()
    x = points[..., 0] / points[..., 2] * focal[:, None, None] + 79.5
    y = points[..., 1] / points[..., 2] * focal[:, None, None] + 44.5
    rows, columns = np.mgrid[:90, :160]
    ok = np.isfinite(maps)
    np.testing.assert_allclose(x[ok], np.broadcast_to(columns, x.shape)[ok], atol=0.01)
    np.testing.assert_allclose(y[ok], np.broadcast_to(rows, y.shape)[ok], atol=0.01)


def test_weights_of_moge_with_holes(moge: tuple[Any, Path], frames: np.ndarray) -> None:
    path = moge[1]
    without(path, "scale_head.0.weight", "model")
    bad = DepthModel(
        "moge-2", weights=path.with_name("holes.pt"), device="cpu", video=frames
    )
    with pytest.raises(DepthError, match=r"1 weights are missing.*scale_head\.0\.w"):
        bad.model(frames)


@pytest.fixture
def anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    address = "github.com/ByteDance-Seed/Depth-Anything-3"
    needs = ("torchvision", "einops", "omegaconf", "addict")
    clone = checkout("SEURAT_DEPTH_ANYTHING_3_REPO", address, *needs)
    sys.path[:0] = [str(Path(clone) / "src")]
    for name, part in (("export", "export"), ("pose_align", "align_poses_umeyama")):
        # writers of scenes and alignment to given poses need many packages more
        module = ModuleType(f"depth_anything_3.utils.{name}")
        setattr(module, part, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    from depth_anything_3 import api  # type: ignore[import-not-found]

    load = api.load_config

    def small(path: str) -> Any:
        config = load(path)
        config.net.name, config.net.out_layers = "vits", [2, 5, 8, 11]
        config.head.dim_in, config.head.features = 384, 32
        config.head.out_channels = [16, 32, 64, 64]
        return config

    monkeypatch.setattr(api, "load_config", small)
    torch.manual_seed(0)
    network = api.DepthAnything3("da3metric-large").eval()
    with torch.no_grad():  # sky in a part of the picture
        last = network.model.head.scratch.sky_output_conv2[-1]
        held: list[Any] = []
        watch = last.register_forward_hook(lambda *a: held.append(a[-1]))
        network.inference([np.full((90, 160, 3), 128, np.uint8)])
        watch.remove()
        last.weight.div_(held[0].std() / 0.3)
        last.bias.copy_(0.45 - (held[0] - last.bias).median() * 0.3 / held[0].std())
    folder = tmp_path / "da3"
    network.save_pretrained(folder, config={"model_name": "da3metric-large"})
    return network, folder


def test_depth_anything_3(anything: tuple[Any, Path], frames: np.ndarray) -> None:
    network, folder = anything
    source = DepthModel(
        "depth-anything-3-metric", weights=folder, device="cpu", video=frames
    )
    maps, focal = source.model(frames)
    assert focal is None
    found = [network.inference([frame]) for frame in frames]
    wanted = np.concatenate([f.depth for f in found])
    sky = np.concatenate([f.sky for f in found])
    assert maps.shape == wanted.shape == (2, 280, 504)  # multiples of 14
    # a camera of 160 pixels' focal length, in pixels of what the network saw
    focal = (160 * 504 / 160 + 160 * 280 / 90) / 2
    for got, depth, there in zip(maps, wanted, sky, strict=True):
        assert 0 < there.mean() < 1
        filled = depth == depth[there][0]
        assert (depth[there] == depth[there][0]).all()
        assert (np.isnan(got) == filled).all()
        seen = depth[~filled] * focal / 300
        np.testing.assert_allclose(got[~filled], seen, rtol=1e-5)


def test_weights_of_depth_anything_3_with_holes(
    anything: tuple[Any, Path], frames: np.ndarray
) -> None:
    from safetensors.torch import load_file, save_file

    file = anything[1] / "model.safetensors"
    held = load_file(file)
    held.pop("model.head.projects.0.weight")
    save_file(held, file)
    bad = DepthModel(
        "depth-anything-3-metric", weights=file, device="cpu", video=frames
    )
    with pytest.raises(DepthError, match=r"1 weights are missing.*projects\.0\.w"):
        bad.model(frames)


def test_apples_depth_pro(
    tmp_path: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "github.com/apple/ml-depth-pro"
    clone = checkout("SEURAT_DEPTH_PRO_REPO", address, "torchvision", "timm")
    sys.path[:0] = [str(Path(clone) / "src")]
    from depth_pro import depth_pro as own  # type: ignore[import-not-found]
    from depth_pro.network import vit_factory  # type: ignore[import-not-found]

    preset = "dinov2l16_384"
    small = replace(
        vit_factory.VIT_CONFIG_DICT[preset],
        embed_dim=384,
        encoder_feature_layer_ids=[2, 5, 8, 11],
        encoder_feature_dims=[32] * 4,
        timm_preset="vit_small_patch14_dinov2",
    )
    monkeypatch.setitem(vit_factory.VIT_CONFIG_DICT, preset, small)
    config = replace(own.DEFAULT_MONODEPTH_CONFIG_DICT, decoder_features=32)
    monkeypatch.setattr(own, "DEFAULT_MONODEPTH_CONFIG_DICT", config)
    torch.manual_seed(0)
    network, transform = own.create_model_and_transforms(
        config=replace(config, checkpoint_uri=None)
    )
    with torch.no_grad():
        network.fov.head[-1].bias.fill_(50.0)  # degrees
        network.head[-2].bias.fill_(0.3)  # 1 / metres
    network.eval()
    path = tmp_path / "depth_pro.pt"
    torch.save(network.state_dict(), path)
    source = DepthModel("depth-pro-apple", weights=path, device="cpu", video=frames)
    maps, focal = source.model(frames[:1])
    wanted = network.infer(transform(frames[0]))
    np.testing.assert_allclose(focal, float(wanted["focallength_px"]), rtol=1e-5)
    got = maps[0] * (focal[0] / 160)
    np.testing.assert_allclose(got, wanted["depth"].numpy(), rtol=1e-4)
    assert 160 < focal[0] < 180
