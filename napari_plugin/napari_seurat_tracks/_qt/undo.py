"""Undo and Redo: two buttons and their keys."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QPushButton, QShortcut, QWidget

from napari_seurat_tracks._qt.work import Work
from napari_seurat_tracks.session import Session


class Undo(QObject):
    """Take changes of a session back, and do them again.

    Parameters
    ----------
    widget
        Where the keys work.
    work
        While it runs, nothing is taken back.
    session
        Gives the session, or None.

    Attributes
    ----------
    undo_button, redo_button
        To be laid out.
    """

    def __init__(
        self, widget: QWidget, work: Work, session: Callable[[], Session | None]
    ) -> None:
        super().__init__(widget)
        self._work, self._session = work, session
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        self.undo_button.setToolTip("take the last change back (Ctrl+Z)")
        self.redo_button.setToolTip("do it again (Ctrl+Shift+Z)")
        for button, key, slot in (
            (self.undo_button, QKeySequence.StandardKey.Undo, self.undo),
            (self.redo_button, QKeySequence.StandardKey.Redo, self.redo),
        ):
            button.clicked.connect(slot)
            shortcut = QShortcut(QKeySequence(key), widget)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)

    def enable(self) -> None:
        """Offer what there is to take back, or to do again."""
        session, busy = self._session(), self._work.running
        self.undo_button.setEnabled(bool(session and session.can_undo and not busy))
        self.redo_button.setEnabled(bool(session and session.can_redo and not busy))

    def undo(self) -> None:
        """Take the last change back."""
        session = self._session()
        if session is not None and not self._work.running:
            session.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        session = self._session()
        if session is not None and not self._work.running:
            session.redo()
