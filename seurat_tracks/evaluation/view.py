"""What a virtual camera sees of points."""

from __future__ import annotations

import numpy as np

NEAREST = 0.5
"""Points closer than this to the camera, in metres, are not seen."""


def project_visible(
    xyz: np.ndarray,
    intrinsics: tuple[float, float, float, float],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Project camera-frame points; what is seen lies in the frame and in front.

    Parameters
    ----------
    xyz : float array (N, T, 3)
        Metres; NaN = unknown.
    intrinsics
        fx, fy, cx, cy in pixels.
    size
        Width and height of the frame, pixels.

    Returns
    -------
    xy : float array (N, T, 2)
        Pixels, NaN where not visible.
    visible : bool array (N, T)
    """
    front = xyz[..., 2] > NEAREST  # False for NaN
    z = np.where(front, xyz[..., 2], 1.0)[..., None]
    xy = xyz[..., :2] / z * intrinsics[:2] + intrinsics[2:]
    inside = ((xy >= 0) & (xy <= np.array(size) - 1)).all(-1)
    visible = front & inside
    return np.where(visible[..., None], xy, np.nan), visible
