"""Every error the package raises on purpose.

All derive from `SeuratTracksError`, itself a `ValueError`, so that a caller can
catch the package's own complaints apart from programming errors.
"""

from __future__ import annotations


class SeuratTracksError(ValueError):
    """Root of the package's errors; the text says what, where, and the cure."""


class SchemaError(SeuratTracksError):
    """A Dataset breaks the contract of `seurat_tracks.schema`; lists every fault."""


class VideoError(SeuratTracksError):
    """A video is missing, broken, empty, or shorter than it says."""


class TrackerError(SeuratTracksError):
    """A tracker is unknown, or its queries do not fit the video."""


class WeightsError(SeuratTracksError):
    """Weights are missing, damaged, or of another model."""


class StoreError(SeuratTracksError):
    """A Zarr store is missing, incomplete, read-only, or of another version."""


class DepthError(SeuratTracksError):
    """A depth source does not fit the tracks, or gives no usable depth."""


class CameraError(SeuratTracksError):
    """Camera intrinsics are missing, malformed, or contradictory."""


class FormatError(SeuratTracksError):
    """A file of tracks is of no known format, damaged, or says too little."""
