"""Check the values of a Dataset against the contract, in one pass over lazy data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks._contract import VARIABLES

FAR_OUTSIDE = 0.1
"""How far outside the frame a visible point may lie, over the frame's longer side.

Trackers overshoot the border by a few pixels; a tenth of the frame is beyond that,
and catches a width and height given in the wrong order.
"""

_Finding = Callable[[np.ndarray, str], str]


class _Pass:
    """Conditions that must hold nowhere, counted together in one computation.

    Parameters
    ----------
    ds
        Dataset whose labels are used to say where a condition holds.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds
        self._counts: dict[str, xr.DataArray] = {}
        self._texts: dict[str, _Finding] = {}

    def refuse(self, key: str, condition: xr.DataArray, text: _Finding) -> None:
        """Register a condition over (first dim, ...) and the fault it makes.

        `text` gets the number of hits per label of the condition's first dimension,
        and a phrase that says where the first one is; empty text makes no fault.
        """
        others = list(condition.dims[1:])
        self._counts[f"{key}/count"] = condition.sum(others, dtype=np.int64)
        if "time" in others:
            anywhere = condition.any([d for d in others if d != "time"])
            self._counts[f"{key}/first"] = anywhere.argmax("time")
        self._texts[key] = text

    def faults(self) -> Iterator[str]:
        """Compute every count at once and yield the faults."""
        bare = {name: array.variable for name, array in self._counts.items()}
        computed = xr.Dataset(bare).compute()
        for key, text in self._texts.items():
            counts = computed[f"{key}/count"]
            hits = np.atleast_1d(counts.values)
            if not hits.any():
                continue
            first = int(np.argmax(hits > 0))
            dims = [str(dim) for dim in counts.dims]
            where = f"{dims[0]} {self._label(dims[0], first)}" if dims else ""
            if f"{key}/first" in computed:
                frame = int(computed[f"{key}/first"].values[first])
                where += f", time {self._label('time', frame)}"
            fault = text(hits, where)
            if fault:
                yield fault

    def _label(self, dim: str, position: int) -> str:
        if dim not in self._ds.indexes:
            return f"at position {position}"
        label = self._ds.indexes[dim][position]
        return repr(label.item() if isinstance(label, np.generic) else label)


def value_faults(ds: xr.Dataset, require: Sequence[str]) -> list[str]:
    """Return the faults in the values of a Dataset, one sentence each.

    Parameters
    ----------
    ds
        Dataset whose dimensions bear the contract's names. Variables of a wrong
        shape or dtype are passed over: the structural checks name those.
    require
        Derived variables named here are checked too.

    Returns
    -------
    list of str
        Unsorted. Lazy variables are computed in one pass.
    """
    found = _Pass(ds)
    faults: list[str] = []
    xy = _usable(ds, "xy", "f")
    visible = _usable(ds, "visible", "b")
    if xy is not None:
        _check_positions(found, "xy", "visible", xy, visible)
        if visible is not None:
            _check_frame(found, xy, visible, ds.attrs.get("frame_size"))
            _check_unit(found, xy, visible)
    support = _usable(ds, "support_xy", "f")
    if support is not None:
        seen = _usable(ds, "support_visible", "b")
        _check_positions(found, "support_xy", "support_visible", support, seen)
    confidence = _usable(ds, "confidence", "f")
    if confidence is not None:
        found.refuse(
            "confidence",
            (confidence < 0) | (confidence > 1),
            lambda n, where: (
                f"confidence: {n.sum()} values lie outside 0..1 (first: {where}). "
                'Cure: ds["confidence"].clip(0, 1), or divide by the largest value'
            ),
        )
    for name in sorted(set(require)):
        derived = _usable(ds, name, "f") if VARIABLES[name].derived else None
        if derived is not None:
            _check_derived(found, name, derived)
    _check_coordinates(found, ds)
    if visible is not None and visible.size:
        found.refuse("visible", ~visible.any(list(visible.dims)), _all_hidden)
    faults += found.faults()
    return faults


def _usable(ds: xr.Dataset, name: str, kind: str) -> xr.DataArray | None:
    """Return a variable in canonical order, or None when its structure is wrong."""
    dims = VARIABLES[name].dims
    if name not in ds.variables or set(ds[name].dims) != set(dims):
        return None
    array = ds[name].transpose(*dims)
    if array.dtype.kind != kind or 0 in array.shape:
        return None
    if "coord" in dims and array.sizes["coord"] != 2:
        return None
    return array


def _all_hidden(_: np.ndarray, __: str) -> str:
    return (
        "visible: no track is visible in any frame. Cure: mark the observed positions "
        'visible, as with ds["visible"] = np.isfinite(ds["xy"]).all("coord")'
    )


def _check_positions(
    found: _Pass,
    name: str,
    flag: str,
    xy: xr.DataArray,
    visible: xr.DataArray | None,
) -> None:
    missing = xy.isnull()
    found.refuse(
        f"{name}/infinite",
        abs(xy) == np.inf,
        lambda n, where: (
            f"{name}: {n.sum()} values are infinite, in {_some(n, xy)} (first: "
            f'{where}). Cure: ds["{name}"] = ds["{name}"].where(np.isfinite(ds["{name}'
            f'"])), which marks them as not observed, with {flag} False there'
        ),
    )
    found.refuse(
        f"{name}/half",
        missing.any("coord") & ~missing.all("coord"),
        lambda n, where: (
            f"{name}: {n.sum()} positions have only one of x and y, in "
            f"{_some(n, xy)} (first: {where}). Cure: give both, or NaN for both where "
            "there is no observation"
        ),
    )
    if visible is not None:
        found.refuse(
            f"{name}/hidden",
            visible & missing.any("coord"),
            lambda n, where: (
                f"{name}: {n.sum()} positions are NaN although {flag} is True, in "
                f'{_some(n, xy)} (first: {where}). Cure: ds["{flag}"] = ds["{flag}"] & '
                f'np.isfinite(ds["{name}"]).all("coord")'
            ),
        )


def _check_frame(
    found: _Pass, xy: xr.DataArray, visible: xr.DataArray, frame_size: Any
) -> None:
    if not (isinstance(frame_size, list | tuple) and len(frame_size) == 2):
        return
    if not all(type(side) is int and side > 0 for side in frame_size):
        return
    width, height = frame_size

    def outside(w: float, h: float) -> xr.DataArray:
        margin = FAR_OUTSIDE * max(w, h)
        x, y = xy.isel(coord=0), xy.isel(coord=1)
        far = (x < -0.5 - margin) | (x > w - 0.5 + margin)
        far |= (y < -0.5 - margin) | (y > h - 0.5 + margin)
        # Infinite positions are a fault of their own.
        return visible & far & np.isfinite(x) & np.isfinite(y)

    # The sides in the other order are tried first, so that the fault can name them.
    fits_swapped = [width != height]

    def note(_: np.ndarray, __: str) -> str:
        fits_swapped[0] = False
        return ""

    found.refuse("frame/swapped", outside(height, width), note)

    def text(n: np.ndarray, where: str) -> str:
        fault = (
            f"xy: {n.sum()} visible positions lie far outside the frame of "
            f"{width:g} x {height:g} pixels, in {_some(n, xy)} (first: {where}). Cure: "
        )
        if fits_swapped[0]:
            return fault + (
                "they fit when width and height change places: "
                f'ds.attrs["frame_size"] = [{height}, {width}]'
            )
        return fault + (
            "correct frame_size [width, height], or give xy in its pixels, or set "
            "visible to False there"
        )

    found.refuse("frame", outside(width, height), text)


def _check_unit(found: _Pass, xy: xr.DataArray, visible: xr.DataArray) -> None:
    """Refuse positions given as fractions of the frame: all lie in its first pixel."""
    only_fractions = [xy.sizes["track"] > 1]

    def note(_: np.ndarray, __: str) -> str:
        only_fractions[0] = False
        return ""

    beyond = ((xy < 0) | (xy > 1)).any("coord")
    found.refuse("unit/beyond", visible & beyond, note)
    found.refuse(
        "unit",
        visible & ((xy > 0) & (xy < 1)).any("coord"),
        lambda n, where: (
            f"xy: all positions lie between 0 and 1, as fractions of the frame do, in "
            f"{_some(n, xy)} (first: {where}). Cure: give pixels, "
            "xy * [width, height] - 0.5 where 0 and 1 are the frame's outer edges"
            if only_fractions[0]
            else ""
        ),
    )


def _check_derived(found: _Pass, name: str, array: xr.DataArray) -> None:
    found.refuse(
        f"{name}/infinite",
        abs(array) == np.inf,
        lambda n, where: (
            f"{name}: {n.sum()} values are infinite, in {_some(n, array)} (first: "
            f"{where}). Cure: compute it anew, or set NaN where there is no value"
        ),
    )
    negative = array <= 0 if VARIABLES[name].positive else array < 0
    if VARIABLES[name].positive or name == "depth_ratio_sigma":
        found.refuse(
            f"{name}/negative",
            negative,
            lambda n, where: (
                f"{name}: {n.sum()} values are not above zero, in {_some(n, array)} "
                f"(first: {where}). Cure: set NaN where there is no value"
            ),
        )


def _check_coordinates(found: _Pass, ds: xr.Dataset) -> None:
    if (
        "time" in ds.indexes
        and ds.sizes["time"]
        and np.issubdtype(ds["time"].dtype, np.integer)
    ):
        times = ds.indexes["time"].to_numpy()
        for name, dim in (
            ("query_frame", "track"),
            ("reference_frame", "track"),
        ):
            if name in ds.coords and ds[name].dims == (dim,):
                found.refuse(name, ~ds[name].isin(times), _not_in_time(name))
        cuts = ds.attrs.get("cuts", [])
        if isinstance(cuts, list | tuple) and cuts:
            stray = xr.DataArray(~np.isin(list(cuts), times), dims="cut")
            found.refuse("cuts", stray, _not_in_time("attrs['cuts']"))
    if "window_stride" in ds.coords and ds["window_stride"].dims == ("window",):
        found.refuse(
            "window_stride",
            ds["window_stride"] < 1,
            lambda n, where: (
                f"window_stride: {n.sum()} strides are below 1 (first: {where}). Cure: "
                "give the positions on the time axis between two steps"
            ),
        )
    seconds = ds.coords.get("seconds")
    if (
        seconds is not None
        and seconds.dims == ("time",)
        and seconds.dtype.kind == "f"
        and seconds.size
    ):
        steps = seconds.variable.isel(time=slice(1, None)) - seconds.variable.isel(
            time=slice(None, -1)
        )
        wrong = xr.Variable.concat(
            [~np.isfinite(seconds.variable.isel(time=slice(0, 1))), ~(steps > 0)],
            dim="time",
        )
        found.refuse(
            "seconds",
            xr.DataArray(wrong),
            lambda n, where: (
                f"seconds: {n.sum()} moments are not finite or do not increase (first: "
                f"{where}). Cure: give the frames' presentation times in seconds, or "
                'ds.drop_vars("seconds")'
            ),
        )


def _not_in_time(name: str) -> _Finding:
    return lambda n, where: (
        f"{name}: {n.sum()} frame numbers are not among the values of time (first: "
        f"{where}). Cure: give frame numbers as in ds.time, not positions or seconds"
        + _without(name)
    )


def _without(name: str) -> str:
    """Say how to go on where frames were left out on purpose."""
    if name.startswith("attrs"):
        return "; where frames were left out, keep the cuts that are still there"
    return f'; where frames were left out, ds.drop_vars("{name}")'


def _some(counts: np.ndarray, array: xr.DataArray) -> str:
    dim = str(array.dims[0])
    n = int((counts > 0).sum())
    return f"{n} of {len(counts)} {dim}{'s' if len(counts) > 1 else ''}"
