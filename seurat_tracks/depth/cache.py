"""Depth maps kept on the disk, so that no frame is evaluated twice.

One Zarr group for each model, weights, video and size. A frame counts as there when
its focal length has been written, which happens after its map: what was interrupted is
found missing and done again, and nothing half-written is taken for whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr

FORMAT = "seurat-tracks depth cache 1"
"""Mark of our groups in their attributes."""


class MapCache:
    """Maps and focal lengths of one video's frames, by position; see `open_cache`.

    Parameters
    ----------
    path
        A group that `open_cache` found or made.
    key
        What the group must have been made for.

    Raises
    ------
    DepthError
        If the group is another's, or damaged.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        import zarr

        self.path = path
        try:
            group = zarr.open_group(path, mode="r+")
            whole = group.attrs.get("format") == FORMAT
            whole = whole and group.attrs.get("key") == key
            self.depth: Any = group["depth"]
            self.focal: Any = group["focal"]
        except (OSError, KeyError, ValueError):
            whole = False
        if not whole:
            raise DepthError(
                f"{path} is not a depth cache of this model and video, or is damaged: "
                "remove it, or give another folder as cache="
            )

    def get(self, i: int) -> tuple[np.ndarray, float] | None:
        """Map float32 (y, x) and focal length of a frame; None if it is not there.

        Raises
        ------
        DepthError
            If what is there is damaged.
        """
        try:
            focal = float(self.focal[i])
            if np.isnan(focal):
                return None
            return np.asarray(self.depth[i]), focal
        except (ValueError, OSError, RuntimeError) as error:
            raise DepthError(
                f"{self.path}: frame {i} is damaged ({error}): remove the cache, and "
                "its frames are evaluated again"
            ) from None

    def put(self, i: int, depth: np.ndarray, focal: float) -> None:
        """Keep a frame: first the map, then the mark that it is whole.

        Raises
        ------
        DepthError
            If the map has another size than those before, or the disk is full.
        """
        if depth.shape != self.depth.shape[1:]:
            raise DepthError(
                f"{self.path} holds maps of {self.depth.shape[1:]}, and the model now "
                f"gave one of {depth.shape}: all frames must get maps of one size"
            )
        try:
            self.depth[i] = depth
            self.focal[i] = focal
        except OSError as error:
            raise DepthError(f"{self.path} cannot be written: {error}") from None


def cache_path(folder: Path, key: dict[str, Any]) -> Path:
    """Where in a cache folder the answers for a key lie."""
    label = re.sub(r"[^a-z0-9]+", "-", str(key["model"]).lower()).strip("-")[:40]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return folder / f"{label}-{digest[:20]}.zarr"


def open_cache(
    folder: Path, key: dict[str, Any], shape: tuple[int, int, int] | None = None
) -> MapCache | None:
    """Open the cache of a key, or begin one.

    Parameters
    ----------
    folder
        The caller's cache folder; made if it is not there.
    key
        All that decides the answers: model, digest, video, size of its frames. Groups
        are named by its hash and refused if their own record of it differs.
    shape
        Frames, rows and columns of a cache to begin; None only looks for one.

    Returns
    -------
    MapCache or None
        None if there is no cache and none was to be begun.

    Raises
    ------
    DepthError
        If the folder cannot be written, or the group in it is damaged.
    """
    path = cache_path(folder, key)
    if not (path.exists() or shape is None):
        _create(folder, path, key, shape)
    return MapCache(path, key) if path.exists() else None


def _create(
    folder: Path, path: Path, key: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    """Build the empty group beside its place, then rename it."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=folder))
    except OSError as error:
        raise DepthError(f"cache={str(folder)!r} cannot be written: {error}") from None
    try:
        group = zarr.create_group(part, zarr_format=3)
        group.create_array(
            "depth",
            shape=shape,
            chunks=(1, *shape[1:]),
            dtype="float32",
            fill_value=np.nan,
            dimension_names=("time", "y", "x"),
            compressors=[BloscCodec(cname="zstd", clevel=3), Crc32cCodec()],
        )
        group.create_array(
            "focal",
            shape=shape[:1],
            chunks=(1,),
            dtype="float64",
            fill_value=np.nan,
            dimension_names=("time",),
            compressors=[Crc32cCodec()],
        )
        group.attrs.update({"format": FORMAT, "key": key})
        try:
            part.rename(path)
        except OSError as error:
            # another process may have been faster; its group is as good
            if not path.exists():
                raise DepthError(f"{path} cannot be written: {error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def video_key(video: xr.DataArray) -> str:
    """Hash that changes when any frame of a video may have changed.

    Of a file or folder: its path, size and time of change, the frame numbers, and
    the pixels of three frames. Of an array: all pixels.
    """
    from seurat_tracks.io.video import iter_frames

    found = hashlib.sha256()
    times = np.asarray(video["time"].values, dtype=np.int64)
    found.update(repr(tuple(video.shape)).encode() + times.tobytes())
    source = Path(str(video.attrs.get("source", "")))
    n = video.sizes["time"]
    if video.attrs.get("source") not in (None, "array") and source.exists():
        files = sorted(source.iterdir()) if source.is_dir() else [source]
        for file in files:
            stat = file.stat()
            line = f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n"
            found.update(line.encode())
        for i in sorted({0, n // 2, n - 1}):
            for frame in iter_frames(video, i, i + 1):
                found.update(np.ascontiguousarray(frame).tobytes())
    else:
        for frame in iter_frames(video):
            found.update(np.ascontiguousarray(frame).tobytes())
    return found.hexdigest()
