"""What ``ds.seurat`` says of itself: what is there, what is missing, how to get it."""

from __future__ import annotations

import html
from typing import Any, NamedTuple

import numpy as np
import xarray as xr


class Line(NamedTuple):
    """One fact: its name, what there is, whether it is there, how to get it."""

    name: str
    what: str
    there: bool = True
    cure: str = ""


def summarise(ds: xr.Dataset) -> list[Line]:
    """Collect what is known of a Dataset; computes nothing, never fails.

    Parameters
    ----------
    ds
        Any Dataset.

    Returns
    -------
    list of Line
    """
    from seurat_tracks.schema import find_faults

    lines = [_tracks(ds)]
    try:
        faults = find_faults(ds, values=False)
    except Exception as error:  # noqa: BLE001  # a repr must not fail
        faults = [f"{type(error).__name__}: {error}"]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        lines.append(
            Line("contract", faults[0] + more, False, "ds.seurat.validate() lists all")
        )
        return lines
    if "support_xy" in ds:
        lines.append(Line("support", f"grid tracked in {ds.sizes['window']} windows"))
    else:
        lines.append(Line("support", "none; it is drawn from the tracks"))
    lines.append(_camera(ds))
    lines.append(_ratio(ds))
    if "log_depth_ratio" in ds:
        lines += [_depth(ds), _space(ds)]
    if "doubt" in ds:
        lines.append(Line("quality", "judged"))
    elif "log_depth_ratio" in ds:
        lines.append(Line("quality", "not judged", False, "ds.seurat.quality()"))
    return lines


def next_step(ds: xr.Dataset, lines: list[Line]) -> str:
    """Say what to call next."""
    if any(line.name == "contract" for line in lines):
        return "ds.seurat.validate()"
    if "log_depth_ratio" not in ds:
        return "ds.seurat.lift3d()"
    if "xyz" not in ds:
        return "ds.seurat.anchor(depth=...)"
    return "ds.seurat.explore(), .plot, .save(path), .export(path)"


def as_text(ds: xr.Dataset) -> str:
    """Give the summary as plain text."""
    lines = summarise(ds)
    width = max(len(line.name) for line in lines)
    out = ["<seurat: point tracks>"]
    for line in lines:
        mark = " " if line.there else "!"
        cure = f"  ->  {line.cure}" if line.cure else ""
        out.append(f"{mark} {line.name:<{width}}  {line.what}{cure}")
    out.append(f"  {'next':<{width}}  {next_step(ds, lines)}")
    return "\n".join(out)


def as_html(ds: xr.Dataset) -> str:
    """Give the summary as an HTML table; everything from the Dataset is escaped."""
    lines = summarise(ds)
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
    rows = []
    for line in [*lines, Line("next", "", True, next_step(ds, lines))]:
        mark = "✓" if line.there else "○"
        mark = "→" if line.name == "next" else mark
        cure = f"<code>{html.escape(line.cure)}</code>" if line.cure else ""
        rows.append(
            f'<tr><td style="{cell}">{mark} {html.escape(line.name)}</td>'
            f'<td style="{cell}">{html.escape(line.what)}</td>'
            f'<td style="{cell}">{cure}</td></tr>'
        )
    return (
        '<div><strong>seurat: point tracks</strong><table style="margin:4px 0">'
        + "".join(rows)
        + "</table></div>"
    )


def _tracks(ds: xr.Dataset) -> Line:
    n, length = ds.sizes.get("track"), ds.sizes.get("time")
    if n is None or length is None:
        return Line("tracks", "none: no dimensions track and time", False)
    what = f"{n:,} track{'s' * (n != 1)}, {length:,} frame{'s' * (length != 1)}"
    if length and "time" in ds.coords:
        times = ds["time"].values
        what += f" ({times[0]} to {times[-1]})"
    size = ds.attrs.get("frame_size")
    if isinstance(size, list | tuple) and len(size) == 2:
        what += f", {size[0]} x {size[1]} px"
    if ds.attrs.get("fps"):
        what += f", {_number(ds.attrs['fps'])} fps"
    if "visible" in ds and ds["visible"].chunks is None and ds["visible"].size:
        seen = np.asarray(ds["visible"].values, bool).mean()
        what += f", {100 * seen:.0f} % seen"
    if any(v.chunks is not None for v in ds.data_vars.values()):
        what += ", lazy"
    if ds.attrs.get("tracker"):
        what += f"; tracker {ds.attrs['tracker']}"
    return Line("tracks", what)


def _camera(ds: xr.Dataset) -> Line:
    source = str(ds.attrs.get("intrinsics_source", "given"))
    if "intrinsics" not in ds.attrs:
        return Line("camera", "unknown", False, "lift3d(intrinsics=...)")
    fx, _, cx, cy = ds.attrs["intrinsics"]
    what = f"fx {_number(fx)} px, centre ({_number(cx)}, {_number(cy)}); {source}"
    assumed = source.startswith("assumed")
    return Line("camera", what, not assumed, "lift3d(intrinsics=...)" * assumed)


def _ratio(ds: xr.Dataset) -> Line:
    if "log_depth_ratio" not in ds:
        return Line("depth ratio", "not computed", False, "ds.seurat.lift3d()")
    lazy = ds["log_depth_ratio"].chunks is not None
    what = f"by model {ds.attrs.get('model', 'unknown')}"
    if "depth_ratio_sigma" in ds:
        what += ", with sigma"
    return Line("depth ratio", what + (", lazy" if lazy else ""))


def _depth(ds: xr.Dataset) -> Line:
    cure = "ds.seurat.anchor(depth=...)"
    if "depth" not in ds:
        return Line("depth", "not anchored", False, cure)
    source = str(ds.attrs.get("depth_source", "unknown source"))
    if ds.attrs.get("units") == "m":
        return Line("depth", f"metres, from {source}")
    if source == "none":
        what = "relative: each track is 1 at its reference frame"
    else:
        what = f"relative, from {source}"
    return Line("depth", what, False, cure)


def _space(ds: xr.Dataset) -> Line:
    if "xyz" not in ds:
        return Line("xyz", "no positions", False, "ds.seurat.anchor(...)")
    frame = str(ds.attrs.get("frame_of_reference", "camera"))
    return Line("xyz", f"in the frame of the {frame}")


def _number(value: Any) -> str:
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
