from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import seurat_tracks as st
from seurat_tracks.io import store
from seurat_tracks.large import job
from tests.benchmarks.large import tiny_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and tasks of four tracks, so that a few tracks are many regions."""
    for name in ("MIN_TRACKS", "MAX_TRACKS"):
        monkeypatch.setattr(store, name, 4)
    monkeypatch.setattr(job, "TASK_TRACKS", 4)


def make_tracks(n: int = 18, frames: int = 20, seed: int = 1) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 1, (n, frames, 2)).cumsum(1)
    xy = rng.uniform(60, 400, (n, 1, 2)) + steps
    visible = rng.random((n, frames)) > 0.15
    visible[:, 3] = True
    xy[~visible] = np.nan
    names = [f"point {i}" for i in range(n)]
    return st.from_arrays(xy, visible, frame_size=(480, 460), ids=names, fps=25)


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    ds = make_tracks()
    ds = ds.assign_coords(query_frame=("track", np.zeros(ds.sizes["track"], np.int64)))
    ds.seurat.save(tmp_path / "tracks.zarr")
    return tmp_path / "tracks.zarr"


@pytest.fixture(scope="session")
def content() -> Callable[[Path], str]:
    """Give a hash of every byte of a folder."""

    def of(folder: Path) -> str:
        sha = hashlib.sha256()
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            sha.update(path.relative_to(folder).as_posix().encode())
            sha.update(path.read_bytes())
        return sha.hexdigest()

    return of
