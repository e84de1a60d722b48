"""Tracks or frames in as they come, 3D out, in memory that does not grow."""

from __future__ import annotations

from seurat_tracks.streaming.answers import join
from seurat_tracks.streaming.stream import stream

__all__ = ["join", "stream"]
