from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_seurat_tracks.session import KEY, Session
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.trackers import base
from tests.fixtures.videos import planar_clip

pytestmark = [
    pytest.mark.napari,
    # nothing is said of the camera in most of these, and the widget passes that on
    pytest.mark.filterwarnings("ignore:no camera intrinsics:UserWarning"),
]


@pytest.fixture(scope="module")
def clip():
    return planar_clip("mixed", n_frames=14, size=(96, 72))[0]


class Slow:
    """A tracker that takes a while over every frame, and may break off."""

    name, licence = "slow", "MIT"

    stuck, done = threading.Event(), threading.Event()

    def __init__(
        self, pause: float = 0.05, breaks: int | None = None, stuck: float = 0
    ) -> None:
        self.pause, self.breaks, self.wait = pause, breaks, stuck

    def track(self, video, queries, plan, *, cuts=(), support_grid=24, progress=None):
        n, frames = len(queries), video.sizes["time"]
        if self.wait:
            self.stuck.set()
            time.sleep(self.wait)
            self.done.set()
        for step in progress(range(frames), total=frames, desc="tracking"):
            time.sleep(self.pause)
            if self.breaks is not None and step == self.breaks:
                raise RuntimeError("CUDA out of memory: tried to allocate\n2 GiB")
        xy = np.repeat(queries.xy[:, None], frames, 1)
        seen = np.ones((n, frames), bool)
        return base.TrackResult(xy, seen, seen.astype(np.float32))


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setitem(base._REGISTRY, "slow", Slow)


@pytest.fixture
def lift(make_napari_viewer, clip, slow):
    """A viewer with a video, and the Lift widget in a dock."""
    from napari_seurat_tracks._qt.lift import LiftWidget

    viewer = make_napari_viewer()
    viewer.add_image(clip, rgb=True, name="clip")
    widget = LiftWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Lift")
    choose(widget.device, "cpu")
    widget.grid.setValue(4)
    return widget


def choose(box, data):
    box.setCurrentIndex(box.findData(data))


def press(qtbot, button):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(qtbot, widget, button=None, timeout=120_000):
    with qtbot.waitSignal(widget.work.ended, timeout=timeout) as ended:
        press(qtbot, button or widget.lift_button)
    return ended.args[0]


def session_in(viewer):
    found = [x.metadata[KEY] for x in viewer.layers if KEY in x.metadata]
    return found[-1]


def test_a_grid_is_tracked_and_lifted(qtbot, lift):
    choose(lift.depth, "constant")
    lift.metres.setValue(3)
    lift.camera.setText("70")
    outcome = run(qtbot, lift)
    assert outcome.error is None
    session = session_in(lift.viewer)
    ds = session.dataset
    assert ds.sizes["track"] == 16
    assert ds.sizes["time"] == 14
    assert ds.attrs["units"] == "m"
    assert ds.attrs["depth_source"] == "constant 3 m"
    assert float(ds["depth"].median()) == pytest.approx(3, rel=0.1)
    assert len(ds.attrs["history"]) == 1
    assert "tracked with lk and lifted to 3D" in ds.attrs["history"][0]
    assert "16 tracks are in 3D; units of depth: m" in lift.work.message.text()
    session.undo()
    assert "depth" not in session.dataset


def test_points_on_any_frame_keep_their_order(qtbot, lift):
    points = [[9, 40.0, 30.0], [0, 20.0, 60.0], [5, 50.0, 50.0]]
    layer = lift.viewer.add_points(points, ndim=3, name="mine")
    choose(lift.follow, "points")
    lift.points.choose(layer)
    assert run(qtbot, lift).error is None
    ds = session_in(lift.viewer).dataset
    assert ds["query_frame"].values.tolist() == [9, 0, 5]
    for track, (frame, y, x) in enumerate(points):
        np.testing.assert_allclose(
            ds["xy"].sel(track=track, time=frame), [x, y], atol=0.01
        )
    # nothing was said of the camera, which is said as a note
    assert "no camera intrinsics" in lift.work.message.text()


def test_scales_of_both_layers_count(make_napari_viewer, clip):
    from napari_seurat_tracks.layers_in import queries_of, video_of

    viewer = make_napari_viewer()
    image = viewer.add_image(clip, rgb=True, scale=(1, 0.5, 0.5), translate=(100, 3, 4))
    points = viewer.add_points([[103, 8.0, 14.0]], name="mine")
    found = queries_of(points, image)
    assert video_of(image)["time"].values[[0, -1]].tolist() == [100, 113]
    assert (found["frame"][0], found["x"][0], found["y"][0]) == (103, 20.0, 10.0)
    flat = viewer.add_points([[8.0, 14.0]], features={"track": ["nose"]})
    found = queries_of(flat, image, frame=105)
    assert (found["frame"][0], found["x"][0], found["y"][0]) == (105, 20.0, 10.0)
    assert found["track"].tolist() == ["nose"]


def test_other_pixels_are_taken_as_they_are_shown(make_napari_viewer, clip):
    import dask.array as da

    from napari_seurat_tracks.layers_in import video_of

    viewer = make_napari_viewer()
    deep = clip[..., 0].astype(np.uint16) * 100
    for data in (deep, da.from_array(deep, chunks=(5, 72, 96))):
        layer = viewer.add_image(data, contrast_limits=(0, 25_500))
        video = video_of(layer)
        assert video.dtype == np.uint8
        np.testing.assert_array_equal(video[3, :, :, 1], clip[3, ..., 0])
        assert video.chunks is not None
    layer = viewer.add_image(clip / 255.0, rgb=True)
    np.testing.assert_array_equal(video_of(layer), clip)
    with pytest.raises(SeuratTracksError, match=r"has the shape"):
        video_of(viewer.add_image(clip[0], rgb=True))


def test_tracks_that_are_there_are_lifted_in_place(qtbot, lift, make_tracks):
    ds = make_tracks()
    session = Session(ds)
    layer = lift.viewer.add_points(np.zeros((1, 3)), metadata={KEY: session})
    choose(lift.follow, "tracks")
    assert lift.tracks.layer is layer
    assert not lift.tracker.isVisibleTo(lift)
    n = len(lift.viewer.layers)
    assert run(qtbot, lift).error is None
    assert len(lift.viewer.layers) == n
    assert "depth" in session.dataset
    assert session.dataset.attrs["history"][0].endswith("source none")
    assert session.can_undo


def test_an_edit_meanwhile_wins(qtbot, lift, make_tracks):
    session = Session(make_tracks())
    lift.viewer.add_points(np.zeros((1, 3)), metadata={KEY: session})
    choose(lift.follow, "tracks")
    with qtbot.waitSignal(lift.work.ended, timeout=120_000):
        press(qtbot, lift.lift_button)
        session.replace(session.dataset.isel(track=[0, 1]), "dropped some")
    assert "changed while they were being lifted" in lift.work.message.text()
    assert "depth" not in session.dataset


def test_the_window_lives_while_it_works(qtbot, lift):
    from qtpy.QtCore import QTimer

    ticks, shown = [], []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.timeout.connect(lambda: shown.append(lift.work.bar.format()))
    lift.grid.setValue(12)
    timer.start(10)
    begin = time.perf_counter()
    assert run(qtbot, lift).error is None
    end = time.perf_counter()
    timer.stop()
    inside = [t for t in ticks if begin < t < end]
    longest = np.diff([begin, *inside, end]).max()
    assert len(inside) > 0.2 * (end - begin) / 0.01
    assert longest < 0.5, f"frozen for {longest:.2f} s of {end - begin:.1f} s"
    assert any("tracking" in text for text in shown)
    assert any("lifting" in text for text in shown)


@pytest.mark.parametrize("tracker", ["slow", "lk"])
def test_cancel(qtbot, lift, tracker):
    from napari_seurat_tracks._qt.work import import_libraries

    import_libraries()  # as the widget does in a thread while a person reads it
    lift.tracker.setCurrentText(tracker)
    lift.grid.setValue(20)
    before = list(lift.viewer.layers)
    with qtbot.waitSignal(lift.work.ended, timeout=120_000) as ended:
        press(qtbot, lift.lift_button)
        assert not lift.lift_button.isEnabled()
        qtbot.wait(700)
        begin = time.perf_counter()
        press(qtbot, lift.work.cancel_button)
    assert time.perf_counter() - begin < 2
    assert ended.args[0].cancelled
    assert lift.work.message.text() == "cancelled: nothing was changed"
    assert list(lift.viewer.layers) == before
    assert lift.lift_button.isEnabled()
    assert not lift.work.cancel_button.isVisible()


def test_cancel_does_not_wait_for_what_cannot_be_interrupted(qtbot, lift):
    """Such as an import: the window is free at once, and the answer is left out."""
    lift.tracker.setCurrentText("slow")
    lift.tracker_settings.setText("pause=0; stuck=4")
    before = list(lift.viewer.layers)
    with qtbot.waitSignal(lift.work.ended, timeout=120_000) as ended:
        press(qtbot, lift.lift_button)
        qtbot.waitUntil(lambda: Slow.stuck.is_set(), timeout=60_000)
        begin = time.perf_counter()
        press(qtbot, lift.work.cancel_button)
    assert time.perf_counter() - begin < 3
    assert ended.args[0].cancelled
    assert lift.work.message.text() == "cancelled: nothing was changed"
    # other work runs meanwhile, and what comes of the old one does not disturb it
    lift.tracker.setCurrentText("lk")
    lift.tracker_settings.setText("")
    outcome = run(qtbot, lift)
    assert outcome.error is None
    assert not outcome.cancelled
    Slow.done.wait(10)
    qtbot.wait(200)
    assert "16 tracks are in 3D" in lift.work.message.text()
    sessions = {id(x.metadata[KEY]) for x in lift.viewer.layers if KEY in x.metadata}
    assert len(sessions) == 1
    assert all(layer in lift.viewer.layers for layer in before)


def test_networks_of_others_stop_at_their_layers():
    import torch

    from napari_seurat_tracks._qt.work import _run, _Wire

    class Layer(torch.nn.Module):
        def forward(self, x):
            time.sleep(0.02)
            return x

    network = torch.nn.Sequential(*[Layer() for _ in range(500)])
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    begin = time.perf_counter()
    outcome = _run(lambda say: network(torch.zeros(1)), stop, _Wire())
    assert outcome.cancelled
    assert time.perf_counter() - begin < 2
    network[:2](torch.zeros(1))  # nothing is left behind


def test_a_time_is_estimated_before_and_rests_on_something(qtbot, lift):
    assert "docs/trackers.md" in lift.estimate_text.text()
    assert run(qtbot, lift, lift.estimate_button).error is None
    text = lift.estimate_text.text()
    assert text.startswith("about ")
    assert "measured here on 12 of 14 frames" in text
    assert "tracking" in text
    assert "lifting" in text
    assert not [x for x in lift.viewer.layers if KEY in x.metadata]


def test_licences_are_shown_before_anything_runs(lift):
    from seurat_tracks.trackers import available_trackers

    shown = {}
    for name in available_trackers():
        lift.tracker.setCurrentText(name)
        shown[name] = lift.tracker_licence.text()
    assert shown["cotracker3"] == "licence: CC-BY-NC-4.0"
    assert shown["lk"] == "licence: Apache-2.0"
    lift.tracker.setCurrentText("cotracker3")
    assert "repo=" in lift.tracker_settings.placeholderText()
    choose(lift.depth, "model")
    lift.depth_model.setCurrentText("depth-pro")
    assert "research only" in lift.depth_licence.text()
    assert not lift.download.isChecked()


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda w: w.tracker.setCurrentText("cotracker3"), "weights="),
        (lambda w: w.tracker_settings.setText("pace=3"), "no setting pace"),
        (lambda w: w.tracker_settings.setText("pace"), "name=value"),
        (lambda w: w.camera.setText("1, 2"), "got 2 numbers"),
        (lambda w: w.camera.setText("no-such-file.yml"), "no-such-file.yml"),
        (lambda w: w.camera.setText("500"), "500"),
        (lambda w: choose(w.depth, "file"), "name the file"),
        (
            lambda w: (choose(w.depth, "file"), w.path.setText("/nowhere.npy")),
            "there is no such file",
        ),
        (
            lambda w: (choose(w.depth, "model"), w.depth_model.setCurrentText("deep")),
            "no depth model 'deep'",
        ),
        (lambda w: choose(w.device, "cuda"), "cuda"),
        (lambda w: choose(w.follow, "points"), "there is no points layer"),
        (lambda w: choose(w.follow, "tracks"), "there are no tracks yet"),
        (lambda w: w.viewer.layers.clear(), "there is no video"),
    ],
)
def test_what_is_wrong_is_a_sentence(qtbot, lift, prepare, text):
    import torch

    if text == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has it")
    prepare(lift)
    press(qtbot, lift.lift_button)
    qtbot.waitUntil(lambda: not lift.work.running, timeout=60_000)
    message = lift.work.message.text()
    assert text in message
    assert "Traceback" not in message
    assert not [x for x in lift.viewer.layers if KEY in x.metadata]


def test_an_empty_points_layer_and_points_elsewhere(qtbot, lift):
    layer = lift.viewer.add_points(ndim=3, name="mine")
    choose(lift.follow, "points")
    press(qtbot, lift.lift_button)
    assert "holds no points" in lift.work.message.text()
    layer.data = [[3.4, 10, 10]]
    press(qtbot, lift.lift_button)
    assert "between two frames" in lift.work.message.text()
    layer.data = [[30, 10, 10]]  # as of a longer video
    assert run(qtbot, lift).error is not None
    assert "frame is not one of the video's 0..13" in lift.work.message.text()


def test_a_tracker_that_breaks_off(qtbot, lift, caplog):
    lift.tracker.setCurrentText("slow")
    lift.tracker_settings.setText("pause=0; breaks=13")
    assert isinstance(run(qtbot, lift).error, RuntimeError)
    message = lift.work.message.text()
    assert "RuntimeError: CUDA out of memory: tried to allocate" in message
    assert "2 GiB" not in message
    assert "Traceback" in caplog.text  # for who looks into it
    assert lift.lift_button.isEnabled()


def test_tracks_without_frame_size(qtbot, lift, make_tracks):
    bare = make_tracks().drop_attrs(deep=False)
    session = Session(bare)
    lift.viewer.add_points(np.zeros((1, 3)), metadata={KEY: session})
    choose(lift.follow, "tracks")
    assert run(qtbot, lift).error is None  # the video says it
    assert session.dataset.attrs["frame_size"] == [96, 72]
    session.undo()
    lift.viewer.layers.remove("clip")
    outcome = run(qtbot, lift)
    assert "frame_size" in str(outcome.error)


def test_closing_the_viewer_stops_the_work(qtbot, lift):
    from napari.qt.threading import WorkerBase

    lift.tracker.setCurrentText("slow")
    lift.tracker_settings.setText("pause=0.2")
    press(qtbot, lift.lift_button)
    qtbot.wait(500)
    assert WorkerBase._worker_set
    begin = time.perf_counter()
    lift.viewer.close()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=10_000)
    assert time.perf_counter() - begin < 3
