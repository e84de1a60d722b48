"""The explorer's canvas: an anywidget that draws, and tells what the user does."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from seurat_tracks.notebook.assets import script, style


class TrackCanvas(anywidget.AnyWidget):
    """What is drawn: arrays as bytes, and the state that both sides change.

    Attributes
    ----------
    meta
        What the arrays are; see `seurat_tracks.notebook.shown.Shown.meta`.
    xy, xyz, seen, depth, sigma
        Little-endian float32 (``seen``: uint8), row-major.
    frame, colour, tail, fade
        Frame number; what is coloured by; frames that tracks reach back; whether
        uncertain tracks fade.
    selection
        Positions among the tracks that are shown.
    picks
        Query points as [frame number, x, y].
    """

    _esm = traitlets.Unicode(script("widget")).tag(sync=True)
    _css = traitlets.Unicode(style()).tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    xy = traitlets.Bytes().tag(sync=True)
    xyz = traitlets.Bytes().tag(sync=True)
    seen = traitlets.Bytes().tag(sync=True)
    depth = traitlets.Bytes().tag(sync=True)
    sigma = traitlets.Bytes().tag(sync=True)
    frame = traitlets.Int().tag(sync=True)
    colour = traitlets.Unicode().tag(sync=True)
    tail = traitlets.Int(20).tag(sync=True)
    fade = traitlets.Bool(True).tag(sync=True)
    selection = traitlets.List(traitlets.Int()).tag(sync=True)
    picks: Any = traitlets.List().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(420).tag(sync=True)
    renderer = traitlets.Unicode("auto").tag(sync=True)
