from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import seurat_tracks as st
from seurat_tracks import workers
from seurat_tracks.errors import SeuratTracksError, StoreError, WeightsError
from tests.benchmarks import kills
from tests.benchmarks.kills import CAMERA, content, lift, make_store
from tests.benchmarks.large import make_store as make_large

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


def test_one_thread_does_not_wait_for_itself(tmp_path: Path, weights: Path) -> None:
    """A store that brings its support is read by tasks, as graphs of their own."""
    make_large(tmp_path / "tracks.zarr", 8, 20, 12)
    settings = {"model": weights, "intrinsics": CAMERA, "depth": 10.0}
    there = partial(
        st.lift_store, tmp_path / "tracks.zarr", tmp_path / "there.zarr", **settings
    )
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        lifting = Thread(target=there, daemon=True)
        lifting.start()
        lifting.join(120)
        assert not lifting.is_alive()
        assert set(client.run(_scheduler).values()) == {None}
    st.lift_store(tmp_path / "tracks.zarr", tmp_path / "here.zarr", **settings)
    assert content(tmp_path / "here.zarr") == content(tmp_path / "there.zarr")


def _scheduler() -> Any:
    import dask

    return dask.config.get("scheduler", None)


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
