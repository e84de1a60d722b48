"""Tracks of TrackMate: its own XML, its export of tracks as XML, its table as CSV.

Layouts, from the code of trackmate-sc/TrackMate:

- its own file, ``<TrackMate>`` (``io/TmXmlWriter.java``, ``io/TmXmlKeys.java``): spots
  with ID, FRAME, POSITION_X, POSITION_Y; tracks as edges between spots, with TRACK_ID
  and name; the tracks that passed the filters; width, height, pixel size, and interval
  of the image;
- "Export tracks to XML file", ``<Tracks>`` (``action/ExportTracksToXML.java``):
  ``particle`` elements with ``detection`` t, x, y, z, where t is the frame; no ids;
- the table of spots as CSV (``io/CSVExporter.java``,
  ``visualization/table/TablePanel.java``): keys, then up to three more lines of names
  and units, then a spot a row; "ø" is no value.

Positions are in the image's unit: pixel number times pixel size, so that the centre of
the first pixel is 0 (``detection/DetectionUtils.java`` multiplies the pixel's integer
position; the overlay adds half a pixel to draw,
``visualization/hyperstack/SpotOverlay.java``). Every spot counts as visible: the
feature VISIBILITY says what the display shows. QUALITY has no upper bound and is no
confidence.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files, _foreign, _text
from seurat_tracks.io._rows import Rows

PIXELS = frozenset({"pixel", "pixels", "px"})
SECONDS = frozenset({"s", "sec", "secs", "second", "seconds"})
_NEEDED = ("TRACK_ID", "FRAME", "POSITION_X", "POSITION_Y")


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a file is one of the three."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \r\n\t")
    if text.startswith("<"):
        return "<TrackMate" in text or "<Tracks" in text
    names = _text.header(head)
    return names is not None and all(name in names for name in _NEEDED)


def read_trackmate(
    path: str | os.PathLike[str],
    *,
    frame_size: Sequence[int] | None = None,
    fps: float | None = None,
    pixel_size: float | None = None,
    frames: str = "all",
) -> xr.Dataset:
    """Read tracks of TrackMate.

    Parameters
    ----------
    path
        One of the three layouts above.
    frame_size
        Width and height of the video in pixels. None: those of the image, which only
        TrackMate's own file knows.
    fps
        Frames per second. None: from the file's interval, if its unit is seconds.
    pixel_size
        Size of a pixel in the file's unit. None: 1 if that unit is the pixel, else
        that of the image, which only TrackMate's own file knows.
    frames
        As in `seurat_tracks.io.table.read_csv`.

    Returns
    -------
    xarray.Dataset
        Ids are TRACK_ID, or the place of the particle in the file. Spots without a
        track, and tracks that did not pass the filters, are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If the file cannot be read, does not say enough, or tracks branch.
    """
    path = _files.existing(path)
    with path.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \r\n\t")
    content = _Xml(path).read() if start.startswith(b"<") else _read_table(path)
    facts = content.facts
    if frame_size is None and {"width", "height"} <= facts.keys():
        frame_size = (facts["width"], facts["height"])
    size = _files.need_frame_size(path, frame_size)
    scale = _pixel_size(path, facts, pixel_size)
    interval = facts.get("interval")
    if fps is None and interval and facts.get("time_unit", "").lower() in SECONDS:
        fps = 1 / interval
    rows = content.rows
    for name, one in (("x", scale[0]), ("y", scale[1])):
        rows.columns[name] = [part / one for part in rows.columns.get(name, [])]
    rows.columns["visible"] = [np.ones(len(part), bool) for part in rows.frame]
    _refuse_branches(path, rows)
    # positions in 0..1 are possible in a physical unit, and are no fractions
    return _foreign.assemble(
        path,
        rows,
        list(rows.ids),
        frame_size=size,
        fps=fps,
        coordinates=None if scale == (1.0, 1.0) else "pixels",
        frames=frames,
    )


def _pixel_size(
    path: Path, facts: dict[str, Any], given: float | None
) -> tuple[float, float]:
    if given is not None:
        if not (np.isfinite(given) and given > 0):
            raise FormatError(f"pixel_size is {given!r}; give a positive number")
        return float(given), float(given)
    if {"pixelwidth", "pixelheight"} <= facts.keys():
        return float(facts["pixelwidth"]), float(facts["pixelheight"])
    unit = facts.get("unit")
    if unit is not None and unit.lower() in PIXELS:
        return 1.0, 1.0
    said = f"its unit is {unit!r}" if unit else "it does not say its unit"
    raise FormatError(
        f"{path} gives positions of which {said}: give pixel_size=, the size of a "
        "pixel in that unit (1 if they are pixels)"
    )


def _refuse_branches(path: Path, rows: Rows) -> None:
    if not rows.frame:
        return
    names = list(rows.ids)
    pairs = np.concatenate(rows.track), np.concatenate(rows.frame)
    order = np.lexsort(pairs[::-1])
    track, frame = pairs[0][order], pairs[1][order]
    twice = np.flatnonzero((np.diff(track) == 0) & (np.diff(frame) == 0))
    if twice.size:
        tracks = sorted({int(track[i]) for i in twice})
        raise FormatError(
            f"{path}: {len(tracks)} tracks have two spots in a frame, as tracks that "
            f"split or merge do (first: track {names[tracks[0]]}, frame "
            f"{frame[twice[0]]}). A track here has one position a frame: forbid "
            "splitting and merging in TrackMate, or cut the tracks there"
        )


class _Content:
    def __init__(self, path: Path) -> None:
        self.rows = Rows(path, lambda row: f"spot {row}")
        self.facts: dict[str, Any] = {}


class _Xml:
    """Reads either XML in one pass, without building a tree."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, _Content(path)
        self.depth = 0
        self.root = ""
        self.spots: dict[str, tuple[int, float, float]] = {}
        self.edges: dict[str, list[str]] = {}
        self.kept: set[str] | None = None
        self.track: str | None = None
        self.particles: list[tuple[int, float, float, int]] = []
        self.count = 0

    def read(self) -> _Content:
        """Parse the file."""
        parser = expat.ParserCreate()
        self.parser = parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            with self.path.open("rb") as file:
                parser.ParseFile(file)
        except expat.ExpatError as error:
            raise FormatError(
                f"{self.path} is no complete XML: {error}. It is cut short or damaged"
            ) from None
        except (ValueError, LookupError) as error:  # an encoding that is none
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{self.path} cannot be read: {error}") from None
        if self.root == "Tracks":
            self._add([(p, f, x, y) for f, x, y, p in self.particles])
        elif self.root == "TrackMate":
            self._join()
        else:
            raise FormatError(
                f"{self.path}: its root is <{self.root}>, expected <TrackMate> or "
                "<Tracks>"
            )
        return self.content

    def _refuse(self, *_: Any) -> None:
        raise FormatError(
            f"{self.path} declares a DOCTYPE, as no file of TrackMate does"
        )

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        self.depth += 1
        if self.depth == 1:
            self.root = name
            if name == "Tracks":
                self.content.facts |= {
                    "unit": attrs.get("spaceUnits"),
                    "time_unit": attrs.get("timeUnits", ""),
                    "interval": self._number(attrs, "frameInterval", needed=False),
                }
        elif name == "detection":
            numbers = [self._number(attrs, key) for key in "txy"]
            frame = self._whole(numbers[0], "t")
            self.particles.append((frame, numbers[1], numbers[2], self.count - 1))
        elif name == "particle":
            self.count += 1
        elif name == "Spot":
            frame = self._whole(self._number(attrs, "FRAME"), "FRAME")
            x, y = (self._number(attrs, f"POSITION_{a}") for a in "XY")
            self.spots[attrs.get("ID", "")] = (frame, x, y)
        elif name == "Track":
            self.track = attrs.get("TRACK_ID", "")
            self.edges.setdefault(self.track, [])
        elif name == "Edge" and self.track is not None:
            ends = [attrs.get("SPOT_SOURCE_ID", ""), attrs.get("SPOT_TARGET_ID", "")]
            self.edges[self.track] += ends
        elif name == "FilteredTracks":
            self.kept = set()
        elif name == "TrackID" and self.kept is not None:
            self.kept.add(attrs.get("TRACK_ID", ""))
        elif name == "Model":
            self.content.facts |= {
                "unit": attrs.get("spatialunits"),
                "time_unit": attrs.get("timeunits", ""),
            }
        elif name == "ImageData":
            for key in ("pixelwidth", "pixelheight", "width", "height"):
                value = self._number(attrs, key, needed=False)
                if value is not None and value > 0:
                    self.content.facts[key] = value
            interval = self._number(attrs, "timeinterval", needed=False)
            if interval is not None and interval > 0:
                self.content.facts["interval"] = interval

    def _end(self, name: str) -> None:
        self.depth -= 1
        if name == "Track":
            self.track = None

    def _number(self, attrs: dict[str, str], key: str, *, needed: bool = True) -> Any:
        try:
            value = float(attrs[key])
            if not np.isfinite(value):
                raise ValueError
        except (KeyError, ValueError):
            if not needed:
                return None
            raise FormatError(
                f"{self.path}, line {self.parser.CurrentLineNumber}: {key} is "
                f"{attrs.get(key)!r}, expected a number"
            ) from None
        return value

    def _whole(self, value: float, key: str) -> int:
        if value != int(value) or abs(value) >= 2**53:
            raise FormatError(
                f"{self.path}, line {self.parser.CurrentLineNumber}: {key} is {value}, "
                "expected a frame number"
            )
        return int(value)

    def _join(self) -> None:
        """Give each spot of an edge to the edge's track."""
        rows = []
        for name, ends in self.edges.items():
            if self.kept is not None and name not in self.kept:
                continue
            number = _track_id(self.path, name)
            for spot in dict.fromkeys(ends):
                if spot not in self.spots:
                    raise FormatError(
                        f"{self.path}: track {name} has an edge to spot {spot!r}, "
                        "which is not in the file: it is damaged"
                    )
                rows.append((number, *self.spots[spot]))
        self._add(rows)

    def _add(self, rows: list[tuple[int, int, float, float]]) -> None:
        if not rows:
            raise FormatError(f"{self.path} holds no tracks")
        track, frame, x, y = zip(*rows, strict=True)
        values = {"x": np.array(x, np.float64), "y": np.array(y, np.float64)}
        self.content.rows.add(track, np.array(frame, np.int64), values)


def _track_id(path: Path, text: str) -> int:
    try:
        number = float(text)
        if number != int(number) or abs(number) >= 2**53:
            raise ValueError
    except (ValueError, OverflowError):
        raise FormatError(
            f"{path}: TRACK_ID is {text!r}, expected an integer"
        ) from None
    return int(number)


def _read_table(path: Path) -> _Content:
    content = _Content(path)
    lines: list[np.ndarray] = []
    rows = content.rows
    rows.where = lambda row: f"line {np.concatenate(lines)[row]}"
    with _text.opened(path) as file:
        separator, names = _text.columns(_text.next_line(path, file, 1))
        absent = [name for name in _NEEDED if name not in names]
        if absent:
            raise FormatError(f"{path} misses the columns {', '.join(absent)}")
        at = {name: names.index(name) for name in _NEEDED}
        for part in _text.parts(path, file, separator, names, 2):
            if not lines:
                _skip_names(part, at, content)
            keep = [
                i
                for i, row in enumerate(part.fields)
                if row[at["TRACK_ID"]].strip().lower() not in _text.MISSING
            ]
            part = _text.Part(
                [part.lines[i] for i in keep], [part.fields[i] for i in keep]
            )
            lines.append(np.array(part.lines, np.int64))

            def read(name: str, one: Any, part: _text.Part = part) -> list[Any]:
                return _text.convert(path, part, at[name], name, one, separator)

            rows.add(
                read("TRACK_ID", _text.whole),
                np.array(read("FRAME", _text.whole), np.int64),
                {a: np.array(read(f"POSITION_{a.upper()}", _finite)) for a in "xy"},
            )
    if not rows.ids:
        raise FormatError(f"{path} holds no spot that is in a track")
    return content


def _finite(text: str) -> float:
    value = _text.number(text)
    if value != value:
        raise ValueError("no number")
    return value


def _skip_names(part: _text.Part, at: dict[str, int], content: _Content) -> None:
    """Take the lines of names and units off the first part."""
    n = 0
    for row in part.fields[:3]:
        try:
            _text.number(row[at["POSITION_X"]])
        except ValueError:
            n += 1
            unit = row[at["POSITION_X"]].strip()
            if unit.startswith("(") and unit.endswith(")"):
                content.facts["unit"] = unit[1:-1]
            continue
        break
    del part.fields[:n], part.lines[:n]


def write_trackmate(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    layout: str = "trackmate",
    number_ids: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write tracks for TrackMate.

    Parameters
    ----------
    ds
        Under the contract of `seurat_tracks.schema`.
    path
        ``.xml``, or ``.csv`` for the table of spots. Positions are in pixels, one
        spot for each visible point.
    layout
        Of XML: "trackmate", its own file, which it loads; "tracks", the export of
        tracks, which other programs read and which has no ids.
    number_ids
        Number the tracks 0, 1, 2, ... where ids are no integers from 0, as TrackMate
        needs; the ids are then the tracks' names.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    FormatError
        If the path is taken, or ids or frames are none that TrackMate takes.

    Warns
    -----
    UserWarning
        Names what the file has no place for; TrackMate's own file has none for tracks
        that are seen only once.
    """
    from seurat_tracks.io._trackmate_write import write

    return write(ds, Path(path), layout, number_ids=number_ids, overwrite=overwrite)
