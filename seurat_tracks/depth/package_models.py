"""Depth models that come as packages of their own, where the user installed them.

Each adapter imports its package when first used, says how to install it where it is
not there, and takes a network that the caller built instead (``network=``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import Kind
from seurat_tracks.depth.catalogue import file_digest, weights_hash
from seurat_tracks.depth.frame_model import Answer
from seurat_tracks.depth.hub_models import check_dtype
from seurat_tracks.depth.package_load import WEIGHTS_FILES, load_network
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
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")

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
        if dtype not in self.dtypes:
            raise DepthError(
                f"{name}: its package does no {dtype} when asked; give dtype= one of "
                f"{', '.join(self.dtypes)}"
            )
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
            weights = _found(self.package, weights, name)
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
        return load_network(
            self.package, self.weights, self.digest, self.device, self.dtype
        )

    def images(self, frames: np.ndarray) -> torch.Tensor:
        """Frames (B, rgb, y, x), float32 0..1, on the device."""
        import torch

        images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return images.to(self.device).float() / 255


def _found(package: str, weights: Path | None, name: str) -> Path:
    """File or folder, as the package takes it; either may be given."""
    if weights is None or not weights.exists():
        raise DepthError(f"{name}: no weights at {weights}; give weights=")
    file = WEIGHTS_FILES.get(package)
    if file is None or package == "moge":
        inside = weights / (file or "depth_pro.pt")
        if weights.is_dir() and not inside.is_file():
            raise DepthError(f"{name}: {weights} holds no {inside.name}")
        return inside if weights.is_dir() else weights
    if weights.is_file():
        weights = weights.parent
    absent = [n for n in (file, "config.json") if not (weights / n).is_file()]
    if absent:
        raise DepthError(f"{name}: {weights} holds no {' and no '.join(absent)}")
    return weights


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
    dtypes = ("float32", "float16")

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

    Its output times the focal length over 300 is depth in metres, by its authors'
    README: the mean of fx and fy in pixels of the picture that the network sees, whose
    sides are rounded each alone. Where it sees sky it puts the depth of what is
    farthest; here these are holes. Its precision is the package's own choice, half
    precision on every device.
    """

    package = "depth_anything_3"
    per_focal = True
    has_focal = False
    dtypes = ("float32",)

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8, one by one: views are joined."""
        network = self.loaded()
        maps = []
        for frame in frames:
            found = network.inference([frame])
            depth = np.asarray(found.depth, np.float32)[0]
            sky = getattr(found, "sky", None)
            if sky is not None and np.any(sky):
                # it fills a little more than it calls sky, all with one value
                filled = np.unique(depth[np.asarray(sky)[0]])
                depth = np.where(np.isin(depth, filled), np.float32(np.nan), depth)
            maps.append(depth)
        stacked = np.stack(maps)
        rows, columns = stacked.shape[1:]
        height, width = frames.shape[1:3]
        seen = (columns + rows * width / height) / 2  # focal length of one frame width
        return Answer(stacked * np.float32(seen / 300))


ADAPTERS: dict[str, type[PackageModel]] = {
    cls.package: cls for cls in (AppleDepthPro, MoGe, DepthAnything3Metric)
}
