"""Where metres come from: metric depth at the tracks, one source per file."""

from __future__ import annotations

from seurat_tracks.depth.at_tracks import AtTracks
from seurat_tracks.depth.base import DepthSource, Kind, kind_of
from seurat_tracks.depth.catalogue import CATALOGUE
from seurat_tracks.depth.constant import Constant
from seurat_tracks.depth.files import open_maps
from seurat_tracks.depth.frame_model import Answer, FrameModel
from seurat_tracks.depth.frames import FrameDepth
from seurat_tracks.depth.known import Known
from seurat_tracks.depth.maps import DepthMaps
from seurat_tracks.depth.model import DepthModel
from seurat_tracks.depth.resolve import resolve_depth

__all__ = [
    "CATALOGUE",
    "Answer",
    "AtTracks",
    "Constant",
    "DepthMaps",
    "DepthModel",
    "DepthSource",
    "FrameDepth",
    "FrameModel",
    "Kind",
    "Known",
    "kind_of",
    "open_maps",
    "resolve_depth",
]
