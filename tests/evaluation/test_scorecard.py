from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from seurat_tracks.evaluation import virtual
from seurat_tracks.evaluation.rows import ROWS
from seurat_tracks.evaluation.score import Score
from seurat_tracks.evaluation.scorecard import BEGIN, END, main, table, write_table
from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import file_hash, save_weights

TINY = ModelConfig(
    width=32, heads=2, layers=1, pair_width=8, shared_branches=True, iterations=1
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_weights(path, SeuratNetwork(TINY).state_dict(), TINY, record={})
    return path


def test_scores_weights_and_baselines_side_by_side(
    made_up_data: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "scores.json"
    words = f"--data {made_up_data} --only joints-2 libmv-01 --model {weights} --fuse "
    words += f"windows chain --method network constant density --json {file}"
    assert main(words.split()) == 0
    *lines, empty, last = capsys.readouterr().out.splitlines()
    assert (empty, last) == ("", f"Weights: tiny `{file_hash(weights)}`")
    assert len(lines) == 2 + 2 * 4
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    scores = json.loads(file.read_text())
    found = scores["joints-2"]["cam2"]
    assert list(found) == ["tiny, windows", "tiny, chain", "constant", "density"]
    assert found["constant"]["relative"] == pytest.approx(1)
    assert found["tiny, windows"]["error"] != found["tiny, chain"]["error"]
    assert found["tiny, windows"]["inside_1"] is not None
    assert found["tiny, chain"]["inside_1"] is None


def test_the_network_hears_of_the_camera_by_one_flag(
    made_up_data: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--data {made_up_data} --only joints-4 --model {weights} --intrinsics"
    assert main(words.split()) == 0
    assert "tiny, windows, camera known" in capsys.readouterr().out


def test_two_files_of_one_name_are_told_apart(
    made_up_data: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = weights.parent / "other" / weights.name
    other.parent.mkdir()
    other.write_bytes(weights.read_bytes())
    words = f"--data {made_up_data} --only joints-4 --model {weights} {other}"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert f"| {weights}, windows |" in out
    assert f"| {other}, windows |" in out


def test_says_what_was_not_scored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(virtual, "DRIVES", 1)
    words = "--only drive kitchen typing --method constant"
    assert main(words.split()) == 0
    captured = capsys.readouterr()
    assert "not scored: kitchen, typing" in captured.err
    assert "`drive`" in captured.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data /nowhere/at/all", "is not a folder"),
        ("--data {tmp} --method constant --only mocap", "not there"),
        ("--model nothing-of-this-name --only drive", "nothing-of-this-name"),
        ("--only everything", "invalid choice"),
    ],
)
def test_faults_are_told_before_any_work(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.format(tmp=tmp_path).split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def _one(relative: float, error: float) -> dict[str, dict[str, Score]]:
    return {"clip": {"mine": Score(relative, error, error / relative, 0.5, 0.9)}}


def test_rows_come_in_order_with_their_bars() -> None:
    lines = table(
        {
            "drive": _one(0.07, 0.02),
            "libmv-01": _one(1.5, 0.0123),
            "mocap": _one(0.51, 0.05),
        }
    ).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == ["libmv-01", "mocap", "drive"]
    assert "**0.0123**" in lines[0]
    assert f"{ROWS['mocap'].bar:g} not met" in lines[1]
    assert f"{ROWS['drive'].bar:g} met" in lines[2]
    assert "**0.070**" in lines[2]


def test_a_page_keeps_what_is_around_its_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Above\n\n{BEGIN}\n\nold\n\n{END}\n\nbelow\n")
    write_table("| new |", page)
    write_table("| newer |", page)
    assert page.read_text() == (f"# Above\n\n{BEGIN}\n\n| newer |\n\n{END}\n\nbelow\n")
    plain = tmp_path / "plain.md"
    write_table("| new |", plain)
    assert plain.read_text() == "| new |\n"
