"""Arrays from npy and npz files that are not trusted.

`numpy.load` allocates what a header claims before it reads, so a file of a hundred
bytes can ask for a terabyte. Here a claim is held against the bytes that are there
first. Pickles are never loaded.

Sources: the npy format, ``numpy/lib/_format_impl.py``; deflate shrinks at most 1032
times (zlib, ``https://zlib.net/zlib_tech.html``).
"""

from __future__ import annotations

import io
import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from seurat_tracks.errors import FormatError

MAGIC = b"\x93NUMPY"
"""First bytes of an npy file."""

ZIP = b"PK\x03\x04"
"""First bytes of an npz file, which is a zip archive."""

PICKLE = (
    "holds Python objects (a pickle), which could run anything, and is not read. Load "
    "it where it was made and save plain arrays, np.savez(name, tracks=..., ...)"
)
"""Why a pickle is refused, after the file's name."""

_DEFLATE = 1032
_HEADER = 2**16
_FAULTS = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,  # a member is encrypted
    NotImplementedError,  # or compressed in a way Python does not know
    MemoryError,  # the parser's own, of nested brackets in a header
    RecursionError,
    SyntaxError,
    tokenize.TokenError,  # of NumPy's way to read headers of Python 2
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


@dataclass(frozen=True)
class Header:
    """What a file claims to hold.

    Attributes
    ----------
    shape
        Lengths of the array's axes.
    dtype
        Its type.
    fortran
        Whether the first axis runs fastest.
    start
        Where the data begin, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


def npy_header(path: Path) -> Header | None:
    """Read the header of an npy file, or None if it is not one."""
    try:
        with path.open("rb") as file:
            return _header(file)
    except _FAULTS:
        return None


def npz_headers(path: Path) -> dict[str, Header | None]:
    """Read the headers of all arrays of an npz file; empty if it is not one.

    A value is None where a member is no plain array.
    """
    found: dict[str, Header | None] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist()[:1000]:
                name = info.filename.removesuffix(".npy")
                try:
                    with archive.open(info) as file:
                        found[name] = _header(file)
                except _FAULTS:
                    found[name] = None
    except _FAULTS:
        return {}
    return found


def read_npy(path: Path) -> np.ndarray:
    """Read an npy file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it is no npy file, holds objects, is cut short or claims more than it has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with _faults(path), path.open("rb") as file:
        header = _header(file)
        room = os.fstat(file.fileno()).st_size - header.start
        return _body(path, "the array", file, header, room)


def read_npz(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read arrays of an npz file; names that it does not hold are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it is no npz file, is damaged, or one of the arrays holds objects or claims
        more than is there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path} is not an npz file, or is cut short")
    found = {}
    with _faults(path), zipfile.ZipFile(path) as archive:
        size = path.stat().st_size
        members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
        for name in names:
            if name not in members:
                continue
            info = members[name]
            most = min(info.compress_size, size) * (
                1 if info.compress_type == zipfile.ZIP_STORED else _DEFLATE
            )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(
                    f"{path} cannot be read: {name} is compressed in a way that NumPy "
                    "does not write"
                )
            with archive.open(info) as file:
                header = _header(file)
                room = min(info.file_size, most) - header.start
                found[name] = _body(path, name, file, header, room)
    return found


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file under just this name; arrays of objects are not for it."""
    plain: dict[str, Any] = {n: np.asarray(a) for n, a in arrays.items()}
    with path.open("wb") as file:
        np.savez(file, **plain)


def _header(file: IO[bytes]) -> Header:
    head = io.BytesIO(file.read(_HEADER))
    file.seek(0)
    version = np.lib.format.read_magic(head)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version} of npy is unknown")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers of Python 2 are read as well
        shape, fortran, dtype = read(head)
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"its shape is {shape}")
    return Header(tuple(shape), dtype, bool(fortran), head.tell())


def _body(
    path: Path, name: str, file: IO[bytes], header: Header, room: int
) -> np.ndarray:
    if header.dtype.hasobject:
        raise FormatError(f"{path} cannot be read: {name} {PICKLE}")
    if header.size != room:
        raise FormatError(
            f"{path} cannot be read: the header of {name} claims {header.shape} of "
            f"{header.dtype}, {header.size} bytes, and {max(room, 0)} are there: the "
            "file is cut short or damaged"
        )
    file.seek(header.start)
    data = file.read(room + 1)  # one more: the checksum is looked at past the end
    if len(data) != header.size:
        raise FormatError(f"{path} cannot be read: {name} is cut short")
    if not header.size:
        return np.zeros(header.shape, header.dtype)
    flat = np.frombuffer(bytearray(data), header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except FormatError:
        raise
    except FileNotFoundError:
        raise
    except _FAULTS as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise FormatError(f"{path} cannot be read: {text}") from None
