"""A depth model as a source: frames in, depth at the tracks out, each frame once."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import AFFINE, Kind, Span, check_kind
from seurat_tracks.depth.cache import MapCache, open_cache, video_key
from seurat_tracks.depth.frame_model import FrameModel, checked_answer
from seurat_tracks.depth.maps import aspect_fault
from seurat_tracks.depth.plausible import reviewed
from seurat_tracks.depth.sampling import (
    DEFAULT_SAMPLING,
    Sampling,
    check_sampling,
    sample_map,
)
from seurat_tracks.errors import DepthError
from seurat_tracks.interrupt import pause_point

if TYPE_CHECKING:
    import xarray as xr


class FrameDepth:
    """Depth that a model finds in the frames of a video.

    Parameters
    ----------
    model
        Finds depth in frames; see `FrameModel`.
    video
        The video of the tracks: what `seurat_tracks.open_video` takes or gives. Its
        frame numbers must hold all of the Dataset's.
    part
        True if the tracks are of a part of the video; otherwise a video with other
        frames than the tracks is refused.
    batch
        Frames that the model sees at once, and that are in memory at once.
    every
        Look at every n-th frame only. Scales of the frames between are those of the
        visible run around; runs without such a frame get theirs by interpolation.
    cache
        Folder that keeps the maps for later runs. None: a temporary folder that goes
        with this object, so that no frame is evaluated twice in one session.
    kind
        What the maps are, where the caller knows better than the model.
    scale
        Metres per unit of the maps.
    sampling
        How maps are read between pixels.
    check
        False to believe any number: no look at units or direction.

    Raises
    ------
    DepthError
        If the options make no sense; lists every fault.
    """

    span: Span = "run"

    def __init__(
        self,
        model: FrameModel,
        *,
        video: Any = None,
        part: bool = False,
        batch: int = 4,
        every: int = 1,
        cache: str | os.PathLike[str] | None = None,
        kind: Kind | None = None,
        scale: float = 1.0,
        sampling: Sampling = DEFAULT_SAMPLING,
        check: bool = True,
    ) -> None:
        counts: tuple[tuple[str, Any], ...] = (("batch", batch), ("every", every))
        faults = [
            f"{what} must be an integer from 1, got {value!r}"
            for what, value in counts
            if isinstance(value, bool) or not (isinstance(value, int) and value >= 1)
        ]
        if not (np.isfinite(scale) and scale > 0):
            faults.append(f"scale must be positive, got {scale!r}")
        if faults:
            raise DepthError(f"{model.name}: " + "; ".join(faults))
        self.kind: Kind = model.kind if kind is None else kind
        check_kind(self.kind, model.name)
        check_sampling(sampling, model.name)
        self.model = model
        self.video = video
        self.part = part
        self.batch = batch
        self.every = every
        self.scale = float(scale)
        self.sampling: Sampling = sampling
        self.judged = check
        self.folder = None if cache is None else Path(cache).expanduser()
        self._unshared()

    def _unshared(self) -> None:
        """Set what belongs to this process alone."""
        self._lock = threading.RLock()
        self._opened: xr.DataArray | None = None
        self._cache: MapCache | None = None
        self._key: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but locks, open files and the temporary folder."""
        private = ("_lock", "_opened", "_cache", "_key")
        return {k: v for k, v in self.__dict__.items() if k not in private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew in another process; a cache folder is shared, memory is not."""
        self.__dict__.update(state)
        self._unshared()

    def __dask_tokenize__(self) -> tuple[str, int]:
        """One token an object: hashing weights and pixels would be work."""
        return ("FrameDepth", id(self))

    @property
    def name(self) -> str:
        """The model's name, and how sparsely it looked."""
        return self.model.name + (f", every {self.every} frames" * (self.every > 1))

    @property
    def licence(self) -> str:
        """Licence of the model's weights."""
        return self.model.licence

    @property
    def metric(self) -> bool:
        """Whether the depth is in metres."""
        return self.kind == "metric"

    def on(self, video: Any) -> FrameDepth:
        """Give the same source on a video; this one already on a video is refused.

        Raises
        ------
        DepthError
            If this source has a video of its own.
        """
        if self.video is not None:
            raise DepthError(
                f"{self.name} was given its video already; give video= once"
            )
        other = type(self).__new__(type(self))
        other.__setstate__(self.__getstate__())
        other.video = video
        return other

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Depth under every track in the frames that are needed, lazily.

        Returns
        -------
        float32 DataArray (track, time)
            NaN where the track is not visible, over holes, and in frames that were
            left out. Dask-backed; one batch of frames is in memory at a time. Frames
            in which no track is visible are never evaluated, all others once.

        Raises
        ------
        DepthError
            If there is no video, it does not fit the Dataset, or the model needs a
            camera that the Dataset does not state.
        """
        import dask.array as da
        import xarray as xr

        positions = self._positions(ds)
        focal = self._stated_focal(ds)
        if focal is None and not getattr(self.model, "has_focal", True):
            self.factor(0.0, None)
        time = {"time": self.batch}
        xy = ds["xy"].transpose("time", "track", "coord").data
        visible = ds["visible"].transpose("time", "track").data
        xy, visible = (
            (a if isinstance(a, da.Array) else da.from_array(a, name=False)).rechunk(
                {0: time["time"], **dict.fromkeys(range(1, a.ndim), -1)}
            )
            for a in (xy, visible)
        )
        sampled = da.blockwise(
            _sample_frames,
            "tn",
            xy,
            "tnc",
            visible,
            "tn",
            da.from_array(positions, chunks=xy.chunks[0], name=False),
            "t",
            source=_Held(self),
            focal=focal,
            frame_size=tuple(float(v) for v in ds.attrs["frame_size"]),
            concatenate=True,
            dtype=np.float32,
            meta=np.empty((0, 0), dtype=np.float32),
        )
        tracks = ds["xy"].chunksizes.get("track", (ds.sizes["track"],))
        values = sampled.T.rechunk((tracks, -1)) * np.float32(self.scale)
        values = reviewed(values, ds, self.name, kind=self.kind, units=self.judged)
        return xr.DataArray(values, dims=("track", "time"))

    def intrinsics(self, *, frames: int = 8) -> tuple[float, float, float, float]:
        """Camera that the model itself sees in the video: the median over frames.

        Parameters
        ----------
        frames
            How many frames are looked at, evenly spread; they are kept like others.

        Returns
        -------
        fx, fy, cx, cy
            Pixels of the video's frames; square pixels, the principal point in the
            middle. For ``lift3d(intrinsics=...)``.

        Raises
        ------
        DepthError
            If the model makes no statement about the camera, or there is no video.
        """
        video = self._open()
        n = video.sizes["time"]
        chosen = np.unique(np.linspace(0, n - 1, min(frames, n)).round().astype(int))
        found = []
        for begin in range(0, len(chosen), self.batch):
            answers = self.evaluate(chosen[begin : begin + self.batch])
            found += [focal for _, focal in answers.values()]
        if not all(found):
            raise DepthError(
                f"{self.name} says nothing about the camera: pass intrinsics="
                '(fx, fy, cx, cy) or {"fov": degrees}'
            )
        focal = float(np.median(found))
        width, height = video.attrs["frame_size"]
        return focal, focal, (width - 1) / 2, (height - 1) / 2

    def evaluate(self, positions: Any) -> dict[int, tuple[np.ndarray, float]]:
        """Give maps and focal lengths of frames, from the disk or from the model.

        Parameters
        ----------
        positions : int array (n,)
            Positions on the video's time axis; at most a batch, or all are in memory.

        Returns
        -------
        dict
            Map float32 (y, x) and focal length (pixels; 0 = none) by position.
        """
        wanted = [int(i) for i in positions]
        answers: dict[int, tuple[np.ndarray, float]] = {}
        # One batch at a time, whoever asks: a frame asked for twice is found here.
        with self._lock:
            if wanted and self._cache is None and self.folder is not None:
                self._cache = open_cache(self.folder, self._identity())
            todo = []
            for i in wanted:
                kept = None if self._cache is None else self._cache.get(i)
                if kept is None:
                    todo.append(i)
                else:
                    answers[i] = kept
            for begin in range(0, len(todo), self.batch):
                answers.update(self._ask(todo[begin : begin + self.batch]))
        return answers

    def _ask(self, positions: list[int]) -> dict[int, tuple[np.ndarray, float]]:
        """Evaluate a batch and keep it."""
        video = self._open()
        pause_point("depth model", positions[0], video.sizes["time"])
        piece = video.isel(time=positions).data
        frames = np.asarray(
            piece.compute(scheduler="synchronous") if hasattr(piece, "dask") else piece
        )
        answer = self.model(frames)
        maps, focal = checked_answer(answer, len(positions), self.model.name)
        cache = self._cache or self._begin_cache((video.sizes["time"], *maps[0].shape))
        self._cache = cache
        for i, one, length in zip(positions, maps, focal, strict=True):
            cache.put(i, one, float(length))
        return {
            i: (one, float(f)) for i, one, f in zip(positions, maps, focal, strict=True)
        }

    def _identity(self) -> dict[str, Any]:
        """All that decides the answers."""
        if self._key is None:
            # a temporary folder is this object's alone and needs no hash of pixels
            self._key = "" if self.folder is None else video_key(self._open())
        return {
            "model": self.model.name,
            "digest": self.model.digest,
            "video": self._key,
            "frame_size": [int(v) for v in self._open().attrs["frame_size"]],
        }

    def _begin_cache(self, shape: tuple[int, int, int]) -> MapCache:
        folder = self.folder
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="seurat-depth-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        cache = open_cache(folder, self._identity(), shape)
        assert cache is not None
        return cache

    def _open(self) -> xr.DataArray:
        """Give the video, opened once.

        Raises
        ------
        DepthError
            If none was given.
        """
        from seurat_tracks.io.video import open_video

        if self.video is None:
            raise DepthError(
                f"{self.name} finds depth in frames, and tracks hold none: give the "
                'video, lift3d(depth=..., video="clip.mp4") or DepthModel(..., '
                'video="clip.mp4")'
            )
        with self._lock:
            if self._opened is None:
                self._opened = open_video(self.video)
            return self._opened

    def _positions(self, ds: xr.Dataset) -> np.ndarray:
        """Where the Dataset's frames are in the video; -1 for those left out."""
        video = self._open()
        times = video["time"].values
        wanted = ds["time"].values
        faults = []
        missing = np.setdiff1d(wanted, times)
        span = f"{len(times)} frames ({times[0]} to {times[-1]})"
        if len(missing):
            faults.append(
                f"the video has {span}, but the tracks have {len(missing)} frames "
                f"beside, the first is frame {missing[0]}: is it another video?"
            )
        elif len(times) > len(wanted) and not self.part:
            faults.append(
                f"the video has {span}, the tracks {len(wanted)} ({wanted[0]} to "
                f"{wanted[-1]}): is it another video? If the tracks are of a part of "
                "it, say part=True"
            )
        fault = aspect_fault(
            "the video's frames", video.attrs["frame_size"], ds.attrs["frame_size"]
        )
        if fault is not None:
            faults.append(fault)
        if faults:
            raise DepthError(f"{self.name}: " + "; ".join(faults))
        positions = np.searchsorted(times, wanted)
        return np.where(np.arange(len(wanted)) % self.every == 0, positions, -1)

    def _stated_focal(self, ds: xr.Dataset) -> float | None:
        """Focal length over frame width that the Dataset states, if it does."""
        given = ds.attrs.get("intrinsics")
        assumed = str(ds.attrs.get("intrinsics_source", "given")).startswith("assumed")
        if given is None or assumed:
            return None
        return float(given[0]) / float(ds.attrs["frame_size"][0])

    def factor(self, focal: float, stated: float | None) -> float:
        """Say what a map is to be multiplied by, for the camera.

        Raises
        ------
        DepthError
            If the model needs a focal length and nobody knows it.
        """
        if not self.model.per_focal:
            return 1.0
        if stated is not None:
            return stated
        if focal > 0:
            return focal / float(self._open().attrs["frame_size"][0])
        raise DepthError(
            f"{self.name} needs the focal length of the camera to give metres: pass "
            'intrinsics=(fx, fy, cx, cy) or {"fov": degrees}'
        )


class _Held:
    """Carries a source through a graph without being looked into."""

    def __init__(self, source: FrameDepth) -> None:
        self.source = source

    def __dask_tokenize__(self) -> tuple[str, int]:
        return ("FrameDepth", id(self.source))


def _sample_frames(
    xy: np.ndarray,
    visible: np.ndarray,
    positions: np.ndarray,
    *,
    source: _Held,
    focal: float | None,
    frame_size: tuple[float, float],
) -> np.ndarray:
    """Depth under the visible tracks of a batch of frames, (time, track)."""
    depth = source.source
    out = np.full(visible.shape, np.nan, dtype=np.float32)
    needed = np.flatnonzero(visible.any(1) & (positions >= 0))
    answers = depth.evaluate(positions[needed])
    for t in needed:
        one, estimate = answers[int(positions[t])]
        seen = visible[t]
        out[t, seen] = sample_map(
            one,
            xy[t, seen],
            frame_size,
            sampling=depth.sampling,
            signed=depth.kind in AFFINE,
        ) * np.float32(depth.factor(estimate, focal))
    return out
