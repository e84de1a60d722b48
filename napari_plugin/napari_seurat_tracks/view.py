"""All scenes of a viewer: one switch between picture and space, clicks, the slider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_seurat_tracks.scene import Scene
from napari_seurat_tracks.session import KEY, PART, Session
from napari_seurat_tracks.stage import ViewError

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

CLICK_PIXELS = 7.0
"""How far from a point, on the screen, a click still means it."""

ORIENTATION = ("away", "down", "right")
"""Of z, y, x on the screen: those of a camera."""

_CAMERA = ("center", "zoom", "angles", "orientation", "perspective")

OBLIQUE = (1.0, 0.38, -0.55)
"""Where the 3D view first looks: into the scene, down, to the left (z, y, x)."""


class View:
    """What this plugin shows in one viewer; `view_of` gives it.

    A layer that carries a session gets a scene as soon as it is added.

    Attributes
    ----------
    changed
        Emitted when scenes come, go or are made anew, and when the view switches.
    taker
        Who takes clicks instead of the selection: called with the place, direction and
        displayed dimensions of `click`; None selects.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.scenes: list[Scene] = []
        self.in_3d = False
        self.taker: Callable[[Any, Any, list[int]], None] | None = None
        self._put_away: list[Layer] = []
        self._camera: dict[str, Any] = {}
        self._switching = False
        # last, so that napari has finished with the layer
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed, position="last")
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.events.reset_view.connect(self._fit)
        viewer.mouse_drag_callbacks.append(self._on_mouse)
        for layer in list(viewer.layers):
            self._take(layer)

    # --- scenes

    def show(self, session: Session) -> Scene:
        """Show a session; one that is on show already stays as it is."""
        for scene in self.scenes:
            if scene.session is session:
                return scene
        return self._add(session, None)

    def _add(self, session: Session, tails: Layer | None) -> Scene:
        self._switching = True  # the layers that it adds are no news
        try:
            scene = Scene(self.viewer, session, tails)
            self.scenes.append(scene)
            scene.remade.connect(self._on_remade)
            if self.in_3d and scene.stage.space is not None:
                scene.enter(True)
        finally:
            self._switching = False
        scene.show_frame(self._frame(scene))
        self.changed.emit()
        return scene

    def _take(self, layer: Layer) -> None:
        session = layer.metadata.get(KEY)
        known = any(s.session is session for s in self.scenes)
        if not isinstance(session, Session) or known:
            return
        from napari.layers import Tracks

        flat = isinstance(layer, Tracks) and layer.ndim == 3
        self._add(session, layer if flat else None)

    def _on_inserted(self, event: Any) -> None:
        if self._switching or any(s.busy for s in self.scenes):
            return
        layer = event.value
        self._take(layer)
        if any(scene.video is layer for scene in self.scenes):
            self._place_video(layer)

    def _place_video(self, layer: Layer) -> None:
        """Put a video that comes after its tracks below them, or away in 3D."""
        layers = self.viewer.layers
        if layers.index(layer) > 0:
            layers.move(layers.index(layer), 0)
        for scene in self.scenes:
            scene.place()
        if self.in_3d:
            layer.visible = False
            self._put_away.append(layer)
            for scene in self.scenes:
                scene.update()
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if self._switching:
            return
        for scene in list(self.scenes):
            if not scene.busy and scene.owns(event.value):
                # Without the layer that carries the session nothing is left.
                part = event.value.metadata.get(PART, ("",))[0]
                if part == "tails":
                    self.scenes.remove(scene)
                    scene.close()
                    self.changed.emit()
                else:
                    scene.drop(part)

    def _on_remade(self, growth: float) -> None:
        """Keep 3D on show, and all of it in the window, after an edit."""
        deep = [s for s in self.scenes if s.stage.space is not None]
        if self.in_3d and not deep:
            self.switch(False)
        elif self.in_3d:
            self._switching = True
            try:
                for scene in deep:
                    scene.enter(True)
            finally:
                self._switching = False
        # a factor of scale, unlike a track more or less, moves everything
        if not 0.9 < growth < 1.1:
            self._camera.pop("3d", None)
            self._fit()
        self.changed.emit()

    @property
    def scene(self) -> Scene | None:
        """The scene of the active layer, else the latest."""
        active = self.viewer.layers.selection.active
        for scene in self.scenes:
            if active is not None and scene.owns(active):
                return scene
        return self.scenes[-1] if self.scenes else None

    # --- picture and space

    def switch(self, in_3d: bool) -> None:
        """Show everything over the picture, or in space.

        The frame and the selection stay; each view keeps its camera.

        Raises
        ------
        ViewError
            No tracks have 3D positions; nothing has changed.
        """
        if in_3d == self.in_3d:
            return
        if in_3d and self.scenes and all(s.stage.space is None for s in self.scenes):
            _ = self.scenes[-1].stage.in_3d
        if in_3d and not self.scenes:
            raise ViewError(
                "there are no tracks to show in 3D: open some first, or lift a video "
                "with Plugins > Lift tracks to 3D"
            )
        frames = {id(s): self._frame(s) for s in self.scenes}
        frame = next(iter(frames.values()), 0.0)
        kept = self._camera_state()
        self._switching = True
        try:
            if not in_3d:
                self.viewer.dims.ndisplay = 2
            for scene in self.scenes:
                if not in_3d or scene.stage.space is not None:
                    scene.enter(in_3d)
            self.in_3d = in_3d
            self._put_others(in_3d)
            self.viewer.dims.ndisplay = 3 if in_3d else 2
        finally:
            self._switching = False
        self.go_to(frame)
        if in_3d:
            self.viewer.scene.camera.orientation = ORIENTATION
        seen_before = self._camera.get("3d" if in_3d else "2d")
        self._camera["2d" if in_3d else "3d"] = kept
        if seen_before is None:
            self.home()
        else:
            self.viewer.scene.camera.update(seen_before)
        for scene in self.scenes:
            scene.show_frame(self._frame(scene))
            scene.update()
        self.changed.emit()

    def follow_ndisplay(self) -> None:
        """Switch to what napari's own button shows, where there are tracks for it.

        Not from within napari's event, since its sliders are then half made.
        """
        in_3d = self.viewer.dims.ndisplay == 3
        if in_3d == self.in_3d or not self.scenes:
            return
        if in_3d and all(s.stage.space is None for s in self.scenes):
            return
        self.switch(in_3d)
        # napari has moved the camera before anyone could keep it
        self._camera.pop("2d" if in_3d else "3d", None)

    def _put_others(self, in_3d: bool) -> None:
        """Put away what napari would draw as a volume, and bring it back."""
        if in_3d:
            ours = [la for s in self.scenes for la in s.layers.values()]
            self._put_away = [
                layer
                for layer in self.viewer.layers
                if layer.visible and not any(layer is mine for mine in ours)
            ]
            for layer in self._put_away:
                layer.visible = False
            return
        for layer in self._put_away:
            layer.visible = True
        self._put_away = []

    def _camera_state(self) -> dict[str, Any]:
        camera = self.viewer.scene.camera
        return {k: getattr(camera, k) for k in _CAMERA}

    def home(self) -> None:
        """Look at everything from the usual side."""
        if not self.in_3d:
            self.viewer.reset_view()
            return
        self.look(OBLIQUE)

    def look(self, direction: tuple[float, float, float]) -> None:
        """Look at the whole scene in a direction (z, y, x); y is down."""
        # from above, what is far is up on the screen
        steep = direction[0] == direction[2] == 0
        up = (1.0, 0.0, 0.0) if steep else (0.0, -1.0, 0.0)
        self.viewer.scene.camera.set_view_direction(direction, up)
        self._fit()

    def _fit(self, event: Any = None) -> None:
        """Fit the scenes into the window as they are seen; others are put away."""
        points = [s.outline() for s in self.scenes if s.in_3d]
        if not self.in_3d or not points:
            return
        camera = self.viewer.scene.camera
        corners = np.concatenate(points)
        into, up = np.asarray(camera.view_direction), np.asarray(camera.up_direction)
        axes = np.stack([np.cross(up, into), up, into])
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        seen = corners @ axes.T
        low, high = seen.min(0), seen.max(0)
        height, width = (float(v) for v in self.viewer.canvas.size)
        size = np.maximum(high - low, 1e-9)
        camera.center = tuple(0.5 * (low + high) @ axes)
        camera.zoom = 0.9 * min(width / size[0], height / size[1])

    # --- the slider

    def _frame(self, scene: Scene) -> float:
        tails = scene.layers["tails"]
        axis = self.viewer.dims.ndim - tails.ndim
        if axis < 0 or tails not in self.viewer.layers:
            return scene.frame
        point = float(self.viewer.dims.point[axis])
        return (point - float(tails.translate[0])) / float(tails.scale[0])

    @property
    def frame(self) -> float:
        """The frame number at which the slider stands."""
        scene = self.scene
        return self._frame(scene) if scene is not None else 0.0

    def go_to(self, frame: float) -> None:
        """Move the slider to a frame number."""
        scene = self.scene
        if scene is None:
            return
        tails = scene.layers["tails"]
        axis = self.viewer.dims.ndim - tails.ndim
        point = float(tails.translate[0]) + float(tails.scale[0]) * frame
        self.viewer.dims.set_point(axis, point)

    def _on_step(self, event: Any = None) -> None:
        if self._switching:
            return
        for scene in self.scenes:
            if not scene.busy:
                scene.show_frame(self._frame(scene))

    # --- clicks

    def _on_mouse(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Select the track that is clicked; with Shift, add it or take it away."""
        if not self.scenes or event.button != 1 or not self._moves_the_view():
            return
        start = np.asarray(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos, float) - start).max() > 3:
            return
        where = event.position, event.view_direction, list(event.dims_displayed)
        if self.taker is not None:
            self.taker(*where)
            return
        self.click(*where, adding="Shift" in {str(m) for m in event.modifiers})

    def _moves_the_view(self) -> bool:
        active = self.viewer.layers.selection.active
        return active is None or str(active.mode) in ("pan_zoom", "transform")

    def click(
        self,
        position: Any,
        direction: Any,
        displayed: list[int],
        *,
        adding: bool = False,
    ) -> None:
        """Select what lies at a place in the world.

        Parameters
        ----------
        position, direction
            Of napari's mouse events: in all dimensions; no direction in 2D.
        displayed
            The dimensions on show.
        adding
            Add the track to the selection, or take it away if it is there.
        """
        for scene in self.scenes:
            found = self.track_at(scene, position, direction, displayed)
            kept = scene.session.selection
            if found is None:
                if not adding:
                    scene.session.select([])
            elif not adding:
                scene.session.select([found])
            elif found in kept:
                scene.session.select(kept[kept != found])
            else:
                scene.session.select([*kept, found])

    def track_at(
        self,
        scene: Scene,
        position: Any,
        direction: Any,
        displayed: list[int],
        *,
        reach: float = CLICK_PIXELS,
        seen_only: bool = False,
    ) -> Any:
        """Find the track of a scene at a place in the world.

        Parameters
        ----------
        scene
            Whose tracks count.
        position, direction, displayed
            As for `click`.
        reach
            Screen pixels within which a point is meant.
        seen_only
            Points that are hidden in this frame do not count.

        Returns
        -------
        object or None
            The track's id.
        """
        at = np.asarray(position, float)[displayed]
        way = None
        if direction is not None and len(displayed) == 3:
            way = np.asarray(direction, float)[displayed]
        radius = reach / max(float(self.viewer.scene.camera.zoom), 1e-9)
        return scene.track_at(at, way, radius, seen_only=seen_only)


def view_of(viewer: Viewer) -> View:
    """Return the view of a viewer; the first call makes it."""
    # The viewer keeps it alive by its callback, and nothing else does: no registry
    # outlives a viewer.
    for callback in viewer.mouse_drag_callbacks:
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, View):
            return owner
    return View(viewer)


def show_session(viewer: Viewer, session: Session) -> Scene:
    """Show a session in a viewer, and keep it in step.

    Parameters
    ----------
    viewer
        napari's viewer.
    session
        What is shown.

    Returns
    -------
    Scene
    """
    return view_of(viewer).show(session)
