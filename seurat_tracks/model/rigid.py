"""The rigid motion that explains a window best: a small robust bundle adjustment.

A thing that keeps its shape, seen by one camera, has one unknown motion and one unknown
depth per point; eight frames of points fix both, up to one scale that cancels in depth
ratios (Longuet-Higgins 1981; Triggs et al. 2000). `solve_motion` finds the motion that
most points share, usually the camera's, from the support alone; `solve_points` then
finds every point's depth, each by itself. What fits badly moves by another motion, and
the network is told how badly.

Units: normalised image coordinates, and depth in units of a typical first depth, so
that priors need no metres. Everything is batched over windows B.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seurat_tracks.model.adjust import (
    QUIETEST,
    Prior,
    add_up,
    damped,
    descend,
    limited,
    misfit,
    take,
    take_motion,
    weights,
)
from seurat_tracks.model.views import (
    RigidMotion,
    by_place,
    image,
    inverse,
    look,
    slopes,
)

FOCAL = math.log(1.92)
"""Prior mean of log focal length, half longer sides: a field of view of 55 degrees."""

FOCAL_SPREAD = 0.42
"""Its standard deviation; a third of all lenses lie outside 37 to 77 degrees."""

FOCAL_KNOWN = 0.02
"""Standard deviation of a focal length that the caller states."""

TURN_SPREAD, SHIFT_SPREAD, DEPTH_SPREAD = 0.35, 0.5, 1.3
"""Prior standard deviations: turn (radians), shift (typical depths), log depth."""

TOO_FAR = 2.5
"""A point whose residual is beyond so many times the noise moves by itself."""

MIRRORED = ((-1.0, 1.0), (0.0, 0.0))
"""How later descents start from what was found: factors on the shift across the view
and along it. A camera that only turns says little of its lens, so that starts anew."""

ENOUGH = 128
"""Points that tell the descents apart; all of them are fitted in the end."""

SLANT = 0.618
"""Slope of the line along which points are spread; no grid is aligned with it."""

FAR_BETTER = 0.8
"""A later descent must leave at most so much of the misfit to win."""


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


@torch.no_grad()
def solve_motion(
    xy: Tensor,
    visible: Tensor,
    scale: Tensor,
    log_focal: Tensor | None = None,
    only: Tensor | None = None,
    steps: int = 10,
    last_steps: int = 5,
) -> RigidMotion:
    """Fit one rigid motion to a window, whatever the depths of its points.

    Three descents (`adjust.descend`) on some of the points, weights narrowing in each
    from the size of the motion to the noise. The first starts from no motion and equal
    depths. Points and their mirror image in depth look nearly alike when the camera
    goes the other way (Necker's reversal), so that it may end in the wrong one: the
    second starts from the mirror image of what was found, and the third from mirrored
    depths before a camera that turns alone. Either wins where it fits far better. Last
    steps fit the winner to all points.

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
    steps, last_steps
        Steps of each descent, and with all points.

    Returns
    -------
    RigidMotion
        No motion where no point is seen.
    """
    if only is not None:
        visible = visible & only[..., None]
    prior = _prior(xy, log_focal)
    few = _spread(xy, visible) if xy.shape[1] > ENOUGH else None
    some = _points_last(*(xy, visible) if few is None else _pick(xy, visible, few))
    noise = scale.clamp_min(5 * QUIETEST)
    # in single precision rounding alone decides which descent ends where
    exact = xy.dtype if xy.device.type == "mps" else torch.float64
    found = _best_start(
        some[0].to(exact),
        some[1].to(exact),
        noise.to(exact),
        Prior(*(part.to(exact) for part in prior)),
        steps,
    )
    place = found[0].to(xy.dtype)
    motion = RigidMotion(*(part.to(xy.dtype) for part in found[1]))
    if few is not None:
        place = solve_points(xy, visible, scale, motion).place.mT
    xy, count = _points_last(xy, visible)
    return descend(xy, count, place, motion, prior, last_steps)[1]


def _prior(xy: Tensor, log_focal: Tensor | None) -> Prior:
    """Say what is known of every window (B) before its points are looked at."""
    B = len(xy)
    centre, tight = xy.new_full((B,), FOCAL), xy.new_full((B,), FOCAL_SPREAD**-2)
    if log_focal is not None:
        known = log_focal.isfinite()
        centre = torch.where(known, log_focal.to(xy.dtype), centre)
        tight = torch.where(known, FOCAL_KNOWN**-2, tight)
    return Prior(
        xy.new_tensor([TURN_SPREAD**-2] * 3 + [SHIFT_SPREAD**-2] * 3),
        xy.new_tensor([1.0, 1.0, DEPTH_SPREAD**-2]),
        tight,
        centre,
    )


def _spread(xy: Tensor, visible: Tensor) -> Tensor:
    """Positions (B, ENOUGH) of points that are spread over the picture.

    Every n-th point along a slanted line, whatever their order.
    """
    along = xy[:, :, 0, 0] + SLANT * xy[:, :, 0, 1]
    usable = visible.sum(2) > 1
    order = along.masked_fill(~usable, torch.inf).argsort(1)
    there = usable.sum(1, keepdim=True)
    place = torch.arange(ENOUGH, device=xy.device)[None]
    # all of them, then unusable ones, where there are not more
    place = torch.where(there > ENOUGH, place * there // ENOUGH, place)
    return order.gather(1, place)


def _pick(xy: Tensor, visible: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Take some points (B, M) of each window."""
    T = xy.shape[2]
    return (
        xy.gather(1, points[..., None, None].expand(-1, -1, T, 2)),
        visible.gather(1, points[..., None].expand(-1, -1, T)),
    )


def _best_start(
    xy: Tensor, count: Tensor, noise: Tensor, prior: Prior, steps: int
) -> tuple[Tensor, RigidMotion]:
    """Descend from nothing, then from mirror images; return the place and motion."""
    B, _, T, M = xy.shape
    still = torch.eye(3, dtype=xy.dtype, device=xy.device).expand(B, T, 3, 3)
    motion = RigidMotion(still, xy.new_zeros(B, T, 3), prior.log_focal, noise)
    place = torch.cat([xy[:, :, 0], xy.new_zeros(B, 1, M)], 1)
    place, motion = descend(xy, count, place, motion, prior, steps)
    for aside, ahead in MIRRORED:
        mirrored = torch.cat([xy[:, :, 0], -place[:, 2:]], 1)
        shift = motion.shift * xy.new_tensor([aside, aside, ahead])
        lens = motion.log_focal if ahead else prior.log_focal
        start = RigidMotion(motion.turn, shift, lens, noise)
        found = descend(xy, count, mirrored, start, prior, steps)
        better = _fits_far_better(xy, count, prior, found, (place, motion))
        place = take(better, found[0], place)
        motion = take_motion(better, found[1], motion)
    return place, motion


def _fits_far_better(
    xy: Tensor,
    count: Tensor,
    prior: Prior,
    new: tuple[Tensor, RigidMotion],
    old: tuple[Tensor, RigidMotion],
) -> Tensor:
    """Windows (B,) that a fit explains far better than another does."""
    # under one noise, or the fit that gave up on more points would win
    noise = torch.minimum(new[1].noise, old[1].noise).clamp_min(2 * QUIETEST)
    ours, theirs = (
        misfit(image(look(p, m), m.log_focal) - xy, count, p, m, prior)
        for p, m in ((p, m._replace(noise=noise)) for p, m in (new, old))
    )
    return ours < FAR_BETTER * theirs


def _points_last(xy: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (B, 2, T, N) and where they count (B, T, N)."""
    count = visible.transpose(1, 2).to(xy.dtype).contiguous()
    return xy.permute(0, 3, 2, 1).contiguous(), count


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
        w = weights(residual, count, noise)
        columns = by_place(view, motion, slopes(view, motion.log_focal))
        weighted = w[:, :, None, None] * columns
        columns = torch.cat([columns, residual.transpose(1, 2)[:, :, None]], 2)
        own = add_up(weighted[:, :, :, None], columns[:, :, None])  # B 3 4 N
        g = own[:, :, 3]
        g = torch.cat([g[:, :2], g[:, 2:] + prior[2] * place[:, 2:]], 1)
        inverted = inverse(damped(own[:, :, :3], prior, 1e-2))
        move = -(inverted * g[:, None]).sum(2)
        place = limited(place, move, 0.1, 0.5)
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
