"""The frames of a shot that are not final yet, and the tracks in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seurat_tracks.streaming.batch import Batch

NEVER = -1
"""Position or frame number of what has not been seen yet."""

_PER_TRACK = ("ids", "first_seen", "foreign", "seen", "arrived", "listed", "before")


class Buffer:
    """Tracks over the last frames of a shot; rows are tracks in order of arrival.

    Positions count frames from the shot's first one.

    Parameters
    ----------
    elsewhere
        Frame number at which a track was first seen, by id, for tracks of earlier
        shots: their curves lie there, and nothing links them to this shot.

    Attributes
    ----------
    first, end : int
        Positions of the first frame that is held, and of the next one to come.
    time, seconds
        Of the frames held; `seconds` is None where unknown.
    ids : array (track,)
    xy, visible, confidence
        (track, time, ...), as in `Batch`.
    seen : int array (track,)
        Position at which each track was first seen, or `NEVER`.
    first_seen : int array (track,)
        Its frame number, in this shot or an earlier one, or `NEVER`.
    foreign : bool array (track,)
        The track was first seen in an earlier shot.
    arrived, listed : int array (track,)
        First and last position at which a batch listed each track.
    before : int array (track,)
        Last position, of the frames that were forgotten, at which it was visible, or
        `NEVER`.
    """

    def __init__(self, elsewhere: Mapping[Any, int]) -> None:
        self._elsewhere = elsewhere
        self.first = self.end = 0
        self.time = np.zeros(0, np.int64)
        self.seconds: np.ndarray | None = None
        self.ids: np.ndarray = np.zeros(0, np.int64)
        self.xy = np.zeros((0, 0, 2), np.float32)
        self.visible = np.zeros((0, 0), bool)
        self.confidence: np.ndarray | None = None
        self.seen = np.zeros(0, np.int64)
        self.first_seen = np.zeros(0, np.int64)
        self.foreign = np.zeros(0, bool)
        self.arrived = np.zeros(0, np.int64)
        self.listed = np.zeros(0, np.int64)
        self.before = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, batch: Batch) -> None:
        """Take up frames; new tracks go to the end of the rows."""
        rows = self._rows(batch.ids)
        n, held = len(batch), len(self.time)
        shape = (len(self), n)
        xy = np.full((*shape, 2), np.nan, np.float32)
        xy[rows] = batch.xy
        visible = np.zeros(shape, bool)
        visible[rows] = batch.visible
        self.xy = np.concatenate([self.xy, xy], 1)
        self.visible = np.concatenate([self.visible, visible], 1)
        if batch.confidence is not None:
            confidence = np.full(shape, np.nan, np.float32)
            confidence[rows] = batch.confidence
            before = self.confidence
            if before is None:
                before = np.full((len(self), held), np.nan, np.float32)
            self.confidence = np.concatenate([before, confidence], 1)
        if batch.seconds is not None:
            before = np.zeros(0) if self.seconds is None else self.seconds
            self.seconds = np.concatenate([before, batch.seconds])
        self.time = np.concatenate([self.time, batch.time])
        new = (self.seen == NEVER) & ~self.foreign & visible.any(1)
        at = visible[new].argmax(1)
        self.seen[new] = self.end + at
        self.first_seen[new] = batch.time[at]
        self.end += n
        self.listed[rows] = self.end - 1

    def _rows(self, ids: np.ndarray) -> np.ndarray | slice:
        """Rows of these tracks, made for those that are new."""
        if len(ids) == len(self) and np.array_equal(ids, self.ids):
            return slice(None)
        if len(self) == 0:
            self.ids = ids[:0]
        rows = pd.Index(self.ids).get_indexer(pd.Index(ids))
        new = rows < 0
        rows[new] = len(self) + np.arange(new.sum())
        self._append(ids[new])
        return rows

    def _append(self, ids: np.ndarray) -> None:
        n, held = len(ids), len(self.time)
        before = [self._elsewhere.get(i, NEVER) for i in ids.tolist()]
        first_seen = np.array(before, np.int64)
        self.ids = np.concatenate([self.ids, ids])
        self.first_seen = np.concatenate([self.first_seen, first_seen])
        self.foreign = np.concatenate([self.foreign, first_seen != NEVER])
        self.seen = np.concatenate([self.seen, np.full(n, NEVER)])
        self.arrived = np.concatenate([self.arrived, np.full(n, self.end)])
        self.listed = np.concatenate([self.listed, np.full(n, self.end)])
        self.before = np.concatenate([self.before, np.full(n, NEVER)])
        self.xy = np.concatenate([self.xy, np.full((n, held, 2), np.nan, np.float32)])
        self.visible = np.concatenate([self.visible, np.zeros((n, held), bool)])
        if self.confidence is not None:
            nothing = np.full((n, held), np.nan, np.float32)
            self.confidence = np.concatenate([self.confidence, nothing])

    def keep(self, which: np.ndarray) -> None:
        """Forget the tracks outside of a bool array (track,)."""
        for name in _PER_TRACK:
            setattr(self, name, getattr(self, name)[which])
        self.xy, self.visible = self.xy[which], self.visible[which]
        if self.confidence is not None:
            self.confidence = self.confidence[which]

    def forget_frames(self, n: int) -> None:
        """Forget the first n frames that are held."""
        gone = self.visible[:, :n]
        last = self.first + n - 1 - gone[:, ::-1].argmax(1)
        self.before = np.where(gone.any(1), last, self.before)
        self.first += n
        self.time = self.time[n:]
        self.xy, self.visible = self.xy[:, n:].copy(), self.visible[:, n:].copy()
        if self.seconds is not None:
            self.seconds = self.seconds[n:]
        if self.confidence is not None:
            self.confidence = self.confidence[:, n:].copy()
