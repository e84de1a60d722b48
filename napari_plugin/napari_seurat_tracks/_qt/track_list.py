"""The table of tracks: sorted as wanted, its selection shared with the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_seurat_tracks.table import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_NAMES = list(COLUMNS)
_RAW = Qt.ItemDataRole.UserRole


class _Rows(QAbstractTableModel):
    """A table of `track_table` for Qt; raw values in the user role, for sorting."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: dict[str, list[Any]] = {name: [] for name in _NAMES}

    def set_table(self, table: pd.DataFrame | None) -> None:
        self.beginResetModel()
        self.columns = {
            name: [] if table is None else table[name].tolist() for name in _NAMES
        }
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns["track"])

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(_NAMES)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        value = self.columns[_NAMES[index.column()]][index.row()]
        if role == _RAW:
            # what is unknown sorts below everything
            return -np.inf if isinstance(value, float) and np.isnan(value) else value
        if role == Qt.ItemDataRole.DisplayRole:
            if isinstance(value, float):
                return "–" if np.isnan(value) else f"{value:.3g}"
            return str(value)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.columns["detail"][index.row()] or None
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = 0
    ) -> Any:
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _NAMES[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return COLUMNS[_NAMES[section]]
        return None


class _Sorted(QSortFilterProxyModel):
    """Sorts by raw values, and shows doubtful tracks alone if asked to."""

    doubtful_only = False

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        a, b = left.data(_RAW), right.data(_RAW)
        return bool(a < b)

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        flags = self.sourceModel().columns["flags"]
        return not self.doubtful_only or bool(flags[row])


class TrackList(QTableView):
    """The table.

    Attributes
    ----------
    chosen
        Emitted with the ids that a person selected.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows = _Rows()
        self.order = _Sorted()
        self.order.setSourceModel(self.rows)
        self.setModel(self.order)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        for column, width in enumerate((48, 46, 104, 42, 38, 38, 52, 60)):
            self.setColumnWidth(column, width)
        self._telling = True
        self.selectionModel().selectionChanged.connect(self._tell)

    def set_table(self, table: pd.DataFrame | None, selected: Any = ()) -> None:
        """Show another table; the selection is not announced."""
        self._telling = False
        self.rows.set_table(table)
        self._telling = True
        self.select(selected)

    def show_doubtful_only(self, only: bool) -> None:
        """Leave tracks without a flag out of sight."""
        self.order.doubtful_only = only
        self.order.invalidate()

    def select(self, ids: Any) -> None:
        """Select tracks by id; the selection is not announced."""
        wanted = set(np.asarray(ids).ravel().tolist())
        if wanted == set(self.selected()):
            return
        picked = QItemSelection()
        last = len(_NAMES) - 1
        for row in range(self.order.rowCount()):
            if self.order.index(row, 0).data(_RAW) in wanted:
                picked.select(self.order.index(row, 0), self.order.index(row, last))
        self._telling = False
        self.selectionModel().select(
            picked, QItemSelectionModel.SelectionFlag.ClearAndSelect
        )
        self._telling = True
        if picked.indexes():
            self.scrollTo(picked.indexes()[0])

    def selected(self) -> list[Any]:
        """Ids of the selected rows, from top to bottom."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return [self.order.index(row, 0).data(_RAW) for row in rows]

    def _tell(self) -> None:
        if self._telling:
            self.chosen.emit(self.selected())
