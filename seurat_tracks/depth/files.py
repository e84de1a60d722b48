"""Depth maps in files, opened without reading them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks.errors import DepthError

ARRAY_SUFFIXES = (".npy", ".npz", ".zarr")
"""Files (or stores) that hold the maps of all frames."""

FRAME_SUFFIXES = (".exr", ".npy", ".npz", ".png", ".tif", ".tiff")
"""Files of a folder with one map each."""

DEPTH_NAMES = ("depth", "depths", "depth_maps", "z")
"""Names under which files with several arrays keep their maps."""

DEPTH_CHANNELS = ("z", "depth", "v", "y")
"""Channels of an EXR file that hold depth, by the last part of their names."""


def open_maps(path: str | os.PathLike[str], *, key: str | None = None) -> Any:
    """Open depth maps without reading them.

    Parameters
    ----------
    path
        ``.npy`` (memory-mapped), ``.npz``, a Zarr array or group, all (time, y, x);
        or a folder with one file per frame, in natural order (2 before 10): ``.npy``,
        ``.npz``, ``.exr``, 16-bit ``.png``, ``.tif``, each (y, x).
    key
        Name of the array in an ``.npz`` or a Zarr group, or of the channel in ``.exr``
        files. By default one of `DEPTH_NAMES` (of `DEPTH_CHANNELS`), or the only one.

    Returns
    -------
    array-like (time, y, x)
        In the files' own numbers and dtype; give it to `DepthMaps` with their unit.
        An ``.npz`` is unpacked into memory as a whole; all else is read map by map.

    Raises
    ------
    DepthError
        If nothing is there, or it holds no maps; the text says what was found.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DepthError(f"{path}: there is no such file or folder of depth maps")
    suffix = path.suffix.lower()
    if path.is_dir() and not (suffix == ".zarr" or (path / "zarr.json").is_file()):
        return _MapFolder(path, key)
    if suffix in (".npy", ".npz"):
        return _three(_read_numpy(path, key, 3), path)
    if path.is_dir():
        return _three(_open_zarr(path, key), path)
    if suffix in FRAME_SUFFIXES:
        raise DepthError(
            f"{path} is one map; give the folder that holds one such file per frame"
        )
    raise DepthError(
        f"{path}: depth maps are read from {', '.join(ARRAY_SUFFIXES)} or a folder of "
        f"{', '.join(FRAME_SUFFIXES)} files"
    )


def _three(maps: Any, path: Path) -> Any:
    if len(maps.shape) != 3:
        raise DepthError(
            f"{path}: depth maps must be (time, y, x), got shape {tuple(maps.shape)}"
        )
    return maps


def _pick(
    names: list[str], wanted: str | None, known: tuple[str, ...], what: str
) -> str:
    """Choose an array by its name; never among several on a guess."""
    if wanted is not None:
        if wanted not in names:
            raise DepthError(f"{what}: no {wanted!r}; it holds {sorted(names)}")
        return wanted
    found = [n for n in names if re.split(r"[./]", n)[-1].lower() in known]
    for choice in (found, names):
        if len(choice) == 1:
            return choice[0]
    raise DepthError(
        f"{what} holds {sorted(names)}: name the one with depth, "
        'open_maps(path, key="...")'
    )


def _read_numpy(path: Path, key: str | None, ndim: int) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as file:
                fits = [n for n in file.files if key == n or file[n].ndim == ndim]
                array = file[_pick(fits or file.files, key, DEPTH_NAMES, str(path))]
    except DepthError:
        raise
    except (ValueError, OSError, EOFError) as error:
        raise DepthError(f"{path}: not a plain {path.suffix} array: {error}") from None
    return array


def _open_zarr(path: Path, key: str | None) -> Any:
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except (ValueError, OSError, KeyError) as error:
        raise DepthError(f"{path}: not a readable Zarr store: {error}") from None
    if isinstance(node, zarr.Array):
        return node
    names = [n for n, a in node.arrays() if a.ndim == 3 or n == key]
    return node[_pick(names, key, DEPTH_NAMES, str(path))]


class _MapFolder:
    """One file per frame, as an array (time, y, x) that is read map by map."""

    ndim = 3

    def __init__(self, folder: Path, key: str | None) -> None:
        found: dict[str, list[Path]] = {}
        for path in folder.iterdir():
            if path.suffix.lower() in FRAME_SUFFIXES and path.name[0] != ".":
                found.setdefault(path.suffix.lower(), []).append(path)
        if not found:
            raise DepthError(
                f"{folder} holds no depth maps ({', '.join(FRAME_SUFFIXES)})"
            )
        if len(found) > 1:
            kinds = ", ".join(f"{len(v)} {k}" for k, v in sorted(found.items()))
            raise DepthError(
                f"{folder} holds files of several kinds ({kinds}); keep one"
            )
        self.paths = sorted(next(iter(found.values())), key=_natural)
        self.key = key
        first = _read_one(self.paths[0], key)
        self.shape = (len(self.paths), *first.shape)
        self.dtype = first.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        when, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(when, int | np.integer):
            return self._read(int(when))[tuple(rest)]
        wanted = np.arange(len(self.paths))[when]
        maps = [self._read(int(i)) for i in wanted]
        stacked = np.stack(maps) if maps else np.empty((0, *self.shape[1:]), self.dtype)
        return stacked[(slice(None), *rest)]

    def _read(self, i: int) -> np.ndarray:
        one = _read_one(self.paths[i], self.key)
        if one.shape != self.shape[1:]:
            raise DepthError(
                f"{self.paths[i]} is {one.shape[1]} x {one.shape[0]} pixels, the first "
                f"map {self.shape[2]} x {self.shape[1]}: bring them to one size"
            )
        return one


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p]


def _read_one(path: Path, key: str | None) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        one = np.asarray(_read_numpy(path, key, 2))
    elif suffix == ".exr":
        one = _read_exr(path, key)
    else:
        import cv2

        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise DepthError(f"{path} cannot be read as an image")
        one = picture
    if one.ndim != 2:
        raise DepthError(
            f"{path}: a depth map must be (y, x), got shape {one.shape}"
            + (": a coloured picture of depth holds no depth" if one.ndim == 3 else "")
        )
    return one


def _read_exr(path: Path, key: str | None) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError:
        raise DepthError(
            f"{path}: EXR files need the package OpenEXR: pip install "
            '"seurat-tracks[exr]"'
        ) from None
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            name = _pick(list(channels), key, DEPTH_CHANNELS, str(path))
            return np.array(channels[name].pixels)
    except DepthError:
        raise
    except Exception as error:  # noqa: BLE001  (the binding raises plain Exceptions)
        raise DepthError(f"{path}: not a readable EXR file: {error}") from None
