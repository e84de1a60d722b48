"""Depth already sampled at the tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import Span, distance_to_depth
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr


class AtTracks:
    """Depth of every track in every frame, from a sensor or another program.

    Parameters
    ----------
    values : array (track, time)
        Depth (numpy, dask or DataArray with dims track and time, in any order), in
        the Dataset's own order; a DataArray with coordinates is matched by them.
        NaN and values <= 0 mean unknown.
    name, licence
        What to record.
    metric
        True if in metres, False if in an unknown unit shared by all.
    ray_length
        True if these are distances from the camera centre; needs intrinsics.
    check
        False to believe any number: no look at the unit.
    """

    span: Span = "run"

    def __init__(
        self,
        values: Any,
        *,
        name: str = "depth at the tracks",
        licence: str = "",
        metric: bool = True,
        ray_length: bool = False,
        check: bool = True,
    ) -> None:
        self.values = values
        self.name = name
        self.licence = licence
        self.metric = metric
        self.ray_length = ray_length
        self.judged = check

    def check(self) -> None:
        """Look at the values, unless that were work (dask).

        Raises
        ------
        DepthError
            If none is a depth, or their median is no distance of a scene in metres.
        """
        from seurat_tracks.depth.plausible import unit_fault

        if hasattr(self.values, "dask") or getattr(self.values, "chunks", None):
            return
        values = np.asarray(self.values, dtype=np.float64)
        good = values[np.isfinite(values) & (values > 0)]
        fault = None
        if not len(good):
            fault = "there is no depth in it: all values are NaN, infinite, 0 or less"
        elif self.metric and self.judged:
            fault = unit_fault(float(np.median(good)), "divide by 1000")
        if fault is not None:
            raise DepthError(f"{self.name}: {fault}")

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Give the values in the Dataset's order, float32 (track, time).

        Raises
        ------
        DepthError
            If sizes, dimensions or coordinates do not match the Dataset.
        """
        import xarray as xr

        values = self.values
        if isinstance(values, xr.DataArray):
            if set(values.dims) != {"track", "time"}:
                raise DepthError(
                    f"{self.name}: dims must be track and time, got {values.dims}"
                )
            values = values.transpose("track", "time")
            for dim in ("track", "time"):
                if dim in values.coords:
                    missing = set(ds[dim].values.tolist()) - set(
                        values[dim].values.tolist()
                    )
                    if missing:
                        raise DepthError(
                            f"{self.name}: no depth for {len(missing)} {dim} labels, "
                            f"such as {min(missing, key=str)!r}"
                        )
                    values = values.sel({dim: ds[dim].values})
            values = values.data
        shape = (ds.sizes["track"], ds.sizes["time"])
        if tuple(values.shape) != shape:
            hint = ""
            if tuple(values.shape) == shape[::-1]:
                hint = "; it is (time, track): transpose it"
            raise DepthError(
                f"{self.name}: shape must be (track, time) = {shape}, "
                f"got {tuple(values.shape)}{hint}"
            )
        result = xr.DataArray(values, dims=("track", "time")).astype("float32")
        return distance_to_depth(result, ds, self.name) if self.ray_length else result
