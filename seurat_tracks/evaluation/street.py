"""A street seen by a car that drives through it: large forward motion, exact tracks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seurat_tracks.evaluation.view import project_visible

SIZE = (640, 360)
"""Frame of the street's camera, pixels."""


class Drive(NamedTuple):
    """Exact tracks of one drive.

    Attributes
    ----------
    xyz : float array (N, T, 3)
        Camera-frame positions, metres: x right, y down, z forward.
    xy : float array (N, T, 2)
        Pixels; NaN where not visible.
    visible : bool array (N, T)
        In the frame and in front of the camera. What one surface hides of another
        after the frame in which the point was chosen is not computed.
    intrinsics : tuple of float
        fx, fy, cx, cy in pixels.
    """

    xyz: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    intrinsics: tuple[float, float, float, float]


def drive_through_street(seed: int, points: int = 200, frames: int = 28) -> Drive:
    """Drive a car towards the end of a street.

    Ground, two rows of house fronts, parked boxes and a house across the far end. The
    car covers two thirds of the way to that house, so that its depth shrinks to a
    third, and that of nearer things further still, until they leave the frame.

    Parameters
    ----------
    seed
        Decides everything.
    points
        Tracks, N: two thirds chosen on the first frame, the rest on a frame a third
        into the drive; half of each all over the frame, half in its middle, where
        things stay in view for long.
    frames
        T.

    Returns
    -------
    Drive
    """
    rng = np.random.default_rng(seed)
    width, height = SIZE
    focal = width / 2 / np.tan(np.radians(rng.uniform(50, 80)) / 2)
    intrinsics = (focal, focal, (width - 1) / 2, (height - 1) / 2)
    time = np.linspace(0, 1, frames)
    way = rng.uniform(15, 40)
    # the speed changes a little; the car weaves in its lane and looks where it goes
    along = way * (time + 0.05 * np.sin(2 * np.pi * time + rng.uniform(0, 6.3)))
    along -= along[0]
    along *= way / along[-1]
    weave = rng.uniform(0.1, 0.6)
    phase = rng.uniform(0, 2 * np.pi)
    side = weave * np.sin(np.pi * time + phase)
    bounce = 0.01 * rng.normal(size=frames)
    position = np.stack([side, bounce, along], -1)
    yaw = np.arctan2(np.gradient(side), np.gradient(along)) + rng.normal(0, 0.03)
    pitch = rng.normal(0, 0.02) + 0.002 * rng.normal(size=frames)
    turn = _look(yaw, pitch)  # T 3 3, camera -> world

    boxes = _street(rng, 1.5 * way)
    start = np.where(np.arange(points) < points * 2 // 3, 0, frames // 3)
    middle = np.where(np.arange(points) % 2, 1.0, 0.35)[:, None]
    pixel = (0.5 + middle * rng.uniform(-0.5, 0.5, (points, 2))) * [
        width - 1,
        height - 1,
    ]
    ray = np.concatenate([(pixel - intrinsics[2:]) / focal, np.ones((points, 1))], 1)
    ray = np.einsum("nij,nj->ni", turn[start], ray)
    length = _first_hit(position[start], ray, *boxes)
    world = position[start] + length[:, None] * ray
    view = world[:, None] - position
    xyz = np.einsum("tji,ntj->nti", turn, view)
    return Drive(xyz, *project_visible(xyz, intrinsics, SIZE), intrinsics)


def _look(yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Camera-to-world rotations (T, 3, 3): yaw about y, then pitch about x."""
    one, zero = np.ones_like(yaw), np.zeros_like(yaw)
    c, s = np.cos(yaw), np.sin(yaw)
    about_y = np.array([[c, zero, s], [zero, one, zero], [-s, zero, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    about_x = np.array([[one, zero, zero], [zero, c, -s], [zero, s, c]])
    return np.moveaxis(about_y, -1, 0) @ np.moveaxis(about_x, -1, 0)


def _street(rng: np.random.Generator, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners (K, 3), low and high, of everything that stands in the street."""
    left, right = -rng.uniform(4, 8), rng.uniform(4, 8)
    ground = rng.uniform(1.3, 2.0)
    low = [[-200.0, ground, -10.0], [left - 30, -40.0, end]]
    high = [[200.0, ground + 1, end + 20], [right + 30, ground, end + 10]]
    for wall, away in ((left, -1.0), (right, 1.0)):
        z = -10.0
        while z < end:  # house by house, each with its own front line and height
            deep = rng.uniform(4, 12)
            front = wall + away * rng.uniform(0, 1.5)
            back = front + away * 20
            top = ground - rng.uniform(5, 18)
            low.append([min(front, back), top, z])
            high.append([max(front, back), ground, min(z + deep, end)])
            z += deep
        z = rng.uniform(3, 10)
        while z < end - 5:  # parked boxes
            long, wide = rng.uniform(3.5, 5.5), rng.uniform(1.6, 2.2)
            kerb = wall - away * rng.uniform(0.1, 0.5)
            inner = kerb - away * wide
            low.append([min(kerb, inner), ground - rng.uniform(1.3, 2.5), z])
            high.append([max(kerb, inner), ground, z + long])
            z += long + rng.uniform(0.8, 15)
    # a far backdrop above the roofs, in place of a sky that would have no points
    low.append([-400.0, -300.0, 3 * end])
    high.append([400.0, ground, 3 * end + 10])
    return np.array(low), np.array(high)


def _first_hit(
    origin: np.ndarray, ray: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Smallest distance (N,), in lengths of the ray, to any of the boxes (K, 3)."""
    ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
    a = (low - origin[:, None]) / ray[:, None]
    b = (high - origin[:, None]) / ray[:, None]
    enter = np.minimum(a, b).max(-1)
    leave = np.maximum(a, b).min(-1)
    hit = np.where((enter < leave) & (enter > 0), enter, np.inf)
    nearest = hit.min(1)
    return np.where(np.isfinite(nearest), nearest, 500.0)  # past every box: far
