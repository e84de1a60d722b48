"""``ds.seurat.explore()``: look at tracks, in a widget or, without one, a picture."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.shown import MAX_POINTS, MAX_TRACKS

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.notebook.still import Still
    from seurat_tracks.notebook.widget import TrackExplorer

VIDEO_ATTRIBUTES = ("video", "video_path")
"""Attributes of a Dataset in which the path of its video may stand."""

_EXTRA = "pip install 'seurat-tracks[notebook]'"


def explore(
    ds: xr.Dataset,
    video: Any = None,
    *,
    depth: Any = None,
    tracker: str = "lk",
    colour: str | None = None,
    frame: int | None = None,
    tail: int = 20,
    max_tracks: int = MAX_TRACKS,
    max_points: int = MAX_POINTS,
    height: int = 420,
    renderer: str = "auto",
    **settings: Any,
) -> TrackExplorer | Still:
    """Show tracks over the video beside the same tracks in 3D.

    Parameters
    ----------
    ds
        Tracks, lifted or not. Of lazy ones only what is shown is computed.
    video
        The tracks' video, anything `seurat_tracks.io.video.open_video` takes. None: the
        path in ``ds.attrs["video"]``, and without one a blank frame.
    depth
        Depth source with which points picked in the explorer are lifted, as in
        `seurat_tracks.lift3d`; needed only where the tracks are in metres.
    tracker
        What follows picked points; see `seurat_tracks.track`.
    colour
        What to colour by at first, one of
        `seurat_tracks.notebook.colours.colour_names`; depth, where it is known.
    frame
        Frame number to begin with; the first one by default.
    tail
        Frames that tracks reach back.
    max_tracks, max_points
        Most tracks, and tracks times frames, to draw; of more, some are left out, and
        the explorer says so.
    height
        Of the views, pixels.
    renderer
        "auto" (WebGL, or a 2D canvas where there is none) or "canvas".
    **settings
        Further ones for lifting picked points, such as ``model`` and ``intrinsics``.

    Returns
    -------
    TrackExplorer
        The widget, to be shown as the last line of a cell. Where ipywidgets or
        anywidget are not installed: a picture that says so.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    VideoError
        If the video cannot be opened, or is of another size than the tracks' frames.
    SeuratTracksError
        For a colour or a frame that is not there, or settings that make no sense.
    """
    from seurat_tracks.notebook import shown
    from seurat_tracks.notebook.colours import colour_names
    from seurat_tracks.schema import validate

    validate(ds, values=False)
    check_choice(
        ds,
        colour,
        frame,
        tail=tail,
        max_tracks=max_tracks,
        max_points=max_points,
        height=height,
    )
    if renderer not in ("auto", "canvas"):
        raise SeuratTracksError(
            f'renderer must be "auto" or "canvas", got {renderer!r}'
        )
    names = colour_names(ds)
    times = [int(t) for t in ds["time"].values]
    pictures, video_note = open_pictures(ds, video)
    missing = [name for name in ("ipywidgets", "anywidget") if find_spec(name) is None]
    part = shown.load(ds, max_tracks=max_tracks, max_points=max_points)
    if missing:
        from seurat_tracks.notebook.still import Still

        return Still(
            part,
            pictures,
            frame=frame,
            note=f"This is a still picture: the explorer needs {' and '.join(missing)} "
            f"({_EXTRA}).",
        )
    from seurat_tracks.notebook.widget import TrackExplorer

    return TrackExplorer(
        ds,
        part,
        pictures,
        video_note=video_note,
        lifting={"depth": depth, "tracker": tracker, **settings},
        colour=colour or names[0],
        frame=times[0] if frame is None else frame,
        tail=tail,
        limits={"max_tracks": max_tracks, "max_points": max_points},
        height=height,
        renderer=renderer,
    )


def check_choice(
    ds: xr.Dataset, colour: str | None, frame: int | None, **sizes: Any
) -> None:
    """Refuse a colour or frame that is not there, and sizes that are none."""
    from seurat_tracks.notebook.colours import colour_names

    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SeuratTracksError(f"{name} must be an integer from 1, got {value!r}")
    names = colour_names(ds)
    if colour is not None and colour not in names:
        raise SeuratTracksError(
            f"cannot colour by {colour!r}; there are {', '.join(names)}"
        )
    times = ds["time"].values
    if frame is not None and frame not in times:
        raise SeuratTracksError(
            f"the Dataset has no frame {frame}; it has frames {times[0]} to {times[-1]}"
        )


def open_pictures(ds: xr.Dataset, video: Any) -> tuple[Any, str]:
    """Open the video given, or the one that the Dataset names.

    Returns
    -------
    Pictures or None
        None where there is no video.
    str
        What to say where the frame would be; empty if there is a video.
    """
    from seurat_tracks.errors import VideoError
    from seurat_tracks.notebook.frames import Pictures

    if video is not None:
        return Pictures(video, ds.attrs["frame_size"]), ""
    for name in VIDEO_ATTRIBUTES:
        if path := ds.attrs.get(name):
            try:
                return Pictures(path, ds.attrs["frame_size"]), ""
            except VideoError as error:
                # The Dataset may have moved without its video; the tracks are there.
                return None, f"no video: {error}"
    return None, "no video; give explore(video=...)"
