from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.sleap import read_sleap, recognises
from tests.fixtures.poses import FRAME_SIZE, N_FRAMES, NAMES, positions, sleap_labels

sio = pytest.importorskip("sleap_io", reason="sleap-io is not installed")
h5py = pytest.importorskip("h5py", reason="h5py is not installed")


def expected():
    """Return positions and visibility (track, time) of the labels."""
    xy = positions().reshape(N_FRAMES, 4, 2).swapaxes(0, 1).copy()
    xy[3, 5] = np.nan
    xy[2:, 6] = np.nan
    return xy, np.isfinite(xy).all(-1)


def analysis(path, **changes):
    sio.save_analysis_h5(sleap_labels(), str(path))
    with h5py.File(path, "r+") as file:
        for name, values in changes.items():
            del file[name]
            file[name] = values
    return path


@pytest.mark.parametrize("kind", ["project", "matlab", "standard"])
def test_projects_and_analysis_files_read_the_same(tmp_path, kind):
    path = tmp_path / "a.file"
    if kind == "project":
        path = tmp_path / "a.slp"
        sio.save_slp(sleap_labels(), str(path))
    else:
        sio.save_analysis_h5(sleap_labels(), str(path), preset=kind)
    assert recognises(path)
    ds = read_sleap(path, fps=20)
    xy, seen = expected()
    np.testing.assert_array_equal(ds["xy"], xy)
    np.testing.assert_array_equal(ds["visible"], seen)
    assert ds["track"].values.tolist() == NAMES
    assert ds.attrs["frame_size"] == [96, 80]
    assert float(ds["confidence"][2, 2]) == 0.25
    assert read_sleap(path, min_confidence=0.5)["visible"].sum() == seen.sum() - 1
    ds.seurat.validate()


def test_files_of_sleap_itself_have_no_dims_and_no_size(tmp_path):
    path = analysis(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        for name in ("tracks", "point_scores"):
            del file[name].attrs["dims"]
        del file.attrs["video_backend_metadata"]
    with pytest.raises(SeuratTracksError, match="frame_size="):
        read_sleap(path)
    ds = read_sleap(path, frame_size=FRAME_SIZE)
    np.testing.assert_array_equal(ds["xy"], expected()[0])
    with pytest.raises(SeuratTracksError, match="says otherwise"):
        read_sleap(analysis(tmp_path / "b.h5"), frame_size=(90, 80))


def test_people_override_predictions_and_need_no_score(tmp_path):
    labels = sleap_labels()
    frame = labels.labeled_frames[3]
    by_hand = sio.Instance.from_numpy(
        np.array([[50.0, 51], [np.nan, np.nan]]),
        skeleton=labels.skeletons[0],
        track=labels.tracks[0],
    )
    frame.instances.insert(0, by_hand)
    sio.save_slp(labels, str(tmp_path / "a.slp"))
    ds = read_sleap(tmp_path / "a.slp")
    assert ds["xy"][0, 3].values.tolist() == [50, 51]
    assert bool(ds["visible"][0, 3])
    assert np.isnan(ds["confidence"][0, 3])
    assert not bool(ds["visible"][1, 3])


def test_frames_between_are_filled(tmp_path):
    sio.save_slp(sleap_labels(frames=range(2, 7, 2)), str(tmp_path / "a.slp"))
    ds = read_sleap(tmp_path / "a.slp")
    assert ds["time"].values.tolist() == [2, 3, 4, 5, 6]
    assert not ds["visible"].sel(time=[3, 5]).any()


def test_untracked_animals_are_refused(tmp_path):
    sio.save_slp(sleap_labels(tracked=False), str(tmp_path / "a.slp"))
    with pytest.raises(SeuratTracksError, match="not tracked"):
        read_sleap(tmp_path / "a.slp")
    path = analysis(tmp_path / "a.h5", track_names=np.zeros(0, "S1"))
    with pytest.raises(SeuratTracksError, match="not tracked"):
        read_sleap(path)


def test_one_animal_needs_no_tracks(tmp_path):
    labels = sleap_labels(tracked=False)
    for frame in labels.labeled_frames:
        del frame.instances[1:]
    sio.save_slp(labels, str(tmp_path / "a.slp"))
    ds = read_sleap(tmp_path / "a.slp")
    assert ds["track"].values.tolist() == ["individual_0/nose", "individual_0/tail"]


def test_instances_without_a_track_are_counted(tmp_path):
    labels = sleap_labels()
    labels.labeled_frames[0].instances[1].track = None
    sio.save_slp(labels, str(tmp_path / "a.slp"))
    with pytest.warns(UserWarning, match="1 instances belong to no track"):
        ds = read_sleap(tmp_path / "a.slp")
    assert not ds["visible"].sel(track="b/nose")[0]


def test_several_videos_need_a_choice(tmp_path):
    labels = sleap_labels()
    labels.videos.append(sio.Video(filename="other.mp4", open_backend=False))
    sio.save_slp(labels, str(tmp_path / "a.slp"))
    with pytest.raises(SeuratTracksError, match=r"1: other\.mp4\): give video="):
        read_sleap(tmp_path / "a.slp")
    assert read_sleap(tmp_path / "a.slp", video=0).sizes["track"] == 4
    with pytest.raises(SeuratTracksError, match="no instances"):
        read_sleap(tmp_path / "a.slp", video=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node_names": np.zeros(0, "S1")}, "the skeleton is empty"),
        ({"node_names": np.array([b"a"] * 3)}, "2 nodes"),
        ({"track_names": np.array([b"a"] * 3)}, "2 animals"),
        ({"point_scores": np.zeros((2, 2, 3))}, "point_scores have shape"),
        ({"tracks": np.zeros((2, 3, 2, 7))}, "3 coordinates"),
        ({"tracks": np.zeros((2, 2))}, "dimensions"),
        (
            {"tracks": np.zeros((2, 2, 2, 0)), "point_scores": np.zeros((2, 2, 0))},
            "no frames",
        ),
        ({"tracks": np.full((2, 2, 2, 7), b"x")}, "holds"),
        ({"track_names": np.array([b"a", b"a"])}, "there twice"),
    ],
)
def test_misfits_are_named(tmp_path, changes, said):
    with pytest.raises(SeuratTracksError, match=said):
        read_sleap(analysis(tmp_path / "a.h5", **changes))


def test_cut_files_and_others_are_refused(tmp_path):
    for name, save in (("a.slp", sio.save_slp), ("a.h5", sio.save_analysis_h5)):
        path = tmp_path / name
        save(sleap_labels(), str(path))
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2])
        with pytest.raises(SeuratTracksError, match="cut short"):
            read_sleap(path)
        assert not recognises(path)
    (tmp_path / "text").write_text("tracks")
    with pytest.raises(SeuratTracksError, match="no HDF5"):
        read_sleap(tmp_path / "text")
