"""How notebooks are committed; `pytest notebooks` runs them, through nbmake."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import matplotlib as mpl
import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_nine_and_they_are_listed():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"0{i}" for i in range(1, 10)]
    for page in ("notebooks/README.md", "docs/quickstart.md"):
        listed = re.findall(r"`(\d\d-[a-z-]+)`", (ROOT / page).read_text("utf-8"))
        assert listed == [path.stem for path in NOTEBOOKS], page


def test_the_suite_runs_them(pytestconfig):
    assert "notebooks" in pytestconfig.getini("testpaths")
    assert "--nbmake" in pytestconfig.getini("addopts")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_valid_and_clean(self, path):
        notebook = json.loads(path.read_text("utf-8"))
        nbformat.validate(notebook)
        assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        ids = [cell["id"] for cell in notebook["cells"]]
        assert len(set(ids)) == len(ids)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                assert cell["execution_count"] is None
                assert not cell["metadata"], "cell metadata such as timings"

    def test_begins_with_a_title_and_explains_before_it_acts(self, path):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        kinds = [cell["cell_type"] for cell in cells]
        text = ["".join(cell["source"]) for cell in cells]
        assert kinds[0] == "markdown"
        assert text[0].startswith("# ")
        titles = [line for t in text for line in t.splitlines() if line[:2] == "# "]
        in_prose = [t for t, k in zip(text, kinds, strict=True) if k == "markdown"]
        assert sum(t in "\n".join(in_prose).splitlines() for t in titles) == 1
        assert kinds.count("markdown") >= 4
        assert all(text), "an empty cell"

    def test_reaches_for_nothing_outside(self, path):
        """No downloads, no places of one machine."""
        notebook = json.loads(path.read_text("utf-8"))
        code = "\n".join(
            "".join(cell["source"])
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        )
        for word in (
            "http",
            "download=True",
            "!pip",
            "%pip",
            "/home/",
            "/tmp",
            "/work",
        ):
            assert word not in code


def test_five_lines_from_a_video_to_a_3d_plot(tmp_path, monkeypatch):
    """The lines of docs/quickstart.md, as they stand there."""
    from seurat_tracks.notebook.animate import write_mp4

    mpl.use("agg")
    page = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 255, (24, 32, 3)).repeat(4, 0).repeat(4, 1)
    frames = [np.roll(noise, 2 * k, axis=1).astype(np.uint8) for k in range(9)]
    write_mp4(frames, tmp_path / "clip.mp4", 25)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, "docs/quickstart.md", "exec"), names)
    assert (tmp_path / "clip.zarr").is_dir()
    figure = mpl.pyplot.gcf()
    assert figure.axes[0].name == "3d"
    assert "relative" in figure.axes[0].get_xlabel()
    mpl.pyplot.close("all")
