"""Movies of a real viewer, and the dock, driven as a person would."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from napari_seurat_tracks.movie import (
    MovieError,
    MovieStopped,
    movie_frames,
    write_movie,
)
from napari_seurat_tracks.session import Session
from napari_seurat_tracks.view import show_session, view_of
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.video import open_video
from tests.fixtures.lifted import make_lifted, make_video

FRAME = np.zeros((16, 16, 3), np.uint8)


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(make_video(9), rgb=True)
    show_session(viewer, Session(make_lifted(6, 9)))
    return viewer


@pytest.mark.parametrize("name", ["a.mov", "a", "a.mp4.zip"])
def test_other_endings_are_refused_before_anything_is_drawn(tmp_path, name):
    def never():
        raise AssertionError("drawn")
        yield FRAME

    with pytest.raises(MovieError, match=r"ends in \.mp4 or \.gif"):
        write_movie(never(), tmp_path / name)
    with pytest.raises(MovieError, match="fps must be a positive number"):
        write_movie(never(), tmp_path / "a.mp4", fps=0)
    (tmp_path / "b.mp4").write_bytes(b"mine")
    with pytest.raises(SeuratTracksError, match="something is there already"):
        write_movie(never(), tmp_path / "b.mp4")
    with pytest.raises(SeuratTracksError, match="does not exist"):
        write_movie(never(), tmp_path / "no" / "b.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["b.mp4"]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_stopped_movie_leaves_no_file(tmp_path, name, after):
    def some():
        for _ in range(after):
            yield FRAME
        raise MovieStopped

    with pytest.raises(MovieStopped):
        write_movie(some(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(MovieError, match="cannot be written"):
        write_movie(iter([FRAME]), tmp_path / "a.mp4")
    assert os.listdir(tmp_path) == []


@pytest.mark.napari
def test_a_movie_shows_the_scene_move(viewer, tmp_path):
    view = view_of(viewer)
    view.switch(True)
    view.go_to(3)
    angles = viewer.scene.camera.angles
    frames = list(movie_frames(view, turn=15.0))
    assert len(frames) == 9
    assert all(n % 2 == 0 for n in frames[0].shape[:2])
    assert all(len(np.unique(f.reshape(-1, 3), axis=0)) > 5 for f in frames)
    assert all((a != b).any() for a, b in itertools.pairwise(frames))
    # to and fro, and back where it began
    assert view.frame == 3
    assert np.allclose(viewer.scene.camera.angles, angles)
    path = write_movie(frames, tmp_path / "a.mp4", fps=12)
    video = open_video(path)
    assert video.sizes["time"] == 9
    assert video.attrs["fps"] == pytest.approx(12)
    back = video[4].values.astype(int)
    assert np.abs(back - frames[4]).mean() < 8
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.napari
def test_frames_that_are_not_there(viewer):
    view = view_of(viewer)
    with pytest.raises(MovieError, match=r"no frames \[12\].*0 to 8"):
        movie_frames(view, [3, 12])
    with pytest.raises(MovieError, match="no frames were asked for"):
        movie_frames(view, [])
    viewer.layers.clear()
    with pytest.raises(MovieError, match="there are no tracks"):
        movie_frames(view)


@pytest.mark.napari
def test_napari_animation_sees_our_points_move(viewer):
    """Its own key frames drive the slider; positions follow."""
    view = view_of(viewer)
    view.switch(True)
    heads = view.scene.layers["heads"]
    view.go_to(0)
    first = heads.data.copy()
    view.go_to(8)
    assert not np.allclose(first, heads.data)


@pytest.mark.napari
def test_closing_the_viewer_stops_the_movie(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer(show=True)
    show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)

    def closing():
        for i, frame in enumerate(movie_frames(view)):
            yield frame
            if i == 2:
                viewer.close()

    with pytest.raises(MovieStopped):
        write_movie(closing(), tmp_path / "a.mp4")
    assert os.listdir(tmp_path) == []
