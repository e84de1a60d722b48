from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

from seurat_tracks.io.arrays import from_arrays

# the tests' tensors are small: threads that wait for each other on a busy machine
# would take many times longer than one (torch reads this when it is first imported)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240817)


@pytest.fixture
def raise_if_dask_computes() -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Give a context in which computing anything lazy fails the test."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a lazy array was computed")

    return lambda: dask.config.set(scheduler=refuse)


@pytest.fixture
def make_tracks() -> Callable[..., xr.Dataset]:
    """Build tracks that keep the contract; sizes differ so that swaps show."""

    def make(
        n_tracks: int = 5,
        n_frames: int = 11,
        *,
        ids: Any = None,
        lazy: bool = False,
        seed: int = 3,
        **kwargs: Any,
    ) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        xy = rng.uniform(20, 60, (n_tracks, 1, 2))
        xy = xy + rng.normal(0, 0.5, (n_tracks, n_frames, 2)).cumsum(axis=1)
        if n_frames > 2:
            xy[n_tracks // 2, 1] = np.nan
        confidence = rng.uniform(0, 1, (n_tracks, n_frames))
        ds = from_arrays(
            xy,
            frame_size=(96, 80),
            fps=25,
            ids=ids,
            confidence=confidence,
            query_frame=0,
            **kwargs,
        )
        return ds.chunk({"track": 2}) if lazy else ds

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real recordings that may lie beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/data) are not on this machine")
    return folder
