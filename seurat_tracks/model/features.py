"""What the network is told about a window of point motion.

All positions are normalised image coordinates: the frame's centre is the origin and
half of its longer side is 1, so that nothing depends on the image size. ``B`` is a
batch of windows, ``M`` support points, ``N`` points of either branch, ``T`` frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seurat_tracks.model.rigid import FOCAL, RigidPoints
from seurat_tracks.model.views import NEAREST, RigidMotion, turn_vector

POINT_CHANNELS = 34
PAIR_CHANNELS = 12
RIGID_CHANNELS = 22
EPSILON = 1e-4
"""Distances below this (a tenth of a pixel at 2,000 pixels) are one point."""


def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine, of -1e4 to 1e4 at most.

    torch's own takes fifty times as long as the logarithm on the CPU. Features are
    clamped to 8 afterwards, which is far below asinh(1e4).
    """
    a = x.abs().clamp_max_(1e4)
    square = a * a
    a += square / (1.0 + (1.0 + square).sqrt_())
    return a.log1p_().copysign_(x)


def fill_hidden(xy: Tensor, visible: Tensor) -> Tensor:
    """Put a point where it was last seen, or, before that, where it is first seen.

    Parameters
    ----------
    xy : Tensor (..., T, 2)
        Positions; anything, NaN included, where the point is hidden.
    visible : bool Tensor (..., T)
        Whether the point is seen.

    Returns
    -------
    Tensor (..., T, 2)
        Finite everywhere; zero for points never seen.
    """
    T = xy.shape[-2]
    steps = torch.arange(T, device=xy.device)
    last = torch.where(visible, steps, -1).cummax(dim=-1).values
    first = visible.to(torch.uint8).argmax(dim=-1, keepdim=True)  # 0 if never seen
    index = torch.where(last >= 0, last, first)
    clean = torch.where(visible[..., None], xy, torch.zeros_like(xy))
    return clean.gather(-2, index[..., None].expand(*index.shape, 2))


def motion_scale(support_xy: Tensor, support_visible: Tensor) -> tuple[Tensor, Tensor]:
    """Size of the motion in each window, from its support points alone.

    The network works on motion divided by this scale and its answer is multiplied
    by it, so that slow and fast windows are told apart with the same precision.

    Parameters
    ----------
    support_xy : Tensor (B, M, T, 2)
        Filled positions.
    support_visible : bool Tensor (B, M, T)

    Returns
    -------
    scale : Tensor (B,)
        Between 0.003 and 0.5.
    mean : Tensor (B, T, 2)
        Mean displacement of the visible support from the window's first frame.
    """
    weight = (support_visible & support_visible[..., :1]).to(support_xy.dtype)
    moved = support_xy - support_xy[..., :1, :]  # B M T 2
    count = weight.sum(1).clamp_min(1.0)  # B T
    mean = (moved * weight[..., None]).sum(1) / count[..., None]  # B T 2
    spread = ((moved - mean[:, None]).square().sum(-1) * weight).sum((1, 2))
    total = weight.sum((1, 2)).clamp_min(1.0)
    shift = mean.square().sum(-1).mean(-1)  # B
    scale = (spread / total + 0.01 * shift + 0.003**2).sqrt().clamp_max(0.5)
    return scale, mean


def point_features(
    xy: Tensor, visible: Tensor, scale: Tensor, mean: Tensor, support_count: Tensor
) -> Tensor:
    """Per point and frame: position, motion, visibility and the window's scale.

    Parameters
    ----------
    xy : Tensor (B, N, T, 2)
        Filled positions.
    visible : bool Tensor (B, N, T)
    scale : Tensor (B,)
    mean : Tensor (B, T, 2)
    support_count : Tensor (B,)
        Support points seen in the window.

    Returns
    -------
    Tensor (B, N, T, POINT_CHANNELS)
    """
    B, N, T, _ = xy.shape
    s = scale[:, None, None, None]
    moved = xy - xy[:, :, :1]
    step = torch.diff(xy, dim=2, prepend=xy[:, :, :1])
    seen = visible.to(xy.dtype)[..., None]
    relative = moved - mean[:, None]
    waves = xy[..., None] * (torch.pi * 2.0 ** torch.arange(3, device=xy.device))
    window = torch.stack(
        [scale.log(), support_count.clamp_min(1).to(xy.dtype).log() - 4.0], dim=-1
    )
    parts = [
        xy,
        waves.sin().flatten(-2),  # 6
        waves.cos().flatten(-2),  # 6
        asinh(moved / s),
        4.0 * moved,
        asinh(relative / s),
        asinh(step / s * 4.0),
        asinh(mean / scale[:, None, None])[:, None].expand(B, N, T, 2),
        seen,
        seen[:, :, :1].expand(B, N, T, 1),
        seen.mean(2, keepdim=True).expand(B, N, T, 1),
        window[:, None, None].expand(B, N, T, 2),
        xy[:, :, :1].expand(B, N, T, 2),
        (xy.square().sum(-1, keepdim=True)),
        (relative * xy).sum(-1, keepdim=True) / s,
        (relative * xy.flip(-1) * xy.new_tensor([-1.0, 1.0])).sum(-1, keepdim=True) / s,
    ]
    return torch.cat(parts, dim=-1).clamp(-8.0, 8.0)


def neighbours(
    xy: Tensor, support_xy: Tensor, support_seen: Tensor, near: int, far: int
) -> tuple[Tensor, Tensor]:
    """Choose support neighbours of every point by distance at the first frame.

    Parameters
    ----------
    xy : Tensor (B, N, 2)
        Positions at the window's first frame.
    support_xy : Tensor (B, M, 2)
        The same for the support.
    support_seen : bool Tensor (B, M)
        Whether the support point is seen anywhere in the window.
    near, far
        How many nearest neighbours, and how many more at ranks that grow
        geometrically up to the farthest.

    Returns
    -------
    index : int Tensor (B, N, near + far)
    valid : bool Tensor (B, N, near + far)
        False where there are too few support points; a point is never its own
        neighbour.
    """
    M = support_xy.shape[1]
    distance = torch.cdist(xy, support_xy, compute_mode="donot_use_mm_for_euclid_dist")
    usable = support_seen[:, None] & (distance > EPSILON)
    distance.masked_fill_(~usable, torch.inf)
    count = usable.sum(-1, keepdim=True)  # B N 1
    ranks = torch.arange(near, device=xy.device).expand(*count.shape[:2], near)
    if far:
        # ranks between the nearest ones and the farthest, geometrically spaced
        grow = torch.linspace(1.0 / far, 1.0, far, device=xy.device)
        ratio = (count / near).clamp_min(1.0).to(xy.dtype)
        wide = (near * ratio**grow).ceil().long() - 1
        ranks = torch.cat([ranks, wide.clamp(min=0, max=M - 1)], dim=-1)
    valid = ranks < count
    if far:
        # with few support points the far ranks would only repeat near ones
        valid = torch.cat(
            [valid[..., :near], (ranks[..., near:] >= near) & valid[..., near:]], dim=-1
        )
    index = _at_ranks(distance, ranks.clamp(max=M - 1))
    return index, valid


def _at_ranks(distance: Tensor, ranks: Tensor) -> Tensor:
    """Give the indices of the ranks along the last axis; of equals, the first one."""
    if distance.device.type != "cpu":
        order = distance.sort(dim=-1, stable=True).indices
        return order.gather(-1, ranks)
    # distances are not negative, so their bits are in order as well: NumPy sorts
    # bits and index together in a tenth of the time
    key = distance.numpy().view(np.int32).astype(np.int64)
    key <<= 32
    key |= np.arange(distance.shape[-1])
    key.sort(axis=-1)
    return torch.from_numpy(key).gather(-1, ranks) & 0xFFFFFFFF


def pair_features(
    xy: Tensor,
    visible: Tensor,
    support_xy: Tensor,
    support_visible: Tensor,
    index: Tensor,
    valid: Tensor,
    scale: Tensor,
) -> tuple[Tensor, Tensor]:
    """Per point, neighbour and frame: how the offset to the neighbour changes.

    Distances between neighbours on one rigid piece change as 1 / depth (paper,
    Eq. 1), so these are the direct local evidence of depth change. There are many more
    pairs than anything else: they come last, so that all work on them runs along
    contiguous memory.

    Parameters
    ----------
    xy, visible : Tensor (B, N, T, 2), bool Tensor (B, N, T)
    support_xy, support_visible : Tensor (B, M, T, 2), bool Tensor (B, M, T)
    index, valid : Tensor (B, N, K)
        From `neighbours`.
    scale : Tensor (B,)

    Returns
    -------
    features : Tensor (PAIR_CHANNELS, K, B, N, T)
    weight : Tensor (K, B, N, T)
        1 where both points are seen at this frame and at the first one.
    """
    B, N, T, _ = xy.shape
    M, K = support_xy.shape[1], index.shape[-1]
    batch = torch.arange(B, device=xy.device)[:, None, None] * M
    rows = (index + batch).permute(2, 0, 1).reshape(-1)
    x, y = (
        support_xy[..., i].reshape(B * M, T)[rows].view(K, B, N, T) - xy[..., i]
        for i in (0, 1)
    )  # offsets, K B N T
    both = support_visible.reshape(B * M, T)[rows].view(K, B, N, T) & visible
    both = both.to(xy.dtype)
    weight = both * both[..., :1] * valid.permute(2, 0, 1)[..., None].to(xy.dtype)
    distance = torch.addcmul(x.square(), y, y).sqrt().clamp_min(EPSILON)
    distance0 = distance[..., :1]
    s = scale[:, None, None]
    log_ratio = (distance / distance0).log()
    change_x, change_y = x - x[..., :1], y - y[..., :1]
    rate_x, rate_y = change_x / distance0, change_y / distance0
    along_x, along_y = x[..., :1] / distance0, y[..., :1] / distance0
    across = rate_y * along_x - rate_x * along_y
    scaled = torch.stack([change_x, change_y, rate_x, rate_y, log_ratio, across])
    features = torch.stack(
        [
            along_x.expand(K, B, N, T),
            along_y.expand(K, B, N, T),
            *asinh(scaled / s),
            2.0 * log_ratio,
            (distance0.log() + 2.0).expand(K, B, N, T),
            both,
            weight,
        ]
    )
    return features.clamp(-8.0, 8.0), weight


def rigid_features(
    xy: Tensor,
    visible: Tensor,
    scale: Tensor,
    motion: RigidMotion,
    points: RigidPoints,
) -> tuple[Tensor, Tensor]:
    """Per point and frame: what a rigid motion says of it, and how well it fits.

    Parameters
    ----------
    xy, visible : Tensor (B, N, T, 2), bool Tensor (B, N, T)
    scale : Tensor (B,)
    motion, points
        From `seurat_tracks.model.rigid`.

    Returns
    -------
    features : Tensor (B, N, T, RIGID_CHANNELS)
    log_ratio : Tensor (B, N, T)
        The log depth ratio to the first frame, if the point moves with it.
    """
    B, N, T, _ = xy.shape
    s = scale[:, None, None]
    z = points.view[..., 2].clamp_min(NEAREST)
    log_ratio = z.log().clamp_max(3.0)
    inverse_depth = points.place[..., 2].exp()[..., None]
    share = inverse_depth * motion.shift[:, None, :, 2] / z  # of z that the shift made
    spread = points.spread[..., None]
    doubt = share.abs() * spread
    square = points.residual.square().sum(-1)
    variance = motion.noise.square()[:, None, None]
    fits = variance / (variance + square)
    count = visible.to(xy.dtype)
    fits_mean = (fits * count).sum(-1, keepdim=True) / count.sum(
        -1, keepdim=True
    ).clamp_min(1.0)
    # what turning alone would have done to the point: the rest is parallax
    turned = torch.cat(
        [
            points.place[..., :2] / motion.log_focal.exp()[:, None, None],
            torch.ones_like(points.place[..., :1]),
        ],
        -1,
    )
    turned = torch.einsum("btij,bnj->bnti", motion.turn, turned)
    turned = turned[..., :2] / turned[..., 2:].clamp_min(NEAREST)
    parallax = xy - motion.log_focal.exp()[:, None, None, None] * turned
    size = motion.shift.norm(dim=-1).amax(1)
    window = torch.stack(
        [
            (motion.noise / scale).log(),
            motion.log_focal - FOCAL,
            asinh(size / scale),
        ],
        -1,
    )
    path = torch.cat([turn_vector(motion.turn), motion.shift], -1) / scale.reshape(
        -1, 1, 1
    )
    parts = [
        asinh(log_ratio / s)[..., None],
        2.0 * log_ratio[..., None],
        asinh(points.residual / motion.noise[:, None, None, None]),
        asinh(points.residual / s[..., None]),
        fits[..., None],
        fits_mean[..., None].expand(B, N, T, 1),
        asinh(doubt / s)[..., None],
        spread.clamp_min(1e-3).log()[..., None].expand(B, N, T, 1),
        points.place[:, :, None, 2:].expand(B, N, T, 1),
        asinh(parallax / s[..., None]),
        asinh(path)[:, None].expand(B, N, T, 6),
        window[:, None, None].expand(B, N, T, 3),
    ]
    return torch.cat(parts, dim=-1).clamp(-8.0, 8.0), log_ratio
