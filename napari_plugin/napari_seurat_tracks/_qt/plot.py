"""Curves of the selected tracks over time, with the frame that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.widgets import SpanSelector
from qtpy.QtCore import QTimer, Signal

from napari_seurat_tracks.curves import Curve, curves, hidden_spans, window_starts

if TYPE_CHECKING:
    import xarray as xr

MOST = 10
"""Curves that are drawn at most."""

_COLOURS = (
    "#4e9bd1", "#f28e2b", "#59a14f", "#e15759", "#b07aa1",
    "#edc948", "#76b7b2", "#ff9da7", "#9c755f", "#bab0ac",
)  # fmt: skip


class CurvePlot(FigureCanvasQTAgg):
    """Depth and ratio of some tracks; clicks move the slider.

    Attributes
    ----------
    clicked
        Emitted with the frame number, a float, under a left click or drag.
    spanned
        Emitted with the first and last frame number of a right drag.
    """

    clicked = Signal(float)
    spanned = Signal(int, int)

    def __init__(self) -> None:
        self._redraw: QTimer | None = None
        super().__init__(Figure(figsize=(5, 4), layout="constrained"))
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(self.draw)
        self.setMinimumHeight(240)
        self.frame = 0
        self.colours = {"ink": "#d0d0d0", "paper": "#262930"}
        self.upper, self.lower = self.figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": (1, 1)}
        )
        self.cursors: list[Any] = []
        self._spans: list[Any] = []
        self.mpl_connect("button_press_event", self._press)
        self.mpl_connect("motion_notify_event", self._press)

    def show_tracks(self, ds: xr.Dataset | None, ids: Any) -> None:
        """Draw the tracks' curves anew.

        Parameters
        ----------
        ds
            Tracks; None draws nothing.
        ids
            Ids of those to draw, `MOST` at most.
        """
        for axes in (self.upper, self.lower):
            axes.clear()
        found = [] if ds is None else curves(ds, np.asarray(ids)[:MOST])
        if ds is not None:
            self._frame_axes(ds, found, len(np.asarray(ids)))
        for number, curve in enumerate(found):
            colour = _COLOURS[number % len(_COLOURS)]
            _draw(self.upper, curve, "depth", colour)
            _draw(self.lower, curve, "ratio", colour)
        _limit(self.upper, found, "depth")
        _limit(self.lower, found, "ratio")
        if len(found) == 1:
            for first, last in hidden_spans(found[0]):
                for axes in (self.upper, self.lower):
                    axes.axvspan(first - 0.5, last + 0.5, color="0.5", alpha=0.25, lw=0)
        if found:
            self.upper.legend(
                title="track",
                fontsize="small",
                title_fontsize="small",
                loc="upper left",
                bbox_to_anchor=(1, 1),
                frameon=False,
                labelcolor=self.colours["ink"],
            )
            self.upper.get_legend().get_title().set_color(self.colours["ink"])
        self.cursors = [
            axes.axvline(self.frame, color=self.colours["ink"], lw=1)
            for axes in (self.upper, self.lower)
        ]
        self._spans = [
            SpanSelector(axes, self._span, "horizontal", button=3)
            for axes in (self.upper, self.lower)
        ]
        self._paint()

    def show_frame(self, frame: int) -> None:
        """Move the cursor line to a frame number."""
        self.frame = frame
        for line in self.cursors:
            line.set_xdata([frame, frame])
        self.draw_idle()

    def draw(self) -> None:
        """Draw; a widget that is deleted meanwhile stays as it is."""
        try:
            super().draw()
        except RuntimeError as error:
            if "deleted" not in str(error):
                raise

    def draw_idle(self) -> None:
        """Draw when there is time; matplotlib's own way outlives a deleted widget."""
        if self._redraw is not None and not self._redraw.isActive():
            self._redraw.start(0)

    def set_colours(self, ink: str, paper: str) -> None:
        """Take the window's colours."""
        self.colours = {"ink": ink, "paper": paper}
        self._paint()

    def _frame_axes(self, ds: xr.Dataset, found: list[Curve], wanted: int) -> None:
        time = ds["time"].values
        units = str(ds.attrs.get("units", ""))
        short = "m" if units == "m" else "relative"
        self.upper.set_ylabel(f"depth ({short})" if "depth" in ds else "no depth yet")
        self.lower.set_ylabel("depth ratio")
        self.lower.set_xlabel("frame")
        self.lower.set_xlim(time[0] - 0.5, time[-1] + 0.5)
        title = "select tracks in the table" if not found else ""
        if wanted > MOST:
            title = f"the first {MOST} of {wanted} selected tracks"
        self.upper.set_title(title, fontsize="small", color=self.colours["ink"])
        starts, cuts = window_starts(ds), ds.attrs.get("cuts") or []
        for axes in (self.upper, self.lower):
            axes.vlines(
                starts, 0, 1, transform=axes.get_xaxis_transform(),
                color="0.5", lw=0.5, alpha=0.5, zorder=0,
            )  # fmt: skip
            axes.vlines(
                cuts, 0, 1, transform=axes.get_xaxis_transform(),
                color="#e15759", lw=1, ls="-.", zorder=0,
            )  # fmt: skip

    def _paint(self) -> None:
        ink, paper = self.colours["ink"], self.colours["paper"]
        self.figure.set_facecolor(paper)
        for axes in (self.upper, self.lower):
            axes.set_facecolor(paper)
            axes.tick_params(colors=ink, labelsize="small")
            for text in (axes.xaxis.label, axes.yaxis.label):
                text.set_color(ink)
            for spine in axes.spines.values():
                spine.set_color(ink)
        self.draw_idle()

    def _press(self, event: Any) -> None:
        left = event.button == 1  # also while it is dragged
        if left and event.inaxes in (self.upper, self.lower):
            self.clicked.emit(float(event.xdata))

    def _span(self, low: float, high: float) -> None:
        if round(high) > round(low):
            self.spanned.emit(round(low), round(high))


def _limit(axes: Any, found: list[Curve], what: str) -> None:
    """Keep a band that says "anything" from squeezing the curves flat."""
    values = [getattr(c, what) for c in found]
    values = [v[np.isfinite(v)] for v in values]
    known = np.concatenate([v for v in values if len(v)] or [np.ones(1)])
    low, high = 0.8 * known.min(), 1.25 * known.max()
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low), min(top, high))


def _draw(axes: Any, curve: Curve, what: str, colour: str) -> None:
    """Draw a value with its band; dashed where the track is not seen."""
    value = getattr(curve, what)
    low, high = getattr(curve, f"{what}_low"), getattr(curve, f"{what}_high")
    axes.fill_between(curve.time, low, high, color=colour, alpha=0.2, lw=0)
    near = curve.visible.copy()
    # the dashes reach to the seen frames beside them
    near[1:-1] &= curve.visible[:-2] & curve.visible[2:]
    hidden = np.where(near, np.nan, value)
    axes.plot(curve.time, hidden, color=colour, lw=1, ls=(0, (3, 2)))
    seen = np.where(curve.visible, value, np.nan)
    axes.plot(curve.time, seen, color=colour, lw=1.6, label=str(curve.track))
