from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import threading

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
import zarr.storage._local as zarr_local

from seurat_tracks.errors import SchemaError, StoreError
from seurat_tracks.io import store as store_module
from seurat_tracks.io.store import chunk_sizes, is_store, open_store, save


def _files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def _assert_same(loaded, ds):
    xr.testing.assert_identical(loaded.compute(), ds.compute())
    assert set(loaded.variables) == set(ds.variables)
    for name in ds.variables:
        assert loaded[name].dtype == ds[name].dtype, name
        assert loaded[name].attrs == ds[name].attrs, name
    assert set(loaded.coords) == set(ds.coords)
    assert loaded.attrs == ds.attrs


def _lifted(ds):
    rng = np.random.default_rng(5)
    n, t = ds.sizes["track"], ds.sizes["time"]
    ds["log_depth_ratio"] = (
        ("track", "time"),
        rng.normal(0, 1, (n, t)).astype("float32"),
    )
    ds["xyz"] = (
        ("track", "time", "axis"),
        rng.normal(0, 1, (n, t, 3)).astype("float32"),
        {"units": "relative"},
    )
    ds["log_depth_ratio"][0, 0] = np.nan
    ds["support_xy"] = (
        ("window", "support", "step", "coord"),
        rng.uniform(0, 70, (3, 4, 8, 2)).astype("float32"),
    )
    ds["support_visible"] = (("window", "support", "step"), np.ones((3, 4, 8), bool))
    ds["mine"] = (("track",), np.arange(n, dtype="int16"), {"note": "the caller's"})
    ds.attrs.update(cuts=[3], intrinsics=[80.0, 80.0, 47.5, 39.5], tracker="lk")
    return ds.assign_coords(
        axis=["x", "y", "z"],
        window_start=("window", [0, 2, 3]),
        window_stride=("window", [1, 1, 2]),
        species=("track", [f"mouse {i}" for i in range(n)]),
    )


@pytest.mark.parametrize(
    "ids",
    [None, [7, -3, 0, 12, 5], ["snout", "ear", "ü", "tail base", ""]],
    ids=["default", "int", "str"],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_round_trip(tmp_path, make_tracks, ids, lazy):
    ds = _lifted(make_tracks(ids=ids))
    written = ds.chunk({"track": 2, "time": 4}) if lazy else ds
    path = save(written, tmp_path / "a.zarr")
    assert path == tmp_path / "a.zarr"
    loaded = open_store(path)
    assert all(v.chunks is not None for v in loaded.data_vars.values())
    assert all(v.chunks is None for v in loaded.coords.values())
    _assert_same(loaded, ds)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_opening_and_saving_lazily(tmp_path, make_tracks, raise_if_dask_computes):
    path = save(make_tracks(), tmp_path / "a.zarr")
    with raise_if_dask_computes():
        ds = open_store(path)
        assert open_store(path, {"track": 2})["xy"].chunks[0] == (2, 2, 1)
        assert open_store(path, chunks=None)["xy"].chunks is None
    assert ds["xy"].chunks == ((5,), (11,), (2,))


def test_saved_again_from_a_loaded_store(tmp_path, make_tracks):
    first = save(_lifted(make_tracks(ids=list("abcde"))), tmp_path / "a.zarr")
    second = save(open_store(first), tmp_path / "b.zarr")
    assert _files(first) == _files(second)


def test_zarr_format_and_layout(tmp_path, make_tracks):
    path = save(make_tracks(n_tracks=1500, n_frames=3), tmp_path / "a.zarr")
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    assert group.metadata.zarr_format == 3
    assert group.metadata.consolidated_metadata is None
    assert group["xy"].chunks == (1500, 3, 2)
    assert "crc32c" in json.dumps(group["xy"].metadata.to_dict())
    assert "string" in str(group["coord"].metadata.to_dict()["data_type"])


def test_chunk_sizes():
    assert chunk_sizes(10, 20) == {"track": 10, "time": 20}
    assert chunk_sizes(10**6, 1) == {"track": 4096, "time": 1}
    assert chunk_sizes(10**6, 300) == {"track": 1024, "time": 300}
    assert chunk_sizes(10**6, 4096) == {"track": 512, "time": 4096}
    assert chunk_sizes(10**6, 100_000) == {"track": 512, "time": 1024}
    assert chunk_sizes(1, 100_000) == {"track": 1, "time": 1024}


def test_long_videos_cut_time(tmp_path, make_tracks):
    ds = make_tracks(n_tracks=2, n_frames=5000).chunk({"time": 777})
    loaded = open_store(save(ds, tmp_path / "a.zarr"))
    assert loaded["visible"].chunks == ((2,), (1024, 1024, 1024, 1024, 904))
    xr.testing.assert_identical(loaded.compute(), ds.compute())


def test_lazy_data_is_streamed(tmp_path, make_tracks, monkeypatch):
    """Blocks are written while others are still to be computed."""
    monkeypatch.setattr(store_module, "MAX_TRACKS", 4)
    monkeypatch.setattr(store_module, "MIN_TRACKS", 1)
    ds = make_tracks(n_tracks=40, n_frames=6).chunk({"track": 4})
    lock, alive, peak = threading.Lock(), 0, 0

    def count(block):
        nonlocal alive, peak
        with lock:
            alive += 1
            peak = max(peak, alive)
        return block.copy()

    put = zarr_local._put

    def release(path, value, exclusive=False):
        nonlocal alive
        result = put(path, value, exclusive)
        if f"{os.sep}xy{os.sep}c" in str(path):
            with lock:
                alive -= 1
        return result

    empty = np.empty((0, 0, 0), "float32")
    ds["xy"] = ds["xy"].copy(
        data=ds["xy"].data.map_blocks(count, dtype="float32", meta=empty)
    )
    monkeypatch.setattr(zarr_local, "_put", release)
    import dask

    with dask.config.set(num_workers=2):
        save(ds, tmp_path / "a.zarr")
    assert peak <= 6
    assert alive == 0


def test_shared_work_is_done_once(tmp_path, make_tracks):
    calls = []

    def network(block):
        calls.append(block.shape)
        return block * 2

    ds = make_tracks()
    shared = da.ones((5, 11), chunks=(2, 11), dtype="float32")
    shared = shared.map_blocks(network, dtype="float32", meta=np.empty((0, 0), "f4"))
    ds["log_depth_ratio"] = (("track", "time"), shared)
    ds["depth"] = (("track", "time"), np.float32(3) * shared)
    save(ds, tmp_path / "a.zarr")
    assert len(calls) == 3


def test_progress_bar(tmp_path, make_tracks, capsys):
    save(make_tracks(lazy=True), tmp_path / "a.zarr", progress=True)
    assert "saving: 100%" in capsys.readouterr().err


def test_a_taken_path_is_refused(tmp_path, make_tracks):
    path = save(make_tracks(), tmp_path / "a.zarr")
    before = _files(path)
    with pytest.raises(StoreError, match="overwrite=True"):
        save(make_tracks(seed=4), path)
    assert _files(path) == before


def test_overwrite(tmp_path, make_tracks):
    path = save(make_tracks(), tmp_path / "a.zarr")
    other = make_tracks(n_tracks=3, seed=4)
    save(other, path, overwrite=True)
    _assert_same(open_store(path), other)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_overwriting_the_store_that_is_read_from(tmp_path, make_tracks):
    ds = make_tracks()
    path = save(ds, tmp_path / "a.zarr")
    lazy = open_store(path)
    save(lazy.isel(track=[4, 0, 2]), path, overwrite=True)
    _assert_same(open_store(path), ds.isel(track=[4, 0, 2]))


def test_a_link_to_a_store_stays_a_link(tmp_path, make_tracks):
    path = save(make_tracks(), tmp_path / "a.zarr")
    link = tmp_path / "link.zarr"
    link.symlink_to(path)
    other = make_tracks(seed=9)
    save(other, link, overwrite=True)
    assert link.is_symlink()
    _assert_same(open_store(path), other)


def test_what_is_not_ours_is_never_replaced(tmp_path, make_tracks):
    foreign = tmp_path / "foreign.zarr"
    xr.Dataset({"a": ("x", [1, 2])}).to_zarr(foreign, consolidated=False)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    file = tmp_path / "file.zarr"
    file.write_text("not a folder")
    for path in (foreign, folder, file):
        assert not is_store(path)
        before = _files(tmp_path)
        with pytest.raises(StoreError, match="not a store of seurat-tracks"):
            save(make_tracks(), path, overwrite=True)
        assert _files(tmp_path) == before


def test_a_bad_dataset_is_refused_before_anything_is_done(
    tmp_path, make_tracks, raise_if_dask_computes
):
    path = save(make_tracks(), tmp_path / "a.zarr")
    bad = make_tracks(lazy=True).drop_vars("visible")
    with raise_if_dask_computes(), pytest.raises(SchemaError, match="visible"):
        save(bad, path, overwrite=True)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_no_folder_and_remote_paths(tmp_path, make_tracks):
    with pytest.raises(StoreError, match="does not exist"):
        save(make_tracks(), tmp_path / "missing" / "a.zarr")
    with pytest.raises(StoreError, match="folders of this machine"):
        save(make_tracks(), "s3://bucket/a.zarr")


class _Stop:
    """Replaces zarr's write of one file; lets `allowed` writes pass, then raises."""

    def __init__(self, allowed, error):
        self.allowed, self.error, self.put = allowed, error, zarr_local._put
        self.lock, self.writes = threading.Lock(), 0

    def __call__(self, path, value, exclusive=False):
        with self.lock:
            self.writes += 1
            stop = self.writes > self.allowed
        if stop:
            if isinstance(self.error, OSError) and self.error.errno == errno.ENOSPC:
                # What a full disk leaves: part of a file.
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".partial").write_bytes(b"\0")
            raise self.error
        return self.put(path, value, exclusive)


def _count_writes(ds, folder, monkeypatch):
    counter = _Stop(10**9, None)
    with monkeypatch.context() as patch:
        patch.setattr(zarr_local, "_put", counter)
        save(ds, folder / "count.zarr")
    shutil.rmtree(folder / "count.zarr")
    return counter.writes


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_full_disk_at_every_write(tmp_path, make_tracks, monkeypatch, lazy, exists):
    path = tmp_path / "a.zarr"
    if exists:
        save(make_tracks(seed=1), path)
    before = _files(tmp_path)
    ds = make_tracks(seed=2, ids=list("abcde"), lazy=lazy)
    total = _count_writes(ds, tmp_path, monkeypatch)
    assert total > 15
    for allowed in range(total):
        full = _Stop(allowed, OSError(errno.ENOSPC, "No space left on device"))
        with monkeypatch.context() as patch:
            patch.setattr(zarr_local, "_put", full)
            with pytest.raises(StoreError, match="the disk is full") as caught:
                save(ds, path, overwrite=True)
        assert str(path) in str(caught.value)
        assert _files(tmp_path) == before, allowed
        assert len(os.listdir(tmp_path)) == exists
    save(ds, path, overwrite=True)
    _assert_same(open_store(path), ds)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("cosmic ray")])
@pytest.mark.parametrize("lazy", [False, True])
def test_interrupts_and_errors_leave_the_old_store(
    tmp_path, make_tracks, monkeypatch, error, lazy
):
    path = save(make_tracks(seed=1), tmp_path / "a.zarr")
    before = _files(tmp_path)
    ds = make_tracks(seed=2, lazy=lazy)

    def interrupted(*args, **kwargs):
        raise error

    places = [(store_module, "_finish"), (store_module, "_swap")]
    for module, name in places:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupted)
            with pytest.raises(type(error)):
                save(ds, path, overwrite=True)
        assert _files(tmp_path) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_an_interrupt_while_threads_write(tmp_path, make_tracks):
    path = save(make_tracks(seed=1), tmp_path / "a.zarr")
    before = _files(tmp_path)
    ds = make_tracks(n_tracks=40, n_frames=6)

    def interrupt(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 3:
            raise KeyboardInterrupt
        return block

    xy = ds["xy"].chunk({"track": 4}).data.map_blocks(interrupt, dtype="float32")
    ds["xy"] = (("track", "time", "coord"), xy)
    with pytest.raises(KeyboardInterrupt):
        save(ds, path, overwrite=True)
    assert _files(tmp_path) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_errors_of_the_lazy_data_are_passed_on(tmp_path, make_tracks):
    ds = make_tracks()

    def broken(block):
        with open("/nonexistent/file") as file:
            file.read()
        return block

    xy = (
        ds["xy"]
        .chunk({"track": 2})
        .data.map_blocks(broken, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    )
    ds["xy"] = (("track", "time", "coord"), xy)
    with pytest.raises(FileNotFoundError):
        save(ds, tmp_path / "a.zarr")
    assert os.listdir(tmp_path) == []


def test_a_failed_swap_puts_the_old_store_back(tmp_path, make_tracks, monkeypatch):
    path = save(make_tracks(seed=1), tmp_path / "a.zarr")
    before = _files(tmp_path)
    rename = type(path).rename

    def refuse(self, target):
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "rename", refuse)
        with pytest.raises(OSError, match="Input/output"):
            save(make_tracks(seed=2), path, overwrite=True)
    assert _files(tmp_path) == before


def test_a_really_full_disk(tmp_path, make_tracks):
    """On a file system of 400 kB, where this machine lets one be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = [mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a small file system be mounted")
    try:
        path = save(make_tracks(), disk / "a.zarr")
        before = _files(disk)
        big = make_tracks(n_tracks=4000, n_frames=30).drop_vars("confidence")
        with pytest.raises(StoreError, match="the disk is full"):
            save(big, path, overwrite=True)
        assert _files(disk) == before
        _assert_same(open_store(path), make_tracks())
        with pytest.raises(StoreError, match="the disk is full"):
            save(big.chunk({"track": 500}), path, overwrite=True)
        assert _files(disk) == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_read_only_places(tmp_path, make_tracks, raise_if_dask_computes, monkeypatch):
    """Permission bits where they bind; root passes them, so its answer is faked."""
    path = save(make_tracks(), tmp_path / "a.zarr")
    before = _files(tmp_path)
    closed = {}

    def access(place, mode):
        return os.fspath(place) not in closed

    ds = make_tracks(lazy=True, seed=8)
    for place in (tmp_path, path):
        place.chmod(0o555)
        try:
            with monkeypatch.context() as patch:
                if os.geteuid() == 0:
                    closed = {os.fspath(place.resolve()): True}
                    patch.setattr(os, "access", access)
                with (
                    raise_if_dask_computes(),
                    pytest.raises(StoreError, match="is read-only for you"),
                ):
                    save(ds, path, overwrite=True)
        finally:
            place.chmod(0o755)
    assert _files(tmp_path) == before


def test_read_only_file_system(
    tmp_path, make_tracks, raise_if_dask_computes, monkeypatch
):
    """The system's refusal to make a folder comes before any computing."""

    def refuse(self, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(type(tmp_path), "mkdir", refuse)
    with (
        raise_if_dask_computes(),
        pytest.raises(StoreError, match="is read-only for you"),
    ):
        save(make_tracks(lazy=True), tmp_path / "a.zarr")
    assert os.listdir(tmp_path) == []


def _edit_root(path, change):
    root = json.loads((path / "zarr.json").read_text())
    change(root["attributes"])
    (path / "zarr.json").write_text(json.dumps(root))


@pytest.mark.parametrize(
    ("version", "match"),
    [
        ("2", "newer: upgrade seurat-tracks"),
        ("10", "newer: upgrade seurat-tracks"),
        ("0", "It is older"),
        ("draft", "unknown"),
        (None, "not one of seurat-tracks"),
    ],
)
def test_other_versions(tmp_path, make_tracks, version, match):
    path = save(make_tracks(), tmp_path / "a.zarr")

    def change(attrs):
        attrs["contract_version"] = version

    _edit_root(path, change)
    with pytest.raises(StoreError, match=match):
        open_store(path)


def test_half_written(tmp_path, make_tracks):
    path = save(make_tracks(), tmp_path / "a.zarr")
    _edit_root(path, lambda attrs: attrs.pop(store_module.STORE_MARK))
    with pytest.raises(StoreError, match="never finished"):
        open_store(path)
    save(make_tracks(seed=5), path, overwrite=True)
    _assert_same(open_store(path), make_tracks(seed=5))


def test_what_a_killed_writer_leaves_is_not_a_store(tmp_path, make_tracks, monkeypatch):
    """Every file that a writer had put down before it died is refused."""
    ds = make_tracks()
    snapshots, lock = [], threading.Lock()
    put = zarr_local._put

    def record(path, value, exclusive=False):
        root = path
        while not root.name.endswith(".partial"):
            root = root.parent
        with lock:
            if root.exists():
                copy = tmp_path / f"snapshot{len(snapshots)}.zarr"
                shutil.copytree(root, copy)
                snapshots.append(copy)
            return put(path, value, exclusive)

    with monkeypatch.context() as patch:
        patch.setattr(zarr_local, "_put", record)
        save(ds, tmp_path / "a.zarr")
    assert len(snapshots) > 10
    for copy in snapshots:
        with pytest.raises(StoreError):
            open_store(copy)


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("zarr.json", "not a Zarr v3 store"),
        ("xy/zarr.json", "damaged"),
        ("xy/c/0/0/0", "xy has 0 of 1 chunks"),
        ("track/c/0", "track has 0 of 1 chunks"),
        ("visible", "visible has 0 of 1 chunks"),
    ],
)
def test_missing_files(tmp_path, make_tracks, place, match):
    path = save(make_tracks(), tmp_path / "a.zarr")
    if (path / place).is_dir():
        shutil.rmtree(path / place)
    else:
        (path / place).unlink()
    with pytest.raises(StoreError, match=match):
        open_store(path)


@pytest.mark.parametrize("place", ["zarr.json", "xy/zarr.json", "time/zarr.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\x00", b"null"])
def test_damaged_metadata(tmp_path, make_tracks, place, content):
    path = save(make_tracks(), tmp_path / "a.zarr")
    (path / place).write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        open_store(path)


def test_damaged_bytes_never_become_numbers(tmp_path, make_tracks):
    path = save(make_tracks(), tmp_path / "a.zarr")
    chunk = path / "xy" / "c" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    for damaged in (whole[:-9], whole[:30] + b"\x55" + whole[31:]):
        chunk.write_bytes(damaged)
        ds = open_store(path)
        with pytest.raises((ValueError, RuntimeError)):
            ds["xy"].compute()
    (path / "time" / "c" / "0").write_bytes(b"junk")
    with pytest.raises(StoreError, match="damaged"):
        open_store(path)


def test_contents_against_the_contract(tmp_path, make_tracks):
    path = save(make_tracks(), tmp_path / "a.zarr")
    _edit_root(path, lambda attrs: attrs.pop("frame_size"))
    with pytest.raises(StoreError, match="frame_size"):
        open_store(path)


def test_paths_that_hold_no_store(tmp_path, make_tracks):
    with pytest.raises(StoreError, match="there is no such store"):
        open_store(tmp_path / "nothing.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="not a Zarr v3 store"):
        open_store(tmp_path / "empty")
    (tmp_path / "file.csv").write_text("a,b")
    with pytest.raises(StoreError, match="it is a file"):
        open_store(tmp_path / "file.csv")
    xr.Dataset({"a": ("x", [1, 2])}).to_zarr(tmp_path / "f.zarr", consolidated=False)
    with pytest.raises(StoreError, match="not one of seurat-tracks"):
        open_store(tmp_path / "f.zarr")
    path = save(make_tracks(), tmp_path / "a.zarr")
    path.rename(tmp_path / ".a.zarr.0123abcd.old")
    with pytest.raises(StoreError, match="rename it back") as caught:
        open_store(path)
    assert ".a.zarr.0123abcd.old" in str(caught.value)


def test_objects_are_refused_not_printed(tmp_path, make_tracks):
    ds = make_tracks()
    ds["note"] = ("track", np.array([{}, "b", "c", "d", "e"], dtype=object))
    with pytest.raises(SchemaError, match="note: objects cannot be stored"):
        save(ds, tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []
    ds["note"][0] = "a"
    assert open_store(save(ds, tmp_path / "a.zarr"))["note"].values[0] == "a"
