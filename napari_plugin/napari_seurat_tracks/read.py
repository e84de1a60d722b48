"""Files that napari opens through this plugin: tracks of every known format, videos."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seurat_tracks.layers import LayerData, tracks_layer, video_layer
from napari_seurat_tracks.saving import IN_MEMORY
from seurat_tracks.errors import FormatError, SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr

VIDEOS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".avi",
    ".mkv",
    ".webm",
    ".mpg",
    ".mpeg",
    ".wmv",
)
"""Endings of files that are opened as videos."""

Reader = Callable[[Any], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Say whether this plugin reads a file; never raises.

    Parameters
    ----------
    path
        A file or folder, recognised by what it holds, not by its name alone. Lists,
        which napari gives for stacks, are not read.

    Returns
    -------
    callable or None
        Takes the path and returns layer data.
    """
    if not isinstance(path, str | Path):
        if len(path) != 1:
            return None
        path = path[0]
    try:
        return _reader(Path(path).expanduser())
    # napari asks about any file there is, whatever is wrong with it
    except Exception:  # noqa: BLE001
        return None


def _reader(path: Path) -> Reader | None:
    from seurat_tracks.io.formats import recognise
    from seurat_tracks.io.store import is_store

    if path.suffix.lower() in VIDEOS:
        return read_video if path.is_file() else None
    if path.is_dir() and path.suffix == ".zarr":
        return read_tracks if is_store(path) else None
    try:
        found = recognise(path)
    except SeuratTracksError:
        return None
    if found.name == "zarr" and not is_store(path):
        return None
    return functools.partial(read_tracks, format=found.name)


def read_video(path: str | Path | Sequence[str]) -> list[LayerData]:
    """Open a video lazily as an Image layer (t, y, x, rgb).

    Raises
    ------
    VideoError
        It cannot be decoded.
    """
    from seurat_tracks.io.video import open_video

    return [video_layer(open_video(_one(path)))]


def read_tracks(
    path: str | Path | Sequence[str], format: str | None = None
) -> list[LayerData]:
    """Open a file of tracks as a Tracks layer over the picture.

    Where the file does not say how large the frames are, the size is taken from the
    video that is open in the current viewer.

    Raises
    ------
    SeuratTracksError
        The file is damaged, or does not say enough; the text says what to do.
    """
    path = _one(path)
    ds = open_tracks(path, format)
    _show_in_current_viewer()
    return [tracks_layer(ds, path if path.suffix == ".zarr" else None)]


def open_tracks(path: Path, format: str | None = None) -> xr.Dataset:
    """Read tracks with the frame size that they need; see `read_tracks`."""
    from seurat_tracks.io.formats import read

    try:
        ds = read(path, format)
    except FormatError as error:
        if "frame_size" not in str(error):
            raise
        size = _size_of_open_video()
        if size is None:
            raise FormatError(
                f"{error}. In napari: open the video first and then this file again; "
                "the size of its frames is then taken"
            ) from error
        ds = read(path, format, frame_size=size)
    return ds.load() if ds.nbytes < IN_MEMORY else ds


def _one(path: str | Path | Sequence[str]) -> Path:
    return Path(path if isinstance(path, str | Path) else path[0]).expanduser()


def _current_viewer() -> Any:
    from napari import current_viewer

    return current_viewer()


def _size_of_open_video() -> tuple[int, int] | None:
    from napari.layers import Image

    viewer = _current_viewer()
    for layer in reversed(list(viewer.layers) if viewer is not None else []):
        if isinstance(layer, Image) and not layer.multiscale:
            shape = layer.data.shape[:-1] if layer.rgb else layer.data.shape
            if len(shape) == 3:
                return int(shape[2]), int(shape[1])
    return None


def _show_in_current_viewer() -> None:
    """Let the view of the current viewer take the layer over once it is added."""
    from napari_seurat_tracks.view import view_of

    viewer = _current_viewer()
    if viewer is not None:
        view_of(viewer)
