"""Matplotlib pictures of lifted tracks: over the frame, and in 3D.

What is seen is drawn solid and filled; a gap in which a point was hidden is dotted,
and a point that is hidden now is hollow, at the place where it was last seen. Colours
are depth, near is bright; the colour maps are safe for colour-blind readers.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.notebook.segments import Segments, heads, visible_segments

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d.axes3d import Axes3D

COLOUR_MAP = "viridis_r"
"""Near is bright yellow, far is dark blue."""

MAX_TRACKS = 2000
"""Tracks drawn; of more, every n-th."""


class Drawing(NamedTuple):
    """Tracks as arrays, ready to draw.

    Attributes
    ----------
    xy : float array (track, time, 2)
        Pixels.
    space : float array (track, time, 3)
        The same points in 3D as matplotlib draws them: right, into the scene, up.
    depth : float array (track, time)
        Colour.
    visible : bool array (track, time)
        Whether the point is seen.
    time : int array (time,)
        Frame numbers.
    units : str
        "m", or "relative".
    limits : tuple of two floats
        Depths at the ends of the colour map.
    """

    xy: np.ndarray
    space: np.ndarray
    depth: np.ndarray
    visible: np.ndarray
    time: np.ndarray
    units: str
    limits: tuple[float, float]


def prepare(ds: xr.Dataset, *, max_tracks: int = MAX_TRACKS) -> Drawing:
    """Load what is drawn of a lifted Dataset, once for many pictures.

    Parameters
    ----------
    ds
        Lifted tracks (``xy``, ``visible``, ``depth``, ``xyz``). Computed if lazy.
    max_tracks
        Of more tracks than this every n-th is taken.

    Returns
    -------
    Drawing

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted, or no point with depth is ever seen.
    """
    missing = sorted({"xy", "visible", "depth", "xyz"} - set(ds.data_vars))
    if missing:
        raise SchemaError(
            f"cannot draw without {', '.join(missing)}: call ds.seurat.lift3d() first"
        )
    step = -(-ds.sizes["track"] // max_tracks) if ds.sizes["track"] else 1
    part = ds[["xy", "visible", "depth", "xyz"]].isel(track=slice(None, None, step))
    part = part.transpose("track", "time", ...).compute()
    depth = part["depth"].values
    visible = part["visible"].values
    shown = depth[visible & np.isfinite(depth)]
    if shown.size == 0:
        raise SchemaError("nothing to draw: no visible point has a finite depth")
    low, high = (float(v) for v in np.percentile(shown, [0.5, 99.5]))
    xyz = part["xyz"].values
    units = "m" if ds.attrs.get("units") == "m" else "relative"
    # The colours of a scene that stands still must not make a show of its noise.
    centre = 1.0 if units == "relative" else 0.5 * (low + high)
    low, high = min(low, 0.95 * centre), max(high, 1.05 * centre)
    return Drawing(
        xy=part["xy"].values,
        space=np.stack([xyz[..., 0], xyz[..., 2], -xyz[..., 1]], axis=-1),
        depth=depth,
        visible=visible,
        time=ds["time"].values,
        units=units,
        limits=(low, high),
    )


def depth_label(drawing: Drawing) -> str:
    """Say what the colours mean, with the unit and what it rests on."""
    if drawing.units == "m":
        return "depth (m)"
    return "depth, relative (1 = this track at its reference frame)"


def plot_tracks(
    ds: xr.Dataset | Drawing,
    frame_image: np.ndarray | None = None,
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
        Lifted tracks, or the result of `prepare`.
    frame_image : uint8 array (y, x, rgb), optional
        The frame itself.
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

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted.
    SeuratTracksError
        If the Dataset has no such frame.
    """
    from matplotlib.collections import LineCollection

    d = _drawing(ds)
    position, start = _span(d, time, tail)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(8, 5), layout="constrained").add_subplot()
    if frame_image is not None:
        ax.imshow(frame_image)
    else:
        ax.invert_yaxis()
        ax.set_aspect("equal")
    norm = _norm(d)
    lines = visible_segments(d.xy, d.depth, d.visible, start, position + 1)
    for solid in (False, True):
        ends, style = _style(lines, solid, norm)
        if len(ends):
            ax.add_collection(LineCollection(list(ends), **style), autolim=True)
    now = heads(d.xy, d.depth, d.visible, position)
    _dots(ax, now.points.T, now.value, now.hidden, norm)
    if frame_image is None:
        ax.autoscale_view()
    ax.set_xlabel("x (px)")
    ax.set_ylabel("y (px)")
    if colour_bar:
        _colour_bar(ax.figure, d, ax=[ax], shrink=0.8)
    return ax


def plot_3d(
    ds: xr.Dataset | Drawing,
    *,
    time: int | None = None,
    tail: int | None = None,
    ax: Any = None,
    view: tuple[float, float] = (18.0, -65.0),
    colour_bar: bool = True,
) -> Axes3D:
    """Draw the same tracks in 3D, in the camera's frame.

    The depth axis points into the scene and up is up; all axes have one scale.

    Parameters
    ----------
    ds, time, tail, colour_bar
        As in `plot_tracks`; by default the whole track is drawn.
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
        If the Dataset has no such frame.
    """
    from matplotlib.ticker import MaxNLocator
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    d = _drawing(ds)
    position, start = _span(d, time, tail)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(8, 6), layout="constrained").add_subplot(
            projection="3d"
        )
    norm = _norm(d)
    lower, upper = _box(d)
    lines = visible_segments(d.space, d.depth, d.visible, start, position + 1)
    inside = ((lines.ends >= lower) & (lines.ends <= upper)).all(axis=(1, 2))
    lines = Segments(*(a[inside] for a in lines))
    for solid in (False, True):
        ends, style = _style(lines, solid, norm)
        if len(ends):
            ax.add_collection3d(Line3DCollection(ends, **style))
    now = heads(d.space, d.depth, d.visible, position)
    inside = ((now.points >= lower) & (now.points <= upper)).all(axis=1)
    _dots(ax, now.points[inside].T, now.value[inside], now.hidden[inside], norm)
    for set_limits, a, b in zip(
        (ax.set_xlim, ax.set_ylim, ax.set_zlim), lower, upper, strict=True
    ):
        set_limits(a, b)
    ax.set_box_aspect(upper - lower, zoom=1.1)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(4))
    unit = "m" if d.units == "m" else "relative"
    ax.set_xlabel(f"right ({unit})")
    ax.set_ylabel(f"depth ({unit})")
    ax.set_zlabel(f"up ({unit})")
    ax.view_init(elev=view[0], azim=view[1])
    if colour_bar:
        _colour_bar(ax.figure, d, ax=[ax], shrink=0.8)
    return ax


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
    d = _drawing(ds)
    position, _ = _span(d, time, None)
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
    _colour_bar(figure, drawing, cax=bar, orientation="horizontal")
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


def frame_at(video: Any, time: int) -> np.ndarray:
    """Read one frame of a video by its frame number, uint8 (y, x, rgb).

    Raises
    ------
    SeuratTracksError
        If the video has no such frame.
    VideoError
        If the video cannot be read.
    """
    from seurat_tracks.io.video import open_video

    frames = open_video(video)
    if time not in frames["time"].values:
        raise SeuratTracksError(
            f"the video has no frame {time}; it has frames "
            f"{int(frames['time'][0])} to {int(frames['time'][-1])}"
        )
    return np.asarray(frames.sel(time=time).values)


def _drawing(ds: xr.Dataset | Drawing) -> Drawing:
    return ds if isinstance(ds, Drawing) else prepare(ds)


def _span(d: Drawing, time: int | None, tail: int | None) -> tuple[int, int]:
    """Position of the frame to draw, and of the first frame of its tails."""
    if time is None:
        position = len(d.time) - 1
    else:
        found = np.flatnonzero(d.time == time)
        if len(found) == 0:
            raise SeuratTracksError(
                f"the Dataset has no frame {time}; it has frames {d.time[0]} to "
                f"{d.time[-1]}"
            )
        position = int(found[0])
    return position, 0 if tail is None else max(0, position - tail)


def _norm(d: Drawing) -> Normalize:
    from matplotlib.colors import LogNorm, Normalize

    low, high = d.limits
    # Depth spans decades in metres, and ratios are multiplicative.
    return LogNorm(low, high) if low > 0 and high > 2 * low else Normalize(low, high)


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


def _style(
    lines: Segments, solid: bool, norm: Normalize
) -> tuple[np.ndarray, dict[str, Any]]:
    chosen = lines.bridge != solid
    colours = _mappable(norm).to_rgba(lines.value[chosen])
    colours[:, 3] = (0.9 - 0.6 * lines.age[chosen]) * (1 if solid else 0.6)
    return lines.ends[chosen], {
        "colors": colours,
        "linewidths": 1.3 if solid else 0.8,
        "linestyles": "solid" if solid else (0, (1, 2.5)),
    }


def _dots(
    ax: Any, points: np.ndarray, value: np.ndarray, hidden: np.ndarray, norm: Any
) -> None:
    colours = _mappable(norm).to_rgba(value)
    seen = ~hidden
    extra = {"depthshade": False} if hasattr(ax, "set_zlim") else {"zorder": 3}
    ax.scatter(*points[:, seen], s=9, c=colours[seen], linewidths=0, **extra)
    ax.scatter(
        *points[:, hidden],
        s=12,
        facecolors="none",
        edgecolors=colours[hidden],
        linewidths=0.9,
        **extra,
    )


def _mappable(norm: Any) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm=norm, cmap=COLOUR_MAP)


def _colour_bar(figure: Any, d: Drawing, **place: Any) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

    norm = _norm(d)
    logarithmic = type(norm).__name__ == "LogNorm"
    bar = figure.colorbar(
        _mappable(norm),
        label=depth_label(d),
        ticks=LogLocator(subs=(1, 2, 3, 5, 7)) if logarithmic else MaxNLocator(5),
        format=StrMethodFormatter("{x:g}"),
        **place,
    )
    bar.minorticks_off()
