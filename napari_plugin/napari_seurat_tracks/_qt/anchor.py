"""The Anchor tool: say how far things are, and see the scale change."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from napari_seurat_tracks._qt.links import SessionFollower
from napari_seurat_tracks._qt.picking import Picker
from napari_seurat_tracks._qt.work import Work, sentence
from napari_seurat_tracks.anchoring import (
    RELATIONS,
    Statement,
    anchored,
    change,
    relations_of,
)
from napari_seurat_tracks.session import Session
from seurat_tracks.errors import DepthError, SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr
    from napari.viewer import Viewer

_KINDS = {
    "distance": "distance of two points",
    "depth": "depth of one point",
    "size": "size: largest distance among the selected tracks",
}


class AnchorWidget(QWidget):
    """Turn relative depth into metres by what a person knows.

    Parameters
    ----------
    viewer
        The viewer whose session is worked on.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.picks: list[tuple[Any, int]] = []
        self.statements: list[Statement] = []
        # of states that the session may let go
        self._said_of: list[tuple[weakref.ref[Any], list[Statement]]] = []
        self.kind = QComboBox()
        for data, text in _KINDS.items():
            self.kind.addItem(text, data)
        self.pick_button = QPushButton("Pick with clicks")
        self.pick_button.setCheckable(True)
        self.take_button = QPushButton("Take the selection")
        self.picked = QLabel()
        self.picked.setWordWrap(True)
        self.metres = QLineEdit()
        self.metres.setPlaceholderText("metres, such as 0.42")
        self.this_frame = QCheckBox("in this frame only")
        self.this_frame.setChecked(True)
        self.relation = QComboBox()
        self.relation.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.apply_button = QPushButton("Anchor")
        self.known = QListWidget()
        self.known.setMaximumHeight(90)
        self.remove_button = QPushButton("Forget the chosen line")
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        self.scale = QLabel()
        self.scale.setWordWrap(True)
        self.work = Work()
        self.picker = Picker(viewer, self)
        self._lay_out()
        self._connect()
        self._follower = SessionFollower(viewer, self, self._show_dataset)
        self._show_dataset(None)
        self._follower.look()

    @property
    def session(self) -> Session | None:
        """What is worked on."""
        return self._follower.session

    # -- building -----------------------------------------------------------------

    def _lay_out(self) -> None:
        picks = QHBoxLayout()
        picks.addWidget(self.pick_button)
        picks.addWidget(self.take_button)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("known", self.kind)
        form.addRow("points", picks)
        form.addRow("", self.picked)
        form.addRow("metres", self.metres)
        form.addRow("", self.this_frame)
        form.addRow("tracks lie", self.relation)
        steps = QHBoxLayout()
        steps.addWidget(self.undo_button)
        steps.addWidget(self.redo_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.apply_button)
        layout.addWidget(self.scale)
        layout.addWidget(QLabel("what is known; several are brought together:"))
        layout.addWidget(self.known)
        layout.addWidget(self.remove_button)
        layout.addLayout(steps)
        layout.addWidget(self.work)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(self._clear_picks)
        self.pick_button.toggled.connect(self.picker.turn)
        self.take_button.clicked.connect(self.take_selection)
        self.picker.picked.connect(self._pick)
        self.picker.missed.connect(self.work.say)
        self.apply_button.clicked.connect(self.apply)
        self.metres.returnPressed.connect(self.apply)
        self.remove_button.clicked.connect(self.forget)
        self.undo_button.clicked.connect(self.undo)
        self.redo_button.clicked.connect(self.redo)
        for key, slot in (
            (QKeySequence.StandardKey.Undo, self.undo),
            (QKeySequence.StandardKey.Redo, self.redo),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        self.work.started.connect(self._enable)
        self.work.ended.connect(self._enable)
        # a closed widget must not go on taking the viewer's clicks
        picker = self.picker
        self.destroyed.connect(lambda: picker.close())

    # -- what is shown ------------------------------------------------------------

    def _show_dataset(self, ds: xr.Dataset | None) -> None:
        if self.picker.session is not self.session:
            self.picker.session = self.session
            self.statements, self._said_of = [], []
            self._clear_picks()
        for known, statements in self._said_of:
            if ds is not None and known() is ds:  # an undo or redo came back to it
                self.statements = statements
        self._list()
        self._enable()
        before = self.relation.currentData()
        self.relation.clear()
        for name in [] if ds is None else relations_of(ds):
            self.relation.addItem(RELATIONS[name], name)
        self.relation.setCurrentIndex(max(self.relation.findData(before), 0))
        if before != "as_is" and self.relation.findData("as_is") == 0:
            self.relation.setCurrentIndex(0)  # anchored now: that is what is known
        if ds is None:
            self.scale.setText("no tracks: open or lift some")
        else:
            units = ds.attrs.get("units", "no depth yet")
            source = ds.attrs.get("depth_source", "none")
            self.scale.setText(f"units: {units}\ndepth from: {source}")

    def _enable(self, outcome: Any = None) -> None:
        session, busy = self.session, self.work.running
        self.apply_button.setEnabled(session is not None and not busy)
        self.undo_button.setEnabled(bool(session and session.can_undo and not busy))
        self.redo_button.setEnabled(bool(session and session.can_redo and not busy))

    def _list(self) -> None:
        self.known.clear()
        self.known.addItems([str(s) for s in self.statements])

    def _need(self) -> int | None:
        """How many points the chosen statement takes; None: any number."""
        return {"distance": 2, "depth": 1}.get(self.kind.currentData())

    def _show_picks(self) -> None:
        need, n = self._need(), len(self.picks)
        names = ", ".join(f"track {t} (frame {f})" for t, f in self.picks)
        left = "" if need is None or n >= need else f"{need - n} more to pick"
        self.picked.setText("; ".join(filter(None, (names, left))))
        self.picker.mark(self.picks)

    # -- what a person does -------------------------------------------------------

    def _clear_picks(self) -> None:
        self.picks = []
        self._show_picks()

    def _pick(self, track: Any, frame: int) -> None:
        need = self._need()
        if need is not None and len(self.picks) >= need:
            self.picks = []  # the next click begins anew
        self.picks.append((track, frame))
        self.work.say("")
        self._show_picks()
        if need is not None and len(self.picks) == need:
            self.metres.setFocus()

    def take_selection(self) -> None:
        """Take the session's selected tracks for picked ones."""
        from napari_seurat_tracks.timeline import frame_shown

        session = self.session
        if session is None or not len(session.selection):
            self.work.say("no track is selected: select some in the Inspect dock")
            return
        ids, need = session.selection.tolist(), self._need()
        if need is not None and len(ids) != need:
            self.work.say(f"{len(ids)} tracks are selected, {need} needed")
            return
        frame = frame_shown(self.viewer, session)
        self.picks = [(t, frame) for t in ids]
        self._show_picks()

    def statement(self) -> Statement:
        """Read what is known from the widget.

        Raises
        ------
        DepthError
            If it says nothing, such as NaN metres, or a distance of a point to
            itself.
        """
        text = self.metres.text().strip().replace(",", ".")
        try:
            metres = float(text)
        except ValueError:
            raise DepthError(
                f"metres must be a number, got {text!r}" if text else "give the metres"
            ) from None
        frames = {f for _, f in self.picks}
        if self.this_frame.isChecked() and len(frames) > 1:
            which = ", ".join(map(str, sorted(frames)))
            raise DepthError(
                f"the points were picked in frames {which}: pick both in one, or say "
                "that the distance holds in all frames"
            )
        kind = self.kind.currentData()
        single = self.this_frame.isChecked() and kind != "size"
        return Statement(
            kind,
            tuple(t for t, _ in self.picks),
            metres,
            frames.pop() if single and frames else None,
        )

    def apply(self) -> None:
        """Add what is known, and anchor all tracks by everything that is known."""
        try:
            new = self.statement()
        except SeuratTracksError as error:
            self.work.say(sentence(error))
            return
        # the newest word about the same points counts
        same = (new.kind, new.tracks, new.frame)
        kept = [s for s in self.statements if (s.kind, s.tracks, s.frame) != same]
        self._anchor([*kept, new])

    def forget(self) -> None:
        """Take a line from what is known; anchor by the rest, if there is any."""
        row = self.known.currentRow()
        if not 0 <= row < len(self.statements):
            self.work.say("choose a line first")
            return
        rest = [s for n, s in enumerate(self.statements) if n != row]
        if rest:
            self._anchor(rest)
        else:
            self.statements = []
            self._list()
            self.work.say("nothing is known any more; Undo brings the old scale back")

    def undo(self) -> None:
        """Take the last change back."""
        if self.session is not None and not self.work.running:
            self.session.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        if self.session is not None and not self.work.running:
            self.session.redo()

    def _anchor(self, statements: list[Statement]) -> None:
        session, relation = self.session, self.relation.currentData()
        if session is None:
            return
        before, rigid = session.dataset, session.selection.tolist()

        def work(say: Any) -> xr.Dataset:
            return anchored(
                before.compute(scheduler="synchronous"),
                statements,
                relation,
                rigid=rigid,
            ).compute(scheduler="synchronous")

        def take(out: xr.Dataset) -> str:
            if session.dataset is not before:
                raise DepthError(
                    "the tracks were changed meanwhile, so the scale no longer fits "
                    "and was left out: anchor again"
                )
            self._remember(before, self.statements)
            self.statements = statements
            how = change(before, out)
            said = "; ".join(map(str, statements))
            session.replace(out, f"anchored by {said}: {how}")
            self._remember(session.dataset, statements)
            return how

        self.work.start(work, take, "anchoring")

    def _remember(self, ds: xr.Dataset, statements: list[Statement]) -> None:
        """Keep what is known of a state, for undo and redo."""
        alive = [(ref, said) for ref, said in self._said_of if ref() is not None]
        self._said_of = [*alive, (weakref.ref(ds), statements)]

    def hideEvent(self, event: Any) -> None:  # Qt's name
        """Take no clicks for a tool that nobody sees."""
        self.pick_button.setChecked(False)
        super().hideEvent(event)
