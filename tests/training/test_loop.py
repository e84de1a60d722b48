from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import Prediction
from seurat_tracks.model.pretrained import load_model
from seurat_tracks.training import loop
from seurat_tracks.training.config import TrainConfig, TrainingError
from seurat_tracks.training.data import Batch, scene_batch
from seurat_tracks.training.export import average_weights, export_weights
from seurat_tracks.training.loop import learning_rate, train
from seurat_tracks.training.loss import prediction_loss, targets

TINY = ModelConfig(width=32, heads=2, layers=1, pair_width=8, motions=1, iterations=1)
RUN = TrainConfig(
    model=TINY,
    steps=12,
    tracks=200,
    warmup=2,
    bfloat16=False,
    log_every=3,
    validate_every=4,
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"drive": scene_batch(replace(RUN, seed=77), 0, CPU)}
    monkeypatch.setattr(loop, "validation_scenes", lambda *a: few)


def weights(path: Path, name: str = "network") -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)[name]


def curve(out: Path, name: str) -> list[list[str]]:
    """Rows of a curve, without the seconds."""
    rows = [line.split(",") for line in (out / f"{name}.csv").read_text().split()]
    seconds = rows[0].index("seconds") if "seconds" in rows[0] else len(rows[0])
    return [row[:seconds] + row[seconds + 1 :] for row in rows]


def assert_same_run(a: Path, b: Path) -> None:
    for name in ("network", "average"):
        one, two = (weights(x / "checkpoint.pt", name) for x in (a, b))
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=0, atol=0)
    for name in ("loss", "validation"):
        assert curve(a, name) == curve(b, name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    with pytest.MonkeyPatch.context() as patch:
        few = {"drive": scene_batch(replace(RUN, seed=77), 0, CPU)}
        patch.setattr(loop, "validation_scenes", lambda *a: few)
        return train(RUN, tmp_path_factory.mktemp("whole"), device="cpu").parent


@pytest.mark.parametrize(("dies_at", "save_every"), [(2, 0.0), (7, 0.0), (11, 1e9)])
def test_a_killed_run_resumes_as_if_unbroken(
    tmp_path: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies_at: int,
    save_every: float,
) -> None:
    def killed(config: TrainConfig, step: int, device: torch.device) -> Batch:
        if step == dies_at:
            raise KeyboardInterrupt
        return scene_batch(config, step, device)

    monkeypatch.setattr(loop, "scene_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(RUN, tmp_path, device="cpu", save_every=save_every)
    monkeypatch.setattr(loop, "scene_batch", scene_batch)
    train(RUN, tmp_path, device="cpu")
    assert_same_run(whole, tmp_path)


def test_rows_after_the_last_checkpoint_are_written_once(
    tmp_path: Path, whole: Path
) -> None:
    """A run killed long after its checkpoint left rows that will be written again."""
    train(RUN, tmp_path, device="cpu", minutes=0)  # a checkpoint of step 0
    for name in ("loss", "validation"):
        shutil.copy(whole / f"{name}.csv", tmp_path)
    with (tmp_path / "loss.csv").open("a") as file:
        file.write("15,0.1")  # and the last one in part
    train(RUN, tmp_path, device="cpu")
    assert_same_run(whole, tmp_path)


SCRIPT = """
import sys
from pathlib import Path
import torch
from seurat_tracks.training import loop
from seurat_tracks.training.loop import train
from tests.training.test_loop import CPU, RUN, scene_batch, replace
few = {"drive": scene_batch(replace(RUN, seed=77), 0, CPU)}
loop.validation_scenes = lambda *a: few
print("ready", flush=True)
train(RUN, Path(sys.argv[1]), device="cpu", save_every=0.0)
"""


@pytest.mark.slow
def test_sigkill_at_any_moment(tmp_path: Path, whole: Path) -> None:
    """Killed again and again, at moments nobody chose, then left to end."""
    moments = random.Random(time.time())
    for _ in range(3):
        with _run_in_process(tmp_path) as process:
            time.sleep(moments.uniform(0.0, 0.7))
            process.kill()
    with _run_in_process(tmp_path) as process:
        assert process.wait(300) == 0
    assert_same_run(whole, tmp_path)


@contextmanager
def _run_in_process(out: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_time_left_out_of_a_run_goes_on_in_the_next(tmp_path: Path) -> None:
    train(replace(RUN, steps=3), tmp_path, device="cpu")
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["seconds"]
    train(replace(RUN, steps=6), tmp_path, device="cpu", change=True)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["seconds"]
    assert 0 < before < after


def test_other_settings_are_not_mixed_into_a_run(tmp_path: Path) -> None:
    train(replace(RUN, steps=2), tmp_path, device="cpu")
    with pytest.raises(TrainingError, match="steps was 2, now 12"):
        train(RUN, tmp_path, device="cpu")
    other = replace(RUN, steps=2, model=replace(TINY, layers=2))
    with pytest.raises(TrainingError, match="other size"):
        train(other, tmp_path, device="cpu", change=True)


def test_weights_of_another_network_do_not_begin_a_run(tmp_path: Path) -> None:
    first = train(replace(RUN, steps=1), tmp_path / "a", device="cpu")
    other = replace(RUN, model=replace(TINY, layers=2))
    with pytest.raises(TrainingError, match="another network"):
        train(other, tmp_path / "b", device="cpu", start=first)
    assert not (tmp_path / "b").exists()


def test_training_learns() -> None:
    batch = scene_batch(replace(RUN, tracks=400), 0, CPU)
    torch.manual_seed(0)
    network = loop.SeuratNetwork(TINY)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    before = loop.validate(network, {"drive": batch})[0]["drive"]
    for _ in range(40):
        loss = loop.run_batch(network, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    after = loop.validate(network, {"drive": batch})[0]["drive"]
    assert after < 0.8 * before


def test_schedule() -> None:
    config = TrainConfig(steps=1000, warmup=100, decay=0.25)
    rates = [learning_rate(s, config) for s in (0, 49, 99, 500, 749, 875, 999)]
    expected = [0.01, 0.5, 1.0, 1.0, 1.0, 0.5, 0.004]
    assert rates == pytest.approx([1e-3 * e for e in expected])
    paper = replace(config, decay=1.0)
    assert learning_rate(500, paper) == pytest.approx(0.5e-3)


def test_batches_are_functions_of_seed_and_step() -> None:
    a, b, c, d = (
        scene_batch(replace(RUN, seed=seed), step, CPU)
        for seed, step in ((1, 5), (1, 5), (1, 6), (2, 5))
    )
    assert torch.equal(a.xy, b.xy)
    for other in (c, d):
        assert a.xy.shape != other.xy.shape or not torch.equal(a.xy, other.xy)


def test_batches_have_the_size_that_was_asked_for() -> None:
    run = replace(RUN, batch=3, support=20, queries=5, spoil=False)
    batch = scene_batch(run, 0, CPU)
    assert batch.xy.shape == (3, 25, 8, 2)
    assert batch.support == 20
    # exact tracks: nothing hidden, moved or invented
    assert torch.equal(batch.visible, batch.truly_visible)
    sizes = {scene_batch(RUN, step, CPU).support for step in range(12)}
    assert len(sizes) > 6
    assert min(sizes) < 64 < max(sizes)


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

    def plain(ratio: torch.Tensor, scale: float) -> float:
        predicted = [Prediction(ratio, scale * one)]
        return float(prediction_loss(predicted, truth, one, "l1"))

    assert value(truth, -3.0) < value(truth + 0.05, -3.0) < value(truth + 0.1, -3.0)
    # an honest error scale beats one too small or too large
    off = truth + 0.05
    assert value(off, -3.0) < value(off, -7.0)
    # the paper's loss is the mean absolute error, and knows no scale
    assert plain(off, -3.0) == plain(off, -7.0) == pytest.approx(0.05, rel=1e-4)


def test_exported_weights_load(tmp_path: Path) -> None:
    checkpoint = train(replace(RUN, steps=2), tmp_path / "run", device="cpu")
    path = export_weights(checkpoint, tmp_path / "w.safetensors", scores={"a": 1.5})
    model = load_model(path)
    assert model.record["steps"] == 2
    assert model.record["scores"] == {"a": 1.5}
    assert model.config == TINY


def test_a_run_leaves_weights(whole: Path) -> None:
    model = load_model(whole / "weights.safetensors")
    assert model.config == TINY
    assert model.record["recipe"]["tracks"] == RUN.tracks
    for name, value in model.network.state_dict().items():
        kept = weights(whole / "checkpoint.pt", "average")[name]
        torch.testing.assert_close(value, kept, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu(tmp_path: Path) -> None:
    run = replace(RUN, bfloat16=True)
    train(replace(run, steps=6), tmp_path, device="cuda")
    train(run, tmp_path, device="cuda", change=True)
    assert [row[0] for row in curve(tmp_path, "loss")] == ["step", "3", "6", "9", "12"]


def test_a_new_run_begins_from_shipped_weights(tmp_path: Path) -> None:
    first = train(replace(RUN, steps=3), tmp_path / "first", device="cpu")
    path = export_weights(first, tmp_path / "w.safetensors")
    quiet = replace(RUN, steps=1, learning_rate=0.0, weight_decay=0.0)
    again = train(quiet, tmp_path / "again", device="cpu", start=path)
    expected = load_model(path).network.state_dict()
    for name, value in weights(again).items():
        torch.testing.assert_close(value, expected[name])


def test_weights_are_averaged(tmp_path: Path) -> None:
    files = []
    for steps in (2, 4):
        checkpoint = train(
            replace(RUN, steps=steps), tmp_path / f"run{steps}", device="cpu"
        )
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


def test_a_network_without_rigid_motions_begins_one_with_them(tmp_path: Path) -> None:
    plain = replace(RUN, model=replace(TINY, motions=0), steps=1)
    first = train(plain, tmp_path / "a", device="cpu")
    later = replace(RUN, steps=1, learning_rate=1e-9)
    second = train(later, tmp_path / "b", device="cpu", start=first)
    old, new = weights(first, "average"), weights(second, "average")
    assert set(old) < set(new)
    assert all("rigid" in name or "blend" in name for name in set(new) - set(old))
    for name, value in old.items():
        torch.testing.assert_close(new[name], value)


def test_what_was_learned_of_steps_is_stretched_over_longer_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(replace(RUN, steps=1), tmp_path / "a", device="cpu")
    wide = replace(RUN, model=replace(TINY, window=15), steps=1, learning_rate=1e-9)
    few = {"drive": scene_batch(wide, 0, CPU)}
    monkeypatch.setattr(loop, "validation_scenes", lambda *a: few)
    second = train(wide, tmp_path / "b", device="cpu", start=first)
    old, new = weights(first, "average"), weights(second, "average")
    for name, value in old.items():
        if name.endswith("branch.time"):
            torch.testing.assert_close(new[name][::2], value)
            between = (value[1:] + value[:-1]) / 2
            torch.testing.assert_close(new[name][1::2], between)
        else:
            torch.testing.assert_close(new[name], value)


def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "theirs.pt")
    with pytest.raises(TrainingError, match="no checkpoint of seurat-tracks"):
        train(RUN, tmp_path / "a", device="cpu", start=tmp_path / "theirs.pt")
    with pytest.raises(TrainingError, match="minutes=-1"):
        train(RUN, tmp_path / "a", device="cpu", minutes=-1)
