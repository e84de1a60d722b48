"""What of a Dataset the explorer draws: which tracks, which frames, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.notebook.colours import (
    CATEGORIES,
    MAPS,
    colour_names,
    colour_values,
    map_table,
)

if TYPE_CHECKING:
    import xarray as xr

MAX_TRACKS = 2000
"""Tracks drawn at most, unless asked for more."""

MAX_POINTS = 1_500_000
"""Tracks times frames drawn at most: what a browser takes in well."""

_FEWEST = 50
_BASE = (
    "xy",
    "visible",
    "xyz",
    "depth",
    "log_depth_ratio",
    "depth_ratio_sigma",
    "scale_sigma",
)

NO_XYZ = {
    "tracks": "These tracks are 2D. Lift them:\nds.seurat.lift3d().seurat.explore()",
    "ratio": (
        "Depth ratios are there, positions are not. Anchor them:\n"
        "ds.seurat.anchor(depth=...).seurat.explore()"
    ),
}
"""What the 3D view says instead of points."""


@dataclass(frozen=True)
class Shown:
    """Part of a Dataset, in memory.

    Attributes
    ----------
    ds
        The part: `rows` of the tracks, all of their variables; what is drawn is
        computed, the rest stays as lazy as it was.
    rows, frames : int arrays
        Positions of its tracks and frames in the whole.
    seen : bool array (track, time)
        Visible, at a finite position.
    note
        What was left out, in words; empty if nothing was.
    """

    ds: xr.Dataset
    rows: np.ndarray
    frames: np.ndarray
    seen: np.ndarray
    note: str

    def buffers(self) -> dict[str, bytes]:
        """Give float32 little-endian arrays, empty where the Dataset lacks them.

        Returns
        -------
        dict of bytes
            ``xy`` (track, time, 2), ``xyz`` (track, time, 3), ``seen`` uint8 (track,
            time), ``depth`` (track, time): metres or relative, or the depth ratio
            before anchoring; ``sigma`` (track, time): its relative standard error.
        """
        depth, sigma = self._depth(), self._sigma()
        return {
            "xy": _bytes(self.ds["xy"].values),
            "xyz": _bytes(self.ds["xyz"].values) if "xyz" in self.ds else b"",
            "seen": self.seen.astype(np.uint8).tobytes(),
            "depth": b"" if depth is None else _bytes(depth),
            "sigma": b"" if sigma is None else _bytes(sigma),
        }

    def meta(self, **more: Any) -> dict[str, Any]:
        """Say what the buffers are, as JSON takes it."""
        ds = self.ds
        metric = ds.attrs.get("units") == "m"
        seconds = ds["seconds"].values.tolist() if "seconds" in ds.coords else None
        notes = [self.note] if self.note else []
        if not self.seen.any():
            notes.append("No point is seen in any frame: there is nothing to draw.")
        return {
            "shape": [ds.sizes["track"], ds.sizes["time"]],
            "times": [int(t) for t in ds["time"].values],
            "seconds": seconds,
            "ids": [str(i) for i in ds["track"].values],
            "frameSize": [int(v) for v in ds.attrs["frame_size"]],
            "fps": float(ds.attrs.get("fps", 25.0)),
            "unit": "m" if metric else "relative",
            "camera": not str(ds.attrs.get("frame_of_reference", "")).startswith(
                "world"
            ),
            "intrinsics": [float(v) for v in ds.attrs.get("intrinsics", [])],
            "no3d": "" if "xyz" in ds else NO_XYZ[_stage(ds)],
            "depthSpec": self._depth_spec(),
            "depthLabel": _depth_label(ds, metric),
            "colours": colour_names(ds),
            "maps": {name: map_table(name) for name in MAPS},
            "categories": list(CATEGORIES),
            "note": " ".join(notes),
            "hasVideo": False,
            "canPick": False,
        } | more

    def _depth_spec(self) -> dict[str, Any] | None:
        """Colours of depth, whose values are there already."""
        if "depth" not in self.ds:
            return None
        return colour_values(self.ds, "depth", self.seen)[0].as_json()

    def _depth(self) -> np.ndarray | None:
        if "depth" in self.ds:
            return self.ds["depth"].values
        if "log_depth_ratio" in self.ds:
            return np.exp(self.ds["log_depth_ratio"].values)
        return None

    def _sigma(self) -> np.ndarray | None:
        """Relative standard error of depth: that of the ratio, and of the scale."""
        if "depth_ratio_sigma" not in self.ds:
            return None
        sigma = self.ds["depth_ratio_sigma"].values
        if "scale_sigma" in self.ds and "depth" in self.ds:
            extra = np.nan_to_num(self.ds["scale_sigma"].values)
            sigma = np.hypot(sigma, extra)
        return sigma


def choose(
    ds: xr.Dataset, *, max_tracks: int = MAX_TRACKS, max_points: int = MAX_POINTS
) -> tuple[np.ndarray, np.ndarray, str]:
    """Choose which tracks and frames to draw; computes nothing.

    Parameters
    ----------
    ds
        Tracks.
    max_tracks, max_points
        Most tracks, and most tracks times frames.

    Returns
    -------
    rows, frames : int arrays
        Positions. Of tracks in memory every n-th is taken; of lazy ones whole chunks,
        so that no others are computed.
    note : str
        What was left out.
    """
    n, length = ds.sizes["track"], ds.sizes["time"]
    fewest = min(_FEWEST, max_tracks)
    step = max(1, -(-length * min(n, fewest) // max_points))
    frames = np.arange(0, length, step)
    most = max(1, min(max_tracks, max_points // max(1, len(frames))))
    rows, how = np.arange(n), ""
    edges = _lazy_edges(ds)
    if n > most and edges is not None:
        rows, count = _whole_chunks(edges, most)
        how = f", from {count} of {len(edges) - 1} lazy chunks"
    if len(rows) > most:
        rows = rows[:: -(-len(rows) // most)]
    note = ""
    if len(rows) < n:
        limit = "max_tracks" if most == max_tracks else "max_points"
        note = f"{len(rows):,} of {n:,} tracks are shown{how}; {limit}= shows more."
    if step > 1:
        note += f" Every {step}th frame is shown; ds.isel(time=...) shows all of fewer."
    return rows, frames, note.strip()


def load(
    ds: xr.Dataset,
    *,
    max_tracks: int = MAX_TRACKS,
    max_points: int = MAX_POINTS,
    rows: np.ndarray | None = None,
    frames: np.ndarray | None = None,
) -> Shown:
    """Compute what is drawn of a Dataset, in one pass.

    Parameters
    ----------
    ds
        Tracks that keep the contract.
    max_tracks, max_points
        As in `choose`.
    rows, frames
        Positions to draw instead.

    Returns
    -------
    Shown
    """
    if rows is None or frames is None:
        rows, frames, note = choose(ds, max_tracks=max_tracks, max_points=max_points)
    else:
        n = ds.sizes["track"]
        note = "" if len(rows) == n else f"{len(rows):,} of {n:,} tracks are shown."
    part = ds.drop_dims("window", errors="ignore")
    if len(rows) < ds.sizes["track"]:
        part = part.isel(track=rows)
    if len(frames) < ds.sizes["time"]:
        part = part.isel(time=frames)
    base = [name for name in _BASE if name in part]
    # together, or a lazy network would run once for each variable
    part = part.assign(part[base].transpose("track", "time", ...).compute().data_vars)
    seen = part["visible"].values & np.isfinite(part["xy"].values).all(-1)
    return Shown(part, rows, frames, seen, note)


def is_lazy(ds: xr.Dataset) -> bool:
    """Whether anything that is drawn still has to be computed or read."""
    return any(name in ds and ds[name].chunks is not None for name in _BASE)


def _lazy_edges(ds: xr.Dataset) -> np.ndarray | None:
    """Where chunks of tracks begin, of the lazy variable with the largest ones."""
    sizes = [
        ds[name].chunksizes["track"]
        for name in _BASE
        if name in ds and ds[name].chunks is not None
    ]
    if not sizes:
        return None
    return np.concatenate([[0], np.cumsum(min(sizes, key=len))])


def _whole_chunks(edges: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Rows of as many whole chunks as fit, at least one, spread evenly."""
    sizes = np.diff(edges)
    n = len(sizes)
    for count in range(n, 0, -1):
        picked = np.linspace(0, n - 1, count).round().astype(int)
        if sizes[picked].sum() <= most or count == 1:
            break
    return np.concatenate([np.arange(edges[k], edges[k + 1]) for k in picked]), count


def _stage(ds: xr.Dataset) -> str:
    return "ratio" if "log_depth_ratio" in ds else "tracks"


def _depth_label(ds: xr.Dataset, metric: bool) -> str:
    if "depth" in ds:
        return "depth (m)" if metric else "depth (relative)"
    return "depth ratio" if "log_depth_ratio" in ds else ""


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, dtype="<f4").tobytes()
