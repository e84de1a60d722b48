"""What all pictures of lifted tracks share: the arrays, colours and line styles.

What is seen is drawn solid and filled; a gap in which a point was hidden is dotted,
and a point that is hidden now is hollow, at the place where it was last seen. Colours
are depth, near is bright; the colour maps are safe for colour-blind readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.notebook.segments import Segments

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.colors import Normalize

COLOUR_MAP = "viridis_r"
"""Near is bright yellow, far is dark blue."""

MAX_TRACKS = 2000
"""Tracks drawn; of more, every n-th."""

DOTTED = (0, (1, 2.5))
"""Line style of what was not seen."""


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
    frame_size : tuple of two ints, optional
        Width and height of the video in pixels.
    world : bool
        Whether ``space`` is in the world's frame, not the camera's.
    """

    xy: np.ndarray
    space: np.ndarray
    depth: np.ndarray
    visible: np.ndarray
    time: np.ndarray
    units: str
    limits: tuple[float, float]
    frame_size: tuple[int, int] | None = None
    world: bool = False


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
    require(ds, "xy", "visible", "depth", "xyz")
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
    units = units_of(ds)
    # The colours of a scene that stands still must not make a show of its noise.
    centre = 1.0 if units == "relative" else 0.5 * (low + high)
    low, high = min(low, 0.95 * centre), max(high, 1.05 * centre)
    size = ds.attrs.get("frame_size")
    return Drawing(
        xy=part["xy"].values,
        space=np.stack([xyz[..., 0], xyz[..., 2], -xyz[..., 1]], axis=-1),
        depth=depth,
        visible=visible,
        time=ds["time"].values,
        units=units,
        limits=(low, high),
        frame_size=None if size is None else (int(size[0]), int(size[1])),
        world=str(ds.attrs.get("frame_of_reference", "")).startswith("world"),
    )


def as_drawing(ds: xr.Dataset | Drawing) -> Drawing:
    """Take a Drawing as it is, and prepare a Dataset."""
    return ds if isinstance(ds, Drawing) else prepare(ds)


def require(ds: xr.Dataset, *names: str) -> None:
    """Raise SchemaError, with the call to make, if the Dataset lacks variables."""
    missing = sorted(set(names) - set(ds.data_vars))
    if not missing:
        return
    tracks_only = {"xy", "visible"} & set(missing)
    cure = (
        "these are no tracks; see seurat_tracks.from_arrays"
        if tracks_only
        else "call ds.seurat.lift3d() first"
    )
    raise SchemaError(f"cannot draw without {', '.join(missing)}: {cure}")


def units_of(ds: xr.Dataset) -> str:
    """Give "m", or "relative" for everything that is no metres."""
    return "m" if ds.attrs.get("units") == "m" else "relative"


def depth_label(drawing: Drawing) -> str:
    """Say what the colours mean, with the unit and what it rests on."""
    return label_of_depth(drawing.units)


def label_of_depth(units: str) -> str:
    """Say what a depth axis shows."""
    if units == "m":
        return "depth (m)"
    return "depth, relative (1 = this track at its reference frame)"


def span(d: Drawing, time: int | None, tail: int | None) -> tuple[int, int]:
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
    if tail is not None and tail < 0:
        raise SeuratTracksError(f"tail must be a number of frames from 0, got {tail}")
    return position, 0 if tail is None else max(0, position - tail)


def norm_of(d: Drawing) -> Normalize:
    """Give the scale of the colours."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = d.limits
    # Depth spans decades in metres, and ratios are multiplicative.
    return LogNorm(low, high) if low > 0 and high > 2 * low else Normalize(low, high)


def style_lines(
    lines: Segments, solid: bool, norm: Normalize
) -> tuple[np.ndarray, dict[str, Any]]:
    """Pick the solid or the dotted lines, with what their collection is made with."""
    chosen = lines.bridge != solid
    colours = mappable(norm).to_rgba(lines.value[chosen])
    colours[:, 3] = (0.9 - 0.6 * lines.age[chosen]) * (1 if solid else 0.6)
    return lines.ends[chosen], {
        "colors": colours,
        "linewidths": 1.3 if solid else 0.8,
        "linestyles": "solid" if solid else DOTTED,
    }


def draw_dots(
    ax: Any, points: np.ndarray, value: np.ndarray, hidden: np.ndarray, norm: Any
) -> None:
    """Draw points (2 or 3, track): filled where seen, hollow where hidden."""
    colours = mappable(norm).to_rgba(value)
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


def mappable(norm: Any) -> Any:
    """Give matplotlib's object that turns depth into colours."""
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm=norm, cmap=COLOUR_MAP)


def add_colour_bar(figure: Any, d: Drawing, **place: Any) -> None:
    """Add a colour bar that says what depth means."""
    from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

    norm = norm_of(d)
    logarithmic = type(norm).__name__ == "LogNorm"
    upright = place.get("orientation", place.get("location", "right")) == "right"
    bar = figure.colorbar(
        mappable(norm),
        label=depth_label(d).replace(" (1", "\n(1") if upright else depth_label(d),
        ticks=LogLocator(subs=(1, 2, 3, 5, 7)) if logarithmic else MaxNLocator(5),
        format=StrMethodFormatter("{x:g}"),
        **place,
    )
    bar.minorticks_off()


def new_axes(width: float, height: float, **settings: Any) -> Any:
    """Make axes in a figure of their own, inches."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(width, height), layout="constrained")
    return figure.add_subplot(**settings)


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


def draw_frame(
    ax: Any, d: Drawing, image: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Draw a frame under its tracks, scaled to their pixels where its size is another.

    Raises
    ------
    SeuratTracksError
        If the picture has another aspect ratio than the tracks' video.
    """
    height, width = image.shape[:2]
    full_width, full_height = d.frame_size or (width, height)
    # one pixel of the picture may be lost to rounding
    if abs(height * full_width - width * full_height) > max(full_width, full_height):
        raise SeuratTracksError(
            f"the picture has {width} x {height} pixels, the tracks' video "
            f"{full_width} x {full_height}: is it another video?"
        )
    x, y = shift
    ax.imshow(
        image,
        cmap="gray",
        extent=(x - 0.5, x + full_width - 0.5, y + full_height - 0.5, y - 0.5),
    )
