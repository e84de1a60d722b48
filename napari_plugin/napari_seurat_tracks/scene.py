"""A session on show: the layers of one view, kept in step with slider and session."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_seurat_tracks import parts
from napari_seurat_tracks.pick import nearest
from napari_seurat_tracks.session import PART
from napari_seurat_tracks.space import (
    error_bars,
    floor_grid,
    frustum,
    moved,
    picture_corners,
    to_napari,
)
from napari_seurat_tracks.spans import span_rows, spread
from napari_seurat_tracks.stage import Space, Stage, ViewError
from napari_seurat_tracks.video import find_video, picture_at, placement_of
from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_seurat_tracks.session import Session

TAIL_ROWS = 3000
"""Observations that the tails of one frame consist of at most: more draw too slowly
without a graphics card. Tails of selected tracks are always among them."""

BARS = 2000
"""Error bars drawn at most."""

TIMED = ("tails", "hidden", "heads")
"""Parts whose place in the world is the video's: over the picture, or in time."""

_CORNERS = list(itertools.product((0, 1), repeat=3))
_WHITE, _CLEAR = np.ones(4, np.float32), np.zeros(4, np.float32)
SELECTED = np.array([1.0, 0.35, 0.1, 1.0], np.float32)


@dataclass(frozen=True)
class Look:
    """How a scene is drawn.

    Attributes
    ----------
    colour_by
        A key of `napari_seurat_tracks.colours.QUANTITIES`; one that the tracks do not
        have gives the first that they have.
    tail
        Frames that tails reach back.
    hidden, picture, frustum, grid, bars
        Whether hidden points, the picture's plane, the camera, the grid and error bars
        are shown.
    plane
        Where the picture's plane stands: 0 at the nearest depth offered, 1 at the
        farthest.
    """

    colour_by: str = "depth"
    tail: int = 12
    hidden: bool = True
    picture: bool = True
    frustum: bool = True
    grid: bool = True
    bars: bool = False
    plane: float = 1.0


class Scene:
    """The layers that show one session in one viewer.

    Parameters
    ----------
    viewer
        napari's viewer.
    session
        What is shown.
    tails
        A Tracks layer of the viewer that already shows the session; it becomes the
        layer of the tails over the picture.

    Attributes
    ----------
    updated
        Emitted when what can be chosen, or the status, may have changed.
    remade
        Emitted after an edit, when the layers are there, with the factor by which the
        scene in 3D has grown; NaN where it came or went.
    """

    updated = Signal()
    remade = Signal(float)

    def __init__(
        self, viewer: Viewer, session: Session, tails: Layer | None = None
    ) -> None:
        self.viewer, self.session = viewer, session
        self.look = Look()
        self.in_3d = False
        self.stage = Stage(session.dataset)
        self.frame: float = float(self.stage.time[0]) if len(self.stage.time) else 0.0
        self._layers: dict[str, Layer] = {}
        self._flat: dict[str, Layer] = {}
        self._deep: dict[str, Layer] = {}
        self._unit = self.stage.unit
        self._busy = False
        self.closed = False
        self._build_flat(tails)
        session.changed.connect(self._on_changed)
        session.selection_changed.connect(self._on_selection)
        self.update()

    # --- building

    def _make_points(self, space: Space, old: dict[str, Layer]) -> dict[str, Layer]:
        """Layers of points and tails; those that still fit are taken over."""
        stage, session = self.stage, self.session
        made = {"tails": old.get("tails") or parts.tails(stage, space, session)}
        rows = {"hidden": parts.hidden_rows(space), "heads": len(stage.ids)}
        for part, make in (("hidden", parts.hidden), ("heads", parts.heads)):
            layer = old.get(part)
            if layer is None or len(layer.data) != rows[part]:
                layer = make(stage, space, session)
            made[part] = layer
        made["heads"].features = {"track": stage.ids}
        return made

    def _build_flat(self, adopted: Layer | None) -> None:
        if adopted is not None:
            adopted.metadata[PART] = ("tails", self.session)
            adopted.tail_width, adopted.blending = 2, "translucent"
        old = {} if adopted is None else {"tails": adopted}
        self._flat = self._layers = self._make_points(self.stage.picture, old)
        with self._quiet():
            for layer in self._flat.values():
                if layer not in self.viewer.layers:
                    self.viewer.add_layer(layer)
        self.place()

    def place(self) -> None:
        """Put the layers where the video is that they belong to."""
        placed = placement_of(self.video)
        for made in (self._flat, self._deep):
            for part, layer in made.items():
                if part not in TIMED:
                    continue
                scale = np.array(layer.scale, float)
                translate = np.array(layer.translate, float)
                if layer.ndim < 4:  # in space, time alone is the video's
                    scale, translate = (v[-layer.ndim :] for v in placed)
                else:
                    scale[0], translate[0] = placed.scale[0], placed.translate[0]
                if not np.array_equal(layer.scale, scale):
                    layer.scale = scale
                if not np.array_equal(layer.translate, translate):
                    layer.translate = translate

    def _make_deep(self, old: dict[str, Layer]) -> dict[str, Layer]:
        """Layers of the scene in space; those that still fit are taken over."""
        stage, session = self.stage, self.session
        space = stage.in_3d
        made: dict[str, Layer] = {}
        box = float(np.linalg.norm(space.high - space.low))
        grid = floor_grid(space.low[::-1], space.high[::-1], stage.unit)
        lines = parts.as_vectors(to_napari(grid.lines))
        same = "grid" in old and np.array_equal(old["grid"].data, lines)
        same = same and "numbers" in old and stage.unit == self._unit
        self._unit = stage.unit
        if same:
            made["grid"], made["numbers"] = old["grid"], old["numbers"]
        else:
            made["grid"] = parts.lines(
                to_napari(grid.lines), session, "grid", "#606060", 0.002 * box
            )
            made["numbers"] = parts.labels(to_napari(grid.at), grid.text, session)
        if self.has_camera:
            corners = picture_corners(stage.frame_size, stage.intrinsics, 1.0)
            made["picture"] = old.get("picture") or parts.picture(
                to_napari(corners), session
            )
            made["frustum"] = old.get("frustum") or parts.lines(
                to_napari(frustum(corners)), session, "camera", "#e0b040", 0.003 * box
            )
            made["frustum"].edge_width = 0.003 * box
        if stage.sigma(0) is not None:
            none = np.zeros((1, 2, 3), np.float32) + space.low.astype(np.float32)
            made["bars"] = old.get("bars") or parts.lines(
                none, session, "error bars", "white", 0.003 * box
            )
            made["bars"].edge_width = 0.003 * box
        points = self._make_points(space, old)
        order = ("tails", "bars", "hidden", "heads")
        return made | {k: (made | points)[k] for k in order if k in made | points}

    @property
    def has_camera(self) -> bool:
        """Whether the picture's place in space is known."""
        return self.stage.intrinsics is not None and self.stage.frame_size is not None

    @property
    def layers(self) -> dict[str, Layer]:
        """Layers of the view that is on show, by part."""
        return dict(self._layers)

    @property
    def space(self) -> Space:
        """Positions of the view that is on show."""
        return self.stage.in_3d if self.in_3d else self.stage.picture

    @property
    def point_size(self) -> float:
        """Size of a point that is seen, in the unit of the view that is on show."""
        return parts.point_size(self.stage, self.space)

    @property
    def colour_by(self) -> str:
        """What is coloured by."""
        wanted, have = self.look.colour_by, self.stage.choices
        return wanted if wanted in have else have[0]

    # --- the two views

    def enter(self, in_3d: bool) -> None:
        """Put the layers of a view in place of those of the other.

        Raises
        ------
        ViewError
            There are no 3D positions; nothing has changed.
        """
        if in_3d == self.in_3d:
            return
        old = self._layers
        if in_3d:
            self._deep = self._deep or self._make_deep({})
        self.place()
        self._layers = self._deep if in_3d else self._flat
        self.in_3d = in_3d
        with self._quiet():
            for layer in self._layers.values():
                self.viewer.add_layer(layer)
            for layer in old.values():
                if layer in self.viewer.layers:
                    self.viewer.layers.remove(layer)
            self.viewer.layers.selection.active = self._layers["tails"]
        self.update()

    def close(self) -> None:
        """Let go of the session, and take the layers away.

        Those that are selected stay: they are being removed already.
        """
        if self.closed:
            return
        self.closed = True
        self.session.changed.disconnect(self._on_changed)
        self.session.selection_changed.disconnect(self._on_selection)
        layers = self.viewer.layers
        with self._quiet():
            for layer in self._layers.values():
                if layer in layers and layer not in layers.selection:
                    layers.remove(layer)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Adding and removing layers of our own is not the user's doing."""
        before, self._busy = self._busy, True
        try:
            with _one_collection():
                yield
        finally:
            self._busy = before

    @property
    def busy(self) -> bool:
        """Whether the scene itself is adding or removing layers."""
        return self._busy

    def owns(self, layer: Layer) -> bool:
        """Whether a layer is one of those on show."""
        return any(layer is mine for mine in self._layers.values())

    def drop(self, part: str) -> None:
        """Forget a layer that the user took away."""
        for made in (self._layers, self._flat, self._deep):
            made.pop(part, None)

    # --- keeping in step

    def set_look(self, **changes: Any) -> None:
        """Change how it is drawn; see `Look`."""
        self.look = replace(self.look, **changes)
        self.update()

    def _on_changed(self, ds: Any) -> None:
        """Show the Dataset after an edit; layers that no longer fit are made anew."""
        before, self.stage = self.stage, Stage(ds)
        old, was_3d = dict(self._layers), self.in_3d
        active = self.viewer.layers.selection.active
        self.in_3d = was_3d and self.stage.space is not None
        # the layer that the session came in stays, for whoever holds it
        self._flat = self._make_points(self.stage.picture, {} if was_3d else old)
        self._deep = self._make_deep(old) if self.in_3d else {}
        self._layers = self._deep if self.in_3d else self._flat
        self.place()
        with self._quiet():
            # never an empty viewer in between: napari would move its camera
            for layer in self._layers.values():
                if layer not in self.viewer.layers:
                    self.viewer.add_layer(layer)
            for layer in old.values():
                if not self.owns(layer) and layer in self.viewer.layers:
                    self.viewer.layers.remove(layer)
            # what the person was at is still what the person is at
            for part, layer in old.items():
                if layer is active:
                    active = self._layers.get(part, self._layers["tails"])
            if active is not None and active in self.viewer.layers:
                self.viewer.layers.selection.active = active
        for part in set(old) & set(self._layers):
            self._layers[part].name = old[part].name
        self.update()
        self.remade.emit(_growth(before.space, self.stage.space))
        self.updated.emit()

    def _on_selection(self, ids: Any) -> None:
        self.update()
        self.updated.emit()

    @property
    def selected(self) -> np.ndarray:
        """Positions of the selected tracks among those drawn."""
        return np.flatnonzero(np.isin(self.stage.ids, self.session.selection))

    def show_frame(self, frame: float) -> None:
        """Draw another frame.

        Parameters
        ----------
        frame
            Frame number; outside the tracks' frames nothing is drawn.
        """
        if frame != self.frame:
            self.frame = frame
            self.update(scenery=self.stage.poses is not None)

    def update(self, *, scenery: bool = True) -> None:
        """Draw everything as it is now.

        Parameters
        ----------
        scenery
            Also what stands still while time goes on: the camera and its plane.
        """
        if self.closed or not self._layers:
            return
        at = self.stage.position(self.frame)
        self._draw_heads(at)
        self._draw_hidden(at)
        self._draw_tails(at)
        if self.in_3d:
            if scenery:
                self._draw_scenery(at)
            self._draw_picture()
            self._draw_bars(at)

    def _colours(self, rows: Any, at: Any) -> np.ndarray:
        values = self.stage.values(self.colour_by)[rows, at]
        return self.stage.palette(self.colour_by)(values)

    def _draw_heads(self, at: int | None) -> None:
        layer, space = self._layers.get("heads"), self.space
        n = len(self.stage.ids)
        if layer is None or n == 0:
            return
        shown = np.zeros(n, bool) if at is None else space.seen[:, at]
        chosen = self.selected
        _blank(layer, space)
        if at is not None:
            layer.data[shown] = space.points[shown, at]
            layer.face_color[shown] = self._colours(shown, at)
            layer.size[shown] = self.point_size
        layer.size[chosen] *= 2.0
        layer.border_width[:] = 0.0
        layer.border_width[chosen] = 0.25
        layer.border_color[chosen] = np.where(shown[chosen, None], _WHITE, _CLEAR)
        layer.shown[:] = shown
        _redraw(layer)

    def _draw_hidden(self, at: int | None) -> None:
        layer, space = self._layers.get("hidden"), self.space
        if layer is None or len(layer.data) == 0:
            return
        on = self.look.hidden and at is not None
        if layer.visible != on:
            layer.visible = on
        if not on:
            return
        rings = np.flatnonzero(space.guessed[:, at])
        start = max(0, at - self.look.tail)
        before = np.argwhere(space.guessed[:, start:at])
        dots = before[spread(len(before), len(layer.data) - len(rings))]
        rows = np.concatenate([rings, dots[:, 0]])
        when = np.concatenate([np.full(len(rings), at), dots[:, 1] + start])
        n, m = len(rings), len(rows)
        if m == 0 and not layer.shown.any():
            return
        _blank(layer, space)
        colours = self._colours(rows, when)
        size = self.point_size
        layer.data[:m] = space.points[rows, when]
        layer.border_color[:m] = colours
        layer.face_color[n:m] = colours[n:]
        layer.size[:n], layer.size[n:m] = size, 0.4 * size
        layer.shown[:m] = True
        _redraw(layer)

    @property
    def tailed(self) -> np.ndarray:
        """Positions of the drawn tracks that have tails: all, or as many as fit."""
        n = len(self.stage.ids)
        fits = max(1, TAIL_ROWS // (max(self.look.tail, 0) + 1))
        return np.union1d(spread(n, fits), self.selected) if n else np.arange(0)

    def _draw_tails(self, at: int | None) -> None:
        layer, space, stage = self._layers["tails"], self.space, self.stage
        ends = parts.span_ends(stage, space)
        if at is None or self.look.tail <= 0 or len(stage.ids) == 0:
            if np.array_equal(layer.data, ends):
                return
            rows, colours = ends, np.zeros((2, 4), np.float32)
            track = np.zeros(0, int)
        else:
            start = max(0, at - self.look.tail)
            picked = span_rows(space.spans, start, at + 1, self.tailed)
            track = picked.track
            body = np.column_stack(
                [
                    picked.span,
                    stage.time[picked.at],
                    space.points[track, picked.at],
                ]
            )
            rows = np.concatenate([body, ends])
            colours = self._colours(track, picked.at)
            if len(self.selected):
                colours[np.isin(track, self.selected)] = SELECTED
            colours = np.concatenate([colours, np.zeros((2, 4), np.float32)])
            length = max(1, int(stage.time[at] - stage.time[start]) + 1)
            if layer.tail_length != length:
                with layer.events.blocker_all():
                    layer.tail_length = length
        if layer.color_by != "track_id":
            layer.color_by = "track_id"
        with contextlib.ExitStack() as quiet:
            # One upload instead of four; the rows at both ends keep the extent.
            for name in ("extent", "rebuild_tracks", "rebuild_graph", "color_by"):
                if name in layer.events.emitters:
                    quiet.enter_context(getattr(layer.events, name).blocker())
            layer.data = rows
            if len(stage.ids):
                # the two ends need an id too, and are drawn by nothing
                layer.features = {"track": stage.ids[np.append(track, [0, 0])]}
            layer.track_colors = colours
        layer.events.rebuild_tracks()

    # --- what stands around the tracks

    @property
    def plane_depth(self) -> float:
        """Depth of the picture's plane, in the unit of depth."""
        near, far = self.stage.plane_depths
        return float(near * (far / near) ** self.look.plane)

    def _show(self, part: str, on: bool) -> bool:
        layer = self._layers.get(part)
        if layer is None:
            return False
        if layer.visible != on:
            layer.visible = on
        return on

    def _pose(self, at: int | None) -> np.ndarray | None:
        return self.stage.pose(0 if at is None else at)

    def _draw_scenery(self, at: int | None) -> None:
        self._show("grid", self.look.grid)
        self._show("numbers", self.look.grid)
        if not self.has_camera:
            return
        pose = self._pose(at)
        known = pose is None or bool(np.isfinite(pose).all())
        corners = picture_corners(
            self.stage.frame_size, self.stage.intrinsics, self.plane_depth
        )
        if self._show("frustum", self.look.frustum and known):
            ends = to_napari(moved(frustum(corners), pose))
            self._layers["frustum"].data = parts.as_vectors(ends)
        layer = self._layers.get("picture")
        if layer is not None and known:
            layer.vertices = to_napari(moved(corners, pose))

    @property
    def video(self) -> Any:
        """The Image layer that the picture is taken from, or None."""
        return find_video(self.viewer, self.stage.frame_size)

    def _draw_picture(self) -> None:
        layer = self._layers.get("picture")
        if layer is None:
            return
        video = self.video if self.look.picture else None
        image = None if video is None else picture_at(video, self.frame)
        pose = self._pose(self.stage.position(self.frame))
        known = pose is None or bool(np.isfinite(pose).all())
        if self._show("picture", known and image is not None):
            # its corners are where they were
            with _unrefreshed(layer):
                layer.texture = image

    def _draw_bars(self, at: int | None) -> None:
        if not self._show("bars", self.look.bars and at is not None):
            return
        space, sigma = self.space, self.stage.sigma(at)
        rows = np.flatnonzero(space.seen[:, at] & np.isfinite(sigma))
        rows = rows[spread(len(rows), BARS)]
        pose = self._pose(at)
        centre = np.zeros(3) if pose is None else pose[:3, 3]
        layer = self._layers["bars"]
        if len(rows) == 0 or not np.isfinite(centre).all():
            layer.visible = False
            return
        bars = error_bars(space.points[rows, at][:, ::-1], sigma[rows], centre)
        layer.data = parts.as_vectors(to_napari(bars))
        layer.edge_color = self._colours(rows, at)

    def outline(self) -> np.ndarray:
        """Corners of what is shown in 3D, (corner, 3) in napari's order."""
        space = self.stage.in_3d
        ends = np.stack([space.low, space.high])
        box = np.array([[ends[i, 0], ends[j, 1], ends[k, 2]] for i, j, k in _CORNERS])
        around = [
            layer.data[:, 0] + part * layer.data[:, 1]
            for name in ("frustum", "grid")
            if (layer := self._layers.get(name)) is not None and layer.visible
            for part in (0, 1)
        ]
        picture = self._layers.get("picture")
        if picture is not None and picture.visible:
            around.append(picture.vertices)
        return np.concatenate([box, *around])

    # --- picking

    def track_at(
        self,
        position: np.ndarray,
        direction: np.ndarray | None,
        radius: float,
        *,
        seen_only: bool = False,
    ) -> Any:
        """Find the track under the mouse.

        Parameters
        ----------
        position, direction
            Place under the mouse and, in 3D, where it looks, in the world.
        radius
            How far from a point a click counts, in the world.
        seen_only
            Points that are hidden in this frame do not count.

        Returns
        -------
        object or None
            The track's id.
        """
        at = self.stage.position(self.frame)
        if at is None:
            return None
        space = self.space
        drawn = space.seen[:, at] & self._on_show("heads")
        if self.look.hidden and not seen_only:
            drawn = drawn | (space.guessed[:, at] & self._on_show("hidden"))
        rows = np.flatnonzero(drawn)
        if not self.in_3d:
            placed = placement_of(self.video)
            position = (position - placed.translate[1:]) / placed.scale[1:]
            radius /= float(np.abs(placed.scale[1:]).mean())
        half = 0.5 * self.point_size
        found = nearest(space.points[rows, at], position, direction, max(radius, half))
        return None if found is None else self.stage.ids[rows[found]]

    def _on_show(self, part: str) -> bool:
        """Whether a part is there and not switched off: nobody clicks on the rest."""
        layer = self._layers.get(part)
        return layer is not None and bool(layer.visible)

    def status(self) -> str:
        """Say in a few sentences what is shown, and what is not, and why."""
        stage = self.stage
        told = [f"{len(stage.ids)} tracks, {len(stage.time)} frames."]
        if len(stage.ids) < stage.n_tracks:
            told = [
                f"{len(stage.ids)} of {stage.n_tracks} tracks are drawn, spread "
                f"evenly; {len(stage.time)} frames."
            ]
        if 0 < len(self.tailed) < len(stage.ids):
            told.append(f"Tails of {len(self.tailed)} tracks.")
        if stage.space is None:
            told.append(str(_reason(stage)))
        elif stage.unit != "m":
            told.append(
                "Depth is relative: it says how each point moves in depth, not how "
                "far away it is. Plugins > Set the scale gives metres."
            )
        if stage.space is not None and not self.has_camera:
            told.append(
                "No picture and no camera in 3D: the tracks do not say the frame's "
                "size or the camera's intrinsics."
            )
        elif self.in_3d and self.look.picture and self.video is None:
            told.append(
                "No picture: open the video too; its frames must be "
                f"{stage.frame_size[0]} x {stage.frame_size[1]} pixels."
            )
        return " ".join(told)


@contextlib.contextmanager
def _one_collection() -> Iterator[None]:
    """Let napari collect garbage once instead of once for every layer removed.

    It takes a third of a second each where torch is loaded. On Windows napari needs
    each of them, for its drivers' sake.
    """
    if sys.platform == "win32":
        yield
        return
    gc.freeze()  # what is there already is not looked at
    try:
        yield
    finally:
        gc.unfreeze()


def _reason(stage: Stage) -> SeuratTracksError:
    try:
        _ = stage.in_3d
    except ViewError as error:
        text = str(error)
        return ViewError(text[0].upper() + text[1:] + ".")
    raise AssertionError


def _growth(before: Space | None, after: Space | None) -> float:
    """By what factor the scene in 3D has grown; NaN where it came or went."""
    if before is None or after is None:
        return 1.0 if before is after else float("nan")
    sizes = [float(np.linalg.norm(s.high - s.low)) for s in (before, after)]
    return sizes[1] / max(sizes[0], 1e-12)


def _blank(layer: Layer, space: Space) -> None:
    """Take all rows away, in place: whatever napari's setters do costs more.

    napari heeds `shown` only where an axis is not displayed, so that rows which are not
    shown are clear, of no size, and out of the way too.
    """
    layer.data[:] = space.low
    layer.face_color[:] = _CLEAR
    layer.border_color[:] = _CLEAR
    layer.size[:] = 0.0
    layer.shown[:] = False


def _unrefreshed(layer: Layer) -> Any:
    """Let setters send their own event alone, not everything there is of a layer.

    A seventh of the time of a step through a video. Other versions of napari may have
    no such way, and then it takes longer.
    """
    block = getattr(layer, "_block_refresh", contextlib.nullcontext)
    return block()


def _redraw(layer: Layer) -> None:
    """Draw data that was changed in place; the extent is kept."""
    layer.refresh(extent=False, thumbnail=False)
