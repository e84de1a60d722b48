"""What one task does: windows of some tracks through the network, and into curves."""

from __future__ import annotations

import threading

import numpy as np

from seurat_tracks.errors import SchemaError
from seurat_tracks.ratios.settings import Settings
from seurat_tracks.windows import WindowPlan
from seurat_tracks.workers import alone_on

_FUSED_AT_ONCE = 2_000_000  # track-frames whose windows are put together at once

_loading = threading.Lock()


def lift_block(
    xy: np.ndarray,
    visible: np.ndarray,
    *support: np.ndarray,
    plan: WindowPlan,
    settings: Settings,
) -> np.ndarray:
    """Lift tracks (N, T, 2) in memory; returns ratio and sigma (N, 2, T)."""
    ratio, scale = _predicted(xy, visible, *support, plan=plan, settings=settings)
    return _fused(xy, visible, ratio, scale, plan, settings)


def predict_block(
    *arrays: np.ndarray, plan: WindowPlan, settings: Settings
) -> np.ndarray:
    """Log ratio and log error scale (N, W, K, 2) of a block of tracks and windows."""
    both = _predicted(*arrays, plan=plan, settings=settings)
    return np.stack([np.moveaxis(a, 1, 0) for a in both], -1)


def _predicted(
    xy: np.ndarray,
    visible: np.ndarray,
    support_xy: np.ndarray,
    support_visible: np.ndarray,
    *,
    plan: WindowPlan,
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray]:
    """Log ratio and log error scale (W, N, K) of a block, its support last."""
    from seurat_tracks.model.predict import predict_windows
    from seurat_tracks.model.pretrained import cached_network

    # visible observations alone are read, so that what lies elsewhere cannot matter
    wrong = int((visible & ~np.isfinite(xy).all(-1)).sum())
    if wrong:
        raise SchemaError(
            f"{wrong} observations are marked visible but their xy is not finite; set "
            "visible to False there"
        )
    with _loading:  # threads that come first would load it more than once
        network = cached_network(
            settings.weights,
            settings.digest,
            settings.device,
            settings.precision,
            settings.compiled,
        )
    with alone_on(settings.device):
        return predict_windows(
            network,
            plan,
            xy,
            visible,
            support_xy,
            support_visible,
            settings.frame_size,
            intrinsics=settings.intrinsics,
            iterations=settings.iterations,
            progress=settings.progress,
        )


def fuse_block(
    xy: np.ndarray,
    visible: np.ndarray,
    *answers: np.ndarray,
    plan: WindowPlan,
    pieces: list[np.ndarray],
    settings: Settings,
) -> np.ndarray:
    """Make curves of the answers (N, W, K, 2) of all pieces; as `lift_block`."""
    N, T = visible.shape
    out = np.empty((N, 2, T), np.float32)
    order = np.argsort(np.concatenate(pieces))
    many = max(1, _FUSED_AT_ONCE // T)
    for begin in range(0, N, many):
        rows = slice(begin, begin + many)
        both = np.concatenate([a[rows] for a in answers], 1)[:, order]
        ratio, scale = np.moveaxis(both, (3, 1), (0, 1))
        out[rows] = _fused(xy[rows], visible[rows], ratio, scale, plan, settings)
    return out


def _fused(
    xy: np.ndarray,
    visible: np.ndarray,
    ratio: np.ndarray,
    scale: np.ndarray,
    plan: WindowPlan,
    settings: Settings,
) -> np.ndarray:
    """Ratio and sigma (N, 2, T) from the windows' answers (W, N, K)."""
    from seurat_tracks import fusion
    from seurat_tracks.doubt import suspicious_steps

    N, T = visible.shape
    if N == 0:
        return np.zeros((0, 2, T), np.float32)
    reference = visible.argmax(1)
    if settings.fuse == "chain":
        curve = fusion.chain(plan, ratio, T)
        curve = curve - np.take_along_axis(curve, reference[:, None], 1)
        sigma = np.full_like(curve, np.nan)
    else:
        doubts = suspicious_steps(xy, visible, settings.frame_size, settings.cuts)
        curve, sigma = fusion.solve(
            plan, ratio, scale, visible, reference, doubts.widening
        )
    # nothing links a track across a cut, and nothing is known of one never seen
    group = fusion.linked_frames(plan, T)
    known = np.equal.outer(group[reference], group)
    known[~visible.any(1)] = False
    out = np.stack([curve, sigma], axis=1).astype(np.float32)
    return np.where(known[:, None], out, np.float32(np.nan))
