from __future__ import annotations

import numpy as np
import pytest

from napari_seurat_tracks.layers import MAX_ROWS, tracks_layer, video_layer
from napari_seurat_tracks.session import KEY, Session
from napari_seurat_tracks.stage import Stage, ViewError
from seurat_tracks.errors import SchemaError
from seurat_tracks.io.video import open_video
from tests.fixtures.lifted import INTRINSICS, make_lifted, make_video


def test_rows_are_what_is_seen_in_napari_order():
    ds = make_lifted(4, 9, ids=["a", "b", "c", "d"])
    data, meta, kind = tracks_layer(ds)
    assert kind == "tracks"
    assert data.shape == (int(ds["visible"].sum()), 4)
    track = meta["features"]["track"]
    for span, t, y, x, name in zip(*data.T, track, strict=True):
        assert span == int(span)
        assert np.allclose(ds["xy"].sel(track=name, time=int(t)).values, [x, y])
    # b and d are hidden in between: two spans each, under their own ids
    ids = {name: np.unique(data[track == name, 0]) for name in "abcd"}
    assert [len(ids[n]) for n in "abcd"] == [1, 2, 1, 2]
    assert len(np.unique(np.concatenate(list(ids.values())))) == 6
    assert isinstance(meta["metadata"][KEY], Session)
    assert np.isfinite(np.column_stack([data, meta["features"]["depth"]])).all()


def test_in_space_the_axes_are_z_y_x_in_metres():
    ds = make_lifted(3, 9)
    data, meta, _ = tracks_layer(ds, in_3d=True)
    first = data[0]
    xyz = ds["xyz"].values[0, 0]
    assert np.allclose(first[2:], xyz[::-1])
    assert meta["axis_labels"] == ("t", "z", "y", "x")


def test_lazy_datasets_give_the_same():
    ds = make_lifted(5, 9)
    other = ds.chunk({"track": 2})
    assert np.array_equal(tracks_layer(ds)[0], tracks_layer(other)[0])


def test_very_many_rows_are_thinned_and_the_name_says_so():
    ds = make_lifted(300, 400)
    data, meta, _ = tracks_layer(ds)
    assert len(data) <= 1.1 * MAX_ROWS
    assert meta["name"].endswith("of 300)")


def test_without_depth_2d_works_and_3d_says_what_to_do():
    ds = make_lifted().drop_vars(
        ["xyz", "depth", "scale", "log_depth_ratio", "depth_ratio_sigma"]
    )
    _, meta, _ = tracks_layer(ds)
    assert "depth" not in meta["features"]
    with pytest.raises(ViewError, match=r"lift them first.*lift3d"):
        tracks_layer(ds, in_3d=True)


def test_nothing_to_show_is_said():
    ds = make_lifted()
    blind = ds.assign(visible=ds["visible"] & False)
    with pytest.raises(ViewError, match="no track of this file is seen"):
        tracks_layer(blind)
    with pytest.raises(ViewError, match=r"begin at -3.*shift them"):
        tracks_layer(ds.assign_coords(time=ds["time"] - 3))
    with pytest.raises(SchemaError):
        tracks_layer(ds.drop_vars("visible"))


def test_stage_thins_evenly_and_knows_how_many_there_were():
    stage = Stage(make_lifted(50, 4), max_tracks=10)
    assert stage.n_tracks == 50
    assert len(stage.ids) == 10
    assert stage.ids[[0, -1]].tolist() == [0, 49]


def test_stage_without_a_frame_size_still_stands():
    ds = make_lifted()
    del ds.attrs["frame_size"]
    stage = Stage(ds)
    assert stage.frame_size is None
    assert stage.intrinsics == tuple(INTRINSICS)


def test_stage_finds_frames_under_any_stride():
    ds = make_lifted(3, 4).assign_coords(time=[0, 5, 10, 15])
    stage = Stage(ds)
    assert [stage.position(f) for f in (-1, 0, 4, 5, 15, 16)] == [
        None,
        0,
        0,
        1,
        3,
        None,
    ]


def test_a_video_stays_lazy_and_keeps_its_frame_numbers():
    video = open_video(make_video(9), fps=25)
    data, meta, kind = video_layer(video[3:])
    assert kind == "image"
    assert hasattr(data, "dask")
    assert meta["rgb"]
    assert meta["translate"] == (3, 0, 0)
    assert meta["metadata"]["fps"] == 25
