"""Exact frame access in a video file, through PyAV.

A file is indexed once: the presentation timestamp (pts) of every frame that is shown,
in the order of showing. Frame i is then *the frame whose pts is the i-th*, however it
is reached, so that a seek which lands elsewhere can be noticed and mended.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

# Codecs whose packets, in any container, each give exactly one frame that is shown.
# Others (VP8 hides frames, MPEG-TS cuts fields) are counted by decoding.
_ONE_FRAME_A_PACKET = frozenset(
    {"av1", "ffv1", "ffvhuff", "h264", "hevc", "huffyuv", "mjpeg", "mpeg4"}
    | {"png", "prores", "rawvideo", "vp9"}
)
_HEAD = 8
_MAX_OPEN = 4

Fingerprint = tuple[int, int]


@dataclass(frozen=True)
class VideoIndex:
    """What the frames of a file are, before any of them is wanted.

    Attributes
    ----------
    pts : int array (frame,)
        Presentation timestamps in units of `time_base`, increasing.
    key_pts : list of int
        Those of the frames decoding can start from, increasing.
    time_base : Fraction
        Seconds in a unit of `pts`.
    size : (int, int)
        Width and height in pixels as shown, that is, after rotation.
    orientation : ((int, int), (int, int))
        Display matrix: stored (x, y) as a row, times it, gives the shown (x, y).
    promised : int
        Frames that the container says it holds; 0 where it does not say.
    length : float
        Seconds that the container says its video lasts; 0 where it does not.
    rate : float
        Frame rate that the container states, per second; 0 where it does not.
    pixel_aspect : float
        Width over height of a stored pixel.
    seekable : bool
        False where frames can be told apart only by counting from the start.
    """

    pts: np.ndarray
    key_pts: list[int]
    time_base: Fraction
    size: tuple[int, int]
    orientation: tuple[tuple[int, int], tuple[int, int]]
    promised: int
    length: float
    rate: float
    pixel_aspect: float
    seekable: bool

    def __len__(self) -> int:
        return len(self.pts)


def fingerprint(path: str) -> Fingerprint:
    """Size in bytes and time of change (ns): enough to see that a file was replaced."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


class VideoFile:
    """One open video file: an index and a decoder that remembers where it stands.

    Parameters
    ----------
    path
        A file that FFmpeg can read.

    Raises
    ------
    VideoError
        The file is missing, empty, holds no video, or none of its frames decodes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._container: InputContainer | None = None
        self._frames: Iterator[VideoFrame] | None = None
        self._next = 0
        self.index = self._build_index()

    def close(self) -> None:
        """Let go of the file."""
        self._frames = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames start to stop - 1.

        Returns
        -------
        uint8 array (frame, y, x, rgb)

        Raises
        ------
        VideoError
            A frame in between does not decode.
        """
        width, height = self.index.size
        out = np.empty((stop - start, height, width, 3), np.uint8)
        with self.lock:
            for k in range(start, stop):
                out[k - start] = self._picture(self._frame(k), k)
        return out

    # -- decoding ---------------------------------------------------------------

    def _open(self) -> InputContainer:
        import av

        self.close()
        try:
            container = av.open(self.path)
        except av.FFmpegError as error:
            raise VideoError(
                f"{self.path} cannot be read as a video ({error.strerror}). "
                "Is it a video, and did the copy finish?"
            ) from error
        if not container.streams.video:
            container.close()
            raise VideoError(f"{self.path} holds no video stream, only sound or text.")
        container.streams.video[0].thread_type = "AUTO"
        self._container = container
        return container

    def _packets(self, container: InputContainer) -> Iterator[Any]:
        """Packets of the video, up to the end or to where the file breaks off."""
        import av

        try:
            yield from container.demux(container.streams.video[0])
        except av.FFmpegError:
            return

    def _decoded(
        self, container: InputContainer, first: Any = None
    ) -> Iterator[VideoFrame]:
        """Every frame that decodes from here on, damaged packets left out."""
        import av

        packets = self._packets(container)
        while True:
            packet = first if first is not None else next(packets, None)
            first = None
            if packet is None:
                # A file that breaks off gives no closing empty packet: drain by hand.
                with contextlib.suppress(av.FFmpegError, EOFError):
                    yield from container.streams.video[0].codec_context.decode(None)
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            # A damaged frame comes patched up with what was there before: a copy.
            yield from (frame for frame in frames if not frame.is_corrupt)

    def _from(self, key: int | None, keys: list[int]) -> Iterator[VideoFrame]:
        """Frames from the key frame with this pts on, or from the start of the file."""
        if key is None or self._container is None:
            container = self._open()
            if key is None:
                return self._decoded(container)
        else:
            container = self._container
        stream = container.streams.video[0]
        earlier = [k for k in keys if k <= key]
        for target in earlier[:-4:-1]:
            container.seek(target, stream=stream, backward=True)
            first = next(self._packets(container), None)
            # Some containers seek by decoding time and land a key frame too late.
            if first is not None and first.pts is not None and first.pts <= key:
                return self._decoded(container, first)
        return self._decoded(self._open())

    def _frame(self, k: int) -> VideoFrame:
        pts = self.index.pts
        key: int | None = None
        if self.index.seekable:
            place = bisect_right(self.index.key_pts, int(pts[k])) - 1
            key = self.index.key_pts[place] if place >= 0 else None
        stands = self._frames is not None and self._next <= k
        if stands and not (
            key is not None and self._next < len(pts) and key > pts[self._next]
        ):
            found = self._advance(k)
            if found is not None:
                return found
        # First from the nearest key frame, then once more from the very start, since
        # pictures around an open group may need what came before it.
        for begin in dict.fromkeys((key, None)):
            self._frames = self._from(begin, self.index.key_pts)
            self._next = 0
            found = self._advance(k)
            if found is not None:
                return found
        self._frames = None
        raise VideoError(
            f"{self.path}: frame {k} of {len(pts)} does not decode; the file is "
            "damaged there. Re-encode it, or take the frames before."
        )

    def _advance(self, k: int) -> VideoFrame | None:
        """Decode up to frame k; None where it is passed over or never comes."""
        assert self._frames is not None
        for frame in self._frames:
            if not self.index.seekable:
                self._next += 1
                if self._next == k + 1:
                    return frame
                continue
            if frame.pts is None:
                continue
            if frame.pts == self.index.pts[k]:
                self._next = k + 1
                return frame
            if frame.pts > self.index.pts[k]:
                break
        self._frames = None
        return None

    def _picture(self, frame: VideoFrame, k: int) -> np.ndarray:
        picture = orient(frame.to_ndarray(format="rgb24"), self.index.orientation)
        height, width = picture.shape[:2]
        if (width, height) != self.index.size:
            raise VideoError(
                f"{self.path}: frame {k} is {width} x {height} pixels, the first one "
                f"{self.index.size[0]} x {self.index.size[1]}. Re-encode the video to "
                "one size."
            )
        return picture

    # -- index ------------------------------------------------------------------

    def _build_index(self) -> VideoIndex:
        container = self._open()
        stream = container.streams.video[0]
        # All of it now: a stream must not be touched once its container is closed.
        promised = stream.frames
        time_base = Fraction(stream.time_base or 1)
        aspect = float(stream.sample_aspect_ratio or 1)
        name = stream.codec_context.name.removeprefix("lib").split("-")[0]
        name = {"dav1d": "av1"}.get(name, name)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        length = _stated_length(container)
        listed: list[int] = []
        keys: list[int] = []
        for packet in self._packets(container):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None or packet.is_corrupt:
                listed.clear()
                break
            listed.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
        if len(set(listed)) < len(listed):
            listed.clear()
        pts: list[int] | None = None
        head = self._head()
        if listed and keys and name in _ONE_FRAME_A_PACKET:
            pts = self._checked(sorted(listed), sorted(keys), head)
        seekable = bool(keys)
        if pts is None:
            counted = [frame.pts for frame in self._decoded(self._open())]
            known = [p for p in counted if p is not None]
            if len(known) == len(counted) and all(np.diff(known) > 0):
                pts = known
            else:
                # Timestamps that mean nothing: frames are told apart by counting, and
                # spaced evenly at the rate the container states.
                seekable = False
                step = 1 / (rate * float(time_base)) if rate else 1
                pts = [round(i * step) for i in range(len(counted))]
        if not pts:
            raise VideoError(f"{self.path}: not one frame of it decodes.")
        first = head[0]
        matrix = display_matrix(first)
        width, height = first.width, first.height
        if matrix[0][0] == 0:
            width, height = height, width
        self.close()
        return VideoIndex(
            pts=np.asarray(pts, np.int64),
            key_pts=sorted(keys),
            time_base=time_base,
            size=(width, height),
            orientation=matrix,
            promised=promised,
            length=length,
            rate=rate,
            pixel_aspect=aspect,
            seekable=seekable,
        )

    def _head(self) -> list[VideoFrame]:
        """Return the first few frames."""
        head = []
        for frame in self._decoded(self._open()):
            head.append(frame)
            if len(head) == _HEAD:
                break
        if not head:
            raise VideoError(
                f"{self.path}: not one frame of it decodes; the file is empty, "
                "damaged, or its codec is not in this build of FFmpeg."
            )
        return head

    def _checked(
        self, listed: list[int], keys: list[int], head: list[VideoFrame]
    ) -> list[int] | None:
        """Return the packets' timestamps where decoding bears them out at both ends.

        A file cut off in its last group loses the frames there; anything else that
        does not agree makes the list worthless (None).
        """
        if [frame.pts for frame in head] != listed[: len(head)]:
            return None
        last_group = self._from(keys[-1], keys)
        tail = [f.pts for f in last_group if f.pts is not None]
        tail = [p for p in tail if p >= keys[-1]]
        kept = [p for p in listed if p < keys[-1]]
        expected = listed[len(kept) :]
        if tail != expected[: len(tail)]:
            return None
        return kept + tail


def _stated_length(container: InputContainer) -> float:
    """Seconds of video that the container announces, 0 where it is not clear."""
    stream = container.streams.video[0]
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if tag:
        hours, minutes, seconds = (float(part) for part in tag.groups())
        return 3600 * hours + 60 * minutes + seconds
    # The whole file may last longer than its video, because of sound.
    alone = len(container.streams) == 1
    return container.duration / 1e6 if alone and container.duration else 0.0


def display_matrix(frame: VideoFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Quarter turns and mirrorings that the container asks a player to apply.

    Returns
    -------
    tuple of rows
        Entries -1, 0 or 1: stored (x, y) as a row, times this, gives shown (x, y).
        The identity where nothing is asked, or where the angle is not a quarter turn;
        the latter is warned about.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1, 0), (0, 1)
    m = np.frombuffer(bytes(data), np.int32)
    turn = np.array([[m[0], m[1]], [m[3], m[4]]]) / 65536
    unit = np.rint(turn / max(np.abs(turn).max(), 1e-9)).astype(int)
    if np.abs(unit).sum() == 2 and abs(np.linalg.det(unit)) == 1:
        (a, b), (c, d) = unit.tolist()
        return (a, b), (c, d)
    warnings.warn(
        "the video asks to be shown turned by an angle that is no quarter turn; it is "
        "read as stored",
        UserWarning,
        stacklevel=2,
    )
    return (1, 0), (0, 1)


def orient(
    picture: np.ndarray, matrix: tuple[tuple[int, int], tuple[int, int]]
) -> np.ndarray:
    """Turn and mirror a picture (y, x, ...) as its display matrix says."""
    (a, b), (c, d) = matrix
    if a == 0:
        picture = picture.swapaxes(0, 1)
        a, d = c, b
    if a < 0:
        picture = picture[:, ::-1]
    if d < 0:
        picture = picture[::-1]
    return picture


_open_files: OrderedDict[tuple[str, Fingerprint], VideoFile] = OrderedDict()
_open_lock = threading.Lock()


def video_file(path: str, stamp: Fingerprint) -> VideoFile:
    """Return the open file, shared, so that reading on does not decode twice.

    Raises
    ------
    VideoError
        The file went away, or changed since it was first opened.
    """
    if not Path(path).is_file() or fingerprint(path) != stamp:
        raise VideoError(
            f"{path} was changed, moved or removed since it was opened; open it again."
        )
    with _open_lock:
        known = _open_files.get((path, stamp))
        if known is None:
            known = _open_files[(path, stamp)] = VideoFile(path)
        _open_files.move_to_end((path, stamp))
        while len(_open_files) > _MAX_OPEN:
            _, old = _open_files.popitem(last=False)
            with old.lock:
                old.close()
        return known
