"""Frames of a video as a tracker takes them, encoded once, a bounded number kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.io.video import iter_frames

_TOGETHER = 8  # frames decoded and encoded in one go


class Frames:
    """The encoded frames of a video, made when asked for, the last used kept.

    Parameters
    ----------
    video
        DataArray (time, y, x, rgb) uint8.
    encode
        Called with uint8 frames (time, y, x, rgb); returns one item for each.
    keep
        Items kept; this bounds the memory.
    """

    def __init__(
        self,
        video: xr.DataArray,
        encode: Callable[[np.ndarray], list[Any]],
        keep: int,
    ) -> None:
        self._video = video
        self._encode = encode
        self._keep = max(keep, _TOGETHER)
        self._held: OrderedDict[int, Any] = OrderedDict()
        self.encoded = 0  # how many were made, for those who count
        self.reached: Callable[[int], None] | None = None
        """Told by a long walk forwards how far it has come, while these are held."""

    def __getitem__(self, position: int) -> Any:
        if position not in self._held:
            begin = position - position % _TOGETHER
            end = min(begin + _TOGETHER, self._video.sizes["time"])
            wanted = [p for p in range(begin, end) if p not in self._held]
            decoded = list(iter_frames(self._video, begin, end))
            items = self._encode(np.stack([decoded[p - begin] for p in wanted]))
            self.encoded += len(wanted)
            self._held.update(zip(wanted, items, strict=True))
        self._held.move_to_end(position)
        item = self._held[position]
        while len(self._held) > self._keep:
            self._held.popitem(last=False)
        return item


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of a video; `clip[i]` is its i-th frame, encoded.

    Attributes
    ----------
    frames : Frames
        The video.
    begin, end : int
        Positions on its time axis, as in `range`.
    size : tuple of int
        Width and height of the video's frames in pixels.
    """

    frames: Frames
    begin: int
    end: int
    size: tuple[int, int]

    def __len__(self) -> int:
        return self.end - self.begin

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.frames[self.begin + index]

    def reached(self, count: int) -> None:
        """Say that the first `count` frames are done, and the last of them in memory.

        What else needs these frames is done in the meantime.
        """
        if self.frames.reached is not None:
            self.frames.reached(self.begin + count)

    def all(self, least: int = 0) -> list[Any]:
        """Every frame, the last one again until there are `least`."""
        items = [self[i] for i in range(len(self))]
        return items + items[-1:] * (least - len(items))
