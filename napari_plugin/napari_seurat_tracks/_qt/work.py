"""Long work in a thread: progress, cancel, and errors as sentences."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.interrupt import Interrupted, watched

_log = logging.getLogger(__name__)

_EVERY = 0.05  # seconds between two reports of progress

GRACE = 1500
"""Milliseconds that cancelled work has to reach a pause point; then the window waits
no longer. An import, or one step of somebody's tracker, may take more."""


@dataclass
class Outcome:
    """How work ended: a value, an error, or neither where it was cancelled."""

    value: Any = None
    error: Exception | None = None
    cancelled: bool = False
    notes: list[str] = field(default_factory=list)


class _Wire(QObject):
    """Carries what a thread says to the window; one for each piece of work."""

    progressed = Signal(str, int, int)
    said = Signal(str)


class Work(QWidget):
    """One piece of work at a time, with a bar, a button to cancel, and a line to read.

    Attributes
    ----------
    started, ended
        Emitted when work begins, and when its thread has ended, with the `Outcome`.
    """

    started = Signal()
    ended = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = QLabel(self)
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(
            self.message.textInteractionFlags()
            | self.message.textInteractionFlags().TextSelectableByMouse
        )
        self.message.setObjectName("message")
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(True)
        self.cancel_button = QPushButton("Cancel", self)
        self.cancel_button.clicked.connect(self.cancel)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.message)
        self._stop: threading.Event | None = None
        self._wire: _Wire | None = None
        self._then: Callable[[Any], Any] | None = None
        self._giving_up = QTimer(self)
        self._giving_up.setSingleShot(True)
        self._giving_up.timeout.connect(self._give_up)
        self._show_running(False)

    @property
    def running(self) -> bool:
        """Whether work is going on."""
        return self._stop is not None

    def say(self, text: str) -> None:
        """Show a sentence."""
        self.message.setText(text)

    def start(
        self,
        function: Callable[[Callable[[str], Any]], Any],
        then: Callable[[Any], Any],
        what: str,
    ) -> None:
        """Run a function in a thread.

        Parameters
        ----------
        function
            Called in the thread with another function, which shows a sentence.
        then
            Called in the window's thread with what came out, unless it was cancelled
            or failed.
        what
            What is done, in words.
        """
        if self.running:
            self.say("something is being done already: wait for it, or cancel it")
            return
        stop, wire = threading.Event(), _Wire()
        self._stop, self._wire, self._then = stop, wire, then
        wire.progressed.connect(self._show_progress)
        wire.said.connect(self.say)
        # whoever closes the window wants no answer any more
        self.destroyed.connect(stop.set)
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(stop.set)
        self.window().installEventFilter(self)
        self._show_running(True)
        self.bar.setRange(0, 0)
        self.bar.setFormat(what)
        self.say(f"{what} …")
        worker = create_worker(_run, function, stop, wire, _start_thread=False)
        worker.returned.connect(lambda outcome: self._end(outcome, wire))
        self.started.emit()
        worker.start()

    def cancel(self) -> None:
        """Ask the work to end; it does at its next pause point."""
        if self._stop is not None:
            self._stop.set()
            self.cancel_button.setEnabled(False)
            self.say("stopping …")
            self._giving_up.start(GRACE)

    def _give_up(self) -> None:
        """Wait no longer for cancelled work; whatever comes of it is left out."""
        if self._stop is not None and self._stop.is_set():
            self._end(Outcome(cancelled=True), self._wire)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stop when the window closes."""
        if event.type() == QEvent.Type.Close and self._stop is not None:
            self._stop.set()
        return bool(super().eventFilter(watched, event))

    def _show_running(self, running: bool) -> None:
        self.bar.setVisible(running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)

    def _show_progress(self, what: str, done: int, total: int) -> None:
        if not self.running:
            return  # a report that was still on its way when the work ended
        self.bar.setRange(0, min(total, 10_000) if total else 0)
        if total:
            self.bar.setValue(round(done * min(1, 10_000 / total)))
        self.bar.setFormat(f"{what} %p%" if total else what)

    def _end(self, outcome: Outcome, wire: _Wire | None) -> None:
        if wire is None or wire is not self._wire:
            return  # of work that nobody waits for any more
        # it may go on a while, and has nothing to say
        wire.progressed.disconnect(self._show_progress)
        wire.said.disconnect(self.say)
        self._giving_up.stop()
        stop, then = self._stop, self._then
        self._stop = self._then = self._wire = None
        self.window().removeEventFilter(self)
        self._show_running(False)
        if outcome.cancelled or (stop is not None and stop.is_set()):
            outcome.cancelled = True
            self.say("cancelled: nothing was changed")
        elif outcome.error is not None:
            self.say(sentence(outcome.error))
        elif then is not None:
            try:
                text = then(outcome.value)
            except Exception as error:  # noqa: BLE001 - the window must go on
                outcome.error = error
                if not isinstance(error, SeuratTracksError):
                    _log.exception("showing what came out of work in napari failed")
                text = sentence(error)
            self.say("\n".join([*([text] if text else []), *outcome.notes]))
        self.ended.emit(outcome)


def warm_up() -> None:
    """Import what work needs, in a thread: an import cannot be cancelled."""
    threading.Thread(target=import_libraries, daemon=True).start()


def import_libraries() -> None:
    """Import what tracking and lifting need."""
    import seurat_tracks.lift
    import seurat_tracks.model.predict
    import seurat_tracks.trackers.lucas_kanade  # noqa: F401

    with watched(lambda what, done, total: None):
        pass


def _run(
    function: Callable[[Callable[[str], Any]], Any],
    stop: threading.Event,
    wire: _Wire,
) -> Outcome:
    """Do the work, in the thread; never raises, whatever happens."""
    last = 0.0

    def watch(what: str, done: int, total: int) -> None:
        nonlocal last
        if stop.is_set():
            raise Interrupted("cancelled")
        now = time.monotonic()
        if what and now - last > _EVERY:
            last = now
            wire.progressed.emit(what, done, total)

    try:
        with warnings.catch_warnings(record=True) as caught, watched(watch):
            warnings.simplefilter("always", UserWarning)
            value = function(wire.said.emit)
        notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        return Outcome(value, notes=list(dict.fromkeys(notes)))
    except Interrupted:
        return Outcome(cancelled=True)
    except Exception as error:  # noqa: BLE001 - whatever a tracker or a model raises
        if stop.is_set():
            return Outcome(cancelled=True)
        if not isinstance(error, SeuratTracksError):
            _log.exception("work in napari failed")
        return Outcome(error=error)


def sentence(error: Exception) -> str:
    """Say what went wrong, without a traceback."""
    if isinstance(error, SeuratTracksError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory: take fewer points, or a shorter video"
    text = str(error).strip().splitlines()
    what = text[0] if text else "no reason was given"
    return f"it failed ({type(error).__name__}: {what}). The log has the full report."
