"""2D point tracks of one ordinary video in, metric 3D tracks out.

Importing the package registers ``xr.Dataset.seurat``; torch, OpenCV and the rest load
when first used.

Examples
--------
>>> import seurat_tracks as st
>>> "track" in dir(st)
True
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from seurat_tracks._version import __version__

if find_spec("xarray"):  # a bare machine that only trains has none
    importlib.import_module("seurat_tracks.accessor")

if TYPE_CHECKING:
    from seurat_tracks import evaluation
    from seurat_tracks.doubt_table import quality_table
    from seurat_tracks.io.arrays import from_arrays
    from seurat_tracks.io.formats import export, read
    from seurat_tracks.io.store import open_store as open
    from seurat_tracks.io.video import open_video
    from seurat_tracks.large.many import lift_many
    from seurat_tracks.large.to_store import lift_store
    from seurat_tracks.lift import depth_ratio, lift3d
    from seurat_tracks.model.pretrained import load_model
    from seurat_tracks.reasons import quality
    from seurat_tracks.schema import validate
    from seurat_tracks.streaming.stream import stream
    from seurat_tracks.trackers.track import track

_HOMES: dict[str, tuple[str, str | None]] = {
    "depth_ratio": ("seurat_tracks.lift", "depth_ratio"),
    "evaluation": ("seurat_tracks.evaluation", None),
    "export": ("seurat_tracks.io.formats", "export"),
    "from_arrays": ("seurat_tracks.io.arrays", "from_arrays"),
    "lift3d": ("seurat_tracks.lift", "lift3d"),
    "lift_many": ("seurat_tracks.large.many", "lift_many"),
    "lift_store": ("seurat_tracks.large.to_store", "lift_store"),
    "load_model": ("seurat_tracks.model.pretrained", "load_model"),
    "open": ("seurat_tracks.io.store", "open_store"),
    "open_video": ("seurat_tracks.io.video", "open_video"),
    "quality": ("seurat_tracks.reasons", "quality"),
    "quality_table": ("seurat_tracks.doubt_table", "quality_table"),
    "read": ("seurat_tracks.io.formats", "read"),
    "stream": ("seurat_tracks.streaming", "stream"),
    "track": ("seurat_tracks.trackers", "track"),
    "validate": ("seurat_tracks.schema", "validate"),
}

__all__ = [
    "__version__",
    "depth_ratio",
    "evaluation",
    "export",
    "from_arrays",
    "lift3d",
    "lift_many",
    "lift_store",
    "load_model",
    "open",
    "open_video",
    "quality",
    "quality_table",
    "read",
    "stream",
    "track",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value: Any = importlib.import_module(module)
    if attribute is not None:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
