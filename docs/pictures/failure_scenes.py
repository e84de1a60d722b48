"""Textbook scenes in which depth from motion fails, with their exact answer.

Every scene is points in the camera's frame, metres, projected by a pinhole camera with
a field of view of 60 degrees. The tracks are exact but for white noise, unless the
scene is about their errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SIZE = (640, 480)
FOCAL = SIZE[0] / 2 / np.tan(np.deg2rad(30))
FRAMES = 64
FPS = 25.0


@dataclass
class Scene:
    """Tracks, the depth behind them, and what to look at.

    Attributes
    ----------
    xy : float array (track, time, 2)
        Pixels.
    visible : bool array (track, time)
    z : float array (track, time)
        True depth, metres.
    subject : bool array (track,)
        The tracks that the picture is about.
    shown : list of int
        Tracks whose curves are drawn.
    settings : dict
        For ``lift3d``.
    attrs : dict
        For the Dataset.
    """

    xy: np.ndarray
    visible: np.ndarray
    z: np.ndarray
    subject: np.ndarray
    shown: list[int]
    settings: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)


def project(xyz: np.ndarray, focal: Any = FOCAL) -> tuple[np.ndarray, np.ndarray]:
    """Project (track, time, 3) to pixels, and say what is inside the frame."""
    z = xyz[..., 2]
    xy = np.asarray(focal)[..., None] * xyz[..., :2] / np.maximum(z, 0.05)[..., None]
    xy = xy + (np.array(SIZE) - 1) / 2
    inside = (xy > -0.5).all(-1) & (xy < np.array(SIZE) - 0.5).all(-1) & (z > 0.1)
    return xy, inside


def turn(angle: np.ndarray, axis: str) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about x or y."""
    c, s, o, i = np.cos(angle), np.sin(angle), 0 * angle, 0 * angle + 1
    rows = (
        [[c, o, s], [o, i, o], [-s, o, c]]
        if axis == "y"
        else [[i, o, o], [o, c, -s], [o, s, c]]
    )
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def room(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points of a furnished room in front of the camera, (track, 3), metres."""
    ray = rng.uniform((-0.55, -0.42), (0.55, 0.42), (count, 2))
    z = np.where(rng.random(count) < 0.5, 6.0, rng.uniform(2.0, 6.0, count))
    return np.column_stack([ray * z[:, None], z])


def filmed(world: np.ndarray, eye: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Put points of the world (track, [time,] 3) into the frame of a moving camera."""
    world = world[:, None] if world.ndim == 2 else world
    return np.einsum("tij,ntj->nti", turn(-angle, "y"), world - eye[None])


def hand_held(rng: np.random.Generator, reach: float = 0.5) -> np.ndarray:
    """Move a camera as a hand does: its path (time, 3), metres."""
    t = np.linspace(0, 1, FRAMES)[:, None]
    phase = rng.uniform(0, 6, 3)
    sway = 0.06 * (np.sin(7 * t + phase) - np.sin(phase))
    return np.array([0.7, 0.15, 1.0]) * reach * t + sway


def noisy(rng: np.random.Generator, xy: np.ndarray, pixels: float = 0.3) -> np.ndarray:
    """Add white noise, as a good tracker has it."""
    return xy + rng.normal(0, pixels, xy.shape)


def no_parallax(rng: np.random.Generator) -> Scene:
    """Turn a camera on a tripod, and nothing else."""
    angle = 0.25 * np.sin(np.linspace(0, np.pi, FRAMES))
    xyz = filmed(room(rng, 150), np.zeros((FRAMES, 3)), angle)
    xy, visible = project(xyz)
    return Scene(noisy(rng, xy), visible, xyz[..., 2], visible[:, 0], most(visible, 3))


def wall_grows(rng: np.random.Generator, approach: bool) -> Scene:
    """Let a flat wall, seen head-on, grow by half: two causes, one picture."""
    growth = np.linspace(1.0, 1.5, FRAMES)
    wall = rng.uniform((-3.3, -2.5, 6.0), (3.3, 2.5, 6.0), (150, 3))
    xyz = np.repeat(wall[:, None], FRAMES, axis=1)
    if approach:
        xyz[..., 2] /= growth
    xy, visible = project(xyz, FOCAL if approach else FOCAL * growth)
    return Scene(noisy(rng, xy), visible, xyz[..., 2], visible[:, 0], most(visible, 3))


def zoom(rng: np.random.Generator) -> Scene:
    """Zoom at it."""
    return wall_grows(rng, approach=False)


def approach(rng: np.random.Generator) -> Scene:
    """Go towards it; the tracks are the same to the last digit."""
    return wall_grows(rng, approach=True)


def turning_object(rng: np.random.Generator) -> Scene:
    """Turn a drum on the spot, before a camera that stands."""
    angle = rng.uniform(-1.2, 1.2, 40)
    height = rng.uniform(-0.5, 0.5, 40)
    turned = angle[:, None] + np.linspace(0, 1.0, FRAMES)
    drum = np.stack(
        [
            0.6 * np.sin(turned),
            np.repeat(height[:, None], FRAMES, 1),
            3.0 - 0.6 * np.cos(turned),
        ],
        axis=-1,
    )
    still = np.repeat(room(rng, 80)[:, None], FRAMES, axis=1)
    xyz = np.concatenate([drum, still])
    xy, visible = project(xyz)
    facing = np.cos(turned) > 0.15
    visible[:40] &= facing
    subject = np.arange(120) < 40
    start = [int(np.argmin(np.abs(angle - a))) for a in (-1.1, -0.5, 0.2)]
    return Scene(noisy(rng, xy), visible, xyz[..., 2], subject, start)


def small_and_far(rng: np.random.Generator) -> Scene:
    """Drive a car of a dozen points away from a camera that stands."""
    car = rng.uniform((1.2, 0.2, 14), (2.8, 1.4, 14.5), (12, 3))
    away = np.zeros((FRAMES, 3))
    away[:, 2] = np.linspace(0, 7.0, FRAMES)
    still = np.repeat(room(rng, 120)[:, None] * 4, FRAMES, axis=1)
    xyz = np.concatenate([car[:, None] + away, still])
    xy, visible = project(xyz)
    return Scene(noisy(rng, xy), visible, xyz[..., 2], np.arange(132) < 12, [0, 4, 8])


def person(lean: np.ndarray, swing: np.ndarray) -> np.ndarray:
    """21 joints of a standing person, (track, time, 3), metres.

    ``lean`` (time,) turns the whole body over its feet towards the camera, radians;
    ``swing`` (time,) moves the arms.
    """
    sides = [(-0.1, 0.1), (-0.12, 0.5), (-0.14, 0.95), (-0.2, 1.45), (-0.35, 1.2)]
    sides += [(-0.45, 0.95), (-0.1, 0.02), (-0.05, 1.68), (-0.1, 1.0)]
    middle = [(0.0, 1.7), (0.0, 1.5), (0.0, 1.0)]
    joints = [(x, y) for x, y in sides] + [(-x, y) for x, y in sides] + middle
    flat = np.array([(x, y, 0.0) for x, y in joints])
    xyz = np.repeat(flat[:, None], len(lean), axis=1)
    for hand, sign in ((4, 1), (5, 1), (13, -1), (14, -1)):
        reach = 1.45 - xyz[hand, :, 1]
        xyz[hand, :, 2] += sign * reach * np.sin(swing)
        xyz[hand, :, 1] = 1.45 - reach * np.cos(swing)
    over = turn(lean, "x")
    xyz = np.einsum("tij,ntj->nti", over, xyz)
    xyz[..., 1] = 1.0 - xyz[..., 1]
    return xyz * (1, 1, -1) + (0, 0, 3.5)


def few_joints(rng: np.random.Generator) -> Scene:
    """Let a person walk away, joints alone, before a camera that stands."""
    t = np.linspace(0, 1, FRAMES)
    body = person(0 * t, 0.5 * np.sin(14 * t))
    legs = [0, 1, 6, 9, 10, 15]
    for i, joint in enumerate(legs):
        body[joint, :, 2] += (1 if i < 3 else -1) * 0.2 * np.sin(14 * t)
    body[..., 2] += 1.2 * t
    body += rng.normal(0, 0.01, body.shape)  # what a detector calls a knee slides
    xy, visible = project(body)
    return Scene(
        noisy(rng, xy, 1.0), visible, body[..., 2], np.ones(21, bool), [19, 5, 1]
    )


def leaning(rng: np.random.Generator) -> Scene:
    """Let a person lean towards the camera and back, joints alone."""
    t = np.linspace(0, 1, FRAMES)
    body = person(0.35 * np.sin(np.pi * t), 0.1 * np.sin(9 * t))
    body += rng.normal(0, 0.005, body.shape)
    xy, visible = project(body)
    return Scene(
        noisy(rng, xy, 1.0), visible, body[..., 2], np.ones(21, bool), [18, 20, 0]
    )


def drifting(rng: np.random.Generator) -> Scene:
    """Tracks leave a wall for a thing in front of it: by a hop, and by a slow slide."""
    eye = hand_held(rng)
    world = room(rng, 140)
    world[:6] = np.column_stack(
        [np.linspace(-0.9, 0.9, 6), rng.uniform(-0.5, 0.5, 6), np.full(6, 6.0)]
    )
    world[6:12] = world[:6] * 0.42 + rng.normal(0, 0.03, (6, 3))  # in front, nearer
    xyz = filmed(world, eye, 0.02 * np.sin(np.linspace(0, 3, FRAMES)))
    xy, visible = project(xyz)
    share = np.zeros((6, FRAMES))
    share[:3, 24:] = 1.0  # hop in frame 24
    share[3:] = np.clip((np.arange(FRAMES) - 16) / 24, 0, 1)  # slide over 24 frames
    xy[:6] = (1 - share[..., None]) * xy[:6] + share[..., None] * xy[6:12]
    visible[:6] = True
    return Scene(noisy(rng, xy), visible, xyz[..., 2], np.arange(140) < 6, [0, 4])


def long_hidden(rng: np.random.Generator) -> Scene:
    """Tracks are hidden for half of a clip; some of the things move meanwhile."""
    eye = hand_held(rng, 0.8)
    world = np.repeat(room(rng, 140)[:, None], FRAMES, axis=1)
    world[:10] = room(rng, 10)[:, None] * 0.6 + (0, 0, 1.5)
    hidden = slice(18, 50)
    away = np.zeros(FRAMES)
    away[hidden] = np.linspace(0, 1.0, 32)
    away[50:] = 1.0
    world[5:10, :, 2] += away
    xyz = filmed(world, eye, np.zeros(FRAMES))
    xy, visible = project(xyz)
    visible[:10, hidden] = False
    return Scene(noisy(rng, xy), visible, xyz[..., 2], np.arange(140) < 10, [1, 7])


def cut_not_told(rng: np.random.Generator) -> Scene:
    """Two shots in one file, tracks that go on across the cut."""
    half = FRAMES // 2
    one = filmed(room(rng, 140), hand_held(rng), np.zeros(FRAMES))
    two = filmed(room(rng, 140), hand_held(rng, 0.4), np.zeros(FRAMES))
    xyz = np.concatenate([one[:, :half], two[:, half:]], axis=1)
    xy, visible = project(xyz)
    return Scene(noisy(rng, xy), visible, xyz[..., 2], visible[:, 0], most(visible, 3))


def cut_told(rng: np.random.Generator) -> Scene:
    """Make the same, with ``attrs["cuts"]``."""
    scene = cut_not_told(rng)
    scene.attrs["cuts"] = [FRAMES // 2]
    return scene


def most(visible: np.ndarray, count: int) -> list[int]:
    """Tracks that are seen longest and from the first frame on, spread over them."""
    order = np.argsort(-(visible.sum(1) * visible[:, 0]), kind="stable")
    return [int(i) for i in order[:: max(1, len(order) // 8)][:count]]


SCENES: dict[str, tuple[str, Callable[[np.random.Generator], Scene]]] = {
    "no-parallax": ("The camera only turns", no_parallax),
    "zoom": ("The lens zooms at a flat wall", zoom),
    "approach": ("The camera goes towards the same wall: the same tracks", approach),
    "turning-object": ("A thing turns, the camera stands", turning_object),
    "small-and-far": ("A small thing drives away, the camera stands", small_and_far),
    "few-joints": ("21 joints alone", few_joints),
    "leaning": ("A person leans", leaning),
    "drifting": ("Tracks go over to another thing", drifting),
    "long-hidden": ("Hidden for half of the clip", long_hidden),
    "cut-not-told": ("A cut that nobody told", cut_not_told),
    "cut-told": ("The same cut, told", cut_told),
}
"""Name of the picture, its title, and the scene."""
