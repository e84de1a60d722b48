"""What writers of 3D files share: checks, blocks of tracks, colours, what is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from seurat_tracks._version import __version__
from seurat_tracks.errors import CameraError, SchemaError, SeuratTracksError
from seurat_tracks.schema import validate

_BLOCK_VALUES = 4_000_000
_GOLDEN = 0.618033988749895


class Block(NamedTuple):
    """Some tracks, computed.

    Attributes
    ----------
    start : int
        Position of the first track in the Dataset.
    xyz : float32 array (track, time, 3)
        As in the Dataset; NaN in all three where one is unknown.
    xy : float32 array (track, time, 2)
    seen : bool array (track, time)
        Visible, and `xyz` is known.
    sigma : float32 array (track, time)
        Standard error of log depth; NaN where unknown.
    """

    start: int
    xyz: np.ndarray
    xy: np.ndarray
    seen: np.ndarray
    sigma: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Where a position is known, seen or not: bool (track, time)."""
        return np.isfinite(self.xyz).all(-1)


def check_lifted(ds: xr.Dataset, what: str) -> None:
    """Refuse what has no 3D positions; nothing is computed.

    Parameters
    ----------
    ds
        The Dataset.
    what
        The kind of file, for the error.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract, or has no `xyz`.
    """
    validate(ds, values=False)
    if "xyz" not in ds:
        raise SchemaError(
            f"{what} needs 3D positions, and there is no xyz. Cure: lift the tracks "
            "first, ds.seurat.lift3d()"
        )


def blocks(ds: xr.Dataset) -> Iterator[Block]:
    """Compute tracks block by block, each chunk of a lazy Dataset once.

    Parameters
    ----------
    ds
        Lifted tracks.

    Yields
    ------
    Block
        All tracks in the Dataset's order.
    """
    names = [n for n in ("xyz", "xy", "visible", "depth_ratio_sigma") if n in ds]
    part = ds[names].reset_coords(drop=True)
    start = 0
    for size in block_sizes(ds):
        piece = part.isel(track=slice(start, start + size)).compute()
        xyz = piece["xyz"].transpose("track", "time", "axis").values
        xyz = xyz.astype(np.float32)
        known = np.isfinite(xyz).all(-1)
        xyz[~known] = np.nan
        sigma = np.full(known.shape, np.nan, np.float32)
        if "depth_ratio_sigma" in piece:
            given = piece["depth_ratio_sigma"].transpose("track", "time")
            sigma = given.values.astype(np.float32)
        yield Block(
            start,
            xyz,
            piece["xy"].transpose("track", "time", "coord").values,
            piece["visible"].transpose("track", "time").values & known,
            sigma,
        )
        start += size


def block_sizes(ds: xr.Dataset) -> Sequence[int]:
    """Say how many tracks each block of `blocks` will have.

    Parameters
    ----------
    ds
        Lifted tracks.

    Returns
    -------
    sequence of int
        The chunks of a lazy Dataset; else blocks of some million values.
    """
    chunks = ds["xyz"].chunksizes.get("track")
    if chunks:
        return [int(v) for v in chunks]
    n = ds.sizes["track"]
    size = max(1, _BLOCK_VALUES // max(ds.sizes["time"], 1))
    return [min(size, n - i) for i in range(0, n, size)]


def in_world(ds: xr.Dataset) -> bool:
    """Say whether `xyz` is in the world of camera poses, not in the camera's frame.

    Parameters
    ----------
    ds
        Lifted tracks.

    Returns
    -------
    bool
    """
    return ds.attrs.get("frame_of_reference") == "world"


def axes_of(ds: xr.Dataset, camera: str) -> str:
    """Say in words what the axes of `xyz` are.

    Parameters
    ----------
    ds
        Lifted tracks.
    camera
        What they are in the camera's frame.

    Returns
    -------
    str
    """
    return "world, as the camera poses have it" if in_world(ds) else camera


def camera_to_world(ds: xr.Dataset) -> np.ndarray | None:
    """Return where the camera is, if the Dataset says.

    Parameters
    ----------
    ds
        Tracks; poses are the variable ``camera_to_world`` (time, row, column).

    Returns
    -------
    float64 array (time, 4, 4) or None
        NaN throughout where a frame's pose is unknown.

    Raises
    ------
    CameraError
        If the variable has another shape.
    """
    if "camera_to_world" not in ds:
        return None
    poses = ds["camera_to_world"].transpose("time", ...).values.astype(np.float64)
    if poses.shape != (ds.sizes["time"], 4, 4):
        raise CameraError(
            f"camera_to_world has shape {poses.shape}, expected "
            f"{(ds.sizes['time'], 4, 4)}"
        )
    return poses


def about(ds: xr.Dataset, axes: str) -> dict[str, str]:
    """Say in words what a file holds; relative depth says so.

    Parameters
    ----------
    ds
        Lifted tracks.
    axes
        The file's axes, in words.

    Returns
    -------
    dict
        ``generator``, ``units``, ``axes``, ``frame_of_reference``, and what is known
        of ``depth_source``, ``depth_note``, ``model``, ``tracker`` and licences.
    """
    units = ds["xyz"].attrs.get("units") or ds.attrs.get("units") or "unknown"
    told = {
        "generator": f"seurat-tracks {__version__}",
        "units": str(units),
        "axes": axes,
        "frame_of_reference": str(ds.attrs.get("frame_of_reference", "camera")),
    }
    for key in (
        "depth_source",
        "depth_source_licence",
        "depth_note",
        "model",
        "model_licence",
        "tracker",
        "tracker_licence",
    ):
        if ds.attrs.get(key):
            told[key] = str(ds.attrs[key])
    return told


def left_out(ds: xr.Dataset, *kept: str) -> list[str]:
    """List what the Dataset holds and a file of 3D positions does not.

    Parameters
    ----------
    ds
        Lifted tracks.
    *kept
        Names of variables that the file has a place for beside ``xyz`` and
        ``visible``.

    Returns
    -------
    list of str
        For `seurat_tracks.io._files.note_lost`.
    """
    has = {"xyz", "visible", *kept}
    # in the camera's frame depth is z, and it is scale times ratio
    has |= set() if in_world(ds) else {"depth"}
    return [str(n) for n in ds.data_vars if n not in has]


def one_line(text: object) -> str:
    """Return text without line breaks or characters beyond ASCII, for headers.

    Parameters
    ----------
    text
        Anything.

    Returns
    -------
    str
    """
    return json.dumps(str(text))[1:-1].replace('\\"', '"')


def colours(positions: np.ndarray) -> np.ndarray:
    """Give tracks colours that differ from their neighbours' in order.

    Parameters
    ----------
    positions : int array (track,)
        Positions in the Dataset.

    Returns
    -------
    uint8 array (track, 3)
        RGB, sRGB.
    """
    from matplotlib.colors import hsv_to_rgb

    hue = (positions * _GOLDEN) % 1.0
    hsv = np.stack([hue, np.full(len(hue), 0.65), np.full(len(hue), 0.95)], -1)
    return np.rint(hsv_to_rgb(hsv) * 255).astype(np.uint8)


def steps(seen: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Find the steps that a line may be drawn along: never over a gap.

    Parameters
    ----------
    seen : bool array (track, time)
    time : int array (time,)
        Frame numbers. Where frames are missing, the step is no step.

    Returns
    -------
    bool array (track, time - 1)
        True where the point is seen at both ends of a step, and the step is the
        shortest there is.
    """
    gaps = np.diff(time)
    return seen[:, :-1] & seen[:, 1:] & (gaps == gaps.min(initial=np.iinfo(int).max))


def seconds_of(ds: xr.Dataset, fps: float | None, what: str) -> np.ndarray:
    """Return when each frame was shown.

    Parameters
    ----------
    ds
        Tracks.
    fps
        Frames per second, used where the Dataset has no `seconds`.
    what
        The kind of file, for the error.

    Returns
    -------
    float64 array (time,)

    Raises
    ------
    SeuratTracksError
        If neither is known.
    """
    if "seconds" in ds.coords:
        return ds["seconds"].values.astype(np.float64)
    if fps is None or not fps > 0:
        raise SeuratTracksError(
            f"{what} needs the moments of the frames, and the Dataset has no seconds: "
            "give fps=, frames per second"
        )
    return ds["time"].values / float(fps)
