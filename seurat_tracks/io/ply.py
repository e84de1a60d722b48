"""Point clouds as PLY: all frames in one file, or one file a frame."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from seurat_tracks.io._export import (
    Block,
    about,
    axes_of,
    blocks,
    check_lifted,
    colours,
    left_out,
    one_line,
)
from seurat_tracks.io._files import note_lost, writing

AXES = "camera: x right, y down, z forward"

_VERTEX = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("visible", "u1"),
        ("frame", "<i4"),
        ("track", "<i4"),
        ("sigma", "<f4"),
    ]
)
_NAMES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}
_ASCII = "%.9g %.9g %.9g %d %d %d %d %d %d %.9g"
_INT32 = 2**31


def write_ply(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    per_frame: bool = False,
    binary: bool = True,
    only_seen: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write 3D positions as a point cloud.

    Parameters
    ----------
    ds
        Lifted tracks. Lazy variables are computed chunk by chunk.
    path
        The file; or with `per_frame` a folder that does not exist
        yet, to hold ``frame_000000.ply`` and so on, one a frame, empty ones too.
    per_frame
        One file a frame.
    binary
        Little-endian binary; False writes text, four times larger.
    only_seen
        Leave out positions in frames in which the point is not seen.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract or has no ``xyz``.
    SeuratTracksError
        If `path` cannot be written.

    Warns
    -----
    UserWarning
        Names the variables that PLY has no place for.

    Notes
    -----
    A vertex holds x, y, z (camera axes, as in the Dataset), red, green, blue (one
    colour a track), visible, frame, track and sigma (standard error of the natural
    logarithm of depth; NaN = unknown). ``track`` is the id where ids are integers that
    fit into 32 bits, else the track's position; then one ``comment id`` line a track
    says its id. Comments in the header state units, axes and where depth comes from.
    """
    check_lifted(ds, "PLY")
    frames = ds["time"].values
    ids = ds["track"].values
    whole = ids.dtype.kind in "iu" and (np.abs(ids.astype(object)) < _INT32).all()
    notes = [f"{k} {one_line(v)}" for k, v in about(ds, axes_of(ds, AXES)).items()]
    if not whole:
        notes += [f"id {i} {one_line(v)}" for i, v in enumerate(ids)]
    numbers = ids if whole else np.arange(len(ids))
    if per_frame:
        target = _per_frame(ds, Path(path), frames, numbers, notes, binary, only_seen)
        note_lost(target, "PLY", left_out(ds, "depth_ratio_sigma"))
        return target
    with writing(path, overwrite=overwrite) as partial:
        body = partial.with_suffix(".body")
        n = 0
        try:
            with body.open("wb") as file:
                for block in blocks(ds):
                    vertices = _vertices(block, frames, numbers, only_seen)
                    file.write(_bytes(vertices, binary))
                    n += len(vertices)
            with partial.open("wb") as out, body.open("rb") as file:
                out.write(_header(n, notes, binary))
                shutil.copyfileobj(file, out, 2**20)
        finally:
            body.unlink(missing_ok=True)
    note_lost(Path(path), "PLY", left_out(ds, "depth_ratio_sigma"))
    return Path(path)


def _per_frame(
    ds: xr.Dataset,
    path: Path,
    frames: np.ndarray,
    numbers: np.ndarray,
    notes: list[str],
    binary: bool,
    only_seen: bool,
) -> Path:
    """Append each block to the body of every frame, then put the headers on."""
    counts = np.zeros(len(frames), np.int64)
    with writing(path, folder=True) as folder:
        for block in blocks(ds):
            vertices = _vertices(block, frames, numbers, only_seen)
            at = np.searchsorted(frames, vertices["frame"])
            order = np.argsort(at, kind="stable")
            vertices, at = vertices[order], at[order]
            edges = np.searchsorted(at, np.arange(len(frames) + 1))
            for i in range(len(frames)):
                part = vertices[edges[i] : edges[i + 1]]
                counts[i] += len(part)
                with (folder / f"{i}.body").open("ab") as file:
                    file.write(_bytes(part, binary))
        for i, frame in enumerate(frames):
            body = folder / f"{i}.body"
            with (folder / f"frame_{frame:06d}.ply").open("wb") as out:
                out.write(_header(int(counts[i]), notes, binary))
                out.write(body.read_bytes())
            body.unlink()
    return path


def _vertices(
    block: Block, frames: np.ndarray, numbers: np.ndarray, only_seen: bool
) -> np.ndarray:
    """Build one record for each known position, track by track."""
    track, time = np.nonzero(block.seen if only_seen else block.known)
    out = np.empty(len(track), _VERTEX)
    xyz = block.xyz[track, time]
    out["x"], out["y"], out["z"] = xyz.T
    paint = colours(block.start + np.arange(len(block.xyz)))[track]
    out["red"], out["green"], out["blue"] = paint.T
    out["visible"] = block.seen[track, time]
    out["frame"] = frames[time]
    out["track"] = numbers[block.start + track]
    out["sigma"] = block.sigma[track, time]
    return out


def _bytes(vertices: np.ndarray, binary: bool) -> bytes:
    if binary:
        return vertices.tobytes()
    return "".join(f"{_ASCII % row}\n" for row in vertices.tolist()).encode()


def _header(n: int, notes: Sequence[str], binary: bool) -> bytes:
    lines = [
        "ply",
        f"format {'binary_little_endian' if binary else 'ascii'} 1.0",
        *(f"comment {note}" for note in notes),
        f"element vertex {n}",
        *(f"property {_NAMES[_VERTEX[k].str]} {k}" for k in _VERTEX.names or ()),
        "end_header",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")
