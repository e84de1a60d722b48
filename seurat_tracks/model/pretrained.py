"""Find, load and write weights (safetensors; configuration and record inside)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seurat_tracks.errors import WeightsError

if TYPE_CHECKING:
    import torch

    from seurat_tracks.model.config import ModelConfig
    from seurat_tracks.model.network import SeuratNetwork

FORMAT = "seurat-tracks weights 1"
"""Mark of our files in the safetensors metadata."""

SHIPPED = Path(__file__).parent / "weights"
"""Folder of the weights in the wheel."""

PREFERENCE = ("base", "small")
"""Shipped names, best first: what ``model="auto"`` takes."""

HUB_PREFIX = "hub:"
"""Names that may be downloaded begin with this; nothing else ever is."""


@dataclass(frozen=True)
class Pretrained:
    """A trained network and its record.

    Attributes
    ----------
    name
        Preset name, or the path it was read from.
    hash
        First 16 hexadecimal digits of the file's SHA-256.
    licence
        Licence of the weights.
    network
        The network, float32, in evaluation mode.
    record
        What the file says of its training: recipe, seed, steps, scores.
    """

    name: str
    hash: str
    licence: str
    network: SeuratNetwork
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> ModelConfig:
        """Size of the network."""
        return self.network.config


def shipped_models() -> list[str]:
    """Names of the weights in this installation, best first."""
    names = {path.stem for path in SHIPPED.glob("*.safetensors")}
    return [n for n in PREFERENCE if n in names] + sorted(names - set(PREFERENCE))


def name_anywhere(path: Path, info: Pretrained) -> str:
    """Say what `find_weights` takes on another machine as well, where it can.

    Shipped weights lie elsewhere there, and are the same; others go by their path.
    """
    return info.name if info.name in shipped_models() else str(path.resolve())


def find_weights(model: str | os.PathLike[str] = "auto") -> Path:
    """Find a weights file: a path, then the wheel, then, only if named so, a hub.

    Parameters
    ----------
    model
        Path of a ``.safetensors`` file; the name of shipped weights; "auto" for the
        best shipped ones; or ``hub:OWNER/NAME`` (or ``hub:OWNER/NAME/FILE``) to
        download a file with `huggingface_hub`.

    Raises
    ------
    WeightsError
        Where there is nothing of that name.
    """
    shipped = shipped_models()
    try:
        name = os.fspath(model)
    except TypeError:
        raise WeightsError(
            f"model must be a name or a path, got {model!r}; 'auto' takes the best "
            "shipped weights"
        ) from None
    if name == "auto":
        if not shipped:
            raise WeightsError(
                "this installation holds no trained weights; give the path of a "
                ".safetensors file as model="
            )
        name = shipped[0]
    if name in shipped:
        return SHIPPED / f"{name}.safetensors"
    if name.startswith(HUB_PREFIX):
        return _download(name.removeprefix(HUB_PREFIX))
    path = Path(name)
    if path.is_file():
        return path
    raise WeightsError(
        f"no model {name!r}: it is neither a file nor one of the shipped weights "
        f"({', '.join(shipped) or 'none'}). A hub is asked only for names that begin "
        f"with {HUB_PREFIX!r}"
    )


def _download(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise WeightsError(
            "weights on a hub need the package huggingface_hub: pip install "
            "huggingface_hub"
        ) from error
    owner, _, rest = name.partition("/")
    repository, _, filename = rest.partition("/")
    if not repository:
        raise WeightsError(f"{HUB_PREFIX}{name} is not {HUB_PREFIX}OWNER/NAME[/FILE]")
    return Path(
        hf_hub_download(f"{owner}/{repository}", filename or "model.safetensors")
    )


def _is_stored(key: str, config: ModelConfig) -> bool:
    """Whether a tensor is in the file: shared branches are stored once."""
    return not (config.shared_branches and key.startswith("query_branch."))


def file_hash(path: str | os.PathLike[str]) -> str:
    """First 16 hexadecimal digits of a file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def load_model(model: str | os.PathLike[str] = "auto") -> Pretrained:
    """Load a trained network.

    Parameters
    ----------
    model
        As in `find_weights`.

    Returns
    -------
    Pretrained

    Raises
    ------
    WeightsError
        If there is no such file, it is damaged, or it is not ours. Random weights
        are never used in its place.
    """
    from safetensors import SafetensorError, safe_open

    from seurat_tracks.model.config import ModelConfig
    from seurat_tracks.model.network import SeuratNetwork

    path = find_weights(model)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file: {error}"
        ) from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} holds no seurat-tracks weights (its format mark is "
            f"{metadata.get('format')!r}, expected {FORMAT!r})"
        )
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error
    network = SeuratNetwork(config)
    expected = {k for k in network.state_dict() if _is_stored(k, config)}
    if expected != set(tensors):
        missing = sorted(expected - set(tensors))[:5]
        extra = sorted(set(tensors) - expected)[:5]
        raise WeightsError(
            f"{path} does not fit its own configuration: missing {missing}, "
            f"unexpected {extra}; the file is damaged or of another version"
        )
    try:
        network.load_state_dict(tensors, strict=False)  # names were compared above
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit its configuration: {error}") from error
    network.eval().requires_grad_(False)
    shipped = path.parent == SHIPPED
    return Pretrained(
        name=path.stem if shipped else str(path),
        hash=file_hash(path),
        licence=metadata.get("licence", ""),
        network=network,
        record=json.loads(metadata.get("record", "{}")),
    )


@lru_cache(maxsize=4)
def cached_network(
    path: str,
    digest: str,
    device: str,
    precision: str = "float32",
    compiled: bool = False,
) -> SeuratNetwork:
    """Load a network onto a device once per process, for Dask tasks.

    Parameters
    ----------
    path, digest
        The weights file and its `file_hash`; a file that changed meanwhile is refused.
    device
        Torch device.
    precision, compiled
        As in `seurat_tracks.model.speed.prepare`.
    """
    from seurat_tracks.model.speed import prepare

    model = load_model(path)
    if model.hash != digest:
        raise WeightsError(f"{path} changed since the graph was built; build it again")
    return prepare(model.network, device, precision, compiled)


def resolve_device(device: str = "auto") -> str:
    """Choose a torch device; an explicit one is never replaced by another.

    Parameters
    ----------
    device
        "auto" (CUDA, then MPS, then the CPU) or a torch device name.

    Raises
    ------
    WeightsError
        If the named device is not there.
    """
    import torch

    if not isinstance(device, str):
        raise WeightsError(f"device must be a name such as 'cpu', got {device!r}")
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    have = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        have.append("mps")
    if device not in have and not (device == "cuda" and "cuda:0" in have):
        raise WeightsError(
            f"device {device!r} is not available on this machine (available: "
            f"{', '.join(have)}); use one of these or device='auto'"
        )
    return device


def save_weights(
    path: str | os.PathLike[str],
    state: dict[str, torch.Tensor],
    config: ModelConfig,
    *,
    record: dict[str, Any],
    licence: str = "Apache-2.0",
) -> None:
    """Write weights in half precision, with their configuration and record.

    Parameters
    ----------
    path
        File to write.
    state
        The network's ``state_dict``.
    config
        Its size.
    record
        Recipe, seed, steps and scores, as JSON values.
    licence
        Licence of the weights.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {
        k: v.detach().to("cpu", torch.float16).contiguous()
        for k, v in state.items()
        if _is_stored(k, config)
    }
    save_file(
        tensors,
        os.fspath(path),
        metadata={
            "format": FORMAT,
            "config": json.dumps(config.to_dict(), sort_keys=True),
            "record": json.dumps(record, sort_keys=True),
            "licence": licence,
        },
    )
