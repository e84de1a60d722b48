"""What all learned trackers share: settings, pieces of long videos, support grids."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
import xarray as xr

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.base import SUPPORT_GRID, Progress, TrackResult
from seurat_tracks.trackers.clips import Clip
from seurat_tracks.trackers.queries import Queries
from seurat_tracks.windows import WindowPlan

if TYPE_CHECKING:
    import torch


Pathlike: TypeAlias = str | os.PathLike[str] | None
"""A path that may be left out."""


class Settings(TypedDict, total=False):
    """Settings that every learned tracker takes; see `LearnedTracker`."""

    device: str
    piece: int | Literal["usual"] | None
    overlap: int
    points: int | None


def is_whole(value: Any) -> bool:
    """Whether a setting is a whole number."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


@dataclass(frozen=True)
class Followed:
    """Where points are in the frames of a clip, guesses of hidden ones included.

    Attributes
    ----------
    xy : float32 array (point, time, 2)
        Pixels of the video, pixel centres at integers.
    visible : bool array (point, time)
        By the official threshold.
    confidence : float32 array (point, time)
        0 to 1.
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


class LearnedTracker(ABC):
    """A tracker that runs official code; a subclass says how.

    A subclass with more settings takes these as ``**settings``; its signature names
    them all.

    Parameters
    ----------
    device
        "auto" (CUDA, then MPS, then the CPU) or a torch device, which is then used or
        refused.
    piece
        Most frames that are looked at together; None for a whole shot; "usual" for
        the tracker's own, `usual_piece`. Longer shots are cut into pieces, and points
        are handed on from each to the next.
    overlap
        Frames that neighbouring pieces share.
    points
        Most points followed in one pass; more take further passes over the same
        features. Memory grows with `piece` times `points`. None: `usual_points`.

    Attributes
    ----------
    name, licence : str
        As in `seurat_tracks.trackers.base.Tracker`.
    usual_piece : int or None
    usual_points : int

    Raises
    ------
    TrackerError
        A setting makes no sense; or, of subclasses, the official code is not there.
    WeightsError
        The device is not there; or, of subclasses, the weights are not, or do not
        fit.
    """

    name: str
    licence: str
    usual_piece: int | None = 60
    usual_points = 1024

    def __init_subclass__(cls, **more: Any) -> None:
        """Name in the signature what ``**settings`` stands for."""
        super().__init_subclass__(**more)
        own = inspect.signature(cls.__init__).parameters
        named = [p for p in own.values() if p.kind is not p.VAR_KEYWORD]
        if len(named) < len(own):
            above = inspect.signature(super(cls, cls).__init__).parameters
            named += [p for p in above.values() if p.name not in own]
        if "__init__" in vars(cls):
            cls.__init__.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]

    def __init__(
        self,
        *,
        device: str = "auto",
        piece: int | Literal["usual"] | None = "usual",
        overlap: int = 12,
        points: int | None = None,
    ) -> None:
        from seurat_tracks.model.pretrained import resolve_device

        piece = self.usual_piece if piece == "usual" else piece
        points = self.usual_points if points is None else points
        faults = []
        whole = {"overlap": overlap, "points": points}
        if piece is not None:
            whole["piece"] = piece
        for key, value in whole.items():
            if not is_whole(value) or value < 1:
                faults.append(f"{key} must be a whole number from 1, got {value!r}")
        if not faults and piece is not None and piece < 2 * overlap:
            faults.append(
                f"piece={piece} must be at least twice overlap={overlap}: points are "
                "handed on in the frames that two pieces share"
            )
        if faults:
            raise TrackerError(f"{self.name}: {'; '.join(faults)}.")
        self.device = resolve_device(device)
        self.piece = piece
        self.overlap = overlap
        self.points = points

    @abstractmethod
    def encode(self, frames: np.ndarray) -> list[Any]:
        """Turn frames into what `follow` takes, one item for each.

        Parameters
        ----------
        frames : uint8 array (time, y, x, rgb)
        """

    @abstractmethod
    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        """Follow points through a clip, as the official predictor does.

        Parameters
        ----------
        clip
            The frames.
        frame : int array (point,)
            Frame of the clip on which each point is given.
        xy : float32 array (point, 2)
            Pixels of the video, pixel centres at integers.
        backward
            Whether frames before a point's own are wanted too.
        """

    def keep(self, plan: WindowPlan | None) -> int:
        """Say how many encoded frames are worth keeping: those soon asked for again."""
        longest = 0
        if plan is not None:
            longest = int((plan.frames.max(axis=1) - plan.start).max()) + 1
        return (self.piece or 0) + longest + 16

    def track(
        self,
        video: xr.DataArray,
        queries: Queries,
        plan: WindowPlan | None,
        *,
        cuts: Iterable[int] = (),
        support_grid: int = SUPPORT_GRID,
        progress: Progress | None = None,
    ) -> TrackResult:
        """Track queries both ways and support grids forwards; see `Tracker.track`."""
        import torch

        from seurat_tracks.trackers.pieces import follow_video

        # Official code draws random numbers; a caller's own stream stays his.
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            return follow_video(
                self,
                video,
                queries,
                plan,
                cuts=cuts,
                support_grid=support_grid,
                progress=progress,
            )

    def numpy(self, *tensors: torch.Tensor) -> tuple[np.ndarray, ...]:
        """Tensors as float32 arrays on the CPU."""
        return tuple(t.detach().float().cpu().numpy() for t in tensors)
