"""Depth maps made steady in time by the tracks: a first step from sparse to dense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import DepthError, SchemaError

if TYPE_CHECKING:
    import xarray as xr

CELL = 1 / 12
"""Cell of the grid in which corrections are spread, as a part of the map's width."""

LAYER = 0.15
"""Its thickness in natural-log depth: corrections do not cross larger steps."""

_PRIOR = 0.05  # weight of what takes over where no track is near, in tracks


def stabilise_depth(
    ds: xr.Dataset, maps: Any, *, cell: float = CELL, layer: float = LAYER
) -> xr.DataArray:
    """Correct depth maps so that they agree with the tracks' depth in every frame.

    Parameters
    ----------
    ds
        Lifted tracks with ``depth``, best with these very maps as the source:
        ``ds.seurat.lift3d(depth=maps)``.
    maps : array (time, y, x)
        Depth along the optical axis, anything `seurat_tracks.depth.DepthMaps` takes, or
        such a source.
    cell
        Size of the patches over which corrections are spread, as a part of the width.
    layer
        Step of natural-log depth that corrections do not cross.

    Returns
    -------
    float32 DataArray (time, y, x)
        Maps of the size they had; holes stay holes. Dask-backed, one frame at a time.

    Raises
    ------
    SchemaError
        If ``depth`` is missing.
    DepthError
        If depth is relative while the maps are metric, or the maps do not fit.

    Notes
    -----
    In each frame log(track depth / map) at the visible tracks is spread by normalised
    convolution on a bilateral grid (Chen, Paris and Durand, ACM TOG 2007) over x, y and
    the map's log depth, robust against single tracks; where no track is near, those
    of like depth farther off, then the frame's median correction take over.
    """
    import dask.array as da
    import xarray as xr

    from seurat_tracks.depth import DepthMaps
    from seurat_tracks.scale import RELATIVE_UNITS

    if not (0 < cell <= 1 and layer > 0):
        raise DepthError(
            f"cell must be from 0 to 1 and layer positive, got {cell!r} and {layer!r}"
        )
    if "depth" not in ds:
        raise SchemaError("stabilise_depth needs depth: call lift3d(depth=...) first")
    if ds.attrs.get("units") == RELATIVE_UNITS:
        raise DepthError(
            "stabilise_depth needs depth that tracks share, but every track has an "
            "unknown scale of its own: call lift3d(depth=maps)"
        )
    source = maps if isinstance(maps, DepthMaps) else DepthMaps(maps)
    if source.ray_length:
        raise DepthError("stabilise_depth takes depth, not ray length")
    frames = source._frames(ds)
    width, height = (float(v) for v in ds.attrs["frame_size"])

    def lazy(name: str, *dims: str) -> da.Array:
        data = ds[name].transpose("time", "track", *dims).data
        if not isinstance(data, da.Array):
            data = da.from_array(data, chunks=(1, -1, *(-1 for _ in dims)), name=False)
        return data.rechunk({0: 1, 1: -1})

    steady = da.blockwise(
        _correct_blocks,
        "tyx",
        frames,
        "tyx",
        lazy("xy", "coord"),
        "tnc",
        lazy("depth"),
        "tn",
        lazy("visible"),
        "tn",
        scale=source.scale,
        frame_size=(width, height),
        cell=cell,
        layer=layer,
        concatenate=True,
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    return xr.DataArray(
        steady,
        dims=("time", "y", "x"),
        coords={"time": ds["time"].values},
        name="depth",
        attrs={
            "units": ds["depth"].attrs.get("units", ""),
            "long_name": "depth along the optical axis, steadied by tracks",
            "depth_source": source.name,
        },
    )


def _correct_blocks(
    maps: np.ndarray,
    xy: np.ndarray,
    depth: np.ndarray,
    visible: np.ndarray,
    *,
    scale: float,
    **settings: Any,
) -> np.ndarray:
    out = np.empty(maps.shape, np.float32)
    for t in range(len(maps)):
        out[t] = correct_map(maps[t] * scale, xy[t], depth[t], visible[t], **settings)
    return out


def correct_map(
    depth_map: np.ndarray,
    xy: np.ndarray,
    depth: np.ndarray,
    visible: np.ndarray,
    *,
    frame_size: tuple[float, float],
    cell: float = CELL,
    layer: float = LAYER,
) -> np.ndarray:
    """Correct one map; see `stabilise_depth`.

    Parameters
    ----------
    depth_map : array (y, x)
        NaN, infinite or <= 0: holes.
    xy : float array (track, 2)
        Pixels of the frame.
    depth, visible : arrays (track,)
        Depth of the tracks in this frame, and whether they are seen.
    frame_size
        Width and height of the frame, pixels.
    cell, layer
        As for `stabilise_depth`.

    Returns
    -------
    float32 array (y, x)
        As it was where no track has depth on the map.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    from seurat_tracks.depth.maps import sample_map

    rows, columns = depth_map.shape
    with np.errstate(invalid="ignore"):
        good = np.isfinite(depth_map) & (depth_map > 0)
        measured = sample_map(
            depth_map, np.where(visible[:, None], xy, np.nan), frame_size
        )
        use = visible & np.isfinite(measured) & (measured > 0)
        use &= np.isfinite(depth) & (depth > 0)
    out = np.where(good, depth_map, np.nan).astype(np.float32)
    if not use.any():
        return out
    level = np.log(measured[use].astype(np.float64))
    wanted = np.log(depth[use].astype(np.float64)) - level
    middle = float(np.median(wanted))
    spread = max(1.4826 * float(np.median(np.abs(wanted - middle))), 0.01)
    # a track whose own depth is another surface's must not bend its neighbourhood
    weight = 1 / (1 + ((wanted - middle) / (3 * spread)) ** 2)
    log_map = np.log(np.where(good, depth_map, 1.0))
    low = float(log_map[good].min())
    side = cell * columns
    x = (xy[use, 0] + 0.5) * (columns / frame_size[0]) - 0.5
    y = (xy[use, 1] + 0.5) * (rows / frame_size[1]) - 0.5
    pad = 2.0
    at = np.stack([y / side + pad, x / side + pad, (level - low) / layer + pad])
    high = (float(log_map[good].max()) - low) / layer
    shape = (int(rows / side + 2 * pad) + 2, int(columns / side + 2 * pad) + 2)
    shape3 = (*shape, int(high + 2 * pad) + 2)
    grid = np.zeros((2, *shape3))
    base = np.clip(np.floor(at).astype(int), 0, np.array(shape3)[:, None] - 2)
    part = np.clip(at - base, 0, 1)
    for corner in np.ndindex(2, 2, 2):
        c = np.array(corner)[:, None]
        share = np.where(c == 1, part, 1 - part).prod(0) * weight
        np.add.at(grid[0], tuple(base + c), share * (wanted - middle))
        np.add.at(grid[1], tuple(base + c), share)
    # near tracks first, then far ones of the same depth, then all: each takes over
    # where the one before has less weight than a twentieth of a track
    smooth = np.zeros(shape3)
    for width in (4.0, 1.0):
        sigma = (width, width, 1.0)
        total, mass = (gaussian_filter(g, sigma, mode="constant") for g in grid)
        peak = (2 * np.pi) ** -1.5 / width**2  # of one track at its centre
        prior = _PRIOR * peak
        smooth = (total + prior * smooth) / (mass + prior)
    yy, xx = np.nonzero(good)
    where = np.stack(
        [yy / side + pad, xx / side + pad, (log_map[good] - low) / layer + pad]
    )
    change = map_coordinates(smooth, where, order=1, mode="nearest")
    out[good] = (depth_map[good] * np.exp(middle + change)).astype(np.float32)
    return out
