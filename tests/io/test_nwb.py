from __future__ import annotations

import warnings

import numpy as np
import pytest

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.nwb import read_nwb, recognises
from tests.fixtures.poses import (
    FRAME_SIZE,
    N_FRAMES,
    NAMES,
    positions,
    scores,
    sleap_labels,
    write_nwb,
)

h5py = pytest.importorskip("h5py", reason="h5py is not installed")


@pytest.mark.parametrize("timestamps", [False, True])
def test_poses_of_two_animals(tmp_path, timestamps):
    path = write_nwb(tmp_path / "a.nwb", timestamps=timestamps)
    assert recognises(path)
    ds = read_nwb(path)
    xy = positions().reshape(N_FRAMES, 4, 2).swapaxes(0, 1)
    np.testing.assert_array_equal(ds["xy"], xy)
    score = scores().reshape(N_FRAMES, 4).T.astype(np.float32)
    np.testing.assert_array_equal(ds["confidence"], score)
    np.testing.assert_array_equal(ds["visible"], ~np.isnan(score))
    assert ds["track"].values.tolist() == NAMES
    assert ds.attrs["frame_size"] == list(FRAME_SIZE)
    np.testing.assert_allclose(ds["seconds"], np.arange(N_FRAMES) / 25 + 2)
    first = 0 if timestamps else 50
    assert ds["time"].values.tolist() == list(range(first, first + N_FRAMES))
    assert ds.attrs.get("fps") == (None if timestamps else 25)
    assert read_nwb(path, fps=25)["time"].values[0] == 50
    ds.seurat.validate()


def test_one_animal_is_named_by_the_subject(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", animals=("a",), subject="mouse7")
    assert read_nwb(path)["track"].values.tolist() == ["mouse7/nose", "mouse7/tail"]
    path = write_nwb(tmp_path / "b.nwb", animals=("a",))
    assert read_nwb(path)["individual"].values.tolist() == ["individual_0"] * 2


def test_mixed_moments_need_fps(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", timestamps=True, late=2)
    with pytest.raises(SeuratTracksError, match="give fps="):
        read_nwb(path)
    ds = read_nwb(path, fps=25)
    assert ds["visible"][1].values.tolist() == [
        False,
        False,
        True,
        True,
        False,
        True,
        True,
    ]
    path = write_nwb(tmp_path / "b.nwb", timestamps=True, late=2, animals=("a",))
    with h5py.File(path, "r+") as file:
        nose = file["processing/behavior/a/nose"]
        for name in ("data", "confidence", "timestamps"):
            values, attrs = nose[name][:1], dict(nose[name].attrs)
            del nose[name]
            nose[name] = values
            nose[name].attrs.update(attrs)
    with pytest.raises(SeuratTracksError, match="give fps="):
        read_nwb(path)
    assert read_nwb(path, fps=25)["time"].values.tolist() == [50, 52, 53, 54, 55, 56]
    with pytest.raises(SeuratTracksError, match="not multiples"):
        read_nwb(path, fps=10)


def test_size_must_be_known(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", size=False)
    with pytest.raises(SeuratTracksError, match="frame_size="):
        read_nwb(path)
    assert read_nwb(path, frame_size=FRAME_SIZE).sizes["track"] == 4


def test_units_other_than_pixels_are_refused(tmp_path):
    with pytest.raises(SeuratTracksError, match="'meters', expected pixels"):
        read_nwb(write_nwb(tmp_path / "a.nwb", unit="meters"))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("data", np.zeros((7, 3)), "only 2D"),
        ("data", np.zeros((6, 2)), "different lengths"),
        ("confidence", np.zeros(3), "different lengths"),
        ("timestamps", np.zeros(7), "do not increase"),
        ("timestamps", np.zeros((7, 2)), "different lengths"),
    ],
)
def test_misfits_name_the_keypoint(tmp_path, name, values, said):
    path = write_nwb(tmp_path / "a.nwb", timestamps=True)
    with h5py.File(path, "r+") as file:
        node = file["processing/behavior/b/nose"]
        del node[name]
        node[name] = values
    with pytest.raises(SeuratTracksError, match=f"b/nose .*{said}"):
        read_nwb(path)


def test_a_keypoint_without_confidence_is_seen(tmp_path):
    path = write_nwb(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        del file["processing/behavior/a/tail/confidence"]
    ds = read_nwb(path)
    assert ds["visible"].sel(track="a/tail").all()
    assert np.isnan(ds["confidence"].sel(track="a/tail")).all()


def test_files_without_poses_are_refused(tmp_path):
    path = write_nwb(tmp_path / "a.nwb")
    raw = path.read_bytes()
    with h5py.File(path, "r+") as file:
        del file["processing"]
    assert not recognises(path)
    with pytest.raises(SeuratTracksError, match="no PoseEstimation"):
        read_nwb(path)
    path.write_bytes(raw[:-5000])
    with pytest.raises(SeuratTracksError, match="cut short"):
        read_nwb(path)
    path.write_bytes(raw)
    with h5py.File(path, "r+") as file:
        for animal in "ab":
            for keypoint in ("nose", "tail"):
                del file[f"processing/behavior/{animal}/{keypoint}"]
    with pytest.raises(SeuratTracksError, match="the skeleton is empty"):
        read_nwb(path)


def test_files_of_sleap_io(tmp_path):
    sio = pytest.importorskip("sleap_io", reason="sleap-io is not installed")
    labels = sleap_labels()
    video = sio.Video(filename="clip.mp4", open_backend=False)
    video.backend_metadata |= {"type": "MediaVideo", "shape": (7, 80, 96, 3)}
    labels.replace_videos(labels.videos, [video])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sio.save_nwb(labels, str(tmp_path / "a.nwb"), nwb_format="predictions")
    ds = read_nwb(tmp_path / "a.nwb", frame_size=FRAME_SIZE, fps=1)
    assert ds["track"].values.tolist() == NAMES
    assert float(ds["xy"].sel(track="b/nose", time=3)[0]) == 33
