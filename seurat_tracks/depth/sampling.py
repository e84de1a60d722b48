"""Read a depth map under points: holes ignored, edges not blurred."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from seurat_tracks.errors import DepthError

Sampling = Literal["bilinear", "edge", "nearest", "median"]
"""Ways of reading between pixels; `sample_map` says what each does."""

DEFAULT_SAMPLING: Sampling = "edge"
"""Best on measured depth under real tracks; docs/depth.md has the table."""

EDGE = 0.1
"""Relative step between neighbouring map pixels that counts as an edge."""

MIN_VALID_WEIGHT = 0.5
"""Share of the bilinear weight that must fall on valid map pixels."""


def check_sampling(sampling: object, where: str) -> None:
    """Refuse what is no way of sampling.

    Raises
    ------
    DepthError
        The text begins with ``where`` and lists the ways.
    """
    if sampling not in get_args(Sampling):
        raise DepthError(
            f"{where}: sampling must be one of {', '.join(get_args(Sampling))}, got "
            f"{sampling!r}"
        )


def sample_map(
    depth_map: np.ndarray,
    xy: np.ndarray,
    frame_size: tuple[float, float],
    *,
    sampling: Sampling = DEFAULT_SAMPLING,
    signed: bool = False,
) -> np.ndarray:
    """Depth of one map at points of its frame.

    Parameters
    ----------
    depth_map : array (y, x)
        Depth; NaN, infinity and values <= 0 are holes.
    xy : float array (point, 2)
        Pixel positions in the frame, centres at integers; NaN = no observation.
    frame_size
        Width and height of the frame, pixels. A map of another size is read at
        (x + 0.5) * map_width / width - 0.5.
    sampling
        "bilinear": the four pixels around the point; NaN where more than half of the
        weight falls on holes. "edge": the same, but pixels that differ from the
        valid pixel nearest to the point by more than `EDGE` of its depth lie on
        another surface and get no weight. "nearest": that nearest valid pixel of the
        four. "median": the lower median of the valid pixels among the 3 x 3 around
        the point.
    signed
        True if zero and negative values are values too, as in maps of unknown scale
        and shift; only NaN and infinity are holes then.

    Returns
    -------
    float32 array (point,)
        NaN over holes, outside the frame and without an observation.
    """
    rows, columns = depth_map.shape
    width, height = frame_size
    x = (xy[:, 0].astype(np.float64) + 0.5) * (columns / width) - 0.5
    y = (xy[:, 1].astype(np.float64) + 0.5) * (rows / height) - 0.5
    # A frame reaches half a pixel beyond the outermost centres.
    inside = (x >= -0.5) & (x <= columns - 0.5) & (y >= -0.5) & (y <= rows - 0.5)
    x = np.clip(np.where(inside, x, 0), 0, columns - 1)
    y = np.clip(np.where(inside, y, 0), 0, rows - 1)
    if sampling == "median":
        value, good = _around(depth_map, x, y, signed)
        found = inside & (good.sum(0) > len(good) // 2)
        ordered = np.sort(np.where(good, value, np.inf), axis=0)
        middle = np.maximum(good.sum(0) - 1, 0) // 2
        picked = np.take_along_axis(ordered, middle[None], axis=0)[0]
        return np.where(found, picked, np.nan).astype(np.float32)
    value, good, weight = _corners(depth_map, x, y, signed)
    found = inside & ((weight * good).sum(0) >= MIN_VALID_WEIGHT)
    nearest = np.argmax(np.where(good, weight, -1.0), axis=0)[None]
    anchor = np.take_along_axis(value, nearest, axis=0)
    if sampling == "nearest":
        return np.where(found, anchor[0], np.nan).astype(np.float32)
    if sampling == "edge":
        good = good & (np.abs(value - anchor) <= EDGE * np.abs(anchor))
    weight = np.where(good, weight, 0.0)
    total = (weight * np.where(good, value, 0.0)).sum(0)
    out = np.full(len(x), np.nan)
    out[found] = total[found] / weight.sum(0)[found]
    return out.astype(np.float32)


def _corners(
    depth_map: np.ndarray, x: np.ndarray, y: np.ndarray, signed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, validity and bilinear weights (4, point) of the pixels around."""
    rows, columns = depth_map.shape
    x0 = np.floor(x).astype(np.intp)
    y0 = np.floor(y).astype(np.intp)
    fx, fy = x - x0, y - y0
    x1, y1 = np.minimum(x0 + 1, columns - 1), np.minimum(y0 + 1, rows - 1)
    value = np.stack(
        [depth_map[j, i] for j in (y0, y1) for i in (x0, x1)], dtype=np.float64
    )
    weight = np.stack([wy * wx for wy in (1 - fy, fy) for wx in (1 - fx, fx)])
    return value, _valid(value, signed), weight


def _around(
    depth_map: np.ndarray, x: np.ndarray, y: np.ndarray, signed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values and validity (9, point) of the 3 x 3 pixels around the nearest."""
    rows, columns = depth_map.shape
    i, j = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    steps = (-1, 0, 1)
    value = np.stack(
        [
            depth_map[np.clip(j + dy, 0, rows - 1), np.clip(i + dx, 0, columns - 1)]
            for dy in steps
            for dx in steps
        ],
        dtype=np.float64,
    )
    return value, _valid(value, signed)


def _valid(value: np.ndarray, signed: bool) -> np.ndarray:
    return np.isfinite(value) if signed else np.isfinite(value) & (value > 0)
