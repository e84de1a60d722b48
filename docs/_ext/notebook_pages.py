"""Bring ``notebooks/*.ipynb`` into the site, with a gallery of them.

Copies lie in ``docs/notebooks`` (ignored by git), so that the source of a notebook is
in one place. Any set of notebooks does, an empty one as well.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

GALLERY = "gallery.md"


class Notebook(NamedTuple):
    """What the gallery says of a notebook."""

    name: str
    title: str
    sentence: str


def describe(path: Path) -> Notebook:
    """Take the first heading and the first sentence below it."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
    )
    heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
    title = (
        heading[1].strip()
        if heading
        else path.stem.replace("_", " ").replace("-", " ").capitalize()
    )
    rest = text[heading.end() :] if heading else text
    paragraphs = [p.strip() for p in re.split(r"\n\s*\n", rest)]
    plain = [p for p in paragraphs if p and not p.startswith(("#", "!", "|", "```"))]
    words = " ".join(plain[0].split()) if plain else ""
    sentence = re.match(r".+?[.!?](?=\s|$)", words)
    return Notebook(path.stem, title, sentence[0] if sentence else words)


def find_notebooks(folder: Path) -> list[Path]:
    """List notebooks in the gallery's order, that of their names: 01-..., 02-..."""
    return sorted(folder.glob("*.ipynb"))


def write_if_new(path: Path, text: str) -> None:
    """Leave the time of an unchanged file alone, so that it is not read again."""
    if not path.is_file() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def site_links(text: str, folder: str = "") -> str:
    """Turn links that hold in the repository into links that hold in the site.

    Parameters
    ----------
    text
        Markdown.
    folder
        "notebooks" for a file of that folder, "" for a page of ``docs``.
    """
    if folder == "notebooks":
        text = re.sub(r"\]\(\.\./docs/", "](../", text)
        up = "../"
    else:
        text = re.sub(r"\]\(\.\./notebooks/(?=[^)]*\.ipynb)", "](notebooks/", text)
        up = ""
    text = re.sub(r"\]\(\.\./(?:docs/)?CHANGELOG\.md", f"]({up}changelog.md", text)
    return re.sub(r"\]\(\.\./README\.md[^)]*", f"]({up}index.md", text)


def gallery_page(books: list[Notebook], images: Path) -> str:
    """Write the gallery: a card for each notebook, and the toctree."""
    head = (
        "# Notebooks\n\n"
        "Each runs in under a minute on a CPU, on data that any machine has, with "
        "fixed seeds. They lie in the folder `notebooks/` of the repository:\n\n"
        "```sh\npip install 'seurat-tracks[notebook]'\njupyter lab notebooks/\n```\n\n"
    )
    if not books:
        return head + "There are none in this copy of the repository.\n"
    lines = [head, ":::::{grid} 1 2 3 3\n:gutter: 3\n\n"]
    for book in books:
        picture = images / f"{book.name}.png"
        shown = picture.name if picture.is_file() else "any.svg"
        lines += [
            f"::::{{grid-item-card}} {book.title}\n",
            f":link: notebooks/{book.name}\n:link-type: doc\n",
            f":img-top: images/notebooks/{shown}\n:img-alt: {book.title}\n",
            ":class-img-top: gallery-picture\n",
            f"\n{site_links(book.sentence, 'notebooks').replace('](../', '](')}\n",
            "::::\n\n",
        ]
    lines += [":::::\n\n```{toctree}\n:hidden:\n\n"]
    lines += [f"notebooks/{book.name}\n" for book in books]
    return "".join([*lines, "```\n"])


def gather_notebooks(app: Any) -> None:
    """Copy the notebooks and write the gallery (``builder-inited``)."""
    source = Path(app.srcdir)
    found = find_notebooks(source.parent / "notebooks")
    target = source / "notebooks"
    if target.is_dir():
        for stale in target.glob("*"):
            if stale.suffix != ".ipynb" or stale.stem not in {p.stem for p in found}:
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    for path in found:
        book = json.loads(path.read_text("utf-8"))
        for cell in book["cells"]:
            if cell["cell_type"] == "markdown":
                text = site_links("".join(cell["source"]), "notebooks")
                cell["source"] = text.splitlines(keepends=True)
        write_if_new(target / path.name, json.dumps(book, ensure_ascii=False, indent=1))
    page = gallery_page([describe(p) for p in found], source / "images" / "notebooks")
    write_if_new(source / GALLERY, page)


def rewrite_links(app: Any, docname: str, content: list[str]) -> None:
    """Rewrite links of a page before it is parsed (``source-read``)."""
    if not docname.startswith(("notebooks/", "generated/")):
        content[0] = site_links(content[0])
