"""Pick tracks by clicks, over the picture or in 3D, and mark them."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from napari.layers import Points
from qtpy.QtCore import QObject, Signal

from napari_seurat_tracks.scene import Scene
from napari_seurat_tracks.session import PART, Session
from napari_seurat_tracks.view import view_of

REACH = 15
"""Screen pixels within which a click means a track."""

MARKS = "anchor points"
"""Name of the layer that shows what was picked."""


class Picker(QObject):
    """Finds the track under each click while it is on; nothing is selected then.

    Parameters
    ----------
    viewer
        The viewer.

    Attributes
    ----------
    picked
        Emitted with the track's id and the frame number.
    missed
        Emitted with a sentence where a click meant no track.
    """

    picked = Signal(object, int)
    missed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.view = view_of(viewer)
        self.session: Session | None = None
        self._tracks: list[tuple[Any, int]] = []
        self._marks: Points | None = None
        self.view.changed.connect(self.draw)

    def turn(self, on: bool) -> None:
        """Begin to take the view's clicks, or end."""
        if on:
            self.view.taker = self.click
        elif self.view.taker == self.click:
            self.view.taker = None

    def close(self) -> None:
        """Take no clicks any more, and leave no marks."""
        self.turn(False)
        self.view.changed.disconnect(self.draw)
        self._tracks = []
        with contextlib.suppress(RuntimeError):  # the window may be gone already
            self.draw()

    def click(self, position: Any, direction: Any, displayed: list[int]) -> None:
        """Find the track at a place in the viewer's world; as `View.click`."""
        scene = self._scene()
        if scene is None:
            self.missed.emit("there are no tracks to pick from")
            return
        found = self.view.track_at(
            scene, position, direction, displayed, reach=REACH, seen_only=True
        )
        at = scene.stage.position(scene.frame)
        if at is None or found is None:
            self.missed.emit(
                f"no track is seen within {REACH} pixels of there in frame "
                f"{scene.frame:g}"
            )
        else:
            self.picked.emit(found, int(scene.stage.time[at]))

    def mark(self, tracks: list[tuple[Any, int]]) -> None:
        """Show rings around picked tracks, by id and frame number."""
        self._tracks = list(tracks)
        self.draw()

    def draw(self) -> None:
        """Draw the rings where the tracks are in the view that is on show."""
        viewer, scene = self.view.viewer, self._scene()
        active = viewer.layers.selection.active
        if self._marks is not None and self._marks in viewer.layers:
            viewer.layers.remove(self._marks)
        self._marks = None
        places, names = [], []
        for track, frame in self._tracks if scene is not None else []:
            assert scene is not None
            row = np.flatnonzero(scene.stage.ids == track)
            at = scene.stage.position(frame)
            if len(row) and at is not None:
                point = scene.space.points[row[0], at]
                if np.isfinite(point).all():
                    places.append([frame, *point])
                    names.append(str(track))
        if not places or scene is None:
            return
        tails = scene.layers["tails"]
        size = scene.point_size * 3
        self._marks = Points(
            np.array(places),
            name=MARKS,
            scale=tails.scale,
            translate=tails.translate,
            size=size,
            face_color="transparent",
            border_color="#ff5050",
            border_width=0.2,
            features={"track": names},
            text={
                "string": "{track}",
                "color": "white",
                "size": 14,
                "anchor": "upper_left",
                "translation": [0.0] * (len(places[0]) - 2) + [0.5 * size] * 2,
            },
            metadata={PART: ("marks", self.session)},
        )
        self._marks.editable = False
        viewer.add_layer(self._marks)
        if active is not None and active in viewer.layers:
            viewer.layers.selection.active = active

    def _scene(self) -> Scene | None:
        for scene in self.view.scenes:
            if scene.session is self.session and not scene.closed:
                return scene
        return None
