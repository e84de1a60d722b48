from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from seurat_tracks.cli import app
from tests.fixtures.tapvid3d_folder import make_folder

pytest.importorskip("pyarrow", reason="benchmarks write Parquet: pip install pyarrow")
import pandas as pd


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", {"adt": ["a", "b"], "pstudio": ["c"]})


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_one_command_makes_a_report(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [folder, "-o", out, "--split", "all", "--frame-size", "pstudio=512x512"]
    words += ["--method", "constant", "--method", "affine:k=6", "--scaling", "median"]
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert str(out / "report.md") in result.output
    assert (out / "report.html").is_file()
    videos = pd.read_parquet(out / "videos.parquet")
    assert len(videos) == 3 * 2
    assert set(videos.scaling) == {"median"}
    again = run(*words)
    assert "[1/3]" in result.output
    assert "[1/3]" not in again.output  # nothing was left to do


def test_the_network_is_what_runs_unless_told_otherwise(
    folder: Path, tmp_path: Path
) -> None:
    words = ["--split", "all", "--limit", 1, "--model", "small", "--device", "cpu"]
    result = run(folder / "adt", "-o", tmp_path / "out", *words)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out/report.md").read_text("utf-8")
    assert "Average 3D-AJ of seurat:" in text
    assert "at most 1 of each source" in text


def test_missing_answers_end_in_an_error_that_tells_them(
    folder: Path, tmp_path: Path
) -> None:
    words = [folder, "-o", tmp_path / "out", "--split", "all", "--method", "constant"]
    result = run(*words)
    assert result.exit_code == 1
    assert "1 answers are missing" in result.output
    assert "frame_size" in result.output
    assert (tmp_path / "out/report.md").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--method", "magic"], 1, "unknown"),
        (["--split", "mini"], 1, "split is 'mini'"),
        (["--split", "all", "--scaling", "best"], 1, "'best' is not one of"),
        (["--frame-size", "pstudio"], 2, "SOURCE=WxH"),
        ([], 1, "none of the 3 npz files"),
    ],
)
def test_faults_are_told(
    folder: Path, tmp_path: Path, words: list, code: int, message: str
) -> None:
    result = run(folder, "-o", tmp_path / "out", *words)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out" / "parts").exists()


def test_help() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "tapvid3d/" in result.output
