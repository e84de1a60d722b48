"""Every plot by name, and the namespace ``ds.seurat.plot``.

Solid and filled is what was seen; dotted lines cross gaps in which a point was hidden,
and a hollow dot is a point that is hidden now. Colours are safe for colour-blind
readers. Each plot returns its axes and takes ``ax=``; relative depth says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seurat_tracks.notebook.curves import plot_depth, plot_scale
from seurat_tracks.notebook.drawing import (
    COLOUR_MAP,
    MAX_TRACKS,
    Drawing,
    depth_label,
    frame_at,
    prepare,
)
from seurat_tracks.notebook.overlay import plot_filmstrip, plot_tracks
from seurat_tracks.notebook.picture import new_figure, picture, side_by_side
from seurat_tracks.notebook.reliability import plot_reliability
from seurat_tracks.notebook.space import plot_3d

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d.axes3d import Axes3D

__all__ = [
    "COLOUR_MAP",
    "MAX_TRACKS",
    "Drawing",
    "Plots",
    "depth_label",
    "frame_at",
    "new_figure",
    "picture",
    "plot_3d",
    "plot_depth",
    "plot_filmstrip",
    "plot_reliability",
    "plot_scale",
    "plot_tracks",
    "prepare",
    "side_by_side",
]


class Plots:
    """Plots of one Dataset of lifted tracks; see ``docs/plots.md``.

    Stateless: every method calls a public function of this module with the Dataset.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def __repr__(self) -> str:
        names = [name for name in vars(type(self)) if not name.startswith("_")]
        return "plots of these tracks: " + ", ".join(f".{n}()" for n in names)

    def depth(self, tracks: Any = None, **settings: Any) -> Axes:
        """Depth over time with error bands; see `plot_depth`."""
        return plot_depth(self._ds, tracks, **settings)

    def overlay(self, video: Any = None, **settings: Any) -> Axes:
        """Tracks over a frame; see `plot_tracks`."""
        return plot_tracks(self._ds, video, **settings)

    def scene(self, **settings: Any) -> Axes3D:
        """Whole tracks in 3D; see `plot_3d`."""
        return plot_3d(self._ds, **settings)

    def at(self, time: int, *, tail: int | None = 8, **settings: Any) -> Axes3D:
        """Points in 3D at one instant, with short tails; see `plot_3d`."""
        return plot_3d(self._ds, time=time, tail=tail, **settings)

    def filmstrip(self, video: Any = None, **settings: Any) -> Axes:
        """Several frames side by side; see `plot_filmstrip`."""
        return plot_filmstrip(self._ds, video, **settings)

    def scale(self, tracks: Any = None, **settings: Any) -> Axes:
        """Scale per visible run; see `plot_scale`."""
        return plot_scale(self._ds, tracks, **settings)

    def reliability(self, truth: xr.Dataset, **settings: Any) -> Axes:
        """Whether error bars hold what they promise; see `plot_reliability`."""
        return plot_reliability(self._ds, truth, **settings)
