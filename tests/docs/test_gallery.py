from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

EXTENSIONS = Path(__file__).resolve().parents[2] / "docs" / "_ext"


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    monkeypatch.delitem(sys.modules, "notebook_pages", raising=False)
    import notebook_pages

    return notebook_pages


def write_notebook(path: Path, *markdown: str) -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": m.splitlines(keepends=True)}
        for m in markdown
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))


def test_title_and_sentence(pages, tmp_path):
    write_notebook(
        tmp_path / "a.ipynb",
        "# Long videos\n\n![x](y.png)\n\nAn hour fits in memory of 1.5 GB. More text.",
    )
    found = pages.describe(tmp_path / "a.ipynb")
    assert found == ("a", "Long videos", "An hour fits in memory of 1.5 GB.")


def test_a_notebook_without_words(pages, tmp_path):
    write_notebook(tmp_path / "odd_one.ipynb")
    assert pages.describe(tmp_path / "odd_one.ipynb") == ("odd_one", "Odd one", "")


def test_links_hold_on_the_site(pages):
    page = "[a](../notebooks/01-quick-start.ipynb) [b](../CHANGELOG.md) [c](scale.md)"
    assert pages.site_links(page) == (
        "[a](notebooks/01-quick-start.ipynb) [b](changelog.md) [c](scale.md)"
    )
    book = "[a](../docs/scale.md#x) [b](own_tracks.ipynb) [c](../README.md#install)"
    assert pages.site_links(book, "notebooks") == (
        "[a](../scale.md#x) [b](own_tracks.ipynb) [c](../index.md)"
    )


def test_order_copies_and_what_is_stale(pages, tmp_path):
    for name in ("03-zebra", "02-own-tracks", "01-quick-start"):
        write_notebook(
            tmp_path / f"notebooks/{name}.ipynb", f"# {name}\n\nSee [s](../docs/s.md)."
        )
    (tmp_path / "docs/notebooks").mkdir(parents=True)
    (tmp_path / "docs/notebooks/gone.ipynb").write_text("{}")
    app = SimpleNamespace(srcdir=tmp_path / "docs")
    pages.gather_notebooks(app)
    gallery = (tmp_path / "docs/gallery.md").read_text("utf-8")
    tree = gallery.split("{toctree}")[1]
    assert tree.index("01-quick") < tree.index("02-own") < tree.index("03-zebra")
    assert "See [s](s.md)." in gallery
    names = sorted(p.name for p in (tmp_path / "docs/notebooks").iterdir())
    assert names == ["01-quick-start.ipynb", "02-own-tracks.ipynb", "03-zebra.ipynb"]
    assert "](../s.md)" in (tmp_path / "docs/notebooks/03-zebra.ipynb").read_text(
        "utf-8"
    )
    before = (tmp_path / "docs/notebooks/03-zebra.ipynb").stat().st_mtime_ns
    pages.gather_notebooks(app)
    assert (tmp_path / "docs/notebooks/03-zebra.ipynb").stat().st_mtime_ns == before


def test_no_notebooks(pages, tmp_path):
    (tmp_path / "docs").mkdir()
    pages.gather_notebooks(SimpleNamespace(srcdir=tmp_path / "docs"))
    assert "toctree" not in (tmp_path / "docs/gallery.md").read_text("utf-8")
