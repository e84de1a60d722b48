"""Depth maps of the video's frames, sampled at the tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import Span, distance_to_depth
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

MIN_VALID_WEIGHT = 0.5
"""Share of the bilinear weight that must fall on valid map pixels."""


class DepthMaps:
    """One depth map per frame, read one frame at a time.

    Parameters
    ----------
    maps : array (time, y, x)
        Depth along the optical axis: numpy (also memory-mapped), dask, zarr, or a
        DataArray with dims time, y, x. NaN, infinity and values <= 0 are holes. A
        DataArray with a ``time`` coordinate is matched to the tracks by frame
        number; anything else must have one map per frame of the Dataset, in order.
        The maps may be smaller or larger than the frames if the aspect ratio is the
        same (to one map pixel).
    scale
        Metres per unit of the maps, 0.001 for millimetres.
    name, licence
        What to record.
    metric
        True if ``scale`` makes metres of it; False if the unit is unknown but the
        same in all frames.
    ray_length
        True if the maps hold distances from the camera centre; needs intrinsics.

    Raises
    ------
    DepthError
        If the maps are not three-dimensional, or ``scale`` is not positive.
    """

    span: Span = "run"

    def __init__(
        self,
        maps: Any,
        *,
        scale: float = 1.0,
        name: str = "depth maps",
        licence: str = "",
        metric: bool = True,
        ray_length: bool = False,
    ) -> None:
        shape = tuple(getattr(maps, "shape", ()))
        if len(shape) != 3:
            raise DepthError(
                f"{name}: depth maps must be (time, y, x), got shape {shape}"
            )
        dims = getattr(maps, "dims", None)
        if dims is not None and set(dims) != {"time", "y", "x"}:
            raise DepthError(
                f"{name}: dims must be time, y and x, got {tuple(dims)}; use .rename()"
            )
        if not (np.isfinite(scale) and scale > 0):
            raise DepthError(f"{name}: scale must be positive, got {scale!r}")
        self.maps = maps if dims is None else maps.transpose("time", "y", "x")
        self.scale = float(scale)
        self.name = name
        self.licence = licence
        self.metric = metric
        self.ray_length = ray_length

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Sample the maps under every track in every frame, lazily.

        Returns
        -------
        float32 DataArray (track, time)
            Bilinear between map pixels, whose centres lie at integers; positions are
            carried to maps of another size by (x + 0.5) * map_width / width - 0.5.
            Holes get no weight; NaN where more than half the weight falls on holes,
            where ``xy`` is NaN, and outside the frame. Dask-backed: one frame's map
            is loaded at a time in each worker.

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
            concatenate=True,
            dtype=np.float32,
            meta=np.empty((0, 0), dtype=np.float32),
        )
        # Back to whole tracks, in the chunks the Dataset itself has.
        tracks = ds["xy"].chunksizes.get("track", (ds.sizes["track"],))
        values = sampled.T.rechunk((tracks, -1)) * np.float32(self.scale)
        result = xr.DataArray(values, dims=("track", "time"))
        return distance_to_depth(result, ds, self.name) if self.ray_length else result

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
        width, height = ds.attrs["frame_size"]
        if rows < 1 or columns < 1 or abs(columns * height / width - rows) > 1:
            turned = (
                " (are the maps (time, x, y)?)"
                if (rows, columns)
                == (
                    width,
                    height,
                )
                else ""
            )
            faults.append(
                f"maps of {columns} x {rows} pixels do not have the aspect ratio of "
                f"frames of {width} x {height}{turned}; crop or resize them first"
            )
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


def _sample_blocks(
    xy: np.ndarray, maps: np.ndarray, *, frame_size: tuple[float, float]
) -> np.ndarray:
    out = np.empty(xy.shape[:2], dtype=np.float32)
    for t in range(len(xy)):
        out[t] = sample_map(maps[t], xy[t], frame_size)
    return out


def sample_map(
    depth_map: np.ndarray, xy: np.ndarray, frame_size: tuple[float, float]
) -> np.ndarray:
    """Depth of one map at points of its frame.

    Parameters
    ----------
    depth_map : array (y, x)
        Depth; NaN, infinity and values <= 0 are holes.
    xy : float array (point, 2)
        Pixel positions in the frame; NaN = no observation.
    frame_size
        Width and height of the frame, pixels.

    Returns
    -------
    float32 array (point,)
        See `DepthMaps.at_tracks`.
    """
    rows, columns = depth_map.shape
    width, height = frame_size
    x = (xy[:, 0].astype(np.float64) + 0.5) * (columns / width) - 0.5
    y = (xy[:, 1].astype(np.float64) + 0.5) * (rows / height) - 0.5
    # A frame reaches half a pixel beyond the outermost centres.
    inside = (x >= -0.5) & (x <= columns - 0.5) & (y >= -0.5) & (y <= rows - 0.5)
    x = np.clip(np.where(inside, x, 0), 0, columns - 1)
    y = np.clip(np.where(inside, y, 0), 0, rows - 1)
    x0 = np.floor(x).astype(np.intp)
    y0 = np.floor(y).astype(np.intp)
    fx, fy = x - x0, y - y0
    total = np.zeros(len(x))
    weight = np.zeros(len(x))
    for dx, wx in ((0, 1 - fx), (1, fx)):
        for dy, wy in ((0, 1 - fy), (1, fy)):
            value = depth_map[
                np.minimum(y0 + dy, rows - 1), np.minimum(x0 + dx, columns - 1)
            ].astype(np.float64)
            good = np.isfinite(value) & (value > 0)
            w = np.where(good, wx * wy, 0)
            weight += w
            total += w * np.where(good, value, 0)
    found = inside & (weight >= MIN_VALID_WEIGHT)
    out = np.full(len(x), np.nan)
    out[found] = total[found] / weight[found]
    return out.astype(np.float32)
