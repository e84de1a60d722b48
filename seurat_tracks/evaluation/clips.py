"""Cases from recorded clips: real tracks or real videos, with measured depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.evaluation.rows import Case

if TYPE_CHECKING:
    import xarray as xr

FILM_SIZES = {"01": (2048, 1080), "02": (4096, 2160), "03": (1920, 1012)}
"""Frames of the libmv shots, pixels: twice their principal points."""

SURFACES = ("cushion", "hulk", "kinectPaper", "whiteCartoonTshirt")
"""The deforming surfaces, each a few wide-apart stills."""


def kitchen(data: Path) -> Iterator[Case]:
    """Take a hand-held camera's static scene, from its true 2D tracks."""
    yield _true_tracks("kitchen", data / "sevenscenes_a/seq_a.npz", (480, 360))


def films(data: Path) -> Iterator[Case]:
    """Take match-moved film shots: hand-checked tracks, hundreds of frames, gaps."""
    for shot, size in FILM_SIZES.items():
        path = data / f"libmv_tracks/problem_{shot}.npz"
        yield _true_tracks(f"libmv-{shot}", path, size)


def joints(data: Path) -> Iterator[Case]:
    """Take a balancing person's 21 joints from two cameras, nothing else tracked."""
    for camera in ("2", "4"):
        path = data / f"pose2sim_balancing/cam{camera}.npz"
        height, width = (int(v) for v in read(path)["size_hw"])
        yield _true_tracks(f"joints-{camera}", path, (width, height))


def surfaces(data: Path) -> Iterator[Case]:
    """Take deforming surfaces, whose frame sizes are twice their principal points."""
    for name in SURFACES:
        path = data / f"nrsfm_surfaces/{name}.npz"
        _, _, cx, cy = _four(read(path)["intrinsics"])
        yield _true_tracks("surfaces", path, (round(2 * cx), round(2 * cy)))


def kitchen_from_video(data: Path, cache: Path) -> Iterator[Case]:
    """Track the kitchen's points through its video, from where they truly start."""
    clip = read(data / "sevenscenes_a/seq_a.npz")
    uv, start = clip["tracks_uv"], clip["query_frame"]
    queries = np.column_stack([start, uv[start, np.arange(len(start))]])
    ds = _tracked(data / "sevenscenes_a/seq_a.mp4", queries, cache / "kitchen-lk.zarr")
    yield Case(
        {"kitchen-lk": None},
        "seq_a",
        ds,
        clip["tracks_xyz"][..., 2].T,
        clip["visibility"].T.astype(bool),
        _four(clip["intrinsics"]),
    )


def typing_from_video(data: Path, cache: Path) -> Iterator[Case]:
    """Track a grid over a person who sits and types; truth is the depth map there."""
    clip = read(data / "depthkit_typing/typing.npz")
    depth = clip["depth"]
    T, height, width = depth.shape
    x, y = np.meshgrid(
        (np.arange(24) + 0.5) * width // 24, (np.arange(24) + 0.5) * height // 24
    )
    grid = np.stack([x.ravel(), y.ravel()], -1).astype(int)
    known = np.isfinite(depth[0, grid[:, 1], grid[:, 0]])
    store = cache / "typing-lk.zarr"
    ds = _tracked(data / "depthkit_typing/typing.mp4", grid[known], store)
    seen = ds["visible"].values
    xy = np.where(seen[..., None], ds["xy"].values, 0).round().astype(int)
    x = xy[..., 0].clip(0, width - 1)
    y = xy[..., 1].clip(0, height - 1)
    z = depth[np.arange(T), y, x]
    k = _four(clip["intrinsics"])
    yield Case({"typing": None}, "typing", ds, z, seen & np.isfinite(z), k)


def read(path: Path) -> dict[str, np.ndarray]:
    """Read every array of a clip's npz file."""
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _true_tracks(row: str, path: Path, size: tuple[int, int]) -> Case:
    """Take a clip's true 2D tracks as queries and, there being no other, as support."""
    import seurat_tracks as st

    clip = read(path)
    visible = clip["visibility"].T.astype(bool)
    keep = visible.any(1)
    visible = visible[keep]
    uv = clip["tracks_uv"].transpose(1, 0, 2)[keep]
    xy = np.where(visible[..., None], uv, np.nan)
    ds = st.from_arrays(xy, visible, frame_size=size)
    z = clip["tracks_xyz"][..., 2].T[keep]
    k = _four(clip["intrinsics"])
    return Case({row: None}, path.stem, ds, z, visible, k, _lens(clip))


def _tracked(video: Path, queries: np.ndarray, store: Path) -> xr.Dataset:
    """Track through a video, or read what was tracked before."""
    import seurat_tracks as st

    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        st.track(video, queries, progress=False).seurat.save(store)
    return st.open(store).load()


def _lens(clip: dict[str, np.ndarray]) -> tuple[float, ...]:
    """Give the distortion of a film shot's lens in OpenCV's order."""
    if "distortion" not in clip:
        return ()
    k1, k2, k3, p1, p2 = (float(value) for value in clip["distortion"])
    return k1, k2, p1, p2, k3


def _four(matrix: np.ndarray) -> tuple[float, ...]:
    """Give fx, fy, cx, cy of a camera matrix."""
    return tuple(float(v) for v in matrix[[0, 1, 0, 1], [0, 1, 2, 2]])
