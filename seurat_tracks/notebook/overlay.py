"""Tracks drawn over one frame of their video, or over several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.drawing import (
    Drawing,
    add_colour_bar,
    as_drawing,
    draw_dots,
    draw_frame,
    frame_at,
    new_axes,
    norm_of,
    span,
    style_lines,
)
from seurat_tracks.notebook.segments import heads, visible_segments

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


def plot_tracks(
    ds: xr.Dataset | Drawing,
    background: Any = None,
    *,
    time: int | None = None,
    tail: int | None = 20,
    ax: Axes | None = None,
    colour_bar: bool = True,
) -> Axes:
    """Draw tracks over a frame of their video.

    Parameters
    ----------
    ds
        Lifted tracks, or the result of `seurat_tracks.notebook.plots.prepare`.
    background : uint8 array (y, x, rgb) or (y, x), or a video, optional
        The frame itself, or the video (anything `seurat_tracks.io.video.open_video`
        takes), of which the frame ``time`` is drawn.
    time
        Frame number; the last one if left out.
    tail
        How many frames each track reaches back; None for all.
    ax
        Axes to draw on; new ones if left out.
    colour_bar
        Whether to add a colour bar.

    Returns
    -------
    matplotlib Axes
        In pixels.

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted.
    SeuratTracksError
        If Dataset or video have no such frame, or the frame another aspect ratio.
    VideoError
        If the video cannot be read.
    """
    d = as_drawing(ds)
    position, start = span(d, time, tail)
    image = None if background is None else _image(background, int(d.time[position]))
    if ax is None:
        width, height = d.frame_size or _extent(d)
        ax = new_axes(9, min(8.0, max(3.0, 7.2 * height / width + 0.7)))
    if image is not None:
        draw_frame(ax, d, image)
    else:
        ax.invert_yaxis()
        ax.set_aspect("equal")
    _draw(ax, d, start, position)
    if image is None:
        ax.autoscale_view()
    ax.set_xlabel("x (px)")
    ax.set_ylabel("y (px)")
    if colour_bar:
        add_colour_bar(ax.figure, d, ax=[ax], shrink=0.8)
    return ax


def plot_filmstrip(
    ds: xr.Dataset | Drawing,
    video: Any = None,
    *,
    times: Sequence[int] | None = None,
    n: int = 5,
    tail: int | None = 8,
    ax: Axes | None = None,
    colour_bar: bool = True,
) -> Axes:
    """Draw several frames with their tracks side by side.

    Parameters
    ----------
    ds
        Lifted tracks, or the result of `seurat_tracks.notebook.plots.prepare`.
    video
        The video, anything `seurat_tracks.io.video.open_video` takes; empty frames if
        left out.
    times
        Frame numbers, in the order of drawing; if left out, ``n`` from the first to
        the last.
    n
        How many frames.
    tail, ax, colour_bar
        As in `plot_tracks`.

    Returns
    -------
    matplotlib Axes
        One for the whole strip; its x ticks are frame numbers, y is in pixels.

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted.
    SeuratTracksError
        If Dataset or video have no such frame, or no frame is asked for.
    VideoError
        If the video cannot be read.
    """
    d = as_drawing(ds)
    if times is None:
        if n < 1:
            raise SeuratTracksError(f"a filmstrip needs n from 1, got {n}")
        chosen = d.time[
            np.unique(np.linspace(0, len(d.time) - 1, n).round().astype(int))
        ]
    else:
        chosen = np.atleast_1d(np.asarray(times))
    if len(chosen) == 0:
        raise SeuratTracksError("a filmstrip needs at least one frame in times=")
    spans = [span(d, int(t), tail) for t in chosen]
    images = None if video is None else [_image(video, int(t)) for t in chosen]
    width, height = d.frame_size or _extent(d)
    gap = max(2, round(0.02 * width))
    if ax is None:
        breadth = min(14.0, 2.6 * len(chosen) * width / height)
        across = len(chosen) * (width + gap)
        ax = new_axes(breadth, max(2.0, breadth * height / across + 1.1))
    for i, (position, start) in enumerate(spans):
        shift = (i * (width + gap), 0.0)
        if images is not None:
            draw_frame(ax, d, images[i], shift)
        else:
            _empty_frame(ax, shift[0], width, height)
        _draw(ax, d, start, position, shift, (width, height))
    ax.set_aspect("equal")
    ax.set_xlim(-0.5, len(chosen) * (width + gap) - gap - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.set_xticks(
        [i * (width + gap) + (width - 1) / 2 for i in range(len(chosen))],
        [str(int(t)) for t in chosen],
    )
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_xlabel("frame")
    ax.set_ylabel("y (px)")
    if colour_bar:
        bar = {"location": "bottom", "shrink": 0.5, "aspect": 40, "pad": 0.02}
        add_colour_bar(ax.figure, d, ax=[ax], **bar)
    return ax


def _draw(
    ax: Any,
    d: Drawing,
    start: int,
    position: int,
    shift: tuple[float, float] = (0.0, 0.0),
    inside: tuple[int, int] | None = None,
) -> None:
    """Draw lines and dots of one frame, moved by ``shift`` pixels."""
    from matplotlib.collections import LineCollection
    from matplotlib.transforms import Bbox, TransformedBbox

    norm = norm_of(d)
    before = set(ax.get_children())
    lines = visible_segments(d.xy, d.depth, d.visible, start, position + 1)
    for solid in (False, True):
        ends, style = style_lines(lines, solid, norm)
        if len(ends):
            ax.add_collection(LineCollection(list(ends + shift), **style), autolim=True)
    now = heads(d.xy, d.depth, d.visible, position)
    draw_dots(ax, (now.points + shift).T, now.value, now.hidden, norm)
    if inside is not None:  # tracks that leave one frame must not enter the next
        box = Bbox.from_bounds(shift[0] - 0.5, shift[1] - 0.5, *inside)
        for artist in set(ax.get_children()) - before:
            artist.set_clip_box(TransformedBbox(box, ax.transData))


def _image(background: Any, time: int) -> np.ndarray:
    """Take a picture as it is, and the frame ``time`` of anything else."""
    if isinstance(background, np.ndarray) and (
        background.ndim == 2
        or (background.ndim == 3 and background.shape[-1] in (3, 4))
    ):
        return background
    return frame_at(background, time)


def _extent(d: Drawing) -> tuple[int, int]:
    """Guess a frame that holds all that is seen."""
    seen = d.visible & np.isfinite(d.xy).all(-1)
    width, height = np.ceil(d.xy[seen].max(axis=0)).astype(int) + 1
    return max(1, int(width)), max(1, int(height))


def _empty_frame(ax: Any, left: float, width: int, height: int) -> None:
    from matplotlib.patches import Rectangle

    place = (left - 0.5, -0.5)
    ax.add_patch(Rectangle(place, width, height, facecolor="0.93", zorder=0))
