"""What napari's layers say to a tracker: the video, and the points to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seurat_tracks.video import first_number
from seurat_tracks.errors import TrackerError, VideoError
from seurat_tracks.io.video import open_video

if TYPE_CHECKING:
    import xarray as xr


def video_of(layer: Any) -> xr.DataArray:
    """Read an Image layer as a video, lazily where it is lazy.

    Parameters
    ----------
    layer
        Image layer of (t, y, x), or of (t, y, x, colour) shown as RGB. Pixels of
        other types than uint8 are taken as they are shown, by the contrast limits.

    Returns
    -------
    DataArray (time, y, x, rgb), uint8
        As of `seurat_tracks.io.video.open_video`. Frame numbers are those of the time
        slider where the layer has one step a frame, else they count from 0.

    Raises
    ------
    VideoError
        The layer is no video.
    """
    import xarray as xr

    data = layer.data[0] if layer.multiscale else layer.data
    name = f"the layer {layer.name!r}"
    colours = data.shape[-1] if layer.rgb else 0
    if data.ndim - bool(colours) != 3:
        raise VideoError(
            f"{name} has the shape {tuple(data.shape)}; a video has (t, y, x), or "
            "(t, y, x, 3) in colour"
            + (": this is one picture." if data.ndim - bool(colours) == 2 else ".")
        )
    if colours == 4:
        data = data[..., :3]
    if data.dtype != np.uint8:
        data = _as_shown(data, layer.contrast_limits, bool(colours))
    dims = ("time", "y", "x", "rgb")[: data.ndim]
    n = data.shape[0]
    first = first_number(layer)
    video = xr.DataArray(
        data, dims=dims, coords={"time": np.arange(n) + first}, name="video"
    )
    fps = layer.metadata.get("fps")
    video = open_video(video, fps=float(fps) if fps else None)
    video.attrs["source"] = name
    return video


def _as_shown(data: Any, limits: Any, colour: bool) -> Any:
    """Bring pixels to 0..255 as the contrast limits show them."""
    low, high = (float(v) for v in limits)
    if colour and data.dtype.kind == "f":
        low, high = 0.0, 1.0  # napari shows colours of 0..1
    elif colour:
        low, high = 0.0, float(np.iinfo(data.dtype).max)

    def shown(block: np.ndarray) -> np.ndarray:
        part = (block.astype(np.float32) - low) / max(high - low, 1e-12)
        return np.asarray(np.rint(np.clip(np.nan_to_num(part), 0, 1) * 255), np.uint8)

    if hasattr(data, "map_blocks"):
        return data.map_blocks(shown, dtype=np.uint8)
    import dask.array as da

    # without a name, which would be a hash of all pixels
    lazy = da.from_array(data, chunks=(1, *data.shape[1:]), name=False)
    return lazy.map_blocks(shown, dtype=np.uint8)


def queries_of(points: Any, image: Any, frame: int | None = None) -> dict[str, Any]:
    """Read a Points layer as points to follow through an Image layer.

    Parameters
    ----------
    points
        Points layer of (t, y, x), or of (y, x). A feature ``track`` gives the ids.
    image
        The Image layer they were set on; scales and shifts of both count.
    frame
        Frame number of points that have no time; the first one by default.

    Returns
    -------
    dict
        Columns ``frame``, ``x``, ``y`` and perhaps ``track``, as
        `seurat_tracks.trackers.parse_queries` takes them, in the layer's order.

    Raises
    ------
    TrackerError
        There are no points, they lie between frames, or have other axes.
    """
    name = f"the layer {points.name!r}"
    if len(points.data) == 0:
        raise TrackerError(
            f"{name} holds no points: set some on the video (key 2 and clicks), or "
            "choose a grid."
        )
    if points.ndim not in (2, 3):
        raise TrackerError(
            f"{name} has points of {points.ndim} coordinates; t, y, x are needed."
        )
    world = np.array([points.data_to_world(p) for p in points.data])
    if points.ndim == 2:
        xy = np.array([image.world_to_data(np.append(0.0, w)) for w in world])
        position = np.zeros(len(xy))
    else:
        xy = np.array([image.world_to_data(w) for w in world])
        position = xy[:, 0]
    between = np.abs(position - np.rint(position)) > 0.01
    if between.any():
        raise TrackerError(
            f"{name}: {between.sum()} points lie between two frames (first at "
            f"t={position[between][0]:g}); move them onto one."
        )
    video = video_of(image)
    times = video["time"].values
    number = np.rint(position).astype(int) + int(times[0])
    if points.ndim == 2 and frame is not None:
        number[:] = frame
    out = {"frame": number, "x": xy[:, 2], "y": xy[:, 1]}
    if "track" in points.features:
        ids = points.features["track"]
        if ids.notna().all() and ids.is_unique:
            out["track"] = ids.to_numpy()
    return out
