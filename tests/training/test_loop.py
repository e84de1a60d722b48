from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seurat_tracks.model.config import PRESETS, ModelConfig
from seurat_tracks.model.network import Prediction
from seurat_tracks.model.pretrained import load_model
from seurat_tracks.training import loop
from seurat_tracks.training.data import training_batch
from seurat_tracks.training.export import average_weights, export_weights
from seurat_tracks.training.loop import TrainConfig, learning_rate, train
from seurat_tracks.training.loss import prediction_loss, targets

TINY = ModelConfig(width=32, heads=2, layers=1, pair_width=8, iterations=1)
RUN = TrainConfig(preset="tiny", steps=6, tracks=200, warmup=2, bfloat16=False)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    few = {"drive": training_batch(77, 0, 150, torch.device("cpu"))}
    monkeypatch.setattr(loop, "validation_batches", lambda *a: few)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["network"]


def test_a_killed_run_resumes_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(RUN, tmp_path / "whole")

    real, calls = loop.training_batch, 0

    def killed(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "training_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(RUN, tmp_path / "broken", save_every=0.0)
    monkeypatch.setattr(loop, "training_batch", real)
    broken = train(RUN, tmp_path / "broken")
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(broken)[name], value, rtol=0, atol=0)


def test_training_learns() -> None:
    batch = training_batch(0, 0, 400, torch.device("cpu"))
    torch.manual_seed(0)
    network = loop.SeuratNetwork(TINY)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    before = loop.validate(network, {"drive": batch})["drive"]
    for _ in range(80):
        loss = loop.run_batch(network, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    after = loop.validate(network, {"drive": batch})["drive"]
    assert before == pytest.approx(1.0, abs=1e-4)  # the head starts at "no change"
    assert after < 0.8


def test_schedule() -> None:
    config = TrainConfig(steps=1000, warmup=100, decay=0.25)
    rates = [learning_rate(s, config) for s in (0, 49, 99, 500, 749, 875, 999)]
    expected = [0.01, 0.5, 1.0, 1.0, 1.0, 0.5, 0.004]
    assert rates == pytest.approx([1e-3 * e for e in expected])
    paper = replace(config, decay=1.0)
    assert learning_rate(500, paper) == pytest.approx(0.5e-3)


def test_batches_are_functions_of_seed_and_step() -> None:
    cpu = torch.device("cpu")
    a, b = training_batch(1, 5, 300, cpu), training_batch(1, 5, 300, cpu)
    c = training_batch(1, 6, 300, cpu)
    assert torch.equal(a.xy, b.xy)
    assert a.xy.shape != c.xy.shape or not torch.equal(a.xy, c.xy)


def test_targets_leave_out_what_has_no_ratio() -> None:
    z = torch.tensor([[[2.0, 1.0, -1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]])
    seen = torch.tensor(
        [[[True, True, False], [False, False, False], [True, True, True]]]
    )
    ratio, weight = targets(z, seen)
    assert ratio[0, 0, 1] == pytest.approx(-0.6931, abs=1e-4)
    assert weight[0].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_loss_is_least_at_the_truth() -> None:
    truth = torch.tensor([[[0.0, 0.1, -0.2]]])
    one = torch.ones_like(truth)

    def value(ratio: torch.Tensor, scale: float) -> float:
        return float(prediction_loss([Prediction(ratio, scale * one)], truth, one))

    assert value(truth, -3.0) < value(truth + 0.05, -3.0) < value(truth + 0.1, -3.0)
    # an honest error scale beats one too small or too large
    off = truth + 0.05
    assert value(off, -3.0) < value(off, -7.0)


def test_exported_weights_load(tmp_path: Path) -> None:
    checkpoint = train(replace(RUN, steps=2), tmp_path / "run")
    path = export_weights(checkpoint, tmp_path / "w.safetensors", scores={"a": 1.5})
    model = load_model(path)
    assert model.record["steps"] == 2
    assert model.record["scores"] == {"a": 1.5}
    assert model.config == TINY


def test_a_new_run_begins_from_shipped_weights(tmp_path: Path) -> None:
    first = train(replace(RUN, steps=3), tmp_path / "first")
    path = export_weights(first, tmp_path / "w.safetensors")
    quiet = replace(RUN, steps=1, learning_rate=0.0, weight_decay=0.0)
    again = train(quiet, tmp_path / "again", start=path)
    expected = load_model(path).network.state_dict()
    for name, value in weights(again).items():
        torch.testing.assert_close(value, expected[name])


def test_weights_are_averaged(tmp_path: Path) -> None:
    files = []
    for steps in (2, 4):
        checkpoint = train(replace(RUN, steps=steps), tmp_path / f"run{steps}")
        files.append(export_weights(checkpoint, tmp_path / f"{steps}.safetensors"))
    path = average_weights(files, [0.25, 0.75], tmp_path / "mean.safetensors")
    a, b, mean = (load_model(f).network.state_dict() for f in (*files, path))
    for name, value in mean.items():
        torch.testing.assert_close(
            value, 0.25 * a[name] + 0.75 * b[name], atol=1e-3, rtol=1e-3
        )
    record = load_model(path).record
    assert record["steps"] == 4
    assert [p["share"] for p in record["averaged_from"]] == [0.25, 0.75]
    with pytest.raises(ValueError, match="sum to 1"):
        average_weights(files, [0.5, 0.6], path)
