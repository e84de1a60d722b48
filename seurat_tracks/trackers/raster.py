"""What TAPIR, LocoTrack and TAPNext have in common: square pictures, raster positions.

Facts read in the official code (github.com/google-deepmind/tapnet, c2cbab8, and
github.com/cvlab-kaist/locotrack, 3385a23): the centre of the first pixel is at 0.5;
queries are frame, y, x; frames are resized bilinearly, corners not aligned; values
are -1..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.learned import is_whole

if TYPE_CHECKING:
    import torch


def check_resolution(resolution: int, name: str) -> int:
    """Refuse a side of the picture that the networks cannot take."""
    if not is_whole(resolution) or resolution < 64 or resolution % 8:
        raise TrackerError(
            f"{name}: resolution must be a multiple of 8 from 64, got {resolution!r}."
        )
    return int(resolution)


def to_raster(xy: np.ndarray, size: tuple[int, int], side: float) -> np.ndarray:
    """Pixels of a video to raster positions in a square of that side.

    Parameters
    ----------
    xy : array (..., 2)
        Pixels, pixel centres at integers.
    size
        Width and height of the video.
    side
        Side of the square; the image spans 0..side.

    Examples
    --------
    >>> to_raster(np.array([[-0.5, 0.0], [639.5, 479.5]]), (640, 480), 256).tolist()
    [[0.0, 0.26666666666666666], [256.0, 256.0]]
    """
    return (xy + 0.5) * (side / np.array(size))


def from_raster(xy: np.ndarray, size: tuple[int, int], side: float) -> np.ndarray:
    """Undo `to_raster`.

    Examples
    --------
    >>> from_raster(np.array([0.0, 256.0]), (640, 480), 256).tolist()
    [-0.5, 479.5]
    """
    return xy * (np.array(size) / side) - 0.5


def square(frames: np.ndarray, side: int, device: str) -> torch.Tensor:
    """Frames resized to a square; float32 (time, side, side, rgb), -1..1."""
    import torch
    from torch.nn.functional import interpolate

    tensor = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float()
    tensor = interpolate(tensor, (side, side), mode="bilinear", align_corners=False)
    return (tensor / 127.5 - 1).permute(0, 2, 3, 1).contiguous()
