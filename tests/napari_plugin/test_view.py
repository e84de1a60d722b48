"""The view in a real viewer that is shown."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from napari_seurat_tracks.layers import tracks_layer
from napari_seurat_tracks.scene import SELECTED, TAIL_ROWS
from napari_seurat_tracks.session import KEY, PART, Session
from napari_seurat_tracks.space import picture_corners
from napari_seurat_tracks.stage import ViewError
from napari_seurat_tracks.view import show_session, view_of
from tests.fixtures.lifted import INTRINSICS, SIZE, make_lifted, make_video

pytestmark = pytest.mark.napari


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


def shot(viewer) -> np.ndarray:
    image = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 1  # it really draws
    return image


def names(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_a_layer_with_a_session_becomes_a_scene(viewer):
    from napari.layers import Layer

    view = view_of(viewer)
    assert view_of(viewer) is view
    ds = make_lifted(6, 9)
    layer = Layer.create(*tracks_layer(ds))
    viewer.add_layer(layer)
    assert len(view.scenes) == 1
    assert names(viewer) == ["tracks", "hidden", "points"]
    assert view.scene.layers["tails"] is layer
    assert view.scene.session is layer.metadata[KEY]
    assert len(np.unique(shot(viewer).reshape(-1, 3), axis=0)) > 5


def test_heads_stand_where_the_tracks_are(viewer):
    ds = make_lifted(6, 9)
    scene = show_session(viewer, Session(ds))
    view = view_of(viewer)
    for frame in (0, 4, 8):
        view.go_to(frame)
        heads = scene.layers["heads"]
        seen = ds["visible"].values[:, frame]
        assert heads.shown.tolist() == seen.tolist()
        xy = ds["xy"].values[seen, frame]
        assert np.allclose(heads.data[seen], xy[:, ::-1])
        assert (heads.size[~seen] == 0).all()
        assert (heads.face_color[~seen] == 0).all()
    # frame 4: 1, 3, 5 are hidden, and nobody knows where 3 is
    view.go_to(4)
    hidden = scene.layers["hidden"]
    rings = hidden.data[hidden.shown & (hidden.face_color[:, 3] == 0)]
    assert np.allclose(rings, ds["xy"].values[[1, 5], 4, ::-1])
    # frame 3 of both: a dot
    dots = hidden.data[hidden.shown & (hidden.face_color[:, 3] > 0)]
    assert np.allclose(np.sort(dots, 0), np.sort(ds["xy"].values[[1, 5], 3, ::-1], 0))


@pytest.mark.parametrize("in_3d", [False, True])
def test_tails_never_cross_a_gap(viewer, in_3d):
    ds = make_lifted(8, 12)
    scene = show_session(viewer, Session(ds))
    view = view_of(viewer)
    view.switch(in_3d)
    view.go_to(11)
    tails = scene.layers["tails"]
    spans, times = tails.data[:-2, 0], tails.data[:-2, 1]
    joined = np.diff(spans) == 0
    assert joined.any()
    assert (np.diff(times)[joined] == 1).all()
    tracks = tails.features["track"].to_numpy()[:-2]
    assert (tracks[1:] == tracks[:-1])[joined].all()
    assert set(tracks) == set(range(8))
    # what napari really connects
    connected = tails._manager.track_connex
    assert not connected[-2:].any()
    assert connected.sum() == joined.sum()


def test_the_slider_keeps_its_range_and_its_frame(viewer):
    ds = make_lifted(6, 9)
    viewer.add_image(make_video(9), rgb=True)
    show_session(viewer, Session(ds))
    view = view_of(viewer)
    view.go_to(6)
    ranges = viewer.dims.range[0]
    assert (ranges.start, ranges.stop) == (0, 8)
    view.switch(True)
    assert view.frame == 6
    assert (viewer.dims.range[0].start, viewer.dims.range[0].stop) == (0, 8)
    view.go_to(2)
    view.switch(False)
    assert view.frame == 2
    assert viewer.dims.ndim == 3


def test_the_switch_keeps_the_selection_and_both_cameras(viewer):
    viewer.add_image(make_video(9), rgb=True, name="video")
    session = Session(make_lifted(6, 9))
    scene = show_session(viewer, session)
    view = view_of(viewer)
    session.select([0, 2])
    viewer.scene.camera.zoom = 3.25
    view.switch(True)
    assert viewer.dims.ndisplay == 3
    assert not viewer.layers["video"].visible
    heads = scene.layers["heads"]
    assert heads.size[0] == pytest.approx(2 * heads.size[4])
    assert scene.selected.tolist() == [0, 2]
    viewer.scene.camera.zoom = 77.0
    view.switch(False)
    assert viewer.layers["video"].visible
    assert viewer.scene.camera.zoom == pytest.approx(3.25)
    view.switch(True)
    assert viewer.scene.camera.zoom == pytest.approx(77.0)
    assert session.selection.tolist() == [0, 2]


def test_a_video_that_comes_late_goes_below(viewer):
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    image = viewer.add_image(make_video(9), rgb=True, name="video")
    assert names(viewer)[0] == "video"
    viewer.layers.remove(image)
    view.switch(True)
    assert not scene.layers["picture"].visible
    viewer.add_image(make_video(9), rgb=True, name="video")
    assert scene.layers["picture"].visible
    assert not viewer.layers["video"].visible
    shot(viewer)
    view.switch(False)
    assert viewer.layers["video"].visible


def test_the_picture_lies_on_the_rays_and_is_upright(viewer):
    """Draw the plane from the front and look where its corners are on the screen."""
    viewer.add_image(make_video(9), rgb=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    view.switch(True)
    scene.set_look(frustum=False, grid=False, hidden=False, tail=0, plane=0.5)
    corners = picture_corners(SIZE, INTRINSICS, scene.plane_depth)
    assert np.allclose(scene.layers["picture"].vertices, corners[:, ::-1], atol=1e-5)
    view.look((1.0, 0.0, 0.0))
    image = shot(viewer).astype(int)
    camera, (height, width) = viewer.scene.camera, image.shape[:2]

    def on_screen(point):
        x = width / 2 + camera.zoom * (point[0] - camera.center[2])
        y = height / 2 + camera.zoom * (point[1] - camera.center[1])
        return round(y), round(x)

    middle = corners.mean(0)
    expected = {0: (1, 0, 0), 1: (0, 1, 0), 3: (0, 0, 1), 2: (1, 1, 1)}
    for corner, colour in expected.items():
        inside = image[on_screen(0.9 * corners[corner] + 0.1 * middle)]
        assert ((inside > 100) == np.array(colour, bool)).all(), (corner, inside)
        outside = image[on_screen(1.06 * corners[corner] - 0.06 * middle)]
        assert (outside < 20).all()


def test_the_picture_follows_the_slider(viewer):
    viewer.add_image(make_video(9), rgb=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    view.switch(True)
    for frame in (0, 5):
        view.go_to(frame)
        assert scene.layers["picture"].texture[0, 0, 0] == 200 + frame


def test_a_camera_that_moves_carries_its_plane(viewer):
    import xarray as xr

    ds = make_lifted(6, 9)
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 0, 3] = np.arange(9)
    poses[4] = np.nan
    xyz = ds["xyz"].values + poses[:, :3, 3][None]
    ds = ds.assign(
        xyz=(ds["xyz"].dims, xyz.astype(np.float32), ds["xyz"].attrs),
        camera_to_world=xr.DataArray(poses, dims=("time", "row", "column")),
    ).assign_attrs(frame_of_reference="world")
    viewer.add_image(make_video(9), rgb=True)
    scene = show_session(viewer, Session(ds))
    view = view_of(viewer)
    view.switch(True)
    view.go_to(7)
    apex = scene.layers["frustum"].data[0, 0]
    assert np.allclose(apex, [0, 0, 7])
    assert scene.layers["picture"].visible
    view.go_to(4)  # nobody knows where the camera is
    assert not scene.layers["frustum"].visible
    assert not scene.layers["picture"].visible


def test_colours_follow_the_choice(viewer):
    ds = make_lifted(6, 9)
    scene = show_session(viewer, Session(ds))
    view_of(viewer).go_to(0)
    for name in scene.stage.choices:
        scene.set_look(colour_by=name)
        values = scene.stage.values(name)[:, 0]
        expected = scene.stage.palette(name)(values)
        heads = scene.layers["heads"]
        assert np.allclose(heads.face_color[heads.shown], expected[heads.shown])
    scene.set_look(colour_by="no such thing")
    assert scene.colour_by == "depth"


def test_error_bars(viewer):
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    view.switch(True)
    view.go_to(0)
    assert not scene.layers["bars"].visible
    scene.set_look(bars=True)
    bars = scene.layers["bars"]
    assert bars.visible
    assert len(bars.data) == 6
    depth = scene.stage.ds["depth"].values[:, 0]
    assert np.allclose(bars.data[:, 0, 0], depth / np.exp(0.05), rtol=1e-4)
    view.go_to(4)
    assert len(bars.data) == 3  # only what is seen


def test_edits_show_at_once(viewer):
    ds = make_lifted(6, 9)
    session = Session(ds)
    scene = show_session(viewer, session)
    view = view_of(viewer)
    for in_3d in (False, True):
        view.switch(in_3d)
        session.replace(ds.isel(track=[1, 4]), "kept two")
        assert scene.layers["heads"].features["track"].tolist() == [1, 4]
        assert view.scene is scene
        session.undo()
        assert len(scene.layers["heads"].data) == 6
        assert scene.in_3d is in_3d
        assert all(name in viewer.layers for name in scene.layers.values())
    session.replace(ds.drop_vars(["xyz", "depth"]), "forgot the depth")
    assert not scene.in_3d
    session.undo()


def test_an_edit_that_leaves_no_track(viewer):
    ds = make_lifted(6, 9)
    session = Session(ds)
    scene = show_session(viewer, session)
    session.replace(ds.isel(track=[]), "dropped all")
    view_of(viewer).go_to(3)
    assert len(scene.layers["heads"].data) == 0
    session.undo()
    assert len(scene.layers["heads"].data) == 6


def test_a_click_selects_the_track(viewer):
    session = Session(make_lifted(6, 9, ids=list("abcdef")))
    scene = show_session(viewer, session)
    view = view_of(viewer)
    for in_3d in (False, True):
        view.switch(in_3d)
        view.go_to(0)
        session.select([])
        at = scene.space.points[2, 0].astype(float)
        position = [0.0, *at]
        displayed = [1, 2, 3] if in_3d else [1, 2]
        way = np.array([0.0, 1.0, 0.0, 0.0]) if in_3d else None
        if in_3d:
            position[1] -= 2.0  # the mouse's place is somewhere on its ray
        view.click(position, way, displayed)
        assert session.selection.tolist() == ["c"]
        view.click([0.0, *scene.space.points[4, 0]], way, displayed, adding=True)
        assert session.selection.tolist() == ["c", "e"]
        view.click(position, way, displayed, adding=True)
        assert session.selection.tolist() == ["e"]
        view.click([0.0, *(scene.space.high + 50)], way, displayed)
        assert session.selection.tolist() == []


def test_a_real_click_on_the_canvas(viewer, qtbot):
    """Through Qt: a click on a point selects it, dragging there selects nothing."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtWidgets import QApplication

    session = Session(make_lifted(6, 9))
    scene = show_session(viewer, session)
    view_of(viewer).go_to(0)
    viewer.reset_view()
    QApplication.processEvents()
    canvas = viewer.window._qt_viewer.canvas.native
    camera = viewer.scene.camera
    y, x = scene.space.points[2, 0]
    middle = np.array([canvas.width(), canvas.height()]) / 2
    place = middle + camera.zoom * (np.array([x, y]) - np.array(camera.center)[[2, 1]])
    point = QPoint(*(round(float(v)) for v in place))
    qtbot.mouseMove(canvas, point)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)
    assert session.selection.tolist() == [2]
    session.select([])
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=point)
    qtbot.mouseMove(canvas, point + QPoint(30, 5))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=point + QPoint(30, 5))
    assert session.selection.tolist() == []


def test_tracks_without_depth_say_what_to_do(viewer):
    ds = make_lifted().drop_vars(
        ["xyz", "depth", "scale", "log_depth_ratio", "depth_ratio_sigma"]
    )
    scene = show_session(viewer, Session(ds))
    view = view_of(viewer)
    with pytest.raises(ViewError, match="Lift tracks to 3D"):
        view.switch(True)
    assert not view.in_3d
    assert viewer.dims.ndisplay == 2
    assert "lift them first" in scene.status()
    shot(viewer)


def test_no_tracks_at_all(viewer):
    with pytest.raises(ViewError, match="no tracks to show"):
        view_of(viewer).switch(True)


def test_without_a_frame_size_there_is_no_picture_and_no_camera(viewer):
    ds = make_lifted()
    del ds.attrs["frame_size"]
    viewer.add_image(make_video(9), rgb=True)
    scene = show_session(viewer, Session(ds))
    view = view_of(viewer)
    view.switch(True)
    assert "picture" not in scene.layers
    assert "frustum" not in scene.layers
    assert "do not say the frame's size" in scene.status()
    shot(viewer)


def test_relative_depth_is_shown_and_said(viewer):
    scene = show_session(viewer, Session(make_lifted(units="relative")))
    view_of(viewer).switch(True)
    assert "Depth is relative" in scene.status()
    numbers = scene.layers["numbers"]
    assert not any("m" in t for t in numbers.features["text"])


@pytest.mark.parametrize("length", [4, 20])
def test_video_and_tracks_of_different_lengths(viewer, length):
    viewer.add_image(make_video(length), rgb=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    view.switch(True)
    view.go_to(8)
    assert scene.layers["picture"].visible is (length == 20)
    assert scene.layers["heads"].shown.any()
    view.switch(False)
    view.go_to(length - 1)
    assert scene.layers["heads"].shown.any() == (length == 4)
    shot(viewer)


def test_a_video_of_another_size_is_not_taken_for_the_tracks_own(viewer):
    viewer.add_image(make_video(9)[:, ::2, ::2], rgb=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view_of(viewer).switch(True)
    assert scene.video is None
    assert "160 x 120" in scene.status()
    assert not scene.layers["picture"].visible


def test_grey_and_float_videos_carry_over(viewer):
    viewer.add_image(make_video(9).mean(-1).astype(np.uint16), name="grey")
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view_of(viewer).switch(True)
    assert scene.layers["picture"].texture.dtype == np.uint8
    assert scene.layers["picture"].texture.shape == (120, 160, 3)


def test_removing_a_layer_takes_the_scene_along(viewer):
    session = Session(make_lifted(6, 9))
    scene = show_session(viewer, session)
    view = view_of(viewer)
    viewer.layers.remove("hidden")
    assert view.scenes == [scene]
    view.go_to(5)
    viewer.layers.remove("points")
    view.go_to(4)
    assert view.scenes == [scene]
    viewer.layers.selection.active = scene.layers["tails"]
    viewer.layers.remove("tracks")
    assert view.scenes == []
    assert names(viewer) == []
    session.select([1])  # nobody listens, nothing breaks
    show_session(viewer, session)
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    assert view.scenes == []


def test_two_sessions_side_by_side(viewer):
    one = show_session(viewer, Session(make_lifted(6, 9)))
    two = show_session(viewer, Session(make_lifted(4, 9, seed=9)))
    view = view_of(viewer)
    viewer.layers.selection.active = one.layers["heads"]
    assert view.scene is one
    view.switch(True)
    assert one.in_3d
    assert two.in_3d
    view.go_to(3)
    assert one.frame == two.frame == 3
    view.switch(False)
    assert len(viewer.layers) == 6


def test_very_many_tracks_have_tails_of_some_and_of_the_selected(viewer):
    session = Session(make_lifted(2000, 20))
    scene = show_session(viewer, session)
    scene.set_look(tail=10)
    view_of(viewer).go_to(15)
    assert len(scene.tailed) < 2000
    missing = np.setdiff1d(np.arange(2000), scene.tailed)[0]
    session.select([missing])
    assert missing in scene.tailed
    tails = scene.layers["tails"]
    assert len(tails.data) < 1.2 * TAIL_ROWS
    rows = (tails.features["track"] == missing).to_numpy()
    assert np.allclose(tails.track_colors[rows], SELECTED)
    assert "Tails of" in scene.status()


def test_viewers_are_let_go(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    scene = show_session(viewer, Session(make_lifted(6, 9)))
    view = view_of(viewer)
    view.switch(True)
    gone = weakref.ref(view)
    viewer.close()
    assert view.scenes == []
    assert scene.closed
    del viewer, view, scene
    gc.collect()
    assert gone() is None or gone().scenes == []


def test_layers_say_which_part_they_are(viewer):
    session = Session(make_lifted())
    scene = show_session(viewer, session)
    for name, layer in scene.layers.items():
        assert layer.metadata[PART] == (name, session)
