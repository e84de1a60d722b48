from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import seurat_tracks as st
from seurat_tracks.errors import SeuratTracksError, StoreError
from seurat_tracks.large import many
from tests.fixtures.videos import planar_clip, write_video
from tests.large.conftest import make_tracks

CAMERA = {"fov": 60}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store, a table of tracks, a video, and something that is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    make_tracks(5, 12).seurat.save(folder / "store.zarr")
    make_tracks(4, 11).seurat.export(folder / "table.csv")
    write_video(folder / "video.mp4", planar_clip("translate", 10)[0])
    (folder / "worse.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture
def lift(folder: Path, tmp_path: Path, weights: Path) -> Callable[..., pd.DataFrame]:
    def run(**settings: Any) -> pd.DataFrame:
        basic: dict[str, Any] = {
            "model": weights,
            "intrinsics": CAMERA,
            "depth": 2.0,
            "progress": False,
            "track": {"grid": 3},
        }
        return st.lift_many(folder, tmp_path / "out", **{**basic, **settings})

    return run


def test_failures_are_listed_and_what_is_missing_is_done(
    lift: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lift()
    assert table["status"].tolist() == ["done", "done", "done", "failed"]
    assert table["tracks"].tolist()[:3] == [5, 4, 9]
    assert "worse.mp4" in table["error"][3]
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == [
        *("failures.csv", "store.zarr", "summary.csv", "table.zarr", "video.zarr"),
    ]
    assert pd.read_csv(out / "failures.csv")["input"].tolist() == [
        str(folder / "worse.mp4")
    ]
    assert pd.read_csv(out / "summary.csv").columns.tolist() == list(many.COLUMNS)
    for name in ("store", "table", "video"):
        made = st.open(out / f"{name}.zarr")
        made.seurat.validate()
        assert made.attrs["units"] == "m"

    (folder / "worse.mp4").write_bytes((folder / "video.mp4").read_bytes())
    done = []
    real = many._lifted
    monkeypatch.setattr(
        many, "_lifted", lambda item: done.append(item.input.name) or real(item)
    )
    again = lift()
    assert done == ["worse"]
    assert again["status"].tolist() == ["was there"] * 3 + ["done"]
    assert not (out / "failures.csv").exists()

    with pytest.raises(StoreError, match="with other settings"):
        lift(depth=3.0)
    assert lift(depth=3.0, overwrite=True)["status"].tolist() == ["done"] * 4
    assert done == ["worse", "store", "table", "video", "worse"]
    assert st.open(out / "table.zarr").attrs["depth_source"] == "constant 3 m"


def test_an_interrupt_keeps_what_is_done(
    lift: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = many._lifted

    def interrupted(item: Any) -> Any:
        if item.input.name == "table":
            raise KeyboardInterrupt
        return real(item)

    with monkeypatch.context() as patch:
        patch.setattr(many, "_lifted", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lift()
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["status"].tolist() == ["done"]
    assert lift()["status"].tolist() == ["was there", "done", "done", "failed"]


def test_what_is_refused_before_any_work(
    lift: Any, folder: Path, tmp_path: Path, weights: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(many, "_do", None)
    with pytest.raises(SeuratTracksError, match="magic: no such setting"):
        lift(magic=1)
    with pytest.raises(SeuratTracksError, match="fuse"):
        lift(fuse="magic")
    with pytest.raises(SeuratTracksError, match="no Dask scheduler"):
        lift(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(StoreError, match="would be itself"):
        st.lift_many(folder, folder, model=weights)
    with pytest.raises(StoreError, match="it is a file"):
        st.lift_many(folder, folder / "worse.mp4", model=weights)
    with pytest.raises(StoreError, match="does not exist"):
        st.lift_many(folder, tmp_path / "no" / "out", model=weights)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "video.zarr").mkdir()
    with pytest.raises(StoreError, match="by something else"):
        lift()
    with pytest.raises(StoreError, match="not a store of seurat-tracks"):
        lift(overwrite=True)


def test_two_runs_on_one_folder_do_not_meet(
    lift: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = []
    real = many._lifted

    def second(item: Any) -> Any:
        if not met:
            with pytest.raises(StoreError, match="another process") as caught:
                lift()
            met.append(caught)
        return real(item)

    with monkeypatch.context() as patch:
        patch.setattr(many, "_lifted", second)
        lift()
    assert met
    assert not list((tmp_path / "out").glob(".*"))


def test_whatever_happens_to_one_does_not_stop_the_others(
    lift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = many._lifted

    def odd(item: Any) -> Any:
        return real(item) if item.input.name != "table" else {}["no such key"]

    with monkeypatch.context() as patch:
        patch.setattr(many, "_lifted", odd)
        table = lift()
    assert table["status"].tolist() == ["done", "failed", "done", "failed"]
    assert table["error"][1] == "KeyError: 'no such key'"
    assert lift()["status"].tolist() == ["was there", "done", "was there", "failed"]
