"""Sparse optical flow between two frames, there and back (pyramidal Lucas-Kanade)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FlowSettings:
    """How Lucas-Kanade looks for a point in the next frame.

    Attributes
    ----------
    window : int
        Width of the patch compared, pixels.
    levels : int
        Halvings of the picture.
    iterations, epsilon : int, float
        When to stop refining: rounds, and pixels moved in one.
    """

    window: int = 21
    levels: int = 4
    iterations: int = 10
    epsilon: float = 0.03


def flow(
    here: np.ndarray,
    there: np.ndarray,
    xy: np.ndarray,
    settings: FlowSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Follow points from one frame to another, and back again.

    Parameters
    ----------
    here, there
        uint8 (y, x). OpenCV builds their pyramids anew in each call: its Python
        interface takes no ready ones.
    xy
        float32 (point, 2), pixels in the first frame.

    Returns
    -------
    xy : float32 (point, 2)
        Where the points went.
    gap : float32 (point,)
        Pixels between a point and where it comes back to; infinite where it is lost.
    """
    import cv2

    if len(xy) == 0:
        return np.empty((0, 2), np.float32), np.empty(0, np.float32)
    # Levels smaller than the patch say nothing.
    deepest = int(np.log2(max(min(here.shape) / settings.window, 1)))
    side = (settings.window, settings.window)
    levels = min(settings.levels, deepest)
    criteria = (3, settings.iterations, settings.epsilon)

    def follow(
        a: np.ndarray, b: np.ndarray, points: np.ndarray
    ) -> tuple[Any, Any, Any]:
        empty: Any = None  # OpenCV makes the array; its stubs do not say so
        return cv2.calcOpticalFlowPyrLK(
            a, b, points, empty, winSize=side, maxLevel=levels, criteria=criteria
        )

    start = np.ascontiguousarray(xy, np.float32).reshape(-1, 1, 2)
    went, ok, _ = follow(here, there, start)
    back, ok_back, _ = follow(there, here, went)
    gap = np.linalg.norm((back - start).reshape(-1, 2), axis=1)
    found = (ok.ravel() == 1) & (ok_back.ravel() == 1) & np.isfinite(gap)
    return went.reshape(-1, 2), np.where(found, gap, np.inf).astype(np.float32)
