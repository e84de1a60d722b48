"""LocoTrack (Cho et al., 2024), by its authors' torch code."""

from __future__ import annotations

from typing import Any, Unpack

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.learned import Pathlike, Settings
from seurat_tracks.trackers.official import (
    Source,
    fill,
    find_weights,
    official_module,
    read_state,
)
from seurat_tracks.trackers.tapir import TAPIR

_REPOSITORY = "https://github.com/cvlab-kaist/locotrack"
_STORE = (
    "https://huggingface.co/datasets/hamacojr/LocoTrack-pytorch-weights/resolve/main"
)
_SIZES = ("small", "base")


def locotrack_source(model_size: str) -> Source:
    """Where LocoTrack comes from; its weights are one file for each size."""
    return Source(
        title=f"LocoTrack ({model_size})",
        repository=_REPOSITORY,
        licence="Apache-2.0",
        licence_url=f"{_REPOSITORY}/blob/main/LICENSE",
        terms="they may be used and passed on with that licence.",
        modules=("models",),
        folder="locotrack_pytorch",
        weights_url=f"{_STORE}/locotrack_{model_size}.ckpt",
    )


class LocoTrack(TAPIR):
    """LocoTrack, run by its authors' code in `locotrack_pytorch`.

    Parameters
    ----------
    weights
        Path of `locotrack_base.ckpt` (or `locotrack_small.ckpt`), or "official" to
        have it downloaded.
    repo
        Folder of a clone of github.com/cvlab-kaist/locotrack; it cannot be installed.
    model_size
        "base" or "small".
    resolution, **settings
        As in `seurat_tracks.trackers.tapir.TAPIR`, and so is what is raised.

    Notes
    -----
    As in `TAPIR`; the two share their conventions and their rule for visibility.
    """

    name = "locotrack"

    def __init__(
        self,
        weights: Pathlike = None,
        repo: Pathlike = None,
        *,
        model_size: str = "base",
        resolution: int = 256,
        **settings: Unpack[Settings],
    ) -> None:
        if model_size not in _SIZES:
            raise TrackerError(
                f"model_size must be {' or '.join(_SIZES)}, got {model_size!r}."
            )
        self.model_size = model_size
        self.source = locotrack_source(model_size)
        super().__init__(weights, repo, resolution=resolution, **settings)

    def load(
        self,
        weights: Pathlike,
        repo: Pathlike,
    ) -> Any:
        """Build the official network and fill it."""
        import torch

        path = find_weights(self.source, weights)
        if repo is None:
            raise TrackerError(
                f"LocoTrack cannot be installed: git clone {_REPOSITORY}, then give "
                "the folder of the clone as repo=."
            )
        self.module = official_module(self.source, "models.locotrack_model", repo)
        with torch.random.fork_rng(devices=[]):
            network = self.module.LocoTrack(model_size=self.model_size)
        state = read_state(path, self.source)
        fill(network, state, path, self.source, prefix="model.")
        return network

    def answer(self, video: Any, points: Any, grids: Any) -> dict[str, Any]:
        """Run the official network on features that are there already."""
        out: dict[str, Any] = self.network(video, points, feature_grids=grids)
        return out
