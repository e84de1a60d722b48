"""One depth for everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.depth.base import Span, positive_metres

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Constant:
    """Every track has this median depth over its visible frames.

    The one number a user can give without measuring anything ("the bench is about
    two metres away"). Depths of different tracks relative to one another are then a
    guess; how each one changes is not.

    Parameters
    ----------
    metres
        Depth along the optical axis, metres.

    Raises
    ------
    DepthError
        If ``metres`` is not positive and finite.
    """

    metres: float

    licence = ""
    metric = True
    span: Span = "track"

    def __post_init__(self) -> None:
        """Refuse what is no depth."""
        object.__setattr__(self, "metres", positive_metres(self.metres, "Constant"))

    @property
    def name(self) -> str:
        """Such as "constant 2 m"."""
        return f"constant {self.metres:g} m"

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Give the same depth for all, float32 metres (track, time)."""
        import xarray as xr

        shape = (ds.sizes["track"], ds.sizes["time"])
        if ds["xy"].chunks is not None:
            import dask.array as da

            chunks = (ds["xy"].chunksizes["track"], -1)
            full = da.full(shape, self.metres, dtype=np.float32, chunks=chunks)
            return xr.DataArray(full, dims=("track", "time"))
        return xr.DataArray(
            np.broadcast_to(np.float32(self.metres), shape), dims=("track", "time")
        )
