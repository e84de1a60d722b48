"""Scale that a person can set: known depths, distances, sizes, the ground."""

from __future__ import annotations

from seurat_tracks.anchors.anchor import anchor_by
from seurat_tracks.anchors.ground import Ground
from seurat_tracks.anchors.rigid import rigid_scales

__all__ = ["Ground", "anchor_by", "rigid_scales"]
