"""More tracks than memory holds, more machines than one, more videos than one."""

from seurat_tracks.large.many import lift_many
from seurat_tracks.large.to_store import lift_store

__all__ = ["lift_many", "lift_store"]
