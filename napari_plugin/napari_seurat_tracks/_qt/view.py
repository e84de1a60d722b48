"""The dock that switches between picture and space, and says how tracks are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_seurat_tracks._qt.colour_bar import ColourBar
from napari_seurat_tracks._qt.movie import MovieBox
from napari_seurat_tracks.view import OBLIQUE, view_of
from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_seurat_tracks.scene import Scene

SWITCHES = {
    "hidden": ("Hidden points", "rings where the tracker guesses, dots where it did"),
    "picture": ("Picture", "the video's frame, on the rays of its camera"),
    "frustum": ("Camera", "its rays through the corners of the frame"),
    "grid": ("Grid", "a floor below the tracks, in the unit of depth"),
    "bars": ("Uncertainty", "one standard error along the camera's ray"),
}
"""Look's switches: label and what it shows."""

LOOKS = {
    "Oblique": OBLIQUE,
    "Camera": (1.0, 0.0, 0.0),
    "Side": (0.0, 0.0, -1.0),
    "Top": (0.0, 1.0, 0.0),
}
"""Directions to look in: z, y, x."""


class ViewWidget(QWidget):
    """Choose how tracks are shown.

    Parameters
    ----------
    napari_viewer
        The viewer that the dock belongs to.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.view = view_of(napari_viewer)
        self._filling = False
        self._followed: Scene | None = None

        self.switch = QPushButton("Show in 3D")
        self.switch.setCheckable(True)
        self.switch.clicked.connect(self._on_switch)
        self.colour_by = QComboBox()
        self.colour_by.currentTextChanged.connect(self._set("colour_by"))
        self.bar = ColourBar()
        self.tail = QSpinBox()
        self.tail.setRange(0, 10_000)
        self.tail.setSuffix(" frames")
        self.tail.valueChanged.connect(self._set("tail"))
        self.boxes = {}
        for name, (label, tip) in SWITCHES.items():
            box = QCheckBox(label)
            box.setToolTip(tip)
            box.toggled.connect(self._set(name))
            self.boxes[name] = box
        self.plane = QSlider(Qt.Orientation.Horizontal)
        self.plane.setRange(0, 100)
        self.plane.valueChanged.connect(lambda v: self._change(plane=v / 100))
        self.plane_text = QLabel()
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.movie = MovieBox(self.view)

        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.view.follow_ndisplay)
        napari_viewer.dims.events.ndisplay.connect(self._on_ndisplay)

        self._lay_out()
        self.view.changed.connect(self.refresh)
        napari_viewer.layers.selection.events.active.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(self.switch)
        form = QFormLayout()
        form.addRow("Colour by", self.colour_by)
        form.addRow(self.bar)
        form.addRow("Tails", self.tail)
        layout.addLayout(form)
        for box in self.boxes.values():
            layout.addWidget(box)
        row = QHBoxLayout()
        row.addWidget(QLabel("Picture at"))
        row.addWidget(self.plane)
        row.addWidget(self.plane_text)
        layout.addLayout(row)
        row = QHBoxLayout()
        self.looks = {}
        for name, direction in LOOKS.items():
            button = QPushButton(name)
            button.setToolTip(f"look at the scene from here: {name.lower()}")
            button.clicked.connect(lambda _=False, d=direction: self.view.look(d))
            row.addWidget(button)
            self.looks[name] = button
        layout.addLayout(row)
        layout.addWidget(self.movie)
        layout.addWidget(self.status)
        layout.addStretch()

    # --- from the widget to the scene

    def _set(self, name: str) -> Any:
        return lambda value: self._change(**{name: value})

    def _change(self, **changes: Any) -> None:
        scene = self.view.scene
        if self._filling or scene is None:
            return
        scene.set_look(**changes)
        self.refresh()

    def _on_switch(self, in_3d: bool) -> None:
        try:
            self.view.switch(in_3d)
        except SeuratTracksError as error:
            text = str(error)
            self.refresh()
            self.status.setText(text[0].upper() + text[1:] + ".")
        else:
            self.refresh()

    def _on_ndisplay(self, event: Any = None) -> None:
        self._later.start(0)

    # --- from the scene to the widget

    def _follow(self, scene: Scene | None) -> None:
        if scene is self._followed:
            return
        if self._followed is not None:
            self._followed.updated.disconnect(self.refresh)
        if scene is not None:
            scene.updated.connect(self.refresh)
        self._followed = scene

    def refresh(self, event: Any = None) -> None:
        """Show the state of the scene that is active."""
        scene = self.view.scene
        self._follow(scene)
        self._filling = True
        try:
            in_3d = self.view.in_3d
            self.switch.setChecked(in_3d)
            self.switch.setText("Show over the picture" if in_3d else "Show in 3D")
            for widget in (self.colour_by, self.tail, self.boxes["hidden"]):
                widget.setEnabled(scene is not None)
            self._fill_3d(scene, in_3d)
            self.colour_by.clear()
            if scene is None:
                self.bar.show_palette(None, "")
                self.status.setText(
                    "Open a file of tracks, or lift a video with Plugins > Lift tracks "
                    "to 3D."
                )
                return
            name = scene.colour_by
            self.colour_by.addItems(scene.stage.choices)
            self.colour_by.setCurrentText(name)
            self.bar.show_palette(scene.stage.palette(name), scene.stage.label(name))
            self.tail.setValue(scene.look.tail)
            for key, box in self.boxes.items():
                box.setChecked(getattr(scene.look, key))
            chosen = len(scene.session.selection)
            more = f" {chosen} selected." if chosen else ""
            self.status.setText(scene.status() + more)
        finally:
            self._filling = False

    def _fill_3d(self, scene: Scene | None, in_3d: bool) -> None:
        camera = in_3d and scene is not None and scene.has_camera
        self.boxes["grid"].setEnabled(in_3d)
        for name in ("picture", "frustum"):
            self.boxes[name].setEnabled(camera)
        self.plane.setEnabled(camera)
        bars = in_3d and scene is not None and "bars" in scene.layers
        self.boxes["bars"].setEnabled(bars)
        for button in self.looks.values():
            button.setEnabled(in_3d)
        self.movie.setEnabled(scene is not None)
        if scene is None or scene.stage.space is None:
            self.plane_text.setText("")
            return
        self.plane.setValue(round(100 * scene.look.plane))
        unit = " m" if scene.stage.unit == "m" else ""
        self.plane_text.setText(f"{scene.plane_depth:.3g}{unit}")
