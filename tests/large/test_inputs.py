from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.large.inputs import read_inputs
from tests.large.conftest import make_tracks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.mp4", "a.MOV", "notes.txt", ".hidden.mp4"):
        (folder / name).write_bytes(b"no video")
    ds = make_tracks(3, 9)
    ds.seurat.save(folder / "d.zarr")
    ds.seurat.export(folder / "c.csv")
    (folder / "frames").mkdir()
    (folder / "frames" / "0.png").write_bytes(b"")
    (folder / "empty").mkdir()
    return folder


def test_a_folder(folder: Path) -> None:
    found = [(i.path.name, i.name, i.kind) for i in read_inputs(folder)]
    assert found == [
        ("a.MOV", "a", "video"),
        ("b.mp4", "b", "video"),
        ("c.csv", "c", "tracks"),
        ("d.zarr", "d", "store"),
        ("frames", "frames", "video"),
    ]


def test_tables(folder: Path) -> None:
    table = pd.DataFrame(
        {
            "path": ["in/b.mp4", "in/d.zarr"],
            "name": ["one", None],
            "depth": [2.5, None],
            "fov": [None, 70],
        }
    )
    path = folder.parent / "table.csv"
    table.to_csv(path, index=False)
    one, two = read_inputs(path)
    assert (one.name, one.settings) == ("one", {"depth": 2.5})
    assert (two.name, two.settings) == ("d", {"intrinsics": {"fov": 70.0}})
    table["path"] = [folder / "b.mp4", folder / "d.zarr"]
    assert read_inputs(table) == [one, two]
    table["depth"] = ["depth-pro", "maps/"]
    assert [i.settings["depth"] for i in read_inputs(table)] == ["depth-pro", "maps/"]
    by_list = read_inputs([str(folder / "b.mp4"), folder / "d.zarr"])
    assert [i.path for i in by_list] == [one.path, two.path]


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        (pd.DataFrame({"video": ["a.mp4"]}), r"no column 'path' \(its columns: video"),
        (pd.DataFrame({"path": []}), "no rows"),
        (pd.DataFrame({"path": ["a.mp4", None]}), "row 1 .* has no path"),
        (pd.DataFrame({"path": ["a.mp4"], "wide": [1]}), "mean nothing here: wide"),
        ([], "empty"),
        (["none.mp4", "gone.mp4"], r"none.mp4: there is no .*gone.mp4: there is no"),
        ("nowhere", "no such folder or table"),
        (7, "must be a folder, a table"),
    ],
)
def test_what_is_refused(sources: Any, text: str) -> None:
    with pytest.raises(SeuratTracksError, match=text):
        read_inputs(sources)


def test_two_inputs_with_one_name(folder: Path) -> None:
    (folder / "B.avi").write_bytes(b"")
    with pytest.raises(SeuratTracksError, match=r"B\.avi and .*b\.mp4 would both be"):
        read_inputs(folder)
    again = folder / "c.csv"
    with pytest.raises(SeuratTracksError, match=r"c\.csv is listed twice with the na"):
        read_inputs(pd.DataFrame({"path": [again, folder / "d.zarr", again]}))
    twice = pd.DataFrame({"path": [again, again], "name": [None, "other"]})
    assert [i.name for i in read_inputs(twice)] == ["c", "other"]
    table = pd.DataFrame({"path": [folder / "b.mp4"], "name": ["../b"]})
    with pytest.raises(SeuratTracksError, match="cannot be the name"):
        read_inputs(table)


def test_folders_and_tables_without_any(folder: Path) -> None:
    with pytest.raises(SeuratTracksError, match="no video, store or file of tracks"):
        read_inputs(folder / "empty")
    with pytest.raises(SeuratTracksError, match="neither a folder nor a table"):
        read_inputs(folder / "b.mp4")
    (folder / "x.csv").write_bytes(b"")
    with pytest.raises(SeuratTracksError, match="not a readable CSV"):
        read_inputs(folder / "x.csv")
