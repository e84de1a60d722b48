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
    back_levels : int
        Halvings on the way back, which begins where the point came from: it asks
        whether that place is still the match nearby.
    """

    window: int = 21
    levels: int = 4
    iterations: int = 10
    epsilon: float = 0.03
    back_levels: int = 2


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
    criteria = (3, settings.iterations, settings.epsilon)
    empty: Any = None  # OpenCV makes the array; its stubs do not say so
    start = np.ascontiguousarray(xy, np.float32).reshape(-1, 1, 2)
    went, ok, _ = cv2.calcOpticalFlowPyrLK(
        here,
        there,
        start,
        empty,
        winSize=side,
        maxLevel=min(settings.levels, deepest),
        criteria=criteria,
    )
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(
        there,
        here,
        went,
        start.copy(),
        winSize=side,
        maxLevel=min(settings.back_levels, deepest),
        criteria=criteria,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    gap = np.linalg.norm((back - start).reshape(-1, 2), axis=1)
    found = (ok.ravel() == 1) & (ok_back.ravel() == 1) & np.isfinite(gap)
    return went.reshape(-1, 2), np.where(found, gap, np.inf).astype(np.float32)
