"""Windows from the track files of point-tracking data sets.

Two layouts are known; docs/training.md says how to get there from what is published.

PointOdyssey (Zheng et al. 2023), one folder per sequence with ``anno.npz``:

==============  ============  ==========================================================
``trajs_2d``    (T, N, 2)     pixels, the first pixel's corner at 0
``trajs_3d``    (T, N, 3)     world coordinates, metres
``visibs``      (T, N)        seen
``valids``      (T, N)        position and depth are known
``intrinsics``  (T, 3, 3)     pixels; the principal point is the frame's centre
``extrinsics``  (T, 4, 4)     world to camera; x right, y down, z forward
==============  ============  ==========================================================

(``visibilities`` may stand for the two flags: 0 hidden, 1 seen, 2 not valid. Evidence
for the corner: `seurat_tracks.io.pointodyssey`.)

Kubric (Greff et al. 2022), one ``.npz`` per video, named as in Kubric's
``challenges/point_tracking`` with ``random_crop=False``, plus the camera:

==================  =========  =========================================================
``target_points``   (N, T, 2)  pixels, the first pixel's corner at 0
``occluded``        (N, T)     hidden
``relative_depth``  (N, T)     distance to the camera's centre, in any unit per point
``frame_size``      (2,)       width, height
``focal_length``    ()         in the unit of
``sensor_width``    ()         (MOVi-F: 35 and 32)
==================  =========  =========================================================
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from seurat_tracks.training.config import TrainConfig, TrainingError
from seurat_tracks.training.data import (
    SPOILED,
    Batch,
    BatchSize,
    batch_seed,
    batch_size,
    make_batch,
)

Array = np.ndarray

FEWEST = 16
"""A window needs so many points seen in its first frame."""

FAR_OUTSIDE = 2.0
"""Beyond this, in halves of the longer side, nothing is said about depth: a projection
there may be that of a point behind the camera."""


@dataclass(frozen=True)
class Tracks:
    """All points of one video in some of its frames.

    Attributes
    ----------
    xy : float32 (P, T, 2)
        Normalised: the frame's centre is 0, half of the longer side 1.
    visible : bool (P, T)
    z : float32 (P, T)
        Depth along the optical axis; 0 where not known.
    focal : float
        Halves of the longer side, at the first of the frames.
    """

    xy: Array
    visible: Array
    z: Array
    focal: float


def read_array(path: Path, name: str) -> Array:
    """Map an array of an ``.npz`` into memory; a compressed one is read.

    Raises
    ------
    TrainingError
        If there is no such file or array.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type != zipfile.ZIP_STORED:
                with np.load(path, allow_pickle=False) as arrays:
                    return np.asarray(arrays[name])
            # a local header is 30 bytes, a name and an extra field (zip, 4.3.7)
            file.seek(member.header_offset + 26)
            lengths = np.frombuffer(file.read(4), "<u2")
            file.seek(member.header_offset + 30 + int(lengths.sum()))
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                header = np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(file)
            if dtype.hasobject:
                raise ValueError("it holds Python objects, which are never loaded")
            return np.memmap(
                path, dtype, "r", file.tell(), shape, "F" if fortran else "C"
            )
    except KeyError:
        raise TrainingError(f"{path} has no array {name!r}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path}: cannot read {name!r}: {error}") from error


class PointOdyssey:
    """Sequences with ``anno.npz``; see the module."""

    name = "pointodyssey"

    @staticmethod
    def find(folder: Path) -> list[Path]:
        """Sequences below a folder; those without 3D tracks are left out."""
        return [p for p in sorted(folder.rglob("anno.npz")) if _has_depth(p)]

    @staticmethod
    def frames(path: Path) -> int:
        """Length of a sequence."""
        return len(read_array(path, "trajs_3d"))

    @staticmethod
    def read(path: Path, frames: Array) -> Tracks:
        """Read some frames of a sequence."""

        def rows(name: str) -> Array:
            return np.asarray(read_array(path, name)[frames])

        uv, world, K, E = (
            rows(name).astype(np.float32)
            for name in ("trajs_2d", "trajs_3d", "intrinsics", "extrinsics")
        )
        if _has(path, "visibilities"):
            state = rows("visibilities")
            visible, valid = state == 1, state < 2
        else:
            visible, valid = rows("visibs") > 0, rows("valids") > 0
        # third row of the extrinsics: depth along the optical axis
        z = np.einsum("tnc,tc->tn", world, E[:, 2, :3]) + E[:, 2, 3:]
        size = 2 * K[0, :2, 2]
        return _tracks(uv, visible & valid, np.where(valid, z, 0), size, K[0, 0, 0])


class Kubric:
    """Videos with tracks in Kubric's names; see the module."""

    name = "kubric"

    @staticmethod
    def find(folder: Path) -> list[Path]:
        """Videos below a folder."""
        return sorted(folder.rglob("*.npz"))

    @staticmethod
    def frames(path: Path) -> int:
        """Length of a video."""
        return int(read_array(path, "target_points").shape[1])

    @staticmethod
    def read(path: Path, frames: Array) -> Tracks:
        """Read some frames of a video."""
        uv, hidden, radial = (
            np.swapaxes(read_array(path, name)[:, frames], 0, 1)
            for name in ("target_points", "occluded", "relative_depth")
        )
        size, length, sensor = (
            read_array(path, name).astype(np.float32)
            for name in ("frame_size", "focal_length", "sensor_width")
        )
        focal = float(length / sensor * size[0])  # pixels
        # the ray through (u, v) is K^-1 [u, v, 1]; its third component is 1
        ray = (uv - size / 2) / focal
        z = radial / np.sqrt(1 + np.square(ray).sum(-1))
        return _tracks(uv, ~hidden.astype(bool), z, size, focal)


Layout = type[PointOdyssey] | type[Kubric]


def _has_depth(path: Path) -> bool:
    return _has(path, "trajs_3d") and read_array(path, "trajs_3d").ndim == 3


def _has(path: Path, name: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{name}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path} is not a readable .npz file: {error}") from error


def _tracks(uv: Array, visible: Array, z: Array, size: Array, focal: float) -> Tracks:
    """Normalise (T, N) tracks in pixels whose first corner, not centre, is 0."""
    half = float(size.max()) / 2
    xy = (uv - size / 2) / half
    known = np.isfinite(xy).all(-1) & np.isfinite(z) & (z > 0)
    xy = np.where(known[..., None], xy, 0)
    inside = (np.abs(xy) <= size / 2 / half).all(-1)
    near = (np.abs(xy) < FAR_OUTSIDE).all(-1)
    return Tracks(
        np.ascontiguousarray(np.swapaxes(xy, 0, 1), np.float32),
        np.ascontiguousarray((visible & known & inside).T),
        np.ascontiguousarray(np.where(known & near, z, 0).T, np.float32),
        float(focal) / half,
    )


class TrackFiles:
    """A data set on the disk, and batches of windows drawn from it.

    Parameters
    ----------
    folder
        With the folders ``train`` and ``val`` (or ``validation``), or with sequences
        of which the last twentieth is held out.
    frames
        Frames of a window.

    Raises
    ------
    TrainingError
        If there is nothing in a known layout.
    """

    def __init__(self, folder: Path, frames: int) -> None:
        if not folder.is_dir():
            raise TrainingError(f"{folder} is not a folder")
        self.window = frames
        layouts: list[Layout] = [PointOdyssey, Kubric]
        odyssey = next(folder.rglob("anno.npz"), None) is not None
        self.layout = layouts[0 if odyssey else 1]
        self.train, self.held_out = self._split(folder, self.layout.find)
        self.layout.read(self.train[0], np.arange(1))  # wrong files are refused now

    @property
    def name(self) -> str:
        """Name of the layout."""
        return self.layout.name

    @staticmethod
    def _split(
        folder: Path, find: Callable[[Path], list[Path]]
    ) -> tuple[list[Path], list[Path]]:
        if (folder / "train").is_dir():
            train = find(folder / "train")
            held_out = find(folder / "val") + find(folder / "validation")
        else:
            paths = find(folder)
            cut = len(paths) - max(1, len(paths) // 20)
            train, held_out = paths[:cut], paths[cut:]
        if not train or not held_out:
            raise TrainingError(
                f"{folder}: needs sequences to train on and others to hold out "
                f"(folders train and val, or at least two), as **/anno.npz "
                f"(PointOdyssey) or **/*.npz (Kubric); found {len(train)} and "
                f"{len(held_out)}"
            )
        return train, held_out

    def batch(self, config: TrainConfig, step: int, device: torch.device) -> Batch:
        """Draw the batch of one training step: a pure function of seed and step."""
        seed = batch_seed(config, step)
        draw = random.Random(seed)
        size = batch_size(config, draw)
        exact = self._windows(self.train, size, config.max_stride, draw, device)
        generator = torch.Generator(device).manual_seed(seed)
        return make_batch(exact, config.spoil, config.known_focal, generator)

    def validation(self, windows: int, device: torch.device) -> Batch:
        """Draw fixed held-out windows, all of them spoiled."""
        draw, size = random.Random(0), BatchSize(windows, 256, 64)
        exact = self._windows(self.held_out, size, 1, draw, device)
        generator = torch.Generator(device).manual_seed(2**40)
        return make_batch(exact, SPOILED, 0.0, generator)

    def _windows(
        self,
        paths: list[Path],
        size: BatchSize,
        max_stride: int,
        draw: random.Random,
        device: torch.device,
    ) -> Batch:
        picked = [
            self._pick(paths, size, max_stride, draw) for _ in range(size.windows)
        ]

        def stack(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(t, name) for t in picked]))

        xy, visible, z = (stack(n).to(device) for n in ("xy", "visible", "z"))
        focal = torch.tensor([t.focal for t in picked], device=device)
        return Batch(xy, visible, z, visible, size.support, focal)

    def _pick(
        self, paths: list[Path], size: BatchSize, max_stride: int, draw: random.Random
    ) -> Tracks:
        """Draw a window, and its support and query points."""
        for _ in range(100):
            path, stride = draw.choice(paths), draw.randint(1, max_stride)
            room = self.layout.frames(path) - (self.window - 1) * stride
            if room < 1:
                continue
            start = draw.randrange(room)
            frames = start + stride * np.arange(self.window)
            tracks = self.layout.read(path, frames)
            if tracks.visible[:, 0].sum() >= FEWEST:
                return choose_points(tracks, size, draw)
        raise TrainingError(
            f"a hundred windows in {paths[0].parent.parent} had fewer than {FEWEST} "
            f"points in their first frame, or fewer frames than {self.window}"
        )


def choose_points(tracks: Tracks, size: BatchSize, draw: random.Random) -> Tracks:
    """Choose support points, spread over the first frame, then query points.

    Support points are seen in the first frame; a quarter of those is left for the
    query points, which are seen in some frame. Where there are too few, points that are
    never seen fill up.
    """
    rng = np.random.default_rng(draw.randrange(2**32))
    order = rng.permutation(len(tracks.xy))
    first = order[tracks.visible[order, 0]]
    # one point of every cell of a grid before a second of any
    side = np.ceil(np.sqrt(size.support))
    cell = ((tracks.xy[first, 0] + 1) / 2 * side).astype(int) @ np.array([1, 4096])
    rank = np.zeros(len(first), int)
    by_cell = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[by_cell], prepend=-1))
    rank[by_cell] = np.arange(len(first)) - np.repeat(
        starts, np.diff(starts, append=len(first))
    )
    most = min(size.support, len(first) * 3 // 4)
    support = first[np.argsort(rank, kind="stable")][:most]
    free = np.setdiff1d(order[tracks.visible[order].any(1)], support)
    queries = rng.permutation(free)[: size.queries]

    def fill(values: Array) -> Array:
        filled = np.zeros(
            (size.support + size.queries, *values.shape[1:]), values.dtype
        )
        filled[: len(support)] = values[support]
        filled[size.support : size.support + len(queries)] = values[queries]
        return filled

    return Tracks(fill(tracks.xy), fill(tracks.visible), fill(tracks.z), tracks.focal)
