"""What writers of scenes leave out is named; files are whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seurat_tracks.errors import FormatError
from seurat_tracks.io._files import check_free, writing
from seurat_tracks.io.formats import FORMATS, export
from tests.fixtures.cube import make_cube


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("ply", ["xy", "confidence", "camera_to_world", "mine"]),
        ("glb", ["xy", "depth_ratio_sigma", "confidence", "1 tracks without any"]),
        ("rrd", ["depth_ratio_sigma", "confidence", "mine"]),
        ("colmap", ["confidence", "the motion of points", "1 tracks that are seen"]),
        ("movement", ["camera_to_world", "mine"]),
    ],
)
def test_what_a_scene_leaves_out_is_named(
    name: str, lost: list[str], tmp_path: Path
) -> None:
    ds = make_cube()
    flat = ("track", "time")
    shape = ds.visible.shape
    ds = ds.assign(
        confidence=(flat, np.full(shape, 0.5, np.float32)),
        mine=(flat, np.zeros(shape)),
        camera_to_world=(("time", "row", "column"), np.tile(np.eye(4), (5, 1, 1))),
    )
    ds["visible"][2] = False
    ds["xyz"][2] = np.nan
    ending = FORMATS[name].endings[-1]
    with pytest.warns(UserWarning, match="has no place for") as caught:
        export(ds, tmp_path / f"cube{ending}", name)
    text = str(caught[0].message)
    assert [word for word in lost if word not in text] == []
    assert "visible" not in text.replace("never visible", "")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("folder", [False, True])
def test_an_error_leaves_what_was_there(folder: bool, tmp_path: Path) -> None:
    target = tmp_path / "a"
    if not folder:
        target.write_text("old")

    def stop() -> None:
        with writing(target, folder=folder, overwrite=True) as place:
            (place / "b" if folder else place).write_text("half")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        stop()
    assert [p.name for p in tmp_path.iterdir()] == ([] if folder else ["a"])
    with writing(target, folder=folder, overwrite=True) as place:
        (place / "b" if folder else place).write_text("new")
    assert (target / "b" if folder else target).read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_places_that_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="is a folder already and is not replaced"):
        check_free(tmp_path / "folder", overwrite=True)
    with pytest.raises(FormatError, match="is a file already and is not replaced"):
        check_free(tmp_path / "file", folder=True, overwrite=True)
    with pytest.raises(FormatError, match="overwrite=True"):
        check_free(tmp_path / "file")
    with pytest.raises(FormatError, match="Create it first"):
        check_free(tmp_path / "none" / "file")
    monkeypatch.chdir(tmp_path)
    check_free(Path("new"))
