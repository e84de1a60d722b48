"""The dock, driven through its buttons; files through the viewer."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_seurat_tracks.session import KEY, Session
from napari_seurat_tracks.view import show_session, view_of
from seurat_tracks.io.video import open_video
from tests.fixtures.lifted import make_lifted, make_video

pytestmark = pytest.mark.napari
MANIFEST = (
    Path(__file__).resolve().parents[2]
    / "napari_plugin"
    / "napari_seurat_tracks"
    / "napari.yaml"
)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def plugin(npe2pm):
    """Register the manifest as an installed plugin has it."""
    from npe2 import PluginManifest

    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)) as registered:
        yield registered


@pytest.fixture
def widget(viewer, qtbot):
    from napari_seurat_tracks._qt.view import ViewWidget

    made = ViewWidget(viewer)
    viewer.window.add_dock_widget(made, name="View tracks in 3D")
    return made


def click(qtbot, button):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_an_empty_viewer_says_what_to_do(widget, qtbot):
    assert "Open a file of tracks" in widget.status.text()
    assert not widget.colour_by.isEnabled()
    click(qtbot, widget.switch)
    assert not widget.switch.isChecked()
    assert "no tracks to show in 3D" in widget.status.text()


def test_every_control_reaches_the_scene(viewer, widget, qtbot):
    viewer.add_image(make_video(9), rgb=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    assert widget.colour_by.count() == 7
    assert not widget.boxes["grid"].isEnabled()
    click(qtbot, widget.switch)
    assert scene.in_3d
    assert widget.switch.text() == "Show over the picture"
    for name, box in widget.boxes.items():
        assert box.isEnabled(), name
        before = getattr(scene.look, name)
        box.click()
        assert getattr(scene.look, name) is not before
        part = {"hidden": "hidden", "grid": "grid"}.get(name, name)
        if name != "hidden":
            assert scene.layers[part].visible is not before
        box.click()
    widget.colour_by.setCurrentText("uncertainty")
    assert scene.colour_by == "uncertainty"
    assert widget.bar.text[1] == "standard error of log depth (0.1 = 10 %)"
    widget.tail.setValue(3)
    assert scene.look.tail == 3
    widget.plane.setValue(0)
    near = scene.plane_depth
    widget.plane.setValue(100)
    assert scene.plane_depth > 2 * near
    assert widget.plane_text.text().endswith(" m")
    centre = viewer.scene.camera.angles
    click(qtbot, widget.looks["Top"])
    assert not np.allclose(viewer.scene.camera.angles, centre)
    click(qtbot, widget.switch)
    assert not scene.in_3d


def test_naparis_own_button_switches_too(viewer, widget, qtbot):
    viewer.add_image(make_video(9), rgb=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    view.go_to(3)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: view.in_3d)
    assert scene.in_3d
    assert widget.switch.isChecked()
    assert view.frame == 3
    viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: not view.in_3d)
    assert [la.name for la in viewer.layers] == ["Image", "tracks", "hidden", "points"]
    assert view.frame == 3


def test_selection_and_edits_show_in_the_dock(viewer, widget):
    ds = make_lifted(6, 9)
    session = Session(ds)
    show_session(viewer, session)
    session.select([1, 2])
    assert "2 selected" in widget.status.text()
    session.replace(ds.drop_vars("confidence"), "no confidence")
    assert widget.colour_by.findText("confidence") == -1


def test_tracks_without_depth(viewer, widget, qtbot):
    ds = make_lifted().drop_vars(
        ["xyz", "depth", "scale", "log_depth_ratio", "depth_ratio_sigma"]
    )
    show_session(viewer, Session(ds))
    click(qtbot, widget.switch)
    assert not widget.switch.isChecked()
    assert viewer.dims.ndisplay == 2
    assert "lift them first" in widget.status.text()


def test_a_movie_from_the_dock(viewer, widget, tmp_path):
    show_session(viewer, Session(make_lifted(6, 9)))
    path = widget.movie.save(tmp_path / "a.mp4")
    assert open_video(path).sizes["time"] == 9
    assert widget.movie.button.text() == "Save movie…"


def test_a_movie_is_stopped_by_its_button(viewer, widget, tmp_path, qtbot):
    show_session(viewer, Session(make_lifted(6, 9)))
    widget.movie.bar.valueChanged.connect(
        lambda value: click(qtbot, widget.movie.button) if value == 2 else None
    )
    assert widget.movie.save(tmp_path / "a.mp4") is None
    assert os.listdir(tmp_path) == []


def test_the_viewer_closes_while_a_movie_is_made(viewer, widget, tmp_path):
    show_session(viewer, Session(make_lifted(6, 9)))
    from qtpy.QtCore import QTimer

    # as when the cross is clicked: while events are handled
    widget.movie.bar.valueChanged.connect(
        lambda value: QTimer.singleShot(0, viewer.close) if value == 2 else None
    )
    assert widget.movie.save(tmp_path / "a.mp4") is None
    assert os.listdir(tmp_path) == []


def test_drag_and_drop_of_a_store_and_a_video(viewer, plugin, tmp_path):
    from seurat_tracks.notebook.animate import write_mp4

    video = write_mp4(make_video(9), tmp_path / "clip.mp4", 25)
    store = make_lifted(6, 9).seurat.save(tmp_path / "tracks.zarr")
    (image,) = viewer.open(str(video), plugin="seurat-tracks")
    (tracks,) = viewer.open(str(store), plugin="seurat-tracks")
    assert image.name == "clip"
    view = view_of(viewer)
    assert view.scene.layers["tails"] is tracks
    assert view.scene.session.path == store
    assert view.scene.video is image
    view.switch(True)
    view.go_to(5)
    assert view.scene.layers["picture"].visible


def test_a_table_takes_the_size_of_the_open_video(viewer, plugin, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("track,frame,x,y\n0,0,5,6\n0,1,6,7\n")
    viewer.add_image(make_video(9), rgb=True)
    (tracks,) = viewer.open(str(path), plugin="seurat-tracks")
    assert tracks.metadata[KEY].dataset.attrs["frame_size"] == [160, 120]


def test_saving_through_napari(viewer, plugin, tmp_path):
    ds = make_lifted(6, 9)
    scene = show_session(viewer, Session(ds))
    view_of(viewer).go_to(8)  # what is drawn now is not what is saved
    tails = scene.layers["tails"]
    written = tails.save(str(tmp_path / "a.csv"), plugin="seurat-tracks")
    assert written == [str(tmp_path / "a.csv")]
    viewer.layers.save(str(tmp_path / "a.zarr"), plugin="seurat-tracks")
    import seurat_tracks as st

    for name in ("a.csv", "a.zarr"):
        back = st.read(tmp_path / name)
        assert back.sizes["track"] == 6
        assert np.allclose(back["xyz"], ds["xyz"], atol=1e-5, equal_nan=True)


def test_the_sample_opens_and_lifts_off(viewer, plugin, widget, qtbot):
    viewer.open_sample("seurat-tracks", "sample")
    assert "255 tracks, 48 frames" in widget.status.text()
    click(qtbot, widget.switch)
    view_of(viewer).go_to(24)
    image = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 1000
