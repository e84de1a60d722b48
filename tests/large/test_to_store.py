from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr.storage._local as zarr_local

import seurat_tracks as st
from seurat_tracks.errors import (
    CameraError,
    DepthError,
    SchemaError,
    SeuratTracksError,
    StoreError,
    WeightsError,
)
from seurat_tracks.large import engine, job, to_store
from tests.large.conftest import make_tracks

pytestmark = pytest.mark.usefixtures("small_regions")
CAMERA = {"fov": 60}


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def depth_at(n: int = 18, frames: int = 20) -> xr.DataArray:
    values = np.random.default_rng(3).uniform(2, 3, (n, frames)).astype(np.float32)
    return xr.DataArray(values, dims=("track", "time"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"depth": 2.0},
        {"depth": {"point 3": 2.5, "point 17": 4.0}},
        {"depth": "at"},
        {"depth": "maps", "anchor": "median"},
        {"depth": 2.0, "fuse": "chain"},
        {"precision": "bfloat16"},
    ],
    ids=["relative", "constant", "known", "at tracks", "maps", "chain", "bfloat16"],
)
def test_the_answer_is_that_of_lift3d(
    tracks: Path, tmp_path: Path, weights: Path, settings: dict[str, Any]
) -> None:
    named = settings.get("depth")
    if named == "at":
        settings = {**settings, "depth": depth_at()}
    if named == "maps":
        maps = np.random.default_rng(2).uniform(2, 4, (20, 46, 48)).astype(np.float32)
        settings = {**settings, "depth": maps}
    settings = {**settings, "model": weights, "device": "cpu", "intrinsics": CAMERA}
    out = tmp_path / "out.zarr"
    assert st.lift_store(tracks, out, **settings) == out
    wanted = st.open(tracks).load().seurat.lift3d(**settings)
    made = st.open(out)
    made.seurat.validate()
    assert len(made.attrs.pop("lift_key")) == 16
    assert set(made.coords) == set(wanted.coords)
    xr.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5)
    assert made.attrs == wanted.attrs
    assert hidden(tmp_path) == []


def test_tracks_that_bring_support(tmp_path: Path, weights: Path) -> None:
    ds = make_tracks()
    from tests.test_stream import with_support

    own = with_support(ds, ds.sizes["time"])
    own.seurat.save(tmp_path / "tracks.zarr")
    out = tmp_path / "out.zarr"
    st.lift_store(tmp_path / "tracks.zarr", out, model=weights, intrinsics=CAMERA)
    made = st.open(out)
    wanted = own.seurat.lift3d(model=weights, intrinsics=CAMERA)
    xr.testing.assert_allclose(
        made.load(), wanted.assign_attrs(made.attrs), rtol=1e-5, atol=1e-5
    )


@pytest.fixture
def lift(
    tracks: Path, tmp_path: Path, weights: Path
) -> Callable[..., contextlib.AbstractContextManager[Any]]:
    """Give a call that lifts the tracks to a path."""

    def run(out: Path, **settings: Any) -> Path:
        basic = {"model": weights, "intrinsics": CAMERA, "depth": 2.0}
        return st.lift_store(tracks, out, **{**basic, **settings})

    return run


@contextlib.contextmanager
def failing_after(n: int, error: BaseException) -> Iterator[list[str]]:
    """Let the n-th region, counted from 0, fail; gives the steps that were begun."""
    begun: list[str] = []
    real = job.fill_tracks

    def fill(*args: Any) -> None:
        begun.append(str(args[-1]))
        if len(begun) > n:
            raise error
        real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "fill_tracks", fill)
        patch.setattr(engine, "MOST_THREADS", 1)
        yield begun


def test_an_interrupted_lift_goes_on_where_it_stopped(
    lift: Any, tmp_path: Path, content: Any
) -> None:
    whole, out = lift(tmp_path / "whole.zarr"), tmp_path / "out.zarr"
    with failing_after(2, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        lift(out)
    assert not out.exists()
    (partial,) = hidden(tmp_path)
    with pytest.raises(StoreError, match="an unfinished lift to it"):
        st.open(out)
    with pytest.raises(StoreError, match="never finished"):
        st.open(tmp_path / partial / "store")
    with failing_after(99, KeyboardInterrupt()) as begun:
        lift(out)
    assert len(begun) == 5 - 2  # 18 tracks are 5 regions of 4
    assert content(out) == content(whole)
    assert hidden(tmp_path) == []


def test_halves_of_chunks_of_a_killed_process_do_not_stay(
    lift: Any, tmp_path: Path, content: Any
) -> None:
    whole, out = lift(tmp_path / "whole.zarr"), tmp_path / "out.zarr"
    with failing_after(2, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        lift(out)
    (partial,) = hidden(tmp_path)
    # as zarr names a chunk while it is written
    half = tmp_path / partial / "store" / "depth" / "c" / "1" / "0.0a1b.partial"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half of it")
    lift(out)
    assert content(out) == content(whole)


def test_a_step_that_comes_too_late_leaves_nothing(
    lift: Any, tmp_path: Path, content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    real = job.Step.__call__

    def kept(step: job.Step) -> str:
        steps.append(step)
        return real(step)

    with monkeypatch.context() as patch:
        patch.setattr(job.Step, "__call__", kept)
        out = lift(tmp_path / "out.zarr")
    before = content(out)
    for step in steps:
        step()  # the folder of the work has gone
        step.job.work.sweep()
    assert hidden(tmp_path) == []

    # or was begun anew: what was done of another is not taken for this one's
    with failing_after(0, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        lift(out, overwrite=True)
    (partial,) = hidden(tmp_path)
    done = set((tmp_path / partial / "done").iterdir())
    for step in steps:
        step()
    assert set((tmp_path / partial / "done").iterdir()) == done
    lift(out, overwrite=True)
    assert content(out) == before
    assert hidden(tmp_path) == []


def test_what_two_write_is_read_as_one(tmp_path: Path) -> None:
    first = xr.DataArray(np.arange(6.0), dims="window")
    job._save_array(tmp_path / "0.zarr", "places", first, {"window": 2})
    chunk = next(p for p in (tmp_path / "0.zarr").rglob("c/*"))
    before = chunk.stat().st_ino
    job._save_array(tmp_path / "0.zarr", "places", first, {"window": 2})
    assert chunk.stat().st_ino == before
    assert [p.name for p in tmp_path.iterdir()] == ["0.zarr"]


def test_a_full_disk_is_said_and_what_is_done_is_kept(
    lift: Any, tmp_path: Path, content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = lift(tmp_path / "whole.zarr"), tmp_path / "out.zarr"
    put, room = zarr_local._put, 0

    def full(path: Path, *args: Any, **kwargs: Any) -> Any:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return put(path, *args, **kwargs)

    said = []
    for allowed in (3, 60, 20, 10):
        room = allowed
        with monkeypatch.context() as patch:
            patch.setattr(zarr_local, "_put", full)
            with pytest.raises(StoreError, match="the disk is full") as caught:
                lift(out)
        said.append(int(str(caught.value).split(" finished regions")[0].split()[-1]))
        assert not out.exists()
    assert said == sorted(said)
    assert said[-1] > 0
    lift(out)
    assert content(out) == content(whole)


def test_other_settings_or_other_tracks_are_not_mixed(
    lift: Any, tracks: Path, tmp_path: Path, content: Any
) -> None:
    out = tmp_path / "out.zarr"
    with failing_after(2, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        lift(out)
    with pytest.raises(
        StoreError, match=r"other depth\.metres \(2\.0, now 3\.0\).*resume=False"
    ):
        lift(out, depth=3.0)
    other = st.open(tracks).load()
    other["xy"][0, 3] += 1
    other.seurat.save(tracks, overwrite=True)
    with pytest.raises(StoreError, match="other input"):
        lift(out)
    lift(out, resume=False, depth=3.0)
    assert hidden(tmp_path) == []
    assert content(out) == content(lift(tmp_path / "again.zarr", depth=3.0))


def test_a_source_that_changes_meanwhile_is_noticed(
    lift: Any, tracks: Path, tmp_path: Path, content: Any
) -> None:
    out = tmp_path / "out.zarr"
    other = st.open(tracks).load()
    other["xy"][0, 3] += 1
    real = job.fill_tracks

    def change(*args: Any) -> None:
        if args[-1].start == 8:
            other.seurat.save(tracks, overwrite=True)
        real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "fill_tracks", change)
        with pytest.raises(StoreError, match="was changed while it was lifted"):
            lift(out)
    assert not out.exists()
    with pytest.raises(StoreError, match="other input"):
        lift(out)
    lift(out, resume=False)
    assert content(out) == content(lift(tmp_path / "again.zarr"))


def test_two_lifts_to_one_target_do_not_meet(lift: Any, tmp_path: Path) -> None:
    met = []
    real = job.fill_tracks

    def second(*args: Any) -> None:
        if not met:
            with pytest.raises(StoreError, match="another process") as caught:
                lift(tmp_path / "out.zarr")
            met.append(caught)
        real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "fill_tracks", second)
        lift(tmp_path / "out.zarr")
    assert met
    assert st.open(tmp_path / "out.zarr").sizes["track"] == 18


def test_a_file_that_goes_from_the_unfinished_store_is_noticed(
    lift: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.zarr"
    with failing_after(2, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        lift(out)
    (partial,) = hidden(tmp_path)
    chunks = (tmp_path / partial / "store" / "depth" / "c").rglob("*")
    next(path for path in chunks if path.is_file()).unlink()
    with pytest.raises(StoreError, match=r"depth has 4 of 5 chunks.*resume=False"):
        lift(out)
    lift(out, resume=False)


def test_overwrite_keeps_the_old_store_until_the_end(lift: Any, tmp_path: Path) -> None:
    out = lift(tmp_path / "out.zarr")
    with pytest.raises(StoreError, match="overwrite=True"):
        lift(out)
    with failing_after(2, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        lift(out, overwrite=True, depth=5.0)
    assert st.open(out).attrs["depth_source"] == "constant 2 m"
    lift(out, overwrite=True, depth=5.0)
    assert st.open(out).attrs["depth_source"] == "constant 5 m"
    assert hidden(tmp_path) == []


def test_bad_input_is_refused_before_any_work(
    lift: Any, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_store, "_run", None)
    out = tmp_path / "out.zarr"
    refused: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (SeuratTracksError, "fuse", {"fuse": "magic"}),
        (SeuratTracksError, "iterations", {"iterations": 0}),
        (SeuratTracksError, "precision", {"precision": "magic"}),
        (WeightsError, "no model", {"model": "nowhere"}),
        (WeightsError, "not available", {"device": "cuda:99"}),
        (DepthError, "no track", {"depth": {"nobody": 2.0}}),
        (DepthError, "shape", {"depth": depth_at(3)}),
        (DepthError, "affine", {"affine": "magic"}),
        (CameraError, "focal|positive", {"intrinsics": (1.0, -2.0, 3.0, 4.0)}),
        (CameraError, "poses", {"poses": np.eye(4)}),
        (SeuratTracksError, "no Dask scheduler", {"scheduler": "tcp://127.0.0.1:9"}),
        (SeuratTracksError, "no Dask scheduler", {"scheduler": "nonsense://"}),
    ]
    for kind, text, settings in refused:
        with pytest.raises(kind, match=text):
            lift(out, **settings)
    for target in (tracks, tracks / "in", tracks.parent):
        with pytest.raises(StoreError, match="into itself"):
            lift(target)
    with pytest.raises(StoreError, match="does not exist"):
        lift(tmp_path / "none" / "out.zarr")
    with pytest.raises(StoreError, match="no such store"):
        st.lift_store(tmp_path / "none.zarr", out)
    if os.getuid():  # root may write anywhere
        tmp_path.chmod(0o555)
        with pytest.raises(StoreError, match="read-only"):
            lift(out)
        tmp_path.chmod(0o755)
    bad = make_tracks()
    bad["xy"][2, 3] = np.nan
    bad.seurat.save(tmp_path / "bad.zarr")
    with pytest.raises(SchemaError, match="xy"):
        st.lift_store(tmp_path / "bad.zarr", out, intrinsics=CAMERA)
    assert hidden(tmp_path) == []


def test_a_read_only_folder_is_refused(
    lift: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: mode != os.W_OK and real(p, mode))
    with pytest.raises(StoreError, match="read-only"):
        lift(tmp_path / "out.zarr")


def test_the_key_does_not_depend_on_where_things_are(
    lift: Any, tracks: Path, tmp_path: Path
) -> None:
    a = st.open(lift(tmp_path / "a.zarr")).attrs["lift_key"]
    moved = tmp_path / "elsewhere.zarr"
    tracks.rename(moved)
    moved.rename(tracks)
    b = st.open(lift(tmp_path / "b.zarr")).attrs["lift_key"]
    c = st.open(lift(tmp_path / "c.zarr", depth=2.5)).attrs["lift_key"]
    assert a == b != c
