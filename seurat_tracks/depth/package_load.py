"""Load the networks of depth packages with the packages' own code, from this machine.

Two of them fill a network as far as a file goes and leave the rest random; here what
is missing is refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import torch

WEIGHTS_FILES = {"moge": "model.pt", "depth_anything_3": "model.safetensors"}
"""What a package's weights are called in a folder of them."""

_UNUSED = ("mask_token",)
"""Parameters of training alone."""


@lru_cache(maxsize=2)
def load_network(
    package: str, weights: str, digest: str, device: str, dtype: str
) -> Any:
    """Load a network, and keep the last ones.

    Parameters
    ----------
    package
        "depth_pro", "moge" or "depth_anything_3".
    weights
        File or folder.
    digest
        Hash of the weights; another hash is another network.
    device
        A torch device that is there.
    dtype
        Name of a torch dtype that the device has.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    DepthError
        If the file holds none of its weights, or not all.
    """
    import torch

    try:
        network = _LOADERS[package](weights, getattr(torch, dtype))
    except (
        UnpicklingError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        text = " ".join(str(error).split())[:300]
        raise DepthError(
            f"{weights} does not load as weights of {package}: "
            f"{type(error).__name__}: {text}"
        ) from error
    return network.to(device).eval()


def _depth_pro(weights: str, precision: torch.dtype) -> Any:
    from dataclasses import replace

    import torch

    own = importlib.import_module("depth_pro.depth_pro")
    config = replace(own.DEFAULT_MONODEPTH_CONFIG_DICT, checkpoint_uri=None)
    network, _ = own.create_model_and_transforms(
        config=config, device=torch.device("cpu"), precision=torch.float32
    )
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(state, strict=True)
    return network.to(precision)


def _moge(weights: str, _: torch.dtype) -> Any:
    import torch

    own = importlib.import_module("moge.model.v2")
    network = own.MoGeModel.from_pretrained(weights)
    held = torch.load(weights, map_location="meta", weights_only=True)["model"]
    refuse_holes(network, held, weights)
    return network  # half precision is a setting of each answer


def _depth_anything_3(weights: str, _: torch.dtype) -> Any:
    from safetensors import safe_open

    own = importlib.import_module("depth_anything_3.api")
    network = own.DepthAnything3.from_pretrained(weights, local_files_only=True)
    file = Path(weights) / WEIGHTS_FILES["depth_anything_3"]
    with safe_open(file, framework="pt") as held:
        refuse_holes(network, held.keys(), weights)
    return network


_LOADERS: dict[str, Callable[[str, torch.dtype], Any]] = {
    "depth_pro": _depth_pro,
    "moge": _moge,
    "depth_anything_3": _depth_anything_3,
}


def refuse_holes(network: torch.nn.Module, held: Iterable[str], weights: str) -> None:
    """Refuse weights that leave a part of a network random.

    Raises
    ------
    DepthError
        Says how many are missing, and names one.
    """
    names: dict[int, list[str]] = {}
    for name, one in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(one), []).append(name)
    held = set(held)
    missing = [
        same[0]
        for same in names.values()
        if not (held.intersection(same) or same[0].endswith(_UNUSED))
    ]
    if missing:
        raise DepthError(
            f"{weights}: {len(missing)} weights are missing, such as {missing[0]}: the "
            "answers would be noise"
        )
