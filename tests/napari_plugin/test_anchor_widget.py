from __future__ import annotations

import numpy as np
import pytest

from napari_seurat_tracks.anchoring import Statement, anchored
from napari_seurat_tracks.session import Session
from napari_seurat_tracks.view import show_session, view_of
from seurat_tracks.errors import DepthError
from seurat_tracks.io.arrays import from_arrays

SIZE = (160, 120)
CAMERA = (110.0, 110.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def scene():
    """A rigid plane of 12 points 5 m away that comes nearer; positions in metres."""
    n, t = 12, 16
    spread = np.stack(np.meshgrid([-1.5, -0.5, 0.5, 1.5], [-1, 0, 1]), -1)
    xyz = np.concatenate([spread.reshape(n, 2), np.full((n, 1), 5.0)], 1)
    xyz = np.repeat(xyz[:, None], t, 1)
    xyz[..., 2] *= 1 - 0.02 * np.arange(t)
    xy = 110 * xyz[..., :2] / xyz[..., 2:] + CAMERA[2:]
    ds = from_arrays(xy.astype(np.float32), frame_size=SIZE, fps=25, query_frame=0)
    ratio = np.log(xyz[..., 2] / 5).astype(np.float32)
    ds = ds.assign(
        log_depth_ratio=(("track", "time"), ratio),
        depth_ratio_sigma=(("track", "time"), np.full_like(ratio, 0.01)),
    ).assign_coords(reference_frame=("track", np.zeros(n, int)))
    return ds.seurat.anchor(intrinsics=CAMERA), xyz


def test_relative_tracks_get_metres_from_one_distance(scene):
    ds, xyz = scene
    apart = float(np.linalg.norm(xyz[0, 0] - xyz[3, 0]))
    out = anchored(ds, [Statement("distance", (0, 3), apart, 0)], "equal_depth")
    assert out.attrs["units"] == "m"
    np.testing.assert_allclose(out["xyz"][:, 0], xyz[:, 0], rtol=1e-3, atol=1e-3)
    # said again in metres, everything is multiplied by one factor and nothing else
    again = anchored(out, [Statement("distance", (0, 3), 2 * apart, 0)], "as_is")
    np.testing.assert_allclose(again["depth"], 2 * out["depth"], rtol=1e-6)
    np.testing.assert_allclose(again["xyz"], 2 * out["xyz"], rtol=1e-5, atol=1e-6)
    assert "1 known distance" in again.attrs["depth_source"]
    back = anchored(again, [Statement("depth", (5,), 5.0, 0)], "as_is")
    np.testing.assert_allclose(back["depth"].sel(track=5, time=0), 5, rtol=1e-5)
    alone = anchored(ds, [Statement("depth", (5,), 5.0, 0)], "alone")
    assert np.isfinite(alone["depth"]).all("time").sum() == 1
    big = float(np.linalg.norm(xyz[0, 0] - xyz[11, 0]))
    out = anchored(ds, [Statement("size", (0, 3, 8, 11), big)], "equal_depth")
    np.testing.assert_allclose(out["xyz"][:, 0], xyz[:, 0], rtol=0.02, atol=0.02)


def test_error_bars_and_poses_stay_when_one_factor_changes(scene):
    ds, xyz = scene
    maps = np.repeat(xyz[:1, :, 2].T[:, :, None], 120, 1).repeat(160, 2)
    rng = np.random.default_rng(0)
    maps = maps * rng.normal(1, 0.02, (16, 1, 1))
    from seurat_tracks.cameras import Poses
    from seurat_tracks.cameras.poses import to_world

    ds = ds.seurat.anchor(maps.astype(np.float32), intrinsics=CAMERA)
    away = np.tile(np.eye(4), (16, 1, 1))
    away[:, :3, 3] = [10, 20, 30]
    world = to_world(ds, Poses(away, "camera_to_world"))
    out = anchored(world, [Statement("depth", (5,), 10.0, 0)], "as_is")
    np.testing.assert_array_equal(out["scale_sigma"], ds["scale_sigma"])
    factor = 10 / float(ds["depth"].sel(track=5, time=0))
    expected = ds["xyz"] * factor + [10, 20, 30]
    np.testing.assert_allclose(out["xyz"], expected, rtol=1e-4, atol=1e-4)
    assert out.attrs["frame_of_reference"] == "world"
    assert "camera_to_world" in out


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Statement("distance", (3, 3), 1.0), "from a point to itself"),
        (lambda: Statement("distance", (3,), 1.0), "of 2 points, got 1"),
        (lambda: Statement("depth", (), 1.0), "of 1 point, got 0"),
        (lambda: Statement("size", (1,), 1.0), "two tracks or more"),
        (lambda: Statement("depth", (1,), float("nan")), "positive, finite"),
        (lambda: Statement("depth", (1,), -2.0), "positive, finite"),
        (lambda: Statement("distance", (1, 2), float("inf")), "positive, finite"),
    ],
)
def test_what_says_nothing_is_refused(make, text):
    with pytest.raises(DepthError, match=text):
        make()


def test_what_does_not_suffice_is_refused(scene):
    ds, _ = scene
    near = Statement("distance", (0, 3), 1.0, 0)
    for tracks, statements, relation, rigid, text in (
        (ds, [near], "as_is", (), "relative"),
        (ds, [near], "alone", (), "how they lie to one another"),
        (ds, [near], "rigid", (0, 3), "three tracks"),
        (ds, [], "equal_depth", (), "nothing is known yet"),
        (ds[["xy", "visible"]], [near], "equal_depth", (), "lift them first"),
        (ds, [Statement("depth", (99,), 1.0)], "equal_depth", (), "no track 99"),
    ):
        with pytest.raises(DepthError, match=text):
            anchored(tracks, statements, relation, rigid=rigid)


# -- the widget ---------------------------------------------------------------------


@pytest.fixture
def tool(make_napari_viewer, scene):
    from napari_seurat_tracks._qt.anchor import AnchorWidget

    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((16, 120, 160), np.uint8), name="clip")
    show_session(viewer, Session(scene[0]))
    widget = AnchorWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Anchor")
    viewer.dims.set_point(0, 2)
    return widget


def press(qtbot, button):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(box, data):
    box.setCurrentIndex(box.findData(data))


def click_at(qtbot, widget, x, y):
    """Click the viewer's canvas at a pixel of the video."""
    from qtpy.QtCore import QPoint, Qt

    viewer = widget.viewer
    canvas = viewer.window._qt_viewer.canvas
    camera = getattr(viewer, "scene", viewer).camera
    centre = np.asarray(camera.center)[-2:]
    offset = (np.array([y, x]) - centre) * camera.zoom
    native = canvas.native
    scale = native.devicePixelRatioF()
    where = QPoint(
        round(native.width() / 2 + offset[1] / scale),
        round(native.height() / 2 + offset[0] / scale),
    )
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=where)


def place(widget, track, frame):
    return widget.session.dataset["xy"].sel(track=track, time=frame).values


def anchor(qtbot, widget, text):
    from qtpy.QtCore import Qt

    widget.metres.clear()
    qtbot.keyClicks(widget.metres, text)
    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        qtbot.keyClick(widget.metres, Qt.Key.Key_Return)


@pytest.mark.napari
def test_two_clicks_and_a_distance(qtbot, tool, scene):
    ds, xyz = scene
    press(qtbot, tool.pick_button)
    click_at(qtbot, tool, *(place(tool, 0, 2) + np.array([1.5, -1])))
    assert tool.picks == [(0, 2)]
    assert "1 more to pick" in tool.picked.text()
    click_at(qtbot, tool, *place(tool, 3, 2))
    assert tool.picks == [(0, 2), (3, 2)]
    marks = tool.viewer.layers["anchor points"]
    np.testing.assert_allclose(marks.data[0, 1:], place(tool, 0, 2)[::-1], atol=0.01)
    anchor(qtbot, tool, "3.0")
    assert tool.work.message.text().startswith("scale × ")
    out = tool.session.dataset
    assert out.attrs["units"] == "m"
    np.testing.assert_allclose(out["xyz"][:, 2], xyz[:, 2], rtol=0.02, atol=0.02)
    assert tool.known.item(0).text() == "distance of 0 – 3: 3 m in frame 2"
    assert tool.relation.currentData() == "as_is"
    assert "units: m" in tool.scale.text()
    # the same points again: the newest word counts
    anchor(qtbot, tool, "6")
    assert tool.work.message.text().startswith("scale × 2:")
    assert tool.known.count() == 1
    press(qtbot, tool.undo_button)
    press(qtbot, tool.undo_button)
    assert tool.session.dataset.identical(ds)
    assert tool.known.count() == 0
    press(qtbot, tool.redo_button)
    assert tool.known.count() == 1
    assert tool.session.dataset.attrs["units"] == "m"
    assert "anchored by distance of 0 – 3" in tool.session.dataset.attrs["history"][0]


@pytest.mark.napari
def test_one_click_and_a_depth(qtbot, tool):
    choose(tool.kind, "depth")
    press(qtbot, tool.pick_button)
    click_at(qtbot, tool, *place(tool, 5, 2))
    anchor(qtbot, tool, "2,5")  # as half the world writes it
    out = tool.session.dataset
    assert float(out["depth"].sel(track=5, time=2)) == pytest.approx(2.5, rel=1e-4)
    assert np.isfinite(out["depth"]).all()


@pytest.mark.napari
def test_bad_words(qtbot, tool):
    press(qtbot, tool.pick_button)
    click_at(qtbot, tool, 2, 118)
    assert "no track is seen within" in tool.work.message.text()
    for text, message in (
        ("", "give the metres"),
        ("x", "must be a number"),
        ("1", "of 2 points, got 0"),
    ):
        tool.metres.setText(text)
        press(qtbot, tool.apply_button)
        assert message in tool.work.message.text()
    for _ in range(2):
        click_at(qtbot, tool, *place(tool, 5, 2))
    tool.metres.setText("1")
    press(qtbot, tool.apply_button)
    assert "from a point to itself" in tool.work.message.text()
    click_at(qtbot, tool, *place(tool, 5, 2))
    tool.viewer.dims.set_point(0, 9)
    click_at(qtbot, tool, *place(tool, 6, 9))
    press(qtbot, tool.apply_button)
    assert "picked in frames 2, 9" in tool.work.message.text()
    for text in ("nan", "-1", "inf", "0"):
        tool.this_frame.setChecked(False)
        tool.metres.setText(text)
        press(qtbot, tool.apply_button)
        assert "positive, finite number of metres" in tool.work.message.text()
    assert not tool.session.can_undo
    press(qtbot, tool.take_button)
    assert "no track is selected" in tool.work.message.text()
    tool.session.select([1, 2, 3])
    press(qtbot, tool.take_button)
    assert "3 tracks are selected, 2 needed" in tool.work.message.text()


@pytest.mark.napari
def test_picks_in_3d_and_sees_the_scale_change_there(qtbot, tool):
    """Metres first, so that there is one space; then a distance in that space."""
    viewer, session = tool.viewer, tool.session
    view = view_of(viewer)
    choose(tool.kind, "depth")
    press(qtbot, tool.pick_button)
    click_at(qtbot, tool, *place(tool, 5, 2))
    assert session.selection.tolist() == []  # a pick selects nothing
    session.select([3, 7])
    anchor(qtbot, tool, "2")
    tool.known.setCurrentRow(0)
    press(qtbot, tool.remove_button)
    choose(tool.kind, "distance")
    view.switch(True)
    scene = view.scene
    view.look((1.0, 0.0, 0.0))
    for track in (0, 3):
        y, x = scene.space.points[track, 2, 1:]
        click_at(qtbot, tool, x, y)
    assert tool.picks == [(0, 2), (3, 2)]
    marks = viewer.layers["anchor points"]
    assert np.allclose(marks.data[:, 1:], scene.space.points[[0, 3], 2])
    before = scene.space.points.copy()
    numbers = list(scene.layers["numbers"].features["text"])
    apart = float(np.linalg.norm(before[0, 2] - before[3, 2]))
    anchor(qtbot, tool, str(3 * apart))
    assert view.in_3d
    assert view.scene is scene
    assert np.allclose(scene.space.points, 3 * before, rtol=1e-3)
    heads = scene.layers["heads"]
    assert np.allclose(heads.data[3], scene.space.points[3, 2])
    assert list(scene.layers["numbers"].features["text"]) != numbers
    # the scene has grown, and is still in the window
    assert np.allclose(
        viewer.layers["anchor points"].data[:, 1:], scene.space.points[[0, 3], 2]
    )
    camera = viewer.scene.camera
    away = scene.outline() - np.asarray(camera.center)
    size = np.asarray(viewer.canvas.size)
    assert (np.abs(away[:, 1:]) * camera.zoom < 0.5 * size).all()
    assert session.selection.tolist() == [3, 7]
    assert scene.selected.tolist() == [3, 7]
    # back over the picture the same points are marked
    view.switch(False)
    marks = viewer.layers["anchor points"]
    assert np.allclose(marks.data[:, 1:], scene.space.points[[0, 3], 2])
    press(qtbot, tool.undo_button)
    press(qtbot, tool.undo_button)
    assert not session.can_undo
    assert session.selection.tolist() == [3, 7]


@pytest.mark.napari
def test_a_video_with_a_scale_carries_its_tracks(qtbot, make_napari_viewer, scene):
    from napari_seurat_tracks._qt.anchor import AnchorWidget

    viewer = make_napari_viewer(show=True)
    viewer.add_image(
        np.zeros((16, 120, 160), np.uint8),
        scale=(2.0, 0.5, 0.25),
        translate=(10.0, 3.0, 4.0),
    )
    shown = show_session(viewer, Session(scene[0]))
    view = view_of(viewer)
    widget = AnchorWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Anchor")
    view.go_to(4)
    assert viewer.dims.point[0] == 18
    assert shown.frame == 4
    x, y = scene[0]["xy"].values[6, 4]
    heads = shown.layers["heads"]
    assert np.allclose(heads.data_to_world(heads.data[6]), [3 + y / 2, 4 + x / 4])
    press(qtbot, widget.pick_button)
    click_at(qtbot, widget, 4 + x / 4, 3 + y / 2)
    assert widget.picks == [(6, 4)]
    mark = viewer.layers["anchor points"]
    assert np.allclose(mark.data_to_world(mark.data[0]), [18, 3 + y / 2, 4 + x / 4])
    widget.pick_button.setChecked(False)
    click_at(qtbot, widget, 4 + x / 4, 3 + y / 2)
    assert shown.session.selection.tolist() == [6]


@pytest.mark.napari
def test_a_drag_is_no_click_and_a_closed_tool_hears_none(qtbot, tool):
    from qtpy.QtWidgets import QApplication

    viewer, view = tool.viewer, view_of(tool.viewer)
    press(qtbot, tool.pick_button)
    click_at(qtbot, tool, *place(tool, 5, 2))
    assert view.taker is not None
    assert "anchor points" in viewer.layers
    viewer.window.remove_dock_widget(tool)
    tool.deleteLater()
    QApplication.sendPostedEvents(None, 52)  # deferred deletes
    assert view.taker is None
    assert "anchor points" not in viewer.layers
    view.switch(True)  # nobody draws marks any more


@pytest.mark.napari
def test_tracks_that_are_not_lifted(qtbot, make_napari_viewer, scene):
    from napari_seurat_tracks._qt.anchor import AnchorWidget

    viewer = make_napari_viewer()
    widget = AnchorWidget(viewer)
    assert not widget.apply_button.isEnabled()
    session = Session(scene[0][["xy", "visible"]])
    show_session(viewer, session)
    session.select([0, 3])
    press(qtbot, widget.take_button)
    widget.metres.setText("2")
    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        press(qtbot, widget.apply_button)
    assert "lift them first" in widget.work.message.text()
    assert not session.can_undo
