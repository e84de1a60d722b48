"""From what a user passes as ``depth=`` to a depth source."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from seurat_tracks.depth.at_tracks import AtTracks
from seurat_tracks.depth.base import DepthSource
from seurat_tracks.depth.constant import Constant
from seurat_tracks.depth.known import Known
from seurat_tracks.depth.maps import DepthMaps
from seurat_tracks.errors import DepthError

ACCEPTED = (
    "None (relative depth), a number of metres, a dict of metres by track id, depth "
    "maps (time, y, x) as a numpy or dask array or a DataArray, a DataArray (track, "
    "time), or a source from seurat_tracks.depth"
)


def resolve_depth(depth: Any) -> DepthSource | None:
    """Read any accepted description of metric depth.

    Parameters
    ----------
    depth
        None; metres (a `Constant`); a dict of metres by track id or by (track id,
        frame number) (a `Known`); an array (time, y, x) in metres (`DepthMaps`); a
        DataArray with dims track and time (`AtTracks`); or any `DepthSource`.

    Returns
    -------
    DepthSource or None
        None stands for "no metric depth": results stay relative.

    Raises
    ------
    DepthError
        For anything else; the text lists what is accepted.
    """
    if depth is None:
        return None
    if isinstance(depth, DepthSource) and not isinstance(depth, type):
        return depth
    if isinstance(depth, bool):
        raise DepthError(f"depth={depth!r} is not a depth; give {ACCEPTED}")
    if isinstance(depth, Real):
        return Constant(float(depth))
    if isinstance(depth, Mapping):
        return Known(depth)
    shape = getattr(depth, "shape", None)
    if shape is not None and len(shape) == 0:
        return Constant(float(depth))
    if shape is not None and len(shape) == 3:
        return DepthMaps(depth)
    if set(getattr(depth, "dims", ())) == {"track", "time"}:
        return AtTracks(depth)
    what = type(depth).__name__ if shape is None else f"an array of shape {shape}"
    raise DepthError(f"depth={what} is not understood; give {ACCEPTED}")
