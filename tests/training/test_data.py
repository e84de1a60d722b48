from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from seurat_tracks.scenes.generate import MOTIONS, SceneBatch, make_scenes
from seurat_tracks.training import data
from seurat_tracks.training.config import TrainConfig
from seurat_tracks.training.data import batch_size, scene_batch, validation_scenes
from tests.scenes.test_mocap import save

CPU = torch.device("cpu")


def drawn(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> SceneBatch:
    """What a training step's batch is drawn from."""
    found: list[SceneBatch] = []

    def spy(*args: object) -> SceneBatch:
        found.append(make_scenes(*args))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(data, "make_scenes", spy)
    scene_batch(config, 0, CPU)
    return found[0]


def test_batches_of_joints_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = drawn(TrainConfig(joints=1.0, tracks=900), monkeypatch)
    assert (scenes.motion == MOTIONS.index("figure")).all()
    assert 8 <= scenes.support <= 41
    assert drawn(TrainConfig(joints=0.0), monkeypatch).motion.unique().numel() > 1


def test_figures_replay_the_clips_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = str(save(tmp_path / "clips.npz"))
    scenes = drawn(TrainConfig(joints=1.0, clips=clips, tracks=900), monkeypatch)
    replayed = scenes.motion == MOTIONS.index("mocap")
    assert replayed.any()
    assert not replayed.all()


def test_support_is_no_larger_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(joints=0.0, tracks=200, most_support=20)
    sizes = {batch_size(config, random.Random(i)).support for i in range(200)}
    assert max(sizes) <= 20
    assert min(sizes) < 12


def test_held_out_scenes_have_joints_of_their_own() -> None:
    batches = validation_scenes(1, CPU, 8, 16)
    assert batches["joints"].xy.shape == (1, 48, 8, 2)
    assert batches["walk"].xy.shape == (1, 80, 8, 2)
