"""The pinhole camera, and the density formula, on plain arrays.

Pixel centres lie at integers; the camera looks along +z with x right and y down;
depth is z along the optical axis, never the length of the ray.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from seurat_tracks.errors import CameraError

DEFAULT_FIELD_OF_VIEW = 60.0
"""Horizontal field of view in degrees that stands in for an unknown camera."""


class Intrinsics(NamedTuple):
    """Focal lengths and principal point of a pinhole camera, in pixels.

    Attributes
    ----------
    fx, fy
        Focal lengths.
    cx, cy
        Principal point; the centre of the first pixel is (0, 0).
    """

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class FieldOfView:
    """A camera known by its horizontal field of view alone.

    Attributes
    ----------
    horizontal
        Angle between the left edge of the first and the right edge of the last
        pixel column, in degrees (the one place where the package takes degrees).
        Pixels are square and the principal point is the centre of the image.
    """

    horizontal: float


def resolve_intrinsics(intrinsics: Any, frame_size: Sequence[float]) -> Intrinsics:
    """Read any accepted description of the camera.

    Parameters
    ----------
    intrinsics
        One of: ``(fx, fy, cx, cy)`` in pixels; a 3 x 3 camera matrix in pixels
        without skew; ``{"fov": 60}`` or ``FieldOfView(60)``, the horizontal field of
        view in degrees; None for the stated default of 60 degrees, with a warning.
    frame_size
        Width and height of the image in pixels.

    Returns
    -------
    Intrinsics
        Four floats. A field of view puts the principal point at the centre of the
        image, ``((width - 1) / 2, (height - 1) / 2)``.

    Raises
    ------
    CameraError
        For anything else, and for values that no camera has; lists every fault.

    Warns
    -----
    UserWarning
        If ``intrinsics`` is None.

    Examples
    --------
    >>> resolve_intrinsics({"fov": 90}, (640, 480))
    Intrinsics(fx=320.0, fy=320.0, cx=319.5, cy=239.5)
    """
    width, height = _frame_size(frame_size)
    if intrinsics is None:
        warnings.warn(
            f"no camera intrinsics given: a horizontal field of view of "
            f"{DEFAULT_FIELD_OF_VIEW:g} degrees is assumed, so x and y in 3D are "
            f"guesses. Pass intrinsics=(fx, fy, cx, cy) in pixels, a 3 x 3 matrix, "
            f'or intrinsics={{"fov": degrees}}.',
            UserWarning,
            stacklevel=2,
        )
        intrinsics = FieldOfView(DEFAULT_FIELD_OF_VIEW)
    if isinstance(intrinsics, Mapping):
        if set(intrinsics) != {"fov"}:
            raise CameraError(
                f"intrinsics: a dict must hold the one key 'fov' (degrees), got keys "
                f"{sorted(map(str, intrinsics))}; {_ACCEPTED}"
            )
        intrinsics = FieldOfView(intrinsics["fov"])
    if isinstance(intrinsics, FieldOfView):
        return _from_field_of_view(intrinsics.horizontal, width, height)
    k = _four_numbers(intrinsics)
    _refuse_impossible(k, width, height)
    return k


_ACCEPTED = (
    "give (fx, fy, cx, cy) in pixels, a 3 x 3 camera matrix, "
    '{"fov": degrees} or FieldOfView(degrees)'
)


def _frame_size(frame_size: Sequence[float]) -> tuple[float, float]:
    try:
        width, height = (float(v) for v in frame_size)
    except (TypeError, ValueError):
        raise CameraError(
            f"frame_size must be (width, height) in pixels, got {frame_size!r}"
        ) from None
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise CameraError(
            f"frame_size must be a positive width and height, got {frame_size!r}"
        )
    return width, height


def _from_field_of_view(degrees: Any, width: float, height: float) -> Intrinsics:
    try:
        angle = float(degrees)
    except (TypeError, ValueError):
        angle = math.nan
    if isinstance(degrees, bool) or not 0 < angle < 180:
        raise CameraError(
            f"intrinsics: the horizontal field of view must lie between 0 and 180 "
            f"degrees, got {degrees!r}"
        )
    focal = 0.5 * width / math.tan(math.radians(angle) / 2)
    # tan(45 degrees) is 1 - 1e-16; nobody wants to read 320.00000000000006
    focal = round(focal, 9)
    return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2)


def _four_numbers(intrinsics: Any) -> Intrinsics:
    try:
        values = np.asarray(intrinsics, dtype=np.float64)
    except (TypeError, ValueError):
        raise CameraError(
            f"intrinsics: cannot read {intrinsics!r}; {_ACCEPTED}"
        ) from None
    if values.shape == (4,):
        return Intrinsics(*(float(v) for v in values))
    if values.shape == (3, 3):
        fixed = values[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
        if not np.allclose(fixed, [0, 0, 0, 0, 1]):
            raise CameraError(
                "intrinsics: the 3 x 3 matrix must read [[fx, 0, cx], [0, fy, cy], "
                f"[0, 0, 1]], got {values.tolist()}; a skewed or transposed matrix is "
                "not supported: rectify the video, or transpose the matrix"
            )
        return Intrinsics(
            *(float(v) for v in values[[0, 1, 0, 1], [0, 1, 2, 2]].tolist())
        )
    raise CameraError(
        f"intrinsics: expected 4 numbers or a 3 x 3 matrix, got an array of shape "
        f"{values.shape}; {_ACCEPTED}"
    )


def _refuse_impossible(k: Intrinsics, width: float, height: float) -> None:
    faults = []
    for name, value in zip(k._fields, k, strict=True):
        if not math.isfinite(value):
            faults.append(f"{name} is {value}")
        elif name in {"fx", "fy"} and value <= 0:
            faults.append(f"{name} is {value:g}, a focal length must be positive")
    for name, value, size in (("cx", k.cx, width), ("cy", k.cy, height)):
        if math.isfinite(value) and not -size <= value <= 2 * size:
            faults.append(
                f"{name} is {value:g}, far outside an image of {size:g} pixels: are "
                f"these the intrinsics of another resolution?"
            )
    if (
        k.fx > 0
        and k.fy > 0
        and math.isfinite(k.fx + k.fy)
        and max(k.fx, k.fy) < 0.05 * max(width, height)
    ):
        faults.append(
            f"fx = {k.fx:g} and fy = {k.fy:g} are tiny for an image of {width:g} x "
            f"{height:g}: they must be in pixels, not normalised or in millimetres"
        )
    if faults:
        raise CameraError("intrinsics: " + "; ".join(faults))


def project(xyz: Any, intrinsics: Sequence[float]) -> Any:
    """Where camera-frame points appear in the image.

    Parameters
    ----------
    xyz : float array (..., 3)
        Camera-frame positions (numpy or dask), any one unit; NaN = unknown.
    intrinsics
        fx, fy, cx, cy in pixels.

    Returns
    -------
    float array (..., 2)
        Pixel positions x, y; NaN where the point is unknown or not in front of the
        camera (z <= 0). Same dtype and laziness as the input.
    """
    fx, fy, cx, cy = (float(v) for v in intrinsics)
    z = xyz[..., 2]
    z = np.where(z > 0, z, np.nan).astype(z.dtype)
    return np.stack([fx * xyz[..., 0] / z + cx, fy * xyz[..., 1] / z + cy], axis=-1)


def unproject(xy: Any, depth: Any, intrinsics: Sequence[float]) -> Any:
    """Camera-frame points of pixels with known depth; the inverse of `project`.

    Parameters
    ----------
    xy : float array (..., 2)
        Pixel positions (numpy or dask); NaN = no observation.
    depth : float array (...)
        z along the optical axis, not the length of the ray; NaN = unknown.
    intrinsics
        fx, fy, cx, cy in pixels.

    Returns
    -------
    float array (..., 3)
        x right, y down, z forward, in the unit of ``depth``; all three NaN where the
        pixel or the depth is NaN.
    """
    fx, fy, cx, cy = (float(v) for v in intrinsics)
    x = (xy[..., 0] - cx) * (depth / fx)
    y = (xy[..., 1] - cy) * (depth / fy)
    z = np.where(np.isnan(x + y), np.nan, depth).astype(x.dtype)
    x, y = (np.where(np.isnan(z), np.nan, v).astype(x.dtype) for v in (x, y))
    return np.stack([x, y, z], axis=-1)


def ray_length_to_z(length: Any, xy: Any, intrinsics: Sequence[float]) -> Any:
    """Turn distances from the camera centre into depth.

    Parameters
    ----------
    length : float array (...)
        Distance from the camera centre to the point (numpy or dask), any unit.
    xy : float array (..., 2)
        Where the point appears, in pixels.
    intrinsics
        fx, fy, cx, cy in pixels.

    Returns
    -------
    float array (...)
        z = length / ``|K^-1 (x, y, 1)|``, in the unit of ``length``; NaN where the
        distance or the pixel is NaN.
    """
    fx, fy, cx, cy = (float(v) for v in intrinsics)
    u = (xy[..., 0] - cx) / fx
    v = (xy[..., 1] - cy) / fy
    return length / np.sqrt(1 + u * u + v * v)


def density_ratio(
    xy: np.ndarray,
    visible: np.ndarray,
    *,
    k: int = 8,
    bandwidth: float | None = None,
) -> np.ndarray:
    """Depth change from the density of neighbouring points, without any learning.

    The hand-made baseline of *Seurat* (section 4.4): points that draw apart come
    nearer. It knows no surface normals, so the cosine term of Eq. 4 is dropped, and
    it is right only where neighbours lie on one rigid surface facing the camera.

    Parameters
    ----------
    xy : float array (track, time, 2)
        Pixel positions; NaN = no observation.
    visible : bool array (track, time)
        Whether the point is seen.
    k
        Neighbours per point, the nearest in the first frame (the paper gives no
        number).
    bandwidth
        Standard deviation of the Gaussian kernel in pixels. None picks it for each
        point such that the density falls as the inverse square of a small
        magnification, which is what Eq. 2 asks for (the paper gives no value).

    Returns
    -------
    float64 array (track, time)
        r = z_t / z_0, 1 in the first frame; NaN where the point is hidden in this or
        in the first frame, or where none of its neighbours is seen.

    Raises
    ------
    ValueError
        If shapes do not match, or ``k`` or ``bandwidth`` is not positive.

    Notes
    -----
    r_t = sqrt(rho_t / rho_0), from A_img = (f / z)^2 A cos(theta) (Eq. 1 and 2) with
    the cosine dropped; the density is rho = mean_j exp(-d_j^2 / 2 h^2) over those
    fixed neighbours that are seen both now and in the first frame.
    """
    xy = np.asarray(xy, dtype=np.float64)
    visible = np.asarray(visible, dtype=bool)
    if xy.ndim != 3 or xy.shape[2] != 2 or visible.shape != xy.shape[:2]:
        raise ValueError(
            f"xy must be (track, time, 2) and visible (track, time), got {xy.shape} "
            f"and {visible.shape}"
        )
    if k < 1 or (bandwidth is not None and not bandwidth > 0):
        raise ValueError(f"k and bandwidth must be positive, got {k} and {bandwidth}")
    seen = visible & np.isfinite(xy).all(axis=-1)
    ratio = np.full(seen.shape, np.nan)
    first = np.flatnonzero(seen[:, 0])
    if len(first) < 2:
        return ratio
    near = first[_nearest(xy[first, 0], min(k, len(first) - 1))]
    d0 = ((xy[first, None, 0] - xy[near, 0]) ** 2).sum(-1)
    h = (
        _inverse_square_bandwidth(d0)
        if bandwidth is None
        else np.full(len(first), bandwidth * bandwidth)
    )
    for t in range(seen.shape[1]):
        both = seen[near, t] & seen[first, None, t]
        now = ((xy[first, None, t] - xy[near, t]) ** 2).sum(-1)
        ratio[first, t] = _density_root(now, d0, both, h)
    return ratio


def _density_root(
    now: np.ndarray, then: np.ndarray, both: np.ndarray, h2: np.ndarray
) -> np.ndarray:
    """Square root of the density ratio; squared distances (point, neighbour)."""
    # Exponents are shifted by their maximum, or far neighbours underflow to 0 / 0.
    logs = []
    for squared in (now, then):
        e = np.where(both, -squared / (2 * h2[:, None]), -np.inf)
        top = e.max(axis=1)
        safe = np.where(np.isfinite(top), top, 0.0)
        total = np.where(both, np.exp(e - safe[:, None]), 0.0).sum(axis=1)
        logs.append(safe + np.log(np.where(total > 0, total, np.nan)))
    return np.exp(0.5 * (logs[0] - logs[1]))


def _inverse_square_bandwidth(d2: np.ndarray) -> np.ndarray:
    """Kernel variance h^2 at which sum(w d^2) / sum(w) = 2 h^2, by bisection."""
    low = np.log(np.maximum(d2.min(axis=1), 1e-6)) - 3.0
    high = np.log(np.maximum(d2.max(axis=1), 1e-6)) + 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        h2 = np.exp(middle)
        w = np.exp(-(d2 - d2.min(axis=1, keepdims=True)) / (2 * h2[:, None]))
        spread = (w * d2).sum(axis=1) / w.sum(axis=1) / (2 * h2)
        low = np.where(spread > 1, middle, low)
        high = np.where(spread > 1, high, middle)
    return np.exp(0.5 * (low + high))


def _nearest(points: np.ndarray, k: int) -> np.ndarray:
    """Index of each point's k nearest other points, (point, k)."""
    near = np.empty((len(points), k), dtype=np.intp)
    block = max(1, 8_000_000 // len(points))
    for begin in range(0, len(points), block):
        rows = slice(begin, begin + block)
        d2 = ((points[rows, None] - points[None]) ** 2).sum(-1)
        d2[np.arange(len(d2)), np.arange(begin, begin + len(d2))] = np.inf
        near[rows] = np.argpartition(d2, k - 1, axis=1)[:, :k]
    return near
