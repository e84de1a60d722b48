"""What tracks can be coloured by: names, limits, and values on demand."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr

CATEGORIES = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2")
"""Okabe and Ito's colours without black and yellow, which themes swallow."""

MAPS = ("viridis", "viridis_r", "cividis")
"""Colour maps in use; all read the same to colour-blind readers."""

_HIDDEN_FROM_THE_LIST = {"scale", "coord", "axis", "time", "seconds"}
_PER_TRACK_NAMES = {"query_frame": "query frame", "reference_frame": "reference frame"}


@dataclass(frozen=True)
class Colour:
    """How one variable becomes colours.

    Attributes
    ----------
    name, label
        Its name in the list, and with its unit.
    kind
        "scale", or "category" for flags, strings and ids.
    limits
        Values at the ends of the colour map.
    log
        Whether the colours run with the logarithm.
    map
        One of `MAPS`.
    categories
        What the numbers of a category stand for; empty for ids.
    """

    name: str
    label: str
    kind: str = "scale"
    limits: tuple[float, float] = (0.0, 1.0)
    log: bool = False
    map: str = "cividis"
    categories: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the fields as JSON takes them."""
        return asdict(self) | {"limits": list(self.limits)}


def colour_names(ds: xr.Dataset) -> list[str]:
    """List what a Dataset can be coloured by; computes nothing.

    Parameters
    ----------
    ds
        Tracks.

    Returns
    -------
    list of str
        Best first: the first one is the default.
    """
    names = []
    for name, variable in (("depth", "depth"), ("ratio", "log_depth_ratio")):
        if variable in ds:
            names.append(name)
    names.append("speed")
    if "xyz" in ds:
        names.append("image speed")
    for name, variable in (("sigma", "depth_ratio_sigma"), ("confidence",) * 2):
        if variable in ds:
            names.append(name)
    names += ["visibility", "track"]
    known = {"log_depth_ratio", "depth_ratio_sigma", "visible", *names}
    for raw, array in ds.variables.items():
        name = str(raw)
        fits = array.dims in {("track",), ("track", "time"), ("time", "track")}
        plain = array.dtype.kind in "fiubUTO"
        if fits and plain and name not in known | _HIDDEN_FROM_THE_LIST:
            names.append(name)
    return names


def colour_values(
    ds: xr.Dataset, name: str, seen: np.ndarray
) -> tuple[Colour, np.ndarray]:
    """Compute one variable, and how it is coloured.

    Parameters
    ----------
    ds
        The tracks that are shown, all of their frames.
    name
        One of `colour_names`.
    seen : bool array (track, time)
        Limits are those of what is seen.

    Returns
    -------
    Colour
    float32 array (track, time) or (track,)
        NaN where there is no value; numbers of categories for strings and flags.

    Raises
    ------
    SeuratTracksError
        If the Dataset has no such variable.
    """
    if name not in colour_names(ds):
        raise SeuratTracksError(
            f"no colour {name!r}; there are {', '.join(colour_names(ds))}"
        )
    unit = "m" if ds.attrs.get("units") == "m" else "relative"
    if name == "depth":
        values = _numbers(ds["depth"])
        centre = None if unit == "m" else 1.0
        spec = _scale(name, f"depth ({unit})", values, seen, "viridis_r", centre)
        return spec, values
    if name == "ratio":
        values = np.exp(_numbers(ds["log_depth_ratio"]))
        label = "depth ratio (1 at the reference frame)"
        return _scale(name, label, values, seen, "viridis_r", centre=1.0), values
    if name in ("speed", "image speed"):
        flat = name == "image speed" or "xyz" not in ds
        values, per = speed(ds, flat=flat)
        label = f"{'speed in the image' if flat else 'speed'} ({per})"
        return _scale(name, label, values, seen, "viridis"), values
    if name == "sigma":
        values = _numbers(ds["depth_ratio_sigma"])
        return _scale(name, "sigma of log depth ratio", values, seen, "cividis"), values
    if name == "visibility":
        return (
            Colour(name, "visibility", "category", categories=["hidden", "visible"]),
            _numbers(ds["visible"]),
        )
    if name == "track":
        order = np.arange(ds.sizes["track"], dtype=np.float32)
        return Colour(name, "track", "category"), order
    array = ds[name]
    label = str(array.attrs.get("long_name") or _PER_TRACK_NAMES.get(name, name))
    units = str(array.attrs.get("units", ""))
    if units not in ("", "1"):
        label += f" ({units})"
    if array.dtype.kind in "UTO":
        text = np.asarray(_canonical(array).values).astype(str)
        kinds, numbers = np.unique(text, return_inverse=True)
        spec = Colour(name, label, "category", categories=[str(k) for k in kinds[:50]])
        return spec, numbers.reshape(text.shape).astype(np.float32)
    values = _numbers(array)
    if array.dtype.kind == "b":
        return Colour(name, label, "category", categories=["no", "yes"]), values
    if name == "confidence":
        return Colour(name, label, limits=(0.0, 1.0)), values
    return _scale(name, label, values, seen, "cividis"), values


def speed(ds: xr.Dataset, *, flat: bool) -> tuple[np.ndarray, str]:
    """How fast points move, from neighbouring frames in which they are seen.

    Parameters
    ----------
    ds
        Tracks with ``xy``, or ``xyz``.
    flat
        In the image, or in space.

    Returns
    -------
    float32 array (track, time)
        Per second where the times are known; NaN where a point is not seen here and
        in a neighbouring frame.
    str
        Its unit.
    """
    place = ds["xy" if flat else "xyz"].transpose("track", "time", ...).values
    seen = ds["visible"].transpose("track", "time").values[..., None]
    place = np.where(seen & np.isfinite(place), place, np.nan).astype(np.float64)
    known = "seconds" in ds.coords
    when = np.asarray(ds["seconds"].values if known else ds["time"].values, float)
    out = np.full(place.shape[:2], np.nan, np.float32)
    if len(when) > 1:
        step = np.linalg.norm(np.diff(place, axis=1), axis=-1) / np.diff(when)
        both = np.full((2, *out.shape), np.nan)
        both[0, :, 1:] = step
        both[1, :, :-1] = step
        count = np.isfinite(both).sum(0)
        total = np.where(np.isfinite(both), both, 0).sum(0)
        out[count > 0] = (total[count > 0] / count[count > 0]).astype(np.float32)
    metres = "m" if ds.attrs.get("units") == "m" else "relative units"
    return out, f"{'px' if flat else metres} per {'second' if known else 'frame'}"


def map_table(name: str) -> str:
    """Give a colour map as base64 of 256 rows of red, green, blue."""
    import matplotlib as mpl

    table = mpl.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return base64.b64encode((255 * table).round().astype(np.uint8).tobytes()).decode()


def _canonical(array: xr.DataArray) -> xr.DataArray:
    return array.transpose(*(d for d in ("track", "time") if d in array.dims))


def _numbers(array: xr.DataArray) -> np.ndarray:
    return np.asarray(_canonical(array).values).astype(np.float32)


def _scale(
    name: str,
    label: str,
    values: np.ndarray,
    seen: np.ndarray,
    cmap: str,
    centre: float | None = None,
) -> Colour:
    shown = values[seen] if values.shape == seen.shape else values
    shown = shown[np.isfinite(shown)]
    if shown.size == 0:
        return Colour(name, label, map=cmap)
    low, high = (float(v) for v in np.percentile(shown, [0.5, 99.5]))
    if name in ("depth", "ratio"):
        # The colours of a scene that stands still must not make a show of its noise.
        middle = centre if centre is not None else 0.5 * (low + high)
        low, high = min(low, 0.95 * middle), max(high, 1.05 * middle)
    elif high <= low:
        low, high = low - 0.5, high + 0.5
    log = name in ("depth", "ratio", "sigma") and 0 < 2 * low < high
    return Colour(name, label, limits=(low, high), log=log, map=cmap)
