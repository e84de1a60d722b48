from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def _moving_points(
    rng: np.random.Generator, frames: int, points: int, k: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Camera-frame positions (T, N, 3) that come nearer, and their pixels."""
    xyz = rng.uniform([-0.3, -0.2, 3], [0.3, 0.2, 5], (points, 3))
    path = xyz - np.linspace(0, 1, frames)[:, None, None] * [0, 0, 1.0]
    return path, path[..., :2] / path[..., 2:] * k[:2] + np.array(k[2:])


@pytest.fixture
def made_up_data(tmp_path: Path) -> Path:
    """Give a folder laid out as the real clips are, with a few made-up points."""
    rng = np.random.default_rng(5)
    root = tmp_path / "data"

    def clip(name: str, k: tuple[float, ...], frames: int = 9, **more: object) -> None:
        path = root / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        xyz, uv = _moving_points(rng, frames, 12, k)
        visible = rng.random((frames, 12)) > 0.2
        visible[:, 11] = False  # never seen
        matrix = np.array([[k[0], 0, k[2]], [0, k[1], k[3]], [0, 0, 1]])
        np.savez(
            path,
            tracks_xyz=xyz.astype(np.float32),
            tracks_uv=np.where(visible[..., None], uv, 0).astype(np.float32),
            visibility=visible,
            intrinsics=matrix,
            **more,
        )

    clip("sevenscenes_a/seq_a", (394.0, 394.0, 240.0, 176.0))
    for shot, centre in (("01", (1024, 540)), ("02", (2048, 1080)), ("03", (960, 506))):
        clip(f"libmv_tracks/problem_{shot}", (2000.0, 2000.0, *centre))
    for camera in (2, 4):
        size = np.array([768, 432])
        k = (670.0, 670.0, 216.0, 384.0)
        clip(f"pose2sim_balancing/cam{camera}", k, size_hw=size)
    for name in ("cushion", "hulk", "kinectPaper", "whiteCartoonTshirt"):
        clip(f"nrsfm_surfaces/{name}", (528.0, 528.0, 320.0, 240.0))

    (root / "mocap").mkdir()
    for name in ("bvh_01_01", "someone"):
        xyz, valid = _moving_body(rng, seconds=1.5, fps=120.0)
        if name == "bvh_01_01":
            xyz = xyz[..., [1, 2, 0]]  # this one has y up
        np.savez(root / f"mocap/{name}.npz", xyz=xyz, valid=valid, fps=120.0)
    return root


def _moving_body(
    rng: np.random.Generator, *, seconds: float, fps: float, markers: int = 15
) -> tuple[np.ndarray, np.ndarray]:
    """Markers (T, N, 3) of something tall that sways and strolls, z up; all known."""
    time = np.arange(round(seconds * fps)) / fps
    rest = rng.uniform([-0.3, -0.2, 0], [0.3, 0.2, 1.7], (markers, 3))
    sway = 0.1 * np.sin(2 * np.pi * time[:, None, None] + rest)
    stroll = time[:, None, None] * [0.3, 0.1, 0.0]
    xyz = rest + sway * [1, 1, 0] + stroll
    return xyz, np.ones(xyz.shape[:2], bool)


@pytest.fixture
def moving_body() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Make markers (T, N, 3) of a body that moves, and which of them are known."""
    return _moving_body
