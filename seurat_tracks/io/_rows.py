"""From rows, one a track and frame, to arrays (track, time)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks.errors import FormatError

CELLS = 4_000_000
"""Arrays may always have this many cells (track, time) ..."""

SPARSE = 256
"""... and so many for each row of the table: beyond, the numbers are a mistake."""

FRAMES = ("all", "present")
"""Which frames the time axis gets."""


@dataclass
class Rows:
    """Columns of a table, as they are read, part by part.

    Attributes
    ----------
    path
        The file, for errors.
    where
        Says where a row is, as "line 12"; rows count from 0.
    track
        Position in `ids` of each row's track.
    frame
        Each row's frame number, int64.
    columns
        Further columns by name.
    ids
        Ids in the order of their first rows.
    """

    path: Path
    where: Callable[[int], str]
    track: list[np.ndarray] = field(default_factory=list)
    frame: list[np.ndarray] = field(default_factory=list)
    columns: dict[str, list[np.ndarray]] = field(default_factory=dict)
    ids: dict[Any, int] = field(default_factory=dict)

    def add(
        self, track: Sequence[Any], frame: np.ndarray, columns: dict[str, np.ndarray]
    ) -> None:
        """Append rows: ids, frame numbers, and arrays of the further columns."""
        ids = self.ids
        codes = [ids.setdefault(name, len(ids)) for name in track]
        self.track.append(np.array(codes, np.int64))
        self.frame.append(frame)
        for name, values in columns.items():
            self.columns.setdefault(name, []).append(values)

    def grid(
        self,
        *,
        frames: str = "all",
        time: np.ndarray | None = None,
        n_tracks: int | None = None,
        known: bool = False,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Spread the rows over (track, time).

        Parameters
        ----------
        frames
            "all": every frame from the first to the last that has a row; "present":
            those with rows alone.
        time
            The frame numbers, where they are known.
        n_tracks
            Number of tracks, where it is known.
        known
            Whether ids and frames are listed by metadata of our own: tracks may then
            be sparser.

        Returns
        -------
        time : int64 array (time,)
        columns : dict of arrays (track, time)
            NaN or False where there is no row.

        Raises
        ------
        FormatError
            If there are no rows, two rows for one track and frame, or far more cells
            than rows.
        """
        if frames not in FRAMES:
            raise FormatError(f"frames is {frames!r}; give 'all' or 'present'")
        track = np.concatenate(self.track) if self.track else np.zeros(0, np.int64)
        frame = np.concatenate(self.frame) if self.frame else np.zeros(0, np.int64)
        if not len(track) and time is None:
            raise FormatError(f"{self.path}: the table has no rows")
        tracks = n_tracks if n_tracks is not None else len(self.ids)
        sparse = SPARSE * 16 if known else SPARSE
        if time is not None:
            at = np.searchsorted(time, frame)
            stray = at >= len(time)
            stray[~stray] = time[at[~stray]] != frame[~stray]
            if stray.any():
                row = int(stray.argmax())
                raise FormatError(
                    f"{self.path}: {self.where(row)} is of frame {frame[row]}, which "
                    "is not among the frames that the metadata lists"
                )
        elif frames == "present":
            time, at = np.unique(frame, return_inverse=True)
        else:
            first, last = int(frame.min()), int(frame.max())
            self._refuse_sparse(
                tracks, last - first + 1, len(frame), sparse, (first, last)
            )
            time, at = np.arange(first, last + 1), frame - first
        if len(time):
            ends = (int(time[0]), int(time[-1]))
            self._refuse_sparse(tracks, len(time), len(frame), sparse, ends)
        cell = track * len(time) + at
        self._refuse_twice(cell, frame)
        made: dict[str, np.ndarray] = {}
        for name, parts in self.columns.items():
            values = np.concatenate(parts)
            empty: Any = np.nan if values.dtype.kind == "f" else False
            if values.dtype.kind in "mM":
                empty = "NaT"
            elif values.dtype.kind in "UO":
                empty = ""
            array = np.full(tracks * len(time), empty, values.dtype)
            array[cell] = values
            made[name] = array.reshape(tracks, len(time))
        return time, made

    def _refuse_sparse(
        self, tracks: int, times: int, rows: int, sparse: int, ends: tuple[int, int]
    ) -> None:
        if tracks * times <= max(CELLS, sparse * rows):
            return
        raise FormatError(
            f"{self.path}: {rows} rows of {tracks} tracks lie in frames {ends[0]} to "
            f"{ends[1]}: as arrays that would be {tracks * times:.3g} cells, nearly "
            "all empty. Correct the frame numbers; or keep only the frames that have "
            "rows, frames='present'; or read the tracks in parts"
        )

    def _refuse_twice(self, cell: np.ndarray, frame: np.ndarray) -> None:
        order = np.argsort(cell, kind="stable")
        twice = np.flatnonzero(np.diff(cell[order]) == 0)
        if not twice.size:
            return
        pairs = sorted((int(order[i + 1]), int(order[i])) for i in twice)
        again, first = pairs[0]
        names = list(self.ids)
        track = names[int(np.concatenate(self.track)[again])]
        raise FormatError(
            f"{self.path}: {len(pairs)} rows are of a track and frame that a row is "
            f"there for already. First: {self.where(again)}, track {track!r}, frame "
            f"{frame[again]}, as {self.where(first)}. Give each track an id of its "
            "own, or remove rows"
        )


def typed_ids(names: Sequence[str]) -> list[Any]:
    """Turn ids that are all written as integers into integers; else leave strings."""
    if all(name.isascii() and name.lstrip("-").isdigit() for name in names):
        try:
            numbers = [int(name) for name in names]
        except ValueError:
            return list(names)
        plain = all(str(n) == name for n, name in zip(numbers, names, strict=True))
        if plain and all(abs(n) < 2**63 for n in numbers):
            return numbers
    return list(names)
