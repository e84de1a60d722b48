"""Depth models of the transformers library, from a folder of safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import Kind
from seurat_tracks.depth.catalogue import read_config, weights_hash
from seurat_tracks.depth.frame_model import Answer
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import torch

KINDS_BY_TYPE: dict[str, Kind] = {
    "depth_pro": "metric",
    "dpt": "affine_disparity",
    "glpn": "metric",
    "zoedepth": "metric",
}
"""What models of a type give; those of several kinds are asked in `kind_of_config`."""

DEPTH_PRO_RANGE = (1e-4, 1e4)
"""Inverse depths, 1/m, that Depth Pro's authors clip to."""


def kind_of_config(config: dict[str, Any], name: str) -> Kind:
    """Say what a model's maps are, by its configuration.

    Raises
    ------
    DepthError
        If the configuration does not tell.
    """
    model_type = str(config.get("model_type"))
    if model_type == "depth_anything":
        stated = config.get("depth_estimation_type", "relative")
        return "metric" if stated == "metric" else "affine_disparity"
    if model_type in KINDS_BY_TYPE:
        return KINDS_BY_TYPE[model_type]
    raise DepthError(
        f"{name} is a model of type {model_type!r}, whose configuration does not say "
        'what its maps are: say kind="metric", "scale", "affine" or '
        '"affine_disparity" after its own documentation'
    )


class HubModel:
    """A transformers depth model; loaded when first used, one in each process.

    Parameters
    ----------
    folder
        ``config.json``, ``*.safetensors`` and, but for Depth Pro,
        ``preprocessor_config.json``.
    name, licence
        What to record.
    device
        A torch device that is there.
    dtype
        "float32", or on CUDA "float16" or "bfloat16".
    kind
        What the maps are, where the caller knows; None asks the configuration.

    Raises
    ------
    DepthError
        If the folder holds no such model, or half precision is asked of a CPU.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        licence: str,
        device: str,
        dtype: str = "float32",
        kind: Kind | None = None,
    ) -> None:
        check_dtype(dtype, device, name)
        self.config = read_config(folder)
        self.folder = str(folder)
        self.name = name
        self.licence = licence
        self.device = device
        self.dtype = dtype
        self.kind: Kind = kind or kind_of_config(self.config, name)
        self.model_type = str(self.config.get("model_type"))
        if self.model_type == "prompt_depth_anything":
            raise DepthError(
                f"{name} wants sparse depth of a sensor beside each frame, which is "
                "not offered here; give that depth itself as depth="
            )
        self.digest = f"{weights_hash(folder)} {dtype} 1"
        self.per_focal = self.model_type == "depth_pro"
        self.has_focal = self.per_focal and bool(
            self.config.get("use_fov_model", False)
        )

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8; maps have the frames' size."""
        import torch

        network, processor = _load(self.folder, self.digest, self.device, self.dtype)
        if self.per_focal:
            pixels = depth_pro_pixels(frames, network.config)
        else:
            try:
                batch = processor(images=list(frames), return_tensors="pt")
            except ImportError as error:
                raise _needs_torchvision(self.name) from error
            pixels = batch["pixel_values"]
        pixels = pixels.to(self.device, getattr(torch, self.dtype))
        with torch.inference_mode():
            output = network(pixel_values=pixels)
        size = frames.shape[1:3]
        depth = output.predicted_depth.float()
        if self.per_focal:
            maps = resize(depth, size, "bilinear").clamp(*DEPTH_PRO_RANGE).reciprocal()
            view = getattr(output, "field_of_view", None)
            return Answer(maps.cpu().numpy(), _focal(view, size[1]))
        if self.model_type == "zoedepth" and getattr(processor, "do_pad", False):
            maps = without_padding(depth, size)
        else:
            maps = resize(depth, size, "bicubic")
        return Answer(maps.cpu().numpy())


def check_dtype(dtype: str, device: str, name: str) -> None:
    """Refuse precisions that a device does not do, or that nobody asked models for.

    Raises
    ------
    DepthError
        The text names those that are there.
    """
    if dtype not in ("float32", "float16", "bfloat16"):
        raise DepthError(
            f"{name}: dtype must be float32, float16 or bfloat16, got {dtype!r}"
        )
    if dtype != "float32" and not device.startswith("cuda"):
        raise DepthError(
            f"{name}: {dtype} is for CUDA devices, and this is {device!r}: use "
            "dtype='float32'"
        )


def depth_pro_pixels(frames: np.ndarray, config: Any) -> torch.Tensor:
    """Frames as Depth Pro wants them: -1 to 1, then resized to its square.

    The library's own processor for it needs torchvision; this is the same arithmetic.

    Parameters
    ----------
    frames : uint8 array (B, y, x, rgb)
    config
        Of the network: the square at its smallest scale is one patch (1536 pixels).

    Returns
    -------
    float32 tensor (B, rgb, side, side)
    """
    import torch

    side = round(config.patch_size / min(config.scaled_images_ratios))
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    images = images.to(torch.float32) / 127.5 - 1.0
    return torch.nn.functional.interpolate(
        images, size=(side, side), mode="bilinear", align_corners=False
    )


def resize(maps: torch.Tensor, size: tuple[int, ...], mode: str) -> torch.Tensor:
    """Bring maps (B, y, x) to the size of the frames, as the models' authors do."""
    import torch

    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return torch.nn.functional.interpolate(
        maps[:, None], size=tuple(size), mode=mode, align_corners=False
    )[:, 0]


def without_padding(depth: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Cut off maps (B, y, x) the mirrored border that ZoeDepth's processor adds."""
    rows, columns = (int(np.sqrt(side / 2) * 3) for side in size)
    padded = (size[0] + 2 * rows, size[1] + 2 * columns)
    whole = resize(depth, padded, "bicubic")
    return whole[:, rows : rows + size[0], columns : columns + size[1]]


def _focal(view: torch.Tensor | None, width: int) -> np.ndarray | None:
    """Focal length in pixels from a horizontal field of view in degrees."""
    if view is None:
        return None
    degrees = view.detach().float().cpu().numpy().astype(np.float64).reshape(-1)
    return 0.5 * width / np.tan(np.deg2rad(degrees) / 2)


def _needs_torchvision(name: str) -> DepthError:
    return DepthError(
        f"{name}: its image processor needs torchvision, in the version that belongs "
        "to your torch: pip install torchvision"
    )


@lru_cache(maxsize=2)
def _load(folder: str, digest: str, device: str, dtype: str) -> tuple[Any, Any]:
    """Network and image processor, from this machine alone."""
    try:
        import torch
        from transformers import AutoImageProcessor
    except ImportError as error:
        raise DepthError(
            'depth models need transformers: pip install "seurat-tracks[depth]"'
        ) from error
    processor = None
    if read_config(Path(folder)).get("model_type") != "depth_pro":
        try:
            processor = AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, backend="pil"
            )
        except ImportError as error:
            raise _needs_torchvision(folder) from error
        except (OSError, ValueError) as error:
            raise DepthError(
                f"{folder}: no usable preprocessor_config.json: {error}"
            ) from error
    with _quiet():
        network = _network(folder, getattr(torch, dtype))
    return network.to(device).eval(), processor


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's bar and its remarks on unused weights to itself."""
    from transformers.utils import logging as own

    bar, level = own.is_progress_bar_enabled(), own.get_verbosity()
    own.disable_progress_bar()
    own.set_verbosity_error()
    try:
        yield
    finally:
        own.set_verbosity(level)
        if bar:
            own.enable_progress_bar()


def _network(folder: str, dtype: Any) -> Any:
    """Read the network; weights that are not in the file are refused."""
    from transformers import AutoModelForDepthEstimation

    try:
        network, report = AutoModelForDepthEstimation.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DepthError(f"{folder} does not load as a depth model: {error}") from error
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise DepthError(
            f"{folder}: {len(missing)} weights are missing, such as {missing[0]}: the "
            "answers would be noise"
        )
    return network
