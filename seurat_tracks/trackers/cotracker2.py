"""CoTracker2, the tracker that the paper's CoTracker rows name."""

from __future__ import annotations

from typing import ClassVar

from seurat_tracks.trackers.cotracker import OfflineCoTracker, cotracker_source


class CoTracker2(OfflineCoTracker):
    """CoTracker2 with windows of 8 frames, run by the official package `cotracker`.

    Parameters
    ----------
    weights
        Path of `cotracker2.pth`, or "official" to have it downloaded.
    repo, interp_shape, **settings
        As in `seurat_tracks.trackers.cotracker.CoTracker`.

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
