"""A still picture of what the explorer would show, where no widget can run."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seurat_tracks.notebook.frames import Pictures
    from seurat_tracks.notebook.shown import Shown

MAX_TRACKS = 300
"""Drawn in the picture; matplotlib takes seconds for thousands."""

_TAIL = 15


class Still:
    """A picture of tracks, with one sentence below.

    Parameters
    ----------
    shown
        What to draw.
    pictures
        The video, if there is one.
    frame
        Frame number; one at two thirds of the time by default.
    note
        The sentence.
    """

    def __init__(
        self,
        shown: Shown,
        pictures: Pictures | None = None,
        *,
        frame: int | None = None,
        note: str = "",
    ) -> None:
        self._shown = shown
        self._pictures = pictures
        self._frame = frame
        self._png: bytes | None = None
        self.note = note

    def figure(self) -> Figure:
        """Draw a matplotlib figure."""
        from seurat_tracks.notebook.plots import (
            Drawing,
            new_figure,
            plot_tracks,
            prepare,
            side_by_side,
        )

        part = self._shown.ds
        times = part["time"].values
        time = int(times[len(times) * 2 // 3]) if self._frame is None else self._frame
        image = self._image(time)
        figure = new_figure(960)
        drawable = self._shown.seen & (
            np.isfinite(part["xyz"].values).all(-1)
            if "xyz" in part and "depth" in part
            else False
        )
        if drawable.any():
            drawing = prepare(part, max_tracks=MAX_TRACKS)
            frame = self._blank() if image is None else image
            side_by_side(figure, drawing, frame, time=time, tail=_TAIL, tail_3d=_TAIL)
            return figure
        step = max(1, -(-len(self._shown.rows) // MAX_TRACKS))
        xy, seen = part["xy"].values[::step], self._shown.seen[::step]
        flat = Drawing(
            xy=xy,
            space=np.full((*seen.shape, 3), np.nan),
            # nothing but order to colour by: the same for all frames of a track
            depth=np.broadcast_to(np.linspace(1, 2, len(xy))[:, None], seen.shape),
            visible=seen,
            time=times,
            units="",
            limits=(1.0, 2.0),
        )
        axes = figure.add_axes((0.07, 0.12, 0.9, 0.82))
        plot_tracks(flat, image, time=time, tail=_TAIL, ax=axes, colour_bar=False)
        width, height = part.attrs["frame_size"]
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
        axes.set_title(f"frame {time}")
        return figure

    def png(self) -> bytes:
        """Give the picture as PNG."""
        if self._png is None:
            file = io.BytesIO()
            self.figure().savefig(file, format="png")
            self._png = file.getvalue()
        return self._png

    def _repr_png_(self) -> bytes:
        return self.png()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        import base64

        picture = base64.b64encode(self.png()).decode()
        return {
            "text/plain": repr(self),
            "text/html": (
                f'<figure style="margin:0"><img alt="tracks" style="max-width:100%" '
                f'src="data:image/png;base64,{picture}">'
                f"<figcaption>{html.escape(self.note)}</figcaption></figure>"
            ),
        }

    def __repr__(self) -> str:
        n, length = self._shown.seen.shape
        return f"<Still of {n} tracks in {length} frames> {self.note}"

    def _image(self, time: int) -> np.ndarray | None:
        if self._pictures is None:
            return None
        position = int(self._pictures.positions(np.array([time]))[0])
        if position < 0:
            return None
        return np.asarray(self._pictures.video[position].values)

    def _blank(self) -> np.ndarray:
        width, height = self._shown.ds.attrs["frame_size"]
        return np.full((int(height), int(width), 3), 244, np.uint8)
