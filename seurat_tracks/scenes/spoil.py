"""Spoil exact tracks as real trackers spoil them.

Each scene is spoiled in one of the `STYLES`. "flow" follows what was measured of the
embedded tracker against known motion (`docs/tracking-errors.md`); the others widen it
to trackers that could not be measured. Amounts are in normalised image units (half of
the frame's longer side is 1): one pixel of a 640-pixel frame is `PIXEL`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from seurat_tracks.scenes.error_parts import (
    alike_nearby,
    drawn_along,
    filtered,
    first_frame,
    largest,
    lasting,
    neighbour,
    rows,
    stretched,
    waiting,
    walking,
)
from seurat_tracks.scenes.motion import Draw

PIXEL = 2 / 640
"""One pixel of a frame 640 pixels wide."""

STYLES = ("flow", "learned", "pose", "plain")
"""How a scene may be spoiled, in the order of `SpoilConfig.styles`.

flow
    Lucas-Kanade with templates, as measured: small errors with very heavy tails, alike
    among neighbours, points drawn along by what moves beside them, early loss.
learned
    CoTracker and its like: smooth errors, alike among neighbours, and guesses while
    hidden, some of them called visible.
pose
    Detectors of body parts (DeepLabCut, OpenPose): new errors on every frame, outliers,
    two parts exchanged for some frames, guesses while hidden.
plain
    White noise and a random walk of any size, points that slide along edges, jumps.
"""


@dataclass(frozen=True)
class SpoilConfig:
    """How much is spoiled; each amount is drawn anew for every scene.

    Attributes
    ----------
    clean
        Chance that a scene keeps its exact tracks.
    styles
        How often each of `STYLES` is drawn otherwise; need not sum to 1.
    flow
        Range of the median error of flow (log-uniform over scenes).
    learned
        Range of the median error of learned trackers (log-uniform).
    pose
        Range of the error of pose detectors, standard deviation (log-uniform).
    jitter
        Range of plain white noise per frame (log-uniform).
    drift
        Range of the plain random walk's step per frame (log-uniform).
    sliding
        Largest share of plain points that follow only part of the motion along one
        direction, as flow does on an edge.
    drawn
        Largest share of points that are drawn along by another surface.
    lost
        Largest share of points that flow soon loses for want of texture.
    flipped
        Largest share of wrong visibility flags of all styles but flow.
    """

    clean: float = 0.15
    styles: tuple[float, ...] = (0.5, 0.2, 0.12, 0.18)
    flow: tuple[float, float] = (0.09 * PIXEL, 1.0 * PIXEL)
    learned: tuple[float, float] = (0.15 * PIXEL, 2.0 * PIXEL)
    pose: tuple[float, float] = (0.5 * PIXEL, 5.0 * PIXEL)
    jitter: tuple[float, float] = (5e-5, 4e-3)
    drift: tuple[float, float] = (2e-5, 1.5e-3)
    sliding: float = 0.3
    drawn: float = 0.1
    lost: float = 0.45
    flipped: float = 0.08

    def __post_init__(self) -> None:
        fits = len(self.styles) == len(STYLES) and min(self.styles) >= 0
        if not fits or sum(self.styles) <= 0:
            raise ValueError(
                f"styles must hold how often each of {', '.join(STYLES)} is drawn: "
                f"{len(STYLES)} numbers of at least 0, not all 0; got {self.styles}."
            )


def spoil(
    xy: Tensor, visible: Tensor, config: SpoilConfig, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return tracks as a tracker might have given them.

    Parameters
    ----------
    xy : Tensor (B, P, T, 2)
        Exact normalised positions, finite; they may lie outside the frame.
    visible : bool Tensor (B, P, T)
    config
        Amounts.
    generator
        Seeded generator on the device of the tracks.

    Returns
    -------
    xy : Tensor (B, P, T, 2)
        Zero where hidden.
    visible : bool Tensor (B, P, T)
    """
    draw = Draw(generator)
    B = len(xy)
    exact = xy.clamp(-4, 4)  # points behind the camera lie anywhere
    dirty = ~draw.chance(config.clean, B)
    weights = torch.tensor(config.styles, device=xy.device, dtype=torch.float32)
    style = torch.multinomial(weights, B, replacement=True, generator=generator)
    makers = (_flow, _learned, _pose, _plain)
    error, seen = torch.zeros_like(exact), visible.clone()
    for k, make in enumerate(makers):
        mine = (dirty & (style == k)).nonzero()[:, 0]
        if len(mine):
            error[mine], seen[mine] = make(draw, exact[mine], visible[mine], config)
    spoiled = xy + error
    # what is hidden is not called visible outside the frame, as far as that is known
    edge = (exact.abs() * visible[..., None]).amax((1, 2)).clamp_min(0.5)
    inside = (spoiled.abs() <= edge[:, None, None]).all(-1)
    seen = seen & (visible | inside)
    return torch.where(seen[..., None], spoiled, 0.0), seen


# -- styles ---------------------------------------------------------------------------


def _flow(
    draw: Draw, xy: Tensor, visible: Tensor, config: SpoilConfig
) -> tuple[Tensor, Tensor]:
    """Error (B, P, T, 2) and flags as measured of the embedded tracker."""
    B, P, T, _ = xy.shape
    reach = draw.log_uniform(B, low=0.08, high=0.28)
    alike = draw.uniform(B, low=0.7, high=1.0)
    normal = alike_nearby(
        draw, xy[:, :, 0], 3, reach, alike
    )  # B P 3: size, texture, others
    spread = draw.uniform(B, 1, low=0.75, high=1.35)
    median = draw.log_uniform(B, 1, low=config.flow[0], high=config.flow[1])
    size = (median * (spread * normal[..., 0]).exp()).clamp(max=0.1)[..., None, None]

    # small errors flicker; large ones are points that move steadily away, the less
    # steadily the more frames are skipped between two steps
    bound = draw.log_uniform(B, 1, 1, 1, low=0.4 * PIXEL, high=2 * PIXEL)
    flicker = 1 / (1 + (size / bound) ** 1.5)
    skipped = draw.uniform(B, 1, 1, 1, high=0.5) * (1 - flicker)
    z = alike_nearby(draw, xy[:, :, 0], 6 * T, reach, alike).view(B, P, 3, T, 2)
    noise = filtered(lasting(0.5, T, xy.device), z[:, :, 0])
    settled = filtered(lasting(0.9, T, xy.device), z[:, :, 1])
    walk = filtered(walking(0.75, T, xy.device), z[:, :, 2])
    walk = (1.1 - 0.7 * flicker - skipped).sqrt() * walk
    # a point is exact where it was asked for: on the first frame, or long before
    fresh = draw.chance(0.8, B, P)
    offset = torch.where(fresh, 0.0, draw.log_uniform(B, P, low=0.3, high=2.0))
    frames = torch.arange(T, device=xy.device)
    old = ~fresh[..., None, None] | (frames > 0)[:, None]
    error = (0.24 * flicker).sqrt() * noise + (0.4 * skipped).sqrt() * settled
    error = error * old + walk
    error = error + offset[..., None, None] * z[:, :, 2, :1]
    error = size * stretched(draw, error, 1.7)

    # where texture is weakest points are lost at once, where it is weak they slip
    gone = config.lost * draw.uniform(B, 1) ** 2
    weak = largest(normal[..., 1], gone)
    slips = largest(normal[..., 1], gone + 0.05 * draw.uniform(B, 1) ** 2) & ~weak
    far = draw.log_uniform(B, P, 1, 1, low=1.5 * PIXEL, high=20 * PIXEL)
    slip = filtered(lasting(0.97, T, xy.device), z[:, :, 1]) * far
    error = error + slip * old * slips[..., None, None]

    share = config.drawn * draw.uniform(B, 1) * draw.chance(0.8, B, 1)
    part = draw.uniform(B, P) * largest(normal[..., 2], share)
    start = torch.where(draw.chance(0.5, B, P), 0, draw.integers(T, B, P))
    error = error + drawn_along(draw, xy, visible, start, part)

    # what covers a point may carry it off unnoticed
    onset = first_frame(~visible)
    carried = draw.uniform(B, P) < draw.uniform(B, 1, low=0.2, high=0.9)
    carried = carried & visible[..., 0] & (onset < T)
    lasts = draw.log_uniform(B, 1, low=2.0, high=40.0) * waiting(draw, B, P)
    held = carried[..., None] & (frames < onset[..., None] + 1 + lasts[..., None])
    part = carried * draw.uniform(B, P, low=0.3)
    pulled = drawn_along(draw, xy, visible, (onset - 1).clamp(0, T - 1), part)
    error = error + torch.where((held & ~visible)[..., None], pulled, 0.0)
    seen = visible | (held & (frames >= onset[..., None]))

    end = torch.where(weak, 1 + waiting(draw, B, P), T + 1)
    rate = draw.log_uniform(B, 1, low=0.003, high=0.03)
    end = torch.minimum(end, 1 + waiting(draw, B, P) / rate).floor()
    end = (end - (~fresh).float())[..., None]
    # a track given from the middle of its life may as well begin late
    late = draw.chance(0.1, B, P, 1)
    return error, seen & torch.where(late, frames > T - 1 - end, frames < end)


def _learned(
    draw: Draw, xy: Tensor, visible: Tensor, config: SpoilConfig
) -> tuple[Tensor, Tensor]:
    """Error and flags of a tracker that smooths, and guesses while hidden."""
    B, P, T, _ = xy.shape
    reach = draw.log_uniform(B, low=0.10, high=0.60)
    alike = draw.uniform(B, low=0.3, high=0.95)
    normal = alike_nearby(draw, xy[:, :, 0], 1, reach, alike)[..., 0]
    spread = draw.uniform(B, 1, low=0.4, high=1.2)
    median = draw.log_uniform(B, 1, low=config.learned[0], high=config.learned[1])
    size = (median * (spread * normal).exp()).clamp(max=0.1)[..., None, None]
    z = alike_nearby(draw, xy[:, :, 0], 4 * T, reach, alike).view(B, P, 2, T, 2)
    noise = filtered(lasting(0.8, T, xy.device), z[:, :, 0])
    walk = filtered(walking(0.8, T, xy.device), z[:, :, 1])
    steady = draw.uniform(B, 1, 1, 1)
    error = size * ((1 - steady) * noise + steady * walk)
    error = error - error[:, :, :1] * draw.chance(0.5, B, P, 1, 1)
    share = 0.5 * config.drawn * draw.uniform(B, 1)
    part = draw.uniform(B, P) * (draw.uniform(B, P) < share)
    error = error + drawn_along(draw, xy, visible, draw.integers(T, B, P), part)
    guess, seen = _guesses(draw, visible, config, 0.3)
    return error + guess, seen


def _pose(
    draw: Draw, xy: Tensor, visible: Tensor, config: SpoilConfig
) -> tuple[Tensor, Tensor]:
    """Error and flags of a detector that looks at each frame anew."""
    B, P, T, _ = xy.shape
    size = draw.log_uniform(B, 1, 1, 1, low=config.pose[0], high=config.pose[1])
    size = size * (0.4 * draw.normal(B, P, 1, 1)).exp()
    # Student's t with three degrees of freedom, of unit variance
    chi = (draw.normal(B, P, T, 3) ** 2).sum(-1, keepdim=True)
    heavy = draw.normal(B, P, T, 2) / (chi + 1e-3).sqrt()
    memory = draw.uniform(B, 1, 1, 1, high=0.8)
    slow = filtered(lasting(0.8, T, xy.device), draw.normal(B, P, T, 2))
    error = size * ((1 - memory) * heavy.clamp(-8, 8) + memory * slow)
    wild = draw.uniform(B, P, T, 1) < draw.uniform(B, 1, 1, 1, high=0.03)
    far = draw.log_uniform(B, P, T, 1, low=0.02, high=0.4)
    error = error + torch.where(wild, far * draw.normal(B, P, T, 2), 0.0)
    # two parts exchanged, such as left and right, for a few frames
    other = neighbour(draw, xy, torch.zeros_like(xy[:, :, 0, 0]).long(), None)
    share = draw.uniform(B, 1, high=0.06) * draw.chance(0.6, B, 1)
    swapped = draw.uniform(B, P) < share
    begin, length = draw.integers(T, B, P, 1), 1 + draw.integers(4, B, P, 1)
    frames = torch.arange(T, device=xy.device)
    now = (frames >= begin) & (frames < begin + length) & swapped[..., None]
    error = error + torch.where(now[..., None], rows(xy, other) - xy, 0.0)
    guess, seen = _guesses(draw, visible, config, 0.8)
    return error + guess, seen


def _plain(
    draw: Draw, xy: Tensor, visible: Tensor, config: SpoilConfig
) -> tuple[Tensor, Tensor]:
    """Error and flags without a model of any one tracker."""
    B, P, T, _ = xy.shape
    each = (0.5 * draw.normal(B, P, 1, 1)).exp()
    jitter = draw.log_uniform(B, 1, 1, 1, low=config.jitter[0], high=config.jitter[1])
    step = draw.log_uniform(B, 1, 1, 1, low=config.drift[0], high=config.drift[1])
    walk = (step * each * draw.normal(B, P, T, 2)).cumsum(2)
    error = jitter * each * draw.normal(B, P, T, 2) + walk - walk[:, :, :1]

    # points on edges follow the motion across the edge but not all of it along
    angle = draw.uniform(B, P, 1, high=3.1416)
    along = torch.stack([angle.cos(), angle.sin()], -1)
    moved = xy - xy[:, :, :1]
    share = draw.uniform(B, 1, high=config.sliding) * draw.chance(0.5, B, 1)
    part = draw.uniform(B, P, 1, 1) * (draw.uniform(B, P) < share)[..., None, None]
    slip = -part * (moved * along).sum(-1, keepdim=True).clamp(-0.3, 0.3) * along

    # some jump, at some frame, to something that moves another way
    share = draw.uniform(B, 1, high=config.drawn) * draw.chance(0.6, B, 1)
    gone = draw.uniform(B, P) < share
    after = torch.arange(T, device=xy.device) >= draw.integers(T, B, P, 1)
    far = draw.log_uniform(B, P, 1, 1, low=0.003, high=0.3)
    jump = far * (draw.normal(B, P, 1, 2) + 0.3 * draw.normal(B, P, T, 2).cumsum(2))
    jump = jump * (after & gone[..., None])[..., None]
    guess, seen = _guesses(draw, visible, config, 0.1)
    return error + slip + jump + guess, seen


def _guesses(
    draw: Draw, visible: Tensor, config: SpoilConfig, bold: float
) -> tuple[Tensor, Tensor]:
    """Positions that go astray while hidden, and wrong flags in runs and alone.

    Returns the error (B, P, T, 2), which grows with the time since a point was seen,
    and the flags; a hidden stretch is called visible with a chance up to `bold`.
    """
    B, P, T = visible.shape
    frames = torch.arange(T, device=visible.device)
    last = torch.where(visible, frames, -1).cummax(-1).values
    hidden = (frames - last).float() * ~visible
    wander = draw.log_uniform(B, 1, 1, 1, low=0.5 * PIXEL, high=10 * PIXEL)
    way = draw.normal(B, P, 1, 2) + 0.3 * draw.normal(B, P, T, 2).cumsum(2)
    guess = wander * hidden[..., None] ** 0.7 * way

    flips = draw.uniform(B, 1, 1, high=config.flipped)
    dropped = draw.uniform(B, P, T) < flips * draw.uniform(B, 1, 1)
    # early loss and late finding: from some frame on, or up to it
    ends = draw.uniform(B, P, 1) < flips
    edge = draw.integers(T, B, P, 1)
    late = torch.where(draw.chance(0.5, B, P, 1), frames >= edge, frames < edge)
    # a point believed to be seen: all its hidden frames, or the first few
    called = draw.uniform(B, P, 1) < bold * draw.uniform(B, 1, 1)
    few = draw.log_uniform(B, P, 1, low=0.5, high=2.0 * T)
    called = called | (draw.uniform(B, P, T) < 0.5 * flips)
    seen = (visible & ~dropped & ~(late & ends)) | (~visible & called & (hidden <= few))
    return guess, seen
