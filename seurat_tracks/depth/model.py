"""Depth models by name: ``DepthModel("depth-pro", video="clip.mp4")``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seurat_tracks.depth.catalogue import (
    CATALOGUE,
    UNKNOWN_LICENCE,
    find_weights,
    looks_like_model,
)
from seurat_tracks.depth.frame_model import FrameModel
from seurat_tracks.depth.frames import FrameDepth
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    from seurat_tracks.depth.base import Kind

PACKAGE_FILES = ("model.pt", "*.safetensors", "*.json", "README.md", "LICENSE*")


class DepthModel(FrameDepth):
    """Depth that a network finds in the frames of a video.

    Parameters
    ----------
    model
        A name of `seurat_tracks.depth.CATALOGUE`, such as "depth-pro"; OWNER/NAME of a
        transformers depth model on the Hugging Face hub; a folder of one; or your own
        `FrameModel`.
    weights
        Folder (or, for models of packages of their own, file) with the weights of a
        model named, instead of the hub's cache.
    device
        "auto" (CUDA, then MPS, then the CPU) or a torch device, which is then used or
        refused.
    dtype
        "float32", or on CUDA "float16" or "bfloat16".
    download
        True to fetch weights that are not on this machine. Without it nothing is ever
        fetched, and the error states their licence.
    licence
        What to record, where the weights do not say.
    kind, settings
        As for `FrameDepth`: video, part, batch, every, cache, scale, sampling, check.

    Raises
    ------
    DepthError
        If there is no such model, its package or its weights are missing, or an
        option makes no sense.
    WeightsError
        If the device is not there.

    Examples
    --------
    >>> import numpy as np
    >>> class Flat:
    ...     name, licence, kind = "flat", "", "metric"
    ...     digest, per_focal = "1", False
    ...
    ...     def __call__(self, frames):
    ...         return np.full(frames.shape[:3], 2.0), None
    >>> source = DepthModel(Flat(), video=np.zeros((3, 8, 6, 3), np.uint8))
    >>> source.name, source.metric
    ('flat', True)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | FrameModel,
        *,
        weights: str | os.PathLike[str] | None = None,
        device: str = "auto",
        dtype: str = "float32",
        download: bool = False,
        licence: str = "",
        kind: Kind | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(model, str | os.PathLike):
            model = named_model(
                os.fspath(model),
                weights=weights,
                device=device,
                dtype=dtype,
                download=download,
                licence=licence,
                kind=kind,
            )
        elif isinstance(model, type) or not isinstance(model, FrameModel):
            raise DepthError(
                f"a depth model is a name, a folder or an object with name, licence, "
                f"kind, digest, per_focal that can be called with frames, got "
                f"{type(model).__name__}"
            )
        super().__init__(model, kind=kind, **settings)


def named_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    dtype: str = "float32",
    download: bool = False,
    licence: str = "",
    kind: Kind | None = None,
) -> FrameModel:
    """Find a model by its name; parameters as for `DepthModel`.

    Raises
    ------
    DepthError, WeightsError
        As for `DepthModel`.
    """
    from seurat_tracks.depth.hub_models import HubModel
    from seurat_tracks.depth.package_models import ADAPTERS
    from seurat_tracks.model.pretrained import resolve_device

    if not looks_like_model(name):
        raise DepthError(
            f"no depth model {name!r}: give one of {', '.join(CATALOGUE)}, a "
            "transformers model as OWNER/NAME, or a folder with its config.json"
        )
    device = resolve_device(device)
    entry = CATALOGUE.get(name)
    package = "transformers" if entry is None else entry.package
    label = name
    if entry is not None and entry.repository and weights is None:
        label = f"{name} ({entry.repository})"
    elif entry is None and Path(name).expanduser().is_dir():
        label = Path(name).expanduser().resolve().name
    if package == "transformers":
        place, found = find_weights(
            name if weights is None else _folder(weights, name), download=download
        )
        return HubModel(
            place,
            name=label,
            licence=licence or _licence(found, entry),
            device=device,
            dtype=dtype,
            kind=kind,
        )
    assert entry is not None
    adapter = ADAPTERS[package]
    common: dict[str, Any] = {"name": label, "device": device, "dtype": dtype}
    if weights is None and entry.repository:
        from importlib.util import find_spec

        if find_spec(package) is None:
            adapter(licence=entry.licence, **common)  # says how to install it
        place, found = find_weights(name, download=download, files=PACKAGE_FILES)
        return adapter(place, licence=licence or found, **common)
    path = None if weights is None else Path(weights).expanduser()
    return adapter(path, licence=licence or entry.licence, **common)


def _folder(weights: str | os.PathLike[str], name: str) -> str:
    path = Path(weights).expanduser()
    if not path.is_dir():
        raise DepthError(
            f"{name}: weights={str(weights)!r} is no folder; give the one that holds "
            "config.json and *.safetensors"
        )
    return str(path)


def _licence(found: str, entry: Any) -> str:
    """Take what the weights say; else what the catalogue says."""
    if found == UNKNOWN_LICENCE and entry is not None:
        return str(entry.licence)
    return found
