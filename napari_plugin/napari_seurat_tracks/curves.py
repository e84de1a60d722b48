"""Curves of depth and ratio over time, as arrays to draw; no plotting here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.scale import log_depth_sigma

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Curve:
    """One track over time; arrays (time,), NaN where nothing is known.

    Attributes
    ----------
    track
        Its id.
    time
        Frame numbers.
    visible
        Whether it is seen.
    ratio, ratio_low, ratio_high
        Depth over depth at the reference frame, and its band of one standard error.
    depth, depth_low, depth_high
        In the Dataset's units; errors of ratio and scale taken as independent.
    """

    track: Any
    time: np.ndarray
    visible: np.ndarray
    ratio: np.ndarray
    ratio_low: np.ndarray
    ratio_high: np.ndarray
    depth: np.ndarray
    depth_low: np.ndarray
    depth_high: np.ndarray


def curves(ds: xr.Dataset, ids: Any) -> list[Curve]:
    """Read curves of tracks, in the Dataset's order; ids that it lacks are left out."""
    rows = np.flatnonzero(np.isin(ds["track"].values, np.asarray(ids)))
    names = ["log_depth_ratio", "depth_ratio_sigma", "depth", "visible"]
    there = [n for n in (*names, "scale_sigma") if n in ds]
    part = ds[there].isel(track=rows).transpose("track", "time", ...)
    part = part.compute(scheduler="synchronous")
    unknown = np.full((len(rows), ds.sizes["time"]), np.nan)
    value = {n: part[n].values if n in part else unknown for n in names}
    sigma = value["depth_ratio_sigma"].astype(float)
    with np.errstate(all="ignore"):
        ratio = np.exp(value["log_depth_ratio"].astype(float))
        error = log_depth_sigma(part) if "depth_ratio_sigma" in part else unknown
        band, wide = np.exp(sigma), np.exp(error.astype(float))
    time, depth = ds["time"].values, value["depth"].astype(float)
    return [
        Curve(
            ds["track"].values[row].item(),
            time,
            value["visible"][i].astype(bool),
            ratio[i],
            ratio[i] / band[i],
            ratio[i] * band[i],
            depth[i],
            depth[i] / wide[i],
            depth[i] * wide[i],
        )
        for i, row in enumerate(rows)
    ]


def window_starts(ds: xr.Dataset) -> np.ndarray:
    """Frame numbers at which windows of neighbouring frames begin, increasing.

    Those of the Dataset's support; without one, those that lifting would take.
    """
    if "window_start" in ds.coords:
        start = ds["window_start"].values
        return np.unique(start[ds["window_stride"].values == 1])
    from seurat_tracks.schema import cut_positions
    from seurat_tracks.windows import plan_windows

    time = ds["time"].values
    plan = plan_windows(len(time), cuts=cut_positions(ds))
    return np.asarray(time[np.unique(plan.start[plan.stride == 1])])


def hidden_spans(curve: Curve) -> list[tuple[int, int]]:
    """First and last frame number of every span in which the track is not seen."""
    edge = np.diff(np.r_[False, ~curve.visible, False].astype(int))
    first, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    time = curve.time
    return [(int(time[a]), int(time[b - 1])) for a, b in zip(first, end, strict=True)]
