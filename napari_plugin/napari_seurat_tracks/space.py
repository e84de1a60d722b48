"""The scene around the tracks: the picture's plane, the camera, a grid.

Points are (..., 3) in the camera's frame: x right, y down, z forward. napari's axes are
z, y, x, which `to_napari` makes of them; seen with its default orientation, z leads
away from the viewer, y down and x right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seurat_tracks.geometry import unproject

MAX_SIGMA = 0.7
"""Error bars reach no further: from half the depth to twice it."""


def to_napari(points: np.ndarray) -> np.ndarray:
    """Reorder x, y, z to napari's z, y, x."""
    return np.ascontiguousarray(points[..., ::-1])


def moved(points: np.ndarray, pose: np.ndarray | None) -> np.ndarray:
    """Bring points from the camera's frame to the world.

    Parameters
    ----------
    points : float array (..., 3)
    pose : float array (4, 4) or None
        From camera to world; None leaves the points as they are.

    Returns
    -------
    float array (..., 3)
    """
    if pose is None:
        return points
    return points @ pose[:3, :3].T + pose[:3, 3]


def picture_corners(
    frame_size: Sequence[float], intrinsics: Sequence[float], depth: float
) -> np.ndarray:
    """Where the corners of the picture lie at a depth.

    Parameters
    ----------
    frame_size
        Width and height in pixels.
    intrinsics
        fx, fy, cx, cy in pixels.
    depth
        z of the plane.

    Returns
    -------
    float64 array (4, 3)
        Top left, top right, bottom right, bottom left, in the camera's frame. Pixel
        centres are at integers, so that the outer edges of the pixels are at -0.5 and
        width - 0.5.
    """
    width, height = (float(v) for v in frame_size)
    x = np.array([-0.5, width - 0.5, width - 0.5, -0.5])
    y = np.array([-0.5, -0.5, height - 0.5, height - 0.5])
    return np.asarray(
        unproject(np.stack([x, y], -1), np.full(4, float(depth)), intrinsics)
    )


class Texture(NamedTuple):
    """A rectangle that carries the picture.

    Attributes
    ----------
    faces : int array (2, 3)
        Triangles over the four corners of `picture_corners`.
    texcoords : float array (4, 2)
        Of each corner; napari counts v from the bottom of the image.
    """

    faces: np.ndarray
    texcoords: np.ndarray


TEXTURE = Texture(
    np.array([[0, 1, 2], [0, 2, 3]]),
    np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
)


def frustum(corners: np.ndarray) -> np.ndarray:
    """Lines of the camera's pyramid, with a mark that says which side is up.

    Parameters
    ----------
    corners : float array (4, 3)
        As of `picture_corners`; the camera's centre is the origin.

    Returns
    -------
    float64 array (line, 2, 3)
        Ends of the lines.
    """
    rays = np.stack([np.zeros_like(corners), corners], axis=1)
    edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    top = 0.5 * (corners[0] + corners[1])
    up = top + 0.15 * (corners[0] - corners[3])
    mark = np.array(
        [[0.6 * top + 0.4 * corners[0], up], [up, 0.6 * top + 0.4 * corners[1]]]
    )
    return np.concatenate([rays, edges, mark])


def nice_step(length: float, lines: int = 5) -> float:
    """Return 1, 2 or 5 times a power of ten, so that about `lines` steps fit."""
    rough = max(length, 1e-12) / lines
    power = 10.0 ** np.floor(np.log10(rough))
    return float(power * min((1, 2, 5, 10), key=lambda m: abs(m * power - rough)))


class Grid(NamedTuple):
    """A grid on the floor with numbers.

    Attributes
    ----------
    lines : float array (line, 2, 3)
    at : float array (label, 3)
        Where the numbers stand.
    text : list of str
    """

    lines: np.ndarray
    at: np.ndarray
    text: list[str]


def floor_grid(low: np.ndarray, high: np.ndarray, unit: str) -> Grid:
    """Lay a grid over x and z below a box.

    Parameters
    ----------
    low, high : float array (3,)
        Corners of the box that holds the tracks: x, y, z.
    unit
        "m", or "relative": then numbers stand without a unit.

    Returns
    -------
    Grid
        Lines at round numbers, the same distance apart in x and z.
    """
    step = nice_step(max(high[0] - low[0], high[2] - low[2]))
    x0, z0 = (np.floor(low[i] / step + 1e-9) * step for i in (0, 2))
    x1, z1 = (np.ceil(high[i] / step - 1e-9) * step for i in (0, 2))
    xs = np.arange(round(x0 / step), round(max(x1, x0 + step) / step) + 1) * step
    zs = np.arange(round(z0 / step), round(max(z1, z0 + step) / step) + 1) * step
    y = float(high[1])
    lines = [[[x, y, zs[0]], [x, y, zs[-1]]] for x in xs]
    lines += [[[xs[0], y, z], [xs[-1], y, z]] for z in zs]
    suffix = f" {unit}" if unit == "m" else ""
    digits = max(0, -int(np.floor(np.log10(step))))
    # the corner where both rows of numbers meet belongs to x
    at = [[xs[-1] + 0.35 * step, y, z] for z in zs[1:]]
    text = [f"{z:.{digits}f}{suffix}" for z in zs[1:]]
    at += [[x, y, zs[0] - 0.35 * step] for x in xs]
    text += [f"{x:.{digits}f}{suffix}" for x in xs]
    return Grid(np.array(lines), np.array(at), text)


def bounds(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find a box around the tracks that stragglers do not blow up.

    Parameters
    ----------
    points : float array (track, time, D)
    seen : bool array (track, time)
        Which of them count.

    Returns
    -------
    low, high : float64 array (D,)
    """
    known = points[seen & np.isfinite(points).all(-1)]
    if len(known) == 0:
        n = points.shape[-1]
        return np.zeros(n), np.ones(n)
    step = -(-len(known) // 200_000)
    low, high = np.percentile(known[::step].astype(np.float64), [1.0, 99.0], axis=0)
    pad = 0.02 * (high - low) + 1e-3 * max(float(np.abs(high).max()), 1e-3)
    return low - pad, high + pad


def error_bars(points: np.ndarray, sigma: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Draw one standard error along the camera's rays.

    Parameters
    ----------
    points : float array (point, 3)
    sigma : float array (point,)
        Standard error of log depth.
    centre : float array (3,)
        Where the camera is.

    Returns
    -------
    float array (point, 2, 3)
        From depth / exp(sigma) to depth * exp(sigma); a sigma above `MAX_SIGMA` is cut
        to it.
    """
    rays = points - centre
    grow = np.exp(np.minimum(sigma, MAX_SIGMA))[:, None]
    return np.stack([centre + rays / grow, centre + rays * grow], axis=1)
