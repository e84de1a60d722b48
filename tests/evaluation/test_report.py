from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from seurat_tracks.evaluation import benchmark, published
from seurat_tracks.evaluation.methods import parse_method
from seurat_tracks.evaluation.report import (
    Heading,
    Picture,
    Table,
    Text,
    as_html,
    as_markdown,
    average_over_sources,
    write_report,
)
from seurat_tracks.evaluation.report_pictures import _plain_ticks
from seurat_tracks.evaluation.sources import tapvid3d_clips
from tests.fixtures.tapvid3d_folder import make_folder

pytest.importorskip("pyarrow", reason="benchmarks write Parquet: pip install pyarrow")
pytest.importorskip("matplotlib")
import pandas as pd


@pytest.fixture
def run(tmp_path: Path) -> benchmark.Run:
    folder = make_folder(tmp_path / "data", {"adt": ["a", "b"], "pstudio": ["c"]})
    clips, about = tapvid3d_clips(
        folder, split="all", frame_sizes={"pstudio": (512, 512)}
    )
    methods = [parse_method(m) for m in ("affine", "constant", "density")]
    scalings = ("per_trajectory", "affine")
    return benchmark.run(
        clips, methods, tmp_path / "out", scalings=scalings, about=about
    )


def _published(name: str) -> float:
    return float(name.split(" / ")[0])


def test_averages_of_sources() -> None:
    videos = pd.DataFrame(
        {
            "method": ["m", "m", "m", "n"],
            "source": ["b", "b", "a", "b"],
            "score": [1.0, 2.0, 4.0, 5.0],
        }
    )
    table = average_over_sources(videos, "score")
    assert table.columns.tolist() == ["b", "a", "Average"]
    assert table.loc["m"].tolist() == [1.5, 4.0, 2.75]
    assert np.isnan(table.loc["n", "Average"])  # never over fewer sources


@pytest.mark.parametrize("rows", [published.PER_TRAJECTORY, published.AFFINE])
def test_printed_averages_are_those_of_the_printed_sources(rows: list) -> None:
    """A slip of the pen in the published rows would show here."""
    for row in rows:
        for i in (0, 1, 2):
            cells = [getattr(row, s).split(" / ")[i] for s in row._fields[3:]]
            if "–" in cells:
                continue
            aria, drive, pstudio, average = map(float, cells)
            mean = (aria + drive + pstudio) / 3
            assert mean == pytest.approx(average, abs=0.14 if i < 2 else 0.011), row


def test_the_papers_factor() -> None:
    by_name = {(r.depth, r.tracker): r for r in published.PER_TRAJECTORY}
    ours = _published(by_name["Seurat", "CoTracker"].average)
    theirs = _published(by_name["density formula", "CoTracker"].average)
    assert ours / theirs == pytest.approx(published.FACTOR)


def test_a_report(run: benchmark.Run) -> None:
    markdown, _ = write_report(run, title="A trial")
    text = markdown.read_text("utf-8")
    assert text.startswith("# A trial\n")
    for words in (
        "TAPVid-3D metrics, all frames and tracks",
        "TAPVid-3D all: adt 2, pstudio 1",
        "2D tracks, by source: adt: oracle; pstudio: oracle",
        "## Scaling per_trajectory",
        "## Scaling affine",
        "times that of constant",
        "the paper's own factor of 3",
        "arXiv 2504.14687",
        "| Table 1 | Seurat | CoTracker | 25.1 / 36.9 / .01 |",
        "| Table 2 | Seurat + Depth Pro | CoTracker |",
        "3 of 3",
    ):
        assert words in text
    for name in re.findall(r"\]\((.*?\.png)\)", text):
        assert (run.out / name).stat().st_size > 5000
    assert text.count("](pictures/") == 3
    videos = run.videos[run.videos.scaling == "per_trajectory"]
    score = 100 * average_over_sources(videos, "average_jaccard").Average["constant"]
    assert re.search(rf"\| constant \|.*\| {score:.1f} / .*\| 3 of 3 \|", text)


class _Checker(HTMLParser):
    """Counts what a page holds, and that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        for name, value in attrs:
            assert not (name == "src" and not value.startswith("data:"))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_other_file(run: benchmark.Run) -> None:
    _, page = write_report(run)
    checker = _Checker()
    checker.feed(page.read_text("utf-8"))
    assert checker.open == []
    assert checker.seen["img"] == 3
    assert checker.seen["table"] == 8


def test_blocks(tmp_path: Path) -> None:
    picture = tmp_path / "p" / "x.png"
    picture.parent.mkdir()
    picture.write_bytes(b"png")
    blocks = [
        Heading(1, "A < B"),
        Text("one & two"),
        Table(["a|b"], [["<c>"]]),
        Picture(picture, "seen"),
    ]
    markdown = as_markdown(blocks, tmp_path)
    assert "| a\\|b |\n| --- |\n| <c> |" in markdown
    assert "![seen](p/x.png)" in markdown
    page = as_html(blocks)
    assert "<h1>A &lt; B</h1>" in page
    assert "<td>&lt;c&gt;</td>" in page
    assert "data:image/png;base64,cG5n" in page


def test_ticks_are_round_numbers_of_frames() -> None:
    assert _plain_ticks(0, 29) == [0, 1, 2, 5, 10, 20]
    assert _plain_ticks(-5, 120) == [-5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100]


def test_failures_are_in_the_report(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", {"adt": ["a"], "pstudio": ["c"]})
    clips, _ = tapvid3d_clips(folder, split="all")
    method = parse_method("constant")
    run = benchmark.run(clips, [method], tmp_path / "out")
    text = write_report(run)[0].read_text("utf-8")
    assert "1 answers are missing" in text
    nothing = benchmark.run(clips[1:], [method], tmp_path / "none")
    text = write_report(nothing)[0].read_text("utf-8")
    assert "Nothing could be scored" in text
