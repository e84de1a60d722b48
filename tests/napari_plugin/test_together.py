"""All widgets in one viewer: one session, both views, and what people do to them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import seurat_tracks as st
from napari_seurat_tracks import session as sessions
from napari_seurat_tracks.session import KEY, Session, session_of, sessions_at
from napari_seurat_tracks.view import show_session, view_of
from tests.fixtures.lifted import make_lifted, make_video

pytestmark = pytest.mark.napari


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(make_video(9), rgb=True, name="video")
    return viewer


@pytest.fixture
def inspect(viewer, qtbot):
    """A viewer with lifted tracks and the Inspect dock."""
    show_session(viewer, Session(make_lifted(6, 9)))
    return open_inspect(viewer, qtbot)


def open_inspect(viewer, qtbot):
    from napari_seurat_tracks._qt.inspect import InspectWidget

    widget = InspectWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Inspect")
    settle(qtbot, widget)
    return widget


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget._counting.running, timeout=60_000)


def press(qtbot, button):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def drawn(scene):
    """Ids, places and sizes of the points that are drawn now."""
    heads = scene.layers["heads"]
    ids = heads.features["track"].to_numpy()[heads.shown]
    return ids.tolist(), heads.data[heads.shown], heads.size[heads.shown]


@pytest.mark.parametrize("in_3d", [False, True])
def test_edits_in_the_dock_reach_the_view(viewer, inspect, qtbot, in_3d):
    session, view = inspect.session, view_of(viewer)
    scene = view.scene
    view.switch(in_3d)
    view.go_to(0)
    camera = viewer.scene.camera.model_dump()
    session.select([2, 4])
    press(qtbot, inspect.drop_button)
    assert drawn(scene)[0] == [0, 1, 3, 5]
    assert session.selection.tolist() == []
    press(qtbot, inspect.undo_button)
    assert drawn(scene)[0] == list(range(6))
    session.select([4])
    inspect.first.setValue(0)
    inspect.last.setValue(2)
    press(qtbot, inspect.hide_button)
    ids, _, _ = drawn(scene)
    assert 4 not in ids
    hidden = scene.layers["hidden"]
    assert np.allclose(hidden.data[hidden.shown], scene.space.points[4, 0])
    # an edit that moves nothing leaves the camera where it was
    now = viewer.scene.camera.model_dump()
    assert all(np.allclose(camera[k], now[k]) for k in ("center", "zoom", "angles"))
    assert session.selection.tolist() == [4]
    view.go_to(5)
    press(qtbot, inspect.split_button)
    ids, _, size = drawn(scene)
    assert 6 in ids
    assert size[ids.index(6)] == size.min()  # the new part is not selected
    tails = scene.layers["tails"]
    rows = np.isin(tails.features["track"].to_numpy()[:-2], [4, 6])
    assert len(np.unique(tails.data[:-2][rows, 0])) == 2  # no line over the cut
    for _ in range(2):
        press(qtbot, inspect.undo_button)
    view.go_to(0)
    assert drawn(scene)[0] == list(range(6))
    assert scene.in_3d is view.in_3d is in_3d
    shown = [la for la in viewer.layers if la.name != "video"]
    assert set(map(id, shown)) == set(map(id, scene.layers.values()))
    assert session_of(viewer) is session


def test_undo_of_the_lift_in_3d_goes_back_to_the_picture(viewer, inspect, qtbot):
    flat = make_lifted(6, 9).drop_vars(
        ["xyz", "depth", "scale", "log_depth_ratio", "depth_ratio_sigma"]
    )
    viewer.layers.remove("tracks")
    session = Session(flat)
    scene = show_session(viewer, session)
    view = view_of(viewer)
    session.replace(make_lifted(6, 9), "lifted")
    view.switch(True)
    session.select([1])
    press(qtbot, inspect.undo_button)
    assert not view.in_3d
    assert viewer.dims.ndisplay == 2
    assert viewer.layers["video"].visible
    assert "lift them first" in scene.status()
    assert session.selection.tolist() == [1]
    press(qtbot, inspect.redo_button)
    view.switch(True)
    assert scene.in_3d


def test_two_sessions_in_one_viewer(viewer, inspect, qtbot):
    one = inspect.session
    two = Session(make_lifted(4, 9, ids=list("abcd"), seed=9))
    other = show_session(viewer, two)
    view = view_of(viewer)
    first = next(s for s in view.scenes if s.session is one)
    for in_3d in (False, True):
        view.switch(in_3d)
        for scene in (first, other):
            # whichever of its layers is the active one
            for part in ("heads", "tails"):
                viewer.layers.selection.active = scene.layers[part]
                assert view.scene is scene
                assert inspect.session is scene.session
                settle(qtbot, inspect)
            track = scene.session.dataset["track"].values[0]
            scene.session.select([track])
            press(qtbot, inspect.drop_button)
            assert inspect.session is scene.session  # and it stays the one
            settle(qtbot, inspect)
            assert track not in scene.session.dataset["track"].values
            assert (
                len(scene.layers["heads"].data) == scene.session.dataset.sizes["track"]
            )
            press(qtbot, inspect.undo_button)
            settle(qtbot, inspect)
    assert one.dataset.sizes["track"] == 6
    assert two.dataset.sizes["track"] == 4
    # one of them is taken away, in 3D; the other goes on
    viewer.layers.remove(first.layers["tails"])
    assert view.scenes == [other]
    assert inspect.session is two
    view.switch(False)
    assert other.layers["heads"] in viewer.layers


def test_layers_that_the_user_deletes(viewer, inspect, qtbot):
    session, view = inspect.session, view_of(viewer)
    scene = view.scene
    session.select([0])
    press(qtbot, inspect.drop_button)
    for part in ("hidden", "heads"):
        viewer.layers.remove(scene.layers[part])
    view.switch(True)
    viewer.layers.remove(scene.layers["picture"])
    viewer.layers.remove(scene.layers["grid"])
    view.go_to(4)
    press(qtbot, inspect.undo_button)  # what fits the tracks is made again
    assert drawn(scene)[0]
    # and the last one: nothing of the session is left in this viewer, but its holder
    # can show it again with all that was done
    viewer.layers.remove(scene.layers["tails"])
    assert inspect.session is None
    assert view.scenes == []
    assert not inspect.undo_button.isEnabled()
    settle(qtbot, inspect)
    assert [la.name for la in viewer.layers] == ["video"]
    show_session(viewer, session)
    assert inspect.session is session
    assert inspect.redo_button.isEnabled()


def test_undo_after_the_dock_was_closed(viewer, inspect, qtbot):
    from qtpy.QtWidgets import QApplication

    session = inspect.session
    view_of(viewer).go_to(0)
    session.select([1, 2])
    press(qtbot, inspect.drop_button)
    settle(qtbot, inspect)
    viewer.window.remove_dock_widget(inspect)
    inspect.deleteLater()
    QApplication.sendPostedEvents(None, 52)  # deferred deletes
    session.undo()
    assert drawn(view_of(viewer).scene)[0] == list(range(6))
    session.redo()
    again = open_inspect(viewer, qtbot)
    assert again.undo_button.isEnabled()
    press(qtbot, again.undo_button)
    assert session.dataset.sizes["track"] == 6


def test_undo_keeps_as_much_as_fits_and_no_more(monkeypatch):
    ds = make_lifted(20, 30)
    one = sum(v.nbytes for v in ds.variables.values())
    monkeypatch.setattr(sessions, "KEPT_BYTES", 4 * one)
    session = Session(ds)
    gone = weakref.ref(session.dataset)
    del ds
    for n in range(12):
        session.replace(session.dataset.copy(deep=True), f"change {n}")
    gc.collect()
    assert gone() is None
    assert session.can_undo
    assert len(session.dataset.attrs["history"]) == 12  # what was done is still said
    kept = 0
    while session.can_undo:
        session.undo()
        kept += 1
    assert 2 <= kept <= 4
    # what is shared counts once, so that small edits are kept by the hundred
    session = Session(session.dataset)
    for n in range(100):
        session.replace(session.dataset.assign_attrs(n=n), "said something")
    assert len(session._states) == 101
    # and one step back there always is
    monkeypatch.setattr(sessions, "KEPT_BYTES", 0)
    session.replace(session.dataset.copy(deep=True), "change")
    assert session.can_undo


def test_one_store_opened_twice_and_saved_over(viewer, qtbot, tmp_path):
    from napari.layers import Layer

    from napari_seurat_tracks.read import read_tracks

    path = make_lifted(6, 9).seurat.save(tmp_path / "a.zarr")
    for _ in range(2):
        for data in read_tracks(path):
            viewer.add_layer(Layer.create(*data))
    one, two = (scene.session for scene in view_of(viewer).scenes)
    assert one is not two
    assert {id(s) for s in sessions_at(path)} == {id(one), id(two)}
    widget = open_inspect(viewer, qtbot)
    assert widget.session is two
    two.select([0])
    press(qtbot, widget.drop_button)
    settle(qtbot, widget)
    press(qtbot, widget.saver.save_button)
    box = widget.saver.question
    replace = next(b for b in box.buttons() if b.text().replace("&", "") == "Replace")
    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        press(qtbot, replace)
    assert st.open(path).sizes["track"] == 5
    assert two.is_saved
    assert one.dataset.sizes["track"] == 6
    assert np.isfinite(one.dataset["xyz"].values[0, 0]).all()
    assert not one.is_saved  # what it shows is no longer in the store


def test_an_edit_while_saving_is_not_taken_for_saved(viewer, inspect, qtbot, tmp_path):
    session = inspect.session
    with qtbot.waitSignal(inspect.work.ended, timeout=60_000):
        inspect.saver.save_to(tmp_path / "a.zarr")
        session.replace(session.dataset.isel(track=[0, 1]), "kept two")
    assert st.open(tmp_path / "a.zarr").sizes["track"] == 6
    assert not session.is_saved
    assert inspect.saver.save_button.text() == "Save *"


def test_the_sample_twice(viewer, qtbot):
    from napari.layers import Layer

    from napari_seurat_tracks.sample import open_sample

    for _ in range(2):
        for data in open_sample():
            viewer.add_layer(Layer.create(*data))
    view = view_of(viewer)
    assert len(view.scenes) == 2
    one, two = (scene.session for scene in view.scenes)
    one.replace(one.dataset.isel(track=slice(3)), "kept three")
    assert two.dataset.sizes["track"] == 255
    view.switch(True)
    assert all(scene.in_3d for scene in view.scenes)
    widget = open_inspect(viewer, qtbot)
    press(
        qtbot, widget.saver.save_button
    )  # never over what is installed: it asks where
    assert widget.saver.dialog.isVisible()
    widget.saver.dialog.reject()
    view.switch(False)
    assert sum(KEY in layer.metadata for layer in viewer.layers) == 2
