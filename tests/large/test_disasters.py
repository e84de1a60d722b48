"""Processes that die and disks that fill in the middle of a lift: real ones."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seurat_tracks as st
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.large.engine import LostWorkers, each
from tests.benchmarks.kills import (
    Bench,
    Killer,
    differences,
    finished,
    lift,
    make_store,
)
from tests.fixtures.cluster import ROOT, Cluster, dies_at_two

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(4) as cluster:
        yield cluster


@pytest.fixture
def bench(
    tmp_path_factory: pytest.TempPathFactory, weights: Path, cluster: Cluster
) -> Iterator[Bench]:
    """A store whose undisturbed lift lies beside its target, as right.zarr."""
    folder = tmp_path_factory.mktemp("bench")
    source = folder / "tracks.zarr"
    make_store(source, 24)
    lift(source, folder / "right.zarr", weights)
    target = folder / "lifted.zarr"
    yield Bench(source, target, weights, random.Random(0), cluster, regions=6)
    assert not differences(target, folder / "right.zarr")


@pytest.mark.parametrize("kind", ["worker", "run", "client"])
def test_a_killed_process_loses_nothing(bench: Bench, kind: str) -> None:
    for _ in range(20):
        if bench.disturbed(kind)[0]:
            return
        shutil.rmtree(bench.target)  # it was done before the moment came
    pytest.fail("in none of 20 lifts did the moment come in time")


def test_work_that_ends_every_worker_does_not_end_the_rest(cluster: Cluster) -> None:
    with cluster.client() as client:
        done = dict(each(dies_at_two, [1, 2, 3], client, lost=lambda item: -item))
        assert done == {1: 1, 2: -2, 3: 3}
        with pytest.raises(LostWorkers, match="KilledWorker"):
            list(each(dies_at_two, [2], client))


def test_a_killed_scheduler_is_said_and_the_rest_is_done(bench: Bench) -> None:
    client = bench.cluster.client()
    killer = Killer(bench.target, 1, 0.0, bench.cluster.kill_scheduler)
    killer.start()
    with pytest.raises(SeuratTracksError, match=r"went away.*goes on from there"):
        lift(bench.source, bench.target, bench.model, client)
    killer.join()
    client.close(timeout=1)
    assert killer.killed
    kept = finished(bench.target)
    assert 1 <= kept < 6
    with pytest.raises(SeuratTracksError, match="an unfinished lift to it"):
        st.open(bench.target)
    bench.cluster.stop()
    with pytest.raises(SeuratTracksError, match="no Dask scheduler answers"):
        st.lift_store(bench.source, bench.target, scheduler=bench.cluster.address)
    bench.cluster.start()
    lift(bench.source, bench.target, bench.model, bench.cluster.address)


def test_a_disk_that_fills_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"]).returncode:
        pytest.skip("no small disk can be mounted here (unshare --user --mount)")
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.large.full_disk", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    results: list[dict[str, Any]] = [json.loads(x) for x in done.stdout.splitlines()]
    assert len(results) == 3
    for result in results:
        assert "the disk is full. Free space" in result["said"]
        assert not result["there"]
        assert result["same"]
        assert not result["left"]
    kept = [result["kept"] for result in results]
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert 0 < kept[-1] < 16
