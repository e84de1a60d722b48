"""Shape of the network, as one frozen record."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

_LEAST = {
    **dict.fromkeys(("width", "heads", "layers", "pair_width", "iterations"), 1),
    **dict.fromkeys(("near", "far", "motions"), 0),
    "window": 2,
    "mlp_ratio": 0.1,
}
"""Least values of `ModelConfig`'s fields."""


@dataclass(frozen=True)
class ModelConfig:
    """Size and switches of `seurat_tracks.model.network.SeuratNetwork`.

    Attributes
    ----------
    window
        Frames the network sees at once, W (paper section 4.2: 8).
    width
        Channels of a token (paper: 384).
    heads
        Attention heads; ``width / heads`` is the head width (64 here; the paper
        has 8 heads of 48).
    layers
        Layers per branch, L, each temporal then spatial attention (paper: 2).
    mlp_ratio
        Hidden channels of a perceptron over its input channels (not in the paper).
    shared_branches
        Whether support and query branch use the same weights. The paper draws two
        sets; one set halves the file and learns from both kinds of tokens.
    near, far
        Neighbours per point for the pair features: the nearest, and some spread
        over growing ranks of distance (not in the paper).
    pair_width
        Channels of the pair perceptron.
    motions
        Rigid motions fitted to each window, one to what the others leave (not in the
        paper, which has none: 0).
    iterations
        Refinement passes, the prediction fed back in (the paper does not say how
        many); can be changed at inference.
    """

    window: int = 8
    width: int = 384
    heads: int = 6
    layers: int = 2
    mlp_ratio: float = 4.0
    shared_branches: bool = False
    near: int = 12
    far: int = 8
    pair_width: int = 48
    motions: int = 2
    iterations: int = 4

    def faults(self) -> list[str]:
        """Say why no such network can be; nothing if one can."""
        faults = [
            f"{name}={getattr(self, name)} must be from {least}"
            for name, least in _LEAST.items()
            if not least <= getattr(self, name) < math.inf
        ]
        if self.far > 0 and self.near < 1:
            faults.append(f"far={self.far} neighbours need near >= 1")
        if self.heads > 0 and self.width % self.heads:
            faults.append(
                f"width={self.width} must be a multiple of heads={self.heads}"
            )
        return faults

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ModelConfig:
        """Read the fields back; unknown ones mean a newer file and are refused."""
        unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(
                f"model configuration has unknown fields {unknown}: the weights were "
                "made by a newer seurat-tracks; upgrade it"
            )
        # the first files are older than rigid motions
        return cls(**{"motions": 0, **fields})


PRESETS = {
    "small": ModelConfig(
        width=128,
        heads=2,
        layers=3,
        mlp_ratio=2.0,
        shared_branches=True,
        iterations=1,
    ),
    "base": ModelConfig(iterations=2),
}
"""Sizes by name; `small` is for the CPU, `base` is the paper's size.

More iterations cost as many times the time, and gained nothing where they were tried
(docs/trials.md: 1, 2 and 4).
"""
