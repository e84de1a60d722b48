"""CoTracker2, the tracker that the paper's CoTracker rows name."""

from __future__ import annotations

import os
from typing import ClassVar

from seurat_tracks.trackers.cotracker import OfflineCoTracker, cotracker_source


class CoTracker2(OfflineCoTracker):
    """CoTracker2 with windows of 8 frames, run by the official package `cotracker`.

    Parameters
    ----------
    weights
        Path of `cotracker2.pth`, or "official" to have it downloaded.
    repo, device, interp_shape, piece, overlap, points
        As in `seurat_tracks.trackers.cotracker3.CoTracker3`.

    Raises
    ------
    TrackerError, WeightsError
        As there.

    Notes
    -----
    The network slides over a piece in windows of 8 frames by steps of 4, so that its
    memory grows with `points` and little with `piece`. Clips shorter than a window
    are filled up with their last frame: the official predictor gives no answer for 4
    frames or fewer. Official visibility is above 0.9.
    """

    name = "cotracker2"
    source = cotracker_source(
        "CoTracker2",
        "https://huggingface.co/facebook/cotracker/resolve/main/cotracker2.pth",
    )
    predictor_class = "CoTrackerPredictor"
    predictor_settings: ClassVar = {"v2": True, "window_len": 8}
    least = 8

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        repo: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        interp_shape: tuple[int, int] | None = None,
        piece: int = 60,
        overlap: int = 12,
        points: int = 1024,
    ) -> None:
        super().__init__(
            weights,
            repo,
            device=device,
            interp_shape=interp_shape,
            piece=piece,
            overlap=overlap,
            points=points,
        )
