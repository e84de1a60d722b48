"""Clips of TAPVid-3D: true 3D tracks, and the video where the file holds it.

The files are those of https://tapvid3d.github.io (Koppula et al., NeurIPS 2024), one
npz a clip. What is released for Aria Digital Twin and Panoptic Studio holds tracks
without video, and is enough for `read_tapvid3d` with a `frame_size`.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError, SeuratTracksError
from seurat_tracks.io import _files, _npy
from seurat_tracks.io.truth import build_truth, read_arrays
from seurat_tracks.schema import validate

KEYS: dict[str, tuple[str, ...]] = {
    "tracks": ("tracks_XYZ", "tracks_xyz"),
    "visibility": ("visibility", "visible"),
    "intrinsics": ("fx_fy_cx_cy", "intrinsics"),
    "queries": ("queries_xyt",),
}
"""Names of the arrays in the files, and the other spelling of their documentation."""

IMAGES = "images_jpeg_bytes"


def recognises(path: Path, head: bytes) -> bool:
    """Say whether an npz holds such arrays, by their names."""
    if not head.startswith(_npy.ZIP):
        return False
    found = _npy.npz_headers(path)
    return all(
        any(name in found for name in KEYS[key]) for key in ("tracks", "visibility")
    )


def read_tapvid3d(
    path: str | os.PathLike[str], *, frame_size: Sequence[int] | None = None
) -> xr.Dataset:
    """Read the true tracks of a clip.

    Parameters
    ----------
    path
        An npz file with ``tracks_XYZ`` (time, track, 3) in metres in each frame's
        camera, ``visibility`` (time, track), ``queries_xyt`` (track, 3) and
        ``fx_fy_cx_cy`` (4,), or the other spelling in `KEYS`.
    frame_size
        Width and height in pixels. None: those of the first frame in the file.

    Returns
    -------
    xarray.Dataset
        ``xy`` (the projection fx x / z + cx, fy y / z + cy), ``visible``, ``depth``,
        ``xyz``, ``query_xy`` (track, coord) in pixels, and the coordinate
        ``query_frame``. Tracks are numbered as in the file, hidden ones among them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If an array is missing or misshapen, or the size of the frames is unknown.

    See Also
    --------
    seurat_tracks.io.truth.true_tracks : the 2D tracks alone, for lifting.
    seurat_tracks.evaluation.compare.evaluate : score predictions against this.
    """
    path = Path(path)
    tracks, visibility, intrinsics, queries = read_arrays(path, KEYS.values())
    faults = [
        f"no {' or '.join(names)}"
        for names, array in zip(
            KEYS.values(), (tracks, visibility, intrinsics, queries), strict=True
        )
        if array is None
    ]
    if tracks is None or visibility is None or intrinsics is None or queries is None:
        raise SeuratTracksError(
            f"{path} is not a clip of TAPVid-3D: it has {', '.join(faults)}"
        )
    times, points = tracks.shape[:2] if tracks.ndim == 3 else (0, 0)
    for name, array, expected in (
        ("tracks_XYZ", tracks, (times, points, 3)),
        ("visibility", visibility, (times, points)),
        ("fx_fy_cx_cy", intrinsics, (4,)),
        ("queries_xyt", queries, (points, 3)),
    ):
        if array.shape != expected or not times:
            faults.append(f"{name} has shape {array.shape}")
    if faults:
        raise SeuratTracksError(
            f"{path}: {'; '.join(faults)}; expected tracks_XYZ (time, track, 3), "
            "visibility (time, track), fx_fy_cx_cy (4,), queries_xyt (track, 3)"
        )
    query_frame = np.rint(queries[:, 2]).astype(np.int64)
    if ((query_frame < 0) | (query_frame >= times)).any():
        raise SeuratTracksError(
            f"{path}: queries_xyt names frames outside the {times} of tracks_XYZ; its "
            "columns are x, y, t"
        )
    if frame_size is None:
        frame_size = _frame_size(path)
    ds = build_truth(
        tracks.swapaxes(0, 1),
        visibility.T.astype(bool),
        frame_size=frame_size,
        intrinsics=intrinsics,
        query_frame=query_frame,
        source=f"TAPVid-3D, {path.stem}",
    )
    query_xy = queries[:, :2].astype(np.float32)
    attrs = {"units": "px", "long_name": "position given to a tracker on query_frame"}
    return ds.assign(query_xy=(("track", "coord"), query_xy, attrs))


def write_tapvid3d(
    ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write lifted tracks as the official evaluator reads predictions.

    ``tapnet/tapvid3d/evaluation/evaluate_model.py`` (google-deepmind/tapnet) takes
    ``tracks_XYZ`` (time, track, 3) and ``visibility`` (time, track) from the npz of
    each clip, in the order of the clip's tracks and frames.

    Parameters
    ----------
    ds
        With `xyz`, under the contract of `seurat_tracks.schema`.
    path
        The npz file, named as the clip's. Where the camera and `query_frame` are known
        it also holds ``fx_fy_cx_cy`` and ``queries_xyt``, and `read_tapvid3d` reads it.
        Unknown positions are NaN, which the evaluator counts as missed (seen by
        running its metrics with the scalings median and none).
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
        If the tracks are not lifted, or the path is taken.

    Warns
    -----
    UserWarning
        Names what the file has no place for.
    """
    validate(ds, values=False)
    target = Path(path)
    if "xyz" not in ds:
        raise FormatError(
            f"{target}: the tracks are not lifted, and TAPVid-3D holds positions in "
            "3D: ds.seurat.lift3d() first"
        )
    with _files.writing(target, overwrite=overwrite) as partial:
        arrays = {
            "tracks_XYZ": ds["xyz"].transpose("time", "track", "axis").values,
            "visibility": ds["visible"].transpose("time", "track").values,
        }
        if "intrinsics" in ds.attrs:
            arrays["fx_fy_cx_cy"] = np.array(ds.attrs["intrinsics"], np.float64)
        if "query_frame" in ds.coords:
            xy = ds["xy"].transpose("track", "time", "coord").values
            at = ds.indexes["time"].get_indexer(ds["query_frame"].values)
            point = xy[np.arange(len(xy)), at]
            if "query_xy" in ds:
                point = ds["query_xy"].transpose("track", "coord").values
            arrays["queries_xyt"] = np.column_stack([point, at])
        _npy.write_npz(partial, arrays)
    kept = ("xy", "xyz", "depth", "visible", "query_xy")
    lost = ["ids", *(str(n) for n in ds.data_vars if n not in kept)]
    _files.note_lost(target, "TAPVid-3D", lost)
    return target


def read_tapvid3d_video(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode the video of a clip.

    Parameters
    ----------
    path
        An npz file with ``images_jpeg_bytes``, one JPEG a frame.

    Returns
    -------
    uint8 array (time, height, width, 3)
        RGB; `seurat_tracks.open_video` takes it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If the file holds no video, or frames that cannot be decoded.
    """
    frames = [_decode(path, i, data) for i, data in enumerate(_images(Path(path)))]
    if len({frame.shape for frame in frames}) != 1:
        raise SeuratTracksError(f"{path}: its frames differ in size, or there are none")
    return np.stack(frames)


def _decode(path: str | os.PathLike[str], index: int, data: bytes) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise SeuratTracksError(f"{path}: frame {index} is no image: {error}") from None


def _frame_size(path: Path) -> tuple[int, int]:
    try:
        first = _images(path)[0]
    except (SeuratTracksError, IndexError):
        raise SeuratTracksError(
            f"{path} holds no video, so the size of its frames is unknown: give "
            "frame_size=(width, height), which is (512, 512) for Aria Digital Twin and "
            "that of the JPEG files for Panoptic Studio"
        ) from None
    height, width = _decode(path, 0, first).shape[:2]
    return width, height


def _images(path: Path) -> Sequence[bytes]:
    """Read the JPEG bytes of every frame, saved as byte strings or as objects."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    header = _npy.npz_headers(path).get(IMAGES)
    if header is None:
        raise SeuratTracksError(f"{path} holds no {IMAGES}")
    if not header.dtype.hasobject:
        array = _npy.read_npz(path, [IMAGES])[IMAGES]
    else:
        array = _objects(path, header.start)
    if array.dtype.kind not in "SO":
        raise SeuratTracksError(f"{path}: {IMAGES} holds other things than bytes")
    frames = array.ravel().tolist()
    if not all(isinstance(frame, bytes) for frame in frames):
        raise SeuratTracksError(f"{path}: {IMAGES} holds other things than bytes")
    return frames


def _objects(path: Path, start: int) -> np.ndarray:
    """Read byte strings that were saved as objects, the layout of the released files.

    What is not a byte string is refused by `_Bytes`, and what claims to be larger than
    the bytes that are there is refused here: JPEG does not shrink.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{IMAGES}.npy")
            if info.file_size > 20 * info.compress_size + 2**20:
                raise SeuratTracksError(f"{path}: {IMAGES} is no sequence of JPEG")
            raw = archive.read(info)
        array = np.asarray(_Bytes(io.BytesIO(raw[start:])).load())
    except SeuratTracksError:
        raise
    # the virtual machine of pickle fails in any of its ways on damaged bytes
    except Exception as error:  # noqa: BLE001
        raise SeuratTracksError(f"{path}: {IMAGES} is damaged: {error}") from None
    if array.nbytes > 16 * len(raw) + 2**20:
        raise SeuratTracksError(f"{path}: {IMAGES} claims more than is there")
    return array


class _Bytes(pickle.Unpickler):
    """Reads an array of byte strings from a pickle, and refuses anything else in it."""

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise SeuratTracksError(
                f"{IMAGES} wants to run {module}.{name}, which no video needs: the "
                "file is not what it claims to be"
            )
        return super().find_class(module, name)
