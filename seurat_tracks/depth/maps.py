"""Depth maps of the video's frames, sampled at the tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import (
    AFFINE,
    Kind,
    Span,
    check_kind,
    distance_to_depth,
)
from seurat_tracks.depth.plausible import map_fault, reviewed
from seurat_tracks.depth.sampling import (
    DEFAULT_SAMPLING,
    Sampling,
    check_sampling,
    sample_map,
)
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

__all__ = ["DepthMaps", "aspect_fault", "sample_map"]


class DepthMaps:
    """One depth map per frame, read one frame at a time.

    Parameters
    ----------
    maps : array (time, y, x)
        Depth along the optical axis: numpy (also memory-mapped), dask, zarr, the
        files of `seurat_tracks.depth.open_maps`, or a DataArray with dims time, y,
        x. NaN, infinity and values <= 0 are holes. A DataArray with a ``time``
        coordinate is matched to the tracks by frame number; anything else must have
        one map per frame of the Dataset, in order. The maps may be smaller or larger
        than the frames if the aspect ratio is the same (to one map pixel).
    scale
        Metres per unit of the maps: 0.001 for millimetres. Without it the maps must
        be floating-point numbers and plausible metres. With ``disparity``, depth is
        scale / value.
    name, licence
        What to record.
    metric
        True if ``scale`` makes metres of it; False if the unit is unknown but the
        same in all frames.
    ray_length
        True if the maps hold distances from the camera centre; needs intrinsics.
    disparity
        True if the maps hold inverse depth or stereo disparity: larger is nearer.
        ``scale`` must then be stated (1 for 1/m; focal length in pixels times
        baseline in metres for disparity in pixels).
    kind
        What the values are, instead of ``metric``; see `seurat_tracks.depth.Kind`.
        Maps of relative models are "affine" or "affine_disparity".
    sampling
        How maps are read between pixels; see `seurat_tracks.depth.sampling`.
    check
        False to believe any number: no look at units or direction.

    Raises
    ------
    DepthError
        If the maps are not three-dimensional or the options contradict one another;
        lists every fault.
    """

    span: Span = "run"

    def __init__(
        self,
        maps: Any,
        *,
        scale: float | None = None,
        name: str = "depth maps",
        licence: str = "",
        metric: bool = True,
        ray_length: bool = False,
        disparity: bool = False,
        kind: Kind | None = None,
        sampling: Sampling = DEFAULT_SAMPLING,
        check: bool = True,
    ) -> None:
        shape = tuple(getattr(maps, "shape", ()))
        dims = getattr(maps, "dims", None)
        faults = []
        if len(shape) != 3:
            faults.append(f"depth maps must be (time, y, x), got shape {shape}")
        elif dims is not None and set(dims) != {"time", "y", "x"}:
            faults.append(
                f"dims must be time, y and x, got {tuple(dims)}; use .rename()"
            )
        if scale is not None and not (np.isfinite(scale) and scale > 0):
            faults.append(f"scale must be positive, got {scale!r}")
        self.kind: Kind = kind or ("metric" if metric else "scale")
        check_kind(self.kind, name)
        check_sampling(sampling, name)
        affine = self.kind in AFFINE
        if disparity and affine:
            faults.append(
                f'disparity=True turns values into depth, and kind="{self.kind}" says '
                "that this cannot be done: give one of them"
            )
        elif disparity and scale is None:
            faults.append(
                "disparity=True needs scale=, for depth = scale / value: 1 for values "
                "in 1/m, focal length (pixels) times baseline (m) for stereo; where "
                'it is unknown, say kind="affine_disparity" instead'
            )
        if ray_length and affine:
            faults.append(f'ray_length=True cannot be undone for kind="{self.kind}"')
        if faults:
            raise DepthError(f"{name}: " + "; ".join(faults))
        self.maps = maps if dims is None else maps.transpose("time", "y", "x")
        self.stated = scale is not None
        self.scale = 1.0 if scale is None else float(scale)
        self.name = name
        self.licence = licence
        self.metric = self.kind == "metric"
        self.ray_length = ray_length
        self.disparity = disparity
        self.sampling: Sampling = sampling
        self.judged = check

    def check(self) -> None:
        """Look at the first, middle and last map, unless that were work (dask).

        Raises
        ------
        DepthError
            If they cannot be what they are said to be, or all three are holes.
        """
        values = getattr(self.maps, "data", None)
        if not self.judged or hasattr(self.maps, "dask") or hasattr(values, "dask"):
            return
        n = self.maps.shape[0]
        empty = []
        for i in sorted({0, n // 2, n - 1} if n else set()):
            one = np.asarray(self.maps[i])
            fault = map_fault(one, self.kind, self.stated or self.disparity)
            if fault is not None:
                raise DepthError(f"{self.name}: map {i}: {fault}")
            good = np.isfinite(one)
            if self.kind not in AFFINE:
                good &= one > 0
            empty.append(not good.any())
        if empty and all(empty):
            raise DepthError(
                f"{self.name}: maps 0, {n // 2} and {n - 1} are all holes (NaN, "
                "infinite, 0 or less): nothing can be measured on them"
            )

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Sample the maps under every track in every frame, lazily.

        Returns
        -------
        float32 DataArray (track, time)
            Read between map pixels, whose centres lie at integers, as `sample_map`
            does; NaN over holes, where ``xy`` is NaN, and outside the frame.
            Dask-backed: one frame's map is loaded at a time in each worker.
            Computing it raises `DepthError` if nothing is found under any visible
            observation, or what is found cannot be the depth of these tracks.

        Raises
        ------
        DepthError
            If the number or the shape of the maps does not fit the Dataset.
        """
        import dask.array as da
        import xarray as xr

        maps = self._frames(ds)
        width, height = (float(v) for v in ds.attrs["frame_size"])
        xy = ds["xy"].transpose("time", "track", "coord").data
        if not isinstance(xy, da.Array):
            xy = da.from_array(xy, chunks=(1, -1, -1), name=False)
        sampled = da.blockwise(
            _sample_blocks,
            "tn",
            xy.rechunk({0: 1, 1: -1, 2: -1}),
            "tnc",
            maps,
            "tyx",
            frame_size=(width, height),
            sampling=self.sampling,
            signed=self.kind in AFFINE,
            name_of_maps=self.name,
            kind=self.kind if self.judged else None,
            stated=self.stated or self.disparity,
            concatenate=True,
            dtype=np.float32,
            meta=np.empty((0, 0), dtype=np.float32),
        )
        # Back to whole tracks, in the chunks the Dataset itself has.
        tracks = ds["xy"].chunksizes.get("track", (ds.sizes["track"],))
        values = sampled.T.rechunk((tracks, -1))
        factor = np.float32(self.scale)
        values = factor / values if self.disparity else values * factor
        result = xr.DataArray(values, dims=("track", "time"))
        if self.ray_length:
            result = distance_to_depth(result, ds, self.name)
        result.data = reviewed(
            result.data, ds, self.name, kind=self.kind, units=self.judged
        )
        return result

    def _frames(self, ds: xr.Dataset) -> da.Array:
        """One map per frame of the Dataset, chunked by frame."""
        import dask.array as da
        import xarray as xr

        maps = self.maps
        faults = []
        if isinstance(maps, xr.DataArray):
            if "time" in maps.coords:
                times = maps["time"].values
                missing = np.setdiff1d(ds["time"].values, times)
                if len(missing):
                    faults.append(
                        f"no map for {len(missing)} of {ds.sizes['time']} frames, the "
                        f"first is frame {missing[0]} (the maps cover frames "
                        f"{times.min()} to {times.max()})"
                    )
                elif len(np.unique(times)) != len(times):
                    faults.append("several maps have the same frame number in `time`")
                else:
                    maps = maps.sel(time=ds["time"].values)
            maps = maps.data
        n, rows, columns = maps.shape
        if not faults and n != ds.sizes["time"]:
            faults.append(
                f"{n} maps for {ds.sizes['time']} frames; give one map per frame, or a "
                f"DataArray whose `time` coordinate holds frame numbers"
            )
        fault = aspect_fault("maps", (columns, rows), ds.attrs["frame_size"])
        if fault is not None:
            faults.append(fault)
        if faults:
            raise DepthError(f"{self.name}: " + "; ".join(faults))
        if not isinstance(maps, da.Array):
            # name=False: hashing would read every map
            maps = da.from_array(
                maps,
                chunks=(1, rows, columns),
                name=False,
                meta=np.empty((0, 0, 0), dtype=maps.dtype),
            )
        return maps.rechunk((1, rows, columns))


def aspect_fault(what: str, size: tuple[int, int], frame_size: Any) -> str | None:
    """Say if pictures of ``size`` (width, height) are not of frames of another size."""
    columns, rows = size
    width, height = frame_size
    if rows >= 1 and columns >= 1 and abs(columns * height / width - rows) <= 1:
        return None
    turned = (rows, columns) == (width, height)
    return (
        f"{what} of {columns} x {rows} pixels do not have the aspect ratio of frames "
        f"of {width} x {height}{' (are they (time, x, y)?)' if turned else ''}; crop "
        "or resize them first"
    )


def _sample_blocks(
    xy: np.ndarray,
    maps: np.ndarray,
    *,
    frame_size: tuple[float, float],
    sampling: Sampling,
    signed: bool,
    name_of_maps: str,
    kind: Kind | None,
    stated: bool,
) -> np.ndarray:
    out = np.empty(xy.shape[:2], dtype=np.float32)
    for t in range(len(xy)):
        fault = None if kind is None else map_fault(maps[t], kind, stated)
        if fault is not None:
            raise DepthError(f"{name_of_maps}: {fault}")
        out[t] = sample_map(
            maps[t], xy[t], frame_size, sampling=sampling, signed=signed
        )
    return out
