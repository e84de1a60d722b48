"""Draw the gallery's pictures: the largest picture that each notebook makes, small.

    python docs/pictures/notebook_pictures.py [NAME ...] [--out docs/images/notebooks]

Executes the notebooks (all of them, or those named) and writes NAME.png for each that
makes a picture; the gallery shows ``any.svg`` for the others.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

SIZE = (480, 240)
ROOT = Path(__file__).resolve().parents[2]


def pictures(book: Any) -> Iterator[Image.Image]:
    """Give the PNG outputs of an executed notebook."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {}).get("image/png")
            if data:
                yield Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def shrink(picture: Image.Image) -> Image.Image:
    """Fit a picture into `SIZE` on white, with few colours."""
    picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
    card = Image.new("RGB", SIZE, "white")
    corner = tuple((a - b) // 2 for a, b in zip(SIZE, picture.size, strict=True))
    card.paste(picture, corner)
    return card.quantize(128)


def main() -> None:
    """Execute the notebooks and write their pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="notebooks, without .ipynb")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/notebooks")
    args = parser.parse_args()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if args.names and path.stem not in args.names:
            continue
        book = nbformat.read(path, as_version=4)
        client = NotebookClient(
            book, timeout=300, resources={"metadata": {"path": str(path.parent)}}
        )
        client.execute()
        found = list(pictures(book))
        if found:
            args.out.mkdir(parents=True, exist_ok=True)
            best = max(found, key=lambda p: p.width * p.height)
            shrink(best).save(args.out / f"{path.stem}.png", optimize=True)
        sys.stdout.write(f"{path.stem}: {len(found)} pictures\n")


if __name__ == "__main__":
    main()
