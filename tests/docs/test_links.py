"""Relative links and anchors of README, docs and notebooks hold in the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)>\s]+)>?[^)]*\)")
MADE_BY_THE_BUILD = {"docs/gallery.md"}


def markdown_of(path: Path) -> str:
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join(
            "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"
        )
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors_of(path: Path) -> set[str]:
    """Slugs of the headings, as GitHub makes them, and explicit targets."""
    found: dict[str, int] = {}
    names = set(re.findall(r"^\(([\w-]+)\)=$", path.read_text("utf-8"), re.MULTILINE))
    for title in re.findall(r"^#{1,6}\s+(.+?)\s*$", markdown_of(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(slug if not count else f"{slug}-{count}")
    return names


def pages() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "notebooks/README.md"]
    found += sorted((ROOT / "docs").glob("*.md"))
    found += sorted((ROOT / "notebooks").glob("*.ipynb"))
    return [p for p in found if str(p.relative_to(ROOT)) not in MADE_BY_THE_BUILD]


def faults(page: Path) -> list[str]:
    found = []
    for link in LINK.findall(markdown_of(page)):
        parts = urlsplit(link)
        if parts.scheme or link.startswith("//"):
            if parts.scheme not in ("https", "mailto"):
                found.append(f"{link}: neither https nor relative")
            continue
        target = page.parent / unquote(parts.path) if parts.path else page
        name = str(target.resolve().relative_to(ROOT))
        if name in MADE_BY_THE_BUILD:
            continue
        if not target.exists():
            found.append(f"{link}: there is no {name}")
        elif (
            parts.fragment
            and target.suffix in (".md", ".ipynb")
            and parts.fragment not in anchors_of(target)
        ):
            found.append(f"{link}: {name} has no such heading")
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links(page):
    assert faults(page) == []


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    (tmp_path / "b.md").write_text("# Here\n", "utf-8")
    page = tmp_path / "a.md"
    page.write_text("[a](b.md#here) [b](b.md#there) [c](c.md) [d](http://x)", "utf-8")
    monkeypatch.setitem(faults.__globals__, "ROOT", tmp_path)
    assert [f.split(":")[0] for f in faults(page)] == ["b.md#there", "c.md", "http"]


def test_every_picture_is_used_and_described():
    text = "".join(p.read_text("utf-8") for p in pages())
    for image in sorted((ROOT / "docs" / "images").rglob("*")):
        if image.is_file() and image.parent.name != "notebooks":
            assert image.name in text, f"{image.name} is shown nowhere"
    assert not re.search(r"!\[\s*\]\(", text), "a picture without words"
