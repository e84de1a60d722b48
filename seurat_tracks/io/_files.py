"""What readers and writers of track files share."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError, SchemaError
from seurat_tracks.io.arrays import from_arrays
from seurat_tracks.schema import validate

COORDINATES = ("pixels", "normalised")
"""What positions may be given in."""


def existing(path: str | os.PathLike[str]) -> Path:
    """Return a path that is a file.

    Raises
    ------
    FileNotFoundError
        If it is none.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    return path


def need_frame_size(path: Path, frame_size: Any) -> list[int]:
    """Check width and height, which most files of tracks do not hold.

    Raises
    ------
    FormatError
        If they were not given, or are no two positive integers.
    """
    if frame_size is None:
        raise FormatError(
            f"{path} does not say how large the video's frames are: give "
            "frame_size=(width, height) in pixels"
        )
    try:
        size = [int(side) for side in frame_size]
        fits = len(size) == 2 and all(
            s == side and s > 0 for s, side in zip(size, frame_size, strict=True)
        )
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise FormatError(
            f"frame_size is {frame_size!r}; give (width, height) in pixels, two "
            "positive integers"
        )
    return size


def to_pixels(
    path: Path,
    xy: np.ndarray,
    frame_size: Sequence[int],
    coordinates: str | None,
    *,
    first_pixel: float = 0.0,
) -> np.ndarray:
    """Bring positions to pixels whose centres are at integers.

    Parameters
    ----------
    path
        File they are from, for the error.
    xy : float array (..., 2)
        Positions; NaN where there is none.
    frame_size
        Width and height.
    coordinates
        "pixels"; "normalised": 0 and 1 are the frame's outer edges; None: pixels,
        refused where the numbers look like fractions.
    first_pixel
        Where the file puts the centre of the first pixel, 0 or 0.5.

    Returns
    -------
    float32 array (..., 2)

    Raises
    ------
    FormatError
        If the numbers contradict `coordinates`, or look like fractions and nothing
        was said.
    """
    if coordinates not in (None, *COORDINATES):
        raise FormatError(
            f"coordinates is {coordinates!r}; give 'pixels' or 'normalised'"
        )
    finite = xy[np.isfinite(xy)]
    if coordinates == "normalised":
        # a tracker overshoots the border by a little; pixels lie far beyond it
        if finite.size and np.median(np.abs(finite)) > 2:
            raise FormatError(
                f"{path}: coordinates='normalised' was said, but the positions run to "
                f"{np.abs(finite).max():g}: give coordinates='pixels'"
            )
        return (xy * np.asarray(frame_size, np.float64) - 0.5).astype(np.float32)
    if (
        coordinates is None
        and finite.size
        and finite.min() >= 0
        and finite.max() <= 1
        and ((finite > 0) & (finite < 1)).any()
    ):
        raise FormatError(
            f"{path}: all positions lie between 0 and 1, as fractions of the frame do. "
            "Say which they are: coordinates='normalised' (0 and 1 are the frame's "
            "outer edges), or coordinates='pixels'"
        )
    if first_pixel:
        xy = np.asarray(xy, np.float64) - first_pixel
    return np.asarray(xy).astype(np.float32)


def build(path: Path, xy: Any, visible: Any, **facts: Any) -> xr.Dataset:
    """Call `from_arrays`, and name the file in what it says.

    Raises
    ------
    FormatError
        If the arrays do not keep the contract.
    """
    try:
        return from_arrays(xy, visible, **facts)
    except SchemaError as error:
        raise FormatError(f"{path}: {error}") from None


def checked(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """Validate a Dataset that was read, and name the file in what is found.

    Raises
    ------
    FormatError
        If it breaks the contract.
    """
    try:
        validate(ds)
    except SchemaError as error:
        raise FormatError(f"{path}: {error}") from None
    return ds


def flags(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Turn flags, or probabilities of which over one half counts, into bool.

    Raises
    ------
    FormatError
        If values are neither.
    """
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise FormatError(f"{path}: {name} holds {array.dtype}, expected flags")
    with np.errstate(invalid="ignore"):
        fits = bool(((array >= 0) & (array <= 1)).all())
    if not fits:
        raise FormatError(
            f"{path}: {name} holds values outside 0 to 1, or NaN: expected flags, or "
            "probabilities, of which over one half counts as true"
        )
    return array > 0.5


def real(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Return an array of real numbers as floats.

    Raises
    ------
    FormatError
        If it holds something else.
    """
    if array.dtype.kind not in "iuf":
        raise FormatError(f"{path}: {name} holds {array.dtype}, expected numbers")
    if array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(np.float64)


def ids(ds: xr.Dataset) -> np.ndarray:
    """Return the tracks' ids as integers or fixed-width strings, never objects."""
    values = np.asarray(ds["track"].values)
    return values if values.dtype.kind in "iu" else np.array(values.tolist(), np.str_)


def whole_ids(
    ds: xr.Dataset, target: Path, program: str, *, number: bool, most: int = 2**63
) -> np.ndarray:
    """Return the tracks' ids for a program that knows whole numbers from 0 alone.

    Parameters
    ----------
    ds
        The tracks.
    target
        The file to be, for the error.
    program
        Whose ids.
    number
        Number the tracks 0, 1, 2, ... instead.
    most
        First number that is too large.

    Returns
    -------
    int array (track,)

    Raises
    ------
    FormatError
        If ids are something else, and are not to be numbered.
    """
    found = np.arange(ds.sizes["track"]) if number else ids(ds)
    wrong = found.dtype.kind not in "iu" or (found < 0).any()
    if wrong or (len(found) > 0 and int(found.max()) >= most):
        raise FormatError(
            f"{target}: {program}'s ids are integers from 0, and these are "
            f"{found[:3].tolist()}, ...: give number_ids=True to number the tracks"
        )
    return found


def unseen(ds: xr.Dataset) -> list[str]:
    """Say what tables of visible points alone lose."""
    visible = ds["visible"].transpose("track", "time").values
    lost = []
    never = int((~visible.any(1)).sum())
    if never:
        lost.append(f"{never} tracks that are never visible")
    xy = ds["xy"].transpose("track", "time", "coord").values
    guesses = int((np.isfinite(xy).all(-1) & ~visible).sum())
    if guesses:
        lost.append(f"{guesses} positions of hidden points")
    return lost


def note_lost(target: Path, format: str, lost: Sequence[str]) -> None:
    """Warn of what a format has no place for.

    Warns
    -----
    UserWarning
        If there is something.
    """
    if lost:
        warnings.warn(
            f"{target}: {format} has no place for {', '.join(lost)}; a Zarr store, "
            "ds.seurat.save(path), keeps everything",
            UserWarning,
            stacklevel=3,
        )


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str], *, folder: bool = False, overwrite: bool = False
) -> Iterator[Path]:
    """Give a place beside a path to write to, and rename it there when all is written.

    Parameters
    ----------
    path
        Where the file or folder will be.
    folder
        True for a folder, which exists already when it is given.
    overwrite
        Replace a file that is there; a folder never is.

    Yields
    ------
    pathlib.Path
        The place to write to. What is left of it after an error is removed, and what
        was at `path` is as it was.

    Raises
    ------
    FormatError
        As `check_free`.
    """
    target = Path(path).expanduser()
    check_free(target, folder=folder, overwrite=overwrite)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    if folder:
        partial.mkdir()
    try:
        yield partial
        os.replace(partial, target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def check_free(target: Path, *, folder: bool = False, overwrite: bool = False) -> None:
    """Refuse a path that cannot be written to, before any work.

    Raises
    ------
    FormatError
        If its folder is missing, a folder is there, or a file that is not to be
        replaced.
    """
    if not target.absolute().parent.is_dir():
        raise FormatError(
            f"{target}: the folder {target.absolute().parent} does not exist. Create "
            "it first"
        )
    if target.is_dir() or (folder and target.exists()):
        what = "a folder" if target.is_dir() else "a file"
        raise FormatError(
            f"{target} is {what} already and is not replaced. Choose another path, or "
            "move it away"
        )
    if target.exists() and not overwrite:
        raise FormatError(
            f"{target}: something is there already. Pass overwrite=True to replace it, "
            "or choose another path"
        )
