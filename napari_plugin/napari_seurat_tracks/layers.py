"""A Dataset or a video as napari's layer data; nothing here needs napari or Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seurat_tracks.session import KEY, Session
from napari_seurat_tracks.spans import span_rows, spread
from napari_seurat_tracks.stage import Stage, ViewError

if TYPE_CHECKING:
    import xarray as xr

LayerData = tuple[Any, dict[str, Any], str]

MAX_ROWS = 50_000
"""Rows of a Tracks layer at most: napari takes seconds to draw a million. The view of
this plugin, which draws a frame at a time, has no such bound."""


def tracks_layer(
    ds: xr.Dataset, path: Path | None = None, *, in_3d: bool = False
) -> LayerData:
    """Turn a Dataset into a Tracks layer.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`.
    path
        The store that it came from.
    in_3d
        Positions in space (ID, T, Z, Y, X; the unit of depth) instead of those in the
        picture (ID, T, Y, X; pixels).

    Returns
    -------
    tuple
        data, metadata, ``"tracks"``. Every span that is seen without a gap has an id of
        its own, since napari joins rows of one id over gaps; the feature ``track`` is
        the track's id, and others hold what the Dataset knows. Where a value is not
        known (NaN) the feature is 0, since napari colours NaN wrongly.

    Raises
    ------
    ViewError
        There is no track that is ever seen, no 3D position, or a frame below 0.
    SchemaError
        The Dataset breaks the contract.
    """
    stage = Stage(ds)
    space = stage.in_3d if in_3d else stage.picture
    if not space.seen.any():
        raise ViewError(
            "there is nothing to show: no track of this file is seen in any frame"
        )
    if stage.time[0] < 0:
        raise ViewError(
            f"the frame numbers begin at {stage.time[0]}, and napari's tracks begin at "
            "0: shift them, ds.assign_coords(time=ds['time'] - ds['time'][0])"
        )
    fits = max(1, MAX_ROWS // max(1, int(space.seen.sum()) // len(stage.ids)))
    tracks = spread(len(stage.ids), fits)
    rows = span_rows(space.spans, 0, len(stage.time), tracks)
    positions = space.points[rows.track, rows.at]
    data = np.column_stack([rows.span, stage.time[rows.at], positions])
    features: dict[str, Any] = {"track": stage.ids[rows.track]}
    for name in stage.choices:
        if name != "track":
            values = stage.values(name)[rows.track, rows.at]
            features[name.replace(" ", "_")] = np.nan_to_num(values)
    name = "tracks 3D" if in_3d else "tracks"
    if len(tracks) < stage.n_tracks:
        name += f" ({len(tracks)} of {stage.n_tracks})"
    axes = ("t", "z", "y", "x") if in_3d else ("t", "y", "x")
    meta = {
        "name": name,
        "features": features,
        "tail_width": 2,
        "tail_length": 12,
        "axis_labels": axes,
        "metadata": {KEY: Session(ds, path)},
    }
    return data, meta, "tracks"


def video_layer(video: xr.DataArray) -> LayerData:
    """Turn a video of `seurat_tracks.io.video.open_video` into an Image layer, lazily.

    Returns
    -------
    tuple
        data (t, y, x, rgb), metadata, ``"image"``. Frame numbers are those of the time
        slider.
    """
    path = Path(str(video.attrs.get("source", "video")))
    meta: dict[str, Any] = {
        "name": path.stem,
        "rgb": True,
        "axis_labels": ("t", "y", "x"),
        "metadata": {"fps": video.attrs.get("fps"), "source": str(path)},
    }
    first = int(video["time"].values[0]) if "time" in video.coords else 0
    if first:
        meta["translate"] = (first, 0, 0)
    return video.data, meta, "image"
