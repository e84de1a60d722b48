"""Stores that are lifted in regions, and many inputs, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import seurat_tracks as st
from seurat_tracks.cli import app
from seurat_tracks.large import job
from tests.benchmarks.large import tiny_weights
from tests.large.conftest import make_tracks


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    make_tracks(6, 12).seurat.save(tmp_path / "tracks.zarr")
    return tmp_path / "tracks.zarr"


@pytest.fixture
def settings(tmp_path: Path) -> list[Any]:
    model = tiny_weights(tmp_path / "tiny.safetensors")
    return ["--model", model, "--fov", 70, "--device", "cpu", "--quiet"]


def test_an_interrupted_lift_goes_on_or_begins_anew(
    tracks: Path, tmp_path: Path, settings: list[Any]
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "fill_tracks", fail)
        result = run("lift", tracks, "-o", out, "--depth", 2, *settings)
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert "the same command, goes on" in " ".join(result.stderr.split())
    result = run("lift", tracks, "-o", out, "--depth", 3, *settings)
    assert result.exit_code == 1
    assert "depth.metres" in result.stderr
    assert "--restart" in result.stderr
    result = run("lift", tracks, "-o", out, "--depth", 3, "--restart", *settings)
    assert result.exit_code == 0, result.stderr
    assert st.open(out).attrs["depth_source"] == "constant 3 m"
    assert not list(tmp_path.glob(".*"))


def test_a_scheduler_that_does_not_answer(
    tracks: Path, tmp_path: Path, settings: list[Any]
) -> None:
    pytest.importorskip("distributed")
    for command, *more in (("lift", "--depth", 2), ("lift-many",)):
        result = run(
            *(command, tracks, "-o", tmp_path / "out", *more, *settings),
            *("--scheduler", "tcp://127.0.0.1:9"),
        )
        assert result.exit_code == 1
        assert "no Dask scheduler answers" in result.stderr
    assert not (tmp_path / "out").exists()


def test_many(tracks: Path, tmp_path: Path, settings: list[Any]) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    table = tmp_path / "table.csv"
    table.write_text("path,depth\ntracks.zarr,2.5\nbad.mp4,\n")
    out = tmp_path / "out"
    result = run("lift-many", table, "-o", out, *settings)
    assert result.exit_code == 1
    assert "bad.mp4" in result.stderr
    assert "1 of 2 failed" in " ".join(result.stderr.split())
    assert st.open(out / "tracks.zarr").attrs["depth_source"] == "constant 2.5 m"
    assert pd.read_csv(out / "summary.csv")["status"].tolist() == ["done", "failed"]
    result = run("lift-many", tracks, "-o", tmp_path / "one", *settings[:-1])
    assert result.exit_code == 0, result.stderr
    assert "1 done" in result.stdout
    result = run("lift-many", tracks, "-o", tmp_path / "one", *settings[:-1])
    assert "1 was there" in result.stdout
