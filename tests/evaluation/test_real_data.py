"""Error on real clips, over the error of "depth stays constant".

The data are not part of the repository; without them these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.evaluation.ratio import log_ratio_error

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the evaluation data are not on this machine"
)


def read(path: str) -> dict[str, np.ndarray]:
    with np.load(DATA / path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def lift(data: dict[str, np.ndarray], size: tuple[int, int], fuse: str) -> float:
    """Lift the true 2D tracks alone; error over constant's."""
    visible = data["visibility"].T.astype(bool)
    keep = visible.any(1)
    visible = visible[keep]
    uv = data["tracks_uv"].transpose(1, 0, 2)[keep]
    xy = np.where(visible[..., None], uv, np.nan)
    z = data["tracks_xyz"][..., 2].T[keep]
    out = st.from_arrays(xy, visible, frame_size=size).seurat.depth_ratio(fuse=fuse)
    return log_ratio_error(out.log_depth_ratio.values, z, visible).relative


@pytest.mark.parametrize(
    ("shot", "size", "windows", "chain"),
    [("02", (4096, 2160), 0.05, 0.25), ("03", (1920, 1012), 0.1, 0.12)],
)
def test_film_shots_from_tracks_alone(
    shot: str, size: tuple[int, int], windows: float, chain: float
) -> None:
    data = read(f"libmv_tracks/problem_{shot}.npz")
    assert lift(data, size, "windows") < windows
    assert lift(data, size, "chain") < chain


def test_hand_held_kitchen_from_tracks_alone() -> None:
    assert lift(read("sevenscenes_a/seq_a.npz"), (480, 360), "windows") < 0.1


def test_hand_held_kitchen_from_the_video_alone() -> None:
    data = read("sevenscenes_a/seq_a.npz")
    uv, start = data["tracks_uv"], data["query_frame"]
    n = np.arange(len(start))
    queries = np.column_stack([start, uv[start, n]])
    ds = st.track(DATA / "sevenscenes_a/seq_a.mp4", queries, progress=False)
    assert ds.sizes["track"] == len(start)
    out = ds.seurat.depth_ratio()
    score = log_ratio_error(
        out.log_depth_ratio.values,
        data["tracks_xyz"][..., 2].T,
        data["visibility"].T.astype(bool),
    )
    assert score.relative < 0.35
