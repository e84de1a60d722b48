"""Draw the architecture: images/architecture-light.svg and -dark.svg.

python docs/pictures/architecture.py [--out docs/images]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 980, 560
FONT = "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif"


class Theme(NamedTuple):
    """Colours: text, weaker text, lines, and the fills of the layers."""

    text: str
    weak: str
    line: str
    ways: str
    data: str
    step: str
    feed: str
    base: str


THEMES = {
    "light": Theme(
        "#1f2328", "#57606a", "#57606a", "#fff4d6", "#dbeafe", "#ffffff", "#e3f5e9",
        "#eceff3",
    ),
    "dark": Theme(
        "#e8eaed", "#a9b1ba", "#9aa4ae", "#4a3d14", "#173a63", "#24292f", "#17432b",
        "#33393f",
    ),
}  # fmt: skip


class Box(NamedTuple):
    """A box: corner, size, layer, title, lines below it."""

    x: int
    y: int
    width: int
    height: int
    layer: str
    title: str
    lines: tuple[str, ...] = ()


class Row(NamedTuple):
    """Boxes of one layer, side by side: top, height, and (x, width, title, lines)."""

    layer: str
    top: int
    height: int
    boxes: tuple[tuple[int, int, str, tuple[str, ...]], ...]


ROWS = (
    Row(
        "ways",
        44,
        62,
        (
            (20, 220, "notebooks", ("accessor.py · notebook/",)),
            (260, 220, "napari", ("napari_seurat_tracks",)),
            (500, 220, "scripts, command line", ("cli.py",)),
            (740, 220, "live", ("streaming/",)),
        ),
    ),
    Row(
        "data",
        178,
        84,
        (
            (20, 120, "video", ("time, y, x, rgb",)),
            (260, 130, "2D tracks", ("xy, visible,", "support_xy")),
            (510, 150, "ratios", ("log_depth_ratio", "± sigma")),
            (780, 180, "metric 3D tracks", ("depth, xyz", "± scale_sigma")),
        ),
    ),
    Row(
        "feed",
        330,
        84,
        (
            (110, 180, "trackers/", ("Lucas-Kanade,", "CoTracker, TAPIR, …")),
            (310, 230, "model/", ("rigid motions + network,", "weights in the wheel")),
            (
                *(560, 200, "depth/ · anchors/"),
                ("maps, models, numbers,", "known distances"),
            ),
            (780, 180, "cameras/", ("lenses, poses,", "calibration files")),
        ),
    ),
    Row(
        "base",
        462,
        62,
        (
            (20, 460, "io/", ("files of tracks in; Zarr, CSV, GLB, rerun, … out",)),
            (
                *(500, 460, "schema.py · geometry.py"),
                ("the contract every step keeps; the pinhole camera",),
            ),
        ),
    ),
)
STEPS = [
    (140, 260, "track", "trackers/track.py"),
    (390, 510, "lift", "windows, fusion"),
    (660, 780, "anchor", "scale.py"),
]
FEED_ARROWS = (200, 450, 720, 870)


def text(x: float, y: float, words: str, fill: str, size: int, bold: bool) -> str:
    """Place a line of text about x."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle" font-size="{size}"'
        f'{weight} fill="{fill}">{escape(words)}</text>'
    )


def box(b: Box, theme: Theme) -> str:
    """Draw a box with its title and lines, centred."""
    middle = b.x + b.width / 2
    first = b.y + b.height / 2 + 5 - 9 * len(b.lines)
    parts = [
        f'<rect x="{b.x}" y="{b.y}" width="{b.width}" height="{b.height}" rx="8" '
        f'fill="{getattr(theme, b.layer)}" stroke="{theme.line}" stroke-width="1"/>',
        text(middle, first, b.title, theme.text, 16, True),
    ]
    for i, line in enumerate(b.lines, start=1):
        parts.append(text(middle, first + 19 * i, line, theme.weak, 13, False))
    return "".join(parts)


def arrow(x1: float, y1: float, x2: float, y2: float, theme: Theme) -> str:
    """Draw an arrow."""
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{theme.line}" '
        'stroke-width="1.6" marker-end="url(#head)"/>'
    )


def draw(theme: Theme) -> str:
    """Draw the whole picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="{FONT}" role="img">',
        "<title>How seurat-tracks is built: data flows from left to right, imports "
        "point downwards</title>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="{theme.line}"/></marker></defs>',
    ]
    captions = [
        (30, "ways in: look, correct, run"),
        (164, "one xarray.Dataset, with more in it after every step"),
        (316, "what the steps call"),
        (448, "below everything"),
    ]
    for y, caption in captions:
        parts.append(
            f'<text x="20" y="{y}" font-size="13" fill="{theme.weak}">{caption}</text>'
        )
    for row in ROWS:
        for x, width, title, lines in row.boxes:
            parts.append(
                box(Box(x, row.top, width, row.height, row.layer, title, lines), theme)
            )
    for x1, x2, title, where in STEPS:
        parts.append(arrow(x1, 220, x2 - 2, 220, theme))
        parts.append(text((x1 + x2) / 2, 208, title, theme.text, 15, True))
        parts.append(text((x1 + x2) / 2, 240, where, theme.weak, 12, False))
    for x in FEED_ARROWS:
        parts.append(arrow(x, 328, x, 264 if x == 870 else 248, theme))
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Write the two files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    for name, theme in THEMES.items():
        (args.out / f"architecture-{name}.svg").write_text(draw(theme), "utf-8")


if __name__ == "__main__":
    main()
