"""Batches of moving scenes seen by a moving camera, with exact tracks.

Image positions are normalised: the frame's centre is 0, half of its longer side is 1.
World axes are those of `seurat_tracks.scenes.stage`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.scenes import solids
from seurat_tracks.scenes.bodies import ABSENT, SHEET, Bodies, choose, join
from seurat_tracks.scenes.camera import CAMERAS, Camera, draw_kinds, make_camera
from seurat_tracks.scenes.cast import first_hit, hidden
from seurat_tracks.scenes.cloth import make_cloth, surface_point
from seurat_tracks.scenes.figure import Figure, torso_bones, wrap
from seurat_tracks.scenes.mocap import Motions, replay
from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.points import marker_points, query_places, support_grid
from seurat_tracks.scenes.relief import make_relief
from seurat_tracks.scenes.skeleton import BONES, make_pose
from seurat_tracks.scenes.stage import Stage, make_stage

MOTIONS = (
    "none",
    "rigid",
    "falling",
    "rolling",
    "colliding",
    "driving",
    "deforming",
    "cloth",
    "figure",
    "mocap",
)
"""What moves in a scene, apart from the camera."""

MOTION_SHARE = (0.0, 0.38, 0.11, 0.09, 0.09, 0.14, 0.09, 0.10, 0.0, 0.0)
"""How often each is drawn where something other than a figure moves."""

_NONE, _RIGID, _DEFORMING, _CLOTH, _FIGURE, _MOCAP = 0, 1, 6, 7, 8, 9
_SOLIDS = (
    (2, solids.falling),
    (3, solids.rolling),
    (4, solids.colliding),
    (5, solids.driving),
    (6, solids.deforming),
)


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
        Bodies beside the figure or the clutter that stands in its place.
    camera
        One of `CAMERAS`, or None for the training mixture.
    motion
        One of `MOTIONS`, or None for the training mixture.
    figures
        Chance of an articulated figure, drawn or replayed.
    moving
        Chance that anything else than the camera moves in a scene without figure.
    sparse
        Chance of a scene of joints or markers: points that nothing hides.
    solo
        Chance that one thing alone moves, before a camera that stands (unless one is
        asked for).
    replayed
        Share of figures that replay recorded motion, where clips are given.
    """

    frames: int = 8
    support: int = 100
    queries: int = 64
    solids: int = 6
    camera: str | None = None
    motion: str | None = None
    figures: float = 0.4
    moving: float = 0.65
    sparse: float = 0.2
    solo: float = 0.06
    replayed: float = 0.5


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


def _check(config: SceneConfig, motions: Motions | None) -> None:
    for name, known in (("camera", CAMERAS), ("motion", MOTIONS)):
        value = getattr(config, name)
        if value is not None and value not in known:
            msg = f"SceneConfig.{name} is {value!r}; choose one of {', '.join(known)}."
            raise SeuratTracksError(msg)
    if config.frames < 1 or config.solids < 1:
        msg = (
            f"SceneConfig needs one frame and one solid at least, not {config.frames} "
            f"and {config.solids}."
        )
        raise SeuratTracksError(msg)
    if config.motion == "mocap" and motions is None:
        msg = (
            "SceneConfig.motion is 'mocap', which replays clips: give "
            "motions=load_motions(path) (seurat_tracks.scenes.mocap)."
        )
        raise SeuratTracksError(msg)


def _draw_motion(
    draw: Draw, batch: int, config: SceneConfig, motions: Motions | None
) -> Tensor:
    """Draw what moves, (B,): indices into `MOTIONS`."""
    device = draw.device
    share = torch.tensor(MOTION_SHARE, device=device)
    motion = torch.multinomial(share, batch, True, generator=draw.generator)
    motion = torch.where(draw.chance(config.moving, batch), motion, _NONE)
    kind = torch.where(draw.chance(config.replayed, batch), _MOCAP, _FIGURE)
    if motions is None:
        kind = torch.full_like(kind, _FIGURE)
    motion = torch.where(draw.chance(config.figures, batch), kind, motion)
    if config.motion is not None:
        motion = torch.full_like(motion, MOTIONS.index(config.motion))
    return motion


def _figures(
    draw: Draw,
    stage: Stage,
    motion: Tensor,
    slots: int,
    frames: int,
    motions: Motions | None,
) -> Figure:
    """Draw a figure in every scene (used where motion says so)."""
    device = draw.device
    batch = len(motion)
    seconds = stage.interval[:, None] * torch.arange(frames, device=device)
    beast = draw.chance(0.2, batch)
    tall = torch.where(beast, stage.tall * 0.8, stage.tall)
    pose = make_pose(draw, tall, beast, stage.subject, stage.floor, seconds)
    figure = wrap(pose, torso_bones(batch, device), beast & draw.chance(0.7, batch))
    extra = slots - len(BONES)
    if extra:
        figure.bodies = _pad(figure.bodies, extra)
    if motions is None:
        return figure
    other = replay(
        draw, motions, slots, stage.subject, stage.floor, stage.tall, seconds
    )
    again = (motion == _MOCAP)[:, None]
    width = max(figure.owner.shape[1], other.owner.shape[1])
    for each in (figure, other):
        add = width - each.owner.shape[1]
        each.owner = torch.nn.functional.pad(each.owner, (0, add), value=-1)
        each.joint = torch.nn.functional.pad(each.joint, (0, 0, 0, add))
    return Figure(
        choose(again, other.bodies, figure.bodies),
        torch.where(again, other.owner, figure.owner),
        torch.where(again[..., None], other.joint, figure.joint),
    )


def _pad(bodies: Bodies, extra: int) -> Bodies:
    """Add absent bodies."""
    some = Bodies(
        bodies.frame[:, :1].repeat(1, extra, 1, 1, 1),
        bodies.inverse[:, :1].repeat(1, extra, 1, 1, 1),
        bodies.centre[:, :1].repeat(1, extra, 1, 1),
        torch.full_like(bodies.shape[:, :1], ABSENT).repeat(1, extra),
        bodies.aspect[:, :1].repeat(1, extra),
        bodies.radius[:, :1].repeat(1, extra, 1),
    )
    return join(bodies, some)


def _movers(
    draw: Draw, stage: Stage, motion: Tensor, solo: Tensor, config: SceneConfig
) -> Bodies:
    """Draw the solids: what moves in its own way, among others that stand."""
    K, T = config.solids, config.frames
    batch, device = len(motion), draw.device
    rigid = (motion == _RIGID)[:, None]
    person = (motion >= _FIGURE)[:, None] & draw.chance(0.25, batch, 1)
    first = torch.arange(K, device=device) == 0
    moving = (rigid | person) & (draw.chance(0.7, batch, K) | (rigid & first))
    floating = 0.5 if config.motion in (None, "rigid") else 0.2
    bodies = solids.stand(
        draw, stage, K, T, moving & ~solo[:, None] | rigid & first, floating
    )
    for index, make in _SOLIDS:
        wanted = motion == index
        if config.motion is not None and config.motion != MOTIONS[index]:
            continue
        lively = make(draw, stage, K, T)
        # some of the slots keep what stands; a car keeps its cabin
        keep = draw.chance(0.7, batch, (K + 1) // 2).repeat_interleave(2, 1)[:, :K]
        keep = keep | (torch.arange(K, device=device) < 2)
        bodies = choose(wanted[:, None] & keep, lively, bodies)
    if config.motion in (None, "cloth"):
        cloth = make_cloth(draw, stage, T)
        first_body = _slot(bodies, slice(0, 1))
        sheet = choose((motion == _CLOTH)[:, None], cloth, first_body)
        bodies = join(sheet, _slot(bodies, slice(1, None)))
    # one thing alone: a pair for cars (with cabin) and collisions
    pair = (motion == 4) | (motion == 5)
    slot = torch.arange(K, device=device)
    kept = slot < torch.where(pair, 2, 1)[:, None]
    kept = kept & (motion < _FIGURE)[:, None]
    bodies.shape = torch.where(solo[:, None] & ~kept, ABSENT, bodies.shape)
    return bodies


def _slot(bodies: Bodies, part: slice) -> Bodies:
    return Bodies(
        bodies.frame[:, part],
        bodies.inverse[:, part],
        bodies.centre[:, part],
        bodies.shape[:, part],
        bodies.aspect[:, part],
        bodies.radius[:, part],
    )


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
    _check(config, motions)
    draw = Draw(generator)
    device = draw.device
    T, M, N = config.frames, config.support, config.queries
    P = M + N
    motion = _draw_motion(draw, batch, config, motions)
    person = motion >= _FIGURE
    solo = draw.chance(config.solo, batch) & (motion != _NONE)
    stage = make_stage(draw, batch, T, person, motion == 5)
    kind = draw_kinds(draw, batch, person, solo, config.camera)
    relief = make_relief(draw, stage)
    camera = make_camera(draw, stage, kind, T)
    stage.contain(camera.position)
    slots = max(len(BONES), len(motions.bones) if motions else 0)
    movers = _movers(draw, stage, motion, solo, config)
    lively = (motion == _RIGID) & ~solo
    moving = lively[:, None] & draw.chance(0.5, batch, slots)
    clutter = solids.stand(draw, stage, slots, T, moving, 0.35)
    crowded = draw.uniform(batch, 1) * ~solo[:, None]
    absent = draw.uniform(batch, slots) > crowded
    clutter.shape = torch.where(absent, ABSENT, clutter.shape)
    figure = _figures(draw, stage, motion, slots, T, motions)
    bodies = join(movers, choose(person[:, None], figure.bodies, clutter))
    walker = torch.where(person[:, None, None], figure.bodies.centre[:, 0], 0.0)
    stage.contain(walker)
    K = config.solids + slots

    support = support_grid(draw, stage.half, M)
    when = draw.integers(T, batch, N) * draw.chance(0.5, batch, N)
    # what the scene is about gets its share of the queries
    aim = draw.integers(K, batch, N)
    special = torch.where(
        person[:, None],
        config.solids + draw.integers(slots, batch, N),
        draw.integers(2, batch, N).clamp(max=K - 1),
    )
    aim = torch.where(draw.chance(0.5, batch, N), special, aim)
    query = query_places(draw, camera, stage.half, bodies, aim, when)
    start = torch.cat([torch.zeros_like(when[:, :1]).expand(batch, M), when], 1)
    xy = torch.cat([support, query], 1)

    # what the ray of each point meets, at the point's own time
    scene = torch.arange(batch, device=device)[:, None]
    ray = torch.cat(
        [xy / camera.focal[scene, start][..., None], xy.new_ones(batch, P, 1)], -1
    )
    ray = (camera.turn[scene, start] @ ray[..., None])[..., 0]
    origin = camera.position[scene, start]
    near, body = first_hit(bodies, origin, ray, start)
    wall = relief.hit(origin, ray)
    ground = origin + wall[..., None] * ray
    body = torch.where(near < wall, body, -1)
    hit = origin + near[..., None] * ray

    # joints and markers: points inside bodies or on them, seen through everything
    joints = draw.chance(config.sparse, batch) & (bodies.shape != ABSENT).any(1)
    owner, spot, extra = marker_points(
        draw, bodies, figure.owner, figure.joint, person, slots, P
    )
    bare = draw.chance(0.5, batch, 1)  # half of these scenes have background support
    keep = torch.zeros(batch, P, dtype=torch.bool, device=device)
    keep[:, :M] = draw.chance(0.7, batch, M) & ~bare
    through = joints[:, None] & ~keep
    body = torch.where(through, owner, body)
    # beyond the joints of a figure, some scenes have no support at all
    alone = joints[:, None] & extra & draw.chance(0.6, batch, 1)
    alone = alone & through & (torch.arange(P, device=device) < M)

    which = body.clamp_min(0)
    local = (
        bodies.inverse[scene, which, start]
        @ (hit - bodies.centre[scene, which, start])[..., None]
    )[..., 0]
    local = torch.where(through[..., None], spot, local)
    on_body = body >= 0
    on_sheet = on_body & (bodies.shape[scene, which] == SHEET)
    local = surface_point(bodies, local, on_sheet)  # B P T 3
    moved = (bodies.frame[scene, which] @ local[..., None])[..., 0]
    moved = moved + bodies.centre[scene, which]
    world = torch.where(on_body[..., None, None], moved, ground[:, :, None])

    offset, view = _look(camera, world)
    z = view[..., 2]
    xy = camera.focal[:, None, :, None] * view[..., :2] / z[..., None].clamp_min(1e-3)
    framed = (xy.abs() <= stage.half[:, None, None]).all(-1)
    # a little in front of the camera: less is a picture of nothing
    visible = framed & (z > 0.02) & ~alone[..., None]
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


def _look(camera: Camera, world: Tensor) -> tuple[Tensor, Tensor]:
    """World points (B, P, T, 3) from the eye, in world and in camera axes."""
    offset = world - camera.position[:, None]
    turn = camera.turn.transpose(-1, -2)[:, None]
    return offset, (turn @ offset[..., None])[..., 0]
