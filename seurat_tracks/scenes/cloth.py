"""One waving sheet per scene: a flag, a curtain, or a cloth held in the hands."""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.scenes.bodies import SHEET, Bodies, Waves, make_bodies
from seurat_tracks.scenes.motion import Draw, rotation, smooth_path
from seurat_tracks.scenes.stage import Stage

WAVES = 3


def make_cloth(draw: Draw, stage: Stage, frames: int) -> Bodies:
    """Draw a sheet of which travelling waves bend the height over its rectangle.

    Parameters
    ----------
    draw
        Source of randomness.
    stage
        Surroundings of B scenes; the sheet is their subject.
    frames
        T.

    Returns
    -------
    Bodies
        One `SHEET` per scene. A material point keeps its (x, y) on the rectangle, so
        its place is exact; the cloth stretches a little as it waves.
    """
    device = draw.device
    B = len(stage.floor)
    time = torch.linspace(0, 1, frames, device=device)
    seconds = stage.seconds(frames)
    half = stage.tall[:, None] / 2 * draw.log_uniform(B, 2, low=0.5, high=1.4)
    deep = half.amin(-1) * draw.log_uniform(B, low=0.05, high=0.8)
    # facing the camera, more or less; hanging, or any way up
    facing = draw.normal(B, 3) * torch.tensor([0.25, 0.7, 0.1], device=device)
    facing = torch.where(draw.chance(0.3, B, 1), draw.normal(B, 3) * 0.9, facing)
    turn = rotation(facing)[:, None, None]
    angle = draw.log_uniform(B, 1, 1, 1, low=0.005, high=0.4)
    spin = rotation(smooth_path(draw, (B, 1), time) * angle)
    stretch = smooth_path(draw, (B, 1), time) * draw.uniform(B, 1, 1, 1, high=0.1)
    size = torch.cat([half, deep[:, None]], -1)[:, None, None] * stretch.exp()
    travel = stage.tall[:, None, None, None] * draw.log_uniform(
        B, 1, 1, 1, low=0.005, high=0.3
    )
    centre = stage.subject[:, None, None] + smooth_path(draw, (B, 1), time) * travel
    frame = (spin @ turn) * size[..., None, :]

    gain = draw.normal(B, WAVES)
    gain = gain / gain.abs().sum(-1, keepdim=True).clamp_min(1e-6)
    number = draw.normal(B, WAVES, 2) * draw.log_uniform(B, WAVES, 1, low=0.7, high=5.0)
    rate = 6.2832 * draw.log_uniform(B, WAVES, 1, low=0.15, high=2.5)
    rate = rate * draw.normal(B, WAVES, 1).sign()
    phase = rate * seconds[:, None] + draw.uniform(B, WAVES, 1, high=6.2832)
    free = draw.chance(0.5, B).float()
    shape = torch.full((B, 1), SHEET, device=device)
    bodies = make_bodies(frame, centre, shape)
    bodies.waves = Waves(gain, number, phase, free)
    return bodies


def surface_point(
    bodies: Bodies, scene: Tensor, on_sheet: Tensor, local: Tensor
) -> Tensor:
    """Follow material points of bodies in the bodies' own axes.

    Parameters
    ----------
    bodies
        Of B scenes over T times.
    scene : int Tensor (n,)
    on_sheet : bool Tensor (n,)
    local : Tensor (n, 3)
        Places at some time.

    Returns
    -------
    Tensor (n, T, 3)
        Points of solids stay; those on the sheet keep x and y and ride on its height.
    """
    T = bodies.centre.shape[2]
    moved = local[:, None].repeat(1, T, 1)
    i = on_sheet.nonzero()[:, 0]
    if bodies.waves is None or len(i) == 0:
        return moved
    time = torch.arange(T, device=local.device).repeat(len(i))
    x, y = (local[i, axis].repeat_interleave(T) for axis in (0, 1))
    height = bodies.waves.height(scene[i].repeat_interleave(T), time, x, y)
    moved[i, :, 2] = height.view(len(i), T)
    return moved
