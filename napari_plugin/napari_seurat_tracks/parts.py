"""The napari layers that a scene consists of, empty until a scene fills them.

Points of the current frame have one row a track, always; their arrays are changed in
place, because napari's own way to set data costs more than drawing it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seurat_tracks.session import KEY, PART

if TYPE_CHECKING:
    from napari.layers import Points, Surface, Tracks, Vectors

    from napari_seurat_tracks.session import Session
    from napari_seurat_tracks.stage import Space, Stage

AXES = {2: ("y", "x"), 3: ("z", "y", "x")}

DOTS = 1500
"""Dots of hidden spans drawn at most; of more, that many spread evenly."""


def _about(part: str, session: Session, ndim: int, *, timed: bool = False) -> dict:
    metadata: dict[str, Any] = {PART: (part, session)}
    labels = AXES[ndim]
    if timed:
        # Whoever looks for the session also looks for its time axis.
        metadata[KEY] = session
        labels = ("t", *labels)
    return {"metadata": metadata, "axis_labels": labels}


def point_size(stage: Stage, space: Space) -> float:
    """Return the size of points that suits a view, in its own unit.

    Many points are smaller, or they would hide each other, and take longer to draw.
    """
    crowd = min(1.0, (1500 / max(len(stage.ids), 1)) ** 0.5)
    if len(space.low) == 3:
        return crowd * float(np.linalg.norm(space.high - space.low)) / 90.0
    if stage.frame_size is None:
        return crowd * float(np.linalg.norm(space.high - space.low)) / 90.0
    return crowd * max(stage.frame_size[0] / 130.0, 2.0)


def empty_points(space: Space, n: int) -> np.ndarray:
    """Return rows in the middle of the box: never seen, and within the extent."""
    middle = 0.5 * (space.low + space.high)
    rows = np.repeat(middle[None].astype(np.float32), max(n, 2), axis=0)
    rows[0], rows[-1] = space.low, space.high
    return rows


def heads(stage: Stage, space: Space, session: Session) -> Points:
    """Where tracks are now, one row a track."""
    from napari.layers import Points

    n, ndim = len(stage.ids), space.points.shape[-1]
    name = "points" if ndim == 2 else "points 3D"
    layer = Points(
        empty_points(space, n)[:n],
        ndim=ndim,
        name=name,
        size=0.0,
        shown=False,
        features={"track": stage.ids},
        face_color="white",
        border_color="transparent",
        border_width=0.0,
        # napari's soft edges cost as much as the points themselves
        antialiasing=0 if n > 1000 else 1,
        **_about("heads", session, ndim),
    )
    layer.editable = False
    return layer


def hidden_rows(space: Space) -> int:
    """Rows for the frame with most hidden points, and for `DOTS` dots."""
    rings = int(space.guessed.sum(axis=0).max(initial=0))
    return rings + min(DOTS, int(space.guessed.sum()))


def hidden(stage: Stage, space: Space, session: Session) -> Points:
    """Hidden points: rings where they are now, and dots where they were."""
    from napari.layers import Points

    ndim, n = space.points.shape[-1], hidden_rows(space)
    layer = Points(
        empty_points(space, n)[:n],
        ndim=ndim,
        name="hidden" if ndim == 2 else "hidden 3D",
        size=0.0,
        shown=False,
        face_color="transparent",
        border_color="transparent",
        border_width=0.25,
        antialiasing=0 if n > 1000 else 1,
        **_about("hidden", session, ndim),
    )
    layer.editable = False
    return layer


def span_ends(stage: Stage, space: Space) -> np.ndarray:
    """Two rows, of a point each, that tell napari the range of time and space.

    A single row draws nothing, and the slider keeps its range whatever is drawn.
    """
    first = space.n_spans
    ends = [
        [first, stage.time[0], *space.low],
        [first + 1, stage.time[-1], *space.high],
    ]
    return np.array(ends, dtype=np.float64)


def tails(stage: Stage, space: Space, session: Session) -> Tracks:
    """Where tracks came from; lines over seen spans alone."""
    from napari.layers import Tracks

    ndim = space.points.shape[-1]
    return Tracks(
        span_ends(stage, space),
        name="tracks" if ndim == 2 else "tracks 3D",
        tail_width=2,
        blending="translucent",
        **_about("tails", session, ndim, timed=True),
    )


def lines(
    ends: np.ndarray, session: Session, part: str, colour: Any, width: float
) -> Vectors:
    """Draw straight lines, (line, 2, 3) in napari's order, of a width in their unit."""
    from napari.layers import Vectors

    layer = Vectors(
        as_vectors(ends),
        ndim=3,
        name=part,
        edge_color=colour,
        edge_width=width,
        vector_style="line",
        blending="translucent",
        **_about(part, session, 3),
    )
    layer.editable = False
    return layer


def as_vectors(ends: np.ndarray) -> np.ndarray:
    """Turn two ends into a start and a direction."""
    return np.stack([ends[:, 0], ends[:, 1] - ends[:, 0]], axis=1)


def labels(at: np.ndarray, text: list[str], session: Session) -> Points:
    """Write text into the scene."""
    from napari.layers import Points

    layer = Points(
        at,
        ndim=3,
        name="grid numbers",
        size=1e-6,
        face_color="transparent",
        border_color="transparent",
        features={"text": text},
        text={"string": "{text}", "size": 9, "color": "#c8c8c8", "anchor": "center"},
        **_about("numbers", session, 3),
    )
    layer.editable = False
    return layer


def picture(corners: np.ndarray, session: Session) -> Surface:
    """Build the plane that carries the picture, (4, 3) in napari's order."""
    from napari.layers import Surface

    from napari_seurat_tracks.space import TEXTURE

    layer = Surface(
        (corners, TEXTURE.faces),
        name="picture",
        texture=np.full((2, 2, 3), 60, np.uint8),
        texcoords=TEXTURE.texcoords,
        shading="none",
        opacity=0.8,
        **_about("picture", session, 3),
    )
    layer.editable = False
    return layer
