"""Single frames of a video as JPEG, on demand."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import VideoError

if TYPE_CHECKING:
    import xarray as xr

MAX_BYTES = 64_000_000
"""Of encoded frames kept in memory."""


class Pictures:
    """Frames of one video, scaled down and encoded, the latest of them kept.

    Parameters
    ----------
    video
        Anything `seurat_tracks.io.video.open_video` takes.
    frame_size
        Width and height in pixels that the tracks are in.

    Raises
    ------
    VideoError
        If the video cannot be opened, or has another size.
    """

    def __init__(self, video: Any, frame_size: Any) -> None:
        self.video = _opened(video)
        have = [int(v) for v in self.video.attrs["frame_size"]]
        want = [int(v) for v in frame_size]
        if have != want:
            raise VideoError(
                f"the video's frames are {have[0]} x {have[1]} pixels, the tracks are "
                f"in frames of {want[0]} x {want[1]}: give the video that was tracked"
            )
        self._times = self.video["time"].values
        self._kept: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()
        self._size = 0

    def positions(self, times: np.ndarray) -> np.ndarray:
        """Find frame numbers on the video's time axis; -1 where there is none."""
        at = np.searchsorted(self._times, times)
        at = np.minimum(at, len(self._times) - 1)
        return np.where(self._times[at] == times, at, -1)

    def jpeg(self, time: int, width: int = 960, quality: int = 78) -> bytes | None:
        """Encode one frame.

        Parameters
        ----------
        time
            Frame number.
        width
            Most pixels across; frames are never enlarged.
        quality
            Of the JPEG, 1 to 100.

        Returns
        -------
        bytes, or None if the video has no such frame
        """
        import cv2

        position = int(self.positions(np.array([time]))[0])
        if position < 0:
            return None
        key = (position, width, quality)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        block = self.video[position : position + 1]
        data = block.data
        if block.chunks is not None:
            data = data.compute(scheduler="synchronous")
        frame = np.asarray(data)[0]
        if frame.ndim == 3:
            frame = np.ascontiguousarray(frame[..., ::-1])
        if frame.shape[1] > width:
            height = max(1, round(frame.shape[0] * width / frame.shape[1]))
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        done, encoded = cv2.imencode(
            ".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
        )
        if not done:
            raise VideoError(f"frame {time} could not be encoded as JPEG")
        picture = encoded.tobytes()
        self._kept[key] = picture
        self._size += len(picture)
        while self._size > MAX_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])
        return picture


def _opened(video: Any) -> xr.DataArray:
    """Open a video; one in memory is checked and left where it is, not copied."""
    import xarray as xr

    from seurat_tracks.io.video import DIMS, open_video

    if isinstance(video, np.ndarray) and video.ndim in (3, 4):
        video = xr.DataArray(video, dims=DIMS[: video.ndim])
    in_memory = isinstance(video, xr.DataArray) and video.chunks is None
    if not in_memory or video.sizes.get("time", 0) < 2:
        return open_video(video)
    first = open_video(video[{"time": slice(0, 1)}])  # refuses what is no video
    video = video.transpose("time", "y", "x", ...)
    if "time" not in video.coords:
        video = video.assign_coords(time=np.arange(video.sizes["time"]))
    return video.assign_attrs(frame_size=first.attrs["frame_size"])
