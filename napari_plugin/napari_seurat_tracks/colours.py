"""What tracks can be coloured by, and the colours.

Every quantity is an array (track, time) with a label that says its unit. NaN, a value
that nobody knows, is grey and never a colour of the scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_seurat_tracks.spans import span_numbers
from seurat_tracks.scale import log_depth_sigma

if TYPE_CHECKING:
    import xarray as xr

UNKNOWN = np.array([0.55, 0.55, 0.55, 1.0], np.float32)
"""Colour of a value that is not known."""

_STEPS = 256


@dataclass(frozen=True)
class Quantity:
    """Something to colour by.

    Attributes
    ----------
    label
        In words.
    needs
        Variables of which it needs all.
    values
        Dataset (computed) -> float array (track, time); NaN = unknown.
    unit
        Dataset -> unit in words.
    colormap
        Name of matplotlib's.
    centre
        Value at the middle of the colour map, for quantities with two directions.
    limits
        Fixed ends of the colour map; None: percentiles of what is seen.
    """

    label: str
    needs: tuple[str, ...]
    values: Callable[[xr.Dataset], np.ndarray]
    unit: Callable[[xr.Dataset], str]
    colormap: str = "viridis"
    centre: float | None = None
    limits: tuple[float, float] | None = None


def _array(ds: xr.Dataset, name: str) -> np.ndarray:
    return np.asarray(ds[name].transpose("track", "time").values)


def length_unit(ds: xr.Dataset) -> str:
    """Return the unit of depth and xyz: "m", or "relative" where nothing fixed it."""
    name = "depth" if "depth" in ds else "xyz"
    own = ds[name].attrs.get("units") if name in ds else None
    return "m" if str(own or ds.attrs.get("units") or "") == "m" else "relative"


def depth_speed(ds: xr.Dataset) -> np.ndarray:
    """Return how fast depth grows, per second or, without a rate, per frame.

    Parameters
    ----------
    ds
        Tracks with `depth`, computed.

    Returns
    -------
    float32 array (track, time)
        The change from the frame before; NaN where the point was not seen in both, so
        that no speed is made up across a gap.
    """
    depth, time = _array(ds, "depth"), ds["time"].values
    spans = span_numbers(_array(ds, "visible") & np.isfinite(depth), time)
    out = np.full(depth.shape, np.nan, np.float32)
    step = np.diff(_clock(ds))
    same = (spans[:, 1:] == spans[:, :-1]) & (spans[:, 1:] >= 0)
    out[:, 1:] = np.where(same, np.diff(depth, axis=1) / step, np.nan)
    return out


def _clock(ds: xr.Dataset) -> np.ndarray:
    if "seconds" in ds.coords:
        return np.asarray(ds["seconds"].values, np.float64)
    rate = float(ds.attrs.get("fps") or 1.0)
    return np.asarray(ds["time"].values / rate, np.float64)


def _speed_unit(ds: xr.Dataset) -> str:
    timed = "seconds" in ds.coords or ds.attrs.get("fps")
    return f"{length_unit(ds)} a {'second' if timed else 'frame'}"


def relative_sigma(ds: xr.Dataset) -> np.ndarray:
    """Return the standard error of log depth, of the ratio and of the scale together.

    Parameters
    ----------
    ds
        Tracks with `depth_ratio_sigma`, computed.

    Returns
    -------
    float32 array (track, time)
        In natural-log units, so 0.1 is about 10 %; NaN where unknown.
    """
    return log_depth_sigma(ds).astype(np.float32, copy=False)


def _track_number(ds: xr.Dataset) -> np.ndarray:
    shape = (ds.sizes["track"], ds.sizes["time"])
    # neighbours in order get colours far apart
    hue = (np.arange(shape[0]) * 0.618034) % 1.0
    return np.broadcast_to(hue[:, None], shape)


QUANTITIES: dict[str, Quantity] = {
    "depth": Quantity(
        "depth", ("depth",), lambda d: _array(d, "depth"), length_unit, "viridis_r"
    ),
    "ratio": Quantity(
        "depth ratio, log",
        ("log_depth_ratio",),
        lambda d: _array(d, "log_depth_ratio"),
        lambda d: "0 = as in the reference frame",
        "coolwarm_r",
        centre=0.0,
    ),
    "depth speed": Quantity(
        "depth speed",
        ("depth", "visible"),
        depth_speed,
        _speed_unit,
        "coolwarm_r",
        centre=0.0,
    ),
    "uncertainty": Quantity(
        "standard error of log depth",
        ("depth_ratio_sigma",),
        relative_sigma,
        lambda d: "0.1 = 10 %",
        "YlOrRd",
    ),
    "confidence": Quantity(
        "confidence",
        ("confidence",),
        lambda d: _array(d, "confidence"),
        lambda d: "0 to 1",
        "viridis",
        limits=(0.0, 1.0),
    ),
    "visibility": Quantity(
        "visibility",
        ("visible",),
        lambda d: _array(d, "visible").astype(np.float32),
        lambda d: "1 = seen",
        "cividis",
        limits=(0.0, 1.0),
    ),
    "track": Quantity("track", ("xy",), _track_number, lambda d: "", "hsv"),
}
"""Quantities by the name that the view offers."""


def choices(ds: xr.Dataset) -> list[str]:
    """List the quantities that a Dataset has."""
    return [n for n, q in QUANTITIES.items() if all(v in ds for v in q.needs)]


def limits_of(quantity: Quantity, values: np.ndarray, seen: np.ndarray) -> tuple:
    """Say which values the ends of the colour map stand for.

    Parameters
    ----------
    quantity
        Which.
    values : float array (track, time)
    seen : bool array (track, time)
        Observations that count.

    Returns
    -------
    tuple of two floats
        Never equal.
    """
    if quantity.limits is not None:
        return quantity.limits
    known = values[seen & np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, [1.0, 99.0]))
    if quantity.centre is not None:
        reach = max(abs(low - quantity.centre), abs(high - quantity.centre), 1e-3)
        return quantity.centre - reach, quantity.centre + reach
    if high - low < 1e-6 * max(abs(high), 1.0):
        pad = 0.05 * max(abs(high), 1e-3)
        return low - pad, high + pad
    return low, high


class Palette:
    """Colours of one quantity, quick to look up."""

    def __init__(self, colormap: str, low: float, high: float) -> None:
        import matplotlib as mpl

        table = mpl.colormaps[colormap](np.linspace(0, 1, _STEPS)).astype(np.float32)
        self._table = np.vstack([table, UNKNOWN])
        self.low, self.high = low, high

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Map values of any shape to RGBA, float32 (..., 4)."""
        part = (values - self.low) / (self.high - self.low) * (_STEPS - 1)
        known = np.isfinite(part)
        index = np.where(known, part, _STEPS)
        index = np.where(known, np.clip(index, 0, _STEPS - 1), index)
        return self._table[index.astype(np.intp)]

    @property
    def table(self) -> np.ndarray:
        """RGBA of the scale from low to high, float32 (256, 4)."""
        return self._table[:-1]
