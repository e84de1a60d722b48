"""Tracks drawn in 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.drawing import (
    Drawing,
    add_colour_bar,
    as_drawing,
    draw_dots,
    new_axes,
    norm_of,
    span,
    style_lines,
)
from seurat_tracks.notebook.segments import Segments, heads, visible_segments

if TYPE_CHECKING:
    import xarray as xr
    from mpl_toolkits.mplot3d.axes3d import Axes3D

AXES = {
    # camera: what the axes of `Drawing.space` are; world: minus y is drawn upwards
    False: ("right", "depth", "up"),
    True: ("world x", "world z", "world -y"),
}
"""Names of the axes in the camera's and in the world's frame."""


def plot_3d(
    ds: xr.Dataset | Drawing,
    *,
    time: int | None = None,
    tail: int | None = None,
    ax: Any = None,
    view: tuple[float, float] = (18.0, -65.0),
    colour_bar: bool = True,
) -> Axes3D:
    """Draw tracks in 3D, in the camera's frame, or the world's where poses were given.

    The depth axis points into the scene and up is up; all axes have one scale.
    Points beyond the central 99 % along any axis are left out.

    Parameters
    ----------
    ds, time, tail, colour_bar
        As in `seurat_tracks.notebook.plots.plot_tracks`; by default tracks are drawn
        from their beginning.
    ax
        3D axes to draw on; new ones if left out.
    view
        Elevation and azimuth from which matplotlib looks, in its own degrees.

    Returns
    -------
    matplotlib Axes3D

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted.
    SeuratTracksError
        If the Dataset has no such frame, or ``ax`` is flat.
    """
    from matplotlib.ticker import MaxNLocator
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    d = as_drawing(ds)
    position, start = span(d, time, tail)
    if ax is None:
        ax = new_axes(8, 6, projection="3d")
    elif not hasattr(ax, "set_zlim"):
        raise SeuratTracksError(
            'a 3D plot needs 3D axes: figure.add_subplot(projection="3d")'
        )
    norm = norm_of(d)
    lower, upper = _box(d)
    lines = visible_segments(d.space, d.depth, d.visible, start, position + 1)
    inside = ((lines.ends >= lower) & (lines.ends <= upper)).all(axis=(1, 2))
    lines = Segments(*(a[inside] for a in lines))
    for solid in (False, True):
        ends, style = style_lines(lines, solid, norm)
        if len(ends):
            ax.add_collection3d(Line3DCollection(ends, **style))
    now = heads(d.space, d.depth, d.visible, position)
    inside = ((now.points >= lower) & (now.points <= upper)).all(axis=1)
    draw_dots(ax, now.points[inside].T, now.value[inside], now.hidden[inside], norm)
    for set_limits, a, b in zip(
        (ax.set_xlim, ax.set_ylim, ax.set_zlim), lower, upper, strict=True
    ):
        set_limits(a, b)
    ax.set_box_aspect(upper - lower, zoom=1.1)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(4))
    unit = "m" if d.units == "m" else "relative"
    for name, axis in zip(AXES[d.world], "xyz", strict=True):
        getattr(ax, f"set_{axis}label")(f"{name} ({unit})")
    ax.view_init(elev=view[0], azim=view[1])
    if colour_bar:
        add_colour_bar(ax.figure, d, ax=[ax], shrink=0.8)
    return ax


def _box(d: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the space to draw, without the few points that fly away."""
    seen = d.visible & np.isfinite(d.space).all(-1)
    points = d.space[seen]
    lower, upper = np.percentile(points, [0.5, 99.5], axis=0)
    margin = 0.05 * (upper - lower) + 0.02 * (upper - lower).max() + 1e-6
    lower, upper = lower - margin, upper + margin
    # A flat scene would otherwise be drawn as a sheet without thickness.
    least = np.array([0.3, 0.5, 0.3]) * (upper - lower).max()
    thin = (least - (upper - lower)).clip(0) / 2
    return lower - thin, upper + thin
