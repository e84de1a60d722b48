"""What the plugin works on: one Dataset, a selection, and the edits done to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    import xarray as xr

#: Where a layer keeps the session that it shows: ``layer.metadata[KEY]``.
KEY = "seurat_tracks"


class Session:
    """One Dataset under work; views follow its signals, tools replace its Dataset.

    Attributes
    ----------
    path
        The store that the tracks came from, or None.
    changed
        Emitted with the Dataset after every edit, undo and redo.
    selection_changed
        Emitted with the selected track ids.
    """

    changed = Signal(object)
    selection_changed = Signal(object)

    def __init__(self, ds: xr.Dataset, path: Path | None = None) -> None:
        self.path = path
        self._states = [ds]
        self._at = 0
        self._saved: xr.Dataset | None = ds if path is not None else None
        self._selection = np.empty(0, dtype=ds["track"].dtype)

    @property
    def dataset(self) -> xr.Dataset:
        """The tracks as they are now."""
        return self._states[self._at]

    @property
    def selection(self) -> np.ndarray:
        """Ids of the selected tracks, in the Dataset's order."""
        return self._selection

    def select(self, ids: Any) -> None:
        """Select tracks by id; ids that are not in the Dataset are left out."""
        tracks = self.dataset["track"].values
        chosen = tracks[np.isin(tracks, np.asarray(ids))]
        if not np.array_equal(chosen, self._selection):
            self._selection = chosen
            self.selection_changed.emit(chosen)

    def replace(self, ds: xr.Dataset, what: str) -> None:
        """Put an edited Dataset in place of the current one.

        Parameters
        ----------
        ds
            The Dataset after the edit.
        what
            The edit in words; it is added with the time of day to the attribute
            ``history``, which is saved with the tracks.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        history = [*self.dataset.attrs.get("history", []), f"{now} {what}"]
        self._states = [
            *self._states[: self._at + 1],
            ds.assign_attrs(history=history),
        ]
        self._go(self._at + 1)

    @property
    def is_saved(self) -> bool:
        """Whether the tracks as they are now are those in the store."""
        return self.dataset is self._saved

    def mark_saved(self) -> None:
        """Remember that the tracks were saved as they are now."""
        self._saved = self.dataset

    def load(self) -> None:
        """Read lazy states into memory, so that their files may go."""
        for state in self._states:
            state.load()

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit to do again."""
        return self._at + 1 < len(self._states)

    def undo(self) -> None:
        """Take the last edit back, if there is one."""
        if self.can_undo:
            self._go(self._at - 1)

    def redo(self) -> None:
        """Do the edit again that was last taken back, if there is one."""
        if self.can_redo:
            self._go(self._at + 1)

    def _go(self, at: int) -> None:
        self._at = at
        self.changed.emit(self.dataset)
        self.select(self._selection)


def session_of(viewer: Any) -> Session | None:
    """Find the session of the active layer, else of the last layer that has one."""
    layers = [viewer.layers.selection.active, *reversed(list(viewer.layers))]
    for layer in layers:
        session = layer.metadata.get(KEY) if layer is not None else None
        if isinstance(session, Session):
            return session
    return None
