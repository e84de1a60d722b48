"""The site builds without a warning, without a network, and asks no other host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

import seurat_tracks

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("sphinx", "myst_nb", "numpydoc", "pydata_sphinx_theme", "sphinx_design")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in NEEDED),
        reason="needs pip install 'seurat-tracks[docs]'",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build a copy of the sources, so that nothing is written beside them."""
    place = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("generated", "gallery.md", "__pycache__")
    shutil.copytree(ROOT / "docs", place / "docs", ignore=ignored)
    shutil.rmtree(place / "docs" / "notebooks", ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", place / "notebooks")
    shutil.copy(ROOT / "CHANGELOG.md", place)
    nowhere = "http://127.0.0.1:9"  # whatever asks the network fails, and so warns
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q"),
            *("-b", "html", "-d", place / "trees", place / "docs", place / "site"),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("SEURAT_DOCS")},
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'napari_plugin'}",
            "OMP_NUM_THREADS": "1",
            "http_proxy": nowhere,
            "https_proxy": nowhere,
        },
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return place / "site"


class Loaded(HTMLParser):
    """Collect what a browser loads of itself with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.found.append(named.get("src") or "")
        elif tag == "link" and named.get("rel") != "canonical":
            self.found.append(named.get("href") or "")


def test_nothing_is_loaded_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        reader = Loaded()
        text = page.read_text("utf-8")
        reader.feed(text)
        outside = [u for u in reader.found if re.match(r"(https?:)?//", u)]
        assert outside == [], page.name
        assert "MathJax" not in text, f"{page.name} has formulas, which need a host"
    for sheet in site.rglob("*.css"):
        outside = re.findall(
            r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]+",
            sheet.read_text("utf-8", "replace"),
        )
        assert outside == [], sheet.name


def test_the_version_is_in_every_title(site):
    for name in ("index.html", "scale.html", "generated/seurat_tracks.lift3d.html"):
        title = re.search(r"<title>(.*?)</title>", (site / name).read_text("utf-8"), 16)
        assert seurat_tracks.__version__ in title[1], name


def test_public_names_verbs_and_commands_are_there(site):
    from typer.main import get_command

    from seurat_tracks.accessor import SeuratAccessor
    from seurat_tracks.cli import app

    text = "".join(
        p.read_text("utf-8") for p in [*site.glob("*.html"), *site.rglob("generated/*")]
    )
    for name in seurat_tracks.__all__:
        if name != "evaluation":
            assert f'id="seurat_tracks.{name}"' in text, name
    for verb in vars(SeuratAccessor):
        if verb.startswith("_"):
            continue
        assert f'id="xarray.Dataset.seurat.{verb}' in text, verb
    for command in get_command(app).commands:
        assert f'<section id="{command}">' in (site / "cli.html").read_text("utf-8")


def test_every_page_and_notebook_is_built(site):
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file(), page.name
    for book in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / f"{book.stem}.html").is_file(), book.name


def test_search_finds_words_of_the_pages(site):
    index = (site / "searchindex.js").read_text("utf-8")
    assert "lift3d" in index
    assert "parallax" in index
    assert "failure-modes" in index


def test_both_themes_are_there(site):
    page = (site / "developing.html").read_text("utf-8")
    assert "only-light" in page
    assert "only-dark" in page
    assert "theme-switch" in page
