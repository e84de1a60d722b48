import subprocess
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from seurat_tracks.depth import DepthModel
from seurat_tracks.depth.package_models import (
    AppleDepthPro,
    DepthAnything3Metric,
    MoGe,
)
from seurat_tracks.errors import DepthError

torch = pytest.importorskip("torch")

H, W = 6, 8
COMMON = {"name": "stand-in", "licence": "", "digest": "1"}


@pytest.fixture
def frames(rng):
    return rng.integers(0, 255, (3, H, W, 3), dtype=np.uint8)


class ApplePart:
    """Answers as Apple's ``DepthPro.infer`` does: one image, squeezed tensors."""

    def infer(self, image):
        assert image.shape == (3, H, W)
        assert float(image.min()) >= -1
        assert float(image.max()) <= 1
        canonical = image.mean(0) + 2
        focal = torch.tensor(W * 1.25)
        return {"depth": canonical * (focal / W), "focallength_px": focal}


class TestApple:
    def test_depth_per_focal_length(self, frames):
        model = AppleDepthPro(network=ApplePart(), **COMMON)
        answer = model(frames)
        expected = (frames / 127.5 - 1).mean(-1) + 2
        np.testing.assert_allclose(answer.maps, expected, rtol=1e-5)
        np.testing.assert_array_equal(answer.focal, [W * 1.25] * 3)

    def test_through_a_source(self, frames):
        model = AppleDepthPro(network=ApplePart(), **COMMON)
        source = DepthModel(model, video=frames)
        assert source.intrinsics() == (10.0, 10.0, 3.5, 2.5)

    def test_loaded_as_its_package_wants(self, tmp_path, monkeypatch, frames):
        made = {}

        @dataclass
        class Config:
            checkpoint_uri: str | None = "./checkpoints/depth_pro.pt"
            decoder: int = field(default=1)

        class Network(torch.nn.Linear, ApplePart):
            pass

        def create(config, device, precision):
            made.update(config=config, device=device, precision=precision)
            return Network(2, 2), None

        package, inner = ModuleType("depth_pro"), ModuleType("depth_pro.depth_pro")
        package.__spec__ = SimpleNamespace(loader=None)
        inner.DEFAULT_MONODEPTH_CONFIG_DICT = Config()
        inner.create_model_and_transforms = create
        monkeypatch.setitem(sys.modules, "depth_pro", package)
        monkeypatch.setitem(sys.modules, "depth_pro.depth_pro", inner)
        path = tmp_path / "depth_pro.pt"
        torch.save(Network(2, 2).state_dict(), path)
        source = DepthModel("depth-pro-apple", weights=path, device="cpu", video=frames)
        assert source.intrinsics()[0] == 10
        # its own loader would have read a file that is not there
        assert made["config"].checkpoint_uri is None
        assert made["precision"] == torch.float32
        assert "Apple" in source.licence
        with pytest.raises(DepthError, match=r"no weights at .*nothing.pt"):
            DepthModel("depth-pro-apple", weights=tmp_path / "nothing.pt")


def test_moge(frames):
    class Network:
        def infer(self, images, *, use_fp16):
            assert images.shape == (3, 3, H, W)
            assert not use_fp16
            depth = images.mean(1) + 1
            depth[:, 0] = torch.inf  # sky
            k = torch.eye(3).repeat(3, 1, 1)
            k[:, 0, 0] = 0.9
            return {"depth": depth, "intrinsics": k}

    model = MoGe(network=Network(), **COMMON)
    answer = model(frames)
    assert not model.per_focal
    assert np.isnan(answer.maps[:, 0]).all()
    np.testing.assert_allclose(
        answer.maps[:, 1:], (frames / 255).mean(-1)[:, 1:] + 1, rtol=1e-5
    )
    np.testing.assert_allclose(answer.focal, [0.9 * W] * 3)


def test_depth_anything_3(frames):
    class Network:
        def inference(self, images):
            assert len(images) == 1
            assert images[0].shape == (H, W, 3)
            depth = np.full((1, 14, 28), 3.0)
            depth[0, :2] = 9.5  # the package puts sky where the farthest is,
            sky = np.zeros(depth.shape, bool)
            sky[0, 0] = True  # and a little around it too
            return SimpleNamespace(depth=depth, sky=sky)

    model = DepthAnything3Metric(network=Network(), **COMMON)
    answer = model(frames)
    # a focal length of 1.2 * 8 = 9.6 pixels: 33.6 at 28 columns for 8, 22.4 at 14 rows
    # for 6; 28 on average
    assert np.isnan(answer.maps[:, :2]).all()
    np.testing.assert_allclose(answer.maps[:, 2:] * 1.2, 3 * 28 / 300, rtol=1e-6)
    assert answer.focal is None
    assert not model.has_focal


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("depth-pro-apple", r"depth_pro: pip install git\+https://github.com/apple"),
        ("moge-2", r"moge: pip install git\+https://github.com/microsoft/MoGe"),
        ("depth-anything-3-metric", r"depth_anything_3: pip install git\+https"),
    ],
)
def test_missing_packages_say_how_to_get_them(name, text, monkeypatch):
    from importlib import util

    monkeypatch.setattr(util, "find_spec", lambda package: None)
    with pytest.raises(DepthError, match=text):
        DepthModel(name)


@pytest.mark.parametrize(
    ("name", "files", "text"),
    [
        ("moge-2", [], r"holds no model\.pt"),
        ("moge-2", ["model.pt"], r"does not load as weights of moge: \w+Error"),
        ("depth-anything-3-metric", ["model.safetensors"], r"holds no config\.json"),
        ("depth-pro-apple", [], r"holds no depth_pro\.pt"),
    ],
)
def test_files_that_are_no_weights(name, files, text, tmp_path, monkeypatch, frames):
    class MoGeModel:
        @staticmethod
        def from_pretrained(path):
            return torch.load(path, weights_only=True)

    for package in ("moge", "depth_anything_3", "depth_pro"):
        module = ModuleType(package)
        module.__spec__ = SimpleNamespace(loader=None)
        monkeypatch.setitem(sys.modules, package, module)
    model, v2 = ModuleType("moge.model"), ModuleType("moge.model.v2")
    v2.MoGeModel = MoGeModel
    monkeypatch.setitem(sys.modules, "moge.model", model)
    monkeypatch.setitem(sys.modules, "moge.model.v2", v2)
    for file in files:
        (tmp_path / file).write_text("not found")
    with pytest.raises(DepthError, match=text):
        DepthModel(name, weights=tmp_path, device="cpu", video=frames).model(frames)


@pytest.mark.parametrize(
    ("adapter", "dtype"), [(MoGe, "bfloat16"), (DepthAnything3Metric, "float16")]
)
def test_precisions_that_a_package_does_not_do(adapter, dtype):
    with pytest.raises(DepthError, match=f"does no {dtype}"):
        adapter(network=object(), device="cuda:0", dtype=dtype, **COMMON)


def test_own_networks_need_a_digest():
    with pytest.raises(DepthError, match="digest="):
        MoGe(network=object(), name="x", licence="")


def test_nothing_heavy_is_imported():
    code = (
        "import sys, seurat_tracks.depth;"
        "print({'torch', 'transformers', 'huggingface_hub', 'zarr', 'cv2', 'OpenEXR'}"
        " & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"
