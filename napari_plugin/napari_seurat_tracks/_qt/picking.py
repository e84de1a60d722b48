"""Pick tracks by clicks on the picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Points
from qtpy.QtCore import QObject, Signal

from napari_seurat_tracks.anchoring import nearest_track
from napari_seurat_tracks.session import KEY, Session
from napari_seurat_tracks.timeline import frame_shown

REACH = 15
"""Screen pixels within which a click means a track."""

MARKS = "anchor points"
"""Name of the layer that shows what was picked."""


class Picker(QObject):
    """Finds the track under each click while it is on.

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
        self.viewer = viewer
        self.session: Session | None = None
        self._on = False
        self._marks: Points | None = None

    def turn(self, on: bool) -> None:
        """Begin to listen to clicks, or end."""
        if on == self._on:
            return
        calls = self.viewer.mouse_drag_callbacks
        if on:
            calls.append(self._press)
        elif self._press in calls:
            calls.remove(self._press)
        self._on = on

    def _press(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        yield
        moved = False
        while event.type == "mouse_move":
            moved = True
            yield
        if not moved:
            self.click(event.position)

    def click(self, position: Any) -> None:
        """Find the track at a place in the viewer's world."""
        if self.session is None:
            self.missed.emit("there are no tracks to pick from")
            return
        if self.viewer.dims.ndisplay == 3:
            self.missed.emit(
                "points are picked on the flat picture: switch to 2D (the cube below "
                "the layers), or take the selected tracks"
            )
            return
        layer = self._ground()
        if layer is None:
            self.missed.emit("there is no layer with the pixels of the video")
            return
        place = np.asarray(layer.world_to_data(np.asarray(position)[-layer.ndim :]))
        pixel = np.mean(np.abs(np.asarray(layer.scale)[-2:]))
        reach = max(REACH / zoom_of(self.viewer) / pixel, 2.0)
        frame = frame_shown(self.viewer, self.session)
        y, x = place[-2:]
        found = nearest_track(self.session.dataset, frame, x, y, reach)
        if found is None:
            self.missed.emit(
                f"no track is seen within {reach:.0f} pixels of there in frame {frame}"
            )
        else:
            self.picked.emit(found, frame)

    def mark(self, tracks: list[tuple[Any, int]]) -> None:
        """Show rings around picked tracks, by id and frame number."""
        layer = self._ground()
        if self._marks is not None and self._marks in self.viewer.layers:
            self.viewer.layers.remove(self._marks)
        self._marks = None
        if not tracks or layer is None or self.session is None:
            return
        ds = self.session.dataset
        places, names = [], []
        for track, frame in tracks:
            x, y = ds["xy"].sel(track=track, time=frame).values.tolist()
            at = frame if KEY in layer.metadata else self._position(layer, frame)
            places.append(np.asarray(layer.data_to_world((at, y, x))))
            names.append(str(track))
        active = self.viewer.layers.selection.active
        size = 8 / max(zoom_of(self.viewer), 1e-6)
        self._marks = Points(
            np.array(places),
            name=MARKS,
            size=max(2 * size, 2),
            face_color="transparent",
            border_color="#ff5050",
            border_width=0.15,
            features={"track": names},
            text={
                "string": "{track}",
                "color": "#ff5050",
                "translation": [0, size, size],
            },
        )
        self._marks.editable = False
        self.viewer.add_layer(self._marks)
        if active is not None and active in self.viewer.layers:
            self.viewer.layers.selection.active = active

    def _position(self, layer: Any, frame: int) -> float:
        """Where a frame number lies on the time axis of an image."""
        start = float(layer.translate[0])
        return (frame - start) / float(layer.scale[0])

    def _ground(self) -> Any:
        """Find the layer whose coordinates are the video's pixels."""
        layers = list(reversed(list(self.viewer.layers)))
        for layer in layers:
            if isinstance(layer, Image) and layer.ndim == 3:
                return layer
        for layer in layers:
            if layer.metadata.get(KEY) is self.session and layer.ndim == 3:
                return layer
        return None


def zoom_of(viewer: Any) -> float:
    """Screen pixels per unit of the world."""
    # napari 0.9 moved the camera to the scene
    return float(getattr(viewer, "scene", viewer).camera.zoom)
