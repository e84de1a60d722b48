"""The part of the view's dock that writes movies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_seurat_tracks.movie import MovieStopped, movie_frames, write_movie
from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    from napari_seurat_tracks.view import View


class MovieBox(QWidget):
    """Write what the viewer shows, frame by frame, with progress and a way out."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view
        self._running = False
        self._stop = False
        self.turn = QSpinBox()
        self.turn.setRange(0, 90)
        self.turn.setValue(20)
        self.turn.setSuffix("°")
        self.turn.setToolTip("how far the camera turns to each side, in 3D")
        self.button = QPushButton("Save movie…")
        self.button.clicked.connect(self._on_click)
        self.bar = QProgressBar()
        self.bar.hide()
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(QLabel("turning"))
        row.addWidget(self.turn)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.bar)

    def _on_click(self) -> None:
        if self._running:
            self._stop = True
            return
        name, _ = QFileDialog.getSaveFileName(
            self, "Save movie", "tracks.mp4", "Movies (*.mp4 *.gif)"
        )
        if name:
            self.save(name)

    def save(self, path: str | Path, fps: float | None = None) -> Path | None:
        """Write the movie; the dialog has asked whether to replace a file.

        Parameters
        ----------
        path
            Ends in .mp4 or .gif.
        fps
            Frames per second; the tracks' own, else 25.

        Returns
        -------
        pathlib.Path or None
            None if it was stopped or could not be written, which is shown.
        """
        scene = self._view.scene
        self._running, self._stop = True, False
        self.button.setText("Stop")
        self.bar.setRange(0, 0 if scene is None else len(scene.stage.time))
        self.bar.setValue(0)
        self.bar.show()
        written: Path | None = None
        try:
            rate = fps or (scene.stage.ds.attrs.get("fps") if scene else None) or 25.0
            written = write_movie(self._frames(), path, float(rate), overwrite=True)
            show_info(f"wrote {written}")
        except MovieStopped:
            pass
        except SeuratTracksError as error:
            show_error(str(error))
        finally:
            self._running = False
            self._reset()
        return written

    def _reset(self) -> None:
        try:
            self.button.setText("Save movie…")
            self.bar.hide()
        except RuntimeError:  # the window was closed, and Qt's half is gone
            return

    def _frames(self) -> Iterator[np.ndarray]:
        frames = movie_frames(
            self._view, turn=float(self.turn.value()), stop=lambda: self._stop
        )
        for i, frame in enumerate(frames):
            yield frame
            self.bar.setValue(i + 1)
            if self._view.scene is None:
                raise MovieStopped  # the window is gone, and with it its events
            # the button and the window stay alive meanwhile
            QApplication.processEvents()
