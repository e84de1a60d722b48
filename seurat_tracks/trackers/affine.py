"""Align small patches to their templates by an affine map, many at a time.

Lucas-Kanade from frame to frame drifts: each step finds the middle of gravity of a
patch's gradients, not the point itself, and the steps add up. Here every point keeps
the patch it was first seen with, and is aligned to that, with the patch free to
stretch, turn and shear: inverse compositional alignment (Baker and Matthews 2004),
brightness and contrast taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Protocol, TypeVar

import numpy as np

RADIUS = 10
"""Half the width of a patch in pixels: patches are 21 x 21."""

_ITERATIONS = 4
_STILL = 0.01  # pixels: a smaller step, at the rim too, ends the search
_SMALL = 0.1  # pixels: after a smaller last step the likeness is not measured anew
_NOISE = 8.0  # grey levels: what one pixel of the difference can be trusted to
_LOOSE_SHAPE = 0.03  # prior standard deviation of a step of the affine part
_LOOSE_PLACE = 0.3  # and of the translation, pixels


_side = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
_V, _U = (a.ravel() for a in np.meshgrid(_side, _side, indexing="ij"))
_WEIGHTS = np.exp(-(_U**2 + _V**2) / (2 * (0.8 * RADIUS) ** 2))
_WEIGHTS /= _WEIGHTS.sum()
_SHARE = float((_WEIGHTS**2).sum())  # one over the pixels that count


class _Samples:
    """Those pixels of a patch that are compared: numbers, offsets, weights."""

    def __init__(self, chosen: np.ndarray) -> None:
        self.at = np.flatnonzero(chosen)
        self.u, self.v = _U[self.at], _V[self.at]
        self.w = _WEIGHTS[self.at] / _WEIGHTS[self.at].sum()

    def __len__(self) -> int:
        return len(self.at)


# In a picture of `smooth` the noise of neighbouring pixels is two thirds the same: half
# of them, like the black squares of a chess board, place a patch as well as all do. The
# way there is found with a quarter.
_MANY = _Samples((_U + _V) % 2 == 0)
_FEW = _Samples((_U % 2 == 0) & (_V % 2 == 0))
_BLOCK = 512  # points aligned at a time: what is worked on stays in the cache

T = TypeVar("T")


class Mapper(Protocol):
    """`map`, or the `map` of a pool of threads."""

    def __call__(
        self, work: Callable[[slice], T], blocks: Iterable[slice], /
    ) -> Iterable[T]:
        """Apply `work` to each of the blocks; the answers in their order."""
        ...


def blocks(n: int) -> list[slice]:
    """Cut n points into blocks, always in the same places."""
    return [slice(k, k + _BLOCK) for k in range(0, n, _BLOCK)]


@dataclass
class Patches:
    """Templates of points, and the maps that take them into the current frame.

    Attributes
    ----------
    values : float32 array (point, pixel)
        Grey levels of 21 x 21 pixels, mean taken out and divided by the contrast; NaN
        outside the image.
    steer : float32 array (point, 7, sample)
        Six rows that turn grey levels, mean taken out and divided by the contrast,
        into a step of the parameters a11, a12, a21, a22, x, y, and one that turns
        them into their correlation with the template.
    aim : float32 array (point, 6)
        What the six rows make of the template itself.
    steer_few, aim_few : float32 arrays
        The same with half as many samples.
    contrast : float32 array (point,)
        Standard deviation of the grey levels.
    structure : float32 array (point, 2, 2)
        Inverse covariance of a place found by matching the patch, per square pixel.
    affine : float32 array (point, 2, 2)
        Offsets from the point in the template to those in the current frame.
    """

    values: np.ndarray
    steer: np.ndarray
    aim: np.ndarray
    steer_few: np.ndarray
    aim_few: np.ndarray
    contrast: np.ndarray
    structure: np.ndarray
    affine: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def put(self, which: np.ndarray, other: Patches) -> None:
        """Replace the patches of these points."""
        for f in fields(self):
            getattr(self, f.name)[which] = getattr(other, f.name)

    @staticmethod
    def empty(n: int) -> Patches:
        """Return room for n patches."""
        many, few = ((7, len(s)) for s in (_MANY, _FEW))
        shapes = ((len(_U),), many, (6,), few, (6,), (), (2, 2), (2, 2))
        return Patches(*(np.empty((n, *shape), np.float32) for shape in shapes))

    @staticmethod
    def joined(parts: list[Patches]) -> Patches:
        """Put patches one after another."""
        return Patches(
            *(
                np.concatenate([getattr(p, f.name) for p in parts])
                for f in fields(Patches)
            )
        )


def firmness(structure: np.ndarray) -> np.ndarray:
    """Smaller eigenvalue of `Patches.structure`, float32 (point,)."""
    a, b, c = (structure[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
    return (a + c) / 2 - np.hypot((a - c) / 2, b)


def smooth(grey: np.ndarray) -> np.ndarray:
    """Return the picture that patches are read from: float32, a little blurred."""
    import cv2

    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)


def _sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Grey levels (point, sample) at pixels x, y; NaN outside the image."""
    import cv2

    return cv2.remap(
        picture,
        x,
        y,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(np.nan,),
    )


def _spread(
    xy: np.ndarray, affine: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels x, y (point, sample) of mapped patches."""
    basis = np.stack([u, v, np.ones_like(u)])
    rows = np.concatenate([affine, xy[:, :, None]], axis=2)
    return rows[:, 0] @ basis, rows[:, 1] @ basis


def _normalised(values: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take mean and contrast out; `w` (pixel,) or (point, pixel) adds up to 1."""

    def mean(a: np.ndarray) -> np.ndarray:
        return a @ w if w.ndim == 1 else np.einsum("np,np->n", a, w)

    centred = values - mean(values)[:, None]
    contrast = np.sqrt(np.maximum(mean(centred**2), 1e-6))
    centred /= contrast[:, None]
    return centred, contrast


def _masked(
    values: np.ndarray, hidden: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values with 0 where hidden, and weights that leave those pixels out."""
    w = w * ~hidden
    return np.where(hidden, 0, values), w / np.maximum(w.sum(axis=1), 1e-6)[:, None]


def _compare(
    picture: np.ndarray,
    place: np.ndarray,
    shape: np.ndarray,
    samples: _Samples,
    steer: np.ndarray,
    aim: np.ndarray,
    templates: np.ndarray,
    own: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Step (point, 6) towards the templates, and likeness (point,) to them.

    `own` (point,) says which of the `templates` (any, pixel) are those of the points.
    """
    w_all = samples.w
    seen = _sample(picture, *_spread(place, shape, samples.u, samples.v))
    seen -= np.nan_to_num(seen @ w_all)[:, None]
    contrast = np.sqrt(np.maximum((seen * seen) @ w_all, 1e-6))
    found = (steer @ seen[:, :, None])[:, :, 0] / contrast[:, None]
    step, likeness = found[:, :6] - aim, found[:, 6]
    cut = np.flatnonzero(np.isnan(likeness))
    if len(cut):  # partly outside the image, then or now: what both show counts
        values = templates[own[cut]][:, samples.at]
        hidden = np.isnan(seen[cut]) | np.isnan(values)
        here, w = _masked(seen[cut], hidden, w_all)
        here, _ = _normalised(here, w)
        there, _ = _masked(values, hidden, w_all)
        there, _ = _normalised(there, w)
        error = (here - there) * (w / w_all)
        step[cut] = (steer[cut, :6] @ error[:, :, None])[:, :, 0]
        likeness[cut] = np.einsum("np,np->n", here * there, w)
    return step, likeness


def cut_patches(picture: np.ndarray, xy: np.ndarray, run: Mapper = map) -> Patches:
    """Take the patches around points as their templates.

    Parameters
    ----------
    picture
        float32 (y, x), of `smooth`.
    xy
        float32 (point, 2), pixels.
    run
        As in `align`.
    """
    xy = xy.astype(np.float32)
    parts = run(lambda block: _cut(picture, xy[block]), blocks(len(xy)))
    return Patches.joined(list(parts) or [Patches.empty(0)])


def _cut(picture: np.ndarray, xy: np.ndarray) -> Patches:
    n = len(xy)
    identity = np.tile(np.eye(2, dtype=np.float32), (n, 1, 1))
    values = _sample(picture, *_spread(xy, identity, _U, _V))
    hidden = np.isnan(values)
    filled, w = _masked(values, hidden, _WEIGHTS)
    filled, contrast = _normalised(filled, w)
    gradients = []
    x, y = _spread(xy, identity, _MANY.u, _MANY.v)
    h = np.float32(0.5)
    for dx, dy in ((h, 0), (0, h)):
        slope = _sample(picture, x + dx, y + dy) - _sample(picture, x - dx, y - dy)
        gradients.append(np.nan_to_num(slope / contrast[:, None]))
    gx, gy = gradients
    u, v = _MANY.u, _MANY.v
    jacobian = np.stack([gx * u, gx * v, gy * u, gy * v, gx, gy], axis=1)
    _, w = _masked(values[:, _MANY.at], hidden[:, _MANY.at], _MANY.w)
    hessian = (jacobian * w[:, None, :]) @ jacobian.transpose(0, 2, 1)
    worth = (contrast / _NOISE) ** 2 / _SHARE
    structure = (hessian[:, 4:, 4:] * worth[:, None, None]).astype(np.float32)
    loose = np.array([_LOOSE_SHAPE] * 4 + [_LOOSE_PLACE] * 2)
    prior = (_NOISE / contrast[:, None] / loose) ** 2 * _SHARE
    hessian = hessian.astype(np.float64) + prior[:, None, :] * np.eye(6)
    inverse = np.linalg.inv(hessian).astype(np.float32)
    few = np.searchsorted(_MANY.at, _FEW.at)
    steering = [
        _steering(inverse @ part, filled[:, samples.at], hidden[:, samples.at], samples)
        for samples, part in ((_MANY, jacobian), (_FEW, jacobian[:, :, few]))
    ]
    return Patches(
        np.where(hidden, np.nan, filled).astype(np.float32),
        *steering[0],
        *steering[1],
        contrast.astype(np.float32),
        structure,
        identity,
    )


def _steering(
    rows: np.ndarray, values: np.ndarray, hidden: np.ndarray, samples: _Samples
) -> tuple[np.ndarray, np.ndarray]:
    """`Patches.steer` and `aim` for some samples, of six unweighted rows."""
    # Mean and contrast taken out are those of the samples themselves.
    values, _ = _normalised(*_masked(values, hidden, samples.w))
    steer = np.empty((len(values), 7, len(samples)), np.float32)
    steer[:, :6] = rows * samples.w
    steer[:, 6] = values * samples.w
    aim = (steer[:, :6] @ values[:, :, None])[:, :, 0]
    # A template that is cut off is compared pixel by pixel: NaN says so.
    steer[hidden.any(axis=1), 6] = np.nan
    return steer, aim


def align(
    picture: np.ndarray,
    patches: Patches,
    xy: np.ndarray,
    which: np.ndarray | None = None,
    *,
    reach: float = 2.0,
    run: Mapper = map,
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
    which
        Which of the patches, int (point,), where not all of them are to be aligned.
    reach
        A point that would move further than this, pixels, stays where it was.
    run
        Maps a function over blocks of points; a pool's `map` uses more cores. The
        answer is the same.

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
    which = np.arange(len(patches)) if which is None else which
    place = start.copy()
    shape = patches.affine[which]
    likeness = np.empty(len(place), np.float32)

    def work(block: slice) -> None:
        place[block], shape[block], likeness[block] = _align(
            picture, patches, which[block], start[block], reach
        )

    for _ in run(work, blocks(len(place))):
        pass
    return place, shape, likeness


def _align(
    picture: np.ndarray,
    patches: Patches,
    which: np.ndarray,
    start: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place, shape = start.copy(), patches.affine[which]
    live = np.arange(len(place))
    steer, aim = patches.steer_few[which], patches.aim_few[which]
    for _ in range(_ITERATIONS - 1):
        step, _ = _compare(
            picture,
            place[live],
            shape[live],
            _FEW,
            steer,
            aim,
            patches.values,
            which[live],
        )
        on = _move(place, shape, live, step) > _STILL
        live, steer, aim = live[on], steer[on], aim[on]
        if len(live) == 0:
            break
    everyone = np.arange(len(place))
    step, likeness = _at_last(picture, patches, which, place, shape)
    moved = _move(place, shape, everyone, step)
    far = ~(np.hypot(*(place - start).T) <= reach)
    spread = np.abs(np.linalg.det(shape))
    far |= ~((spread > 0.2) & (spread < 5))
    place[far], shape[far] = start[far], patches.affine[which[far]]
    # After a last step that was small its likeness still holds.
    anew = np.flatnonzero(far | ~(moved < _SMALL))
    if len(anew):
        _, likeness[anew] = _at_last(
            picture, patches, which[anew], place[anew], shape[anew]
        )
    return place, shape, likeness


def _at_last(
    picture: np.ndarray,
    patches: Patches,
    which: np.ndarray,
    place: np.ndarray,
    shape: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Compare with all samples; see `_compare`."""
    return _compare(
        picture,
        place,
        shape,
        _MANY,
        patches.steer[which],
        patches.aim[which],
        patches.values,
        which,
    )


def _move(
    place: np.ndarray, shape: np.ndarray, which: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Take a step with these points; pixels (point,) moved at the middle or the rim."""
    shape[which] = _undone(shape[which], step)
    moved = (shape[which] @ step[:, 4:, None])[:, :, 0]
    place[which] -= moved
    rim = RADIUS * np.abs(step[:, :4]).max(axis=1)
    return np.maximum(np.abs(moved).max(axis=1), rim)


def _undone(shape: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return maps (point, 2, 2) after the inverse of a step of their affine part."""
    a, b, c, d = 1 + step[:, 0], step[:, 1], step[:, 2], 1 + step[:, 3]
    inverse = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2)
    return shape @ (inverse / (a * d - b * c)[:, None, None])
