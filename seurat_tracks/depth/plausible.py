"""Whether numbers can be the depth they are said to be: units, holes, direction.

Nothing is ever converted on a guess: what looks wrong is refused, and the text names
the option that says what the numbers are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import AFFINE, Kind
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

FAR = 1000.0
"""Median metres beyond which depth is taken for millimetres."""

NEAR = 0.002
"""Median metres below which depth is taken for something else."""

MOST_VALUES = 100_000
"""Values of one map that are looked at."""

OPPOSITE = -0.5
"""Correlation and slope of depth against ratio below which depth is upside down."""

LEAST_TRACKS = 10
"""Tracks whose ratio must change before a direction is judged."""

LEAST_CHANGE = 0.03
"""Standard deviation of a track's log ratio that counts as change."""

OVERRIDE = "or pass check=False if the numbers are right"


def map_fault(values: np.ndarray, kind: Kind, stated: bool) -> str | None:
    """Say why one depth map cannot be what it is said to be.

    Parameters
    ----------
    values : array
        Of one map, as read, before any scale.
    kind
        What the values are said to be.
    stated
        True if the caller stated a scale, which is then believed.

    Returns
    -------
    str or None
        None where nothing speaks against it, and where the map is all holes.
    """
    values = np.asarray(values)
    if kind != "metric" or stated:
        return None
    if np.issubdtype(values.dtype, np.integer) or values.dtype == bool:
        usual = "; 0.001 for the usual millimetres" if values.dtype == np.uint16 else ""
        return (
            f"the maps are whole numbers ({values.dtype}), which say nothing of their "
            f"unit: state scale=, metres per unit{usual}"
        )
    flat = values.ravel()
    flat = flat[:: max(1, len(flat) // MOST_VALUES)]
    good = flat[np.isfinite(flat) & (flat > 0)]
    if not len(good):
        return None
    if flat[np.isfinite(flat)].min() == 0 and good.max() == 1 and len(good) > 100:
        return (
            "the values run from exactly 0 to exactly 1, as normalised relative maps "
            'do: say kind="affine" or, if larger is nearer, kind="affine_disparity", '
            f"{OVERRIDE}"
        )
    return unit_fault(float(np.median(good)))


def unit_fault(median: float, cure: str = "say scale=0.001") -> str | None:
    """Say why a median depth in metres is not plausible; None if it is."""
    if median > FAR:
        return (
            f"the median depth is {median:.4g} m, which looks like millimetres: "
            f"{cure}, {OVERRIDE}"
        )
    if median < NEAR:
        return (
            f"the median depth is {median:.4g} m, which looks like another unit, or "
            "inverse depth: say scale= (metres per unit), disparity=True with "
            f"scale=, {OVERRIDE}"
        )
    return None


def reviewed(
    depth: da.Array, ds: xr.Dataset, where: str, *, kind: Kind, units: bool
) -> da.Array:
    """Refuse sampled depth that cannot be right, when it is computed.

    Parameters
    ----------
    depth : dask array (track, time)
        Depth at the tracks, chunks of whole tracks.
    ds
        The tracks; ``log_depth_ratio``, where it has one, tells the direction.
    where
        Begins the text of an error.
    kind
        What the numbers are.
    units
        True to judge units and direction; holes everywhere are always refused.

    Returns
    -------
    dask array (track, time)
        The same values. Computing any part of it raises `DepthError` if no visible
        observation has depth; or, for metric depth, if the median is no distance of
        a scene, or if it falls where the ratio rises.
    """
    import dask.array as da
    from dask.delayed import delayed

    visible = _lazy(ds["visible"].transpose("track", "time").data, depth.chunks)
    judged = units and kind not in AFFINE
    ratio = None
    if judged and "log_depth_ratio" in ds:
        ratio = _lazy(
            ds["log_depth_ratio"].transpose("track", "time").data, depth.chunks
        )
    blocks = [depth, visible] + ([] if ratio is None else [ratio])
    columns = [a.to_delayed().ravel() for a in blocks]
    parts = [
        delayed(_statistics, pure=False)(*block) for block in zip(*columns, strict=True)
    ]
    verdict = delayed(_judge, pure=False)(parts, where, judged and kind == "metric")
    passed = da.from_delayed(verdict, shape=(1, 1), dtype=np.uint8)
    # nothing of the depth is given before the verdict is there
    return da.map_blocks(
        _pass, depth, passed, dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )


def _pass(block: np.ndarray, passed: np.ndarray) -> np.ndarray:
    return block


def _lazy(values: Any, chunks: tuple[tuple[int, ...], ...]) -> da.Array:
    import dask.array as da

    if isinstance(values, da.Array):
        return values.rechunk(chunks)
    return da.from_array(values, chunks=chunks, name=False)


def _statistics(
    depth: np.ndarray, visible: np.ndarray, ratio: np.ndarray | None = None
) -> dict[str, Any]:
    """Gather what `_judge` needs of a block of whole tracks; small."""
    good = visible & np.isfinite(depth)
    values = depth[good]
    out: dict[str, Any] = {
        "seen": int(visible.sum()),
        "found": int(good.sum()),
        "sample": values[:: max(1, len(values) // 1000)],
        "tracks": 0,
        "sums": np.zeros(3),
    }
    if ratio is None or not len(values):
        return out
    both = good & np.isfinite(ratio) & (depth > 0)
    both[both.sum(1) < 3] = False
    r, m = _centred(ratio, both), _centred(np.log(np.where(both, depth, 1)), both)
    count = np.maximum(both.sum(1), 1)
    varied = (r * r).sum(1) / count > LEAST_CHANGE**2
    r, m = r[varied], m[varied]
    out["tracks"] = int(varied.sum())
    out["sums"] = np.array([(r * r).sum(), (m * m).sum(), (r * m).sum()])
    return out


def _centred(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Each row less its mean over ``where``; 0 elsewhere."""
    kept = np.where(where, values, 0).astype(np.float64)
    mean = kept.sum(1) / np.maximum(where.sum(1), 1)
    return np.where(where, kept - mean[:, None], 0)


def _judge(parts: list[dict[str, Any]], where: str, metric: bool) -> np.ndarray:
    seen = sum(p["seen"] for p in parts)
    if seen and not sum(p["found"] for p in parts):
        raise DepthError(
            f"{where}: no depth under any of {seen} visible observations: the maps "
            "are holes (NaN, infinite, 0 or less) wherever the tracks are, or they "
            "belong to another video"
        )
    passed = np.ones((1, 1), np.uint8)
    if not metric or not seen:
        return passed
    median = float(np.median(np.concatenate([p["sample"] for p in parts])))
    fault = unit_fault(median)
    rr, mm, rm = sum(p["sums"] for p in parts)
    tracks = sum(p["tracks"] for p in parts)
    if fault is None and tracks >= LEAST_TRACKS and rr > 0 and mm > 0:
        slope, correlation = rm / rr, rm / np.sqrt(rr * mm)
        if min(-slope, -correlation) > -OPPOSITE:
            fault = (
                f"depth falls where the tracks' motion says that it rises "
                f"(correlation {correlation:.2f} over {tracks} tracks), which looks "
                "like inverse depth: say disparity=True with scale= (depth = scale / "
                f'value), or kind="affine_disparity", {OVERRIDE}'
            )
    if fault is not None:
        raise DepthError(f"{where}: {fault}")
    return passed
