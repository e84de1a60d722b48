"""Motion capture in a room of static points, seen by a camera that walks and turns."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from seurat_tracks.evaluation.view import project_visible

SIZE = (640, 480)
"""Frame of the walking camera, pixels."""

FIELD_OF_VIEW = 60.0
"""Its horizontal field of view, degrees."""

RATE = 30.0
"""Its frames per second."""

IN_VIEW = 0.7
"""Least share of the known markers that the camera sees; other walks are redrawn."""

Walk = Literal["past", "round"]
"""Walk somewhere, past the body, or round it at an even distance.

Past the body, the walk itself changes the depth of everything; round it, the depth of
the body changes by its own motion alone, which is harder to see.
"""


class RoomClip(NamedTuple):
    """Exact tracks of a body in a room, the body's markers first.

    Attributes
    ----------
    xyz : float array (N, T, 3)
        Camera-frame positions, metres; NaN where the marker is unknown.
    xy : float array (N, T, 2)
        Pixels; NaN where not visible.
    visible : bool array (N, T)
        Known, in the frame and in front of the camera; nothing hides anything.
    body : bool array (N,)
        True for the body's markers, False for points of the room.
    intrinsics : tuple of float
        fx, fy, cx, cy in pixels.
    """

    xyz: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    body: np.ndarray
    intrinsics: tuple[float, float, float, float]


def cut_pieces(
    xyz: np.ndarray, valid: np.ndarray, fps: float, frames: int, most: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut a recording into pieces at the camera's rate.

    Parameters
    ----------
    xyz : float array (T, N, 3)
        World positions, metres.
    valid : bool array (T, N)
    fps
        Frames per second of the recording.
    frames
        Length of a piece; the whole recording where it is shorter.
    most
        At most so many pieces: those with the most valid markers.

    Returns
    -------
    list of (xyz (frames, N, 3), valid (frames, N))
        In the order of time, without overlap.
    """
    # nearest recorded frame at each tick of the camera: nothing is interpolated
    tick = np.arange(0, len(xyz) - 0.5, fps / RATE).round().astype(int)
    xyz, valid = xyz[tick], valid[tick]
    frames = min(frames, len(xyz))
    starts = np.arange(0, len(xyz) - frames + 1, frames)
    known = np.array([valid[s : s + frames].sum() for s in starts])
    best = np.sort(starts[np.argsort(-known, kind="stable")[:most]])
    return [(xyz[s : s + frames], valid[s : s + frames]) for s in best]


def film_in_room(
    xyz: np.ndarray,
    valid: np.ndarray,
    up: int,
    walk: Walk,
    seed: int,
    points: int = 200,
) -> RoomClip:
    """Put a moving body in a room and film it.

    The camera is held at eye height by someone who walks at about 1 m/s, halfway 2 to
    5 m from the middle of the body's path, and turns to keep it in view, not perfectly.

    Parameters
    ----------
    xyz : float array (T, N, 3)
        World positions at `RATE`, metres.
    valid : bool array (T, N)
    up
        World axis (0, 1 or 2) that points up.
    walk
        One of `Walk`.
    seed
        Decides camera and room.
    points
        Static points, spread evenly over floor, ceiling and walls.

    Returns
    -------
    RoomClip

    Raises
    ------
    ValueError
        If no walk keeps a metre away from the body and sees most of it.
    """
    rng = np.random.default_rng(seed)
    # a permutation that keeps right-handed axes: x, y on the floor, z up
    xyz = np.where(valid[..., None], xyz, np.nan)[..., [up - 2, up - 1, up]]
    floor = np.nanpercentile(xyz[..., 2], 0.5)
    xyz = xyz - [0.0, 0.0, floor]
    centre = np.nanmean(xyz, axis=(0, 1))
    focal = SIZE[0] / 2 / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    k = (focal, focal, (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2)
    for _ in range(1000):
        eye = _walk(rng, len(xyz), centre, walk)
        turn = _keep_in_view(rng, eye, xyz)
        gap = np.linalg.norm(xyz[..., :2] - eye[:, None, :2], axis=-1)
        _, seen = project_visible(_to_camera(xyz, eye, turn), k, SIZE)
        if np.nanmin(gap) > 1.0 and seen.sum() > IN_VIEW * valid.sum():
            break
    else:
        raise ValueError(
            "no walk stays a metre away from the body and sees most of it; are its "
            "positions in metres?"
        )

    everything = np.concatenate([eye, xyz[valid]])
    low = everything.min(0) - rng.uniform(0.5, 2.5, 3)
    high = everything.max(0) + rng.uniform(0.5, 2.5, 3)
    low[2], high[2] = 0.0, max(everything[:, 2].max() + 0.2, rng.uniform(2.4, 3.2))
    room = np.broadcast_to(_on_walls(rng, low, high, points), (len(xyz), points, 3))
    camera = _to_camera(np.concatenate([xyz, room], 1), eye, turn)
    body = np.arange(camera.shape[0]) < xyz.shape[1]
    return RoomClip(camera, *project_visible(camera, k, SIZE), body, k)


def _to_camera(world: np.ndarray, eye: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """World positions (T, N, 3) in the camera's frame, (N, T, 3)."""
    return np.einsum("tij,tnj->nti", turn, world - eye[:, None])


def _smooth(rng: np.random.Generator, time: np.ndarray, count: int) -> np.ndarray:
    """Slow random curves (T, count) of about unit size; time in seconds."""
    rate = rng.uniform(0.1, 0.5, (2, count))
    phase = rng.uniform(0, 2 * np.pi, (2, count))
    return np.sin(2 * np.pi * rate * time[:, None, None] + phase).sum(1)


def _walk(
    rng: np.random.Generator, frames: int, centre: np.ndarray, walk: Walk
) -> np.ndarray:
    """Positions (T, 3) of the eye in metres, at about 1 m/s; z is up."""
    time = np.arange(frames) / RATE
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(2, 5)
    speed = rng.uniform(0.7, 1.3)
    if walk == "round":
        sense = rng.choice([-1, 1])
        angle = angle + sense * speed / away * time
        radius = away + 0.05 * _smooth(rng, time, 1)[:, 0]
        path = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    else:
        heading = rng.uniform(0, 2 * np.pi) + 0.5 * _smooth(rng, time, 1)[:, 0]
        step = speed / RATE * np.stack([np.cos(heading), np.sin(heading)], -1)
        path = np.cumsum(step, 0)
        # the drawn place is passed halfway
        path += away * np.array([np.cos(angle), np.sin(angle)]) - path[frames // 2]
    bob = 0.02 * np.sin(2 * np.pi * 1.9 * speed**0.5 * time)
    height = rng.uniform(1.5, 1.75) + bob
    return np.concatenate([path + centre[:2], height[:, None]], 1)


def _keep_in_view(
    rng: np.random.Generator, eye: np.ndarray, xyz: np.ndarray
) -> np.ndarray:
    """World-to-camera rotations (T, 3, 3) that look at the body, more or less."""
    time = np.arange(len(eye)) / RATE
    known = np.isfinite(xyz[..., 0]).any(1)
    middle = np.array([np.nanmean(xyz[t], 0) for t in np.flatnonzero(known)])
    frames = np.arange(len(eye))
    target = np.stack(
        [np.interp(frames, frames[known], middle[:, i]) for i in range(3)], -1
    )
    look = target - eye
    aside = np.radians(4.0) * _smooth(rng, time, 3)
    yaw = np.unwrap(np.arctan2(look[:, 1], look[:, 0])) + aside[:, 0]
    pitch = np.arctan2(look[:, 2], np.linalg.norm(look[:, :2], axis=1)) + aside[:, 1]
    roll = 0.4 * aside[:, 2]
    ahead = np.stack(
        [np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], -1
    )
    right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], -1)
    down = np.cross(ahead, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([c * right + s * down, c * down - s * right, ahead], 1)


def _on_walls(
    rng: np.random.Generator, low: np.ndarray, high: np.ndarray, points: int
) -> np.ndarray:
    """Points (N, 3) spread evenly over the six sides of a box."""
    size = high - low
    area = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]])
    axis = rng.choice(3, points, p=area / area.sum())
    place = rng.uniform(low, high, (points, 3))
    side = np.where(rng.random(points) < 0.5, low[axis], high[axis])
    place[np.arange(points), axis] = side
    return place
