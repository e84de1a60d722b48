"""TAPIR and BootsTAPIR (Doersch et al., 2023 and 2024), by the package `tapnet`."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import numpy as np

from seurat_tracks.trackers.clips import Clip
from seurat_tracks.trackers.learned import (
    Followed,
    LearnedTracker,
    Pathlike,
    Settings,
)
from seurat_tracks.trackers.official import (
    Source,
    fill,
    find_weights,
    official_module,
    read_state,
)
from seurat_tracks.trackers.raster import (
    check_resolution,
    from_raster,
    square,
    to_raster,
)

_REPOSITORY = "https://github.com/google-deepmind/tapnet"
_STORE = "https://storage.googleapis.com/dm-tapnet"


def tapnet_source(title: str, weights_url: str) -> Source:
    """Where a tracker of the package `tapnet` comes from."""
    return Source(
        title=title,
        repository=_REPOSITORY,
        licence="Apache-2.0",
        licence_url=f"{_REPOSITORY}/blob/main/LICENSE",
        terms="they may be used and passed on with that licence.",
        modules=("tapnet",),
        weights_url=weights_url,
    )


class TAPIR(LearnedTracker):
    """TAPIR, run by the official torch code `tapnet.torch`.

    Parameters
    ----------
    weights
        Path of `tapir_checkpoint_panning.pt`, or "official" to have it downloaded.
    repo
        Folder of a clone of github.com/google-deepmind/tapnet; None where the package
        `tapnet` is installed.
    resolution
        Side of the square that frames are resized to. Above 256 the network refines
        its answer at finer resolutions, as the official code does.
    **settings
        `device`, `piece`, `overlap`, `points`: as in `LearnedTracker`, and so is what
        is raised.

    Notes
    -----
    Features of a frame are worked out once, kept, and used for all points. Points do
    not see each other, so an answer does not depend on which others are asked. Both
    directions come out of one pass. A point counts as visible where (1 - occluded)
    (1 - far off) is above one half, the official rule; `confidence` is that product.
    """

    name = "tapir"
    licence = "Apache-2.0"
    source = tapnet_source("TAPIR", f"{_STORE}/tapir_checkpoint_panning.pt")
    architecture: ClassVar = {"pyramid_level": 0, "extra_convs": False}

    def __init__(
        self,
        weights: Pathlike = None,
        repo: Pathlike = None,
        *,
        resolution: int = 256,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(**settings)
        self.resolution = check_resolution(resolution, self.name)
        self.network = self.load(weights, repo).to(self.device)

    def load(
        self,
        weights: Pathlike,
        repo: Pathlike,
    ) -> Any:
        """Build the official network and fill it."""
        import torch

        path = find_weights(self.source, weights)
        self.module = official_module(self.source, "tapnet.torch.tapir_model", repo)
        with torch.random.fork_rng(devices=[]):
            network = self.module.TAPIR(**self.architecture)
        fill(network, read_state(path, self.source), path, self.source)
        return network

    def encode(self, frames: np.ndarray) -> list[Any]:
        """Features of each frame, at every resolution that the network works at."""
        video = square(frames, self.resolution, self.device)[None]
        grids = self.network.get_feature_grids(video, is_training=False)
        self._resolutions = grids.resolutions
        # Resolutions that are the same share their tensors: keep one of each.
        kinds = [kind for kind in grids._fields if kind != "resolutions"]
        shared = _same(grids.lowres)
        return [
            {
                k: [getattr(grids, k)[i][:, t] for i in sorted(set(shared))]
                for k in kinds
            }
            | {"shared": shared}
            for t in range(len(frames))
        ]

    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        """Follow both ways in one pass; see `LearnedTracker.follow`."""
        import torch

        grids = self.grids(clip.all())
        side = self.resolution
        yx = to_raster(xy, clip.size, side)[:, ::-1]
        table = np.column_stack([frame, yx]).astype(np.float32)
        points = torch.from_numpy(table)[None].to(self.device)
        # The network reads the video's shape alone once it has the features.
        shape = (1, len(clip), side, side, 3)
        video = torch.empty(1, device=self.device).expand(shape)
        out = self.answer(video, points, grids)
        seen = (1 - torch.sigmoid(out["occlusion"][0])) * (
            1 - torch.sigmoid(out["expected_dist"][0])
        )
        where, sure = self.numpy(out["tracks"][0], seen)
        return Followed(
            from_raster(where, clip.size, side).astype(np.float32), sure > 0.5, sure
        )

    def grids(self, items: list[Any]) -> Any:
        """Feature grids of a clip, put together from those of its frames."""
        import torch

        shared = items[0]["shared"]
        order = sorted(set(shared))
        columns = {
            k: [
                torch.stack([item[k][i] for item in items], dim=1)
                for i in range(len(order))
            ]
            for k in items[0]
            if k != "shared"
        }
        spread = {
            k: tuple(v[order.index(s)] for s in shared) for k, v in columns.items()
        }
        return self.module.FeatureGrids(**spread, resolutions=self._resolutions)

    def answer(self, video: Any, points: Any, grids: Any) -> dict[str, Any]:
        """Run the official network on features that are there already."""
        import torch

        network = self.network
        features = network.get_query_features(
            video, is_training=False, query_points=points, feature_grids=grids
        )
        steps = network.estimate_trajectories(
            video.shape[-3:-1], False, grids, features, points, 64
        )
        # The mean over the resolutions of the last refinement at each.
        p = network.num_pips_iter
        return {
            k: torch.stack(steps[k][p::p]).mean(dim=0)
            for k in ("occlusion", "tracks", "expected_dist")
        }


def _same(tensors: Any) -> list[int]:
    """For each tensor the position of the first that is the very same one."""
    return [next(j for j, b in enumerate(tensors) if b is a) for a in tensors]


class BootsTAPIR(TAPIR):
    """BootsTAPIR: TAPIR with five further convolutions, trained on unlabelled videos.

    Parameters
    ----------
    weights
        Path of `bootstapir_checkpoint_v2.pt`, or "official" to have it downloaded.
    repo, device, resolution, piece, overlap, points
        As in `TAPIR`.

    Raises
    ------
    TrackerError, WeightsError
        As there.
    """

    name = "bootstapir"
    source = tapnet_source(
        "BootsTAPIR", f"{_STORE}/bootstap/bootstapir_checkpoint_v2.pt"
    )
    architecture: ClassVar = {"pyramid_level": 1, "extra_convs": True}
