from __future__ import annotations

import numpy as np
import pytest

import seurat_tracks as st
from napari_seurat_tracks.session import KEY, Session
from napari_seurat_tracks.view import show_session
from seurat_tracks.io.arrays import from_arrays

pytestmark = [
    pytest.mark.napari,
    pytest.mark.filterwarnings("ignore:no camera intrinsics:UserWarning"),
]


@pytest.fixture(scope="session")
def walk():
    """Twelve tracks over frames 5 to 24, lifted to metres; track 3 hops, 4 hides."""
    rng = np.random.default_rng(2)
    n, t = 12, 20
    spread = np.stack(np.meshgrid([-1.2, -0.4, 0.4, 1.2], [-0.8, 0, 0.8]), -1)
    xyz = np.concatenate([spread.reshape(n, 2), rng.uniform(3, 6, (n, 1))], 1)
    z = xyz[:, 2:] * (1 - 0.02 * np.arange(t))
    xy = 110 * xyz[:, None, :2] / z[..., None] + [79.5, 59.5]
    xy[3, 11:] += [7, -6]
    visible = np.ones((n, t), bool)
    visible[4, 8:12] = False
    ds = from_arrays(
        xy.astype(np.float32),
        visible,
        frame_size=(160, 120),
        fps=25,
        query_frame=0,
        ids=np.arange(n),
    )
    ds = ds.assign_coords(time=np.arange(5, 25), query_frame=("track", [5] * n))
    return ds.seurat.lift3d(depth=4.0, device="cpu", intrinsics={"fov": 72.0})


@pytest.fixture
def opened(make_napari_viewer, walk):
    """Open tracks in a viewer with the Inspect widget; returns both."""
    from napari_seurat_tracks._qt.inspect import InspectWidget

    def make(ds=walk, path=None):
        viewer = make_napari_viewer()
        session = Session(ds, path)
        show_session(viewer, session)
        widget = InspectWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Inspect")
        return widget

    return make


@pytest.fixture
def inspect(opened, qtbot):
    widget = opened()
    settle(qtbot, widget)
    return widget


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget._counting.running, timeout=60_000)


def press(qtbot, button):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def click_row(qtbot, widget, track, more=False):
    """Click a track's row in the table."""
    from qtpy.QtCore import Qt

    table = widget.table
    for row in range(table.order.rowCount()):
        if table.order.index(row, 0).data(Qt.ItemDataRole.UserRole) == track:
            index = table.order.index(row, 0)
    table.scrollTo(index)
    held = Qt.KeyboardModifier.ControlModifier if more else Qt.KeyboardModifier(0)
    qtbot.mouseClick(
        table.viewport(),
        Qt.MouseButton.LeftButton,
        held,
        table.visualRect(index).center(),
    )


def column(widget, name):
    from qtpy.QtCore import Qt

    from napari_seurat_tracks.table import COLUMNS

    at = list(COLUMNS).index(name)
    model = widget.table.order
    return [
        model.index(r, at).data(Qt.ItemDataRole.UserRole)
        for r in range(model.rowCount())
    ]


def test_the_table_sorts_and_flags(qtbot, inspect, walk):
    from qtpy.QtCore import Qt

    assert column(inspect, "track") == list(range(12))
    flags = dict(zip(column(inspect, "track"), column(inspect, "flags"), strict=True))
    assert "jump" in flags[3]
    assert "jump at 16" in column(inspect, "detail")[3]
    assert column(inspect, "seen")[4] == 16
    table = walk.seurat.quality_table()
    assert {t for t, f in flags.items() if f} == set(table["track"])
    assert inspect.count.text() == f"12 tracks, {len(set(table['track']))} doubtful"
    # a click on the head of the column sorts by number, and again the other way
    header = inspect.table.horizontalHeader()
    at = [header.model().headerData(c, Qt.Orientation.Horizontal) for c in range(9)]
    x = header.sectionViewportPosition(at.index("depth")) + 5
    from qtpy.QtCore import QPoint

    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 5))
    up = column(inspect, "depth")
    assert up == sorted(up)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 5))
    assert column(inspect, "depth") == sorted(up, reverse=True)
    inspect.doubtful.click()
    assert set(column(inspect, "track")) == set(table["track"])


def test_selection_goes_both_ways(qtbot, inspect):
    click_row(qtbot, inspect, 7)
    click_row(qtbot, inspect, 2, more=True)
    assert inspect.session.selection.tolist() == [2, 7]
    labels = [line.get_label() for line in inspect.plot.upper.get_lines()]
    assert {"2", "7"} <= set(labels)
    inspect.session.select([4])
    assert inspect.table.selected() == [4]


def test_curves_are_those_of_the_tracks(qtbot, inspect, walk):
    inspect.session.select([4])
    lines = {x.get_label(): x for x in inspect.plot.lower.get_lines()}
    seen = walk["visible"].sel(track=4).values
    ratio = np.exp(walk["log_depth_ratio"].sel(track=4).values.astype(float))
    drawn = lines["4"].get_ydata()
    np.testing.assert_allclose(drawn[seen], ratio[seen])
    assert np.isnan(drawn[~seen]).all()
    np.testing.assert_array_equal(lines["4"].get_xdata(), np.arange(5, 25))
    from napari_seurat_tracks.curves import curves, hidden_spans, window_starts

    (curve,) = curves(walk, [4])
    assert hidden_spans(curve) == [(13, 16)]
    sigma = walk["depth_ratio_sigma"].sel(track=4).values
    np.testing.assert_allclose(curve.ratio_high / curve.ratio, np.exp(sigma), rtol=1e-5)
    np.testing.assert_allclose(curve.depth, walk["depth"].sel(track=4))
    assert window_starts(walk).tolist() == [5, 9, 13, 17]


def test_the_slider_and_the_plot_are_one(qtbot, inspect):
    from qtpy.QtCore import QPoint, Qt

    viewer, plot = inspect.viewer, inspect.plot
    viewer.dims.set_point(0, 17)
    assert plot.frame == 17
    assert list(plot.cursors[0].get_xdata()) == [17, 17]
    plot.draw()
    x, y = plot.upper.transData.transform((11.2, np.mean(plot.upper.get_ylim())))
    ratio = plot.devicePixelRatioF()
    where = QPoint(int(x / ratio), int(plot.height() - y / ratio))
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=where)
    assert viewer.dims.point[0] == 11
    assert plot.frame == 11
    # a right drag chooses frames
    x2, _ = plot.upper.transData.transform((18.8, 0))
    end = QPoint(int(x2 / ratio), where.y())
    qtbot.mousePress(plot, Qt.MouseButton.RightButton, pos=where)
    qtbot.mouseMove(plot, end)
    qtbot.mouseRelease(plot, Qt.MouseButton.RightButton, pos=end)
    assert (inspect.first.value(), inspect.last.value()) == (11, 19)
    assert viewer.dims.point[0] == 11


def test_edit_undo_redo_by_buttons_and_keys(qtbot, inspect, walk):
    from qtpy.QtCore import Qt

    session = inspect.session
    click_row(qtbot, inspect, 3)
    inspect.viewer.dims.set_point(0, 16)
    press(qtbot, inspect.split_button)
    assert session.dataset["track"].values.tolist() == list(range(13))
    assert session.dataset["visible"].sel(track=12).values.tolist() == (
        [False] * 11 + [True] * 9
    )
    settle(qtbot, inspect)
    click_row(qtbot, inspect, 12)
    press(qtbot, inspect.drop_button)
    assert session.dataset["track"].values.tolist() == list(range(12))
    settle(qtbot, inspect)
    inspect.first.setValue(20)
    inspect.last.setValue(8)  # the other way round is the same span
    click_row(qtbot, inspect, 1)
    press(qtbot, inspect.hide_button)
    assert session.dataset["visible"].sel(track=1).sum() == 7
    history = session.dataset.attrs["history"]
    assert [h.split(" ", 1)[1] for h in history] == [
        "split 3 before frame 16, new track 12",
        "dropped track 12",
        "marked track 1 not visible in frames 8 to 20",
    ]
    inspect.window().show()
    inspect.window().activateWindow()
    inspect.table.setFocus()
    qtbot.waitUntil(inspect.table.hasFocus, timeout=5_000)
    for _ in range(3):
        qtbot.keyClick(inspect.table, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.dataset is not None
    assert session.dataset.identical(walk)
    assert not inspect.undo_button.isEnabled()
    press(qtbot, inspect.redo_button)
    assert session.dataset.sizes["track"] == 13
    settle(qtbot, inspect)
    assert len(column(inspect, "track")) == 13


def test_merge(qtbot, inspect):
    click_row(qtbot, inspect, 3)
    inspect.viewer.dims.set_point(0, 16)
    press(qtbot, inspect.split_button)
    settle(qtbot, inspect)
    click_row(qtbot, inspect, 3)
    press(qtbot, inspect.merge_button)
    assert "select the two" in inspect.work.message.text()
    click_row(qtbot, inspect, 5, more=True)
    press(qtbot, inspect.merge_button)
    assert "both seen in 11 frames" in inspect.work.message.text()
    click_row(qtbot, inspect, 3)
    click_row(qtbot, inspect, 12, more=True)
    press(qtbot, inspect.merge_button)
    assert inspect.work.message.text() == "merged 3 and 12"
    assert inspect.session.dataset["visible"].sel(track=3).all()


def test_relift_the_chosen_ones(qtbot, inspect, walk):
    click_row(qtbot, inspect, 3)
    inspect.viewer.dims.set_point(0, 16)
    press(qtbot, inspect.split_button)
    settle(qtbot, inspect)
    before = inspect.session.dataset
    with qtbot.waitSignal(inspect.work.ended, timeout=60_000) as ended:
        press(qtbot, inspect.relift_button)
        assert not inspect.drop_button.isEnabled()
    assert ended.args[0].error is None
    after = inspect.session.dataset
    others = {"track": [t for t in before["track"].values if t != 3]}
    for name in ("log_depth_ratio", "depth", "xyz", "scale"):
        a, b = after[name].sel(others).values, before[name].sel(others).values
        assert a.tobytes() == b.tobytes()
    assert not np.array_equal(
        after["log_depth_ratio"].sel(track=3), before["log_depth_ratio"].sel(track=3)
    )
    assert after.attrs["history"][-1].endswith("lifted again track 3")


def test_nothing_selected_and_nothing_open(qtbot, inspect, make_napari_viewer):
    from napari_seurat_tracks._qt.inspect import InspectWidget

    for button in (inspect.drop_button, inspect.hide_button):
        press(qtbot, button)
        assert "no track is selected" in inspect.work.message.text()
    press(qtbot, inspect.split_button)
    assert "select the one to split" in inspect.work.message.text()
    with qtbot.waitSignal(inspect.work.ended, timeout=60_000):
        press(qtbot, inspect.relift_button)
    assert "no track is selected" in inspect.work.message.text()
    assert not inspect.session.can_undo
    inspect.viewer.layers.clear()
    assert inspect.session is None
    assert not inspect.drop_button.isEnabled()
    assert column(inspect, "track") == []
    assert InspectWidget(inspect.viewer).session is None


def test_tracks_in_2d_alone(qtbot, opened, walk):
    flat = walk[["xy", "visible"]].drop_vars(["axis"], errors="ignore")
    widget = opened(flat)
    settle(qtbot, widget)
    assert len(column(widget, "track")) == 12
    click_row(qtbot, widget, 2)
    assert widget.plot.upper.get_ylabel() == "no depth yet"
    press(qtbot, widget.drop_button)
    assert widget.session.dataset.sizes["track"] == 11
    settle(qtbot, widget)
    click_row(qtbot, widget, 3)
    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        press(qtbot, widget.relift_button)
    assert "never lifted" in widget.work.message.text()


def test_tracks_without_frame_size(qtbot, opened, walk):
    widget = opened(walk.drop_attrs(deep=False))
    settle(qtbot, widget)
    assert "frame_size" in widget.work.message.text()
    widget.session.select([2])
    press(qtbot, widget.drop_button)
    assert "frame_size" in widget.work.message.text()
    assert not widget.session.can_undo


def test_save_asks_before_it_replaces_and_keeps_the_history(
    qtbot, opened, walk, tmp_path
):
    path = walk.seurat.save(tmp_path / "walk.zarr")
    widget = opened(st.open(path), path)
    session = widget.session
    settle(qtbot, widget)
    assert widget.saver.save_button.text() == "Save"
    click_row(qtbot, widget, 3)
    press(qtbot, widget.drop_button)
    settle(qtbot, widget)
    assert widget.saver.save_button.text() == "Save *"

    press(qtbot, widget.saver.save_button)  # asks; the answer is no
    answer(qtbot, widget, "Cancel")
    assert st.open(path).sizes["track"] == 12
    press(qtbot, widget.saver.save_button)
    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        answer(qtbot, widget, "Replace")
    assert widget.work.message.text() == f"saved to {path}"
    assert widget.saver.save_button.text() == "Save"
    again = st.open(path)
    assert again["track"].values.tolist() == [0, 1, 2, *range(4, 12)]
    assert again.attrs["history"][0].endswith("dropped track 3")
    # states before are still whole, though their files are gone
    press(qtbot, widget.undo_button)
    assert session.dataset.compute().equals(walk)
    assert widget.saver.save_button.text() == "Save *"

    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        widget.saver.save_to(tmp_path / "other.zarr")
    assert session.path == tmp_path / "other.zarr"
    assert st.open(session.path).sizes["track"] == 12
    assert st.open(path).sizes["track"] == 11


def answer(qtbot, widget, text):
    box = widget.saver.question
    assert "is there already" in box.text()
    button = next(b for b in box.buttons() if b.text().replace("&", "") == text)
    press(qtbot, button)


def test_save_as_dialog(qtbot, opened, walk, tmp_path):
    widget = opened()
    settle(qtbot, widget)
    press(qtbot, widget.saver.save_button)  # there is no path yet
    dialog = widget.saver.dialog
    assert dialog.isVisible()
    dialog.setDirectory(str(tmp_path))
    dialog.selectFile("mine")
    with qtbot.waitSignal(widget.work.ended, timeout=60_000):
        dialog.accept()
    assert st.open(tmp_path / "mine.zarr").sizes["track"] == 12
    press(qtbot, widget.saver.save_as_button)
    widget.saver.dialog.reject()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("walk.csv", "end in .zarr"),
        ("no/such/folder/walk.zarr", "does not exist"),
        ("taken.zarr", "something is there already"),
    ],
)
def test_where_it_cannot_be_saved(qtbot, inspect, tmp_path, place, text):
    (tmp_path / "taken.zarr").mkdir()
    (tmp_path / "taken.zarr" / "precious").write_text("mine")
    with qtbot.waitSignal(inspect.work.ended, timeout=60_000):
        inspect.saver.save_to(tmp_path / place)
    assert text in inspect.work.message.text()
    assert (tmp_path / "taken.zarr" / "precious").read_text() == "mine"
    assert inspect.session.path is None


def test_a_read_only_folder(qtbot, inspect, tmp_path, monkeypatch):
    import os

    from seurat_tracks.io import store

    # who is root may write anywhere, so the system's answer is stood in for
    monkeypatch.setattr(store.os, "access", lambda path, mode: mode != os.W_OK)
    with qtbot.waitSignal(inspect.work.ended, timeout=60_000):
        inspect.saver.save_to(tmp_path / "walk.zarr")
    assert "is read-only for you" in inspect.work.message.text()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_dock_listens_no_more(qtbot, inspect):
    from qtpy.QtWidgets import QApplication

    viewer, session = inspect.viewer, inspect.session
    viewer.window.remove_dock_widget(inspect)
    inspect.deleteLater()
    QApplication.sendPostedEvents(None, 52)  # deferred deletes
    qtbot.wait(50)
    viewer.dims.set_point(0, 9)
    session.select([1])
    session.replace(session.dataset.isel(track=[0, 1]), "dropped some")
    assert [x.metadata[KEY] for x in viewer.layers if KEY in x.metadata] == [session]
