"""Files in and out of the Dataset: video, Zarr stores, arrays."""

from __future__ import annotations
