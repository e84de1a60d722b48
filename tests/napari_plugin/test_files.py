"""Readers, writers and the sample: what napari calls, without a viewer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seurat_tracks as st
from napari_seurat_tracks.layers import tracks_layer
from napari_seurat_tracks.read import VIDEOS, get_reader
from napari_seurat_tracks.sample import FOLDER, open_sample
from napari_seurat_tracks.session import KEY, Session
from napari_seurat_tracks.write import write_tracks
from seurat_tracks.errors import FormatError, SeuratTracksError, StoreError
from seurat_tracks.io.formats import FORMATS
from tests.fixtures.lifted import SIZE, make_lifted, make_video

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("napari")


@pytest.fixture
def manifest():
    npe2 = pytest.importorskip("npe2")
    path = ROOT / "napari_plugin" / "napari_seurat_tracks" / "napari.yaml"
    return npe2.PluginManifest.from_file(path)


def test_npe2_validates_the_manifest(manifest):
    done = subprocess.run(
        [
            sys.executable,
            *("-W", "ignore", "-m", "npe2", "validate", "--imports"),
            str(ROOT / "napari_plugin" / "napari_seurat_tracks" / "napari.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'napari_plugin'}",
            "QT_QPA_PLATFORM": "offscreen",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def test_manifest_is_found_by_its_entry_point(manifest):
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    points = project["entry-points"]["napari.manifest"]
    assert points == {project["name"]: "napari_seurat_tracks:napari.yaml"}
    assert manifest.name == project["name"]


def test_manifest_knows_every_format(manifest):
    (reader,) = manifest.contributions.readers
    patterns = {p.removeprefix("*") for p in reader.filename_patterns}
    reads = {
        "." + e.split(".")[-1] for f in FORMATS.values() if f.read for e in f.endings
    }
    assert reads | set(VIDEOS) <= patterns
    (writer,) = manifest.contributions.writers
    writes = {
        "." + e.split(".")[-1] for f in FORMATS.values() if f.write for e in f.endings
    }
    assert writes == set(writer.filename_extensions)


def test_qt_is_not_imported():
    """By no module outside _qt; each is imported in turn by a fresh interpreter."""
    folder = ROOT / "napari_plugin" / "napari_seurat_tracks"
    names = [p.stem for p in sorted(folder.glob("*.py")) if p.stem != "__init__"]
    assert {"view", "scene", "read", "lifting", "edits"} <= set(names)
    code = (
        "import importlib, sys\n"
        f"for name in ['', *{[f'.{n}' for n in names]}]:\n"
        "    importlib.import_module('napari_seurat_tracks' + name)\n"
        "    bad = [m for m in sys.modules if m.partition('.')[0] in "
        "('qtpy', 'PyQt6', 'PyQt5', 'PySide6')]\n"
        "    assert not bad, (name, bad)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'napari_plugin'}"},
    )


# what a format has no place for is warned of, and tested where the formats are
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name", ["a.zarr", "a.csv", "a.parquet", "a.cotracker.npz", "a.tapvid.npz", "a.nc"]
)
def test_files_of_tracks_come_back_through_napari(tmp_path, name):
    needs = {".parquet": "pyarrow", ".nc": "h5netcdf"}.get(Path(name).suffix)
    if needs:
        pytest.importorskip(needs)
    ds = make_lifted(5, 9)
    path = tmp_path / name
    assert write_tracks(str(path), [tracks_layer(ds)]) == [str(path)]
    reader = get_reader(str(path))
    assert reader is not None
    ((data, meta, kind),) = reader(str(path))
    assert kind == "tracks"
    back = meta["metadata"][KEY].dataset
    seen = ds["visible"].values
    assert np.allclose(back["xy"].values[seen], ds["xy"].values[seen], atol=1e-2)
    assert len(data) == seen.sum()


def test_readers_look_at_what_a_file_holds(tmp_path):
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    )
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "noise.h5").write_bytes(os.urandom(200))
    np.save(tmp_path / "image.npy", np.zeros((30, 40)))
    (tmp_path / "secret.csv").write_text("track,frame,x,y\n")
    for name in os.listdir(tmp_path):
        if name != "secret.csv":
            assert get_reader(str(tmp_path / name)) is None, name
    assert get_reader(str(tmp_path / "missing.mp4")) is None
    assert get_reader(str(tmp_path / "missing.csv")) is None
    assert get_reader([str(tmp_path / "plain.csv")] * 2) is None
    assert get_reader([]) is None


def test_an_unfinished_store_is_ours_and_says_what_is_wrong(tmp_path):
    import json

    path = make_lifted().seurat.save(tmp_path / "a.zarr")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"].pop("seurat_tracks_store")
    (path / "zarr.json").write_text(json.dumps(root))
    reader = get_reader(str(path))
    with pytest.raises(StoreError, match="never finished"):
        reader(str(path))


def test_a_store_without_a_frame_size_says_so(tmp_path):
    import json

    path = make_lifted().seurat.save(tmp_path / "a.zarr")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"].pop("frame_size")
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(StoreError, match="frame_size"):
        get_reader(str(path))(str(path))


def test_a_table_without_a_frame_size_says_what_to_do(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("track,frame,x,y\n0,0,5,6\n0,1,6,7\n")
    with pytest.raises(FormatError, match="open the video first"):
        get_reader(str(path))(str(path))


def test_videos_are_lazy(tmp_path):
    from seurat_tracks.notebook.animate import write_mp4

    path = write_mp4(make_video(6), tmp_path / "a.mp4", 25)
    ((data, meta, kind),) = get_reader(str(path))(str(path))
    assert kind == "image"
    assert data.shape == (6, SIZE[1], SIZE[0], 3)
    assert hasattr(data, "dask")
    assert meta["name"] == "a"
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(SeuratTracksError):
        get_reader(str(tmp_path / "broken.mp4"))(str(tmp_path / "broken.mp4"))


def test_writers_save_the_session_and_nothing_that_is_not_theirs(tmp_path):
    ds = make_lifted(5, 9)
    layer = tracks_layer(ds)
    layer[1]["metadata"][KEY].replace(ds.isel(track=[0, 2]), "dropped three")
    write_tracks(str(tmp_path / "a.zarr"), [layer])
    back = st.open(tmp_path / "a.zarr")
    assert back["track"].values.tolist() == [0, 2]
    assert "dropped three" in back.attrs["history"][0]
    with pytest.raises(SeuratTracksError, match="do not come from seurat-tracks"):
        write_tracks(str(tmp_path / "b.csv"), [(np.zeros((2, 4)), {}, "tracks")])
    other = tracks_layer(make_lifted(3, 9))
    with pytest.raises(SeuratTracksError, match="tracks of 2 files"):
        write_tracks(str(tmp_path / "b.zarr"), [layer, other])
    with pytest.raises(FormatError):
        write_tracks(str(tmp_path / "b.xyz"), [layer])
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_store_is_replaced_only_by_its_own_tracks(tmp_path):
    path = make_lifted(5, 9).seurat.save(tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="something is there already"):
        write_tracks(str(path), [tracks_layer(make_lifted(3, 9))])
    ((_, meta, _),) = get_reader(str(path))(str(path))
    session = meta["metadata"][KEY]
    assert session.path == path
    session.replace(session.dataset.isel(track=[1]), "kept one")
    write_tracks(str(path), [(None, meta, "tracks")])
    session.undo()
    assert session.dataset["xy"].values.shape[0] == 5  # still there, in memory
    assert st.open(path).sizes["track"] == 1


def test_lazy_tracks_are_read_before_their_store_is_replaced(tmp_path, monkeypatch):
    from napari_seurat_tracks import saving

    ds = make_lifted(5, 9)
    path = ds.seurat.save(tmp_path / "a.zarr")
    layer, other = (tracks_layer(st.open(path), path) for _ in range(2))
    session = layer[1]["metadata"][KEY]
    session.replace(session.dataset.isel(track=[1]), "kept one")
    with monkeypatch.context() as small:
        small.setattr(saving, "IN_MEMORY", 100)
        with pytest.raises(SeuratTracksError, match="is being read from"):
            write_tracks(str(path), [layer])
    assert st.open(path).sizes["track"] == 5
    write_tracks(str(path), [layer])
    assert session.is_saved
    # whoever else shows that store still has what was in it, and says it is not saved
    beside = other[1]["metadata"][KEY]
    assert beside.dataset["xy"].equals(ds["xy"])
    assert not beside.is_saved
    session.undo()
    assert session.dataset["depth"].equals(ds["depth"])


def test_read_only_folders_are_refused_and_left_alone(tmp_path, monkeypatch):
    layer = tracks_layer(make_lifted())
    if os.geteuid() == 0:  # root passes permission bits
        from seurat_tracks.io import formats

        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(formats, "export", refuse)
        monkeypatch.setattr(os, "access", lambda *a, **k: False)
    tmp_path.chmod(0o555)
    try:
        for name in ("a.csv", "a.zarr"):
            with pytest.raises(SeuratTracksError, match="read-only for you"):
                write_tracks(str(tmp_path / name), [layer])
    finally:
        tmp_path.chmod(0o755)
    assert os.listdir(tmp_path) == []


def test_sample_is_small_valid_and_lifted():
    size = sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file())
    assert size < 300_000
    video, tracks = open_sample()
    session = tracks[1]["metadata"][KEY]
    assert isinstance(session, Session)
    assert session.path is None
    ds = session.dataset
    ds.seurat.validate()
    assert ds.attrs["units"] == "m"
    assert video[0].shape[:3] == (ds.sizes["time"], *ds.attrs["frame_size"][::-1])
    depth = ds["depth"].values[ds["visible"].values]
    assert np.nanmin(depth) > 1
    assert np.nanmax(depth) < 12
