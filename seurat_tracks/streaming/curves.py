"""Fits of tracks that come and go, a few at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seurat_tracks.fusion import RunningFit

GROUP = 128
"""Tracks that are fitted together; the matrices of a group take some tens of MB."""


@dataclass
class _Group:
    fit: RunningFit
    rows: np.ndarray


class Curves:
    """Curves of many tracks, in groups that bound the memory of the fit.

    Parameters
    ----------
    block
        Frames per block, as in `seurat_tracks.fusion.RunningFit`.
    """

    def __init__(self, block: int) -> None:
        self.block = block
        self.first = 0
        """Position of the first frame of the first open block."""
        self._groups: list[_Group] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add_tracks(self, reference: np.ndarray) -> None:
        """Take up tracks whose curves are 0 at these positions (n,)."""
        left = np.arange(len(reference))
        for group in self._groups:
            left = self._fill(group, left, reference)
        while len(left):
            fit = RunningFit(self.block)
            fit.first = self.first
            self._groups.append(_Group(fit, np.zeros(0, np.int64)))
            left = self._fill(self._groups[-1], left, reference)
        self._count += len(reference)

    def _fill(
        self, group: _Group, left: np.ndarray, reference: np.ndarray
    ) -> np.ndarray:
        room = max(0, GROUP - len(group.rows))
        some, left = left[:room], left[room:]
        if len(some):
            group.fit.add_tracks(reference[some])
            group.rows = np.concatenate([group.rows, self._count + some])
        return left

    def keep_tracks(self, keep: np.ndarray) -> None:
        """Forget the tracks outside of a bool array (N,)."""
        number = np.cumsum(keep) - 1
        for group in self._groups:
            mine = keep[group.rows]
            if not mine.all():
                group.fit.keep_tracks(mine)
            group.rows = number[group.rows[mine]]
        self._groups = [g for g in self._groups if len(g.rows)]
        self._count = int(keep.sum())

    def add_windows(
        self,
        frames: np.ndarray,
        log_ratio: np.ndarray,
        log_scale: np.ndarray,
        seen: np.ndarray,
        doubt: np.ndarray,
    ) -> None:
        """Take up windows: frames (W, K), the others (W, N, K)."""
        for group in self._groups:
            group.fit.add_windows(
                frames,
                *(a[:, group.rows] for a in (log_ratio, log_scale, seen, doubt)),
            )

    def finish(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Close the first open block: its curve and sigma, float64 (N, block)."""
        curve, sigma = (np.full((self._count, self.block), np.nan) for _ in range(2))
        for group in self._groups:
            _, curve[group.rows], sigma[group.rows] = group.fit.finish(n_frames)
        self.first += self.block
        return curve, sigma

    def flush(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Solve all that is open: curve and sigma, float64 (N, frame)."""
        shape = (self._count, n_frames - self.first)
        curve, sigma = np.full(shape, np.nan), np.full(shape, np.nan)
        for group in self._groups:
            _, curve[group.rows], sigma[group.rows] = group.fit.flush(n_frames)
        return curve, sigma
