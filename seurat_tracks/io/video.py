"""Read a video, in a file, a folder of images or memory, as one lazy array.

The array has dims (time, y, x, rgb), uint8; frame i is the i-th frame that a player
would show, whatever the order of access.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr

from seurat_tracks.errors import VideoError

if TYPE_CHECKING:
    from seurat_tracks.io._decode import Fingerprint, VideoIndex

DIMS = ("time", "y", "x", "rgb")
"""Dims of a video, in order."""

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Image files that a folder is searched for."""

_CHUNK_BYTES = 16_000_000

T = TypeVar("T")


def open_video(
    source: str | PathLike[str] | np.ndarray | xr.DataArray,
    *,
    fps: float | None = None,
) -> xr.DataArray:
    """Open a video without decoding it.

    Parameters
    ----------
    source
        A video file that FFmpeg reads (mp4, mov, avi, webm, mkv, ...); a folder of
        images, taken in natural order (2 before 10); a uint8 array (time, y, x, rgb)
        or (time, y, x) in grey; or a DataArray with those dims. Pixels are 0..255.
    fps
        Frames per second of a folder or an array. A file says so itself.

    Returns
    -------
    DataArray (time, y, x, rgb), uint8, dask-backed
        Coordinates: `time`, frame number from 0; `seconds` (time) float64, from the
        presentation timestamps with the first frame at 0, so that a variable frame
        rate shows, absent where the rate is unknown; `rgb` = r, g, b. Attributes:
        `fps`, the mean rate, where known; `frame_size` [width, height] as shown;
        `source`, the path; `frames_promised` where the container announced more
        frames than there are.

    Raises
    ------
    VideoError
        The source is missing, empty, broken, no video, of the wrong shape or dtype.

    Warns
    -----
    UserWarning
        The file ends early: the frames that are there are given, none is made up.
        Also where pixels are not square, since a pinhole camera then needs two focal
        lengths.

    Notes
    -----
    A rotation flag is honoured: `frame_size` and the pixels are those a player shows.

    Examples
    --------
    >>> import numpy as np
    >>> clip = open_video(np.zeros((5, 4, 6), np.uint8), fps=25)
    >>> clip.sizes["time"], clip.attrs["frame_size"]
    (5, [6, 4])
    """
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise VideoError(f"fps must be a positive number, got {fps}.")
    if isinstance(source, xr.DataArray):
        return _from_dataarray(source, fps)
    if isinstance(source, np.ndarray):
        return _from_array(source, fps)
    if not isinstance(source, str | PathLike):
        raise VideoError(
            f"a video cannot be opened from a {type(source).__name__}; give the path "
            "of a file or folder, or an array (np.stack makes one of a list)."
        )
    path = Path(source).expanduser()
    if not path.exists():
        raise VideoError(f"{path} does not exist.")
    if path.is_dir():
        return _from_folder(path, fps)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise VideoError(
            f"{path} is one image. Give the folder that holds the images of a video."
        )
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes).")
    if fps is not None:
        raise VideoError(
            f"{path} states its own times, so fps={fps} is refused; leave fps out."
        )
    return _from_file(path)


def iter_frames(
    video: xr.DataArray, start: int = 0, stop: int | None = None
) -> Iterator[np.ndarray]:
    """Walk a video in order, in one decode pass and constant memory.

    Parameters
    ----------
    video
        DataArray of `open_video`, or any slice or crop of one.
    start, stop
        Positions on its time axis, as in `range`; `stop` defaults to the end.

    Yields
    ------
    uint8 array (y, x, rgb)

    Raises
    ------
    VideoError
        A frame does not decode, or the file changed.
    """
    end = video.sizes["time"] if stop is None else min(stop, video.sizes["time"])
    begin = max(start, 0)
    chunks = video.chunksizes.get("time") if video.chunks else None
    edges = np.cumsum(chunks) if chunks else np.array([video.sizes["time"]])
    while begin < end:
        upto = min(end, int(edges[np.searchsorted(edges, begin, side="right")]))
        piece = video[begin:upto]
        # One block at a time in this thread: the open file then just decodes on.
        data = (
            piece.data.compute(scheduler="synchronous")
            if piece.chunks
            else piece.to_numpy()
        )
        yield from data
        begin = upto


def read_ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Make items in a thread of their own, a few ahead of where they are used.

    Parameters
    ----------
    items
        Such as what `iter_frames` gives; decoding then goes on meanwhile.
    depth
        Items that wait at most, so that memory stays bounded.

    Yields
    ------
    object
        The items, in order. What goes wrong in the thread is raised here, after the
        items before it. The thread ends with the iterator, also where that is closed
        or interrupted early.
    """
    from queue import Empty, Full, Queue
    from threading import Event, Thread

    waiting: Queue[tuple[str, Any]] = Queue(depth)
    closed = Event()

    def put(*what: Any) -> bool:
        while not closed.is_set():
            try:
                waiting.put(what, timeout=0.1)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # noqa: BLE001  # raised where it is used
            put("error", error)

    thread = Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        closed.set()
        while thread.is_alive():
            try:
                waiting.get_nowait()
            except Empty:
                thread.join(0.05)


def _chunk_length(height: int, width: int) -> int:
    return int(np.clip(_CHUNK_BYTES // max(height * width * 3, 1), 1, 64))


class _LazyFrames:
    """What dask needs of an array whose blocks are read on demand; pickles small."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, n: int, width: int, height: int) -> None:
        self.shape = (n, height, width, 3)

    def read(self, start: int, stop: int) -> np.ndarray:
        raise NotImplementedError

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        when = key[0]
        if isinstance(when, slice):
            wanted = np.arange(self.shape[0])[when]
            if len(wanted) == 0:
                return np.empty(self.shape, np.uint8)[key]
            first, last = int(wanted.min()), int(wanted.max())
            return self.read(first, last + 1)[(wanted - first, *key[1:])]
        if np.ndim(when) == 0:
            return self.read(int(when), int(when) + 1)[(0, *key[1:])]
        wanted = np.asarray(when)
        if wanted.dtype == bool:
            wanted = np.flatnonzero(wanted)
        frames = [self.read(int(k), int(k) + 1)[0] for k in wanted]
        return np.stack(frames)[(slice(None), *key[1:])]


class _FileFrames(_LazyFrames):
    def __init__(self, path: str, stamp: Fingerprint, index: VideoIndex) -> None:
        super().__init__(len(index), *index.size)
        self.path = path
        self.stamp = stamp

    def read(self, start: int, stop: int) -> np.ndarray:
        from seurat_tracks.io._decode import video_file

        return video_file(self.path, self.stamp).read(start, stop)


class _FolderFrames(_LazyFrames):
    def __init__(self, paths: list[str], width: int, height: int) -> None:
        super().__init__(len(paths), width, height)
        self.paths = paths

    def read(self, start: int, stop: int) -> np.ndarray:
        frames = [_read_image(p) for p in self.paths[start:stop]]
        for path, frame in zip(self.paths[start:stop], frames, strict=True):
            if frame.shape != self.shape[1:]:
                raise VideoError(
                    f"{path} is {frame.shape[1]} x {frame.shape[0]} pixels, the first "
                    f"image {self.shape[2]} x {self.shape[1]}. Bring them to one size."
                )
        return np.stack(frames)


def _read_image(path: str) -> np.ndarray:
    import cv2

    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise VideoError(f"{path} cannot be read as an image.")
    return np.ascontiguousarray(picture[..., ::-1])


def _from_file(path: Path) -> xr.DataArray:
    from seurat_tracks.io._decode import fingerprint, video_file

    name = str(path.resolve())
    stamp = fingerprint(name)
    index = video_file(name, stamp).index
    n = len(index)
    seconds = (index.pts - index.pts[0]) * float(index.time_base)
    span = int(index.pts[-1] - index.pts[0]) * index.time_base
    fps = float((n - 1) / span) if span > 0 else index.rate
    video = _wrap(_FileFrames(name, stamp, index), fps or None, name)
    if fps:
        video = video.assign_coords(seconds=("time", seconds))
    promised = index.promised
    if not promised and fps and n > 1:
        # Only a duration is announced, and that loosely: a few frames are no fault.
        # Matroska counts from 0, whatever the first timestamp is.
        end = max(seconds[-1], int(index.pts[-1]) * float(index.time_base))
        missing = index.length - end - 3 * np.diff(seconds).max()
        promised = n + max(round(missing * fps), 0)
    if n < promised:
        video.attrs["frames_promised"] = promised
        warnings.warn(
            f"{path} ends early: it announces {promised} frames and {n} can be "
            "decoded. Those are given.",
            UserWarning,
            stacklevel=3,
        )
    if abs(index.pixel_aspect - 1) > 1e-3:
        video.attrs["pixel_aspect"] = index.pixel_aspect
        warnings.warn(
            f"{path} has pixels {index.pixel_aspect:.4g} times as wide as high; "
            "positions are in stored pixels, so fx and fy of the camera differ.",
            UserWarning,
            stacklevel=3,
        )
    return video


def _from_folder(path: Path, fps: float | None) -> xr.DataArray:
    found = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise VideoError(
            f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}); a folder must "
            "hold the frames of one video."
        )
    paths = [str(p.resolve()) for p in sorted(found, key=_natural)]
    empty = [p for p in paths if Path(p).stat().st_size == 0]
    if empty:
        raise VideoError(f"{len(empty)} images are empty files: {', '.join(empty[:5])}")
    height, width = _read_image(paths[0]).shape[:2]
    return _wrap(_FolderFrames(paths, width, height), fps, str(path.resolve()))


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p]


def _check_pixels(shape: tuple[int, ...], dtype: np.dtype, what: str) -> None:
    faults = []
    grey = len(shape) == 3
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3):
        faults.append(
            f"shape is {shape}, expected (time, y, x, 3) or, in grey, (time, y, x)"
        )
    elif 0 in shape:
        faults.append(f"shape is {shape}: there is no frame, or no pixel in it")
    elif grey and shape[2] == 3:
        faults.append(
            f"shape {shape} looks like one colour image; a video of one frame is "
            "array[None]"
        )
    if dtype != np.uint8:
        faults.append(
            f"dtype is {dtype}, expected uint8: convert it by what its values mean, "
            "for 0..1 floats (255 * array).round().astype('uint8')"
        )
    if faults:
        raise VideoError(f"{what}: " + "; ".join(faults) + ".")


def _from_array(array: np.ndarray, fps: float | None) -> xr.DataArray:
    _check_pixels(array.shape, array.dtype, "the array given as a video")
    return _wrap(array, fps, "array")


def _from_dataarray(video: xr.DataArray, fps: float | None) -> xr.DataArray:
    dims = DIMS if "rgb" in video.dims else DIMS[:3]
    if set(video.dims) != set(dims):
        raise VideoError(
            f"the DataArray given as a video has dims {video.dims}, expected "
            f"{DIMS} or, in grey, {DIMS[:3]}; rename them with .rename()."
        )
    video = video.transpose(*dims)
    _check_pixels(video.shape, video.dtype, "the DataArray given as a video")
    out = _wrap(video.data, fps or video.attrs.get("fps"), "array")
    for name in ("time", "seconds"):
        if name in video.coords:
            out = out.assign_coords({name: ("time", video[name].values)})
    if fps is None and "seconds" in video.coords and video.sizes["time"] > 1:
        # Frames may have been left out: the rate of the whole video is not theirs.
        moments = video["seconds"].values
        if moments[-1] > moments[0]:
            rate = (len(moments) - 1) / (moments[-1] - moments[0])
            out.attrs["fps"] = float(rate)
    if fps is not None and "time" in video.coords:
        out = out.assign_coords(seconds=("time", out["time"].values / fps))
    kept = {k: v for k, v in video.attrs.items() if k not in ("fps", "frame_size")}
    out.attrs.update(kept)
    return out


def _wrap(frames: Any, fps: float | None, source: str) -> xr.DataArray:
    import dask.array as da

    n, height, width = frames.shape[:3]
    chunks = (_chunk_length(height, width), height, width, 3)[: len(frames.shape)]
    if isinstance(frames, da.Array):
        array = frames
    else:
        lazy = isinstance(frames, _LazyFrames)
        array = da.from_array(
            frames,
            chunks=chunks,
            name=False if not lazy else None,
            asarray=not lazy,
            inline_array=lazy,
            meta=np.empty((0,) * len(chunks), np.uint8),
        )
    if array.ndim == 3:
        array = da.repeat(array[..., None], 3, axis=3)
    video = xr.DataArray(
        array,
        dims=DIMS,
        coords={"time": np.arange(n), "rgb": ["r", "g", "b"]},
        attrs={"frame_size": [int(width), int(height)], "source": source},
        name="video",
    )
    if fps:
        video = video.assign_coords(seconds=("time", np.arange(n) / fps))
        video.attrs["fps"] = float(fps)
    return video
