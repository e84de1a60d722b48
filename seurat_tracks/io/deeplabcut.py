"""Poses from DeepLabCut: its CSV and HDF5 files, of one animal or several.

Lightning Pose writes the same CSV. The HDF5 files are pandas' own: the usual readers
unpickle what lies in their attributes, which could run anything. Here they are read as
plain arrays, and the pickled lists of names are parsed, not run.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io._hdf5 import array_of, holds, is_hdf5, open_hdf5, text_of
from seurat_tracks.io._names import names_of
from seurat_tracks.io._text import POSE_ROWS, pose_rows
from seurat_tracks.io.poses import (
    DEFAULT_INDIVIDUAL,
    build_poses,
    check_threshold,
    need_frame_size,
)

MIN_CONFIDENCE = 0.6
"""DeepLabCut's own ``pcutoff``."""

_CSV = "a CSV file of DeepLabCut"
_H5 = "an HDF5 file of DeepLabCut"
_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_TRAINING = (
    "its rows are named by image files, so it holds labels for training. Cure: read "
    "the file that DeepLabCut's analyze_videos wrote"
)


class _Table(NamedTuple):
    """What both kinds of file hold."""

    columns: list[tuple[str, ...]]
    frames: np.ndarray
    values: np.ndarray


def read_deeplabcut(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> xr.Dataset:
    """Read poses as DeepLabCut's ``analyze_videos`` writes them.

    Parameters
    ----------
    path
        A ``.csv`` or ``.h5`` file, of one animal or several; told apart by content.
    frame_size
        Width and height of the video in pixels, which the file does not say.
    fps
        Frames per second, which the file does not say; may stay unknown.
    min_confidence
        A keypoint counts as seen where its likelihood is above this.

    Returns
    -------
    xarray.Dataset
        Tracks ``individual/keypoint`` in the file's order, ``xy`` (track, time, coord)
        pixels as they are in the file, ``visible``, ``confidence`` = likelihood; the
        coordinates ``individual`` and ``keypoint``. NaN as likelihood is not seen.
        ``time`` holds the file's own frame numbers.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SeuratTracksError
        If ``frame_size`` is missing, or the file is not DeepLabCut's, is cut short,
        has a bad row (which is named), or needs objects unpickled.
    """
    path = Path(path)
    check_threshold(min_confidence)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    table = _read_h5(path) if is_hdf5(path) else _read_csv(path)
    size = need_frame_size(path, None, frame_size)
    places = _places(path, table.columns)
    xy = np.stack(
        [table.values[:, [columns[c] for columns in places.values()]] for c in "xy"], -1
    )
    columns = [place["likelihood"] for place in places.values()]
    return build_poses(
        xy,
        table.values[:, columns],
        individuals=[individual for individual, _ in places],
        keypoints=[keypoint for _, keypoint in places],
        frame_size=size,
        fps=fps,
        min_confidence=min_confidence,
        source="DeepLabCut",
        time=table.frames,
    )


def recognises(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is DeepLabCut's, by its content.

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
    if is_hdf5(path):
        return holds(path, lambda file: _group(file) is not None)
    with path.open("rb") as file:
        head = file.read(2**16).decode("utf-8-sig", errors="replace")
    return pose_rows(head.splitlines()) > 0


def _places(
    path: Path, columns: list[tuple[str, ...]]
) -> dict[tuple[str, str], dict[str, int]]:
    """Find the columns of x, y and likelihood of every keypoint."""
    places: dict[tuple[str, str], dict[str, int]] = {}
    faults = set()
    for at, names in enumerate(columns):
        if len(names) not in POSE_ROWS:
            faults.add(f"a column has {len(names)} names, expected 3 or 4")
            continue
        individual = names[1] if len(names) == 4 else DEFAULT_INDIVIDUAL
        place = places.setdefault((individual, names[-2]), {})
        if names[-1] in place:
            faults.add(f"{'/'.join(names[1:])} is there twice")
        place[names[-1]] = at
    for (individual, keypoint), place in places.items():
        lacking = [c for c in ("x", "y", "likelihood") if c not in place]
        if lacking:
            faults.add(f"{individual}/{keypoint} has no {' and no '.join(lacking)}")
    if not places and not faults:
        faults.add("it has no keypoints")
    if faults:
        raise SeuratTracksError(f"{path}: {'; '.join(sorted(faults))}")
    return places


def _read_csv(path: Path) -> _Table:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        head = [line.rstrip("\r\n") for line in islice(file, 4)]
        try:
            rows = list(csv.reader(head))
        except csv.Error as error:
            raise SeuratTracksError(f"{path} is not {_CSV}: {error}") from None
        above = pose_rows(head)
        if not above:
            firsts = [row[0].strip() if row else "" for row in rows]
            raise SeuratTracksError(
                f"{path} is not {_CSV}: its first column begins with {firsts}, "
                "expected scorer, (individuals,) bodyparts, coords"
            )
        widths = {len(row) for row in rows[:above]}
        if len(widths) != 1:
            raise SeuratTracksError(
                f"{path}: the rows of names have {sorted(widths)} fields; they should "
                "have the same number"
            )
        columns = list(zip(*(row[1:] for row in rows[:above]), strict=True))
        body = "".join(f"{line}\n" for line in head[above:]) + file.read()
    return _Table(columns, *_numbers(path, body, len(columns), above))


def _numbers(
    path: Path, body: str, width: int, above: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read rows of numbers; the first bad one is named by its line in the file."""
    import pandas as pd

    lines = body.splitlines()
    for at, line in enumerate(lines):
        found = line.count(",")
        if found != width:
            text = f"{path}: line {at + above + 1} has {found} values, expected {width}"
            if at == len(lines) - 1:
                text += "; it is the last one: the file may be cut short"
            raise SeuratTracksError(text)
    if not lines:
        raise SeuratTracksError(f"{path} has no rows beneath its names")
    if lines[0].split(",", 1)[0].lower().endswith(_IMAGES):
        raise SeuratTracksError(f"{path}: {_TRAINING}")
    try:
        data = pd.read_csv(
            io.StringIO(body),
            header=None,
            dtype=np.float64,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
        ).to_numpy()
    except ValueError:
        raise _bad_row(path, lines, above) from None
    return _frames(path, data[:, 0]), data[:, 1:]


def _bad_row(path: Path, lines: list[str], above: int) -> SeuratTracksError:
    for at, line in enumerate(lines):
        for text in line.split(","):
            try:
                if text.strip():
                    float(text)
            except ValueError:
                return SeuratTracksError(
                    f"{path}: line {at + above + 1} holds {text[:40]!r}, expected "
                    "numbers"
                )
    return SeuratTracksError(f"{path}: a row is not of numbers")


def _frames(path: Path, values: np.ndarray) -> np.ndarray:
    """Return frame numbers, of which none is missing or fractional."""
    with np.errstate(invalid="ignore"):
        whole = (np.abs(values) < 2**53) & (values == np.rint(values))
    if not whole.all():
        raise SeuratTracksError(
            f"{path}: the first column holds {values[~whole][0]:g}, expected frame "
            "numbers"
        )
    return values.astype(np.int64)


def _read_h5(path: Path) -> _Table:
    with open_hdf5(path, _H5) as file:
        group = _group(file)
        if group is None:
            raise SeuratTracksError(
                f"{path} is not {_H5}: it holds no pandas table with columns named "
                "scorer, bodyparts, coords"
            )
        if text_of(group.attrs["pandas_type"]) == "frame_table":
            parts = _of_table(path, group)
            kind = group["table"].attrs.get("index_kind")
        else:
            parts = _of_blocks(path, group)
            kind = group["axis1"].attrs.get("kind")
        columns, frames, values = parts
        if text_of(kind) != "integer":
            raise SeuratTracksError(f"{path}: {_TRAINING}")
    if values.dtype.kind not in "fiu":
        raise SeuratTracksError(f"{path} holds {values.dtype} values, not numbers")
    if len(frames) != len(values) or len(columns) != values.shape[1]:
        raise SeuratTracksError(
            f"{path}: {len(frames)} frame numbers and {len(columns)} names do not fit "
            f"values of shape {values.shape}"
        )
    return _Table(
        columns, _frames(path, frames.astype(np.float64)), values.astype(float)
    )


def _group(file: Any) -> Any:
    """Find the pandas frame whose columns have several names."""
    import h5py

    for node in file.values():
        if not isinstance(node, h5py.Group):
            continue
        kind = text_of(node.attrs.get("pandas_type", b""))
        if kind == "frame_table" and "table" in node:
            names = b"bodyparts" in bytes(node.attrs.get("info", b""))
            if names:
                return node
        if kind == "frame" and text_of(node.attrs.get("axis0_variety", b"")) == "multi":
            return node
    return None


def _of_table(
    path: Path, group: Any
) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """Read pandas' "table" format: rows of an index and blocks of values."""
    table = array_of(path, group, "table")
    blocks = [n for n in table.dtype.names or () if n.startswith("values_block_")]
    if not blocks or "index" not in (table.dtype.names or ()):
        raise SeuratTracksError(f"{path}: its table has no index or no values")
    columns: list[tuple[str, ...]] = []
    for name in blocks:
        columns += names_of(path, group["table"].attrs[f"{name}_kind"])
    values = [table[name].reshape(len(table), -1) for name in blocks]
    return columns, table["index"], np.concatenate(values, axis=1)


def _of_blocks(
    path: Path, group: Any
) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """Read pandas' "fixed" format: blocks of values, each with its names."""
    columns: list[tuple[str, ...]] = []
    values = []
    for block in range(int(group.attrs["nblocks"])):
        name = f"block{block}"
        levels = range(int(group.attrs[f"{name}_items_nlevels"]))
        named = []
        for level in levels:
            of = array_of(path, group, f"{name}_items_level{level}")
            at = array_of(path, group, f"{name}_items_label{level}")
            if of.ndim != 1 or at.ndim != 1 or (at < 0).any() or (at >= len(of)).any():
                raise SeuratTracksError(f"{path}: the names of its columns are damaged")
            named.append([text_of(of[i]) for i in at])
        columns += list(zip(*named, strict=True))
        array = array_of(path, group, f"{name}_values")
        if array.ndim != 2:
            raise SeuratTracksError(f"{path}: {name}_values has shape {array.shape}")
        turned = bool(group[f"{name}_values"].attrs.get("transposed", False))
        values.append(array if turned else array.T)
    return columns, array_of(path, group, "axis1"), np.concatenate(values, axis=1)
