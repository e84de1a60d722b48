"""The points being followed at one moment: moving them on, losing and finding them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from seurat_tracks.trackers.affine import (
    RADIUS,
    Mapper,
    Patches,
    align,
    blocks,
    cut_patches,
    firmness,
)
from seurat_tracks.trackers.flow import FlowSettings, flow

_QUERY = -1
_SPREAD = 0.1  # pixels: neighbours never know better


@dataclass(frozen=True)
class Settings:
    """Thresholds of the tracker; lengths in pixels.

    Attributes
    ----------
    flow : FlowSettings
        Of the step from frame to frame.
    gap : float
        A point that comes back further than this from where it left is lost.
    similarity : float
        Below this normalised cross-correlation with its template a point is lost.
    renew : float
        Below this the template is taken anew, so that slow changes of view are
        followed; each renewal may add a little drift.
    wear : float
        It is kept where the correlation fell by more than this since the last frame.
    found_again : float
        Similarity that a lost query must reach to be seen again.
    search : int
        How far around its expected place a lost query is looked for.
    neighbours : int
        Support points whose motion says where a weak or lost point may have gone.
    firm : float
        How well such a point must be placed by its own patch, standard deviation.
    patience : int
        Frames after which a lost query is given up.
    """

    flow: FlowSettings = field(default_factory=FlowSettings)
    gap: float = 1.0
    similarity: float = 0.8
    renew: float = 0.88
    wear: float = 0.04
    found_again: float = 0.9
    search: int = 10
    neighbours: int = 8
    firm: float = 0.5
    patience: int = 30


@dataclass(frozen=True)
class View:
    """One frame as the tracker needs it: uint8 and float32 (y, x)."""

    grey: np.ndarray
    smooth: np.ndarray


class LivePoints:
    """Points under way, queries and support grids, in flat arrays.

    Parameters
    ----------
    size
        Width and height of the frames, pixels.
    settings
        Thresholds.
    run
        Maps work over blocks of points; a pool's `map` uses more cores.
    """

    def __init__(
        self, size: tuple[int, int], settings: Settings, run: Mapper = map
    ) -> None:
        self.size = size
        self.settings = settings
        self._run = run
        self.clear()

    def clear(self) -> None:
        """Forget every point and the last frame."""
        self._last: View | None = None
        self._xy = np.empty((0, 2), np.float32)
        self._owner = np.empty(0, np.int64)  # _QUERY, or the start of a grid
        self._number = np.empty(0, np.int64)
        self._pace = np.empty((0, 2), np.float32)  # motion since the frame before
        self._confidence = np.empty(0, np.float32)
        self._like = np.empty(0, np.float32)
        self._lost = np.empty(0, np.int64)  # frames since last seen; 0 while seen
        # Patches stay in place, whatever points come and go: a point knows its slot.
        self._patches = Patches.empty(0)
        self._slot = np.empty(0, np.int64)
        self._free = np.empty(0, np.int64)
        self._new: list[tuple[int, np.ndarray, np.ndarray]] = []

    # -- coming and going ---------------------------------------------------------

    def add_queries(self, number: np.ndarray, xy: np.ndarray) -> None:
        """Take up queries (their numbers, and float32 (point, 2)) on this frame."""
        if len(number):
            self._new.append((_QUERY, number, xy))

    def add_group(self, owner: int, xy: np.ndarray) -> None:
        """Take up a support grid, float32 (point, 2), on this frame."""
        self._new.append((owner, np.arange(len(xy)), xy))

    def drop_groups(self, owners: Iterable[int]) -> None:
        """Forget support grids."""
        self._keep(~np.isin(self._owner, list(owners)))

    def _keep(self, keep: np.ndarray) -> None:
        if keep.all():
            return
        self._free = np.concatenate([self._free, self._slot[~keep]])
        for name in (
            "_xy",
            "_pace",
            "_owner",
            "_number",
            "_confidence",
            "_like",
            "_lost",
            "_slot",
        ):
            setattr(self, name, getattr(self, name)[keep])

    def settle(self, view: View) -> None:
        """Cut templates for the points that were added, and remember the frame."""
        if self._new:
            xy = np.concatenate([new[2] for new in self._new]).astype(np.float32)
            n = len(xy)
            owner = [np.full(len(new[2]), new[0]) for new in self._new]
            number = [new[1] for new in self._new]
            slot = self._take_slots(n)
            self._patches.put(slot, cut_patches(view.smooth, xy, self._run))
            self._slot = np.concatenate([self._slot, slot])
            self._xy = np.concatenate([self._xy, xy])
            self._pace = np.concatenate([self._pace, np.zeros_like(xy)])
            self._owner = np.concatenate([self._owner, *owner])
            self._number = np.concatenate([self._number, *number])
            self._confidence = np.concatenate(
                [self._confidence, np.ones(n, np.float32)]
            )
            self._like = np.concatenate([self._like, np.ones(n, np.float32)])
            self._lost = np.concatenate([self._lost, np.zeros(n, np.int64)])
            self._new = []
        self._last = view

    def _take_slots(self, n: int) -> np.ndarray:
        have = len(self._patches)
        if len(self._free) < n:
            more = max(n - len(self._free), have // 2)
            self._patches = Patches.joined([self._patches, Patches.empty(more)])
            self._free = np.concatenate([self._free, np.arange(have, have + more)])
        taken, self._free = self._free[:n], self._free[n:]
        return taken

    # -- what is seen ---------------------------------------------------------------

    def groups(self) -> list[int]:
        """Owners of the grids under way."""
        return [g for g in np.unique(self._owner).tolist() if g != _QUERY]

    def seen_queries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers, positions and confidence of the queries seen on this frame."""
        mine = (self._owner == _QUERY) & (self._lost == 0)
        return self._number[mine], self._xy[mine], self._confidence[mine]

    def group(self, owner: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and visibility of a support grid, in its own order."""
        mine = self._owner == owner
        return self._xy[mine], self._lost[mine] == 0

    # -- moving on --------------------------------------------------------------------

    def advance(self, view: View) -> None:
        """Carry all points from the last frame to this one."""
        if self._last is None or len(self._xy) == 0:
            return
        s = self.settings
        seen = np.flatnonzero(self._lost == 0)
        went, gap = flow(self._last.grey, view.grey, self._xy[seen], s.flow)
        held = (gap <= s.gap) & self._inside(went)
        start = self._xy[seen]
        # Queries lead no one, so that none changes with which others are there.
        leads = held & (self._owner[seen] != _QUERY)
        structure = self._patches.structure[self._slot[seen]]
        leads &= firmness(structure) > 1 / s.firm**2
        guide_from, guide = start[leads], (went - start)[leads]
        if len(guide) >= 3:
            led, spread = _neighbour_motion(
                guide_from, guide, start, s.neighbours, run=self._run
            )
            # Along an edge, or on a blank wall, the neighbours know more than the
            # patch; where a patch is rich, it outweighs them.
            own = structure * held[:, None, None]
            theirs = np.eye(2, dtype=np.float32) / (spread**2)[:, None, None]
            offset = np.where(held[:, None], went - start - led, 0)
            pull = _solve(own + theirs, (own @ offset[:, :, None])[:, :, 0])
            went = start + led + pull
            gap = np.where(held, gap, s.gap)
            held = self._inside(went)
        moving, went, gap = seen[held], went[held], gap[held]
        xy, shape, likeness = align(
            view.smooth, self._patches, went, self._slot[moving], run=self._run
        )
        good = (likeness >= s.similarity) & self._inside(xy)
        before = self._xy.copy()
        self._lost[seen] = 1
        kept = moving[good]
        self._lost[kept] = 0
        self._xy[kept] = xy[good]
        self._pace[kept] += 0.3 * (xy[good] - before[kept] - self._pace[kept])
        self._confidence[kept] = _confidence(likeness[good], gap[good], s)
        self._patches.affine[self._slot[kept]] = shape[good]
        # A sudden loss of likeness is something passing in front, not wear.
        slowly = self._like[kept] - likeness[good] < s.wear
        worn = kept[slowly & (likeness[good] < s.renew)]
        self._like[kept] = likeness[good]
        self._like[worn] = 1
        if len(worn):
            anew = cut_patches(view.smooth, self._xy[worn], self._run)
            self._patches.put(self._slot[worn], anew)
        self._find_lost(view, before, guide_from, guide)
        # A grid's points are not looked for again: its windows are short.
        self._keep((self._owner != _QUERY) | (self._lost <= s.patience))

    def _inside(self, xy: np.ndarray) -> np.ndarray:
        width, height = self.size
        x, y = xy.T
        return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)

    def _find_lost(
        self,
        view: View,
        before: np.ndarray,
        motion_from: np.ndarray,
        motion: np.ndarray,
    ) -> None:
        """Carry lost queries along with their neighbours, and look for them there."""
        s = self.settings
        lost = np.flatnonzero((self._owner == _QUERY) & (self._lost > 0))
        if len(lost) == 0:
            return
        earlier = self._lost[lost] > 1
        self._lost[lost] += 1
        if len(motion_from) >= 3:
            led, _ = _neighbour_motion(
                motion_from,
                motion,
                before[lost],
                s.neighbours,
                self._pace[lost],
                self._run,
            )
            self._xy[lost] = before[lost] + led
            self._pace[lost] = led
        able = earlier & self._inside(self._xy[lost])
        able &= self._patches.contrast[self._slot[lost]] > 6
        tried = lost[able]
        if len(tried) == 0:
            return
        place, unique = _search(
            view.smooth,
            self._patches.values[self._slot[tried]],
            self._xy[tried],
            s.search,
        )
        tried, place = tried[unique], place[unique]
        xy, shape, likeness = align(
            view.smooth, self._patches, place, self._slot[tried], run=self._run
        )
        again = (likeness >= s.found_again) & self._inside(xy)
        found = tried[again]
        self._xy[found] = xy[again]
        self._patches.affine[self._slot[found]] = shape[again]
        self._lost[found] = 0
        self._like[found] = likeness[again]
        self._confidence[found] = _confidence(
            likeness[again], np.zeros(again.sum(), np.float32), s
        )


def _confidence(likeness: np.ndarray, gap: np.ndarray, s: Settings) -> np.ndarray:
    """1 for a perfect likeness that comes back to its place; least 0.05 while seen."""
    like = np.clip((likeness - s.similarity) / (1 - s.similarity), 0, 1)
    returns = 1 - 0.5 * np.clip(gap / s.gap, 0, 1)
    return np.maximum(np.sqrt(like) * returns, 0.05).astype(np.float32)


def _neighbour_motion(
    motion_from: np.ndarray,
    motion: np.ndarray,
    xy: np.ndarray,
    k: int,
    pace: np.ndarray | None = None,
    run: Mapper = map,
) -> tuple[np.ndarray, np.ndarray]:
    """Median motion of the k nearest points that were followed, and its spread.

    With `pace`, the motion so far of points that are hidden: of the 6 k nearest the k
    that move most alike, since the nearest may belong to what hides them.
    """
    from scipy.spatial import cKDTree

    wanted = min(k if pace is None else 6 * k, len(motion_from))
    tree = cKDTree(motion_from)

    def work(block: slice) -> tuple[np.ndarray, np.ndarray]:
        _, near = tree.query(xy[block], wanted)
        moves = motion[near]
        if pace is not None and wanted > k:
            unlike = np.abs(moves - pace[block, None]).sum(axis=-1)
            alike = np.argpartition(unlike, k - 1, axis=1)[:, :k]
            moves = np.take_along_axis(moves, alike[:, :, None], axis=1)
        middle = _median(moves.transpose(0, 2, 1))
        return middle, _median(np.abs(moves - middle[:, None]).sum(axis=-1))

    parts = list(run(work, blocks(len(xy))))
    led, spread = (np.concatenate(part) for part in zip(*parts, strict=True))
    return led, _SPREAD + spread


def _median(values: np.ndarray) -> np.ndarray:
    """Median along the last axis; for many short rows sorting beats `np.median`."""
    values, k = np.sort(values, axis=-1), values.shape[-1]
    return (values[..., (k - 1) // 2] + values[..., k // 2]) / 2


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve many systems (point, 2, 2) of two equations at once."""
    a, b, c, d = matrix.reshape(-1, 4).T
    p, q = right.T
    return np.stack([d * p - b * q, a * q - c * p], axis=1) / (a * d - b * c)[:, None]


def _search(
    picture: np.ndarray, templates: np.ndarray, xy: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Best place for each template within `reach`, and whether it stands alone."""
    import cv2

    side = 2 * RADIUS + 1
    place, alone = xy.copy(), np.zeros(len(xy), bool)
    for k, (x, y) in enumerate(np.rint(xy).astype(int).tolist()):
        x0, y0 = max(x - reach - RADIUS, 0), max(y - reach - RADIUS, 0)
        part = picture[y0 : y + reach + RADIUS + 1, x0 : x + reach + RADIUS + 1]
        if min(part.shape) < side:
            continue
        template = np.nan_to_num(templates[k]).reshape(side, side)
        score = cv2.matchTemplate(part, template, cv2.TM_CCOEFF_NORMED)
        v, u = divmod(int(score.argmax()), score.shape[1])
        best = float(score[v, u])
        score[max(v - 3, 0) : v + 4, max(u - 3, 0) : u + 4] = -1
        alone[k] = best > 0.75 and score.max() < best - 0.1
        place[k] = (x0 + u + RADIUS, y0 + v + RADIUS)
    return place, alone
