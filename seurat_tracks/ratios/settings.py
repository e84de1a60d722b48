"""Settings of a lift, and what is wrong with them or with the tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.schema import validate_for_lift

if TYPE_CHECKING:
    import xarray as xr

Fuse = Literal["windows", "chain"]


@dataclass(frozen=True)
class Settings:
    """What a Dask task needs beside its arrays; small, picklable, hashable."""

    weights: str
    digest: str
    device: str
    fuse: str
    iterations: int | None
    frame_size: tuple[int, int]
    cuts: tuple[int, ...]
    intrinsics: tuple[float, float, float, float] | None
    progress: bool | None
    precision: str
    compiled: bool


def validate_settings(ds: xr.Dataset, fuse: Any, strides: Any, iterations: Any) -> bool:
    """Refuse settings and tracks that make no sense; say whether the tracks are lazy.

    Raises
    ------
    SchemaError, SeuratTracksError
        As `seurat_tracks.lift.depth_ratio`.
    """
    check_settings(fuse, strides, iterations)
    validate_for_lift(ds, values=False)
    lazy = ds["xy"].chunks is not None
    if not lazy:
        validate_for_lift(ds)
    return lazy


def check_settings(fuse: Any, strides: Any, iterations: Any) -> None:
    """Refuse settings that make no sense, all at once."""
    faults = []
    if fuse not in ("windows", "chain"):
        faults.append(f'fuse must be "windows" or "chain", got {fuse!r}')
    try:
        usable = strides is None or (
            all(float(s) == int(s) >= 1 for s in strides) and len(strides) > 0
        )
    except (TypeError, ValueError):
        usable = False
    if not usable:
        faults.append(
            f"strides must be a list of integers from 1, such as (1, 2, 4), got "
            f"{strides!r}"
        )
    if iterations is not None and not (isinstance(iterations, int) and iterations > 0):
        faults.append(
            f"iterations must be an integer from 1, or None for the network's own, got "
            f"{iterations!r}"
        )
    if faults:
        raise SeuratTracksError("; ".join(faults))


def positions_of(ds: xr.Dataset, tracks: Sequence[Any]) -> np.ndarray:
    """Positions of the tracks asked for, increasing."""
    ids = ds["track"].values.tolist()
    wanted = np.asarray(tracks).ravel().tolist()
    missing = sorted(set(wanted) - set(ids), key=str)
    if missing or not wanted:
        raise SchemaError(
            f"no track {', '.join(map(repr, missing[:5]))}; ids are like {ids[:3]}"
            if missing
            else "tracks= names no track; leave it out to lift all"
        )
    return np.flatnonzero(np.isin(ds["track"].values, wanted))


def known_camera(ds: xr.Dataset) -> tuple[float, float, float, float] | None:
    """Give fx, fy, cx, cy (pixels) that the Dataset states; assumed ones are none."""
    intrinsics = ds.attrs.get("intrinsics")
    assumed = str(ds.attrs.get("intrinsics_source", "given")).startswith("assumed")
    if intrinsics is None or assumed:
        return None
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    return fx, fy, cx, cy
