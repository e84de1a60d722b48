"""Ctrl-C, or the kernel's stop button, in the middle of long work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import seurat_tracks as st
from seurat_tracks.model.network import SeuratNetwork


@pytest.fixture
def stop_in(monkeypatch):
    """Raise KeyboardInterrupt in the n-th call of a function, once."""

    def arrange(owner, name, after):
        real, calls = getattr(owner, name), []

        def stand_in(*args, **kwargs):
            calls.append(1)
            if len(calls) == after:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, stand_in)
        return calls

    return arrange


@pytest.fixture
def video(rng):
    noise = rng.integers(0, 255, (60, 80), np.uint8)
    return np.stack([np.roll(noise, k, axis=1) for k in range(14)])


def test_tracking(video, stop_in):
    import cv2

    before = video.copy()
    expected = st.track(video, grid=3, cuts=None)
    calls = stop_in(cv2, "calcOpticalFlowPyrLK", 9)
    with pytest.raises(KeyboardInterrupt):
        st.track(video, grid=3, cuts=None)
    assert len(calls) == 9  # in the middle
    np.testing.assert_array_equal(video, before)
    xr.testing.assert_identical(st.track(video, grid=3, cuts=None), expected)


def test_lifting(make_tracks, stop_in, monkeypatch):
    monkeypatch.setattr("seurat_tracks.model.speed.TOKENS", {"cpu": 200})
    ds = make_tracks(8, 20)
    before = ds.copy(deep=True)
    expected = st.lift3d(ds, intrinsics={"fov": 60})
    calls = stop_in(SeuratNetwork, "query", 2)
    with pytest.raises(KeyboardInterrupt):
        st.lift3d(ds, intrinsics={"fov": 60})
    assert len(calls) == 2
    xr.testing.assert_identical(ds, before)
    xr.testing.assert_identical(st.lift3d(ds, intrinsics={"fov": 60}), expected)


@pytest.mark.parametrize("taken", [False, True])
def test_saving_what_is_lifted_meanwhile(
    make_tracks, stop_in, monkeypatch, tmp_path, taken
):
    monkeypatch.setattr("seurat_tracks.model.speed.TOKENS", {"cpu": 200})
    ds = make_tracks(8, 20, lazy=True)
    before = ds.compute()
    out = st.lift3d(ds, intrinsics={"fov": 60})
    path = tmp_path / "a.zarr"
    if taken:
        before.seurat.save(path)
    stop_in(SeuratNetwork, "query", 3)
    with pytest.raises(KeyboardInterrupt):
        out.seurat.save(path, overwrite=taken)
    assert [p.name for p in tmp_path.iterdir()] == (["a.zarr"] if taken else [])
    if taken:
        xr.testing.assert_equal(st.open(path).compute(), before)
    xr.testing.assert_identical(ds.compute(), before)
    out.seurat.save(path, overwrite=taken)
    assert np.isfinite(st.open(path)["depth"]).any()


@pytest.mark.slow
@pytest.mark.notebook
def test_a_kernel_that_is_interrupted_goes_on(tmp_path):
    """The stop button of a notebook, with its real signal."""
    script = Path(__file__).parent / "fixtures" / "interrupted_kernel.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("> ")]
    assert said == [
        "> lifting KeyboardInterrupt",
        "> saving KeyboardInterrupt",
        "> unchanged True, left behind [], answer bound False",
        "> lifts again True, saves again b.zarr",
    ], done.stdout + done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zarr"]
