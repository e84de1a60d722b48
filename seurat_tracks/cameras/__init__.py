"""Cameras: intrinsics with their lens, and poses; from people, files and metadata."""

from __future__ import annotations

from seurat_tracks.cameras.camera import Camera, camera_of, resolve_camera
from seurat_tracks.cameras.files import read_camera
from seurat_tracks.cameras.metadata import from_exif
from seurat_tracks.cameras.pnp import estimate_poses
from seurat_tracks.cameras.poses import Poses, read_poses, to_world

__all__ = [
    "Camera",
    "Poses",
    "camera_of",
    "estimate_poses",
    "from_exif",
    "read_camera",
    "read_poses",
    "resolve_camera",
    "to_world",
]
