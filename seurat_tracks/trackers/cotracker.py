"""What the versions of CoTracker have in common (Karaev et al., 2023 and 2024).

Facts read in the official code (github.com/facebookresearch/co-tracker, 82e02e8):
pixel centres lie at integers; frames are resized with corners aligned, so that
positions scale with (width - 1); queries are frame, x, y; a grid of 6 x 6 points is
followed along with the queries and dropped.
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

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

_REPOSITORY = "https://github.com/facebookresearch/co-tracker"


def cotracker_source(title: str, weights_url: str) -> Source:
    """Where a version of CoTracker comes from."""
    return Source(
        title=title,
        repository=_REPOSITORY,
        licence="CC-BY-NC-4.0",
        licence_url=f"{_REPOSITORY}/blob/main/LICENSE.md",
        terms="they may not be used for commercial purposes.",
        modules=("cotracker",),
        weights_url=weights_url,
    )


class CoTracker(LearnedTracker):
    """Runs a predictor of the official package; a subclass says which.

    Parameters
    ----------
    weights
        Path of the file of weights that the subclass names, or "official" to have it
        downloaded.
    repo
        Folder of a clone of github.com/facebookresearch/co-tracker; None where the
        package `cotracker` is installed.
    interp_shape
        Height and width that frames are resized to; the official (384, 512) by
        default. Smaller is faster and less exact.
    **settings
        `device`, `piece`, `overlap`, `points`: as in `LearnedTracker`, and so is what
        is raised.

    Attributes
    ----------
    source : Source
        Where code and weights come from.
    predictor_class : str
        Name in `cotracker.predictor`.
    predictor_settings : dict
        What it is made with.
    least : int
        Fewest frames it takes; shorter clips are filled up with their last frame.
    """

    licence = "CC-BY-NC-4.0"
    source: Source
    predictor_class: str
    predictor_settings: ClassVar[dict[str, Any]]
    least: int

    def __init__(
        self,
        weights: Pathlike = None,
        repo: Pathlike = None,
        *,
        interp_shape: tuple[int, int] | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(**settings)
        import torch

        path = find_weights(self.source, weights)
        module = official_module(self.source, "cotracker.predictor", repo)
        make = getattr(module, self.predictor_class)
        with torch.random.fork_rng(devices=[]):
            predictor = make(checkpoint=None, **self.predictor_settings)
        fill(predictor.model, read_state(path, self.source), path, self.source)
        self.use(predictor, interp_shape)

    def use(self, predictor: Any, interp_shape: tuple[int, int] | None) -> None:
        """Take a predictor of the official class and watch its answers."""
        if interp_shape is not None:
            height, width = interp_shape
            if min(height, width) < 32 or height % 4 or width % 4:
                raise TrackerError(
                    f"interp_shape must be (height, width), multiples of 4 from 32, "
                    f"got {interp_shape}."
                )
            predictor.interp_shape = (height, width)
            predictor.model.model_resolution = (height, width)
        self.predictor = predictor.to(self.device)
        self.interp_shape: tuple[int, int] = tuple(predictor.interp_shape)
        model = predictor.model
        self.memo = FeatureMemo(model.fnet, (self.piece or 32) + 16)
        model.fnet = self.memo
        self._sure: list[Any] = []
        self.watch(model)

    def watch(self, model: Any) -> None:
        """Keep how sure a model is, which its predictor turns into seen or not."""
        forward = type(model).forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            answer = forward(model, *args, **kwargs)
            sure = answer[1] * answer[2] if len(answer) > 3 else answer[1].clone()
            self._sure.append(sure)
            return answer

        model.forward = watched

    def keep(self, plan: WindowPlan | None) -> int:
        """Frames worth keeping; the features of as many are kept too."""
        kept = super().keep(plan)
        self.memo.capacity = kept
        self.memo.forget()
        return kept

    def encode(self, frames: np.ndarray) -> list[Any]:
        """Frames at the network's size, corners aligned; float32 (3, y, x), 0..255."""
        import torch
        from torch.nn.functional import interpolate

        tensor = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float()
        small = interpolate(
            tensor, self.interp_shape, mode="bilinear", align_corners=True
        )
        return list(small)

    def queries(self, clip: Clip, frame: np.ndarray, xy: np.ndarray) -> Any:
        """Points as the predictor takes them, (1, point, 3): frame, x, y."""
        import torch

        table = np.column_stack([frame, xy * self.scale(clip)]).astype(np.float32)
        return torch.from_numpy(table)[None].to(self.device)

    def scale(self, clip: Clip) -> np.ndarray:
        """From pixels of the video to pixels of the network: x and y."""
        height, width = self.interp_shape
        inside = np.array([width - 1, height - 1])
        return inside / np.maximum(np.array(clip.size) - 1, 1)


class OfflineCoTracker(CoTracker):
    """A predictor that sees the whole clip at once, or slides over it."""

    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        """Call the official predictor; see `LearnedTracker.follow`."""
        import torch

        video = torch.stack(clip.all(self.least))[None]
        queries = self.queries(clip, frame, xy)
        self._sure.clear()
        tracks, visible = self.predictor(
            video, queries=queries, backward_tracking=backward
        )
        n, length = len(frame), len(clip)
        sure = self._sure[0][0, :, :n]
        if backward:
            early = torch.arange(len(sure), device=sure.device)[:, None]
            early = early < queries[0, None, :, 0]
            sure = torch.where(early, self._sure[1][0, :, :n].flip(0), sure)
        where, how_sure = self.numpy(tracks[0], sure)
        return Followed(
            (where / self.scale(clip))[:length].swapaxes(0, 1),
            visible[0, :length].cpu().numpy().T,
            np.clip(how_sure[:length].T, 0, 1),
        )
