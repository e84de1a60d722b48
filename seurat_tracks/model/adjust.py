"""One rigid motion and its points, fitted together: robust bundle adjustment.

`descend` is Levenberg-Marquardt, the points eliminated by the Schur complement (Triggs
et al. 2000), under Geman-McClure weights that narrow from step to step. Units and
shapes as in `seurat_tracks.model.views`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seurat_tracks.model.views import (
    RigidMotion,
    View,
    by_camera,
    by_place,
    image,
    inverse,
    look,
    rotation,
    slopes,
    turn_vector,
)

QUIETEST = 4e-4
"""Least noise assumed, normalised: a tenth of a pixel of a 500-pixel frame."""


class Prior(NamedTuple):
    """Precisions and centre of the priors."""

    camera: Tensor  # 6: turn, shift
    place: Tensor  # 3: across twice (a mere safeguard), log inverse depth
    focal: Tensor  # B
    log_focal: Tensor  # B, the centre


def squared(residual: Tensor) -> Tensor:
    """Squared length (B, T, M) of (B, 2, T, M); quicker than a sum of two."""
    x, y = residual.unbind(1)
    return torch.addcmul(x * x, y, y)


def weights(residual: Tensor, count: Tensor, noise: Tensor) -> Tensor:
    """Geman-McClure weights (B, T, M) over the noise's variance; noise (B,)."""
    variance = noise[:, None, None].square()
    fit = variance / (variance + squared(residual))
    return count * fit.square() / variance


def add_up(a: Tensor, b: Tensor) -> Tensor:
    """Sum over frames and both axes of a (B, T, i, 1, 2, M) times b (B, T, 1, j, 2, M).

    Returns (B, i, j, M).
    """
    both = torch.addcmul(a[..., 0, :] * b[..., 0, :], a[..., 1, :], b[..., 1, :])
    return both.sum(1)


def _newton_step(
    view: View,
    residual: Tensor,
    w: Tensor,
    place: Tensor,
    motion: RigidMotion,
    prior: Prior,
    damping: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Solve the damped normal equations, the points eliminated.

    Returns
    -------
    cameras, focal, places
        Steps (B, T - 1, 6), (B,) and (B, 3, M).
    """
    B, _, T, _ = residual.shape
    past = T - 1  # the first frame is the reference
    C = 6 * past
    slope = slopes(view, motion.log_focal)
    # 6 columns of the camera, the focal length, 3 of the point, the residual
    parts = by_camera(view, motion, slope), by_place(view, motion, slope)
    columns = torch.cat([*parts, residual.transpose(1, 2)[:, :, None]], 2)
    weighted = w[:, :, None, None] * columns[:, :, :10]
    # added up over points
    gram = weighted.flatten(3) @ columns.flatten(3).mT  # B T 10 11
    hcc = gram[:, 1:, :6, :6] + torch.diag(prior.camera)
    camera = torch.cat([turn_vector(motion.turn), motion.shift], -1)[:, 1:]
    gc = gram[:, 1:, :6, 10] + prior.camera * camera
    edge = gram[:, 1:, :6, 6].reshape(B, C)
    hff = gram[:, :, 6, 6].sum(1) + prior.focal
    gf = gram[:, :, 6, 10].sum(1)
    gf = gf + (motion.log_focal - prior.log_focal) * prior.focal
    # added up over frames
    own = add_up(weighted[:, :, 7:10, None], columns[:, :, None, 6:])  # B 3 5 M
    hfp, hpp, gp = own[:, :, 0], own[:, :, 1:4], own[:, :, 4]
    hpp = damped(hpp, prior.place, damping)
    gp = torch.cat([gp[:, :2], gp[:, 2:] + prior.place[2] * place[:, 2:]], 1)
    inverted = inverse(hpp)
    a, b = weighted[:, 1:, :6, None], columns[:, 1:, None, 7:10]
    hcp = torch.addcmul(a[..., 0, :] * b[..., 0, :], a[..., 1, :], b[..., 1, :])
    to_points = torch.cat([hcp.flatten(1, 2), hfp[:, None]], 1)  # B C+1 3 M

    whole = hcc.permute(0, 2, 3, 1).diag_embed()  # B 6 6 T-1 T-1
    whole = whole.permute(0, 3, 1, 4, 2).reshape(B, C, C)
    whole = torch.cat([whole, edge[:, None]], 1)
    edge = torch.cat([edge, hff[:, None]], 1)
    whole = torch.cat([whole, edge[..., None]], 2)
    whole = whole + _damp(whole, damping)
    through = to_points[:, :, 0, None] * inverted[:, None, 0]
    for i in (1, 2):
        through.addcmul_(to_points[:, :, i, None], inverted[:, None, i])
    through = through.flatten(2)
    whole = whole - through @ to_points.flatten(2).mT
    right = torch.cat([gc.flatten(1), gf[:, None]], 1)
    right = right - (through @ gp.flatten(1)[..., None])[..., 0]
    # float64: windows of little depth are nearly singular (Apple's GPUs have none)
    place_of_solution = "cpu" if w.device.type == "mps" else w.device
    whole, right = (a.to(place_of_solution, torch.float64) for a in (whole, right))
    move = -torch.linalg.solve_ex(whole, right).result
    move = move.to(w.device, w.dtype).nan_to_num(0.0)
    back = gp + (move[:, None] @ to_points.flatten(2)).view_as(gp)
    places = -(inverted * back[:, None]).sum(2)
    return move[:, :C].unflatten(1, (past, 6)), move[:, C], places


def misfit(
    residual: Tensor, count: Tensor, place: Tensor, motion: RigidMotion, prior: Prior
) -> Tensor:
    """Geman-McClure misfit and priors (B,), what `descend` makes small."""
    square = squared(residual)
    away = count * square / (square + motion.noise.square()[:, None, None])
    camera = torch.cat([turn_vector(motion.turn), motion.shift], -1)
    return (
        away.sum((1, 2))
        + (camera.square() * prior.camera).sum((1, 2))
        + (place[:, 2].square() * prior.place[2]).sum(1)
        + (motion.log_focal - prior.log_focal).square() * prior.focal
    )


def descend(
    xy: Tensor,
    count: Tensor,
    place: Tensor,
    motion: RigidMotion,
    prior: Prior,
    steps: int,
) -> tuple[Tensor, RigidMotion]:
    """Improve a motion and its points, its noise narrowing from what it says.

    Parameters
    ----------
    xy : Tensor (B, 2, T, M)
        Filled positions.
    count : Tensor (B, T, M)
        Where they count.
    place : Tensor (B, 3, M)
        Points to begin from.
    motion
        Motion to begin from.
    prior
        What is known beforehand.
    steps
        Steps of the solver; one that makes `misfit` larger is taken back.

    Returns
    -------
    place, motion
        The same, improved.
    """
    # fields of view from 6 to 140 degrees, unless another one is stated
    shortest = prior.log_focal.clamp_max(-1.0) - 0.1
    longest = prior.log_focal.clamp_min(3.0) + 0.1
    damping = torch.full_like(motion.noise, 1e-2)
    view = look(place, motion)
    residual = image(view, motion.log_focal) - xy
    for _ in range(steps):
        size = torch.where(count > 0, squared(residual).sqrt(), torch.nan).flatten(1)
        middle = size.nanmedian(1).values.nan_to_num(QUIETEST)
        narrower = torch.maximum(2.0 * middle, 0.5 * motion.noise)
        noise = torch.minimum(motion.noise, narrower).clamp_min(QUIETEST)
        motion = motion._replace(noise=noise)
        weight = weights(residual, count, noise)
        cameras, focal, places = _newton_step(
            view, residual, weight, place, motion, prior, damping
        )
        turned = rotation(cameras[..., :3].clamp(-0.5, 0.5)) @ motion.turn[:, 1:]
        shifted = motion.shift[:, 1:] + cameras[..., 3:].clamp(-1.0, 1.0)
        trial = RigidMotion(
            torch.cat([motion.turn[:, :1], turned], 1),
            torch.cat([motion.shift[:, :1], shifted], 1),
            (motion.log_focal + focal.clamp(-0.5, 0.5)).clamp(shortest, longest),
            noise,
        )
        moved = limited(place, places, 0.3, 1.0)
        seen = look(moved, trial)
        away = image(seen, trial.log_focal) - xy
        before = misfit(residual, count, place, motion, prior)
        better = misfit(away, count, moved, trial, prior) < before
        damping = torch.where(better, damping * 0.2, damping * 10).clamp(1e-6, 1e4)
        place, residual = take(better, moved, place), take(better, away, residual)
        view = View(*(take(better, a, b) for a, b in zip(seen, view, strict=True)))
        motion = take_motion(better, trial, motion)
    return place, motion


def _damp(h: Tensor, damping: Tensor) -> Tensor:
    return torch.diag_embed(damping[..., None] * h.diagonal(dim1=-2, dim2=-1))


def damped(h: Tensor, prior: Tensor, damping: Tensor | float) -> Tensor:
    """Add some damping (B,), and a prior (3,), to the diagonal of (B, 3, 3, M)."""
    if isinstance(damping, Tensor):
        damping = damping[:, None, None]
    h = h.clone()
    diagonal = h.diagonal(dim1=1, dim2=2)  # a view, B M 3
    diagonal += damping * diagonal + prior
    return h


def limited(place: Tensor, move: Tensor, across: float, along: float) -> Tensor:
    """Move points (B, 3, M) by a limited step, within limits of depth."""
    near = place[:, 2:] + move[:, 2:].clamp(-along, along)
    aside = place[:, :2] + move[:, :2].clamp(-across, across)
    return torch.cat([aside, near.clamp(-4.0, 4.0)], 1)


def take(which: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Windows of one tensor where ``which`` (B,) holds, else of another."""
    return torch.where(which.reshape(-1, *[1] * (new.dim() - 1)), new, old)


def take_motion(which: Tensor, new: RigidMotion, old: RigidMotion) -> RigidMotion:
    """`take` for every part of a motion."""
    return RigidMotion(*(take(which, a, b) for a, b in zip(new, old, strict=True)))
