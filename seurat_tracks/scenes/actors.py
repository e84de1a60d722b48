"""What stands and moves in a scene: solids, a sheet, a figure or clutter."""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.scenes import solids
from seurat_tracks.scenes.bodies import ABSENT, Bodies, choose, join
from seurat_tracks.scenes.bones import BONES
from seurat_tracks.scenes.cloth import make_cloth
from seurat_tracks.scenes.config import MOTION_SHARE, MOTIONS, SceneConfig
from seurat_tracks.scenes.figure import Figure, torso_bones, wrap
from seurat_tracks.scenes.mocap import Motions, replay
from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.skeleton import make_pose
from seurat_tracks.scenes.stage import Stage

(
    NONE,
    RIGID,
    FALLING,
    ROLLING,
    COLLIDING,
    DRIVING,
    DEFORMING,
    CLOTH,
    FIGURE,
    MOCAP,
) = range(len(MOTIONS))

_SOLIDS = {
    FALLING: solids.falling,
    ROLLING: solids.rolling,
    COLLIDING: solids.colliding,
    DRIVING: solids.driving,
    DEFORMING: solids.deforming,
}


def slots_for(motions: Motions | None) -> int:
    """Bodies that are kept for a figure."""
    return max(len(BONES), len(motions.bones) if motions else 0)


def make_actors(
    draw: Draw,
    stage: Stage,
    motion: Tensor,
    solo: Tensor,
    config: SceneConfig,
    motions: Motions | None,
) -> tuple[Bodies, Figure]:
    """Draw everything but the surroundings.

    Parameters
    ----------
    draw
        Source of randomness.
    stage
        Surroundings of B scenes; its walls make room for the figure's path.
    motion : int Tensor (B,)
        Indices into `MOTIONS`.
    solo : bool Tensor (B,)
        Scenes with one moving thing and nothing else.
    config
        What to draw.
    motions
        Clips that figures replay.

    Returns
    -------
    bodies : Bodies
        First ``config.solids`` solids, then the figure's, or clutter without one.
    figure : Figure
        In every scene, whether or not it is among the bodies.
    """
    batch, T = len(motion), config.frames
    slots = slots_for(motions)
    person = (motion >= FIGURE)[:, None]
    movers = _movers(draw, stage, motion, solo, config)
    lively = (motion == RIGID) & ~solo
    moving = lively[:, None] & draw.chance(0.5, batch, slots)
    clutter = solids.stand(draw, stage, slots, T, moving, 0.35)
    crowded = draw.uniform(batch, 1) * ~solo[:, None]
    absent = draw.uniform(batch, slots) > crowded
    clutter.shape = torch.where(absent, ABSENT, clutter.shape)
    figure = _figures(draw, stage, motion, slots, T, motions)
    walker = torch.where(person[..., None], figure.bodies.centre[:, 0], 0.0)
    stage.contain(walker)
    return join(movers, choose(person, figure.bodies, clutter)), figure


def draw_motion(
    draw: Draw, batch: int, config: SceneConfig, motions: Motions | None
) -> Tensor:
    """Draw what moves, (B,): indices into `MOTIONS`."""
    device = draw.device
    share = torch.tensor(MOTION_SHARE, device=device)
    motion = torch.multinomial(share, batch, True, generator=draw.generator)
    motion = torch.where(draw.chance(config.moving, batch), motion, NONE)
    kind = torch.where(draw.chance(config.replayed, batch), MOCAP, FIGURE)
    if motions is None:
        kind = torch.full_like(kind, FIGURE)
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
    seconds = stage.seconds(frames)
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
    again = (motion == MOCAP)[:, None]
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
    rigid = (motion == RIGID)[:, None]
    person = (motion >= FIGURE)[:, None] & draw.chance(0.25, batch, 1)
    first = torch.arange(K, device=device) == 0
    moving = (rigid | person) & (draw.chance(0.7, batch, K) | (rigid & first))
    floating = 0.5 if config.motion in (None, "rigid") else 0.2
    bodies = solids.stand(
        draw, stage, K, T, moving & ~solo[:, None] | rigid & first, floating
    )
    for index, make in _SOLIDS.items():
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
        sheet = choose((motion == CLOTH)[:, None], cloth, first_body)
        bodies = join(sheet, _slot(bodies, slice(1, None)))
    # one thing alone: a pair for cars (with cabin) and collisions
    pair = (motion == COLLIDING) | (motion == DRIVING)
    slot = torch.arange(K, device=device)
    kept = slot < torch.where(pair, 2, 1)[:, None]
    kept = kept & (motion < FIGURE)[:, None]
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
