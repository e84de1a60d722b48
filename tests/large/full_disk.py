"""Fill a real disk in the middle of a lift by four workers.

    unshare --user --map-root-user --mount python -m tests.large.full_disk FOLDER

The disk is one of memory, seen in these namespaces alone. Writes one line of JSON for
each size of it, a share of what the lift needs: what the error said, how many regions
were kept, whether anything was at the target, and whether the run after more room was
made ended with the bytes of an undisturbed one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from seurat_tracks.errors import StoreError
from tests.benchmarks.kills import content, finished, lift, make_store
from tests.benchmarks.large import tiny_weights
from tests.fixtures.cluster import Cluster

SHARES = (0.05, 0.5, 0.9)
PAGE = 4096


def main() -> None:
    folder = Path(sys.argv[1])
    model = tiny_weights(folder / "tiny.safetensors")
    source, right, disk = folder / "tracks.zarr", folder / "right.zarr", folder / "disk"
    make_store(source)
    lift(source, right, model)
    sizes = [p.stat().st_size for p in right.rglob("*") if p.is_file()]
    needed = sum(-(-size // PAGE) * PAGE for size in sizes)
    disk.mkdir()
    target = disk / "lifted.zarr"
    with Cluster(4) as cluster, cluster.client() as client:
        for share in SHARES:
            _mount(disk, f"size={int(share * needed)}")
            said = ""
            try:
                lift(source, target, model, client)
            except StoreError as error:
                said = str(error)
            kept, there = finished(target), target.exists()
            _mount(disk, "remount,size=64m")
            lift(source, target, model, client)
            result = {
                "share": share,
                "said": said,
                "kept": kept,
                "there": there,
                "same": content(target) == content(right),
                "left": [p.name for p in disk.glob(".*")],
            }
            sys.stdout.write(json.dumps(result) + "\n")
            subprocess.run(["umount", str(disk)], check=True)


def _mount(disk: Path, options: str) -> None:
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True
    )


if __name__ == "__main__":
    main()
