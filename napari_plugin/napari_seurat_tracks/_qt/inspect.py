"""The Inspect dock: curves, doubts, corrections, and saving."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_seurat_tracks import edits
from napari_seurat_tracks._qt.links import Links, SessionFollower
from napari_seurat_tracks._qt.plot import CurvePlot
from napari_seurat_tracks._qt.saver import Saver
from napari_seurat_tracks._qt.track_list import TrackList
from napari_seurat_tracks._qt.undo import Undo
from napari_seurat_tracks._qt.work import Work, sentence
from napari_seurat_tracks.relift import relift
from napari_seurat_tracks.session import Session
from napari_seurat_tracks.table import track_table
from napari_seurat_tracks.timeline import frame_shown, go_to
from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr
    from napari.viewer import Viewer


class InspectWidget(QWidget):
    """Look at tracks one by one, correct them, lift them again, and save.

    Parameters
    ----------
    viewer
        The viewer whose session is worked on.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.plot = CurvePlot()
        self.table = TrackList()
        self.table.setMinimumHeight(120)
        self.doubtful = QCheckBox("doubtful ones only")
        self.count = QLabel()
        self.drop_button = _button("Drop", "leave the selected tracks out")
        self.split_button = _button(
            "Split here", "cut the selected track before the frame shown"
        )
        self.merge_button = _button(
            "Merge", "make one track of two that do not overlap"
        )
        self.relift_button = _button(
            "Re-lift", "lift the selected tracks again; the others stay to the bit"
        )
        self.hide_button = _button(
            "Hide", "mark the selected tracks as not visible in these frames"
        )
        self.first, self.last = QSpinBox(), QSpinBox()
        for box in (self.first, self.last):
            box.setToolTip("a right drag in the plot sets the frames, too")
        self.work = Work()
        self.undoing = Undo(self, self.work, lambda: self.session)
        self.undo_button, self.redo_button = (
            self.undoing.undo_button,
            self.undoing.redo_button,
        )
        self.saver = Saver(self.work)
        # the table is worked out apart, so that it cannot be refused by other work
        self._counting = Work()
        self._table_of: Any = None
        self._lay_out()
        self._connect()
        self._follower = SessionFollower(
            viewer, self, self._show_dataset, self._show_selection
        )
        self._links = Links(self)
        self._links.add(viewer.dims.events.current_step, self._show_frame)
        self._links.add(viewer.events.theme, self._show_theme)
        self._show_theme()
        self._show_dataset(None)
        self._follower.look()

    @property
    def session(self) -> Session | None:
        """What is worked on."""
        return self._follower.session

    # -- building -----------------------------------------------------------------

    def _lay_out(self) -> None:
        bottom = QWidget()
        inside = QVBoxLayout(bottom)
        inside.setContentsMargins(0, 0, 0, 0)
        top = QHBoxLayout()
        top.addWidget(self.doubtful)
        top.addStretch(1)
        top.addWidget(self.count)
        inside.addLayout(top)
        inside.addWidget(self.table, 1)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.plot)
        splitter.addWidget(bottom)
        grid = QGridLayout()
        for column, button in enumerate(
            (self.drop_button, self.split_button, self.merge_button, self.relift_button)
        ):
            grid.addWidget(button, 0, column)
        grid.addWidget(self.hide_button, 1, 0)
        span = QHBoxLayout()
        span.addWidget(QLabel("frames"))
        span.addWidget(self.first, 1)
        span.addWidget(QLabel("to"))
        span.addWidget(self.last, 1)
        grid.addLayout(span, 1, 1, 1, 3)
        grid.addWidget(self.undo_button, 2, 0)
        grid.addWidget(self.redo_button, 2, 1)
        grid.addWidget(self.saver, 2, 2, 1, 2)
        layout = QVBoxLayout(self)
        layout.addWidget(splitter, 1)
        layout.addLayout(grid)
        layout.addWidget(self.work)

    def _connect(self) -> None:
        self.table.chosen.connect(self._select)
        self.doubtful.toggled.connect(self.table.show_doubtful_only)
        self.plot.clicked.connect(self._go_to)
        self.plot.spanned.connect(self._set_span)
        self.drop_button.clicked.connect(self.drop)
        self.split_button.clicked.connect(self.split)
        self.merge_button.clicked.connect(self.merge)
        self.hide_button.clicked.connect(self.hide_span)
        self.relift_button.clicked.connect(self.relift)
        self.work.started.connect(self._enable)
        self.work.ended.connect(self._enable)
        self._counting.ended.connect(self._counted)

    # -- what is shown ------------------------------------------------------------

    def _show_dataset(self, ds: xr.Dataset | None) -> None:
        self.saver.session = self.session
        self._enable()
        if ds is None:
            self.table.set_table(None)
            self.count.setText("no tracks: open or lift some")
            self.plot.show_tracks(None, [])
            return
        time = ds["time"].values
        for box in (self.first, self.last):
            box.setRange(int(time[0]), int(time[-1]))
        self._show_frame()
        self._show_selection(self.session.selection)  # type: ignore[union-attr]
        self._count()

    def _show_selection(self, ids: Any) -> None:
        self.table.select(ids)
        ds = None if self.session is None else self.session.dataset
        self.plot.show_tracks(ds, ids)

    def _show_frame(self, event: Any = None) -> None:
        if self.session is not None:
            self.plot.show_frame(frame_shown(self.viewer, self.session))

    def _show_theme(self, event: Any = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self.viewer.theme)
        self.plot.set_colours(theme.text.as_hex(), theme.background.as_hex())

    def _count(self) -> None:
        """Work the table out in a thread; of the newest Dataset at last."""
        session = self.session
        if session is None or self._counting.running:
            return
        ds = session.dataset
        self._table_of = ds
        self.count.setText("looking for doubts …")
        self._counting.start(lambda say: track_table(ds), self._show_table, "doubts")

    def _show_table(self, table: Any) -> str:
        if self.session is not None and self.session.dataset is self._table_of:
            self.table.set_table(table, self.session.selection)
            n, bad = len(table), int((table["flags"] != "").sum())
            self.count.setText(f"{n} tracks, {bad} doubtful")
        return ""

    def _counted(self, outcome: Any) -> None:
        if outcome.error is not None:
            self.table.set_table(None)
            self.count.setText("no table")
            self.work.say(sentence(outcome.error))
        elif self.session is not None and self.session.dataset is not self._table_of:
            self._count()

    def _enable(self, outcome: Any = None) -> None:
        session, busy = self.session, self.work.running
        for button in (
            self.drop_button,
            self.split_button,
            self.merge_button,
            self.hide_button,
            self.relift_button,
        ):
            button.setEnabled(session is not None and not busy)
        self.undoing.enable()
        self.saver.setEnabled(session is not None and not busy)
        changed = session is not None and not session.is_saved
        self.saver.save_button.setText("Save *" if changed else "Save")

    # -- what a person does -------------------------------------------------------

    def _select(self, ids: Any) -> None:
        if self.session is not None:
            self.session.select(ids)

    def _go_to(self, frame: float) -> None:
        if self.session is not None:
            go_to(self.viewer, self.session, frame)

    def _set_span(self, first: int, last: int) -> None:
        self.first.setValue(first)
        self.last.setValue(last)

    def drop(self) -> None:
        """Leave the selected tracks out."""
        self._edit(lambda ds, ids: (edits.drop(ds, ids), f"dropped {_few(ids)}"))

    def split(self) -> None:
        """Cut the selected track before the frame shown."""

        def cut(ds: xr.Dataset, ids: Any) -> tuple[xr.Dataset, str]:
            if len(ids) != 1:
                raise edits.EditError(
                    f"{len(ids)} tracks are selected: select the one to split"
                )
            frame = frame_shown(self.viewer, self.session)  # type: ignore[arg-type]
            out = edits.split(ds, ids[0], frame)
            new = out["track"].values[-1]
            return out, f"split {ids[0]} before frame {frame}, new track {new}"

        self._edit(cut)

    def merge(self) -> None:
        """Make one track of the two selected."""

        def join(ds: xr.Dataset, ids: Any) -> tuple[xr.Dataset, str]:
            if len(ids) != 2:
                raise edits.EditError(
                    f"{len(ids)} tracks are selected: select the two to merge"
                )
            return edits.merge(ds, *ids), f"merged {ids[0]} and {ids[1]}"

        self._edit(join)

    def hide_span(self) -> None:
        """Mark the selected tracks as not visible in the frames chosen."""
        first, last = sorted((self.first.value(), self.last.value()))
        self._edit(
            lambda ds, ids: (
                edits.hide(ds, ids, first, last),
                f"marked {_few(ids)} not visible in frames {first} to {last}",
            )
        )

    def relift(self) -> None:
        """Lift the selected tracks again, in a thread."""
        session = self.session
        if session is None:
            return
        before, ids = session.dataset, session.selection.tolist()

        def take(out: xr.Dataset) -> str:
            if session.dataset is not before:
                raise edits.EditError(
                    "the tracks were changed meanwhile, so the answer no longer fits "
                    "and was left out: lift them again"
                )
            session.replace(out, f"lifted again {_few(ids)}")
            return f"lifted again {_few(ids)}"

        self.work.start(
            lambda say: relift(before.compute(scheduler="synchronous"), ids),
            take,
            "lifting again",
        )

    def _edit(self, edit: Callable[[xr.Dataset, Any], tuple[xr.Dataset, str]]) -> None:
        session = self.session
        if session is None:
            return
        try:
            out, what = edit(session.dataset, session.selection.tolist())
        except SeuratTracksError as error:
            self.work.say(sentence(error))
            return
        session.replace(out, what)
        self.work.say(what)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _few(ids: Any) -> str:
    """Name tracks for the history."""
    ids = [str(t) for t in np.asarray(ids).ravel().tolist()]
    more = f" and {len(ids) - 20} more" if len(ids) > 20 else ""
    return ("track " if len(ids) == 1 else "tracks ") + ", ".join(ids[:20]) + more
