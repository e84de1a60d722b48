"""Draw the pictures of docs/napari.md from the plugin's own sample.

``xvfb-run -a -s "-screen 0 1680x1050x24" python docs/make_napari_pictures.py``
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari
import numpy as np
from napari.layers import Layer
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_seurat_tracks._qt.view import ViewWidget
from napari_seurat_tracks.sample import open_sample
from napari_seurat_tracks.session import Session
from napari_seurat_tracks.view import view_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.fixtures.lifted import make_lifted

IMAGES = Path(__file__).resolve().parent / "images"


def save(image: np.ndarray, name: str) -> None:
    """Write a picture in a palette of its own, so that it stays small."""
    picture = Image.fromarray(image[..., :3])
    picture.quantize(255, dither=Image.Dither.NONE).save(
        IMAGES / f"napari-{name}.png", optimize=True
    )


def main() -> None:
    """Draw all of them."""
    viewer = napari.Viewer()
    widget = ViewWidget(viewer)
    viewer.window.add_dock_widget(widget, name="View tracks in 3D")
    for data in open_sample():
        viewer.add_layer(Layer.create(*data))
    view = view_of(viewer)
    scene = view.scene
    viewer.window.resize(1400, 800)
    for _ in range(5):
        QApplication.processEvents()

    def whole(name: str) -> None:
        widget.refresh()
        for _ in range(5):
            QApplication.processEvents()
        save(viewer.screenshot(canvas_only=False, flash=False), name)

    def canvas() -> np.ndarray:
        return viewer.screenshot(canvas_only=True, flash=False)

    viewer.reset_view()
    view.go_to(26)
    whole("picture")
    widget.switch.click()
    view.home()
    box = np.flatnonzero(scene.stage.ds["depth"].values[:, 26] < 4.4)
    scene.session.select(scene.stage.ids[box[:2]])
    whole("space")
    scene.session.select([])
    scene.set_look(bars=True, tail=0, colour_by="uncertainty", picture=False)
    view.look((0.5, 0.25, -1.0))
    save(canvas(), "uncertainty")
    scene.set_look(bars=False, tail=20, colour_by="depth speed", picture=True)
    view.look((1.0, 0.6, -0.2))
    save(canvas(), "speed")
    viewer.layers.clear()
    view.switch(False)
    hidden = view.show(Session(make_lifted(40, 36, seed=8)))
    view.switch(True)
    view.go_to(20)
    hidden.set_look(frustum=False, tail=14)
    view.look((1.0, 0.5, -0.4))
    seen = hidden.space.seen[:, 20]
    viewer.scene.camera.center = tuple(hidden.space.points[seen, 20].mean(0))
    viewer.scene.camera.zoom *= 1.9
    save(canvas(), "hidden")
    viewer.close()


if __name__ == "__main__":
    main()
