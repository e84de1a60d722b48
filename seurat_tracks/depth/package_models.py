"""Depth models that come as packages of their own, where the user installed them.

Each adapter imports its package when first used, says how to install it where it is
not there, and takes a network that the caller built instead (``network=``).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import Kind
from seurat_tracks.depth.catalogue import file_digest, weights_hash
from seurat_tracks.depth.frame_model import Answer
from seurat_tracks.depth.hub_models import check_dtype
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import torch

INSTALL = {
    "depth_pro": (
        "pip install git+https://github.com/apple/ml-depth-pro (it is not on PyPI and "
        "wants numpy<2: use an environment of its own, or depth='depth-pro', which is "
        "the same network in transformers)"
    ),
    "moge": (
        "pip install git+https://github.com/microsoft/MoGe (the name moge is not on "
        "PyPI; it needs torchvision in the version that belongs to your torch)"
    ),
    "depth_anything_3": (
        "pip install git+https://github.com/ByteDance-Seed/Depth-Anything-3 (the "
        "depth-anything-3 0.1.1 of PyPI wants numpy<2 and does not install beside "
        "seurat-tracks: write its maps to files in an environment of its own)"
    ),
}
"""How to get each package."""


class PackageModel:
    """What the adapters have in common.

    Parameters
    ----------
    weights
        File or folder of the weights.
    name, licence
        What to record.
    device
        A torch device that is there.
    dtype
        "float32", or on CUDA "float16" or "bfloat16".
    network
        A network that is loaded already, instead of ``weights``; ``digest`` then
        stands for its weights.
    digest
        Hash of the weights where ``network`` is given.

    Raises
    ------
    DepthError
        If the package is not installed, or the weights are not there.
    """

    package = ""
    kind: Kind = "metric"
    per_focal = False
    has_focal = True

    def __init__(
        self,
        weights: Path | None = None,
        *,
        name: str,
        licence: str,
        device: str = "cpu",
        dtype: str = "float32",
        network: Any = None,
        digest: str = "",
    ) -> None:
        from importlib.util import find_spec

        check_dtype(dtype, device, name)
        if network is None and find_spec(self.package) is None:
            raise DepthError(
                f"{name} needs the package {self.package}: {INSTALL[self.package]}"
            )
        if network is not None and not digest:
            raise DepthError(
                f"{name}: network= needs digest=, a hash of its weights, under which "
                "answers are kept"
            )
        if network is None:
            if weights is None or not weights.exists():
                raise DepthError(f"{name}: no weights at {weights}; give weights=")
            folder = weights.is_dir()
            digest = weights_hash(weights) if folder else file_digest(weights)[:16]
        self.weights = "" if weights is None else str(weights)
        self.network = network
        self.name = name
        self.licence = licence
        self.device = device
        self.dtype = dtype
        self.digest = f"{digest} {dtype} 1"

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8."""
        raise NotImplementedError

    def loaded(self) -> Any:
        """Give the network, loaded when first used."""
        if self.network is not None:
            return self.network
        return _load(self.package, self.weights, self.digest, self.device, self.dtype)

    def images(self, frames: np.ndarray) -> torch.Tensor:
        """Frames (B, rgb, y, x), float32 0..1, on the device."""
        import torch

        images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return images.to(self.device).float() / 255


class AppleDepthPro(PackageModel):
    """Apple's own ``depth_pro`` package: metres, with its own focal length."""

    package = "depth_pro"
    per_focal = True

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8."""
        import torch

        network = self.loaded()
        width = frames.shape[2]
        images = (self.images(frames) * 2 - 1).to(getattr(torch, self.dtype))
        maps, focals = [], []
        with torch.inference_mode():
            for image in images:  # its infer() squeezes batches
                found = network.infer(image)
                focal = float(found["focallength_px"])
                # metres at this focal length -> at one frame width
                maps.append(found["depth"].float().cpu().numpy() * (width / focal))
                focals.append(focal)
        return Answer(np.stack(maps).astype(np.float32), np.array(focals))


class MoGe(PackageModel):
    """MoGe-2 of the ``moge`` package: metres with holes (sky), and a camera."""

    package = "moge"

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8."""
        import torch

        with torch.inference_mode():
            found = self.loaded().infer(
                self.images(frames), use_fp16=self.dtype == "float16"
            )
        maps = found["depth"].float().cpu().numpy()
        # its intrinsics are in units of the image's sides
        focal = found["intrinsics"][:, 0, 0].double().cpu().numpy() * frames.shape[2]
        return Answer(np.where(np.isfinite(maps), maps, np.nan), focal)


class DepthAnything3Metric(PackageModel):
    """DA3METRIC of the ``depth_anything_3`` package: metres for a known camera.

    Its output times the focal length (pixels of the picture that the network sees)
    over 300 is depth in metres, by its authors' README.
    """

    package = "depth_anything_3"
    per_focal = True
    has_focal = False

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8, one by one: views are joined."""
        network = self.loaded()
        maps = [np.asarray(network.inference([frame]).depth)[0] for frame in frames]
        stacked = np.stack(maps).astype(np.float32)
        return Answer(stacked * (stacked.shape[2] / 300))


ADAPTERS: dict[str, type[PackageModel]] = {
    cls.package: cls for cls in (AppleDepthPro, MoGe, DepthAnything3Metric)
}


@lru_cache(maxsize=2)
def _load(package: str, weights: str, digest: str, device: str, dtype: str) -> Any:
    """Load a network with its own package, from this machine alone."""
    import importlib

    import torch

    precision = getattr(torch, dtype)
    if package == "depth_pro":
        from dataclasses import replace

        own = importlib.import_module("depth_pro.depth_pro")
        config = replace(own.DEFAULT_MONODEPTH_CONFIG_DICT, checkpoint_uri=None)
        network, _ = own.create_model_and_transforms(
            config=config, device=torch.device(device), precision=precision
        )
        state = torch.load(weights, map_location=device, weights_only=True)
        network.load_state_dict(state, strict=True)
        return network.eval()
    if package == "moge":
        own = importlib.import_module("moge.model.v2")
        return own.MoGeModel.from_pretrained(weights).to(device).eval()
    own = importlib.import_module("depth_anything_3.api")
    return own.DepthAnything3.from_pretrained(weights).to(device).eval()
