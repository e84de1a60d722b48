"""Where metres come from: metric depth at the tracks, one source per file."""

from __future__ import annotations

from seurat_tracks.depth.at_tracks import AtTracks
from seurat_tracks.depth.base import DepthSource
from seurat_tracks.depth.constant import Constant
from seurat_tracks.depth.known import Known
from seurat_tracks.depth.maps import DepthMaps
from seurat_tracks.depth.resolve import resolve_depth

__all__ = [
    "AtTracks",
    "Constant",
    "DepthMaps",
    "DepthSource",
    "Known",
    "resolve_depth",
]
