"""HDF5 files of others, opened with bounds: nothing is unpickled, no size believed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# deflate cannot shrink by more than 1032 : 1
_MOST_SHRUNK = 1100

# What libraries raise on damaged HDF5, as found by mutating real files.
DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    NotImplementedError,
    OverflowError,
    EOFError,
    MemoryError,
    AssertionError,
)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Say whether a file begins as HDF5 does.

    Parameters
    ----------
    path
        Any path; it need not exist.

    Returns
    -------
    bool
    """
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


@contextlib.contextmanager
def open_hdf5(path: Path, what: str) -> Iterator[Any]:
    """Open an HDF5 file for reading, and name the file in every error.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, for the error's text.

    Yields
    ------
    h5py.File

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If it is not HDF5, or something in it cannot be read; or h5py is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not is_hdf5(path):
        raise SeuratTracksError(f"{path} is not {what}: it is no HDF5 file")
    try:
        import h5py
    except ImportError:
        raise SeuratTracksError(
            f"{path}: reading HDF5 needs h5py: pip install h5py"
        ) from None
    with errors_of(path, what), h5py.File(path, "r") as file:
        yield file


def holds(path: str | os.PathLike[str], test: Callable[[Any], bool]) -> bool:
    """Say whether a file is HDF5 and passes a test; what is damaged does not.

    Parameters
    ----------
    path
        Any path; it need not exist.
    test
        Called with the open h5py.File.

    Returns
    -------
    bool
    """
    if not is_hdf5(path):
        return False
    try:
        with open_hdf5(Path(path), "HDF5") as file:
            return bool(test(file))
    except SeuratTracksError:
        return False


@contextlib.contextmanager
def errors_of(path: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise on a damaged file into one error of ours.

    Parameters
    ----------
    path
        The file.
    what
        What it should be.

    Raises
    ------
    SeuratTracksError
        Names the file and the library's complaint.
    """
    try:
        yield
    except SeuratTracksError:
        raise
    except DAMAGE as error:
        said = str(error) or type(error).__name__
        raise SeuratTracksError(
            f"{path} cannot be read as {what}; it is damaged, cut short, or of another "
            f"kind: {said}"
        ) from error


def array_of(path: Path, node: Any, name: str) -> np.ndarray:
    """Read an array of numbers or byte strings.

    Parameters
    ----------
    path
        The file, for errors.
    node
        Its group.
    name
        The array's name in it.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    SeuratTracksError
        If it is missing, of Python objects, or claims to be larger than any
        compression of a file of this size can hold.
    """
    import h5py

    dataset = node.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise SeuratTracksError(f"{path}: there is no array {node.name}/{name}")
    if dataset.dtype.hasobject and h5py.check_string_dtype(dataset.dtype) is None:
        raise SeuratTracksError(
            f"{path}: {dataset.name} holds objects, which can be pickles that run "
            "anything, and is not read"
        )
    limit = _MOST_SHRUNK * max(path.stat().st_size, 2**16)
    if dataset.size is None or dataset.size * max(dataset.dtype.itemsize, 1) > limit:
        raise SeuratTracksError(
            f"{path}: {dataset.name} says it holds {dataset.shape} values, more than "
            "a file of this size can"
        )
    return np.asarray(dataset[()])


def text_of(value: Any) -> str:
    """Return a string that HDF5 gives as bytes or text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
