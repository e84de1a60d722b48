"""Batches of moving scenes seen by a moving camera, with exact tracks.

World axes follow the camera of time 0: x right, y down, z forward, metres. Image
positions are normalised: the frame's centre is 0, half of its longer side is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from seurat_tracks.scenes.bodies import FAR, Bodies, hit_distance, make_bodies
from seurat_tracks.scenes.motion import Draw, jitter_path, rotation, smooth_path

CAMERAS = (
    "static",
    "handheld",
    "orbit",
    "pan",
    "drive",
    "walk",
    "zoom",
    "free",
)
"""Kinds of camera motion, in the order of `CAMERA_SHARE`."""

CAMERA_SHARE = (0.10, 0.24, 0.16, 0.08, 0.16, 0.10, 0.04, 0.12)
"""How often each kind is drawn in training."""

LIMBS = 10
"""Bodies of the articulated figure: torso, head, and two pairs of two-part limbs."""

PARENT = (-1, 0, 0, 2, 0, 4, 0, 6, 0, 8)
"""Which limb each limb hangs from."""


@dataclass(frozen=True)
class SceneConfig:
    """What scenes are drawn.

    Attributes
    ----------
    frames
        Frames of a scene, T.
    support, queries
        Support points M (cast from the first frame) and query points N.
    solids
        Free boxes and ellipsoids beside the articulated figure.
    camera
        One of `CAMERAS`, or None for the training mixture.
    figures
        Chance of an articulated figure; its parts are clutter otherwise.
    moving
        Chance that a scene holds moving bodies at all.
    sparse
        Chance of a scene of joints alone: points inside bodies, never hidden.
    """

    frames: int = 8
    support: int = 100
    queries: int = 64
    solids: int = 6
    camera: str | None = None
    figures: float = 0.35
    moving: float = 0.65
    sparse: float = 0.2


@dataclass
class SceneBatch:
    """Exact tracks of a batch of scenes; support points first.

    Attributes
    ----------
    xy : Tensor (B, P, T, 2)
        Normalised image positions, also outside the frame; P = support + queries.
    z : Tensor (B, P, T)
        Depth along the optical axis, metres; may be <= 0 behind the camera.
    visible : bool Tensor (B, P, T)
        Inside the frame, in front of the camera, and hidden by nothing.
    body : int Tensor (B, P)
        Body the point sits on; -1 for the background.
    half : Tensor (B, 2)
        Half width and height of the frame; the larger is 1.
    support : int
        How many of the points are support.
    camera : int Tensor (B,)
        Index into `CAMERAS`.
    """

    xy: Tensor
    z: Tensor
    visible: Tensor
    body: Tensor
    half: Tensor
    support: int
    camera: Tensor


@dataclass
class _Camera:
    position: Tensor  # B T 3
    turn: Tensor  # B T 3 3, camera -> world
    focal: Tensor  # B T, in half longer sides
    half: Tensor  # B 2
    kind: Tensor  # B


def _pick(kind: Tensor, values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[kind]


def _narrow(focal: Tensor) -> Tensor:
    """How much smaller motion is filmed through a long lens, so that it stays in."""
    return (1.732 / focal).clamp(max=1.0)  # 1 at a field of view of 60 degrees


def _sideways(slow: Tensor) -> Tensor:
    """Factors (..., 3) that slow motion across the picture, not along its depth."""
    return torch.stack([slow, slow, torch.ones_like(slow)], -1)


def _camera(draw: Draw, batch: int, reach: Tensor, config: SceneConfig) -> _Camera:
    """Draw cameras; reach (B,) is a typical depth of the scene in metres."""
    device = draw.device
    time = torch.linspace(0, 1, config.frames, device=device)
    if config.camera is None:
        share = torch.tensor(CAMERA_SHARE, device=device)
        kind = torch.multinomial(
            share, batch, replacement=True, generator=draw.generator
        )
    else:
        kind = torch.full((batch,), CAMERAS.index(config.camera), device=device)
    #             static hand  orbit pan   drive walk  zoom  free
    low = _pick(kind, (0, 0.004, 0.02, 1e-4, 0.04, 0.02, 1e-4, 0.01), device)
    high = _pick(kind, (0, 0.12, 0.7, 0.01, 0.75, 0.3, 0.02, 0.6), device)
    turn_low = _pick(kind, (0, 0.002, 0.002, 0.03, 0.001, 0.005, 1e-4, 0.01), device)
    turn_high = _pick(kind, (0, 0.08, 0.03, 0.9, 0.12, 0.15, 0.02, 0.5), device)
    # most cameras see about 55 degrees; long and very wide lenses are rarer
    fov = (55.0 * (0.42 * draw.normal(batch)).exp()).clamp(10.0, 115.0)
    fov = torch.deg2rad(fov)
    focal = 1 / (fov / 2).tan()
    slow = _narrow(focal)
    u, w = draw.uniform(batch), draw.uniform(batch)
    travel = low.clamp_min(1e-6) * (high / low.clamp_min(1e-6)).clamp_min(1e-6) ** u
    travel = torch.where(kind == 0, 0.0, travel) * reach
    angle = turn_low.clamp_min(1e-6)
    angle = angle * (turn_high / turn_low.clamp_min(1e-6)).clamp_min(1e-6) ** w
    angle = torch.where(kind == 0, 0.0, angle * slow)

    path = smooth_path(draw, (batch,), time)
    # the main direction by kind: sideways to orbit, forwards or back to drive and walk
    bias = torch.zeros(batch, 3, device=device)
    ahead = torch.where(draw.chance(0.75, batch), 1.0, -1.0)
    forwards = (kind == 4) | (kind == 5)
    bias[:, 2] = torch.where(forwards, ahead, 0.0)
    bias[:, 0] = torch.where(kind == 2, draw.normal(batch).sign(), 0.0)
    bias[:, 1] = torch.where(kind == 2, 0.4 * draw.normal(batch), 0.0)
    steer = torch.where(
        (forwards | (kind == 2))[:, None, None],
        bias[:, None] * time[:, None] + 0.12 * path,
        path,
    )
    shake = jitter_path(draw, (batch,), time)
    shaky = _pick(kind, (0, 0.15, 0.02, 0.01, 0.01, 0.10, 0.02, 0.05), device)
    position = travel[:, None, None] * (steer + shaky[:, None, None] * shake)
    position = position * _sideways(slow)[:, None]

    spin = smooth_path(draw, (batch,), time) * torch.tensor(
        [0.7, 1.0, 0.35], device=device
    )
    wobble = jitter_path(draw, (batch,), time)
    vector = angle[:, None, None] * (spin + shaky[:, None, None] * wobble)
    # an orbit looks back at its target, at about the scene's depth
    target = reach * draw.uniform(batch, low=0.6, high=1.3)
    look = torch.stack(
        [
            torch.atan2(position[..., 1], target[:, None] - position[..., 2]),
            -torch.atan2(position[..., 0], target[:, None] - position[..., 2]),
            torch.zeros_like(position[..., 0]),
        ],
        -1,
    )
    vector = vector + torch.where((kind == 2)[:, None, None], look, 0.0)

    zoom = draw.normal(batch) * 0.25 * (kind == 6)
    focal = focal[:, None] * (zoom[:, None] * time).exp()

    aspect = draw.log_uniform(batch, low=0.5625, high=1.0)
    wide = draw.chance(0.75, batch)
    one = torch.ones_like(aspect)
    half = torch.stack(
        [torch.where(wide, one, aspect), torch.where(wide, aspect, one)], -1
    )
    return _Camera(position, rotation(vector), focal, half, kind)


def _room(draw: Draw, batch: int, time: Tensor) -> tuple[Bodies, Tensor]:
    """Draw the box around the scene; also return a typical depth (B,)."""
    device = draw.device
    kind = torch.multinomial(
        torch.tensor([0.45, 0.3, 0.15, 0.1], device=device),
        batch,
        replacement=True,
        generator=draw.generator,
    )  # room, street, table, far backdrop
    wide = torch.stack(
        [
            draw.log_uniform(batch, low=2.0, high=9.0),
            draw.log_uniform(batch, low=8.0, high=70.0),
            draw.log_uniform(batch, low=0.5, high=3.0),
            draw.log_uniform(batch, low=60.0, high=400.0),
        ],
        -1,
    ).gather(1, kind[:, None])[:, 0]
    deep = wide * torch.where(
        kind == 1,
        draw.uniform(batch, low=1.5, high=6.0),
        draw.uniform(batch, low=0.6, high=1.6),
    )
    below = torch.stack(
        [
            draw.uniform(batch, low=0.6, high=2.0),
            draw.uniform(batch, low=0.8, high=4.0),
            draw.uniform(batch, low=0.1, high=0.6),
            draw.uniform(batch, low=20.0, high=80.0),
        ],
        -1,
    ).gather(1, kind[:, None])[:, 0]
    above = torch.where(kind == 0, draw.uniform(batch, low=0.5, high=2.0), wide * 0.7)
    # where the camera stands in the room, as shares of its width and depth
    side = draw.uniform(batch, low=-0.7, high=0.7) * wide / 2
    front = deep * draw.uniform(batch, low=0.55, high=0.95)
    size = torch.stack([wide / 2, (above + below) / 2, deep / 2], -1)
    centre = torch.stack([side, (below - above) / 2, front - deep / 2], -1)
    yaw = draw.uniform(batch, low=-0.7, high=0.7)
    pitch = draw.normal(batch) * 0.2 - draw.uniform(batch, high=0.35)
    roll = draw.normal(batch) * 0.06
    zero = torch.zeros_like(yaw)
    turn = rotation(torch.stack([pitch, zero, roll], -1)) @ rotation(
        torch.stack([zero, yaw, zero], -1)
    )
    frame = turn * size[:, None, :]
    # the yaw turns the room about the camera, which stays inside
    centre = (turn @ centre[..., None])[..., 0]
    T = len(time)
    bodies = make_bodies(
        frame[:, None, None].expand(batch, 1, T, 3, 3).contiguous(),
        centre[:, None, None].expand(batch, 1, T, 3).contiguous(),
        torch.zeros(batch, 1, dtype=torch.bool, device=device),
    )
    return bodies, front.clamp(max=60.0)


def _solids(
    draw: Draw,
    batch: int,
    count: int,
    view: _Camera,
    depth: Tensor,
    config: SceneConfig,
) -> Bodies:
    """Draw boxes and ellipsoids in view; depth (B,) is that of the background."""
    device = draw.device
    time = torch.linspace(0, 1, config.frames, device=device)
    focal = view.focal[:, :1]
    place = draw.uniform(batch, count, 2, low=-1.1, high=1.1) * view.half[:, None]
    share = draw.uniform(batch, count, low=0.12, high=0.95)
    z = (depth[:, None] * share).clamp_min(0.15)
    centre = torch.cat([place * (z / focal)[..., None], z[..., None]], -1)
    angular = draw.log_uniform(batch, count, low=0.04, high=0.5)
    size = (angular * z / focal)[..., None] * draw.log_uniform(
        batch, count, 3, low=0.35, high=1.6
    )
    turn = rotation(draw.normal(batch, count, 3) * 1.2)

    lively = draw.chance(config.moving, batch, 1)
    moves = lively & draw.chance(0.55, batch, count)
    travel = draw.log_uniform(batch, count, low=0.01, high=0.7) * z
    path = smooth_path(draw, (batch, count), time) * travel[..., None, None]
    path = path * _sideways(_narrow(view.focal[:, 0]))[:, None, None]
    angle = draw.log_uniform(batch, count, low=0.01, high=1.2)
    spins = draw.chance(0.6, batch, count)
    spin = smooth_path(draw, (batch, count), time)
    spin = spin * (angle * spins)[..., None, None]
    soft = draw.chance(0.15, batch, count)
    stretch = smooth_path(draw, (batch, count), time) * 0.35 * soft[..., None, None]
    still = moves[..., None, None]
    path, spin, stretch = (torch.where(still, a, 0.0) for a in (path, spin, stretch))
    frame = (
        rotation(spin)
        @ turn[:, :, None]
        @ torch.diag_embed(size[:, :, None] * stretch.exp())
    )
    return make_bodies(frame, centre[:, :, None] + path, draw.chance(0.5, batch, count))


def _figure(
    draw: Draw, batch: int, view: _Camera, depth: Tensor, frames: int
) -> Bodies:
    """Draw an articulated figure: limbs that swing about their parents' joints."""
    device = draw.device
    time = torch.linspace(0, 1, frames, device=device)
    focal = view.focal[:, 0]
    z = (depth * draw.uniform(batch, low=0.15, high=0.8)).clamp_min(0.3)
    angular = draw.log_uniform(batch, low=0.25, high=1.4)
    tall = angular * z / focal
    place = draw.uniform(batch, 2, low=-0.7, high=0.7) * view.half
    root = torch.cat([place * (z / focal)[:, None], z[:, None]], -1)
    travel = draw.log_uniform(batch, low=0.005, high=0.5) * z
    walk = smooth_path(draw, (batch,), time) * travel[:, None, None]
    walk = walk * _sideways(_narrow(focal))[:, None]
    spin = smooth_path(draw, (batch,), time)
    spin = spin * draw.log_uniform(batch, low=0.01, high=1.0)[:, None, None]
    upright = rotation(
        torch.stack(
            [
                draw.normal(batch) * 0.25,
                draw.uniform(batch, low=-3.14, high=3.14),
                draw.normal(batch) * 0.25 + draw.chance(0.35, batch) * 1.5,
            ],
            -1,
        )
    )
    base = rotation(spin) @ upright[:, None]  # B T 3 3

    length = tall[:, None] * draw.uniform(batch, LIMBS, low=0.12, high=0.3)
    length[:, 0] = tall * draw.uniform(batch, low=0.25, high=0.5)
    thick = length * draw.uniform(batch, LIMBS, low=0.12, high=0.4)
    rest = draw.normal(batch, LIMBS, 3) * 0.8
    lively = draw.log_uniform(batch, 1, low=0.02, high=1.3)
    gain = lively * draw.log_uniform(batch, LIMBS, low=0.2, high=1.0)
    swing = smooth_path(draw, (batch, LIMBS), time) * gain[..., None, None]
    local = rotation(rest[:, :, None] + swing)  # B L T 3 3
    down = torch.tensor([0.0, 1.0, 0.0], device=device)

    turn, start = [base], [root[:, None] + walk]
    for limb in range(1, LIMBS):
        parent = PARENT[limb]
        turn.append(turn[parent] @ local[:, limb])
        # limbs hang from the near or the far end of their parent
        end = 1.0 if parent or limb in (6, 8) else -1.0
        reach = end * length[:, parent, None, None] * (1.0 if parent == 0 else 2.0)
        joint = start[parent] + reach * (turn[parent] @ down)
        start.append(joint)
    turns = torch.stack(turn, 1)  # B L T 3 3
    joints = torch.stack(start, 1)  # B L T 3
    middle = torch.where(torch.arange(LIMBS, device=device) == 0, 0.0, 1.0)
    centre = joints + (middle * length)[..., None, None] * (turns @ down)
    size = torch.stack([thick, length, thick], -1)
    frame = turns @ torch.diag_embed(size)[:, :, None]
    round_ = torch.ones(batch, LIMBS, dtype=torch.bool, device=device)
    return make_bodies(frame, centre, round_)


def _join(a: Bodies, b: Bodies) -> Bodies:
    return Bodies(
        torch.cat([a.frame, b.frame], 1),
        torch.cat([a.centre, b.centre], 1),
        torch.cat([a.round, b.round], 1),
        torch.cat([a.inverse, b.inverse], 1),
    )


def _choose(keep: Tensor, a: Bodies, b: Bodies) -> Bodies:
    k = keep[:, None]
    return Bodies(
        torch.where(k[..., None, None, None], a.frame, b.frame),
        torch.where(k[..., None, None], a.centre, b.centre),
        torch.where(k, a.round, b.round),
        torch.where(k[..., None, None, None], a.inverse, b.inverse),
    )


def _cast(
    camera: _Camera, xy: Tensor, when: Tensor, bodies: Bodies, room: Bodies
) -> tuple[Tensor, Tensor]:
    """Cast a ray per point at its own time: world hits (B, P, 3), bodies (B, P)."""
    B, P, _ = xy.shape
    batch = torch.arange(B, device=xy.device)[:, None]
    focal = camera.focal[batch, when]
    local = torch.cat([xy / focal[..., None], torch.ones_like(xy[..., :1])], -1)
    ray = (camera.turn[batch, when] @ local[..., None])[..., 0]
    T = camera.position.shape[1]
    distance = xy.new_full((B, P), FAR)
    body = torch.full((B, P), -1, device=xy.device)
    for t in range(T):
        # few points share a time, but batches of one time keep the tensors small
        cols = (when == t).any(0).nonzero()[:, 0]
        if len(cols) == 0:
            continue
        now, here = bodies.at(t), room.at(t)
        origin = camera.position[:, t : t + 1]
        rays = ray[:, cols, None]
        hits = hit_distance(origin, rays, now)[..., 0]  # B p K
        wall = hit_distance(origin, rays, here, inside=True)[..., 0, 0]
        best, which = hits.min(-1)
        mine = when[:, cols] == t
        found = torch.where(best < wall, best, wall)
        distance[:, cols] = torch.where(mine, found, distance[:, cols])
        body[:, cols] = torch.where(
            mine, torch.where(best < wall, which, -1), body[:, cols]
        )
    return camera.position[batch, when] + distance[..., None] * ray, body


def _relief(draw: Draw, point: Tensor) -> Tensor:
    """Bend the background in and out so that walls are not planes; point (B, P, 3)."""
    B = point.shape[0]
    far = point.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    way = point / far
    total = torch.zeros_like(far)
    depth = draw.uniform(B, 1, 1, high=0.35) * draw.chance(0.7, B, 1, 1)
    for octave in range(3):
        wave = draw.normal(B, 3, 1) * (2.5 * 2.0**octave)
        phase = draw.uniform(B, 1, 1, high=6.28)
        total = total + (way @ wave + phase).sin() * 0.6**octave
    return point * (depth * (total - 1.5) / 2).exp()


def make_scenes(batch: int, config: SceneConfig, generator: Generator) -> SceneBatch:
    """Draw a batch of scenes.

    Parameters
    ----------
    batch
        Scenes, B.
    config
        What to draw.
    generator
        Seeded generator; its device is where everything is made.

    Returns
    -------
    SceneBatch
    """
    draw = Draw(generator)
    device = draw.device
    T, M, N = config.frames, config.support, config.queries
    time = torch.linspace(0, 1, T, device=device)
    room, reach = _room(draw, batch, time)
    camera = _camera(draw, batch, reach, config)
    solids = _solids(draw, batch, config.solids, camera, reach, config)
    clutter = _solids(draw, batch, LIMBS, camera, reach, config)
    figure = _figure(draw, batch, camera, reach, T)
    joints = draw.chance(config.sparse, batch)
    often = torch.where(joints, max(config.figures, 0.7), config.figures)
    with_figure = (draw.uniform(batch) < often) & (config.figures > 0)
    limbs = _choose(with_figure, figure, clutter)
    bodies = _join(solids, limbs)
    K = bodies.round.shape[1]

    # support: a shaken grid on the first frame
    side_x = (M * camera.half[:, 0] / camera.half[:, 1]).sqrt()
    rows = torch.arange(M, device=device) + draw.uniform(batch, 1)
    golden = (rows * 0.6180339887) % 1.0  # an even spread for any number of points
    grid = torch.stack([golden, (rows / M).clamp(max=0.9999)], -1) * 2 - 1
    shake = draw.uniform(batch, M, 2, low=-0.5, high=0.5) / side_x[:, None, None]
    support = (grid + 0.7 * shake).clamp(-1, 1) * camera.half[:, None]
    # uneven clusters in some scenes
    heart = draw.uniform(batch, 1, 2, low=-0.8, high=0.8) * camera.half[:, None]
    pull = draw.uniform(batch, 1, 1, low=0.2, high=0.7) * draw.chance(0.2, batch, 1, 1)
    support = support + pull * (heart - support)
    # queries: anywhere, or near the picture of a body, on any frame of the window
    when = draw.integers(T, batch, N) * draw.chance(0.5, batch, N)
    anywhere = draw.uniform(batch, N, 2, low=-1, high=1) * camera.half[:, None]
    aim = draw.integers(K, batch, N)
    # a figure, where there is one, gets its share
    aim = torch.where(
        with_figure[:, None] & draw.chance(0.4, batch, N),
        config.solids + draw.integers(LIMBS, batch, N),
        aim,
    )
    index = torch.arange(batch, device=device)[:, None]
    inner = draw.direction(batch, N) * draw.uniform(batch, N, 1).sqrt()
    target = (bodies.frame[index, aim, when] @ inner[..., None])[..., 0]
    target = target + bodies.centre[index, aim, when]
    seen = (
        camera.turn[index, when].transpose(-1, -2)
        @ (target - camera.position[index, when])[..., None]
    )[..., 0]
    near = camera.focal[index, when][..., None] * seen[..., :2]
    near = near / seen[..., 2:].clamp_min(0.05)
    inside = (near.abs() <= camera.half[:, None]).all(-1, keepdim=True)
    pick = draw.chance(0.6, batch, N, 1) & inside & (seen[..., 2:] > 0.05)
    query = torch.where(pick, near, anywhere)

    start = torch.cat([torch.zeros_like(when[:, :1]).expand(batch, M), when], 1)
    hit, body = _cast(camera, torch.cat([support, query], 1), start, bodies, room)

    # joints: points inside bodies, seen through them
    owner = torch.where(
        with_figure[:, None].expand(batch, M + N) & draw.chance(0.75, batch, M + N),
        config.solids + draw.integers(LIMBS, batch, M + N),
        draw.integers(K, batch, M + N),
    )
    bare = draw.chance(0.5, batch, 1)  # half of these scenes have background support
    keep = torch.zeros(batch, M + N, dtype=torch.bool, device=device)
    keep[:, :M] = draw.chance(0.7, batch, M) & ~bare
    through = joints[:, None] & ~keep
    spot = draw.direction(batch, M + N) * draw.uniform(batch, M + N, 1, high=0.9)
    body = torch.where(through, owner, body)

    on_body = body >= 0
    which = body.clamp_min(0)
    start_frame = bodies.inverse[index, which, start]
    local = (start_frame @ (hit - bodies.centre[index, which, start])[..., None])[
        ..., 0
    ]
    local = torch.where(through[..., None], spot, local)
    frames = bodies.frame[index, which]  # B P T 3 3
    moved = (frames @ local[:, :, None, :, None])[..., 0] + bodies.centre[index, which]
    still = _relief(draw, hit)[:, :, None].expand_as(moved)
    world = torch.where(on_body[..., None, None], moved, still)

    offset = world - camera.position[:, None]
    turn = camera.turn.transpose(-1, -2)[:, None]
    view = (turn @ offset[..., None])[..., 0]  # B P T 3
    z = view[..., 2]
    xy = camera.focal[:, None, :, None] * view[..., :2] / z[..., None].clamp_min(1e-3)
    hits = hit_distance(camera.position, offset, bodies)  # B P K T
    own = torch.nn.functional.one_hot(which, K).bool() & on_body[..., None]
    slack = torch.where(own, 0.995, 0.999)[..., None]
    clear = ~(hits < slack).any(2) | through[..., None]
    framed = (xy.abs() <= camera.half[:, None, None]).all(-1)
    # a little in front of the camera: less is a picture of nothing
    visible = clear & framed & (z > 0.02)
    return SceneBatch(xy, z, visible, body, camera.half, M, camera.kind)
