"""Connections of a widget to a viewer and a session, ended with the widget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_seurat_tracks.session import Session, session_of


class Links:
    """Connect signals to a widget's methods, and disconnect them all at once.

    Parameters
    ----------
    widget
        When it goes, so do the connections.
    """

    def __init__(self, widget: QWidget) -> None:
        self._made: list[tuple[Any, Callable[..., Any]]] = []
        widget.destroyed.connect(self.clear)

    def add(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect a signal of napari or psygnal."""
        signal.connect(slot)
        self._made.append((signal, slot))

    def clear(self) -> None:
        """Disconnect everything."""
        for signal, slot in self._made:
            # who emits may be gone already
            with contextlib.suppress(Exception):
                signal.disconnect(slot)
        self._made = []


class SessionFollower:
    """Tells a widget which session the viewer's layers show.

    Parameters
    ----------
    viewer
        The viewer.
    widget
        Its life bounds the connections.
    changed
        Called with the session's Dataset after edits, and when there is another
        session; with None when there is none.
    selected
        Called with the selected ids.
    """

    def __init__(
        self,
        viewer: Any,
        widget: QWidget,
        changed: Callable[[Any], Any],
        selected: Callable[[Any], Any] | None = None,
    ) -> None:
        self.session: Session | None = None
        self._viewer, self._changed, self._selected = viewer, changed, selected
        self._links, self._mine = Links(widget), Links(widget)
        layers = viewer.layers
        for signal in (
            layers.selection.events.active,
            layers.events.inserted,
            layers.events.removed,
        ):
            self._links.add(signal, self.look)

    def look(self, event: Any = None) -> None:
        """Look for the session again."""
        session = session_of(self._viewer)
        if session is self.session:
            return
        self._mine.clear()
        self.session = session
        if session is not None:
            self._mine.add(session.changed, self._on_changed)
            self._mine.add(session.selection_changed, self._on_selected)
        self._changed(None if session is None else session.dataset)

    def _on_changed(self, ds: Any) -> None:
        self._changed(ds)

    def _on_selected(self, ids: Any) -> None:
        if self._selected is not None:
            self._selected(ids)
