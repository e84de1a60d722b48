"""The explorer as one HTML file that opens without Python and without a network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks._version import __version__
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook import shown as parts
from seurat_tracks.notebook.assets import script, style
from seurat_tracks.notebook.colours import colour_names, colour_values
from seurat_tracks.notebook.explore import check_choice, open_pictures
from seurat_tracks.notebook.frames import Pictures
from seurat_tracks.notebook.shown import Shown

if TYPE_CHECKING:
    import xarray as xr

MAX_BYTES = 20_000_000
"""Of a page, unless asked otherwise: what mail lets through."""

PICTURE_SHARE = 0.6
"""Of a page that frames of the video may take."""

_PICTURES = ((960, 80), (800, 75), (640, 72), (480, 65), (360, 55))
_STEPS = (1, 2, 3, 5, 8, 12, 20, 40)
_USUAL = ("depth", "ratio", "speed", "sigma", "confidence", "visibility", "track")
_FEWEST = 20


def to_html(
    ds: xr.Dataset,
    path: str | os.PathLike[str] | None = None,
    *,
    video: Any = None,
    colours: list[str] | None = None,
    colour: str | None = None,
    frame: int | None = None,
    tail: int = 20,
    title: str = "Tracks in 3D",
    max_bytes: int = MAX_BYTES,
    max_tracks: int = parts.MAX_TRACKS,
    height: int = 460,
    overwrite: bool = False,
) -> str | Path:
    """Write the explorer as a page that a colleague can open without Python.

    Parameters
    ----------
    ds
        Tracks, lifted or not. Of lazy ones only what is shown is computed.
    path
        File to write. None: the page is returned as a string.
    video
        As in `seurat_tracks.notebook.explore.explore`; its frames go into the page.
    colours
        What the page can colour by; the usual ones by default. The page grows with
        each.
    colour, frame, tail, height, max_tracks
        As in `seurat_tracks.notebook.explore.explore`.
    title
        Heading of the page.
    max_bytes
        Most bytes of the page. Frames get smaller, then fewer; then tracks are left
        out. The page says what it lacks.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    Path, or str if there is no path

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    VideoError
        If the video cannot be opened, or is of another size than the tracks' frames.
    SeuratTracksError
        If the file is there already, nothing fits into ``max_bytes``, or for a colour
        or a frame that is not there.

    Notes
    -----
    Nothing is loaded from the net: the page's own security policy forbids it, and
    allows the one script in it by its hash. Positions in the image and colours are
    stored in 65,534 steps of their range, positions in space as float32.
    """
    from seurat_tracks.schema import validate

    validate(ds, values=False)
    target = None if path is None else Path(path).expanduser()
    if target is not None:
        _check_target(target, overwrite)
    check_choice(ds, colour, frame, tail=tail, max_tracks=max_tracks, height=height)
    names = [n for n in colour_names(ds) if n in _USUAL] if colours is None else colours
    unknown = [n for n in names if n not in colour_names(ds)]
    if unknown or not names:
        raise SeuratTracksError(
            f"cannot colour by {', '.join(map(repr, unknown)) or 'nothing'}; there are "
            f"{', '.join(colour_names(ds))}"
        )
    if colour is not None and colour not in names:
        names = [colour, *names]
    pictures, note = open_pictures(ds, video)
    note = "" if video is None and pictures is None else note
    part = parts.load(ds, max_tracks=max_tracks)
    fixed = len((script("page") + style()).encode()) + 9000 + 45 * len(part.frames)
    budget = max_bytes - fixed
    film = _film(pictures, part, int(PICTURE_SHARE * budget))
    part = _thinned(part, len(names), budget - film.weight, max_bytes)
    start = {"colour": colour or names[0], "tail": tail, "fade": True}
    page = _page(part, film, names, start, frame, title, height, note)
    size = len(page.encode())
    if size > max_bytes:
        raise SeuratTracksError(
            f"the page takes {size:,} bytes, and max_bytes={max_bytes:,}: give a "
            "larger one, fewer colours, or fewer frames (ds.isel(time=...))"
        )
    if target is None:
        return page
    _write(page, target)
    return target


@dataclass(frozen=True)
class _Film:
    """JPEG frames by frame number, what the video has, and what was left out."""

    frames: dict[int, bytes] = field(default_factory=dict)
    known: frozenset[int] = frozenset()
    note: str = ""

    @property
    def weight(self) -> int:
        return sum(4 * (len(f) + 2) // 3 + 80 for f in self.frames.values())


def _film(pictures: Pictures | None, part: Shown, budget: int) -> _Film:
    """Frames as large and as many as the budget allows."""
    if pictures is None:
        return _Film()
    times = part.ds["time"].values
    times = times[pictures.positions(times) >= 0]
    if len(times) == 0:
        return _Film(note="The video has none of these frames.")
    some = times[np.linspace(0, len(times) - 1, min(5, len(times))).astype(int)]
    for step in _STEPS:
        for width, quality in _PICTURES:
            chosen = times[::step]
            trial = [len(pictures.jpeg(int(t), width, quality) or b"") for t in some]
            if 1.34 * np.mean(trial) * len(chosen) > budget:
                continue
            frames = {int(t): pictures.jpeg(int(t), width, quality) for t in chosen}
            film = _Film(
                {t: f for t, f in frames.items() if f is not None},
                frozenset(times.tolist()),
                "" if step == 1 else f"The picture changes every {step} frames.",
            )
            if film.weight <= budget:
                return film
    return _Film(note="Frames of the video do not fit into the page.")


def _thinned(part: Shown, n_colours: int, budget: int, limit: int) -> Shown:
    """Every n-th track, so that the arrays fit."""
    n, length = part.seen.shape
    buffers = part.buffers()
    each = sum(
        len(data) / max(1, n) / (1 if name in ("xyz", "seen") else 2)
        for name, data in buffers.items()
    )
    each = 4 / 3 * (each + 2 * length * n_colours) + 40
    fit = int(budget / each)
    if fit >= n:
        return part
    if fit < min(n, _FEWEST):
        raise SeuratTracksError(
            f"not even {min(n, _FEWEST)} tracks fit into max_bytes={limit:,}: give "
            "more bytes, fewer colours, no video, or fewer frames (ds.isel(time=...))"
        )
    rows = np.arange(0, n, -(-n // fit))
    total = n if not part.note else "all"
    note = f"{len(rows):,} of {total} tracks are in this page."
    note = f"{part.note} {note}".strip()
    return Shown(
        part.ds.isel(track=rows), part.rows[rows], part.frames, part.seen[rows], note
    )


def _page(
    part: Shown,
    film: _Film,
    names: list[str],
    start: dict[str, Any],
    frame: int | None,
    title: str,
    height: int,
    note: str,
) -> str:
    blocks: dict[str, bytes] = {}
    kinds: dict[str, dict[str, Any]] = {}
    for name, data in part.buffers().items():
        key = f"seurat-{name}"
        if name == "seen":
            blocks[key] = data
        elif data:
            exact = name == "xyz"
            kinds[key], blocks[key] = _stored(np.frombuffer(data, "<f4"), exact=exact)
    shades = {}
    for k, name in enumerate(names):
        spec, values = colour_values(part.ds, name, part.seen)
        key = f"seurat-colour-{k}"
        kinds[key], blocks[key] = _stored(values, exact=spec.kind == "category")
        shades[name] = {"spec": spec.as_json(), "part": key}
    meta = part.meta(hasVideo=bool(film.frames), noVideo=note, colours=names)
    meta["note"] = " ".join(x for x in (meta["note"], film.note) if x)
    times = meta["times"]
    shown = sorted(film.frames)
    # A frame that was left out shows the last one before it; one that the video does
    # not have shows none.
    at = np.searchsorted(shown, times, side="right") - 1
    meta["picture"] = [
        shown[k] if shown and k >= 0 and t in film.known else None
        for k, t in zip(at.tolist(), times, strict=True)
    ]
    position = times.index(frame) if frame is not None and frame in times else 0
    state = {"frame": position, **start}
    content = {
        "meta": meta,
        "state": state,
        "parts": kinds,
        "colours": shades,
        "height": height,
    }
    code, look = script("page"), style()
    policy = (
        f"default-src 'none'; script-src '{_hash(code)}'; style-src '{_hash(look)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    elements = [_block("seurat-meta", "application/json", _json(content))]
    for key, value in blocks.items():
        elements.append(_block(key, "text/plain", base64.b64encode(value).decode()))
    for time, picture in film.frames.items():
        text = base64.b64encode(picture).decode()
        elements.append(_block(f"seurat-frame-{time}", "text/plain", text))
    heading = html.escape(title)
    about = html.escape(
        f"Made by seurat-tracks {__version__}. Drag turns and moves, the wheel zooms "
        "after a click, shift and drag selects; space plays."
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{heading}</title>",
            f"<style>{look}</style></head>",
            f'<body class="seurat-page"><h1>{heading}</h1>',
            '<main id="seurat-explorer"></main>',
            "<noscript>This page draws with JavaScript, which is off here.</noscript>",
            f"<footer>{about}</footer>",
            *elements,
            f'<script type="module">{code}</script>',
            "</body></html>\n",
        ]
    )


def _stored(values: np.ndarray, *, exact: bool) -> tuple[dict[str, Any], bytes]:
    """Float32 as it is, or in uint16 steps of its range, 65535 for NaN."""
    values = np.asarray(values, np.float32)
    known = np.isfinite(values)
    if exact or not known.any():
        return {"steps": False}, values.astype("<f4").tobytes()
    low, high = float(values[known].min()), float(values[known].max())
    step = (high - low) / 65534 or 1.0
    out = np.full(values.shape, 65535, "<u2")
    out[known] = np.round((values[known].astype(np.float64) - low) / step)
    return {"steps": True, "low": low, "high": low + 65534 * step}, out.tobytes()


def _json(value: Any) -> str:
    """JSON that no text in it can turn into the end of its script element."""
    text = json.dumps(_finite(value), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _block(key: str, kind: str, text: str) -> str:
    return f'<script type="{kind}" id="{key}">{text}</script>'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_dir() or not target.parent.is_dir():
        why = "is a folder" if target.is_dir() else "lies in a folder that is not there"
        raise SeuratTracksError(f"{target} {why}: give the path of a file to write")
    if target.exists() and not overwrite:
        raise SeuratTracksError(
            f"{target} is there already: overwrite=True replaces it"
        )


def _write(page: str, target: Path) -> None:
    """Write beside the target and rename, so that no half page is ever there."""
    import tempfile

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
