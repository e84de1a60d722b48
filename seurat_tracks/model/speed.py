"""How fast the network runs: its precision, its compiler, and batches that fit."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Literal

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    from seurat_tracks.model.network import SeuratNetwork

Precision = Literal["auto", "float32", "bfloat16"]

PRECISIONS = ("auto", "float32", "bfloat16")

TOKENS = {"cpu": 24_000, "mps": 50_000, "cuda": 400_000}
"""Pairs of point and frame in one pass of the network, by device; bounds its memory.

On the CPU small passes are faster, as their arrays stay in the heap and in the cache,
until threads wait for each other between many short steps.
"""

_SHORT = ("can't allocate memory", "not enough memory", "out of memory")
# of devices, by name, whose memory turned out to hold less than TOKENS
_fits: dict[str, int] = {}
_log = logging.getLogger(__name__)


class MemoryNotice(UserWarning):
    """Says that memory was short and that smaller batches are used from now on."""


def resolve_precision(precision: Precision, device: str) -> str:
    """Choose the precision of the network's matrix products.

    Parameters
    ----------
    precision
        "float32", "bfloat16", or "auto": bfloat16 on CUDA devices that have it,
        float32 elsewhere.
    device
        Torch device, from `seurat_tracks.model.pretrained.resolve_device`.

    Raises
    ------
    SeuratTracksError
        If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise SeuratTracksError(
            f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}"
        )
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "float32"


def prepare(
    network: SeuratNetwork, device: str, precision: str, compiled: bool
) -> SeuratNetwork:
    """Put a network on its device, in its precision, compiled if that is wanted.

    Parameters
    ----------
    network
        The network, which is changed.
    device
        Torch device.
    precision
        "float32" or "bfloat16". What the network is told, the rigid motions and the
        heads stay in float32.
    compiled
        Let torch.compile fuse the layers. The first windows then take a minute, and
        every new shape some seconds.
    """
    import torch

    network = network.to(device)
    if precision == "bfloat16":
        network.lower(torch.bfloat16)
    if compiled:
        for branch in {network.support_branch, network.query_branch}:
            for layer in branch.layers:
                layer.compile()
    network.even_batches = compiled
    return network


def batch_tokens(device: str) -> int:
    """Tokens of one pass that are known, or hoped, to fit a device."""
    kind = device.partition(":")[0]
    return _fits.get(device, TOKENS.get(kind, TOKENS["cpu"]))


def is_memory_error(error: BaseException) -> bool:
    """Whether an error says that memory is short, the device's or the machine's."""
    import torch

    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(s in text for s in _SHORT)


def halve(device: str, tokens: int, least: int) -> int:
    """Say how many tokens to try next after a pass ran out of memory.

    Parameters
    ----------
    device
        Torch device; the answer is remembered for its next passes.
    tokens
        Tokens of the pass that failed.
    least
        Tokens of one window with one point.

    Raises
    ------
    MemoryError
        If nothing smaller is left to try.

    Warns
    -----
    MemoryNotice
        Every time.
    """
    import torch

    if tokens <= least:
        raise MemoryError(
            f"not even one window of one track fits the memory of {device}; free some "
            'of it, or choose device="cpu"'
        )
    half = max(tokens // 2, least)
    _fits[device] = half
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    text = (
        f"{device} is out of memory with {tokens:,} points and frames at a time; going "
        f"on with {half:,}, which gives the same answer"
    )
    _log.warning(text)
    warnings.warn(text, MemoryNotice, stacklevel=3)
    return half
