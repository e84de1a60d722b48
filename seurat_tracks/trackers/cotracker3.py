"""CoTracker3, offline: all frames of a piece at once, forwards and backwards."""

from __future__ import annotations

from typing import ClassVar

from seurat_tracks.trackers.cotracker import OfflineCoTracker, cotracker_source


class CoTracker3(OfflineCoTracker):
    """CoTracker3 offline, run by the official package `cotracker`.

    Parameters
    ----------
    weights
        Path of `scaled_offline.pth`, or "official" to have it downloaded.
    repo, interp_shape, **settings
        As in `seurat_tracks.trackers.cotracker.CoTracker`.

    Notes
    -----
    Points followed together attend to each other: an answer depends on which other
    points are asked for in the same pass. Official visibility is above 0.9;
    `confidence` is visibility times confidence of the network.
    """

    name = "cotracker3"
    source = cotracker_source(
        "CoTracker3 (offline)",
        "https://huggingface.co/facebook/cotracker3/resolve/main/scaled_offline.pth",
    )
    predictor_class = "CoTrackerPredictor"
    predictor_settings: ClassVar = {"offline": True, "v2": False, "window_len": 60}
    least = 2
