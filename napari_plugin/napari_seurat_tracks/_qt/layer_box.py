"""A list of the viewer's layers of one kind to choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_seurat_tracks._qt.links import Links


class LayerBox(QComboBox):
    """Choose a layer; follows what is added, removed and renamed.

    Parameters
    ----------
    viewer
        The viewer.
    wanted
        Says of a layer whether it can be chosen.
    none
        What stands there while there is none.
    same
        Of layers for which this gives the same object, the topmost alone is offered.
    """

    layer_changed = Signal()

    def __init__(
        self,
        viewer: Any,
        wanted: Callable[[Any], bool],
        none: str,
        same: Callable[[Any], Any] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._wanted, self._none = viewer, wanted, none
        self._same = same or (lambda layer: layer)
        self._layers: list[Any] = []
        self._links = Links(self)
        for name in ("inserted", "removed", "reordered"):
            self._links.add(getattr(viewer.layers.events, name), self.refresh)
        self._names = Links(self)
        self.currentIndexChanged.connect(self._emit)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContentsOnFirstShow)
        self.setMinimumContentsLength(10)
        self.refresh()

    @property
    def layer(self) -> Any:
        """The layer chosen, None if there is none."""
        at = self.currentIndex()
        return self._layers[at] if 0 <= at < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer."""
        self.setCurrentIndex(self._layers.index(layer))

    def refresh(self, event: Any = None) -> None:
        """Read the viewer's layers again; what was chosen stays if it is there."""
        before = self.layer
        wanted = [x for x in self._viewer.layers if self._wanted(x)]
        self._layers = list({id(self._same(x)): x for x in wanted}.values())
        self._names.clear()
        for layer in self._layers:
            self._names.add(layer.events.name, self.refresh)
        self.blockSignals(True)
        self.clear()
        self.addItems([x.name for x in self._layers] or [self._none])
        if before in self._layers:
            self.setCurrentIndex(self._layers.index(before))
        elif self._layers:
            self.setCurrentIndex(len(self._layers) - 1)
        self.blockSignals(False)
        if self.layer is not before:
            self.layer_changed.emit()

    def _emit(self, index: int) -> None:
        self.layer_changed.emit()
