"""AllTracker (Harley et al., 2025), by its authors' code: all pixels of one frame."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers.clips import Clip
from seurat_tracks.trackers.learned import (
    Followed,
    LearnedTracker,
    Pathlike,
    Settings,
)
from seurat_tracks.trackers.memo import FeatureMemo
from seurat_tracks.trackers.official import (
    Source,
    fill,
    find_weights,
    official_module,
    read_state,
)
from seurat_tracks.windows import WindowPlan

_REPOSITORY = "https://github.com/aharley/alltracker"
_STORE = "https://huggingface.co/aharley/alltracker/resolve/main"
_ITERATIONS = 4
_VISIBLE = 0.6  # of visibility times confidence, as in the official evaluation


def alltracker_source(tiny: bool = False) -> Source:
    """Where AllTracker comes from; the small network has weights of its own."""
    return Source(
        title="AllTracker (tiny)" if tiny else "AllTracker",
        repository=_REPOSITORY,
        licence="MIT",
        licence_url=f"{_REPOSITORY}/blob/main/LICENSE",
        terms="they may be used and passed on with that licence.",
        modules=("nets", "utils"),
        weights_url=f"{_STORE}/alltracker{'_tiny' if tiny else ''}.pth",
    )


class AllTracker(LearnedTracker):
    """AllTracker, run by its authors' code.

    Parameters
    ----------
    weights
        Path of `alltracker.pth` (or, with `tiny`, of `alltracker_tiny.pth`), or
        "official" to have it downloaded.
    repo
        Folder of a clone of github.com/aharley/alltracker; it cannot be installed.
    tiny
        Whether the weights are those of the small network.
    image_size
        Longer side that frames are resized to, up or down; both sides are then cut to
        multiples of 8. The official demonstration takes 1024.
    **settings
        `device`, `piece`, `overlap`, `points`: as in `LearnedTracker`, and so is what
        is raised.

    Notes
    -----
    The network gives the flow of every pixel from one frame to all others, so that
    points queried on the same frame cost no more than one; each further frame with
    queries takes a pass of its own. Features are kept. Flow and visibility are read
    bilinearly at the query (the official evaluation rounds it to a pixel; at whole
    pixels of the resized frame both agree). A point counts as visible where
    visibility times confidence is 0.6 or more; `confidence` is that product.

    The official code moves pictures to a CUDA device wherever it is not training; its
    feature step is therefore called as in training, which changes nothing else.
    """

    name = "alltracker"
    licence = "MIT"
    usual_piece = 48
    usual_points = 1_000_000  # a point more costs next to nothing

    def __init__(
        self,
        weights: Pathlike = None,
        repo: Pathlike = None,
        *,
        tiny: bool = False,
        image_size: int = 1024,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(**settings)
        if image_size < 64:
            raise TrackerError(f"image_size must be 64 or more, got {image_size!r}.")
        self.image_size = image_size
        self.source = alltracker_source(tiny)
        self.use(self._load(weights, repo, tiny))

    def _load(
        self,
        weights: Pathlike,
        repo: Pathlike,
        tiny: bool,
    ) -> Any:
        import torch

        path = find_weights(self.source, weights)
        if repo is None:
            raise TrackerError(
                f"AllTracker cannot be installed: git clone {_REPOSITORY}, then give "
                "the folder of the clone as repo=."
            )
        module = official_module(self.source, "nets.alltracker", repo)
        kind = {"use_basicencoder": True, "no_split": True} if tiny else {}
        with torch.random.fork_rng(devices=[]):
            network = module.Net(16, init_weights=False, **kind)
        fill(network, read_state(path, self.source), path, self.source)
        return network

    def use(self, network: Any) -> None:
        """Take a network and remember the features that it works out."""
        self.network = network.to(self.device)
        features = network.get_fmaps

        def once(images: Any) -> Any:
            return features(images, 1, len(images), None, True)

        self.memo = FeatureMemo(once, self.piece or 48)
        network.get_fmaps = lambda images, *_: self.memo(images)

    def keep(self, plan: WindowPlan | None) -> int:
        """Frames worth keeping; the features of as many are kept too."""
        kept = super().keep(plan)
        self.memo.capacity = kept
        self.memo.forget()
        return kept

    def encode(self, frames: np.ndarray) -> list[Any]:
        """Frames resized as the official demonstration does; uint8 (y, x, rgb)."""
        import cv2

        height, width = frames.shape[1:3]
        scale = min(self.image_size / height, self.image_size / width)
        size = [int(side * scale) // 8 * 8 for side in (width, height)]
        if min(size) < 8:
            raise TrackerError(
                f"frames of {width} x {height} are too narrow for AllTracker at "
                f"image_size={self.image_size}: the shorter side must keep 8 pixels."
            )
        return [cv2.resize(f, size, interpolation=cv2.INTER_LINEAR) for f in frames]

    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        """One pass forwards, and one back, for each frame that has queries."""
        n, length = len(frame), len(clip)
        out = Followed(
            np.full((n, length, 2), np.nan, np.float32),
            np.zeros((n, length), bool),
            np.zeros((n, length), np.float32),
        )
        height, width = clip[0].shape[:2]
        scale = np.array([width, height]) / np.array(clip.size)
        for start in np.unique(frame).tolist():
            mine = np.flatnonzero(frame == start)
            at = (xy[mine] + 0.5) * scale - 0.5  # pixel centres at integers in both
            ways = [range(start, length)]
            if backward and start > 0:
                ways.append(range(start, -1, -1))
            for order in ways:
                flow, seen = self._flow(clip, order, at)
                part = np.ix_(mine, np.array(order))
                where = (at[:, None] + flow + 0.5) / scale - 0.5
                out.xy[part] = where.astype(np.float32)
                out.confidence[part] = seen
        out.visible[:] = out.confidence >= _VISIBLE
        return out

    def _flow(
        self, clip: Clip, order: range, at: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flow (point, time, 2) in resized pixels, and visibility (point, time)."""
        import torch
        from torch.nn.functional import grid_sample

        if len(order) == 1:
            return np.zeros((len(at), 1, 2)), np.ones((len(at), 1))
        pictures = np.stack([clip[i] for i in order])
        video = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        # Two frames take another way through the network; give it a third.
        video = torch.cat([video, *[video[-1:]] * (3 - len(video))])
        flows, sure, _, _ = self.network.forward_sliding(
            video.float().to(self.device)[None], iters=_ITERATIONS, is_training=False
        )
        maps = torch.cat([flows[0], sure[0]], dim=1)[: len(order)]  # (time, 4, y, x)
        size = torch.tensor(maps.shape[:1:-1])
        place = torch.from_numpy(at.astype(np.float32)) * 2 / (size - 1) - 1
        place = place[None, :, None].expand(len(maps), -1, -1, -1)
        read = grid_sample(maps, place, padding_mode="border", align_corners=True)
        (values,) = self.numpy(read[..., 0].permute(2, 0, 1))  # (point, time, 4)
        return values[..., :2], np.clip(values[..., 2] * values[..., 3], 0, 1)
