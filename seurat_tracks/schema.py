"""The Dataset contract, and the check that reports every breach of it at once.

The contract itself (names, dimensions, dtypes, units, meanings) is data:
`VARIABLES`, `COORDINATES` and `ATTRIBUTES`. `validate` compares a Dataset with it;
`annotate` writes its units and meanings into a Dataset. ``docs/dataset.md`` shows the
same tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from seurat_tracks._contract import (
    ATTRIBUTES,
    CONTRACT_VERSION,
    COORDINATES,
    DIM_ALIASES,
    DIMS,
    VARIABLE_ALIASES,
    VARIABLES,
    AttributeSpec,
    CoordinateSpec,
    VariableSpec,
)
from seurat_tracks._values import value_faults
from seurat_tracks.errors import SchemaError

__all__ = [
    "ATTRIBUTES",
    "CONTRACT_VERSION",
    "COORDINATES",
    "DIMS",
    "DIM_ALIASES",
    "VARIABLES",
    "VARIABLE_ALIASES",
    "AttributeSpec",
    "CoordinateSpec",
    "VariableSpec",
    "annotate",
    "find_faults",
    "validate",
    "validate_for_lift",
]

REQUIRED = ("xy", "visible")
"""What a Dataset of tracks must hold."""

_PER_TRACK = ("query_frame", "reference_frame")
_SUPPORT = ("support_xy", "support_visible")
_SWAP_CURE = (
    "track and time look swapped: "
    'ds.rename({"track": "time", "time": "track"}).transpose("track", "time", ...)'
)


def validate(
    ds: xr.Dataset, *, require: Sequence[str] = REQUIRED, values: bool = True
) -> None:
    """Check a Dataset against the contract, and report every fault in one error.

    Parameters
    ----------
    ds
        The Dataset. It is not changed.
    require
        Names of the variables that must be there. Derived variables
        (`VariableSpec.derived`) have their values checked only when named here, so
        that checking tracks never runs the network behind a lazy result.
    values
        Check the values too. Lazy (dask) variables are then computed, all in one
        pass. With False nothing is computed: only names, dimensions, dtypes, index
        coordinates and attributes are checked.

    Raises
    ------
    SchemaError
        Lists every fault, sorted by variable, each with its cure.

    Notes
    -----
    What the values must satisfy: no infinities; finite `xy` wherever `visible` is
    True; x and y both NaN or both finite; at least one visible observation; visible
    points at most a tenth of the frame's longer side outside the frame; `confidence`
    in 0..1; `query_frame`, `reference_frame`, `window_start` and `window_frame` among
    the values of `time`; positions that are pixels, not fractions of the frame;
    `seconds` finite and strictly increasing. NaN in a float variable means that there
    is no value.
    """
    faults = find_faults(ds, require=require, values=values)
    if faults:
        raise SchemaError(_report(faults))


def validate_for_lift(ds: xr.Dataset, *, values: bool = True) -> None:
    """Check that a Dataset holds tracks whose depth change can be computed.

    Parameters
    ----------
    ds
        Dataset with `xy` (track, time, coord) and `visible` (track, time).
    values
        As in `validate`; the coordinates of the support are read in any case.

    Raises
    ------
    SchemaError
        For every fault that `validate` knows (no tracks and no visible observation
        among them), and when the video has fewer than two frames.
    """
    faults = find_faults(ds, values=values)
    sizes = _canonical(ds).sizes if _is_dataset(ds) else {}
    if not values and _is_dataset(ds):
        # A network fed with misplaced support answers all the same.
        faults += _window_faults(_canonical(ds))
    if sizes.get("time") == 1:
        n = sizes.get("track", 0)
        faults.append(
            "time: there is one frame, and a depth change needs at least two frames. "
            "Cure: give more frames of the video"
            + (f"; or, since there are {n} tracks, {_SWAP_CURE}" if n > 1 else "")
        )
    if faults:
        raise SchemaError(_report(sorted(faults)))


def find_faults(
    ds: xr.Dataset, *, require: Sequence[str] = REQUIRED, values: bool = True
) -> list[str]:
    """Return what `validate` would report: one sentence a fault, sorted.

    Parameters
    ----------
    ds, require, values
        As in `validate`.

    Returns
    -------
    list of str
        Each names the variable, says what is wrong, and gives the cure; empty for a
        Dataset that keeps the contract.
    """
    if not _is_dataset(ds):
        return [
            f"expected an xarray.Dataset, got {type(ds).__name__}. Cure: build one "
            "with seurat_tracks.from_arrays(xy, visible, frame_size=(width, height))"
        ]
    unknown = sorted(set(require) - set(VARIABLES))
    if unknown:
        raise ValueError(
            f"require names {unknown}, which the contract does not know; it knows "
            f"{list(VARIABLES)}"
        )
    faults = _alias_faults(ds)
    ds = _canonical(ds)
    faults += _missing_faults(ds, require)
    faults += _size_faults(ds)
    for name, spec in VARIABLES.items():
        if name in ds.variables:
            faults += _shape_faults(ds[name], spec.dims, name)
            faults += _dtype_faults(ds[name], spec)
    for name, coordinate in COORDINATES.items():
        faults += _coordinate_faults(ds, name, coordinate)
    faults += _attribute_faults(ds)
    if values:
        faults += _window_faults(ds)
        faults += value_faults(ds, require)
    return sorted(set(faults))


def annotate(ds: xr.Dataset) -> xr.Dataset:
    """Write the contract's units, meanings and version into a Dataset.

    Parameters
    ----------
    ds
        Any Dataset; lazy variables stay lazy.

    Returns
    -------
    xarray.Dataset
        A new Dataset with the same data. Attributes already there are kept, the
        units of a relative depth among them.
    """
    ds = ds.copy(deep=False)
    specs: list[VariableSpec | CoordinateSpec] = [
        *VARIABLES.values(),
        *COORDINATES.values(),
    ]
    for spec in specs:
        name = spec.name
        if name not in ds.variables:
            continue
        attrs = {"long_name": spec.meaning}
        if spec.units:
            attrs["units"] = spec.units
        ds[name].attrs = {**attrs, **ds[name].attrs}
    ds.attrs = {**ds.attrs, "contract_version": CONTRACT_VERSION}
    return ds


def cut_positions(ds: xr.Dataset) -> tuple[int, ...]:
    """Turn the frame numbers of cuts into positions on the time axis."""
    cuts = ds.attrs.get("cuts") or []
    return tuple(int(p) for p in np.searchsorted(ds["time"].values, cuts))


def _is_dataset(value: object) -> bool:
    return isinstance(value, xr.Dataset)


def _report(faults: Sequence[str]) -> str:
    places = "1 place" if len(faults) == 1 else f"{len(faults)} places"
    lines = "\n".join(f"- {fault}" for fault in faults)
    return (
        f"The Dataset breaks the contract (version {CONTRACT_VERSION}) in {places}:\n"
        f"{lines}"
    )


def _renames(ds: xr.Dataset) -> dict[str, str]:
    """Map each foreign dimension to ours where the answer is unambiguous."""
    found: dict[str, list[str]] = {}
    for dim in ds.dims:
        if dim in DIM_ALIASES and DIM_ALIASES[str(dim)] not in ds.variables:
            found.setdefault(DIM_ALIASES[str(dim)], []).append(str(dim))
    return {
        aliases[0]: ours
        for ours, aliases in found.items()
        if len(aliases) == 1 and ours not in ds.dims
    }


def _canonical(ds: xr.Dataset) -> xr.Dataset:
    """Rename known foreign dimensions, so that one wrong name is one fault."""
    renames = _renames(ds)
    return ds.rename(renames) if renames else ds


def _alias_faults(ds: xr.Dataset) -> list[str]:
    renames = _renames(ds)
    faults = [
        f"dimensions: {theirs!r} is called {ours!r} here. "
        f'Cure: ds.rename({{"{theirs}": "{ours}"}})'
        for theirs, ours in renames.items()
    ]
    several = sorted(
        str(dim)
        for dim in ds.dims
        if DIM_ALIASES.get(str(dim)) == "track" and dim not in renames
    )
    if len(several) > 1 and "track" not in ds.dims:
        joined = ", ".join(f'"{dim}"' for dim in several)
        faults.append(
            f"dimensions: {', '.join(several)} all count points, where the contract "
            f"has one dimension, 'track'. Cure: ds.stack(track=[{joined}]), then give "
            "every track an id of its own"
        )
    return faults


def _missing_faults(ds: xr.Dataset, require: Sequence[str]) -> list[str]:
    faults = []
    wanted = list(require)
    present = [name for name in _SUPPORT if name in ds.variables]
    if len(present) == 1:
        wanted += _SUPPORT
    for name in sorted(set(wanted)):
        if name in ds.variables:
            continue
        aliases = [
            theirs
            for theirs, ours in VARIABLE_ALIASES.items()
            if ours == name and theirs in ds.data_vars
        ]
        spec = VARIABLES[name]
        dims = ", ".join(spec.dims)
        if aliases:
            cure = f'ds.rename({{"{aliases[0]}": "{name}"}})'
        elif name == "visible":
            cure = 'ds["visible"] = np.isfinite(ds["xy"]).all("coord")'
        elif spec.derived:
            cure = "compute it with ds.seurat.lift3d()"
        else:
            cure = f'ds["{name}"] = (({_quoted(spec.dims)}), array)'
        faults.append(
            f"{name}: the variable is missing; expected ({dims}) {spec.dtype}: "
            f"{spec.meaning}. Cure: {cure}"
        )
    return faults


def _size_faults(ds: xr.Dataset) -> list[str]:
    faults = []
    if ds.sizes.get("track") == 0:
        faults.append("track: there are no tracks. Cure: give at least one track")
    if ds.sizes.get("time") == 0:
        faults.append("time: there are no frames. Cure: give at least one frame")
    if "camera_to_world" in ds:
        size = [ds["camera_to_world"].sizes.get(dim, 4) for dim in ("row", "column")]
        if size != [4, 4]:
            faults.append(
                f"camera_to_world: its matrices are {size[0]} x {size[1]}, expected "
                "4 x 4. Cure: add the row 0 0 0 1"
            )
    return faults


def _shape_faults(
    array: xr.DataArray, expected: tuple[str, ...], name: str
) -> list[str]:
    dims = tuple(str(dim) for dim in array.dims)
    if dims == expected:
        return []
    text = f"{name}: its dimensions are ({', '.join(dims)}), expected "
    text += f"({', '.join(expected)}). Cure: "
    if (name == "seconds" and dims == ("track",)) or (
        name in _PER_TRACK and dims == ("time",)
    ):
        return [text + _SWAP_CURE]
    if set(dims) == set(expected):
        return [text + f"ds.transpose({_quoted(expected)}, ...)"]
    missing = [dim for dim in expected if dim not in dims]
    extra = [dim for dim in dims if dim not in expected]
    if name in _SUPPORT and extra == ["track"] and not missing:
        return [
            text + f'ds["{name}"] = ds["{name}"].isel(track=0, drop=True); '
            'xr.concat(..., "track", data_vars="minimal") does not repeat it'
        ]
    if not extra and missing in (["track"], ["time"]):
        dim = missing[0]
        return [text + f"select one {dim} with a list, ds.isel({dim}=[0])"]
    if len(missing) == 1 and len(extra) == 1:
        return [text + f'ds.rename({{"{extra[0]}": "{missing[0]}"}}), if that is it']
    return [text + f"build {name} with exactly these dimensions"]


def _dtype_faults(array: xr.DataArray, spec: VariableSpec) -> list[str]:
    if array.dtype == np.dtype(spec.dtype):
        return []
    return [
        f"{spec.name}: its dtype is {array.dtype}, expected {spec.dtype}. Cure: "
        f'ds["{spec.name}"] = ds["{spec.name}"].astype("{spec.dtype}")'
    ]


def _coordinate_faults(ds: xr.Dataset, name: str, spec: CoordinateSpec) -> list[str]:
    if name not in ds.coords:
        if name in ds.data_vars:
            return [
                f"{name}: it is a data variable, expected a coordinate. "
                f'Cure: ds.set_coords("{name}")'
            ]
        if spec.optional or spec.dims[0] not in ds.dims:
            return []
        return [
            f"{name}: the coordinate is missing; expected {spec.meaning}. "
            f"Cure: {_coordinate_cure(name, spec)}"
        ]
    array = ds[name]
    faults = _shape_faults(array, spec.dims, name)
    if faults:
        return faults
    if spec.kind == "label":
        labels = [str(label) for label in array.to_index()]
        if labels != list(spec.labels):
            return [
                f"{name}: its labels are {labels}, expected {list(spec.labels)} in "
                f"this order. Cure: {_coordinate_cure(name, spec)} if the values are "
                f"in that order, else ds.sel({name}={list(spec.labels)})"
            ]
        return []
    if spec.kind == "id":
        return _id_faults(array.to_index())
    if spec.kind == "float64":
        right = array.dtype == np.float64
    else:
        right = bool(np.issubdtype(array.dtype, np.integer))
    if not right:
        return [
            f"{name}: its dtype is {array.dtype}, expected {spec.kind}: "
            f"{spec.meaning}. Cure: {_coordinate_cure(name, spec)}"
        ]
    return _time_faults(array.to_index()) if name == "time" else []


def _coordinate_cure(name: str, spec: CoordinateSpec) -> str:
    if spec.kind == "label":
        return f"ds.assign_coords({name}={list(spec.labels)})"
    if name == "time":
        return (
            'ds.assign_coords(time=np.arange(ds.sizes["time"])), and the moments of '
            'the frames as seconds=("time", moments)'
        )
    if name == "track":
        return 'ds.assign_coords(track=np.arange(ds.sizes["track"]))'
    values = "frame numbers" if spec.kind == "int" else "values"
    return f'ds.assign_coords({name}=("{spec.dims[0]}", {values})) as {spec.kind}'


def _id_faults(ids: pd.Index) -> list[str]:
    faults = []
    is_integer = pd.api.types.is_integer_dtype(ids.dtype)
    if not is_integer and (
        isinstance(ids, pd.MultiIndex)
        or (len(ids) and pd.api.types.infer_dtype(ids, skipna=False) != "string")
    ):
        faults.append(
            f"track: ids are {ids.dtype}, expected all integers or all strings. Cure: "
            "ds.assign_coords(track=[...]) with one integer or one string each"
        )
    if not ids.is_unique:
        twice = ids[ids.duplicated()].unique()
        shown = ", ".join(repr(_plain(i)) for i in twice[:5])
        faults.append(
            f"track: {len(twice)} ids are given to more than one track (first: "
            f"{shown}). Cure: give every track an id of its own with "
            "ds.assign_coords(track=...)"
        )
    return faults


def _time_faults(time: pd.Index) -> list[str]:
    if time.is_monotonic_increasing and time.is_unique:
        return []
    steps = np.diff(time.to_numpy())
    first = int(np.argmax(steps <= 0))
    return [
        f"time: frame numbers must increase strictly, but {time[first + 1]} follows "
        f"{time[first]}. Cure: ds.sortby('time') when the frames are out of order, "
        "ds.drop_duplicates('time') when some come twice; if these are not frame "
        f"numbers at all, {_SWAP_CURE}"
    ]


def _window_faults(ds: xr.Dataset) -> list[str]:
    """Find support whose frames are not those of the time axis; reads coordinates."""
    if "support_xy" not in ds:
        return []
    ds = ds.drop_vars(list(ds.data_vars)).compute()
    start, stride = ds.coords.get("window_start"), ds.coords.get("window_stride")
    if (
        "time" not in ds.indexes
        or start is None
        or start.dims != ("window",)
        or stride is None
        or stride.dims != ("window",)
        or not _are_integers(ds["time"], start, stride)
    ):
        return []
    times = ds.indexes["time"].to_numpy()
    if len(times) == 0 or (np.diff(times) <= 0).any():
        return []
    cure = (
        "Cure: lift first and select frames afterwards; or track the selected frames; "
        'or ds.drop_dims("window"), which draws support from the tracks'
    )
    stray = ~np.isin(start.values, times)
    if stray.any():
        return [
            f"window_start: {stray.sum()} of {stray.size} windows begin on frames that "
            f"are not among the values of time (first: {start.values[stray][0]}); "
            f"frames were left out, or these are not frame numbers. {cure}"
        ]
    frames = ds.coords.get("window_frame")
    if frames is None or frames.dims != ("window", "step"):
        return []
    if not _are_integers(frames):
        return []
    at = np.searchsorted(times, start.values)[:, None]
    at = at + stride.values[:, None] * np.arange(frames.sizes["step"])
    found = times[np.clip(at, 0, len(times) - 1)]
    wrong = (frames.values >= 0) & ((found != frames.values) | (at >= len(times)))
    moved = wrong.any(axis=1)
    if not moved.any():
        return []
    return [
        f"window_frame: {moved.sum()} of {moved.size} windows saw frames that are not "
        f"there now (first: frame {frames.values[wrong][0]}); frames were left out "
        f"after the support was tracked. {cure}"
    ]


def _are_integers(*arrays: xr.DataArray) -> bool:
    return all(np.issubdtype(array.dtype, np.integer) for array in arrays)


def _attribute_faults(ds: xr.Dataset) -> list[str]:
    faults = []
    for name, spec in ATTRIBUTES.items():
        if name not in ds.attrs:
            if not spec.optional:
                faults.append(
                    f"attrs[{name!r}]: it is missing; expected {spec.kind}: "
                    f"{spec.meaning}. Cure: "
                    f'ds.attrs["{name}"] = [width, height]'
                )
        elif not _attribute_fits(name, spec, ds.attrs[name]):
            faults.append(
                f"attrs[{name!r}]: it is {ds.attrs[name]!r}, expected {spec.kind}: "
                f"{spec.meaning}. Cure: set it so, or leave it out"
                if spec.optional
                else f"attrs[{name!r}]: it is {ds.attrs[name]!r}, expected "
                f'{spec.kind}: {spec.meaning}. Cure: ds.attrs["{name}"] = [width, '
                "height]"
            )
    version = ds.attrs.get("contract_version", CONTRACT_VERSION)
    if isinstance(version, str) and version != CONTRACT_VERSION:
        faults.append(
            f"attrs['contract_version']: it is {version!r}, and this seurat-tracks "
            f"knows version {CONTRACT_VERSION!r}. Cure: install the seurat-tracks "
            "that made the Dataset"
        )
    owners: list[tuple[str, Any]] = [("attrs", ds.attrs)]
    owners += [(f"{name}.attrs", var.attrs) for name, var in ds.variables.items()]
    faults += [
        f"{owner}[{key!r}]: a {type(value).__name__} cannot be stored as JSON. Cure: "
        "use a string, a finite number, a bool, or a list of these; a NumPy value "
        "becomes one with .tolist()"
        for owner, attrs in owners
        for key, value in attrs.items()
        if not _is_json(value) and not (owner == "attrs" and key in ATTRIBUTES)
    ]
    return faults


def _attribute_fits(name: str, spec: AttributeSpec, value: Any) -> bool:
    if not _is_json(value):
        return False
    if name == "frame_size":
        return _numbers(value, 2, integer=True) and all(v > 0 for v in value)
    if name == "fps":
        return _numbers([value], 1) and value > 0
    if name == "cuts":
        return isinstance(value, list | tuple) and _numbers(
            value, len(value), integer=True
        )
    if name == "distortion":
        return isinstance(value, list | tuple) and _numbers(value, len(value))
    if name == "intrinsics":
        return _numbers(value, 4) and value[0] > 0 and value[1] > 0
    return isinstance(value, str)


def _numbers(value: Any, length: int, *, integer: bool = False) -> bool:
    kinds = int if integer else (int, float)
    return (
        isinstance(value, list | tuple)
        and len(value) == length
        and all(isinstance(v, kinds) and not isinstance(v, bool) for v in value)
    )


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_json(item) for item in value)
    # np.float64 is a float and np.str_ a str; neither survives as it is.
    if isinstance(value, np.generic):
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | bool | int)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
