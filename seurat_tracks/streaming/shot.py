"""One shot: frames in, and after a constant delay curves of depth out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seurat_tracks.cameras.camera import Camera
from seurat_tracks.doubt import LONG_GAP, suspicious_steps
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.predict import predict_windows
from seurat_tracks.streaming.batch import Batch
from seurat_tracks.streaming.buffer import NEVER, Buffer
from seurat_tracks.streaming.curves import Curves
from seurat_tracks.streaming.heap import hand_back
from seurat_tracks.streaming.support import Support
from seurat_tracks.windows import plan_from_starts


@dataclass(frozen=True)
class Settings:
    """How a stream is lifted.

    Attributes
    ----------
    network
        On its device.
    frame_size
        Width and height, pixels.
    intrinsics
        fx, fy, cx, cy in pixels, where they are known.
    camera
        The camera, where its lens distorts.
    iterations
        Refinement passes of the network; None for its own number.
    lag
        Later blocks that are known when a block becomes final.
    forget
        Frames after which a track that is no longer listed is forgotten.
    """

    network: SeuratNetwork
    frame_size: tuple[int, int]
    intrinsics: tuple[float, float, float, float] | None
    camera: Camera | None
    iterations: int | None
    lag: int
    forget: int


@dataclass(frozen=True)
class Answer:
    """Frames that are final.

    Attributes
    ----------
    batch
        What came: frames, and the tracks that are remembered.
    log_ratio, sigma : float32 array (track, time)
    first_seen : int array (track,)
        Frame number at which each track's ratio is 1; `NEVER` if not seen so far.
    new_shot
        The first of these frames begins a shot.
    """

    batch: Batch
    log_ratio: np.ndarray
    sigma: np.ndarray
    first_seen: np.ndarray
    new_shot: bool


class Shot:
    """The frames of one shot, from its first to its last.

    Time is cut into blocks as long as the longest window. When a frame after the next
    `Settings.lag` blocks has come, a block is final: windows that overlap it are all
    known, and those that a longer wait would add tell of it through others only. What
    is done depends on these blocks alone, never on how frames were bundled.

    Parameters
    ----------
    settings
        How to lift.
    support
        Windows, and their support.
    elsewhere
        As in `Buffer`.
    """

    def __init__(
        self, settings: Settings, support: Support, elsewhere: Mapping[Any, int]
    ) -> None:
        self.settings = settings
        self.block = max(support.longest, 1)
        self._support = support
        self._buffer = Buffer(elsewhere)
        self._curves = Curves(self.block)
        # rows of the buffer that have a curve, in the order of the curves
        self._active = np.zeros(0, np.int64)
        self._taken = 0  # frames whose windows have been run

    def add(self, batch: Batch) -> Iterator[Answer]:
        """Take up frames; yield those that become final."""
        while len(batch):
            room = self._taken + self.block - self._buffer.end
            if room == 0:
                # not before this: were that the end, windows would be shifted back
                yield from self._close_block()
                continue
            self._buffer.add(batch.part(0, room))
            batch = batch.part(room, len(batch))

    def end(self) -> Iterator[Answer]:
        """Say that the shot has ended; yield all that is left."""
        n = self._buffer.end
        self._take_up(n, *self._support.due(n))
        self._take_up(n, *self._support.last(n))
        yield self._answer(*self._curves.flush(n), len(self._buffer.time))

    def known(self) -> dict[Any, int]:
        """Frame numbers at which the tracks that are remembered were first seen."""
        seen = self._buffer.first_seen != NEVER
        ids, frames = self._buffer.ids[seen], self._buffer.first_seen[seen]
        return dict(zip(ids.tolist(), frames.tolist(), strict=True))

    def _close_block(self) -> Iterator[Answer]:
        self._taken += self.block
        n = self._taken
        self._take_up(n, *self._support.due(n))
        if n < self._curves.first + (self.settings.lag + 1) * self.block:
            return
        self._forget_tracks()
        answer = self._answer(*self._curves.finish(n), self.block)
        self._buffer.forget_frames(self.block)
        hand_back()
        yield answer

    def _forget_tracks(self) -> None:
        b = self._buffer
        keep = b.listed + self.settings.forget >= b.first
        if keep.all():
            return
        self._curves.keep_tracks(keep[self._active])
        number = np.cumsum(keep) - 1
        self._active = number[self._active[keep[self._active]]]
        b.keep(keep)

    def _take_up(self, n: int, start: np.ndarray, stride: np.ndarray) -> None:
        """Run the network over windows, for every track that has been seen."""
        b = self._buffer
        has = np.zeros(len(b), bool)
        has[self._active] = True
        new = np.flatnonzero((b.seen != NEVER) & ~has)
        self._curves.add_tracks(b.seen[new])
        self._active = np.concatenate([self._active, new])
        if len(start) == 0 or len(self._active) == 0:
            return
        length = self._support.length
        plan = plan_from_starts(start - b.first, stride, n - b.first, length=length)
        frames = np.where(plan.frames < 0, -1, plan.frames + b.first)
        straight_xy, clear = self._straight(b.xy, b.visible)
        support = self._support.points(start, plan, straight_xy, clear)
        if not self._support.drawn:
            support = self._straight(*support)
        xy, visible = straight_xy[self._active], clear[self._active]
        ratio, scale = predict_windows(
            self.settings.network,
            plan,
            xy,
            visible,
            *support,
            self.settings.frame_size,
            intrinsics=self.settings.intrinsics,
            iterations=self.settings.iterations,
        )
        hand_back()
        doubt = self._doubt(xy, visible)
        at = np.maximum(plan.frames, 0)
        self._curves.add_windows(
            frames,
            ratio,
            scale,
            np.moveaxis(visible[:, at], 0, 1),
            np.moveaxis(doubt[:, at], 0, 1),
        )

    def _straight(
        self, xy: np.ndarray, visible: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Undo the lens; points that no ray is known of are hidden."""
        if self.settings.camera is None:
            return xy, visible
        out = self.settings.camera.undistort(xy)
        return out, visible & np.isfinite(out).all(-1)

    def _doubt(self, xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Doubt (track, time): it rises where a track may have changed its object."""
        doubts = suspicious_steps(xy, visible, self.settings.frame_size)
        # a gap that began in frames which are forgotten
        before = self._buffer.before[self._active]
        back = visible.argmax(1)
        long = self._buffer.first + back - before > LONG_GAP + 1
        found = np.flatnonzero(long & (before != NEVER) & visible.any(1))
        doubts.found_again[found, back[found]] = True
        return doubts.widening.cumsum(1)

    def _answer(self, curve: np.ndarray, sigma: np.ndarray, n: int) -> Answer:
        """Give the first n frames that are held, with the curves over them."""
        b = self._buffer
        there = b.arrived < b.first + n
        both = np.full((2, len(b), n), np.nan, np.float32)
        both[:, self._active] = curve, sigma
        # before a track is first seen, blocks that are final could not know it
        spot = (b.seen - b.first)[:, None]
        both[:, (b.seen == NEVER)[:, None] | (np.arange(n) < spot)] = np.nan
        both[:, (b.seen != NEVER)[:, None] & (np.arange(n) == spot)] = 0.0
        first_seen = b.first_seen.copy()
        first_seen[~b.foreign & (b.seen >= b.first + n)] = NEVER
        batch = Batch(
            b.time[:n],
            b.ids[there],
            b.xy[there, :n],
            b.visible[there, :n],
            None if b.seconds is None else b.seconds[:n],
            None if b.confidence is None else b.confidence[there, :n],
        )
        return Answer(
            batch, both[0, there], both[1, there], first_seen[there], b.first == 0
        )
