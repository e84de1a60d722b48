"""TAPNext and TAPNext++ (Zholus et al., 2025), by the package `tapnet`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np

from seurat_tracks.errors import WeightsError
from seurat_tracks.trackers.clips import Clip
from seurat_tracks.trackers.learned import (
    Followed,
    LearnedTracker,
    Pathlike,
    Settings,
)
from seurat_tracks.trackers.official import (
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
from seurat_tracks.trackers.tapir import tapnet_source

_SIDE = 256  # positions are in this raster at every resolution


class TAPNext(LearnedTracker):
    """TAPNext, run frame by frame by the official torch code `tapnet.tapnext`.

    Parameters
    ----------
    weights
        Path of `bootstapnext_ckpt.npz` or `tapnext_ckpt.npz` (JAX, converted by the
        official code), of `tapnextpp_ckpt.pt` or `tapnextpp_512.ckpt` (TAPNext++,
        torch); or "official" to have the first downloaded.
    repo
        Folder of a clone of github.com/google-deepmind/tapnet; None where the package
        `tapnet` is installed.
    resolution
        Side of the square that frames are resized to: 256, or 512 for weights that
        were trained so (`tapnextpp_512.ckpt`).
    **settings
        `device`, `piece`, `overlap`, `points`: as in `LearnedTracker`, and so is what
        is raised. By default the network's state is carried through the whole shot and
        nothing is handed on; `piece=` cuts shots as for the other trackers.

    Notes
    -----
    The network looks forwards only; frames before a query are followed on the
    reversed shot, as its authors do. Points followed together attend to each other. A
    point counts as visible where its logit is above 0, the official rule;
    `confidence` is its sigmoid.
    """

    name = "tapnext"
    usual_piece = None
    licence = "Apache-2.0"
    source = tapnet_source(
        "TAPNext",
        "https://storage.googleapis.com/dm-tapnet/tapnext/bootstapnext_ckpt.npz",
    )

    def __init__(
        self,
        weights: Pathlike = None,
        repo: Pathlike = None,
        *,
        resolution: int = _SIDE,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(**settings)
        self.resolution = check_resolution(resolution, self.name)
        path = find_weights(self.source, weights)
        self.network = self._load(path, repo).to(self.device)

    def _load(self, path: Path, repo: Pathlike) -> Any:
        import torch

        module = official_module(self.source, "tapnet.tapnext.tapnext_torch", repo)
        with torch.random.fork_rng(devices=[]):
            network = module.TAPNext(image_size=(_SIDE, _SIDE))
        if path.suffix != ".npz":
            state = read_state(path, self.source)
            fill(network, state, path, self.source, prefix="tapnext.")
            return network
        helper = official_module(
            self.source, "tapnet.tapnext.tapnext_torch_utils", repo
        )
        try:
            helper.restore_model_from_jax_checkpoint(network, str(path))
        except Exception as error:
            raise WeightsError(
                f"{path} holds no weights of TAPNext ({type(error).__name__}: "
                f"{error}). The fitting file is {self.source.weights_url}."
            ) from error
        network.eval()
        network.requires_grad_(False)
        return network

    def encode(self, frames: np.ndarray) -> list[Any]:
        """Frames at the network's size; float32 (side, side, rgb), -1..1."""
        return list(square(frames, self.resolution, self.device))

    def follow(
        self, clip: Clip, frame: np.ndarray, xy: np.ndarray, *, backward: bool
    ) -> Followed:
        """Walk forwards, and where wanted over the reversed clip."""
        answer = self._walk(clip, range(len(clip)), frame, xy)
        last = int(frame.max())
        if backward and last > 0:
            back = self._walk(clip, range(last, -1, -1), last - frame, xy)
            early = np.arange(last + 1) < frame[:, None]
            for ahead, behind in zip(answer, back, strict=True):
                part, reverse = ahead[:, : last + 1], behind[:, ::-1]
                part[early] = reverse[early]
        where, sure = answer
        return Followed(where, sure > 0.5, sure)

    def _walk(
        self, clip: Clip, order: range, frame: np.ndarray, xy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions (point, time, 2) and visibility 0..1 (point, time)."""
        import torch

        yx = to_raster(xy, clip.size, _SIDE)[:, ::-1]
        table = np.column_stack([frame, yx]).astype(np.float32)
        points = torch.from_numpy(table)[None].to(self.device)
        state, where, sure = None, [], []
        for position in order:
            given = {"query_points": points} if state is None else {"state": state}
            tracks, _, logits, state = self.network(
                video=clip[position][None, None], **given
            )
            at, seen = self.numpy(tracks[0, 0], torch.sigmoid(logits[0, 0, :, 0]))
            where.append(from_raster(at[:, ::-1], clip.size, _SIDE))
            sure.append(seen)
        return np.stack(where, 1).astype(np.float32), np.stack(sure, 1)
