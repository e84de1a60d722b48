"""Save and Save as: nothing that is there is replaced unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMessageBox, QPushButton, QWidget

from napari_seurat_tracks._qt.work import Work
from napari_seurat_tracks.saving import save_session
from napari_seurat_tracks.session import Session
from seurat_tracks.io.store import is_store


class Saver(QWidget):
    """Two buttons that save a session's tracks.

    Parameters
    ----------
    work
        Where saving runs, and what comes of it is said.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        self.session: Session | None = None
        self.question: QMessageBox | None = None
        self.dialog: QFileDialog | None = None
        self.save_button = QPushButton("Save")
        self.save_as_button = QPushButton("Save as …")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.save_button)
        layout.addWidget(self.save_as_button)
        self.save_button.clicked.connect(self.save)
        self.save_as_button.clicked.connect(self.save_as)

    def save(self) -> None:
        """Save where the tracks came from, after asking; else ask for a place."""
        if self.session is None:
            self.work.say("there are no tracks to save")
        elif self.session.path is None or self.session.path.suffix != ".zarr":
            self.save_as()
        else:
            self.save_to(self.session.path)

    def save_as(self) -> None:
        """Ask for a place, and save there."""
        if self.session is None:
            self.work.say("there are no tracks to save")
            return
        dialog = QFileDialog(self, "Save tracks as a store")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setNameFilter("stores of tracks (*.zarr)")
        dialog.setDefaultSuffix("zarr")
        # a store is a folder: whether to replace one is asked here
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)
        before = self.session.path
        dialog.selectFile(str(before.with_suffix(".zarr") if before else "tracks.zarr"))
        dialog.fileSelected.connect(self.save_to)
        self.dialog = dialog
        dialog.open()

    def save_to(self, path: Any) -> None:
        """Save to a path; asks before it replaces a store.

        Parameters
        ----------
        path
            Folder of the store, ending in .zarr.
        """
        path = Path(path)
        if path.exists() and is_store(path):
            self._ask(path)
        else:
            self._write(path, overwrite=False)

    def _ask(self, path: Path) -> None:
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(
            f"{path.name} is there already. Replace it by the tracks as they are?"
        )
        box.setInformativeText(str(path))
        replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
        other = box.addButton("Save as …", QMessageBox.ButtonRole.ActionRole)
        keep = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        replace.clicked.connect(lambda: self._write(path, overwrite=True))
        other.clicked.connect(self.save_as)
        self.question = box
        box.open()

    def _write(self, path: Path, *, overwrite: bool) -> None:
        session = self.session
        if session is None:
            return
        now = session.dataset  # what the person sees; edits may go on meanwhile
        self.work.start(
            lambda say: save_session(session, path, overwrite=overwrite, ds=now),
            lambda where: f"saved to {where}",
            "saving",
        )
