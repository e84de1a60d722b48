"""Moving points as an animated GLB (glTF 2.0), as Blender and web viewers open it.

Every track is a small ball on a node of its own, which translation keys move and scale
keys hide: in glTF points of a cloud cannot move by themselves, nodes can.
"""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io._export import (
    Block,
    about,
    blocks,
    camera_to_world,
    check_lifted,
    colours,
    in_world,
    left_out,
    seconds_of,
    steps,
)
from seurat_tracks.io._files import note_lost, writing

AXES = (
    "glTF: x right, y up, z backward; the video's camera stands at the origin and "
    "looks along -z. (x, y, z) is (x, -y, -z) of the camera frame"
)
WORLD_AXES = "glTF: (x, y, z) is (x, -y, -z) of the world that the camera poses have"
N_COLOURS = 24
"""Materials that the balls share."""

_FLIP = np.array([1, -1, -1], np.float32)
_FLOAT, _UINT = 5126, 5125
_ARRAY, _ELEMENTS = 34962, 34963
_LINES = 1
_RADIUS = 0.006


def write_glb(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    radius: float | None = None,
    trajectories: bool = True,
    hidden: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write tracks as balls that move, and their paths as lines.

    Parameters
    ----------
    ds
        Lifted tracks. Lazy variables are computed chunk by chunk.
    path
        A ``.glb`` file, which is replaced.
    fps
        Frames per second, where the Dataset has no `seconds`.
    radius
        Radius of the balls in the units of ``xyz``. None: 0.6 per cent of the median
        distance of all tracks.
    trajectories
        Add a still mesh of lines through all positions; a line joins two frames that
        follow one another and in both of which the point is seen, never a gap.
    hidden
        Show balls also while the point is not seen. Otherwise they shrink to nothing
        in those frames.
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
        If `fps` is needed, no position is known, or the file cannot be written or
        would exceed the 4 GiB of the format.

    Warns
    -----
    UserWarning
        Names what glTF has no place for.

    Notes
    -----
    The camera's x right, y down, z forward become glTF's x right, y up, z backward:
    (x, -y, -z). With intrinsics the file holds the video's camera (principal point
    assumed central, as glTF has no other), moving where its poses are known. The first
    frame is at 0 seconds. ``extras`` of the asset and the scene state units, axes and
    where depth comes from; each node's name is the track's id. Tracks without any
    position are left out and named in ``extras``.
    """
    check_lifted(ds, "glTF")
    moments = seconds_of(ds, fps, "glTF")
    moments = (moments - moments[0]).astype(np.float32)
    if (np.diff(moments) <= 0).any():
        raise SeuratTracksError(
            "glTF keeps moments as 32-bit seconds, in which some frames of this video "
            "are at the same moment: export it in parts, ds.isel(time=...)"
        )
    if radius is not None and not (math.isfinite(radius) and radius > 0):
        raise SeuratTracksError(f"radius is {radius!r}; give a positive number")
    with writing(path, overwrite=overwrite) as partial:
        body = partial.with_suffix(".body")
        try:
            with body.open("wb") as file:
                scene = _Scene(ds, file, moments, show_hidden=hidden)
                for block in blocks(ds):
                    scene.add(block, trajectories)
                axes = WORLD_AXES if in_world(ds) else AXES
                document = scene.finish(radius, about(ds, axes))
                size = file.tell()
            _assemble(partial, document, body, size)
        finally:
            body.unlink(missing_ok=True)
    lost = left_out(ds, *(["camera_to_world"] if scene.poses is not None else []))
    never = len(scene.left_out)
    lost += [f"{never} tracks without any position"] if never else []
    note_lost(Path(path), "glTF", lost)
    return Path(path)


class _Scene:
    """Collects nodes and keys while their numbers go to the file."""

    def __init__(
        self, ds: xr.Dataset, file: BinaryIO, moments: np.ndarray, *, show_hidden: bool
    ) -> None:
        self.ds = ds
        self.file = file
        self.moments = moments
        self.show_hidden = show_hidden
        self.ids = [str(v) for v in ds["track"].values]
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.channels: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.distances: list[float] = []
        self.left_out: list[str] = []
        self.times: dict[bytes, int] = {}
        # where the camera is, on glTF's axes
        poses = camera_to_world(ds)
        self.poses = None
        self.eyes = np.zeros((len(moments), 3))
        if poses is not None and in_world(ds):
            turn = np.diag([*_FLIP, 1.0])
            self.poses = turn @ poses @ turn
            self.eyes = self.poses[:, :3, 3]

    def add(self, block: Block, trajectories: bool) -> None:
        """Add a block of tracks."""
        xyz = block.xyz * _FLIP
        for row, (points, known) in enumerate(zip(xyz, block.known, strict=True)):
            position = block.start + row
            if not known.any():
                self.left_out.append(self.ids[position])
                continue
            shown = known if self.show_hidden else block.seen[row]
            away = np.linalg.norm(points[known] - self.eyes[known], axis=-1)
            if np.isfinite(away).any():
                self.distances.append(float(np.nanmedian(away)))
            self._node(position, points[known], known, shown)
        if trajectories:
            self._lines(xyz, block)

    def _node(
        self, position: int, points: np.ndarray, known: np.ndarray, shown: np.ndarray
    ) -> None:
        node = len(self.nodes)
        first = [float(v) for v in points[0]]
        self.nodes.append(
            {
                "name": self.ids[position],
                "mesh": position % N_COLOURS,
                "translation": first,
                "extras": {"track": self.ids[position]},
            }
        )
        self._channel(node, "translation", "LINEAR", known, points)
        # a key where the ball appears or vanishes, and one at the start
        change = np.flatnonzero(np.diff(shown, prepend=~shown[:1]))
        keys = np.zeros(len(shown), bool)
        keys[change] = True
        size = np.repeat(shown[change].astype(np.float32)[:, None], 3, axis=1)
        if not shown.all():
            self._channel(node, "scale", "STEP", keys, size)
            self.nodes[node]["scale"] = [float(v) for v in size[0]]

    def _channel(
        self, node: int, path: str, how: str, keys: np.ndarray, values: np.ndarray
    ) -> None:
        sampler = {
            "input": self._moments(keys),
            "output": self._accessor(values, f"VEC{values.shape[1]}", _FLOAT),
            "interpolation": how,
        }
        self.channels.append(
            {"sampler": len(self.samplers), "target": {"node": node, "path": path}}
        )
        self.samplers.append(sampler)

    def _moments(self, keys: np.ndarray) -> int:
        """Write key times once for all tracks that have the same."""
        label = keys.tobytes()
        if label not in self.times:
            self.times[label] = self._accessor(
                self.moments[keys], "SCALAR", _FLOAT, bounds=True
            )
        return self.times[label]

    def _camera_node(self) -> None:
        """Add the video's camera, which moves if its poses are known."""
        node = len(self.nodes)
        self.nodes.append({"name": "camera of the video", "camera": 0})
        if self.poses is None:
            return
        from scipy.spatial.transform import Rotation

        known = np.isfinite(self.poses).all((1, 2))
        if not known.any():
            return
        turns = Rotation.from_matrix(self.poses[known, :3, :3]).as_quat()
        # q and -q are the same turn: keep neighbours on one side, as keys are mixed
        flips = np.sign((turns[1:] * turns[:-1]).sum(1))
        turns[1:] *= np.cumprod(np.where(flips < 0, -1, 1))[:, None]
        self._channel(node, "translation", "LINEAR", known, self.poses[known, :3, 3])
        self._channel(node, "rotation", "LINEAR", known, turns)
        self.nodes[node]["translation"] = self.poses[known, :3, 3][0].tolist()
        self.nodes[node]["rotation"] = turns[0].tolist()

    def _lines(self, xyz: np.ndarray, block: Block) -> None:
        """Add lines between consecutive frames, both seen."""
        joined = steps(block.seen, self.ds["time"].values)
        used = np.zeros(block.seen.shape, bool)
        used[:, :-1] |= joined
        used[:, 1:] |= joined
        if not joined.any():
            return
        number = np.full(used.shape, -1)
        number[used] = np.arange(used.sum())
        track, time = np.nonzero(joined)
        ends = np.stack([number[track, time], number[track, time + 1]], -1)
        paint = _linear(colours(block.start + np.arange(len(xyz))))
        colour = np.broadcast_to(paint[:, None], xyz.shape)[used]
        self.lines.append(
            {
                "attributes": {
                    "POSITION": self._accessor(
                        xyz[used], "VEC3", _FLOAT, bounds=True, target=_ARRAY
                    ),
                    "COLOR_0": self._accessor(colour, "VEC3", _FLOAT, target=_ARRAY),
                },
                "indices": self._accessor(
                    ends.ravel(), "SCALAR", _UINT, target=_ELEMENTS
                ),
                "material": N_COLOURS,
                "mode": _LINES,
            }
        )

    def _accessor(
        self,
        values: np.ndarray,
        kind: str,
        component: int,
        *,
        bounds: bool = False,
        target: int | None = None,
    ) -> int:
        array = np.ascontiguousarray(values, "<f4" if component == _FLOAT else "<u4")
        view = {
            "buffer": 0,
            "byteOffset": self.file.tell(),
            "byteLength": array.nbytes,
        }
        if target is not None:
            view["target"] = target
        self.file.write(array.tobytes())
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if bounds:
            accessor["min"] = np.atleast_1d(array.min(axis=0)).tolist()
            accessor["max"] = np.atleast_1d(array.max(axis=0)).tolist()
        self.views.append(view)
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def finish(self, radius: float | None, told: dict[str, str]) -> dict[str, Any]:
        """Write the ball, and return the document."""
        if not self.nodes:
            raise SeuratTracksError("no track has a known position: nothing to write")
        if radius is None:
            radius = _RADIUS * float(np.median(self.distances or [1.0]))
        corners, faces = _ball(radius)
        shape = {
            "POSITION": self._accessor(
                corners, "VEC3", _FLOAT, bounds=True, target=_ARRAY
            ),
            "NORMAL": self._accessor(
                corners / np.float32(radius), "VEC3", _FLOAT, target=_ARRAY
            ),
        }
        indices = self._accessor(faces.ravel(), "SCALAR", _UINT, target=_ELEMENTS)
        paint = _linear(colours(np.arange(N_COLOURS)))
        materials = [_material(f"track {i}", [*c, 1.0]) for i, c in enumerate(paint)]
        materials.append(_material("trajectories", [1.0, 1.0, 1.0, 1.0]))
        meshes: list[dict[str, Any]] = [
            {
                "name": f"point {i}",
                "primitives": [
                    {"attributes": shape, "indices": indices, "material": i}
                ],
            }
            for i in range(N_COLOURS)
        ]
        extras: dict[str, Any] = dict(told)
        extras["first_frame"] = int(self.ds["time"].values[0])
        extras["ball_radius"] = radius
        if self.left_out:
            extras["tracks_without_positions"] = self.left_out
        top = list(range(len(self.nodes)))
        document: dict[str, Any] = {
            "asset": {
                "version": "2.0",
                "generator": told["generator"],
                "extras": extras,
            },
            "scene": 0,
            "nodes": self.nodes,
            "meshes": meshes,
            "materials": materials,
            "animations": [
                {
                    "name": "tracks",
                    "samplers": self.samplers,
                    "channels": self.channels,
                }
            ],
            "accessors": self.accessors,
            "bufferViews": self.views,
        }
        if self.lines:
            top.append(len(self.nodes))
            self.nodes.append({"name": "trajectories", "mesh": len(meshes)})
            meshes.append({"name": "trajectories", "primitives": self.lines})
        camera = _camera(self.ds)
        if camera is not None:
            document["cameras"] = [camera]
            top.append(len(self.nodes))
            self._camera_node()
        document["scenes"] = [{"name": "tracks", "nodes": top, "extras": extras}]
        return document


def _assemble(path: Path, document: dict[str, Any], body: Path, size: int) -> None:
    """Put header, JSON and numbers into one GLB."""
    document["buffers"] = [{"byteLength": size}]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    padding = -size % 4
    total = 12 + 8 + len(text) + 8 + size + padding
    if total >= 2**32:
        raise SeuratTracksError(
            f"the GLB would take {total / 2**30:.1f} GiB, and the format ends at 4: "
            "select tracks or frames, ds.isel(track=...)"
        )
    with path.open("wb") as out, body.open("rb") as numbers:
        out.write(struct.pack("<4sII", b"glTF", 2, total))
        out.write(struct.pack("<I4s", len(text), b"JSON") + text)
        out.write(struct.pack("<I4s", size + padding, b"BIN\0"))
        while piece := numbers.read(2**20):
            out.write(piece)
        out.write(b"\0" * padding)


def _ball(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an icosahedron: corners float32 (12, 3), faces (20, 3), outward."""
    g = (1 + math.sqrt(5)) / 2
    flat = [(0, a, b * g) for a in (-1, 1) for b in (-1, 1)]
    corners = np.array([np.roll(corner, turn) for turn in range(3) for corner in flat])
    near = np.linalg.norm(corners[:, None] - corners[None], axis=-1) < 2.1
    faces = []
    for i in range(12):
        for j in range(i + 1, 12):
            for k in range(j + 1, 12):
                if near[i, j] and near[j, k] and near[i, k]:
                    a, b, c = corners[[i, j, k]]
                    outward = np.dot(np.cross(b - a, c - a), a + b + c) > 0
                    faces.append((i, j, k) if outward else (i, k, j))
    scaled = corners / np.linalg.norm(corners, axis=1, keepdims=True) * radius
    return scaled.astype(np.float32), np.array(faces)


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Turn sRGB 0..255 into the linear 0..1 of glTF."""
    c = rgb / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _material(name: str, colour: list[float]) -> dict[str, Any]:
    return {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [float(v) for v in colour],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.8,
        },
    }


def _camera(ds: xr.Dataset) -> dict[str, Any] | None:
    """Return the video's camera, where it is known."""
    if "intrinsics" not in ds.attrs:
        return None
    width, height = (float(v) for v in ds.attrs["frame_size"])
    fy = float(ds.attrs["intrinsics"][1])
    return {
        "type": "perspective",
        "name": "camera of the video",
        "perspective": {
            "aspectRatio": width / height,
            "yfov": 2 * math.atan(height / (2 * fy)),
            "znear": 0.01,
        },
    }
