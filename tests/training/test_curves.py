from __future__ import annotations

import builtins
import logging
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from seurat_tracks.training.curves import Curves


def test_rows_are_appended_and_cut_back(tmp_path: Path) -> None:
    curves = Curves(tmp_path, 0)
    for step in (10, 20, 30):
        curves.add("loss", step, {"loss": step / 8, "rate": 1e-3})
    curves.close()
    with (tmp_path / "loss.csv").open("a") as file:
        file.write("2")  # "20," as far as it was written when the process was killed
    curves = Curves(tmp_path, 20)
    curves.add("loss", 30, {"loss": 1 / 3, "rate": 1e-4})
    curves.close()
    assert (tmp_path / "loss.csv").read_text().split() == [
        "step,loss,rate",
        "10,1.25,0.001",
        "20,2.5,0.001",
        "30,0.333333,0.0001",
    ]


def test_tensorboard_has_the_curve_once(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    for begin in (0, 20):
        curves = Curves(tmp_path, begin)
        for step in range(begin + 10, 50, 10):
            curves.add("loss", step, {"loss": float(step)})
        curves.picture(40, Figure)
        curves.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss/loss")] == [10, 20, 30, 40]
    assert [e.value for e in events.Scalars("loss/loss")] == [10, 20, 30, 40]
    assert events.Tags()["images"] == ["predictions"]


def test_without_tensorboard_and_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith(("torch.utils.tensorboard", "matplotlib")):
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    def draw() -> Figure:
        from matplotlib.figure import Figure

        return Figure()

    monkeypatch.setattr(builtins, "__import__", refuse)
    with caplog.at_level(logging.INFO):
        curves = Curves(tmp_path, 0)
        curves.add("loss", 1, {"loss": 2.0})
        curves.picture(1, draw)
        curves.close()
    assert (tmp_path / "loss.csv").read_text().split() == ["step,loss", "1,2"]
    assert [path.name for path in tmp_path.iterdir()] == ["loss.csv"]
    assert "tensorboard is not installed" in caplog.text
    assert "matplotlib is not installed" in caplog.text


def test_other_tables_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "tracks.csv"
    theirs.write_text("frame,x,y\n0,1,2\n1,3,4\n")
    Curves(tmp_path, 0).close()
    assert theirs.read_text() == "frame,x,y\n0,1,2\n1,3,4\n"
