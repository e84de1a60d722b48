"""Adapters of CoTracker against the official predictors: same weights, same points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seurat_tracks.io.video import open_video
from seurat_tracks.trackers.cotracker import CoTracker
from seurat_tracks.trackers.cotracker2 import CoTracker2
from seurat_tracks.trackers.cotracker3 import CoTracker3
from seurat_tracks.trackers.cotracker3_online import CoTracker3Online
from seurat_tracks.trackers.queries import Queries
from seurat_tracks.windows import plan_windows
from tests.trackers.official import (
    checkout,
    clip_of,
    moving,
    official,
    one_thread,
    some_queries,
)

SHAPE = (128, 160)
SIZE = (200, 120)  # another shape than the network's, so that scales show
FRAMES = 12


def both(kind: type[CoTracker], tmp_path: Path, **settings: Any) -> tuple[Any, Any]:
    """The official predictor, and the adapter with the same weights from a file."""
    repo = checkout("SEURAT_COTRACKER_REPO", "github.com/facebookresearch/co-tracker")
    module = official(kind.source, "cotracker.predictor", repo)
    torch.manual_seed(4)
    predictor = getattr(module, kind.predictor_class)(
        checkpoint=None, **kind.predictor_settings
    )
    # The heads' first values are so small that nothing would move, and all would hide.
    # CoTracker2 with larger ones is chaotic: 1e-5 px in a query become 2 px.
    with torch.no_grad():
        former = predictor.model.updateformer
        if hasattr(former, "vis_conf_head"):
            former.flow_head.weight.normal_(0, 0.005)
            online = kind is CoTracker3Online  # two windows add up, and two heads count
            former.vis_conf_head.weight.normal_(0, 0.006 if online else 0.02)
            former.vis_conf_head.bias.fill_(0.45 if online else 0.35)
        else:
            former.flow_head.weight.normal_(0, 0.0001)
            predictor.model.vis_predictor[0].bias.fill_(2.2)
    path = tmp_path / "weights.pth"
    torch.save(predictor.model.state_dict(), path)
    predictor.interp_shape = SHAPE
    predictor.model.model_resolution = SHAPE
    adapter = kind(path, repo, device="cpu", interp_shape=SHAPE, **settings)  # type: ignore[call-arg]
    return predictor, adapter


def compare(
    name: str, got: Any, tracks: np.ndarray, visible: np.ndarray, wanted: np.ndarray
) -> None:
    """`tracks` (time, point, 2), `visible` (time, point) where `wanted`."""
    difference = np.abs(got.xy - tracks.swapaxes(0, 1))[wanted].max()
    print(f"{name}: largest difference {difference:.2e} px")  # noqa: T201
    assert difference < 1e-5 * max(SIZE)
    assert (got.visible[wanted] == visible.T[wanted]).all()
    assert 0 < visible.mean() < 1
    assert np.abs(np.diff(tracks, axis=0)).max() > 0.2  # something moved


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CoTracker3, CoTracker2])
def test_offline_predictors_give_the_same_tracks(
    kind: type[CoTracker], tmp_path: Path
) -> None:
    with one_thread():
        predictor, adapter = both(kind, tmp_path)
        frames = moving(FRAMES, SIZE)
        frame, xy = some_queries(7, FRAMES, SIZE)
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        assert adapter.memo.computed == FRAMES  # once each, for both directions
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()
        queries = torch.from_numpy(np.column_stack([frame, xy])).float()[None]
        tracks, visible = predictor(video, queries=queries, backward_tracking=True)
    all_of_it = np.ones((7, FRAMES), bool)
    compare(kind.name, got, tracks[0].numpy(), visible[0].numpy(), all_of_it)


@pytest.mark.slow
def test_the_online_predictor_gives_the_same_tracks(tmp_path: Path) -> None:
    n_frames = 20
    with one_thread():
        predictor, adapter = both(CoTracker3Online, tmp_path)
        frames = moving(n_frames, SIZE)
        frame, xy = some_queries(6, n_frames, SIZE)
        frame[1] = 11
        got = adapter.follow(clip_of(adapter, frames), frame, xy, backward=True)
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()

        def walk(video: Any, frame: np.ndarray) -> Any:
            table = torch.from_numpy(np.column_stack([frame, xy])).float()[None]
            predictor(video, is_first_step=True, queries=table, add_support_grid=True)
            for begin in range(0, video.shape[1] - predictor.step, predictor.step):
                chunk = video[:, begin : begin + 2 * predictor.step]
                answer = predictor(chunk, add_support_grid=True)
            return answer

        tracks, visible = walk(video, frame)
        last = int(frame.max())
        back, back_visible = walk(video[:, : last + 1].flip(1), last - frame)
    after = np.arange(n_frames) >= frame[:, None]
    compare("cotracker3_online", got, tracks[0].numpy(), visible[0].numpy(), after)
    part = type(got)(got.xy[:, : last + 1], got.visible[:, : last + 1], got.confidence)
    compare(
        "cotracker3_online, backwards",
        part,
        back[0].flip(0).numpy(),
        back_visible[0].flip(0).numpy(),
        ~after[:, : last + 1],
    )


@pytest.mark.slow
def test_grids_followed_during_the_online_walk_change_nothing(tmp_path: Path) -> None:
    n_frames = 20
    with one_thread():
        _, adapter = both(CoTracker3Online, tmp_path)
        video = open_video(moving(n_frames, SIZE))
        _, xy = some_queries(6, n_frames, SIZE)
        queries = Queries(np.zeros(6, int), xy)
        plan = plan_windows(n_frames, strides=(1,))
        alone = adapter.track(video, queries, None)
        adapter.memo.computed = 0
        with_grids = adapter.track(video, queries, plan, support_grid=3)
    assert adapter.memo.computed == n_frames  # once each, for queries and all grids
    np.testing.assert_array_equal(with_grids.xy, alone.xy)
    np.testing.assert_array_equal(with_grids.visible, alone.visible)
    assert with_grids.support_visible is not None
    assert with_grids.support_visible[:, :, 0].all()
