"""Fuzz the readers with atheris, guided by coverage; by hand, as it never ends.

    pip install atheris
    python -m tests.benchmarks.fuzz KIND -max_total_time=300 -rss_limit_mb=2048

KIND is a key of `tests.io.test_fuzz.KINDS`. Files of that kind are the seeds. Anything
but an error of our own, or more memory than the limit, ends the run and is reported.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["seurat_tracks.io"]):
    import seurat_tracks as st
    from seurat_tracks.errors import SeuratTracksError
    from seurat_tracks.io import (  # noqa: F401
        cotracker,
        formats,
        napari_table,
        parquet,
        pointodyssey,
        table,
        tapvid,
        tapvid3d,
        trackmate,
    )
from tests.io.test_formats import make
from tests.io.test_fuzz import KINDS


def main() -> None:
    """Write the seeds and run."""
    kind = sys.argv.pop(1)
    name, options = KINDS[kind]
    folder = Path(tempfile.mkdtemp())
    seeds = folder / "seeds"
    seeds.mkdir()
    warnings.simplefilter("ignore")
    seed = folder / f"x.{kind}"
    more = {"layout": "tracks"} if kind == "tracks.xml" else {}
    st.export(make(5, 6), seed, name, **more)
    (seeds / "whole").write_bytes(seed.read_bytes())
    path = folder / f"fuzz.{kind}"
    side = folder / "x.csv.json"
    if side.exists() and kind == "csv":
        path.with_name(path.name + ".json").write_bytes(side.read_bytes())

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(SeuratTracksError):
            st.read(path, name, **options)

    atheris.Setup([*sys.argv, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
