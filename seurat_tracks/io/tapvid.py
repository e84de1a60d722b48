"""Tracks in the names and order of TAP-Vid.

``points`` (track, time, 2) are x then y as fractions of width and height and
``occluded`` (track, time) is bool in the data sets (``tapnet/tapvid/README.md``,
google-deepmind/tapnet); their reader multiplies by width and height and calls the
result ``target_points``, with ``query_points`` (track, 3) as t, y, x
(``tapnet/tapvid/evaluation_datasets.py``). Those pixels are raster coordinates "in the
range [0, width]/[0, height]" (``tapnet/training/supervised_point_prediction.py``): the
first pixel's corner is 0 and its centre 0.5, half a pixel more than here.

The data sets are published as pickles, which are refused: load one where you trust it
and save the arrays of a video with ``np.savez(path, points=..., occluded=...)``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files, _npy
from seurat_tracks.schema import validate

CORNER = 0.5
"""Centre of the first pixel in these files."""

POINTS = {"points": "normalised", "target_points": "pixels"}
"""Names of the positions, and what each is in."""


def recognises(path: Path, head: bytes) -> bool:
    """Say whether an npz holds such arrays, by their names."""
    if not head.startswith(_npy.ZIP):
        return False
    names = _npy.npz_headers(path)
    return "occluded" in names and any(name in names for name in POINTS)


def read_tapvid(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    coordinates: str | None = None,
) -> xr.Dataset:
    """Read tracks in the layout of TAP-Vid.

    Parameters
    ----------
    path
        An npz with ``points`` (track, time, 2), fractions of the frame, or
        ``target_points`` in pixels, and ``occluded`` (track, time). A first axis of
        one, that of the batch, is dropped. ``query_points`` (track, 3) as t, y, x and
        the shape of ``video`` (time, height, width, 3) are used if they are there.
    frame_size
        Width and height in pixels of the video that ``points`` are wanted for. None:
        those of ``video`` in the file.
    fps
        Frames per second, where known.
    coordinates
        "normalised" or "pixels", against the name of the array. None: as the name
        says; refused if the numbers contradict it.

    Returns
    -------
    xarray.Dataset
        ``xy`` in pixels with centres at integers, ``visible`` (not occluded), and
        ``query_frame`` if the file has queries.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it holds a pickle, is damaged, or arrays are missing or do not fit.
    """
    path = _files.existing(path)
    names = (*POINTS, "occluded", "query_points", "ids", "time", "fps", "frame_size")
    arrays = _npy.read_npz(path, names)
    name = next((n for n in POINTS if n in arrays), None)
    if name is None or "occluded" not in arrays:
        raise FormatError(
            f"{path} is no file of TAP-Vid: it needs points or target_points (track, "
            f"time, 2) and occluded (track, time), and holds {', '.join(arrays) or '-'}"
        )
    xy, hidden = _unbatched(arrays[name], 3), _unbatched(arrays["occluded"], 2)
    xy = _files.real(path, name, xy)
    if xy.ndim != 3 or xy.shape[-1] != 2 or hidden.shape != xy.shape[:2]:
        raise FormatError(
            f"{path}: {name} has shape {arrays[name].shape} and occluded "
            f"{arrays['occluded'].shape}, expected (track, time, 2) and (track, time)"
        )
    if frame_size is None and "frame_size" in arrays:
        frame_size = arrays["frame_size"].ravel().tolist()
    if frame_size is None:
        video = _npy.npz_headers(path).get("video")
        if video is not None and len(video.shape) in (4, 5) and video.shape[-1] == 3:
            frame_size = (video.shape[-2], video.shape[-3])
    size = _files.need_frame_size(path, frame_size)
    if coordinates is None:
        finite = np.abs(xy[np.isfinite(xy)])
        if POINTS[name] == "normalised" and finite.size and np.median(finite) > 2:
            raise FormatError(
                f"{path}: points are fractions of the frame in TAP-Vid, but here they "
                f"run to {finite.max():g}: give coordinates='pixels' if they are pixels"
            )
        if POINTS[name] == "normalised":
            coordinates = "normalised"
    visible = ~_files.flags(path, "occluded", hidden) & np.isfinite(xy).all(-1)
    query_frame = None
    if "query_points" in arrays:
        queries = _unbatched(arrays["query_points"], 2)
        if queries.shape != (len(xy), 3) or queries.dtype.kind not in "iuf":
            raise FormatError(
                f"{path}: query_points have shape {arrays['query_points'].shape}, "
                "expected (track, 3) as t, y, x"
            )
        frame = queries[:, 0].astype(np.float64)
        if not (np.isfinite(frame).all() and (np.abs(frame) < 2**53).all()):
            raise FormatError(f"{path}: query_points name frames that are no numbers")
        query_frame = np.rint(frame).astype(np.int64)
    if fps is None and "fps" in arrays and arrays["fps"].size == 1:
        fps = arrays["fps"].ravel().tolist()[0]
    return _files.build(
        path,
        _files.to_pixels(path, xy, size, coordinates, first_pixel=CORNER),
        visible,
        frame_size=size,
        fps=fps,
        ids=arrays["ids"].ravel().tolist() if "ids" in arrays else None,
        time=arrays.get("time"),
        query_frame=query_frame,
    )


def _unbatched(array: np.ndarray, dims: int) -> np.ndarray:
    return array[0] if array.ndim == dims + 1 and len(array) == 1 else array


def write_tapvid(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    coordinates: str = "normalised",
    overwrite: bool = False,
) -> Path:
    """Write tracks in the layout of TAP-Vid.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`.
    path
        The npz file: ``points`` (track, time, 2) float32 and ``occluded`` (track,
        time); ``query_points`` (track, 3) as t, y, x in pixels if `query_frame` is
        known; and ``ids``, ``time``, ``frame_size`` and ``fps`` for `read_tapvid`.
        Positions that are not there are NaN and occluded; TAP-Vid's scores count
        them as missed. Positions guessed while hidden are kept.
    coordinates
        "normalised", the layout of the data sets; "pixels": ``target_points``, the
        layout of their reader.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    FormatError
        If the path is taken, or `coordinates` is unknown.

    Warns
    -----
    UserWarning
        Names what the file has no place for.
    """
    validate(ds, values=False)
    if coordinates not in _files.COORDINATES:
        raise FormatError(
            f"coordinates is {coordinates!r}; give 'pixels' or 'normalised'"
        )
    target = Path(path)
    with _files.writing(target, overwrite=overwrite) as partial:
        xy = ds["xy"].transpose("track", "time", "coord").values.astype(np.float64)
        xy = xy + CORNER
        visible = ds["visible"].transpose("track", "time").values
        size = np.asarray(ds.attrs["frame_size"])
        name = "points" if coordinates == "normalised" else "target_points"
        shown = xy / size if coordinates == "normalised" else xy
        arrays = {name: shown.astype(np.float32), "occluded": ~visible}
        if "query_frame" in ds.coords:
            frame = ds["query_frame"].values
            at = ds.indexes["time"].get_indexer(frame)
            point = xy[np.arange(len(xy)), at]
            arrays["query_points"] = np.column_stack([frame, point[:, ::-1]])
        arrays |= {"ids": _files.ids(ds), "time": ds["time"].values}
        arrays["frame_size"] = size
        if "fps" in ds.attrs:
            arrays["fps"] = np.array(float(ds.attrs["fps"]))
        _npy.write_npz(partial, arrays)
    lost = [str(n) for n in ds.data_vars if n not in ("xy", "visible")]
    _files.note_lost(target, "TAP-Vid", lost)
    return target
