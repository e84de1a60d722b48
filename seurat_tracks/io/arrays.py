"""Tracks from plain arrays, in an order of axes that is named and never guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SchemaError
from seurat_tracks.schema import annotate, validate

_OTHER = {"track time": "time track", "time track": "track time"}


def from_arrays(
    xy: Any,
    visible: Any = None,
    *,
    frame_size: Sequence[int],
    fps: float | None = None,
    ids: Any = None,
    time: Any = None,
    seconds: Any = None,
    confidence: Any = None,
    query_frame: Any = None,
    axes: str = "track time",
) -> xr.Dataset:
    """Build a Dataset of tracks from arrays.

    Parameters
    ----------
    xy
        Image positions (track, time, 2), or (time, track, 2) with
        ``axes="time track"``; x then y, in pixels, pixel centres at integers. NaN in
        both where there is no observation; masked values of a NumPy masked array
        count as NaN. NumPy, dask (stays lazy) or anything NumPy can read.
    visible
        Whether each point was seen, bool (or 0 and 1), in the same order of axes and
        without the last one. None: seen wherever `xy` is finite.
    frame_size
        Width and height of the video in pixels.
    fps
        Frames per second, where known. Gives `seconds` = frame number / fps when
        `seconds` is not given.
    ids
        One id a track, unique, all integers or all strings; kept with their order.
        None: 0, 1, 2, ...
    time
        Frame numbers, integer, strictly increasing. None: 0, 1, 2, ...
    seconds
        When each frame was shown, in seconds, strictly increasing.
    confidence
        The tracker's trust in each position, 0..1, shaped as `visible`; NaN where it
        gives none.
    query_frame
        Frame number on which each point was chosen, among the values of `time`: one
        a track, or one for all.
    axes
        Order of the leading axes of `xy`, `visible` and `confidence`:
        ``"track time"`` or ``"time track"``.

    Returns
    -------
    xarray.Dataset
        Under the contract of `seurat_tracks.schema`: `xy` (track, time, coord)
        float32, `visible` (track, time) bool, and `confidence` if given. Arrays that
        already have that dtype are not copied.

    Raises
    ------
    SchemaError
        When the arrays do not fit together (every misfit is listed; a swap of track
        and time is named as such), or break the contract: infinite positions, NaN
        where `visible` is True, no tracks, nothing visible, and whatever else
        `seurat_tracks.schema.validate` refuses. Values of lazy arrays are not looked
        at here; `validate` does that when asked.

    Examples
    --------
    >>> import numpy as np
    >>> xy = np.zeros((5, 3, 2))
    >>> from_arrays(xy, frame_size=(640, 480), axes="time track").sizes
    Frozen({'track': 3, 'time': 5, 'coord': 2})
    """
    reader = _Reader(axes)
    position = reader.position(xy)
    if position is None:
        raise reader.error()
    visible_array = reader.flags("visible", visible)
    confidence_array = reader.per_point("confidence", confidence)
    size = reader.frame_size(frame_size)
    rate = reader.rate(fps)
    coords: dict[str, Any] = {
        "track": reader.ids(ids),
        "time": reader.integers("time", time, "time"),
        "coord": np.array(["x", "y"]),
    }
    if seconds is not None:
        coords["seconds"] = ("time", reader.numbers("seconds", seconds, "time"))
    if query_frame is not None:
        if np.ndim(query_frame) == 0:
            query_frame = np.full(reader.sizes["track"], query_frame)
        coords["query_frame"] = (
            "track",
            reader.integers("query_frame", query_frame, "track"),
        )
    if reader.faults:
        raise reader.error()

    if rate is not None and seconds is None:
        coords["seconds"] = ("time", coords["time"] / rate)
    if visible_array is None:
        visible_array = np.isfinite(position).all(axis=-1)
    variables = {
        "xy": (("track", "time", "coord"), position),
        "visible": (("track", "time"), visible_array),
    }
    if confidence_array is not None:
        variables["confidence"] = (("track", "time"), confidence_array)
    attrs: dict[str, Any] = {"frame_size": size}
    if rate is not None:
        attrs["fps"] = rate
    ds = annotate(xr.Dataset(variables, coords=coords, attrs=attrs))
    lazy = any(_is_lazy(array) for _, array in variables.values())
    validate(ds, values=not lazy)
    return ds


class _Reader:
    """Turns each argument into what the contract wants, and collects the faults."""

    def __init__(self, axes: str) -> None:
        self.axes = " ".join(str(axes).split())
        self.faults: list[str] = []
        self.sizes: dict[str, int] = {}
        if self.axes not in _OTHER:
            raise SchemaError(
                f'axes is {axes!r}; give "track time" when xy is (track, time, 2), or '
                '"time track" when it is (time, track, 2)'
            )

    def error(self) -> SchemaError:
        """Return the error that lists what was found."""
        n = len(self.faults)
        lines = "\n".join(f"- {fault}" for fault in sorted(self.faults))
        places = "1 place" if n == 1 else f"{n} places"
        return SchemaError(f"The arrays do not fit in {places}:\n{lines}")

    def position(self, xy: Any) -> Any:
        """Return xy as (track, time, 2) float32, or None when its shape is wrong."""
        first, second = self.axes.split()
        array = self._array("xy", xy, (first, second, "coord"))
        if array is None:
            return None
        shape = array.shape
        if array.ndim != 3 or shape[-1] != 2:
            text = f"xy: its shape is {shape}, expected ({first}, {second}, 2). Cure: "
            if array.ndim == 3 and shape[-1] == 3:
                text += "give x and y alone, xy[..., :2]; the third goes elsewhere"
            elif array.ndim == 3 and 2 in shape:
                text += "move the axis of x and y to the end with np.moveaxis"
            elif array.ndim == 4 and shape[0] == 1 and shape[-1] == 2:
                text += "drop the batch axis, xy[0]"
            elif array.ndim == 2 and shape[-1] == 2:
                text += "a single track is xy[np.newaxis] with axes='track time'"
            else:
                text += "give one array of all tracks in all frames, NaN where unseen"
            self.faults.append(text)
            return None
        self.sizes = dict(zip((first, second), shape[:2], strict=True))
        return self._canonical(array, np.float32)

    def per_point(self, name: str, values: Any) -> Any:
        """Return values as (track, time) float32."""
        if values is None:
            return None
        array = self._array(name, values, tuple(self.axes.split()))
        if array is None or not self._shape_fits(name, array):
            return None
        return self._canonical(array, np.float32)

    def flags(self, name: str, values: Any) -> Any:
        """Return values as (track, time) bool."""
        if values is None:
            return None
        array = self._array(name, values, tuple(self.axes.split()))
        if array is None or not self._shape_fits(name, array):
            return None
        whole = array.dtype.kind in "iu" and not _is_lazy(array)
        if array.dtype != np.bool_ and not (whole and np.isin(array, (0, 1)).all()):
            self.faults.append(
                f"{name}: it holds {array.dtype} values, expected True and False. "
                f"Cure: a probability becomes a flag with {name} > 0.5, and can be "
                f"given as confidence; lazy 0 and 1 with {name}.astype(bool)"
            )
            return None
        return self._canonical(array, np.bool_)

    def ids(self, values: Any) -> np.ndarray:
        """Return the tracks' ids, one integer or string each."""
        if values is None:
            return np.arange(self.sizes["track"])
        listed = list(values)
        if all(isinstance(v, int | np.integer) and not _is_flag(v) for v in listed):
            array = np.asarray(listed)
        elif all(isinstance(v, str) for v in listed):
            array = np.asarray(listed, dtype=np.str_)
        else:
            kinds = sorted({type(v).__name__ for v in listed})
            self.faults.append(
                f"ids: they are of the kinds {kinds}, expected all integers or all "
                "strings. Cure: ids=[str(i) for i in ids]"
            )
            return np.arange(len(listed))
        self._length_fits("ids", len(listed), "track")
        return array if len(listed) else np.arange(0)

    def integers(self, name: str, values: Any, dim: str) -> np.ndarray:
        """Return frame numbers along one dimension as int64."""
        if values is None:
            return np.arange(self.sizes[dim])
        array = np.asarray(values)
        if array.dtype.kind not in "iu" and array.size:
            cure = (
                "give moments as seconds=..., and frame numbers as time=..."
                if name == "time"
                else "give whole frame numbers, as in time"
            )
            self.faults.append(
                f"{name}: it holds {array.dtype} values, expected integer frame "
                f"numbers. Cure: {cure}"
            )
            return np.arange(self.sizes[dim])
        self._length_fits(name, array.shape, dim)
        return array.astype(np.int64, copy=False)

    def numbers(self, name: str, values: Any, dim: str) -> np.ndarray:
        """Return numbers along one dimension as float64."""
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            self.faults.append(
                f"{name}: it holds {array.dtype} values, expected numbers. Cure: "
                "give the moments of the frames in seconds"
            )
            return np.arange(self.sizes[dim], dtype=np.float64)
        self._length_fits(name, array.shape, dim)
        return array.astype(np.float64, copy=False)

    def frame_size(self, value: Any) -> list[int]:
        """Return [width, height] as Python integers."""
        try:
            size = [float(side) for side in value]
        except (TypeError, ValueError):
            size = []
        if len(size) != 2 or not all(s > 0 and s.is_integer() for s in size):
            self.faults.append(
                f"frame_size: it is {value!r}, expected two positive integers. Cure: "
                "frame_size=(width, height), in the pixels of xy"
            )
            return [1, 1]
        return [int(side) for side in size]

    def rate(self, value: Any) -> float | None:
        """Return the frame rate as a Python float."""
        if value is None:
            return None
        rate = float(value) if isinstance(value, Real) else math.nan
        if not (math.isfinite(rate) and rate > 0):
            self.faults.append(
                f"fps: it is {value!r}, expected a positive number. Cure: give the "
                "mean frames per second, or leave fps out"
            )
            return None
        return rate

    def _array(self, name: str, values: Any, dims: tuple[str, ...]) -> Any:
        """Return a NumPy or dask array of numbers, or None with a fault noted."""
        if isinstance(values, xr.DataArray):
            if values.dims != dims:
                self.faults.append(
                    f"{name}: its dimensions are {values.dims}, expected {dims} as "
                    f"axes={self.axes!r} says. Cure: transpose or rename them, or "
                    f"pass {name}.data when the order is right and only names differ"
                )
                return None
            values = values.data
        if not _is_lazy(values):
            if isinstance(values, np.ma.MaskedArray):
                values = values.astype(np.result_type(values, np.float32))
                values = values.filled(np.nan)
            try:
                values = np.asarray(values)
            except ValueError:
                self.faults.append(
                    f"{name}: its rows differ in length. Cure: pad every track to all "
                    "frames, with NaN where there is no observation"
                )
                return None
        if values.dtype.kind not in "biuf":
            self.faults.append(
                f"{name}: its dtype is {values.dtype}, expected numbers. Cure: "
                f"convert it with {name}.astype('float32')"
            )
            return None
        return values

    def _canonical(self, array: Any, dtype: type[np.generic]) -> Any:
        if self.axes == "time track":
            array = array.swapaxes(0, 1)
        # A float64 beyond float32 becomes infinite, which validation reports.
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)

    def _shape_fits(self, name: str, array: Any) -> bool:
        first, second = self.axes.split()
        expected = (self.sizes[first], self.sizes[second])
        if array.shape == expected:
            return True
        text = (
            f"{name}: its shape is {array.shape}, expected {expected} = "
            f"({first}, {second}), as xy has with axes={self.axes!r}. Cure: "
        )
        if array.shape == expected[::-1]:
            text += (
                f"track and time are swapped between xy and {name}: pass {name}.T, or "
                f"if xy is ({second}, {first}, 2), xy.swapaxes(0, 1); "
                f'axes="{_OTHER[self.axes]}" when both are in that order'
            )
        else:
            text += f"give one value for every track in every frame, {expected}"
        self.faults.append(text)
        return False

    def _length_fits(self, name: str, shape: int | tuple[int, ...], dim: str) -> None:
        got = (shape,) if isinstance(shape, int) else shape
        expected = self.sizes[dim]
        if got == (expected,):
            return
        text = (
            f"{name}: there are {got[0] if len(got) == 1 else got} values, expected "
            f"one for each {dim}, {expected} with axes={self.axes!r}. Cure: "
        )
        other = "time" if dim == "track" else "track"
        if got == (self.sizes[other],):
            text += (
                f"track and time look swapped, since the {other} axis has that length: "
                f'pass axes="{_OTHER[self.axes]}"'
            )
        else:
            text += f"give {expected} values"
        self.faults.append(text)


def _is_lazy(array: Any) -> bool:
    return hasattr(array, "__dask_graph__")


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)
