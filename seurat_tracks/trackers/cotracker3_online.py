"""CoTracker3, online: a window of 16 frames slides over a shot of any length."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from seurat_tracks.trackers.clips import Clip
from seurat_tracks.trackers.cotracker import CoTracker, cotracker_source
from seurat_tracks.trackers.learned import Followed
from seurat_tracks.windows import WindowPlan


class CoTracker3Online(CoTracker):
    """CoTracker3 online, run by the official package `cotracker`.

    Parameters
    ----------
    weights
        Path of `scaled_online.pth`, or "official" to have it downloaded.
    repo, interp_shape, **settings
        As in `seurat_tracks.trackers.cotracker.CoTracker`.
        By default the window slides over the whole shot and nothing is handed on;
        memory holds one window and the answers. `piece=` cuts shots as the offline
        trackers do.

    Notes
    -----
    The official predictor looks forwards only; frames before a query are followed on
    the reversed shot. The 6 x 6 extra points of the offline predictor are followed
    along here too (`add_support_grid`). Visibility times confidence above 0.6 counts
    as visible, as there.
    """

    name = "cotracker3_online"
    source = cotracker_source(
        "CoTracker3 (online)",
        "https://huggingface.co/facebook/cotracker3/resolve/main/scaled_online.pth",
    )
    predictor_class = "CoTrackerOnlinePredictor"
    predictor_settings: ClassVar = {"v2": False, "window_len": 16}
    least = 2
    usual_piece = None

    def keep(self, plan: WindowPlan | None) -> int:
        """Frames worth keeping: those of grids, and the window ahead of them."""
        kept = super().keep(plan) + 2 * self.predictor.step
        self.memo.capacity = kept
        return kept

    def walker(self) -> Any:
        """Make a predictor with the same weights and a walk of its own.

        The official one holds one walk at a time; grids are followed while the walk
        of the queries goes on, so that features are worked out once for both.
        """
        predictor = _twin(self.predictor)
        predictor.model = _twin(self.predictor.model)
        self.watch(predictor.model)
        return predictor

    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        """Slide the official predictor over the clip, and over the reversed clip."""
        length = len(clip)
        answer = self._slide(clip, range(length), frame, xy)
        last = int(frame.max())
        if backward and last > 0:
            back = self._slide(clip, range(last, -1, -1), last - frame, xy)
            early = np.arange(last + 1) < frame[:, None]
            for ahead, behind in zip(answer, back, strict=True):
                reverse, part = behind[:, ::-1], ahead[:, : last + 1]
                part[early] = reverse[early]
        return Followed(*answer)

    def _slide(
        self, clip: Clip, order: range, frame: np.ndarray, xy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        n, length, predictor = len(frame), len(order), self.walker()
        step = predictor.step
        queries = self.queries(clip, frame, xy)

        def chunk(begin: int) -> Any:
            some = order[begin : begin + 2 * step]
            return torch.stack([clip[i] for i in some])[None]

        predictor(
            video_chunk=chunk(0),
            is_first_step=True,
            queries=queries,
            add_support_grid=True,
        )
        for begin in range(0, max(length - step, 1), step):
            self._sure.clear()
            tracks, visible = predictor(video_chunk=chunk(begin), add_support_grid=True)
            seen = self._sure[-1][0, :, :n]
            if order.step > 0:
                clip.reached(min(begin + 2 * step, length))
        where, sure = self.numpy(tracks[0], seen)
        return (
            (where / self.scale(clip)).swapaxes(0, 1).astype(np.float32),
            visible[0].cpu().numpy().T.copy(),
            np.clip(sure.T, 0, 1),
        )


def _twin(module: Any) -> Any:
    """Make a module that shares all weights and parts, but keeps its own state."""
    twin = object.__new__(type(module))
    twin.__dict__ = {**vars(module), "_modules": dict(vars(module)["_modules"])}
    return twin
