"""One picture: tracks over the frame beside the same tracks in 3D."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.notebook.drawing import (
    Drawing,
    add_colour_bar,
    as_drawing,
    frame_at,
    span,
)
from seurat_tracks.notebook.overlay import plot_tracks
from seurat_tracks.notebook.space import plot_3d

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def picture(
    ds: xr.Dataset | Drawing,
    video: Any,
    path: str | PathLike[str],
    *,
    time: int | None = None,
    tail: int | None = None,
    title: str | None = None,
    width: int = 1600,
) -> Path:
    """Write one picture: tracks over the frame beside the same tracks in 3D.

    Parameters
    ----------
    ds
        Lifted tracks, or the result of `prepare`.
    video
        The video, anything `seurat_tracks.io.video.open_video` takes.
    path
        File to write; its ending says the format (png, jpg, svg, pdf).
    time
        Frame number; the last one if left out.
    tail
        How many frames each track reaches back; None for all.
    title
        A line above.
    width
        Width in pixels.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted.
    SeuratTracksError
        If Dataset or video have no such frame.
    VideoError
        If the video cannot be read.
    """
    d = as_drawing(ds)
    position, _ = span(d, time, None)
    figure = new_figure(width)
    frame = frame_at(video, int(d.time[position]))
    side_by_side(figure, d, frame, time=int(d.time[position]), tail=tail, title=title)
    target = Path(path)
    figure.savefig(target)
    return target


def new_figure(width: int) -> Figure:
    """Make a figure for `side_by_side` that belongs to no window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Even sizes, which video codecs ask for.
    figure = Figure(figsize=(12, 5), dpi=2 * round(width / 24))
    FigureCanvasAgg(figure)
    return figure


def side_by_side(
    figure: Figure,
    drawing: Drawing,
    frame: np.ndarray,
    *,
    time: int,
    tail: int | None = None,
    tail_3d: int | None = None,
    view: tuple[float, float] = (18.0, -65.0),
    title: str | None = None,
) -> None:
    """Fill a figure with the frame, the 3D view and one colour bar.

    Parameters
    ----------
    figure
        Cleared first.
    drawing
        Result of `prepare`.
    frame : uint8 array (y, x, rgb)
        The frame.
    time, view, title
        As in `picture` and `plot_3d`.
    tail, tail_3d
        How many frames tracks reach back on the left and on the right; None for all.
    """
    figure.clear()
    left = figure.add_axes((0.01, 0.17, 0.5, 0.74))
    right = figure.add_axes((0.5, 0.08, 0.46, 0.88), projection="3d")
    bar = figure.add_axes((0.06, 0.09, 0.4, 0.03))
    plot_tracks(drawing, frame, time=time, tail=tail, ax=left, colour_bar=False)
    left.set_axis_off()
    plot_3d(drawing, time=time, tail=tail_3d, ax=right, view=view, colour_bar=False)
    add_colour_bar(figure, drawing, cax=bar, orientation="horizontal")
    if title:
        figure.suptitle(title, x=0.01, y=0.97, ha="left", fontsize="medium")
    figure.text(
        0.985,
        0.03,
        f"frame {time} · solid: seen · dotted, hollow: hidden",
        ha="right",
        fontsize="small",
        color="0.35",
    )
