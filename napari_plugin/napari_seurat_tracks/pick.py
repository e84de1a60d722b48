"""Which point lies under the mouse."""

from __future__ import annotations

import numpy as np


def nearest(
    points: np.ndarray, at: np.ndarray, direction: np.ndarray | None, radius: float
) -> int | None:
    """Find the point that a click means.

    Parameters
    ----------
    points : float array (point, D)
        Those drawn; NaN is never found.
    at : float array (D,)
        A place under the mouse.
    direction : float array (D,) or None
        Where the mouse looks; None in the plane.
    radius
        How far from the mouse a point may lie, across the direction.

    Returns
    -------
    int or None
        The nearest one to the mouse; of those as near, the one in front.
    """
    if len(points) == 0:
        return None
    away = points - at
    along = np.zeros(len(points))
    if direction is not None:
        unit = direction / np.linalg.norm(direction)
        along = away @ unit
        away = away - along[:, None] * unit
    distance = np.linalg.norm(away, axis=1)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    best = float(distance.min())
    if not best <= radius:
        return None
    close = np.flatnonzero(distance <= best + 0.25 * radius)
    return int(close[np.argmin(along[close])])
