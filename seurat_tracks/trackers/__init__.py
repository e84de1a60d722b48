"""From a video to 2D point tracks: one protocol, one file per tracker."""

from __future__ import annotations

from seurat_tracks.trackers.base import (
    Tracker,
    TrackResult,
    available_trackers,
    get_tracker,
    licence_of,
    register_tracker,
    settings_of,
)
from seurat_tracks.trackers.queries import Queries, good_features, grid, parse_queries
from seurat_tracks.trackers.track import track

__all__ = [
    "Queries",
    "TrackResult",
    "Tracker",
    "available_trackers",
    "get_tracker",
    "good_features",
    "grid",
    "licence_of",
    "parse_queries",
    "register_tracker",
    "settings_of",
    "track",
]
