"""What the plugin works on: one Dataset, a selection, and the edits done to it."""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    import xarray as xr

KEY = "seurat_tracks"
"""Where a layer with the time axis keeps the session that it shows."""

PART = "seurat_tracks_part"
"""Where a layer says which part of which scene it is: (name, session)."""

KEPT_BYTES = 2 * 2**30
"""Memory that the states to which Undo leads take at most; the oldest ones go first."""

_alive: weakref.WeakSet[Session] = weakref.WeakSet()


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
        # not to be kept in memory by this
        self._saved = weakref.ref(ds) if path is not None else None
        self._selection = np.empty(0, dtype=ds["track"].dtype)
        _alive.add(self)

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
        while len(self._states) > 2 and _held(self._states) > KEPT_BYTES:
            del self._states[0]
        self._go(len(self._states) - 1)

    @property
    def is_saved(self) -> bool:
        """Whether the tracks as they are now are those in the store."""
        return self._saved is not None and self.dataset is self._saved()

    def mark_saved(self, ds: xr.Dataset | None) -> None:
        """Remember which state of the tracks was saved; None: none is any more."""
        self._saved = None if ds is None else weakref.ref(ds)

    @property
    def lazy_bytes(self) -> int:
        """Bytes that `load` would read."""
        lazy = [s for s in self._states if any(v.chunks for v in s.variables.values())]
        return max((s.nbytes for s in lazy), default=0)

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


def _held(states: list[xr.Dataset]) -> int:
    """Bytes in memory; what states share counts once, what is lazy not at all."""
    found: dict[int, int] = {}
    for state in states:
        for variable in state.variables.values():
            # .data would read what is lazy
            array = variable._data
            while isinstance(array, np.ndarray) and isinstance(array.base, np.ndarray):
                array = array.base
            if isinstance(array, np.ndarray):
                found[id(array)] = array.nbytes
    return sum(found.values())


def sessions_at(path: Path) -> list[Session]:
    """List the sessions, of any viewer, whose tracks came from a store."""
    place = Path(path).expanduser().resolve()
    return [
        s
        for s in list(_alive)
        if s.path is not None and Path(s.path).expanduser().resolve() == place
    ]


def session_in(layer: Any) -> Session | None:
    """Return the session that a layer shows, whichever part of it."""
    if layer is None:
        return None
    session = layer.metadata.get(KEY)
    if session is None:
        session = layer.metadata.get(PART, ("", None))[1]
    return session if isinstance(session, Session) else None


def session_of(viewer: Any) -> Session | None:
    """Find the session of the active layer, else of the last layer that has one."""
    layers = [viewer.layers.selection.active, *reversed(list(viewer.layers))]
    return next((s for s in map(session_in, layers) if s is not None), None)
