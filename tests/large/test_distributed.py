from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seurat_tracks as st
from seurat_tracks import workers
from seurat_tracks.errors import SeuratTracksError, StoreError, WeightsError
from tests.benchmarks import kills
from tests.benchmarks.kills import CAMERA, content, finished, lift, make_store

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers that are threads of this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_store(tmp_path / "tracks.zarr", 24)
    return tmp_path / "tracks.zarr"


def test_the_callers_client_is_used(
    client: Any, source: Path, tmp_path: Path, weights: Path
) -> None:
    lift(source, tmp_path / "here.zarr", weights)
    settings = {"model": weights, "intrinsics": CAMERA, "depth": 10.0}
    seen: list[str] = []
    real = client.submit

    def submit(work: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(work.__name__)
        return real(work, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, kills.small_regions():
        patch.setattr(client, "submit", submit)
        st.lift_store(source, tmp_path / "there.zarr", **settings)
    assert len(seen) == 1 + 1 + 6  # support, what has no tracks, regions
    assert content(tmp_path / "here.zarr") == content(tmp_path / "there.zarr")


def test_lazy_lifting_with_a_client(client: Any, source: Path, weights: Path) -> None:
    out = st.open(source).seurat.lift3d(model=weights, intrinsics=CAMERA, depth=10.0)
    here = (
        st.open(source)
        .load()
        .seurat.lift3d(model=weights, intrinsics=CAMERA, depth=10.0)
    )
    assert abs(out["xyz"].compute() - here["xyz"]).max() < 1e-4


def test_many_with_a_client(
    client: Any, source: Path, tmp_path: Path, weights: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"none")
    table = st.lift_many(
        [source, tmp_path / "bad.mp4"],
        tmp_path / "out",
        model=weights,
        intrinsics=CAMERA,
        progress=False,
    )
    assert table["status"].tolist() == ["done", "failed"]
    assert st.open(tmp_path / "out" / "tracks.zarr").sizes["track"] == 24


def test_workers_with_different_devices_are_refused(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "run", lambda *a: {"one": "cpu", "two": "cuda"})
    with pytest.raises(WeightsError, match="different devices"):
        workers.device_of_workers("auto", client)


def test_workers_that_do_not_see_the_folder_are_refused(
    client: Any, source: Path, tmp_path: Path, weights: Path
) -> None:
    from seurat_tracks.large import to_store

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_store, "_unseen", lambda paths: paths)
        with pytest.raises(StoreError, match="does not see"):
            lift(source, tmp_path / "out.zarr", weights, client)


def test_a_scheduler_without_workers_is_refused(tmp_path: Path) -> None:
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=":0"
        ) as cluster,
        pytest.raises(SeuratTracksError, match="has no workers"),
        workers.connected(cluster.scheduler_address, timeout=0.5),
    ):
        pass


@pytest.mark.slow
def test_killed_workers_and_killed_runs_lose_nothing(
    source: Path, tmp_path: Path, weights: Path
) -> None:
    target, draw = tmp_path / "lifted.zarr", random.Random(0)
    lift(source, target, weights)
    right = content(target)
    target.rename(tmp_path / "right.zarr")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(kills, "TRACKS", 24)
        killed, _ = kills.one_worker_killed(client, source, target, weights, draw)
    assert killed
    assert content(target) == right
    target.rename(tmp_path / "one.zarr")
    killed, _ = kills.whole_run_killed(source, target, weights, draw)
    assert content(target) == right
    assert not list(tmp_path.glob(".*"))


def command(module: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *args],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_restarted_scheduler_is_said_and_the_rest_is_done(
    source: Path, tmp_path: Path, weights: Path
) -> None:
    target = tmp_path / "lifted.zarr"
    lift(source, tmp_path / "right.zarr", weights)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"

    def start() -> list[subprocess.Popen[bytes]]:
        scheduler = command("dask_scheduler", "--port", port, "--no-dashboard")
        return [scheduler, command("dask_worker", address, "--nthreads", "1")]

    running = start()
    killed = threading.Event()

    def kill_the_scheduler() -> None:
        while not finished(target):
            time.sleep(0.002)
        running[0].send_signal(signal.SIGKILL)
        killed.set()

    threading.Thread(target=kill_the_scheduler, daemon=True).start()
    settings = {"model": weights, "intrinsics": CAMERA, "depth": 10.0, "device": "cpu"}
    try:
        with kills.small_regions():
            with (
                workers.connected(address, timeout=60),
                pytest.raises(StoreError, match=r"went away.*goes on from there"),
            ):
                st.lift_store(source, target, **settings)
            assert killed.is_set()
            assert not target.exists()
            for process in running:
                process.kill()
                process.wait()
            running = start()
            with workers.connected(address, timeout=60):
                st.lift_store(source, target, **settings)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert content(target) == content(tmp_path / "right.zarr")
