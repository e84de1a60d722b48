"""The recorded walk, as a test; with SEURAT_PICTURES=FOLDER it takes its pictures."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

import seurat_tracks as st
from tests.test_demo import needs_clips


@needs_clips
@pytest.mark.napari
@pytest.mark.slow
def test_from_an_empty_viewer_to_a_3d_store(make_napari_viewer, tmp_path):
    file = Path(__file__).parents[2] / "docs" / "walk_napari.py"
    spec = importlib.util.spec_from_file_location("walk_napari", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pictures = os.environ.get("SEURAT_PICTURES")
    size = {} if pictures else {"frames": 12, "grid": 6}
    walk = module.Walk(
        Path(pictures) if pictures else None,
        tmp_path,
        viewer=make_napari_viewer(show=True),
        **size,
    )
    walk.run()
    ds = st.open(walk.store)
    assert ds.attrs["units"] == "m"
    assert {"depth", "xyz", "scale"} <= set(ds.data_vars)
    steps = [h.split(" ", 1)[1] for h in ds.attrs["history"]]
    assert steps[0].startswith("tracked with lk and lifted to 3D")
    assert steps[-1].startswith("anchored by distance")
    assert any(s.startswith("lifted again") for s in steps)
    # the two points that were picked are as far apart as was said
    a, b = (s.strip() for s in steps[-1].split(" of ")[1].split(":")[0].split("–"))
    frame = int(steps[-1].split("in frame ")[1].split(":")[0])
    xyz = ds["xyz"].sel(track=[int(a), int(b)], time=frame).values
    assert float(((xyz[0] - xyz[1]) ** 2).sum() ** 0.5) == pytest.approx(
        module.KNOWN, rel=1e-3
    )
