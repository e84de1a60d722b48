import re
from pathlib import Path

import numpy as np

from seurat_tracks.depth import CATALOGUE
from tests.fixtures.depth_models import clip

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "depth.md").read_text("utf-8")


def test_own_source_runs_as_written(make_tracks):
    section = DOCS.split("## Your own source")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    assert len(code.splitlines()) <= 30
    names = {"video": clip(8, 80, 96) * 20, "ds": make_tracks(4, 8)}
    exec(code, names)
    lifted = names["lifted"]
    assert lifted.attrs["depth_source"] == "brightness"
    depth = lifted["depth"].where(lifted["visible"]).values
    assert np.nanmax(depth) < 5
    assert np.nanmin(depth) > 1


def test_every_model_is_in_the_table():
    for name in CATALOGUE:
        family = re.sub(r"-(outdoor|base|large|small)", "", name)
        assert family.split("-metric")[0] in DOCS
