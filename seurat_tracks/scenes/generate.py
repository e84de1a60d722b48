"""Batches of moving scenes seen by a moving camera, with exact tracks.

Image positions are normalised: the frame's centre is 0, half of its longer side is 1.
World axes are those of `seurat_tracks.scenes.stage`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from seurat_tracks.scenes.actors import (
    DRIVING,
    FIGURE,
    NONE,
    draw_motion,
    make_actors,
    slots_for,
)
from seurat_tracks.scenes.bodies import ABSENT, SHEET, Bodies
from seurat_tracks.scenes.camera import CAMERAS, Camera, draw_kinds, make_camera
from seurat_tracks.scenes.cast import first_hit, hidden
from seurat_tracks.scenes.cloth import surface_point
from seurat_tracks.scenes.config import MOTIONS, SceneConfig, check
from seurat_tracks.scenes.mocap import Motions
from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.points import (
    marker_points,
    query_places,
    support_grid,
    wander,
)
from seurat_tracks.scenes.relief import make_relief
from seurat_tracks.scenes.stage import make_stage

__all__ = ["CAMERAS", "MOTIONS", "SceneBatch", "SceneConfig", "make_scenes"]


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
    focal : Tensor (B, T)
        Focal length in half longer sides: xy = focal * (x, y) / z.
    motion : int Tensor (B,)
        Index into `MOTIONS`.
    interval : Tensor (B,)
        Seconds between frames.
    """

    xy: Tensor
    z: Tensor
    visible: Tensor
    body: Tensor
    half: Tensor
    support: int
    camera: Tensor
    focal: Tensor
    motion: Tensor
    interval: Tensor


def make_scenes(
    batch: int,
    config: SceneConfig,
    generator: Generator,
    motions: Motions | None = None,
) -> SceneBatch:
    """Draw a batch of scenes.

    Parameters
    ----------
    batch
        Scenes, B.
    config
        What to draw.
    generator
        Seeded generator; its device is where everything is made.
    motions
        Recorded clips that some figures replay, on the generator's device.

    Returns
    -------
    SceneBatch

    Raises
    ------
    SeuratTracksError
        If the configuration asks for what does not exist.
    """
    check(config, motions is not None)
    draw = Draw(generator)
    device = draw.device
    T, M, N = config.frames, config.support, config.queries
    P = M + N
    motion = draw_motion(draw, batch, config, motions)
    person = motion >= FIGURE
    solo = draw.chance(config.solo, batch) & (motion != NONE)
    stage = make_stage(draw, batch, T, person, motion == DRIVING)
    facing = torch.zeros(batch, dtype=torch.bool, device=device)
    if config.facing:
        facing = draw.chance(config.facing, batch)
        stage.face(draw, facing)
    kind = draw_kinds(draw, batch, person, solo, config.camera)
    camera = make_camera(draw, stage, kind, T)
    stage.contain(camera.position)
    bodies, figure = make_actors(draw, stage, motion, solo, config, motions)
    relief = make_relief(draw, stage)
    if config.facing:
        bodies.shape = torch.where(facing[:, None], ABSENT, bodies.shape)
        flat = draw.chance(0.6, batch)
        bumps = torch.where(flat, 0.0, draw.log_uniform(batch, low=0.01, high=0.5))
        relief.depth = torch.where(facing, relief.depth * bumps, relief.depth)
    slots = slots_for(motions)
    K = config.solids + slots

    # support is cast from the first frame, queries from any
    when = draw.integers(T, batch, N) * draw.chance(0.5, batch, N)
    start = torch.cat([when.new_zeros(batch, M), when], 1)
    # what the scene is about gets its share of the queries
    aim = torch.where(
        person[:, None],
        config.solids + draw.integers(slots, batch, N),
        draw.integers(2, batch, N).clamp(max=K - 1),
    )
    aim = torch.where(draw.chance(0.5, batch, N), aim, draw.integers(K, batch, N))
    xy = torch.cat(
        [
            support_grid(draw, stage.half, M),
            query_places(draw, camera, stage.half, bodies, aim, when),
        ],
        1,
    )
    scene = torch.arange(batch, device=device)[:, None]
    origin, ray = _rays(camera, xy, start)
    near, body = first_hit(bodies, origin, ray, start)
    wall = relief.hit(origin, ray)
    ground = origin + wall[..., None] * ray
    body = torch.where(near < wall, body, -1)
    which = body.clamp_min(0)
    hit = origin + near[..., None] * ray - bodies.centre[scene, which, start]
    local = (bodies.inverse[scene, which, start] @ hit[..., None])[..., 0]

    # joints and markers: points inside bodies or on them, seen through everything
    joints = draw.chance(config.sparse, batch) & (bodies.shape != ABSENT).any(1)
    owner, spot, extra = marker_points(
        draw, bodies, figure.owner, figure.joint, person, slots, P
    )
    bare = draw.chance(0.5, batch, 1)  # half of these scenes have background support
    cast = torch.arange(P, device=device) < M
    cast = cast & draw.chance(0.7, batch, P) & ~bare
    through = joints[:, None] & ~cast
    body = torch.where(through, owner, body)
    local = torch.where(through[..., None], spot, local)
    # beyond the joints of a figure, some scenes have no support at all
    unused = through & extra & draw.chance(0.6, batch, 1)
    unused = unused & (torch.arange(P, device=device) < M)

    world = _follow(bodies, body, local, ground)
    world = world + torch.where(
        (through & person[:, None])[..., None, None],
        wander(draw, stage.tall, P, stage.seconds(T)),
        0.0,
    )
    offset, view = _look(camera, world)
    z = view[..., 2]
    xy = camera.focal[:, None, :, None] * view[..., :2] / z[..., None].clamp_min(1e-3)
    framed = (xy.abs() <= stage.half[:, None, None]).all(-1)
    # a little in front of the camera: less is a picture of nothing
    visible = framed & (z > 0.02) & ~unused[..., None]
    ask = visible & ~through[..., None]
    visible = visible & ~hidden(bodies, camera.position, offset, body, ask)
    visible = visible & ~relief.hides(camera.position, offset, ask & visible)
    return SceneBatch(
        xy,
        z,
        visible,
        body,
        stage.half,
        M,
        camera.kind,
        camera.focal,
        motion,
        stage.interval,
    )


def _rays(camera: Camera, xy: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
    """Rays through picture places (B, P, 2) at times (B, P): starts and directions."""
    scene = torch.arange(len(xy), device=xy.device)[:, None]
    flat = xy / camera.focal[scene, when][..., None]
    ray = torch.cat([flat, torch.ones_like(flat[..., :1])], -1)
    ray = (camera.turn[scene, when] @ ray[..., None])[..., 0]
    return camera.position[scene, when], ray


def _follow(bodies: Bodies, body: Tensor, local: Tensor, ground: Tensor) -> Tensor:
    """World places (B, P, T, 3) over time of points on bodies or, body -1, the ground.

    Body (B, P), local (B, P, 3) in the body's axes, ground (B, P, 3) in the world.
    """
    world = ground[:, :, None].repeat(1, 1, bodies.centre.shape[2], 1)
    b, p = (body >= 0).nonzero(as_tuple=True)
    k = body[b, p]
    place = surface_point(bodies, b, bodies.shape[b, k] == SHEET, local[b, p])
    moved = (bodies.frame[b, k] @ place[..., None])[..., 0]
    world[b, p] = moved + bodies.centre[b, k]
    return world


def _look(camera: Camera, world: Tensor) -> tuple[Tensor, Tensor]:
    """World points (B, P, T, 3) from the eye, in world and in camera axes."""
    offset = world - camera.position[:, None]
    view = offset.transpose(1, 2) @ camera.turn  # rows times turn: turn' of each
    return offset, view.transpose(1, 2)
