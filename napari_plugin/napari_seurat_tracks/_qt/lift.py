"""The Lift widget: from a video, or tracks, to 3D tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_seurat_tracks import estimate, lifting
from napari_seurat_tracks._qt.layer_box import LayerBox
from napari_seurat_tracks._qt.work import Work, sentence, warm_up
from napari_seurat_tracks.layers_in import queries_of, video_of
from napari_seurat_tracks.session import KEY, PART, Session
from napari_seurat_tracks.view import show_session
from seurat_tracks.errors import SeuratTracksError, TrackerError

if TYPE_CHECKING:
    from napari.viewer import Viewer

GRID, POINTS, TRACKS = "grid", "points", "tracks"

_FOLLOW = {
    GRID: "a grid on the first frame",
    POINTS: "points of a layer, on any frame",
    TRACKS: "tracks that are already there",
}

_DEPTH = {
    "none": "none: relative depth",
    "constant": "constant: about so many metres",
    "file": "file or folder of depth maps",
    "model": "depth model, by name or folder",
}

_NO_SETTING = ("settings",)  # thresholds of lk: objects, not for a line of text


class LiftWidget(QWidget):
    """Track points through a video layer and lift them to 3D.

    Parameters
    ----------
    viewer
        The viewer whose layers are used, and which shows the result.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._job_session: Session | None = None
        self.video = LayerBox(viewer, _is_video, "(no video layer)")
        self.follow = _choices(_FOLLOW)
        self.grid = QSpinBox()
        self.grid.setRange(1, 500)
        self.grid.valueChanged.connect(lambda n: self.grid.setSuffix(f" × {n}"))
        self.grid.setValue(24)
        self.points = LayerBox(viewer, _is_points, "(no points layer)")
        self.tracks = LayerBox(viewer, _has_session, "(no tracks)", _session_in)
        self.tracker = QComboBox()
        self.tracker_licence = _small()
        self.tracker_settings = QLineEdit()
        self.depth = _choices(_DEPTH)
        self.metres = QDoubleSpinBox()
        self.metres.setRange(0.001, 1e6)
        self.metres.setDecimals(3)
        self.metres.setValue(2.0)
        self.metres.setSuffix(" m")
        self.path = QLineEdit()
        self.path.setPlaceholderText(".npy, .npz, .zarr, or a folder of images")
        self.browse = QPushButton("…")
        self.browse.setMaximumWidth(32)
        self.depth_model = QComboBox()
        self.depth_model.setEditable(True)
        self.depth_licence = _small()
        self.download = QCheckBox("download its weights if they are not here")
        self.camera = QLineEdit()
        self.camera.setPlaceholderText("assume a field of view of 60°")
        self.camera.setToolTip(
            "Field of view in degrees; or fx, fy, cx, cy in pixels; or a calibration "
            "file (OpenCV, COLMAP, Kalibr). Empty: what the tracks say, else 60°."
        )
        self.anchor = _choices(
            {"robust": "robust, with error bars", "median": "medians of visible runs"}
        )
        self.device = _choices(
            {"auto": "the best there is", "cpu": "cpu", "cuda": "cuda", "mps": "mps"}
        )
        self.estimate_button = QPushButton("Estimate time")
        self.lift_button = QPushButton("Lift to 3D")
        self.estimate_text = _small()
        self.work = Work()
        self._lay_out()
        self._fill()
        self._connect()
        self._show_fields()
        warm_up()

    # -- building -----------------------------------------------------------------

    def _lay_out(self) -> None:
        path = QWidget()
        row = QHBoxLayout(path)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.path, 1)
        row.addWidget(self.browse)
        self._path_row = path
        inside = QWidget()
        self._form = QFormLayout(inside)
        self._form.setFieldGrowthPolicy(
            QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow
        )
        for label, field in (
            ("video", self.video),
            ("follow", self.follow),
            ("grid", self.grid),
            ("points", self.points),
            ("tracks", self.tracks),
            ("tracker", self.tracker),
            ("", self.tracker_licence),
            ("its settings", self.tracker_settings),
            ("depth from", self.depth),
            ("metres", self.metres),
            ("maps", path),
            ("model", self.depth_model),
            ("", self.depth_licence),
            ("", self.download),
            ("camera", self.camera),
            ("anchor", self.anchor),
            ("device", self.device),
        ):
            self._form.addRow(label, field)
        scroll = QScrollArea()
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        buttons = QHBoxLayout()
        buttons.addWidget(self.estimate_button)
        buttons.addWidget(self.lift_button)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.estimate_text)
        layout.addWidget(self.work)

    def _fill(self) -> None:
        from seurat_tracks.depth.catalogue import CATALOGUE
        from seurat_tracks.trackers import available_trackers

        names = available_trackers()
        self.tracker.addItems(names)
        self.tracker.setCurrentIndex(names.index("lk"))
        self.depth_model.addItems(sorted(CATALOGUE))

    def _connect(self) -> None:
        for box in (self.follow, self.depth, self.tracker):
            box.currentIndexChanged.connect(self._show_fields)
        self.depth_model.currentTextChanged.connect(self._show_licences)
        self.browse.clicked.connect(self._browse)
        self.estimate_button.clicked.connect(self.estimate)
        self.lift_button.clicked.connect(self.lift)
        for box in (self.video, self.points, self.tracks):
            box.layer_changed.connect(self._show_guess)
        self.work.started.connect(self._show_busy)
        self.work.ended.connect(self._show_busy)

    # -- what is shown ------------------------------------------------------------

    def _show_fields(self) -> None:
        follow, depth = self.follow.currentData(), self.depth.currentData()
        shown = {
            self.grid: follow == GRID,
            self.points: follow == POINTS,
            self.tracks: follow == TRACKS,
            self.tracker: follow != TRACKS,
            self.tracker_licence: follow != TRACKS,
            self.tracker_settings: follow != TRACKS,
            self.metres: depth == "constant",
            self._path_row: depth == "file",
            self.depth_model: depth == "model",
            self.depth_licence: depth == "model",
            self.download: depth == "model",
        }
        for field, visible in shown.items():
            field.setVisible(visible)
            label = self._form.labelForField(field)
            if label is not None:
                label.setVisible(visible)
        self._show_licences()
        self._show_guess()

    def _show_licences(self) -> None:
        from seurat_tracks.depth.catalogue import CATALOGUE
        from seurat_tracks.trackers import licence_of, settings_of

        name = self.tracker.currentText()
        try:
            licence = f"licence: {licence_of(name)}"
            settings = settings_of(name)
        except TrackerError as error:
            licence, settings = str(error), {}
        self.tracker_licence.setText(licence)
        names = [s for s in settings if s not in _NO_SETTING]
        self.tracker_settings.setPlaceholderText(
            "; ".join(f"{s}=…" for s in names) or "none"
        )
        self.tracker_settings.setToolTip(
            f"name=value, separated by semicolons. {name} takes "
            f"{', '.join(names) or 'none'}; see docs/trackers.md."
        )
        entry = CATALOGUE.get(self.depth_model.currentText())
        self.depth_licence.setText(
            f"licence of its weights: {entry.licence}"
            if entry
            else "licence: as the weights say; it is recorded with the tracks"
        )

    def _show_guess(self) -> None:
        """Say at once what is known beforehand of the time, if anything."""
        if self.work.running:
            return
        guess, layer = None, self.video.layer
        if layer is not None and self.follow.currentData() != TRACKS:
            guess = estimate.documented(self.tracker.currentText(), _frames(layer))
        self.estimate_text.setText("" if guess is None else str(guess))

    def _show_busy(self) -> None:
        for button in (self.estimate_button, self.lift_button):
            button.setEnabled(not self.work.running)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Depth maps")
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.fileSelected.connect(self.path.setText)
        dialog.open()

    # -- what is done -------------------------------------------------------------

    def job(self) -> lifting.Job:
        """Read what is chosen.

        Raises
        ------
        SeuratTracksError
            If something needed is not chosen, or is malformed.
        """
        follow = self.follow.currentData()
        layer = self.video.layer
        tracks = queries = None
        session = None
        if follow == TRACKS:
            if self.tracks.layer is None:
                raise SeuratTracksError(
                    "there are no tracks yet: open some, or follow a grid or points"
                )
            session = self.tracks.layer.metadata[KEY]
            tracks = session.dataset
        elif layer is None:
            raise SeuratTracksError(
                "there is no video: open one (drop its file on the viewer), or choose "
                "tracks that are already there"
            )
        depth = self.depth.currentData()
        # tracks need no video, and one that does not fit must not stand in their way
        needed = (
            follow != TRACKS
            or depth == "model"
            or (tracks is not None and "frame_size" not in tracks.attrs)
        )
        video = video_of(layer) if layer is not None and needed else None
        if follow == POINTS:
            if self.points.layer is None:
                raise SeuratTracksError(
                    "there is no points layer: add one and set points on the video"
                )
            assert video is not None
            at = min(int(self.viewer.dims.current_step[0]), video.sizes["time"] - 1)
            frame = int(video["time"].values[max(at, 0)])
            queries = queries_of(self.points.layer, layer, frame)
        value: Any = {
            "constant": self.metres.value(),
            "file": self.path.text().strip(),
            "model": self.depth_model.currentText().strip(),
        }.get(depth)
        self._job_session = session
        return lifting.Job(
            video=video,
            tracks=tracks,
            queries=queries,
            grid=self.grid.value(),
            tracker=self.tracker.currentText(),
            tracker_settings=lifting.settings_from(self.tracker_settings.text()),
            depth=lifting.Depth(depth, value, self.download.isChecked()),
            intrinsics=lifting.intrinsics_from(self.camera.text()),
            anchor=self.anchor.currentData(),
            device=self.device.currentData(),
        )

    def estimate(self) -> None:
        """Say how long it will take, by doing it on a few frames."""
        job = self._job_or_say()
        if job is None:
            return

        def measure(say: Any) -> estimate.Estimate:
            return estimate.measured(job, lifting.prepare(job))

        self.work.start(measure, self._show_estimate, "measuring on a few frames")

    def _show_estimate(self, found: estimate.Estimate) -> str:
        self.estimate_text.setText(str(found))
        return ""

    def lift(self) -> None:
        """Estimate, track, lift, and show the result; all in a thread."""
        job = self._job_or_say()
        if job is None:
            return
        session = self._job_session
        self.estimate_text.clear()  # a measured one is coming

        def work(say: Any) -> tuple[Any, Any]:
            say("looking at what is there, and measuring on a few frames …")
            source = lifting.prepare(job)
            say(f"{estimate.measured(job, source)} …")
            tracks = lifting.tracked(job)
            return tracks, lifting.lifted(job, tracks, source)

        def show(found: tuple[Any, Any]) -> str:
            tracks, out = found
            if session is None:
                made = Session(tracks)
                made.replace(out, lifting.said(job, out))
                show_session(self.viewer, made)
            elif session.dataset is not job.tracks:
                raise SeuratTracksError(
                    "the tracks were changed while they were being lifted, so the "
                    "answer no longer fits and was left out: lift them again"
                )
            else:
                session.replace(out, lifting.said(job, out))
            units = out.attrs.get("units", "")
            return f"{out.sizes['track']} tracks are in 3D; units of depth: {units}."

        self.work.start(work, show, "lifting")

    def _job_or_say(self) -> lifting.Job | None:
        try:
            return self.job()
        except SeuratTracksError as error:
            self.work.say(sentence(error))
            return None


def _is_video(layer: Any) -> bool:
    """Whether a layer may be (t, y, x); what a session shows is none."""
    return isinstance(layer, Image) and layer.ndim == 3 and KEY not in layer.metadata


def _is_points(layer: Any) -> bool:
    shown = PART in layer.metadata or KEY in layer.metadata
    return isinstance(layer, Points) and not shown


def _has_session(layer: Any) -> bool:
    return isinstance(_session_in(layer), Session)


def _session_in(layer: Any) -> Any:
    return layer.metadata.get(KEY)


def _frames(layer: Any) -> int:
    data = layer.data[0] if layer.multiscale else layer.data
    return int(data.shape[0])


def _choices(items: dict[str, str]) -> QComboBox:
    box = QComboBox()
    for data, text in items.items():
        box.addItem(text, data)
    box.setMinimumContentsLength(10)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContentsOnFirstShow)
    return box


def _small() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
