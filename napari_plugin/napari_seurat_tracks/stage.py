"""A Dataset as the arrays that are drawn, over the picture or in space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_seurat_tracks.colours import (
    QUANTITIES,
    Palette,
    choices,
    length_unit,
    limits_of,
    relative_sigma,
)
from napari_seurat_tracks.space import bounds, to_napari
from napari_seurat_tracks.spans import span_numbers, spread
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io._export import camera_to_world, in_world
from seurat_tracks.schema import validate

if TYPE_CHECKING:
    import xarray as xr

MAX_TRACKS = 20_000
"""Tracks drawn; of more, that many spread evenly, and the view says so."""

_DRAWN = (
    "xy",
    "visible",
    "xyz",
    "depth",
    "confidence",
    "log_depth_ratio",
    "depth_ratio_sigma",
    "scale_sigma",
)


class ViewError(SeuratTracksError):
    """Tracks cannot be shown as asked; the text says what is missing and the cure."""


@dataclass(frozen=True)
class Space:
    """Positions in one of the two views.

    Attributes
    ----------
    points : float32 array (track, time, D)
        napari's order: y, x in pixels, or z, y, x in the unit of depth.
    seen : bool array (track, time)
        Seen, at a known position.
    guessed : bool array (track, time)
        Hidden, at a position that the tracker guessed.
    spans : int array (track, time)
        Number of the span that a line may join; -1 where the point is not seen.
    n_spans : int
        How many there are.
    low, high : float array (D,)
        A box around what is seen.
    """

    points: np.ndarray
    seen: np.ndarray
    guessed: np.ndarray
    spans: np.ndarray
    n_spans: int
    low: np.ndarray
    high: np.ndarray


class Stage:
    """Everything that is drawn of a Dataset, in memory.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`, but ``frame_size`` may be missing.
        What is drawn of it is computed.
    max_tracks
        Of more tracks, that many spread evenly are drawn.

    Attributes
    ----------
    ds
        The drawn tracks, computed.
    rows : int array
        Their positions in the Dataset.
    n_tracks
        How many the Dataset has.
    ids, time
        Of the drawn tracks.
    picture
        The view over the picture.
    space
        The view in 3D; None where there are no 3D positions.
    frame_size, intrinsics
        None where the Dataset does not say.
    unit
        "m" or "relative".

    Raises
    ------
    SchemaError
        The Dataset breaks the contract.
    """

    def __init__(self, ds: xr.Dataset, max_tracks: int = MAX_TRACKS) -> None:
        self.n_tracks = ds.sizes.get("track", 0)
        sized = ds if "frame_size" in ds.attrs else ds.assign_attrs(frame_size=[1, 1])
        if self.n_tracks:  # an edit may leave none, and then there is nothing to draw
            validate(sized, values=False)
        self.rows = spread(self.n_tracks, max_tracks)
        names = [n for n in _DRAWN if n in ds]
        part = ds[names].isel(track=self.rows) if len(self.rows) < self.n_tracks else ds
        self.ds = part[names].transpose("track", "time", ...).compute()
        self.ids = self.ds["track"].values
        self.time = self.ds["time"].values.astype(np.int64)
        size = ds.attrs.get("frame_size")
        self.frame_size = None if size is None else (int(size[0]), int(size[1]))
        camera = ds.attrs.get("intrinsics")
        self.intrinsics = None if camera is None else tuple(float(v) for v in camera)
        self.unit = length_unit(ds)
        self.poses = camera_to_world(ds) if in_world(ds) else None
        self.picture = self._space(self.ds["xy"].values)
        self.space = self._space(self.ds["xyz"].values) if "xyz" in ds else None
        if self.space is not None and not self.space.seen.any():
            self.space = None
        self.choices = choices(self.ds)
        self._values: dict[str, np.ndarray] = {}
        self._palettes: dict[str, Palette] = {}

    def _space(self, positions: np.ndarray) -> Space:
        points = to_napari(positions.astype(np.float32))
        known = np.isfinite(points).all(-1)
        visible = self.ds["visible"].values
        seen = visible & known
        low, high = bounds(points, seen if seen.any() else known)
        spans = span_numbers(seen, self.time)
        n_spans = int(spans.max(initial=-1)) + 1
        return Space(points, seen, known & ~visible, spans, n_spans, low, high)

    @property
    def in_3d(self) -> Space:
        """The view in 3D.

        Raises
        ------
        ViewError
            There are no 3D positions.
        """
        if self.space is None:
            what = (
                "have no 3D positions yet"
                if "xyz" not in self.ds
                else ("have 3D positions, but none that is both known and seen")
            )
            raise ViewError(
                f"these tracks {what}: lift them first, with Plugins > Lift tracks to "
                "3D or ds.seurat.lift3d(). Over the picture they can be seen as they "
                "are"
            )
        return self.space

    def values(self, name: str) -> np.ndarray:
        """Return what to colour by, float (track, time)."""
        if name not in self._values:
            if name not in self.choices:
                raise ViewError(
                    f"these tracks cannot be coloured by {name!r}; there is "
                    f"{', '.join(self.choices)}"
                )
            self._values[name] = QUANTITIES[name].values(self.ds)
        return self._values[name]

    def palette(self, name: str) -> Palette:
        """Return the colours of a quantity, its ends from what is seen."""
        if name not in self._palettes:
            quantity, values = QUANTITIES[name], self.values(name)
            low, high = limits_of(quantity, values, self.picture.seen)
            self._palettes[name] = Palette(quantity.colormap, low, high)
        return self._palettes[name]

    def label(self, name: str) -> str:
        """Say what the colours mean, with the unit."""
        quantity = QUANTITIES[name]
        unit = quantity.unit(self.ds.assign_attrs(units=self.unit))
        return f"{quantity.label} ({unit})" if unit else quantity.label

    def position(self, frame: float) -> int | None:
        """Find the last frame at or before a frame number; None outside all frames."""
        at = int(np.searchsorted(self.time, frame + 0.5, side="right")) - 1
        if at < 0 or frame > self.time[-1] + 0.5:
            return None
        return at

    def pose(self, at: int) -> np.ndarray | None:
        """From the camera to the world in a frame; None where they are the same.

        Where a pose is unknown it is NaN throughout.
        """
        return None if self.poses is None else self.poses[at]

    def sigma(self, at: int) -> np.ndarray | None:
        """Return standard errors of log depth in a frame, (track,), if known."""
        if "depth_ratio_sigma" not in self.ds:
            return None
        if "sigma" not in self._values:
            self._values["sigma"] = relative_sigma(self.ds)
        return self._values["sigma"][:, at]

    @cached_property
    def plane_depths(self) -> tuple[float, float]:
        """Least and greatest depth at which the picture is offered."""
        if "depth" in self.ds:
            depth = self.ds["depth"].values
        else:
            depth = self.in_3d.points[..., 0]
        known = depth[self.in_3d.seen & np.isfinite(depth) & (depth > 0)]
        if known.size == 0:
            return 0.5, 2.0
        near, far = (float(v) for v in np.percentile(known, [1, 99]))
        return 0.5 * near, 1.15 * far
