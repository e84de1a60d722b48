"""The rigid motion that explains a window best: a small robust bundle adjustment.

A thing that keeps its shape, seen by one camera, has one unknown motion and one unknown
depth per point; eight frames of points fix both, up to one scale that cancels in depth
ratios (Longuet-Higgins 1981; Triggs et al. 2000). `solve_motion` finds the motion that
most points share, usually the camera's, from the support alone; `solve_points` then
finds every point's depth, each by itself. What fits badly moves by another motion, and
the network is told how badly.

Units: normalised image coordinates, and depth in units of a typical first depth, so
that priors need no metres. Everything is batched over windows B and runs in float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seurat_tracks.model.views import (
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

FOCAL = math.log(1.92)
"""Prior mean of log focal length, half longer sides: a field of view of 55 degrees."""

FOCAL_SPREAD = 0.42
"""Its standard deviation; a third of all lenses lie outside 37 to 77 degrees."""

FOCAL_KNOWN = 0.02
"""Standard deviation of a focal length that the caller states."""

TURN_SPREAD, SHIFT_SPREAD, DEPTH_SPREAD = 0.35, 0.5, 1.3
"""Prior standard deviations: turn (radians), shift (typical depths), log depth."""

QUIETEST = 4e-4
"""Least noise assumed, normalised: a tenth of a pixel of a 500-pixel frame."""

TOO_FAR = 2.5
"""A point whose residual is beyond so many times the noise moves by itself."""


class RigidMotion(NamedTuple):
    """Motion of a rigid thing before the camera, per window.

    Attributes
    ----------
    turn : Tensor (B, T, 3, 3)
        Rotation from the first frame's camera to frame t's; identity at t = 0.
    shift : Tensor (B, T, 3)
        Translation after it, in typical depths; zero at t = 0.
    log_focal : Tensor (B,)
        Focal length, half longer sides.
    noise : Tensor (B,)
        Size of the residuals of the points that fit, normalised.
    """

    turn: Tensor
    shift: Tensor
    log_focal: Tensor
    noise: Tensor


class RigidPoints(NamedTuple):
    """Points of a rigid thing whose motion is known.

    Attributes
    ----------
    place : Tensor (B, N, 3)
        Position at the first frame and log inverse depth.
    view : Tensor (B, N, T, 3)
        Position before the camera, over the point's own depth at the first frame: its
        last entry is the depth ratio.
    residual : Tensor (B, N, T, 2)
        Where the point would be seen, less where it is.
    spread : Tensor (B, N)
        Standard error of log inverse depth.
    """

    place: Tensor
    view: Tensor
    residual: Tensor
    spread: Tensor


def _weights(residual: Tensor, count: Tensor, noise: Tensor) -> Tensor:
    """Geman-McClure weights (B, T, M) over the noise's variance; noise (B,)."""
    variance = noise[:, None, None].square()
    fit = variance / (variance + _square(residual))
    return count * fit.square() / variance


def _square(residual: Tensor) -> Tensor:
    """Squared length (B, T, M) of (B, 2, T, M); quicker than a sum of two."""
    x, y = residual.unbind(1)
    return torch.addcmul(x * x, y, y)


def _add_up(a: Tensor, b: Tensor) -> Tensor:
    """Sum over frames and both axes of a (B, T, i, 1, 2, M) times b (B, T, 1, j, 2, M).

    Returns (B, i, j, M).
    """
    both = torch.addcmul(a[..., 0, :] * b[..., 0, :], a[..., 1, :], b[..., 1, :])
    return both.sum(1)


class _Prior(NamedTuple):
    """Precisions and centre of the priors."""

    camera: Tensor  # 6: turn, shift
    place: Tensor  # 3: across twice (a mere safeguard), log inverse depth
    focal: Tensor  # B
    log_focal: Tensor  # B, the centre


def _newton_step(
    view: View,
    residual: Tensor,
    w: Tensor,
    place: Tensor,
    motion: RigidMotion,
    prior: _Prior,
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
    own = _add_up(weighted[:, :, 7:10, None], columns[:, :, None, 6:])  # B 3 5 M
    hfp, hpp, gp = own[:, :, 0], own[:, :, 1:4], own[:, :, 4]
    hpp = _damped(hpp, prior.place, damping)
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


@torch.no_grad()
def solve_motion(
    xy: Tensor,
    visible: Tensor,
    scale: Tensor,
    log_focal: Tensor | None = None,
    only: Tensor | None = None,
    steps: int = 10,
) -> RigidMotion:
    """Fit one rigid motion to a window, whatever the depths of its points.

    Levenberg-Marquardt over camera motion, focal length and points, these eliminated
    by the Schur complement. It starts from no motion and equal depths; Geman-McClure
    weights narrow step by step from the size of the motion to the noise.

    Parameters
    ----------
    xy : Tensor (B, M, T, 2)
        Filled positions.
    visible : bool Tensor (B, M, T)
    scale : Tensor (B,)
        Size of the motion, from `features.motion_scale`.
    log_focal : Tensor (B,), optional
        Log focal length in half longer sides; NaN where unknown.
    only : bool Tensor (B, M), optional
        Points that count.
    steps
        Steps of the solver.

    Returns
    -------
    RigidMotion
        No motion where no point is seen.
    """
    B, M, T, _ = xy.shape
    xy, count = _points_last(xy, visible)
    if only is not None:
        count = count * only[:, None].to(xy.dtype)
    centre, tight = xy.new_full((B,), FOCAL), xy.new_full((B,), FOCAL_SPREAD**-2)
    if log_focal is not None:
        known = log_focal.isfinite()
        centre = torch.where(known, log_focal, centre)
        tight = torch.where(known, FOCAL_KNOWN**-2, tight)
    still = torch.eye(3, device=xy.device).expand(B, T, 3, 3)
    noise = scale.clamp_min(5 * QUIETEST)
    motion = RigidMotion(still, xy.new_zeros(B, T, 3), centre, noise)
    place = torch.cat([xy[:, :, 0], xy.new_zeros(B, 1, M)], 1)
    prior = _Prior(
        xy.new_tensor([TURN_SPREAD**-2] * 3 + [SHIFT_SPREAD**-2] * 3),
        xy.new_tensor([1.0, 1.0, DEPTH_SPREAD**-2]),
        tight,
        centre,
    )
    # fields of view from 6 to 140 degrees, unless another one is stated
    shortest, longest = centre.clamp_max(-1.0) - 0.1, centre.clamp_min(3.0) + 0.1
    damping = xy.new_full((B,), 1e-2)

    def cost(place: Tensor, motion: RigidMotion, residual: Tensor) -> Tensor:
        square = _square(residual)
        misfit = (count * square / (square + noise.square()[:, None, None])).sum((1, 2))
        camera = torch.cat([turn_vector(motion.turn), motion.shift], -1)
        return (
            misfit
            + (camera.square() * prior.camera).sum((1, 2))
            + (place[:, 2].square() * prior.place[2]).sum(1)
            + (motion.log_focal - centre).square() * tight
        )

    view = look(place, motion)
    residual = image(view, motion.log_focal) - xy
    for _ in range(steps):
        size = torch.where(count > 0, _square(residual).sqrt(), torch.nan).flatten(1)
        middle = size.nanmedian(1).values.nan_to_num(QUIETEST)
        narrower = torch.maximum(2.0 * middle, 0.5 * noise)
        noise = torch.minimum(noise, narrower).clamp_min(QUIETEST)
        weight = _weights(residual, count, noise)
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
        moved = _limit(place, places, 0.3, 1.0)
        seen = look(moved, trial)
        misfit = image(seen, trial.log_focal) - xy
        better = cost(moved, trial, misfit) < cost(place, motion, residual)
        damping = torch.where(better, damping * 0.2, damping * 10).clamp(1e-6, 1e4)
        place, residual = _take(better, moved, place), _take(better, misfit, residual)
        view = View(*(_take(better, a, b) for a, b in zip(seen, view, strict=True)))
        motion = RigidMotion(
            *(_take(better, a, b) for a, b in zip(trial, motion, strict=True))
        )
    return motion._replace(noise=noise)


def _points_last(xy: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (B, 2, T, N) and where they count (B, T, N)."""
    count = visible.transpose(1, 2).to(xy.dtype).contiguous()
    return xy.permute(0, 3, 2, 1).contiguous(), count


def _damp(h: Tensor, damping: Tensor) -> Tensor:
    return torch.diag_embed(damping[..., None] * h.diagonal(dim1=-2, dim2=-1))


def _damped(h: Tensor, prior: Tensor, damping: Tensor | float) -> Tensor:
    """Add some damping (B,), and a prior (3,), to the diagonal of (B, 3, 3, M)."""
    if isinstance(damping, Tensor):
        damping = damping[:, None, None]
    h = h.clone()
    diagonal = h.diagonal(dim1=1, dim2=2)  # a view, B M 3
    diagonal += damping * diagonal + prior
    return h


def _limit(place: Tensor, move: Tensor, across: float, along: float) -> Tensor:
    """Move points (B, 3, M) by a limited step, within limits of depth."""
    near = place[:, 2:] + move[:, 2:].clamp(-along, along)
    aside = place[:, :2] + move[:, :2].clamp(-across, across)
    return torch.cat([aside, near.clamp(-4.0, 4.0)], 1)


def _take(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(better.reshape(-1, *[1] * (new.dim() - 1)), new, old)


@torch.no_grad()
def solve_points(
    xy: Tensor, visible: Tensor, scale: Tensor, motion: RigidMotion, steps: int = 5
) -> RigidPoints:
    """Fit the depth of every point by itself, the rigid motion being known.

    Weights narrow as in `solve_motion`, down to twice the noise, so that a point that
    moves by itself still gets the depth that explains most of its motion.

    Parameters
    ----------
    xy : Tensor (B, N, T, 2)
        Filled positions.
    visible : bool Tensor (B, N, T)
    scale : Tensor (B,)
    motion
        From `solve_motion` for the same windows.
    steps
        Gauss-Newton steps.

    Returns
    -------
    RigidPoints
        Every point by itself: others never change it.
    """
    xy, count = _points_last(xy, visible)
    place = torch.cat([xy[:, :, 0], torch.zeros_like(xy[:, :1, 0])], 1)
    prior = xy.new_tensor([1.0, 1.0, DEPTH_SPREAD**-2])
    inverted = torch.zeros_like(place)[:, None].repeat(1, 3, 1, 1)
    view = look(place, motion)
    for step in range(steps):
        residual = image(view, motion.log_focal) - xy
        noise = torch.maximum(scale * 0.5**step, 2.0 * motion.noise)
        w = _weights(residual, count, noise)
        columns = by_place(view, motion, slopes(view, motion.log_focal))
        weighted = w[:, :, None, None] * columns
        columns = torch.cat([columns, residual.transpose(1, 2)[:, :, None]], 2)
        own = _add_up(weighted[:, :, :, None], columns[:, :, None])  # B 3 4 N
        g = own[:, :, 3]
        g = torch.cat([g[:, :2], g[:, 2:] + prior[2] * place[:, 2:]], 1)
        inverted = inverse(_damped(own[:, :, :3], prior, 1e-2))
        move = -(inverted * g[:, None]).sum(2)
        place = _limit(place, move, 0.1, 0.5)
        view = look(place, motion)
    residual = image(view, motion.log_focal) - xy
    return RigidPoints(
        place.mT.contiguous(),
        view.place.permute(0, 3, 2, 1).contiguous(),
        residual.permute(0, 3, 2, 1).contiguous(),
        inverted[:, 2, 2].sqrt(),
    )


def moves_otherwise(
    points: RigidPoints, visible: Tensor, motion: RigidMotion
) -> Tensor:
    """Which points (B, N) the motion does not explain."""
    count = visible.to(points.residual.dtype)
    square = (points.residual.square().sum(-1) * count).sum(-1)
    size = (square / count.sum(-1).clamp_min(1.0)).sqrt()
    return size > TOO_FAR * motion.noise[:, None]
