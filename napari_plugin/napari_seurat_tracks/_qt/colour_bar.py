"""A strip that says what the colours mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from napari_seurat_tracks.colours import Palette


class ColourBar(QWidget):
    """Colours from low to high, with the values at both ends and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.text: tuple[str, str, str] = ("", "", "")
        self._strip = QPixmap()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_palette(self, palette: Palette | None, label: str) -> None:
        """Show a palette; None shows nothing."""
        if palette is None:
            self.text, self._strip = ("", "", ""), QPixmap()
        else:
            table = (255 * palette.table).round().astype(np.uint8)
            image = np.ascontiguousarray(np.repeat(table[None], 2, axis=0))
            self._strip = QPixmap.fromImage(
                QImage(
                    image.data,
                    image.shape[1],
                    2,
                    4 * image.shape[1],
                    QImage.Format.Format_RGBA8888,
                ).copy()
            )
            self.text = (f"{palette.low:.3g}", label, f"{palette.high:.3g}")
        self.setToolTip(" | ".join(t for t in self.text if t))
        self.update()

    def sizeHint(self) -> QSize:  # Qt's name
        """Return what the layout asks for."""
        return QSize(200, 34)

    def paintEvent(self, event: object) -> None:  # Qt's name
        """Draw the strip and the text below it."""
        painter = QPainter(self)
        width = self.width()
        if not self._strip.isNull():
            painter.drawPixmap(0, 0, width, 14, self._strip)
        sides = (
            Qt.AlignmentFlag.AlignLeft,
            Qt.AlignmentFlag.AlignHCenter,
            Qt.AlignmentFlag.AlignRight,
        )
        painter.setPen(self.palette().windowText().color())
        for side, text in zip(sides, self.text, strict=True):
            painter.drawText(0, 16, width, 18, side, text)
        painter.end()
