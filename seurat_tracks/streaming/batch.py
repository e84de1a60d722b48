"""What every source gives: some frames of tracks, one after another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from seurat_tracks.streaming.support import Support


@dataclass(frozen=True)
class Batch:
    """Frames that come together, with the tracks that are there.

    Attributes
    ----------
    time : int array (time,)
        Frame numbers.
    ids : array (track,)
        Of the tracks that are listed, whether seen or not.
    xy : float32 array (track, time, 2)
        Pixels, pixel centres at integers; finite where visible.
    visible : bool array (track, time)
    seconds : float64 array (time,), optional
    confidence : float32 array (track, time), optional
    support : Support, optional
        Where the support of a new shot's windows is from; the first frame of this
        batch then begins the shot. None: the last shot goes on.
    attrs
        Of the Dataset that these frames are of, or would be.
    late : int
        Frames that had come after these when the source gave them.
    """

    time: np.ndarray
    ids: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    seconds: np.ndarray | None = None
    confidence: np.ndarray | None = None
    support: Support | None = None
    attrs: dict[Any, Any] = field(default_factory=dict)
    late: int = 0

    def __len__(self) -> int:
        return len(self.time)

    def part(self, begin: int, end: int) -> Batch:
        """Take frames begin .. end - 1; a new shot begins with none of them."""
        s, c = self.seconds, self.confidence
        return replace(
            self,
            time=self.time[begin:end],
            xy=self.xy[:, begin:end],
            visible=self.visible[:, begin:end],
            seconds=None if s is None else s[begin:end],
            confidence=None if c is None else c[:, begin:end],
            support=None,
        )
