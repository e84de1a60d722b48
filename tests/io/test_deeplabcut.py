from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import seurat_tracks as st
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.deeplabcut import read_deeplabcut, recognises
from seurat_tracks.io.formats import recognise
from tests.fixtures.poses import (
    FRAME_SIZE,
    N_FRAMES,
    NAMES,
    deeplabcut_frame,
    positions,
    scores,
    write_deeplabcut,
)

KINDS = [("a.csv", ""), ("a.h5", "table"), ("a.h5", "fixed")]


@pytest.mark.parametrize(("name", "form"), KINDS)
@pytest.mark.parametrize("single", [False, True])
def test_every_kind_of_file_reads_the_same(tmp_path, name, form, single):
    pytest.importorskip("h5py", reason="h5py is not installed")
    path = write_deeplabcut(tmp_path / name, single=single, form=form)
    assert recognises(path)
    ds = read_deeplabcut(path, frame_size=FRAME_SIZE, fps=30)
    n = 2 if single else 4
    xy = positions().reshape(N_FRAMES, 4, 2)[:, :n].swapaxes(0, 1)
    np.testing.assert_array_equal(ds["xy"], xy)
    score = scores().reshape(N_FRAMES, 4)[:, :n].T.astype(np.float32)
    np.testing.assert_array_equal(ds["confidence"], score)
    # above pcutoff is seen; NaN is not
    np.testing.assert_array_equal(ds["visible"], score > 0.6)
    names = [f"individual_0/{k}" for k in ("nose", "tail")] if single else NAMES
    assert ds["track"].values.tolist() == names
    assert ds["keypoint"].values.tolist() == ["nose", "tail"] * (n // 2)
    assert ds.attrs["min_confidence"] == 0.6
    ds.seurat.validate()


@pytest.mark.parametrize("style", ["plain", "quoted", "marked"])
@pytest.mark.parametrize(
    "scorer", [["track", "frame", "x", "y"], ["TRACK_ID", "FRAME", "POSITION_X"]]
)
def test_a_scorer_may_have_any_name(tmp_path, scorer, style):
    path = write_deeplabcut(tmp_path / "a.csv", single=True)
    first, *rest = path.read_text().split("\n")
    names = scorer * len(first.split(","))
    rows = [["scorer", *names[: len(first.split(",")) - 1]]]
    rows += [line.split(",") for line in rest[:2]]
    if style == "quoted":
        rows = [[f'"{name}"' for name in row] for row in rows]
    text = "\n".join([*(",".join(row) for row in rows), *rest[2:]])
    path.write_text(("\ufeff" if style == "marked" else "") + text, "utf-8")
    assert recognise(path).name == "deeplabcut"
    ds = st.read(path, frame_size=FRAME_SIZE)
    assert ds["keypoint"].values.tolist() == ["nose", "tail"]


def test_same_keypoint_of_two_animals_stays_apart(tmp_path):
    ds = read_deeplabcut(write_deeplabcut(tmp_path / "a.csv"), frame_size=FRAME_SIZE)
    a, b = ds.sel(track="a/nose"), ds.sel(track="b/nose")
    assert float(b["xy"][0, 0] - a["xy"][0, 0]) == 20
    assert ds["individual"].values.tolist() == ["a", "a", "b", "b"]


def test_threshold_is_an_option(tmp_path):
    path = write_deeplabcut(tmp_path / "a.csv")
    low = read_deeplabcut(path, frame_size=FRAME_SIZE, min_confidence=0.1)
    assert low["visible"].sum() == 4 * N_FRAMES - 1
    for wrong in (2, -0.1, "x", None, np.nan):
        with pytest.raises(SeuratTracksError, match="min_confidence"):
            read_deeplabcut(path, frame_size=FRAME_SIZE, min_confidence=wrong)


def test_frame_size_must_be_given(tmp_path):
    path = write_deeplabcut(tmp_path / "a.csv")
    with pytest.raises(SeuratTracksError, match=r"frame_size=\(width, height\)"):
        read_deeplabcut(path)


def test_frame_numbers_and_empty_cells_are_kept(tmp_path):
    frame = deeplabcut_frame()
    frame.index = frame.index * 2 + 5
    frame.iloc[1, :3] = np.nan
    frame.to_csv(tmp_path / "a.csv")
    ds = read_deeplabcut(tmp_path / "a.csv", frame_size=FRAME_SIZE)
    assert ds["time"].values.tolist() == [5, 7, 9, 11, 13, 15, 17]
    assert np.isnan(ds["xy"][0, 1]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t[: t.rindex(",")],
            "line 11 has 11 values, expected 12; .*cut short",
        ),
        (lambda t: t.replace("\n3,", "\n3,x"), "line 8 holds 'x"),
        (lambda t: t.replace("\n3,", "\n3,1,"), "line 8 has 13 values"),
        (lambda t: t.replace("\n3,", "\n3.5,"), "3.5, expected frame numbers"),
        (lambda t: "\n".join(t.split("\n")[:4]) + "\n", "no rows"),
        (lambda t: t.replace("likelihood", "p"), "no likelihood"),
        (lambda t: t.replace("tail", "nose"), "a/nose/x is there twice"),
        (lambda t: t.replace("scorer", "who"), "not a CSV file of DeepLabCut"),
        (lambda t: t.replace("\n0,", "\nlabeled-data/v/img01.png,"), "for training"),
        (lambda t: "", "not a CSV file of DeepLabCut"),
        (lambda t: "scorer\nbodyparts\ncoords\n0\n", "no keypoints"),
    ],
)
def test_bad_csv_names_the_fault(tmp_path, change, said):
    path = write_deeplabcut(tmp_path / "a.csv")
    path.write_text(change(path.read_text()))
    with pytest.raises(SeuratTracksError, match=said):
        read_deeplabcut(path, frame_size=FRAME_SIZE)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_pickles_in_h5_are_never_run(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = write_deeplabcut(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        table = file["df_with_missing/table"]
        del table.attrs["values_block_0_kind"]
        table.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(Bomb(), protocol=0))
        # an attribute that the usual reader unpickles, and this one never looks at
        file["df_with_missing"].attrs["evil"] = np.bytes_(pickle.dumps(Bomb(), 0))
    with pytest.raises(SeuratTracksError, match="could run anything"):
        read_deeplabcut(path, frame_size=FRAME_SIZE)


def test_objects_in_h5_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = write_deeplabcut(tmp_path / "a.h5", form="fixed")
    with h5py.File(path, "r+") as file:
        group = file["df_with_missing"]
        del group["block0_items_level1"]
        kind = h5py.vlen_dtype(np.uint8)
        stored = group.create_dataset("block0_items_level1", (1,), dtype=kind)
        stored[0] = np.frombuffer(pickle.dumps(Bomb(), 0), np.uint8)
    with pytest.raises(SeuratTracksError, match="holds objects"):
        read_deeplabcut(path, frame_size=FRAME_SIZE)


def test_lying_sizes_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = write_deeplabcut(tmp_path / "a.h5", form="fixed")
    with h5py.File(path, "r+") as file:
        group = file["df_with_missing"]
        del group["block0_values"]
        group.create_dataset("block0_values", (10**9, 12), dtype="f8", chunks=(10, 12))
    with pytest.raises(SeuratTracksError, match="more than a file of this size"):
        read_deeplabcut(path, frame_size=FRAME_SIZE)


def test_other_files_are_not_recognised(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    pd.DataFrame({"x": [1]}).to_csv(tmp_path / "b.csv")
    assert not recognises(tmp_path / "b.csv")
    assert not recognises(tmp_path / "none.csv")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["tracks"] = [1]
    assert not recognises(tmp_path / "b.h5")
    with pytest.raises(SeuratTracksError, match="no pandas table"):
        read_deeplabcut(tmp_path / "b.h5", frame_size=FRAME_SIZE)
    with pytest.raises(FileNotFoundError):
        read_deeplabcut(tmp_path / "none.h5", frame_size=FRAME_SIZE)
