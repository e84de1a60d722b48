"""Align small patches to their templates by an affine map, many at a time.

Lucas-Kanade from frame to frame drifts: each step finds the middle of gravity of a
patch's gradients, not the point itself, and the steps add up. Here every point keeps
the patch it was first seen with, and is aligned to that, with the patch free to
stretch, turn and shear: inverse compositional alignment (Baker and Matthews 2004),
brightness and contrast taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

RADIUS = 10
"""Half the width of a patch in pixels: patches are 21 x 21."""

_ITERATIONS = 4
_NOISE = 8.0  # grey levels: what one pixel of the difference can be trusted to
_LOOSE_SHAPE = 0.03  # prior standard deviation of a step of the affine part
_LOOSE_PLACE = 0.3  # and of the translation, pixels


_side = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
_V, _U = (a.ravel() for a in np.meshgrid(_side, _side, indexing="ij"))
_BASIS = np.stack([_U, _V, np.ones_like(_U)], axis=1)
_WEIGHTS = np.exp(-(_U**2 + _V**2) / (2 * (0.8 * RADIUS) ** 2))
_WEIGHTS /= _WEIGHTS.sum()
_SHARE = float((_WEIGHTS**2).sum())  # one over the pixels that count


@dataclass
class Patches:
    """Templates of points, and the maps that take them into the current frame.

    Attributes
    ----------
    values : float32 array (point, pixel)
        Grey levels, mean taken out and divided by the contrast; NaN outside the image.
    grad_x, grad_y : float32 array (point, pixel)
        Derivatives of `values`, per pixel; 0 outside the image.
    inverse_hessian : float32 array (point, 6, 6)
        Of the parameters a11, a12, a21, a22, x, y.
    contrast : float32 array (point,)
        Standard deviation of the grey levels.
    structure : float32 array (point, 2, 2)
        Inverse covariance of a place found by matching the patch, per square pixel.
    affine : float32 array (point, 2, 2)
        Offsets from the point in the template to those in the current frame.
    """

    values: np.ndarray
    grad_x: np.ndarray
    grad_y: np.ndarray
    inverse_hessian: np.ndarray
    contrast: np.ndarray
    structure: np.ndarray
    affine: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def firmness(self) -> np.ndarray:
        """Smaller eigenvalue of `structure`, float32 (point,)."""
        a, b, c = (self.structure[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
        return (a + c) / 2 - np.hypot((a - c) / 2, b)

    def take(self, which: np.ndarray) -> Patches:
        """Return the patches of these points (indices or a mask)."""
        return Patches(*(getattr(self, f.name)[which] for f in fields(self)))

    def put(self, which: np.ndarray, other: Patches) -> None:
        """Replace the patches of these points."""
        for f in fields(self):
            getattr(self, f.name)[which] = getattr(other, f.name)

    @staticmethod
    def joined(parts: list[Patches]) -> Patches:
        """Put patches one after another."""
        return Patches(
            *(
                np.concatenate([getattr(p, f.name) for p in parts])
                for f in fields(Patches)
            )
        )


def smooth(grey: np.ndarray) -> np.ndarray:
    """Return the picture that patches are read from: float32, a little blurred."""
    import cv2

    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)


def _sample(picture: np.ndarray, xy: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Grey levels (point, pixel) under mapped patches; NaN outside the image."""
    import cv2

    x = xy[:, :1] + affine[:, 0, :] @ _BASIS[:, :2].T
    y = xy[:, 1:] + affine[:, 1, :] @ _BASIS[:, :2].T
    out = np.empty_like(x)
    step = 30_000  # remap refuses pictures of more rows
    for k in range(0, len(x), step):
        out[k : k + step] = cv2.remap(
            picture,
            x[k : k + step],
            y[k : k + step],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(np.nan,),
        )
    return out


def _normalised(values: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take mean and contrast out; `w` (pixel,) or (point, pixel) adds up to 1."""

    def mean(a: np.ndarray) -> np.ndarray:
        return a @ w if w.ndim == 1 else np.einsum("np,np->n", a, w)

    centred = values - mean(values)[:, None]
    contrast = np.sqrt(np.maximum(mean(centred**2), 1e-6))
    return centred / contrast[:, None], contrast


def _masked(values: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values with 0 where hidden, and weights that leave those pixels out."""
    w = _WEIGHTS * ~hidden
    return np.where(hidden, 0, values), w / np.maximum(w.sum(axis=1), 1e-6)[:, None]


def _compare(seen: np.ndarray, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted difference (point, pixel) and likeness (point,) of patches."""
    normal, _ = _normalised(seen, _WEIGHTS)
    error = (normal - template) * _WEIGHTS
    likeness = (normal * template) @ _WEIGHTS
    cut = np.flatnonzero(np.isnan(likeness))
    if len(cut):  # partly outside the image, then or now: what both show counts
        hidden = np.isnan(seen[cut]) | np.isnan(template[cut])
        part, w = _masked(seen[cut], hidden)
        part, _ = _normalised(part, w)
        other, _ = _masked(template[cut], hidden)
        other, _ = _normalised(other, w)
        error[cut] = (part - other) * w
        likeness[cut] = np.einsum("np,np->n", part * other, w)
    return error, likeness


def cut_patches(picture: np.ndarray, xy: np.ndarray) -> Patches:
    """Take the patches around points as their templates.

    Parameters
    ----------
    picture
        float32 (y, x), of `smooth`.
    xy
        float32 (point, 2), pixels.
    """
    n = len(xy)
    identity = np.tile(np.eye(2, dtype=np.float32), (n, 1, 1))
    xy = xy.astype(np.float32)
    values = _sample(picture, xy, identity)
    hidden = np.isnan(values)
    filled, w = _masked(values, hidden)
    filled, contrast = _normalised(filled, w)
    gradients = []
    for axis in (0, 1):
        d = np.zeros(2, np.float32)
        d[axis] = 0.5
        ahead = _sample(picture, xy + d, identity)
        slope = (ahead - _sample(picture, xy - d, identity)) / contrast[:, None]
        gradients.append(np.nan_to_num(slope))
    gx, gy = gradients
    jacobian = np.stack([gx * _U, gx * _V, gy * _U, gy * _V, gx, gy], axis=1)
    hessian = (jacobian * w[:, None, :]) @ jacobian.transpose(0, 2, 1)
    worth = (contrast / _NOISE) ** 2 / _SHARE
    structure = (hessian[:, 4:, 4:] * worth[:, None, None]).astype(np.float32)
    loose = np.array([_LOOSE_SHAPE] * 4 + [_LOOSE_PLACE] * 2)
    prior = (_NOISE / contrast[:, None] / loose) ** 2 * _SHARE
    hessian = hessian.astype(np.float64) + prior[:, None, :] * np.eye(6)
    values = np.where(hidden, np.nan, filled)
    return Patches(
        values.astype(np.float32),
        gx.astype(np.float32),
        gy.astype(np.float32),
        np.linalg.inv(hessian).astype(np.float32),
        contrast.astype(np.float32),
        structure,
        identity,
    )


def align(
    picture: np.ndarray, patches: Patches, xy: np.ndarray, reach: float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move points so that what lies around them matches their templates.

    Parameters
    ----------
    picture
        float32 (y, x), of `smooth`.
    patches
        Templates with the last known affine maps; not changed.
    xy
        float32 (point, 2): where to start.
    reach
        A point that would move further than this, pixels, stays where it was.

    Returns
    -------
    xy : float32 (point, 2)
        Aligned positions.
    affine : float32 (point, 2, 2)
        Aligned maps.
    similarity : float32 (point,)
        Normalised cross-correlation with the template there, -1..1.
    """
    start = xy.astype(np.float32)
    place, shape = start.copy(), patches.affine.copy()
    live = np.arange(len(place))
    part = patches
    for _ in range(_ITERATIONS):
        error, _likeness = _compare(
            _sample(picture, place[live], shape[live]), part.values
        )
        bx = (error * part.grad_x) @ _BASIS
        by = (error * part.grad_y) @ _BASIS
        slope = np.concatenate([bx[:, :2], by[:, :2], bx[:, 2:], by[:, 2:]], axis=1)
        step = (part.inverse_hessian @ slope[:, :, None])[:, :, 0]
        turn = np.eye(2, dtype=np.float32) + step[:, :4].reshape(-1, 2, 2)
        shape[live] = shape[live] @ np.linalg.inv(turn)
        moved = (shape[live] @ step[:, 4:, None])[:, :, 0]
        place[live] -= moved
        on = np.abs(moved).max(axis=1) > 0.003
        on |= np.abs(step[:, :4]).max(axis=1) > 1e-3
        if not on.all():
            live, part = live[on], part.take(on)
        if len(live) == 0:
            break
    far = ~(np.hypot(*(place - start).T) <= reach)
    spread = np.abs(np.linalg.det(shape))
    far |= ~((spread > 0.2) & (spread < 5))
    place[far], shape[far] = start[far], patches.affine[far]
    _error, likeness = _compare(_sample(picture, place, shape), patches.values)
    return place, shape, likeness
