from __future__ import annotations

import pytest

from seurat_tracks.model.config import PRESETS
from seurat_tracks.training.config import (
    RECIPES,
    TrainConfig,
    TrainingError,
    make_config,
    with_settings,
)


def test_settings_change_the_run_and_the_network() -> None:
    settings = ["steps=200", "layers=2", "spoil=false", "decay=0.5", "loss=l1"]
    config = make_config("ours", "base", settings)
    assert (config.steps, config.decay, config.spoil, config.loss) == (
        200,
        0.5,
        False,
        "l1",
    )
    assert config.model.layers == 2
    assert config.model.width == PRESETS["base"].width
    assert make_config() == TrainConfig()


def test_the_papers_numbers() -> None:
    """Section 4.2 of the paper."""
    paper = RECIPES["paper"]
    assert (paper.steps, paper.batch, paper.warmup) == (100_000, 8, 1_000)
    assert (paper.learning_rate, paper.weight_decay) == (5e-4, 1e-5)
    assert (paper.loss, paper.decay, paper.data) == ("l1", 1.0, "kubric")
    network = paper.model
    assert (network.window, network.layers) == (8, 2)
    assert (network.width, network.heads) == (384, 8)
    assert not network.shared_branches
    assert paper.support == 24 * 24


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("steps", "NAME=VALUE"),
        ("step=5", "no setting 'step'.*steps.*width"),
        ("steps=many", "of type int"),
        ("spoil=maybe", "true or false"),
        ("loss=l2", "one of laplace, l1"),
        ("steps=0", "must be positive"),
        ("heads=5", "multiple of heads=5"),
        ("decay=0", r"in \(0, 1\]"),
        ("heads=0", "heads=0 must be from 1"),
        ("near=0", "need near >= 1"),
        ("learning_rate=nan", "must be finite"),
        ("clip=nan", "must be positive"),
        ("beta2=2", r"in \[0, 1\)"),
    ],
)
def test_wrong_settings_are_refused(setting: str, complaint: str) -> None:
    with pytest.raises(TrainingError, match=complaint):
        with_settings(TrainConfig(), [setting])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"'theirs'.*ours, paper"):
        make_config("theirs")
    with pytest.raises(TrainingError, match=r"'huge'.*base, small"):
        make_config("ours", "huge")
