"""Make the pictures of docs/explorer.md, in a real JupyterLab.

    python docs/make_explorer_pictures.py demo/out.zarr

The store is the one that ``seurat-tracks demo`` writes. Needs Chromium, Playwright and
the notebook extra.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from seurat_tracks.demo import CLIPS, load_clip  # noqa: E402
from seurat_tracks.io.store import open_store  # noqa: E402
from tests.notebook import browser  # noqa: E402

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 300_000

CELL = """import seurat_tracks as st
from seurat_tracks.demo import CLIPS, load_clip

ds, video = st.open("{store}"), load_clip(CLIPS["street"])
explorer = ds.seurat.explore(video, frame=166)
explorer.select({chosen})
explorer"""


def save(picture: bytes, path: Path) -> None:
    """Write a PNG with as few colours as it takes to be small."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    few = image.quantize(256, kmeans=3)
    for small in (
        image,
        image.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG),
    ):
        small.save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise SystemExit(f"{path} takes {path.stat().st_size} bytes")


def moving(store: str) -> list[int]:
    """Tracks on the car in the middle, which drives away, longest seen first."""
    ds = open_store(store)
    now = ds.sel(time=166)
    x, y = (now.xy.sel(coord=c) for c in ("x", "y"))
    inside = (x > 330) & (x < 470) & (y > 90) & (y < 160)
    away = now.visible & inside & (now.depth > 1.06) & (now.depth_ratio_sigma < 0.1)
    ids = ds.track[away.values]
    length = ds.visible.sel(track=ids).sum("time").compute()
    return [int(i) for i in ids.values[length.values.argsort()[::-1]][:5]]


def lab(store: str, theme: str, path: Path) -> None:
    """Show the explorer in JupyterLab."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = CELL.format(store="street.zarr", chosen=moving(store))
        (folder / "street.zarr").symlink_to(Path(store).resolve())
        browser.write_notebook(folder / "explorer.ipynb", text)
        with (
            browser.jupyter_lab(folder, theme) as address,
            browser.chromium() as chrome,
        ):
            tab = browser.LabPage(chrome, address, "explorer.ipynb")
            tab.page.set_viewport_size({"width": 1250, "height": 925})
            tab.page.keyboard.press("Control+b")
            tab.run_cell(0)
            tab.page.wait_for_selector(
                f"{browser.ROOT_SELECTOR}[data-frame='166'][data-picture=shown]"
            )
            tab.page.wait_for_timeout(1500)
            tab.page.mouse.move(3, 915)
            save(tab.page.screenshot(), path)
            if tab.errors:
                raise SystemExit("\n".join(tab.errors))


def page(store: str, path: Path) -> None:
    """Show a page of its own."""
    with tempfile.TemporaryDirectory() as name:
        file = open_store(store).seurat.to_html(
            Path(name) / "street.html",
            video=load_clip(CLIPS["street"]),
            frame=166,
            colour="ratio",
            title="A street behind a fence",
        )
        with browser.chromium() as chrome:
            tab = chrome.new_page(viewport={"width": 1250, "height": 720})
            tab.goto(file.as_uri())
            tab.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-picture=shown]")
            box = tab.locator(".se-stage").bounding_box()
            x, y = box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"]
            tab.mouse.move(x - 130, y - 40)
            tab.keyboard.down("Shift")
            tab.mouse.down()
            for dx, dy in ((60, -40), (60, 30), (-130, 30)):
                tab.mouse.move(x + dx, y + dy, steps=4)
            tab.mouse.up()
            tab.keyboard.up("Shift")
            tab.mouse.move(3, 700)
            tab.wait_for_timeout(500)
            save(tab.screenshot(), path)


if __name__ == "__main__":
    lab(sys.argv[1], "JupyterLab Light", IMAGES / "explorer-light.png")
    lab(sys.argv[1], "JupyterLab Dark", IMAGES / "explorer-dark.png")
    page(sys.argv[1], IMAGES / "to-html.png")
