"""Tracks as CoTracker gives them, in npz and npy files.

CoTracker's predictors return ``pred_tracks`` (1, time, track, 2), x then y in pixels
of the video, and ``pred_visibility`` (1, time, track) bool
(``cotracker/predictor.py``, facebookresearch/co-tracker). They map a position x of the
video to x (w - 1) / (W - 1) and sample with ``align_corners=True`` (``predictor.py``,
``models/core/model_utils.py``): pixel centres are at integers, the first at 0, as here.
The project writes no files of its own; what people save is
``np.savez(path, tracks=pred_tracks, visibility=pred_visibility)``, or the tracks alone
with ``np.save``.
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

TRACKS = ("tracks", "pred_tracks")
"""Names of the positions."""

FLAGS = ("visibility", "pred_visibility", "visibilities", "pred_visibilities")
"""Names of the visibility."""


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a file holds such arrays, by their names and shapes."""
    if head.startswith(_npy.MAGIC):
        header = _npy.npy_header(path)
        return header is not None and _looks_like_tracks(header.shape)
    if not head.startswith(_npy.ZIP):
        return False
    found = _npy.npz_headers(path)
    names = [name for name in TRACKS if name in found]
    if not names:
        return False
    header = found[names[0]]
    return header is None or header.dtype.hasobject or _looks_like_tracks(header.shape)


def _looks_like_tracks(shape: tuple[int, ...]) -> bool:
    return len(shape) in (3, 4) and shape[-1] == 2


def read_cotracker(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    axes: str = "time track",
    coordinates: str | None = None,
) -> xr.Dataset:
    """Read tracks that CoTracker gave.

    Parameters
    ----------
    path
        An npz with ``tracks`` or ``pred_tracks``, (1, time, track, 2) or (time, track,
        2), x then y, and ``visibility``, flags or probabilities (over one half is
        seen); or an npy with the positions alone, where every finite position counts
        as seen. An npz may hold ``confidence`` (time, track), ``ids`` (track,),
        ``time`` (time,) and ``fps`` as `write_cotracker` leaves them.
    frame_size
        Width and height of the video in pixels. None: those in the file, which only
        `write_cotracker` puts there.
    fps
        Frames per second, where known.
    axes
        "time track", CoTracker's own; "track time" for files turned round.
    coordinates
        "pixels" or "normalised"; None: pixels, refused if all lie within 0..1.

    Returns
    -------
    xarray.Dataset
        ``xy`` in pixels, ``visible``, ``confidence`` if it is there.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it holds a pickle, is damaged, misses the positions, or its arrays do not
        fit together.
    """
    path = _files.existing(path)
    with path.open("rb") as file:
        plain = file.read(6) == _npy.MAGIC
    names = [*TRACKS, *FLAGS, "confidence", "ids", "time", "fps", "frame_size"]
    names += ["seconds", "query_frame"]
    arrays = {"tracks": _npy.read_npy(path)} if plain else _npy.read_npz(path, names)
    tracks = next((arrays[n] for n in TRACKS if n in arrays), None)
    if tracks is None:
        raise FormatError(
            f"{path} holds none of {', '.join(TRACKS)}, the positions (1, time, track, "
            "2) of CoTracker"
        )
    if not _looks_like_tracks(tracks.shape) or (tracks.ndim == 4 and len(tracks) != 1):
        raise FormatError(
            f"{path}: the positions have shape {tracks.shape}, expected (1, time, "
            "track, 2) or (time, track, 2)"
        )
    xy = _files.real(path, "tracks", tracks[0] if tracks.ndim == 4 else tracks)
    visible, confidence = None, arrays.get("confidence")
    flags = next((arrays[n] for n in FLAGS if n in arrays), None)
    if flags is not None:
        flags = _fitting(path, "visibility", flags, xy.shape[:2])
        visible = _files.flags(path, "visibility", flags)
        visible = visible & np.isfinite(xy).all(-1)
    if confidence is not None:
        confidence = _fitting(path, "confidence", confidence, xy.shape[:2])
    if frame_size is None and "frame_size" in arrays:
        frame_size = arrays["frame_size"].ravel().tolist()
    size = _files.need_frame_size(path, frame_size)
    if fps is None and "fps" in arrays and arrays["fps"].size == 1:
        fps = arrays["fps"].ravel().tolist()[0]
    return _files.build(
        path,
        _files.to_pixels(path, xy, size, coordinates),
        visible,
        frame_size=size,
        fps=fps,
        confidence=confidence,
        ids=arrays["ids"].ravel().tolist() if "ids" in arrays else None,
        time=arrays.get("time"),
        seconds=arrays.get("seconds"),
        query_frame=arrays.get("query_frame"),
        axes=axes,
    )


def _fitting(
    path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Drop the batch's axis, and a last one of 1."""
    if array.ndim > 2 and array.shape[-1] == 1 and array.shape[-3:-1] == shape:
        array = array[..., 0]
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.shape != shape:
        raise FormatError(
            f"{path}: {name} has shape {array.shape} beside positions {shape}"
        )
    return array


def write_cotracker(
    ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write tracks as CoTracker gives them.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`.
    path
        ``.npz``: ``tracks`` (1, time, track, 2) float32, ``visibility`` (1, time,
        track) bool, and beside them ``ids``, ``time``, ``frame_size`` and, where
        known, ``seconds``, ``query_frame``, ``confidence`` and ``fps``, which
        `read_cotracker` understands and others ignore. ``.npy``: the positions alone;
        a point that is not seen becomes NaN, so that it is not taken for one.
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
        If the path is taken.

    Warns
    -----
    UserWarning
        Names what the file has no place for.
    """
    validate(ds, values=False)
    target = Path(path)
    kept = {"xy", "visible", "confidence"}
    with _files.writing(target, overwrite=overwrite) as partial:
        xy = ds["xy"].transpose("time", "track", "coord").values[None]
        visible = ds["visible"].transpose("time", "track").values[None]
        if target.suffix == ".npy":
            kept = {"xy", "visible"}
            with partial.open("wb") as file:
                np.save(file, np.where(visible[..., None], xy, np.float32(np.nan)))
        else:
            arrays = {"tracks": xy, "visibility": visible}
            arrays |= {"ids": _files.ids(ds), "time": ds["time"].values}
            arrays["frame_size"] = np.array(ds.attrs["frame_size"])
            for name in ("seconds", "query_frame"):
                if name in ds.coords:
                    arrays[name] = ds[name].values
            if "confidence" in ds:
                confidence = ds["confidence"].transpose("time", "track").values
                arrays["confidence"] = confidence[None]
            if "fps" in ds.attrs:
                arrays["fps"] = np.array(float(ds.attrs["fps"]))
            _npy.write_npz(partial, arrays)
    _files.note_lost(
        target,
        f"CoTracker's {target.suffix[1:] or 'npz'}",
        [str(name) for name in ds.data_vars if name not in kept],
    )
    return target
