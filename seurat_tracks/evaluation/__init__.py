"""Measure lifted tracks against the truth.

Examples
--------
>>> import seurat_tracks as st
>>> "median" in st.evaluation.SCALINGS
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seurat_tracks.evaluation.align import SCALINGS
    from seurat_tracks.evaluation.compare import evaluate
    from seurat_tracks.evaluation.metrics import metric_intrinsics, tapvid3d_metrics
    from seurat_tracks.evaluation.ratio import log_ratio_error
    from seurat_tracks.evaluation.stability import scale_drift, temporal_coherence

_HOMES = {
    "SCALINGS": "align",
    "evaluate": "compare",
    "log_ratio_error": "ratio",
    "metric_intrinsics": "metrics",
    "scale_drift": "stability",
    "tapvid3d_metrics": "metrics",
    "temporal_coherence": "stability",
}

__all__ = [
    "SCALINGS",
    "evaluate",
    "log_ratio_error",
    "metric_intrinsics",
    "scale_drift",
    "tapvid3d_metrics",
    "temporal_coherence",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"seurat_tracks.evaluation.{_HOMES[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
