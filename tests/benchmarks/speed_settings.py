"""What each speed setting costs in accuracy, and what it brings in time.

    python -m tests.benchmarks.speed_settings --data DIR --cache DIR2
        [--rows kitchen-lk typing libmv-02 libmv-03 drive-noisy scenes-spoiled]
        [--repeat 3]

``DIR`` and ``DIR2`` as for `seurat_tracks.evaluation.scorecard`, whose rows these are
(docs/scores.md): error over the error of "depth stays constant". Rows that were tracked
from a video have support grids of 24 x 24 points, which are thinned here to every
second, third and fourth point of each side. Processor time of `depth_ratio`, one case,
the best of the runs; all settings take turns, so that they see the same load.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks.evaluation.cases import cases
from seurat_tracks.evaluation.rows import Case
from seurat_tracks.evaluation.score import Score, average, score

SETTINGS: dict[str, dict[str, Any]] = {
    "float32, 24 x 24 (default)": {},
    "bfloat16": {"precision": "bfloat16"},
    "2 iterations": {"iterations": 2},
    "support 12 x 12": {"every": 2},
    "support 8 x 8": {"every": 3},
    "support 6 x 6": {"every": 4},
    "support 12 x 12, bfloat16": {"every": 2, "precision": "bfloat16"},
}
ROWS = ("kitchen-lk", "typing", "libmv-02", "libmv-03", "drive-noisy", "scenes-spoiled")
SIDE = 24


def thinned(case: Case, every: int) -> Case | None:
    """Keep every so many points of each side of the support grid; None without one."""
    ds = case.ds
    if "support_xy" not in ds or ds.sizes["support"] != SIDE**2:
        return None
    # half a step in, so that what is left lies in the middle again
    kept = np.arange(SIDE**2).reshape(SIDE, SIDE)[
        every // 2 :: every, every // 2 :: every
    ]
    return replace(case, ds=ds.isel(support=kept.ravel()))


def main() -> None:
    """Score, time, write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    found: dict[tuple[str, str], list[Score]] = {}
    spent: dict[tuple[str, str], float] = {}
    for case in cases(args.data, only=args.rows, cache=args.cache):
        for turn in range(args.repeat):
            for name, setting in SETTINGS.items():
                options = dict(setting)
                every = options.pop("every", 1)
                use = case if every == 1 else thinned(case, every)
                if use is None:
                    continue
                begin = time.process_time()
                scores = score(use, device="cpu", **options)
                begin = time.process_time() - begin
                for row, value in scores.items():
                    key = row, name
                    spent[key] = min(spent.get(key, np.inf), begin)
                    if turn == 0:
                        found.setdefault(key, []).append(value)
    out = sys.stdout
    out.write("| row | setting | error / constant | in 1 σ | in 2 σ | seconds |\n")
    out.write("|---|---|---|---|---|---|\n")
    for row in args.rows:
        for name in SETTINGS:
            if (row, name) not in found:
                continue
            s = average(found[row, name], pooled=row.startswith("scenes"))
            out.write(
                f"| `{row}` | {name} | {s.relative:.3f} | {s.inside_1:.2f} "
                f"| {s.inside_2:.2f} | {spent[row, name]:.2f} |\n"
            )


if __name__ == "__main__":
    main()
