"""The explorer as a widget: an anywidget canvas above ipywidgets controls."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook import shown as parts
from seurat_tracks.notebook.canvas import TrackCanvas
from seurat_tracks.notebook.colours import colour_names, colour_values
from seurat_tracks.notebook.frames import Pictures
from seurat_tracks.notebook.picked import check_picks, join, lift_picked
from seurat_tracks.notebook.shown import Shown
from seurat_tracks.notebook.still import Still
from seurat_tracks.schema import validate

__all__ = ["TrackCanvas", "TrackExplorer"]


class TrackExplorer(ipywidgets.VBox):
    """Explore tracks; made by `seurat_tracks.notebook.explore.explore`.

    Attributes
    ----------
    dataset
        The tracks, with those that were picked and lifted here. May be set, to a
        corrected version of them: what was selected stays so, by its ids.
    selected
        The selected tracks alone, as a Dataset.
    """

    def __init__(
        self,
        ds: xr.Dataset,
        part: Shown,
        pictures: Pictures | None,
        *,
        video_note: str,
        lifting: dict[str, Any],
        colour: str,
        frame: int,
        tail: int,
        limits: dict[str, int],
        height: int,
        renderer: str,
    ) -> None:
        self._dataset = ds
        self._part = part
        self._pictures = pictures
        self._video_note = video_note
        self._lifting = lifting
        self._limits: dict[str, Any] = dict(limits)
        self._version = 0
        self._still: Still | None = None
        self.canvas = TrackCanvas(
            meta=self._meta(),
            **part.buffers(),
            colour=colour,
            frame=frame,
            tail=tail,
            height=height,
            renderer=renderer,
        )
        self.canvas.on_msg(self._answer)
        self._make_controls()
        super().__init__([self.canvas, self._row])

    @property
    def dataset(self) -> xr.Dataset:
        """The tracks, with those that were picked and lifted here; may be set."""
        return self._dataset

    @dataset.setter
    def dataset(self, ds: xr.Dataset) -> None:
        validate(ds, values=False)
        sizes = [[int(v) for v in d.attrs["frame_size"]] for d in (self._dataset, ds)]
        if sizes[0] != sizes[1]:
            raise SeuratTracksError(
                f"the explorer shows frames of {sizes[0]} pixels, these tracks are in "
                f"frames of {sizes[1]}: call explore() on them"
            )
        part = parts.load(ds, **self._limits)
        chosen = set(self.selected_ids)
        ids = part.ds["track"].values.tolist()
        times, names = part.ds["time"].values, colour_names(part.ds)
        self._show(
            ds,
            part,
            [k for k, i in enumerate(ids) if i in chosen],
            frame=self.frame if self.frame in times else int(times[0]),
            colour=self.colour if self.colour in names else names[0],
            picks=[p for p in self.canvas.picks if p[0] in times],
        )

    @property
    def selected(self) -> xr.Dataset:
        """The selected tracks alone, in the order of the Dataset."""
        return self._dataset.isel(track=self._rows(self.canvas.selection))

    @property
    def selected_ids(self) -> list[Any]:
        """Ids of the selected tracks."""
        return list(self.selected["track"].values.tolist())

    @property
    def frame(self) -> int:
        """The frame number that is shown; may be set."""
        return int(self.canvas.frame)

    @frame.setter
    def frame(self, number: int) -> None:
        times = self._part.ds["time"].values
        if number not in times:
            raise SeuratTracksError(
                f"frame {number} is not shown; frames are {times[0]} to {times[-1]}"
            )
        self.canvas.frame = int(number)

    @property
    def colour(self) -> str:
        """What the tracks are coloured by; may be set."""
        return str(self.canvas.colour)

    @colour.setter
    def colour(self, name: str) -> None:
        names = colour_names(self._part.ds)
        if name not in names:
            raise SeuratTracksError(
                f"cannot colour by {name!r}; there are {', '.join(names)}"
            )
        self.canvas.colour = name

    def select(self, ids: Sequence[Any]) -> None:
        """Select tracks by their ids.

        Raises
        ------
        SeuratTracksError
            If a track is not among those that are shown.
        """
        places = {i: k for k, i in enumerate(self._part.ds["track"].values.tolist())}
        missing = [i for i in ids if i not in places]
        if missing:
            raise SeuratTracksError(f"tracks {missing[:5]} are not among those shown")
        self.canvas.selection = [places[i] for i in ids]

    @property
    def picks(self) -> list[tuple[int, float, float]]:
        """Points picked for tracking, as frame number, x, y (pixels); may be set."""
        return [(int(t), float(x), float(y)) for t, x, y in self.canvas.picks]

    @picks.setter
    def picks(self, points: Sequence[Sequence[float]]) -> None:
        self.canvas.picks = check_picks(self._dataset, points)

    def lift_picks(self) -> xr.Dataset:
        """Track and lift the points that are picked, and join them to the tracks.

        Returns
        -------
        Dataset
            The new tracks alone; `dataset` holds all, and the new ones are selected.

        Raises
        ------
        SeuratTracksError
            As `seurat_tracks.notebook.picked.lift_picked` does; nothing has changed
            then. The same holds for an interrupt.
        """
        if self._pictures is None:
            raise SeuratTracksError(
                "points can be followed only through a video: give explore(video=...)"
            )
        new = lift_picked(
            self._dataset,
            self._pictures.video,
            self.canvas.picks,
            say=self._say,
            **self._lifting,
        )
        joined = join(self._dataset, new)
        # Tracks that are shown stay shown, whatever the limits: the new ones join them.
        n, shown_before = self._dataset.sizes["track"], len(self._part.rows)
        rows = np.concatenate([self._part.rows, np.arange(n, joined.sizes["track"])])
        part = parts.load(joined, rows=rows, frames=self._part.frames)
        self._show(joined, part, range(shown_before, len(rows)), picks=[])
        return new

    def _show(
        self, ds: xr.Dataset, part: Shown, selection: Sequence[int], **traits: Any
    ) -> None:
        """Draw other tracks; in one message, so that nothing is drawn half new."""
        self._dataset, self._part = ds, part
        self._version += 1
        self._still = None
        with self.canvas.hold_sync():
            for name, value in traits.items():
                self.canvas.set_trait(name, value)
            self.canvas.selection = list(selection)
            for name, data in part.buffers().items():
                setattr(self.canvas, name, data)
            self.canvas.meta = self._meta()

    def save(self, path: str | Path, *, selected: bool = True, **options: Any) -> Path:
        """Write the selection, or all tracks, to a file.

        Parameters
        ----------
        path
            A store (.zarr), or a file of any format that `seurat_tracks.export` knows.
        selected
            False writes all tracks.
        **options
            Of the writer, such as ``overwrite=True``.

        Returns
        -------
        Path

        Raises
        ------
        SeuratTracksError
            If nothing is selected, or the writer refuses; what is there is kept.
        """
        ds = self.selected if selected else self._dataset
        if ds.sizes["track"] == 0:
            raise SeuratTracksError("nothing is selected: click a point, or use Lasso")
        if Path(path).suffix.lower() == ".zarr":
            return ds.seurat.save(path, **options)
        return ds.seurat.export(path, **options)

    def still(self) -> Still:
        """Draw what is shown as a picture, for where no widget runs."""
        if self._still is None:
            times = self._part.ds["time"].values
            self._still = Still(
                self._part,
                self._pictures,
                frame=self.frame if self.frame != times[0] else None,
                note="A still picture: the explorer itself needs a running notebook.",
            )
        return self._still

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        # Colab loads widgets by what anywidget says of its own ones.
        _, metadata = self.canvas._repr_mimebundle_(**kwargs) or ({}, {})
        try:
            data["image/png"] = base64.b64encode(self.still().png()).decode()
        except Exception as error:  # noqa: BLE001  # the widget itself matters more
            data["text/plain"] = f"{data['text/plain']} (no still picture: {error})"
        return data, metadata

    def __repr__(self) -> str:
        n, length = self._part.seen.shape
        return f"TrackExplorer({n} tracks, {length} frames)"

    def _meta(self) -> dict[str, Any]:
        has_video = self._pictures is not None
        return self._part.meta(
            hasVideo=has_video,
            canPick=has_video,
            noVideo=self._video_note,
            version=self._version,
        )

    def _rows(self, places: Sequence[int]) -> np.ndarray:
        return np.sort(self._part.rows[np.asarray(places, dtype=np.int64)])

    def _make_controls(self) -> None:
        button = ipywidgets.Button
        self.lift_button = button(
            description="Track and lift picked points",
            tooltip="Follows the picked points through the video and lifts them to 3D",
            icon="plus",
            disabled=True,
            layout={"width": "auto"},
        )
        self.clear_button = button(
            description="Clear picks", disabled=True, layout={"width": "auto"}
        )
        self.path_text = ipywidgets.Text(
            value="selection.csv",
            tooltip=".zarr, .csv, .parquet, .npz, .glb, .ply, .rrd ...",
            layout={"width": "220px"},
        )
        self.save_button = button(
            description="Save selection",
            tooltip="Writes the selected tracks; the ending chooses the format",
            icon="save",
            disabled=True,
            layout={"width": "auto"},
        )
        self.lift_button.on_click(lambda _: self._guarded(self._lift_clicked))
        self.clear_button.on_click(lambda _: self._clear_picks())
        self.save_button.on_click(lambda _: self._guarded(self._save_clicked))
        self.canvas.observe(self._follow, ["selection", "picks"])
        left = [self.lift_button, self.clear_button] if self._pictures else []
        self._row = ipywidgets.HBox(
            [*left, self.path_text, self.save_button],
            layout={"flex_flow": "row wrap"},
        )

    def _follow(self, change: Any = None) -> None:
        """Bring the buttons in line with selection and picks."""
        picks, selection = len(self.canvas.picks), len(self.canvas.selection)
        self.lift_button.disabled = self.clear_button.disabled = not picks
        self.save_button.disabled = not selection
        some = f"{picks} picked point{'s' * (picks > 1)}" if picks else "picked points"
        self.lift_button.description = f"Track and lift {some}"

    def _clear_picks(self) -> None:
        self.canvas.picks = []

    def _lift_clicked(self) -> str:
        new = self.lift_picks()
        ids = ", ".join(str(i) for i in new["track"].values[:5])
        return f"New tracks: {ids}{' ...' * (new.sizes['track'] > 5)}."

    def _save_clicked(self) -> str:
        path = self.save(self.path_text.value.strip() or "selection.csv")
        n = len(self.canvas.selection)
        return f"{n} track{'s' * (n > 1)} written to {path}."

    def _guarded(self, work: Callable[[], str]) -> None:
        """Do what a button asks for; what goes wrong is said, and changes nothing."""
        with self._busy():
            try:
                # Behind a button nobody sees what is written to stderr.
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always", UserWarning)
                    said = work()
                said = " ".join([said, *dict.fromkeys(str(w.message) for w in warned)])
            except KeyboardInterrupt:
                said = "Interrupted; nothing has changed."
            except Exception as error:  # noqa: BLE001  # shown to whoever clicked
                said = f"{type(error).__name__}: {error}"
            self._say(said)

    @contextmanager
    def _busy(self) -> Any:
        buttons = (self.lift_button, self.clear_button, self.save_button)
        for one in buttons:
            one.disabled = True
        try:
            yield
        finally:
            self._follow()

    def _say(self, text: str) -> None:
        self.canvas.message = text

    def _answer(self, widget: Any, content: Any, buffers: Any) -> None:
        """Answer a question of the browser; every question gets an answer."""
        if not isinstance(content, dict) or "ask" not in content:
            return
        reply: dict[str, Any] = {"id": content.get("id")}
        data: list[bytes] = []
        try:
            if content["ask"] == "frame":
                picture = None
                if self._pictures is not None:
                    width = min(1920, max(64, int(content.get("width", 960))))
                    picture = self._pictures.jpeg(int(content["time"]), width)
                data = [] if picture is None else [picture]
            elif content["ask"] == "values":
                spec, values = colour_values(
                    self._part.ds, str(content["name"]), self._part.seen
                )
                reply["spec"] = spec.as_json()
                data = [np.ascontiguousarray(values, "<f4").tobytes()]
        except KeyboardInterrupt:
            reply["error"] = "Interrupted."
        except Exception as error:  # noqa: BLE001  # shown in the widget
            reply["error"] = str(error) or type(error).__name__
        self.canvas.send(reply, data)
