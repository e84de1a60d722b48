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

FOCAL = math.log(1.92)
"""Prior mean of log focal length, half longer sides: a field of view of 55 degrees."""

FOCAL_SPREAD = 0.42
"""Its standard deviation; a third of all lenses lie outside 37 to 77 degrees."""

FOCAL_KNOWN = 0.02
"""Standard deviation of a focal length that the caller states."""

TURN_SPREAD, SHIFT_SPREAD, DEPTH_SPREAD = 0.35, 0.5, 1.3
"""Prior standard deviations: turn (radians), shift (typical depths), log depth."""

NEAREST = 0.05
"""Points come no nearer than this share of the typical depth."""

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


def rotation(vector: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (..., 3), in radians (Rodrigues)."""
    angle = vector.norm(dim=-1, keepdim=True)[..., None].clamp_min(1e-8)
    cross = _cross(vector)
    eye = torch.eye(3, device=vector.device)
    return (
        eye
        + (angle.sin() / angle) * cross
        + ((1 - angle.cos()) / angle.square()) * (cross @ cross)
    )


def turn_vector(turn: Tensor) -> Tensor:
    """Axis times sine of the angle (..., 3) of rotation matrices (..., 3, 3)."""
    odd = 0.5 * (turn - turn.transpose(-1, -2))
    return torch.stack([odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]], -1)


def _cross(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))


def _inverse(h: Tensor) -> Tensor:
    """Inverse of positive definite (..., 3, 3), in closed form after scaling."""
    root = h.diagonal(dim1=-2, dim2=-1).clamp_min(1e-12).rsqrt()
    h = h * root[..., None] * root[..., None, :]
    a, b, c = h[..., 0, 1], h[..., 0, 2], h[..., 1, 2]
    # unit diagonal: cofactors and determinant
    aa, bb, cc = 1 - c * c, 1 - b * b, 1 - a * a
    ab, ac, bc = b * c - a, a * c - b, a * b - c
    det = (aa + a * ab + b * ac).clamp_min(1e-6)
    flat = torch.stack([aa, ab, ac, ab, bb, bc, ac, bc, cc], -1) / det[..., None]
    return flat.unflatten(-1, (3, 3)) * root[..., None] * root[..., None, :]


def _views(place: Tensor, motion: RigidMotion) -> tuple[Tensor, Tensor, Tensor]:
    """Rays turned, points before the camera (B, N, T, 3); first rays (B, N, 3)."""
    f = motion.log_focal.exp()[:, None, None]
    first = torch.cat([place[..., :2] / f, torch.ones_like(place[..., :1])], -1)
    ray = torch.einsum("btij,bnj->bnti", motion.turn, first)
    inverse_depth = place[..., 2].exp()[..., None, None]
    return ray, ray + inverse_depth * motion.shift[:, None], first


def _image(view: Tensor, log_focal: Tensor) -> Tensor:
    """Project (B, N, T, 3) to normalised positions."""
    f = log_focal.exp()[:, None, None, None]
    return f * view[..., :2] / view[..., 2:].clamp_min(NEAREST)


def _image_jacobian(view: Tensor, log_focal: Tensor) -> Tensor:
    """Differentiate the image position by the view: (B, N, T, 2, 3)."""
    z = view[..., 2].clamp_min(NEAREST)
    a = log_focal.exp()[:, None, None] / z
    live = (view[..., 2] > NEAREST).to(view.dtype)
    o = torch.zeros_like(a)
    u, v = (-a * live * view[..., i] / z for i in (0, 1))
    return torch.stack([a, o, u, o, a, v], -1).unflatten(-1, (2, 3))


def _place_jacobian(by_view: Tensor, place: Tensor, motion: RigidMotion) -> Tensor:
    """Differentiate it by `RigidPoints.place`: (B, N, T, 2, 3)."""
    f = motion.log_focal.exp()[:, None, None, None, None]
    inverse_depth = place[..., 2].exp()[..., None, None]
    along = (inverse_depth * motion.shift[:, None])[..., None]  # B N T 3 1
    across = (motion.turn[:, None, ..., :2] / f).expand(*along.shape[:-1], 2)
    return by_view @ torch.cat([across, along], -1)


def _weights(residual: Tensor, count: Tensor, noise: Tensor) -> Tensor:
    """Geman-McClure weights over the noise's variance; noise (B,) or (B, 1, 1)."""
    variance = noise.reshape(-1, 1, 1).square()
    fit = variance / (variance + residual.square().sum(-1))
    return count * fit.square() / variance


class _Prior(NamedTuple):
    """Precisions and centre of the priors."""

    camera: Tensor  # 6: turn, shift
    place: Tensor  # 3: across twice (a mere safeguard), log inverse depth
    focal: Tensor  # B
    log_focal: Tensor  # B, the centre


def _jacobians(
    place: Tensor, motion: RigidMotion, ray: Tensor, view: Tensor, first: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate image positions by the camera, by the focal length, by the place.

    Shapes (B, M, T - 1, 2, 6), the first frame being the reference, (B, M, T, 2) and
    (B, M, T, 2, 3).
    """
    by_view = _image_jacobian(view, motion.log_focal)
    inverse_depth = place[..., 2].exp()[..., None, None, None]
    by_camera = torch.cat([-by_view @ _cross(ray), by_view * inverse_depth], -1)
    # a longer lens makes the first ray narrower and the picture larger
    narrow = first * first.new_tensor([-1.0, -1.0, 0.0])
    narrow = torch.einsum("btij,bmj->bmti", motion.turn, narrow)[..., None]
    by_focal = _image(view, motion.log_focal) + (by_view @ narrow)[..., 0]
    return by_camera[:, :, 1:], by_focal, _place_jacobian(by_view, place, motion)


def _newton_step(
    jacobians: tuple[Tensor, Tensor, Tensor],
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
        Steps (B, T - 1, 6), (B,) and (B, M, 3).
    """
    by_camera, by_focal, by_place = jacobians
    B, _, past, _, _ = by_camera.shape
    C = 6 * past
    # points, 3 x 3 each
    weighted = w[..., None, None] * by_place
    hpp = torch.einsum("bmtki,bmtkj->bmij", by_place, weighted)
    hpp = hpp + torch.diag(prior.place) + _damp(hpp, damping[:, None])
    gp = torch.einsum("bmtki,bmtk->bmi", weighted, residual)
    gp = gp + prior.place * torch.cat([0 * place[..., :2], place[..., 2:]], -1)
    inverse = _inverse(hpp)
    # cameras, 6 x 6 each
    weighted = w[:, :, 1:, None, None] * by_camera
    hcc = torch.einsum("bmtki,bmtkj->btij", weighted, by_camera)
    hcc = hcc + torch.diag(prior.camera)
    gc = torch.einsum("bmtki,bmtk->bti", weighted, residual[:, :, 1:])
    camera = torch.cat([turn_vector(motion.turn), motion.shift], -1)[:, 1:]
    gc = gc + prior.camera * camera
    hcf = torch.einsum("bmtki,bmtk->bti", weighted, by_focal[:, :, 1:])
    hcp = torch.einsum("bmtki,bmtkj->bmtij", weighted, by_place[:, :, 1:])
    # focal length
    weighted = w[..., None] * by_focal
    hff = (weighted * by_focal).sum((1, 2, 3)) + prior.focal
    gf = (weighted * residual).sum((1, 2, 3))
    gf = gf + (motion.log_focal - prior.log_focal) * prior.focal
    hfp = torch.einsum("bmtk,bmtkj->bmj", weighted, by_place)

    block = torch.block_diag(*w.new_ones(past, 6, 6))
    whole = block * hcc.transpose(1, 2).reshape(B, 6, C).repeat(1, past, 1)
    edge = hcf.reshape(B, C)
    whole = torch.cat([whole, edge[:, None]], 1)
    edge = torch.cat([edge, hff[:, None]], 1)
    whole = torch.cat([whole, edge[..., None]], 2)
    whole = whole + _damp(whole, damping)
    to_points = torch.cat([hcp.flatten(2, 3), hfp[:, :, None]], 2)  # B M C+1 3
    through = to_points @ inverse
    a, b = (each.transpose(1, 2).flatten(2) for each in (through, to_points))
    whole = whole - a @ b.transpose(1, 2)
    right = torch.cat([gc.flatten(1), gf[:, None]], 1)
    right = right - torch.einsum("bmcp,bmp->bc", through, gp)
    # float64: windows of little depth are nearly singular (Apple's GPUs have none)
    place_of_solution = "cpu" if w.device.type == "mps" else w.device
    whole, right = (a.to(place_of_solution, torch.float64) for a in (whole, right))
    move = -torch.linalg.solve_ex(whole, right).result
    move = move.to(w.device, w.dtype).nan_to_num(0.0)
    back = gp + torch.einsum("bmcp,bc->bmp", to_points, move)
    places = -(inverse @ back[..., None])[..., 0]
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
    count = visible.to(xy.dtype)
    if only is not None:
        count = count * only[..., None].to(xy.dtype)
    centre, tight = xy.new_full((B,), FOCAL), xy.new_full((B,), FOCAL_SPREAD**-2)
    if log_focal is not None:
        known = log_focal.isfinite()
        centre = torch.where(known, log_focal, centre)
        tight = torch.where(known, FOCAL_KNOWN**-2, tight)
    still = torch.eye(3, device=xy.device).expand(B, T, 3, 3)
    noise = scale.clamp_min(5 * QUIETEST)
    motion = RigidMotion(still, xy.new_zeros(B, T, 3), centre, noise)
    place = torch.cat([xy[:, :, 0], xy.new_zeros(B, M, 1)], -1)
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
        square = residual.square().sum(-1)
        misfit = (count * square / (square + noise.square()[:, None, None])).sum((1, 2))
        camera = torch.cat([turn_vector(motion.turn), motion.shift], -1)
        return (
            misfit
            + (camera.square() * prior.camera).sum((1, 2))
            + (place[..., 2].square() * prior.place[2]).sum(1)
            + (motion.log_focal - centre).square() * tight
        )

    views: tuple[Tensor, ...] = _views(place, motion)
    residual = _image(views[1], motion.log_focal) - xy
    for _ in range(steps):
        size = torch.where(count > 0, residual.norm(dim=-1), torch.nan).flatten(1)
        middle = size.nanmedian(1).values.nan_to_num(QUIETEST)
        narrower = torch.maximum(2.0 * middle, 0.5 * noise)
        noise = torch.minimum(noise, narrower).clamp_min(QUIETEST)
        weight = _weights(residual, count, noise)
        jacobians = _jacobians(place, motion, *views)
        cameras, focal, places = _newton_step(
            jacobians, residual, weight, place, motion, prior, damping
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
        seen = _views(moved, trial)
        misfit = _image(seen[1], trial.log_focal) - xy
        better = cost(moved, trial, misfit) < cost(place, motion, residual)
        damping = torch.where(better, damping * 0.2, damping * 10).clamp(1e-6, 1e4)
        place, residual = _take(better, moved, place), _take(better, misfit, residual)
        views = tuple(_take(better, a, b) for a, b in zip(seen, views, strict=True))
        motion = RigidMotion(
            *(_take(better, a, b) for a, b in zip(trial, motion, strict=True))
        )
    return motion._replace(noise=noise)


def _damp(h: Tensor, damping: Tensor) -> Tensor:
    return torch.diag_embed(damping[..., None] * h.diagonal(dim1=-2, dim2=-1))


def _limit(place: Tensor, move: Tensor, across: float, along: float) -> Tensor:
    """Move points by a limited step, within limits of depth."""
    step = torch.cat(
        [move[..., :2].clamp(-across, across), move[..., 2:].clamp(-along, along)], -1
    )
    place = place + step
    return torch.cat([place[..., :2], place[..., 2:].clamp(-4.0, 4.0)], -1)


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
    B, N, _, _ = xy.shape
    count = visible.to(xy.dtype)
    place = torch.cat([xy[:, :, 0], xy.new_zeros(B, N, 1)], -1)
    prior = xy.new_tensor([1.0, 1.0, DEPTH_SPREAD**-2])
    inverse = xy.new_zeros(B, N, 3, 3)
    for step in range(steps):
        _, view, _ = _views(place, motion)
        residual = _image(view, motion.log_focal) - xy
        noise = torch.maximum(scale * 0.5**step, 2.0 * motion.noise)
        w = _weights(residual, count, noise)
        by_view = _image_jacobian(view, motion.log_focal)
        by_place = _place_jacobian(by_view, place, motion)
        weighted = w[..., None, None] * by_place
        h = torch.einsum("bntki,bntkj->bnij", by_place, weighted)
        h = h + torch.diag(prior) + _damp(h, h.new_full((1, 1), 1e-2))
        g = torch.einsum("bntki,bntk->bni", weighted, residual)
        g = g + prior * torch.cat([0 * place[..., :2], place[..., 2:]], -1)
        inverse = _inverse(h)
        place = _limit(place, -(inverse @ g[..., None])[..., 0], 0.1, 0.5)
    _, view, _ = _views(place, motion)
    residual = _image(view, motion.log_focal) - xy
    return RigidPoints(place, view, residual, inverse[..., 2, 2].sqrt())


def moves_otherwise(
    points: RigidPoints, visible: Tensor, motion: RigidMotion
) -> Tensor:
    """Which points (B, N) the motion does not explain."""
    count = visible.to(points.residual.dtype)
    square = (points.residual.square().sum(-1) * count).sum(-1)
    size = (square / count.sum(-1).clamp_min(1.0)).sqrt()
    return size > TOO_FAR * motion.noise[:, None]
