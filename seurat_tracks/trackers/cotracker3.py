"""CoTracker3, offline: all frames of a piece at once, forwards and backwards."""

from __future__ import annotations

import os
from typing import ClassVar

from seurat_tracks.trackers.cotracker import OfflineCoTracker, cotracker_source


class CoTracker3(OfflineCoTracker):
    """CoTracker3 offline, run by the official package `cotracker`.

    Parameters
    ----------
    weights
        Path of `scaled_offline.pth`, or "official" to have it downloaded.
    repo
        Folder of a clone of github.com/facebookresearch/co-tracker; None where the
        package `cotracker` is installed.
    device
        "auto" (CUDA, then MPS, then the CPU) or a torch device, used or refused.
    interp_shape
        Height and width that frames are resized to; the official (384, 512) by
        default. Smaller is faster and less exact.
    piece
        Most frames looked at together.
    overlap
        Frames that two pieces share.
    points
        Most points followed together; more are followed in further passes over the
        same features. Memory grows with `piece` times `points`.

    Raises
    ------
    TrackerError
        The code is not there, or a setting makes no sense.
    WeightsError
        The weights or the device are not there, or the weights do not fit.

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
