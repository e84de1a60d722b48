"""Depth over time with its error bars, and the scale of each visible run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.evaluation.report_pictures import COLOURS
from seurat_tracks.notebook.drawing import (
    DOTTED,
    label_of_depth,
    new_axes,
    require,
    units_of,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

LINES = COLOURS[:6]
"""Colours of tracks, safe for colour-blind readers; black is kept for the truth."""

DASHES = ("solid", (0, (6, 1.5)), (0, (4, 1.5, 1, 1.5)))
"""Styles of further tracks, once the colours are used up; dots mean hidden."""

WIDE = 8
"""Depths that differ by more than this factor are drawn on a logarithmic axis."""


class Curve(NamedTuple):
    """One track's curve over time, arrays (time,).

    Attributes
    ----------
    value
        What is drawn; NaN = unknown.
    sigma
        Standard error of its logarithm; NaN = unknown.
    seen
        Whether the point is seen, and the value known.
    """

    value: np.ndarray
    sigma: np.ndarray
    seen: np.ndarray


def plot_depth(
    ds: xr.Dataset,
    tracks: Any = None,
    *,
    ratio: bool = False,
    sigmas: float = 1.0,
    truth: xr.Dataset | None = None,
    seconds: bool = False,
    ax: Axes | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the depth of some tracks over time, with bands of their standard error.

    Solid where the point is seen, dotted from where it was last seen to where it is
    found again. Bands are depth times exp(± sigmas * sigma), where sigma joins
    ``depth_ratio_sigma`` with ``scale_sigma`` if there is one (as independent errors);
    they are paler where the point is hidden. Very wide ones leave the picture.

    Parameters
    ----------
    ds
        Lifted tracks; with ``ratio`` those of `seurat_tracks.depth_ratio` suffice.
    tracks
        Ids of the tracks, one or several; six of those that are seen most of the
        time, evenly spread, if left out.
    ratio
        Draw depth over depth at the reference frame, not depth.
    sigmas
        Half width of the bands, in standard errors; 0 for none.
    truth
        True tracks with ``depth`` or ``xyz``, by the same ids and frame numbers, drawn
        in black, each with a dot of its track's colour at its end; relative where the
        answer is.
    seconds
        Draw over ``seconds``, not over frame numbers.
    ax
        Axes to draw on; new ones if left out.
    legend
        Whether to name the tracks.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted, or is never seen with a depth.
    SeuratTracksError
        If there is no such track, or time is not known in seconds.
    """
    require(ds, "visible", *(["log_depth_ratio"] if ratio else ["depth"]))
    ids = choose_tracks(ds, tracks)
    names = ["log_depth_ratio"] if ratio else ["depth"]
    names += [
        name
        for name in ("depth_ratio_sigma", *(() if ratio else ("scale_sigma",)))
        if name in ds
    ]
    part = _rows(ds[["visible", *names]], ids)
    relative = ratio or units_of(ds) == "relative"
    when, label = _time_axis(part, seconds)
    curves = [_depth_curve(part, i, ratio) for i in range(len(ids))]
    if not any(c.seen.any() for c in curves):
        raise SchemaError(
            "nothing to draw: none of these tracks is seen with a known depth"
        )
    if ax is None:
        ax = new_axes(8, 4.5)
    for k, (identity, curve) in enumerate(zip(ids, curves, strict=True)):
        colour, style = _look(k)
        draw_curve(ax, when, curve, colour, style, sigmas, label=f"track {identity}")
    if truth is not None:
        _draw_truth(ax, when, part, truth, ids, curves, relative)
    _room(ax, curves, sigmas)
    ax.set_xlabel(label)
    if ratio:
        ax.set_ylabel("depth / depth at the reference frame")
    else:
        ax.set_ylabel(label_of_depth(units_of(ds)))
    if legend:
        note = _about_bands(curves, sigmas)
        _legend(ax, note)
    return ax


def plot_scale(
    ds: xr.Dataset,
    tracks: Any = None,
    *,
    sigmas: float = 1.0,
    seconds: bool = False,
    ax: Axes | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the scale of some tracks: one number on each visible run.

    Depth is scale times ratio, so a scale is the depth of the point at its reference
    frame, as each visible run by itself (or with its neighbours) says. Solid on runs,
    with dots at their ends; dotted on hidden frames, where it is interpolated.

    Parameters
    ----------
    ds
        Lifted tracks.
    tracks
        Ids of the tracks, one or several; those with the most runs, at most six, if
        left out.
    sigmas
        Half width of the bands from ``scale_sigma``, in standard errors; 0 for none.
    seconds, ax, legend
        As in `plot_depth`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SchemaError
        If the Dataset has not been lifted, or no track has a scale.
    SeuratTracksError
        If there is no such track, or time is not known in seconds.
    """
    require(ds, "visible", "scale")
    ids = choose_tracks(ds, tracks, by_runs=True)
    names = ["visible", "scale", *(["scale_sigma"] if "scale_sigma" in ds else [])]
    part = _rows(ds[names], ids)
    when, label = _time_axis(part, seconds)
    curves = [_scale_curve(part, i) for i in range(len(ids))]
    if not any(c.seen.any() for c in curves):
        raise SchemaError("nothing to draw: none of these tracks has a scale")
    if ax is None:
        ax = new_axes(8, 4.5)
    for k, (identity, curve) in enumerate(zip(ids, curves, strict=True)):
        colour, style = _look(k)
        draw_curve(ax, when, curve, colour, style, sigmas, label=f"track {identity}")
        ends = _run_ends(curve.seen)
        ax.plot(when[ends], curve.value[ends], "o", ms=4, color=colour)
    _room(ax, curves, sigmas)
    ax.set_xlabel(label)
    metric = units_of(ds) == "m"
    ax.set_ylabel(
        "scale (m): depth at the reference frame"
        if metric
        else "scale, relative (no metric depth source)"
    )
    if legend:
        note = _about_bands(curves, sigmas) if metric else "relative: no metres"
        _legend(ax, note)
    return ax


def choose_tracks(
    ds: xr.Dataset, tracks: Any, *, most: int = len(LINES), by_runs: bool = False
) -> list[Any]:
    """Check ids, or choose some.

    Raises
    ------
    SeuratTracksError
        If an id is not there, or the Dataset has no tracks.
    """
    known = ds["track"].values
    if len(known) == 0:
        raise SeuratTracksError("nothing to draw: the Dataset has no tracks")
    if tracks is not None:
        wanted = np.atleast_1d(np.asarray(tracks)).tolist()
        there = set(known.tolist())
        missing = [t for t in wanted if t not in there]
        if missing or not wanted:
            some = ", ".join(map(str, known[:8])) + (", ..." if len(known) > 8 else "")
            what = f"no track {missing[0]!r}" if missing else "tracks= is empty"
            raise SeuratTracksError(
                f"{what}; the Dataset has {len(known)} tracks: {some}"
            )
        return wanted
    visible = ds["visible"].transpose("track", "time").values
    if by_runs:
        starts = visible & ~np.pad(visible, ((0, 0), (1, 0)))[:, :-1]
        rows = np.argsort(-starts.sum(1), kind="stable")[:most]
        return [known[i].item() for i in np.sort(rows)]
    seen = visible.sum(1)
    rows = np.flatnonzero(seen >= 0.5 * seen.max())
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]
    return [known[i].item() for i in rows]


def draw_curve(
    ax: Axes,
    when: np.ndarray,
    curve: Curve,
    colour: str,
    style: Any = "solid",
    sigmas: float = 1.0,
    *,
    label: str = "",
) -> None:
    """Draw one curve: solid where seen, dotted across gaps, with its band.

    Parameters
    ----------
    ax
        Axes to draw on.
    when : array (time,)
        Frame numbers, or seconds.
    curve
        What to draw.
    colour, style
        Of the line where it is seen.
    sigmas
        Half width of the band.
    label
        Name in a legend.
    """
    value, sigma, seen = curve
    if not seen.any():
        return
    at = np.flatnonzero(seen)
    inside = np.arange(len(seen))
    inside = (inside >= at[0]) & (inside <= at[-1]) & np.isfinite(value)
    ax.plot(when, np.where(seen, value, np.nan), color=colour, ls=style, label=label)
    alone = seen & ~np.roll(seen, 1) & ~np.roll(seen, -1)
    ax.plot(when[alone], value[alone], ".", color=colour)
    # a gap is drawn with the seen points at its ends, so that it joins the runs
    for last, following in pairwise(at):
        if following - last > 1:
            gap = np.arange(last, following + 1)
            gap = gap[inside[gap]]  # unknown frames between do not break the dots
            ax.plot(when[gap], value[gap], color=colour, ls=DOTTED, lw=1.2)
    if sigmas > 0 and np.isfinite(sigma[inside]).any():
        low, high = value * np.exp(-sigmas * sigma), value * np.exp(sigmas * sigma)
        hidden = inside & ~seen
        wide = hidden | np.roll(hidden, 1) | np.roll(hidden, -1)
        wide &= inside
        for where, alpha in ((seen, 0.22), (wide, 0.08)):
            ax.fill_between(
                when, low, high, where=where, color=colour, alpha=alpha, lw=0
            )


def _rows(ds: xr.Dataset, ids: list[Any]) -> xr.Dataset:
    """Load the tracks that are drawn, and no others."""
    return ds.sel(track=ids).transpose("track", "time", ...).compute()


def _depth_curve(part: xr.Dataset, i: int, ratio: bool) -> Curve:
    row = part.isel(track=i)
    if ratio:
        value = np.exp(row["log_depth_ratio"].values.astype(float))
    else:
        value = row["depth"].values.astype(float)
    square = np.zeros(len(value))
    found = False
    for name in ("depth_ratio_sigma", "scale_sigma"):
        if name in row:
            square, found = square + row[name].values.astype(float) ** 2, True
    sigma = np.sqrt(square) if found else np.full(len(value), np.nan)
    return Curve(value, sigma, row["visible"].values & np.isfinite(value))


def _scale_curve(part: xr.Dataset, i: int) -> Curve:
    row = part.isel(track=i)
    value = row["scale"].values.astype(float)
    sigma = np.full(len(value), np.nan)
    if "scale_sigma" in row:
        sigma = row["scale_sigma"].values.astype(float)
    return Curve(value, sigma, row["visible"].values & np.isfinite(value))


def _draw_truth(
    ax: Axes,
    when: np.ndarray,
    part: xr.Dataset,
    truth: xr.Dataset,
    ids: list[Any],
    curves: Sequence[Curve],
    relative: bool,
) -> None:
    """Draw true depth in black; up to one factor a track where asked."""
    z = true_depth(truth)
    there = set(truth["track"].values.tolist())
    lacking = [i for i in ids if i not in there]
    if lacking:
        raise SeuratTracksError(f"the truth has no track {lacking[0]!r}")
    z = z.sel(track=ids).reindex(time=part["time"].values).transpose("track", "time")
    values = z.values.astype(float)
    for i, curve in enumerate(curves):
        line = values[i]
        if relative:  # meets the answer where that is 1, or where it begins
            at = _reference(part, i, curve.seen & np.isfinite(line))
            line = line * (curve.value[at] / line[at])
        name = "truth" if len(ids) == 1 else "truth (dot: of which track)"
        ax.plot(when, line, color="black", lw=0.9, label=name if i == 0 else None)
        known = np.flatnonzero(np.isfinite(line))
        if len(known) and len(ids) > 1:  # black lines alone do not say whose they are
            ax.plot(
                when[known[-1]],
                line[known[-1]],
                ls="none",
                marker="o",
                ms=4.5,
                mew=0.8,
                color=_look(i)[0],
                mec="black",
                zorder=3,
            )


def _reference(part: xr.Dataset, i: int, usable: np.ndarray) -> int:
    """Position of a track's reference frame; if it is not there, of the first one."""
    if "reference_frame" in part.coords:
        at = np.flatnonzero(part["time"].values == part["reference_frame"].values[i])
        if len(at) and usable[at[0]]:
            return int(at[0])
    return int(usable.argmax())


def true_depth(truth: xr.Dataset) -> xr.DataArray:
    """Give the true depth (track, time) that a Dataset holds.

    Raises
    ------
    SchemaError
        If it holds none.
    """
    if "depth" in truth:
        return truth["depth"]
    if "xyz" in truth:
        return truth["xyz"].sel(axis="z")
    raise SchemaError("the truth has neither depth nor xyz (track, time)")


def _time_axis(ds: xr.Dataset, seconds: bool) -> tuple[np.ndarray, str]:
    if not seconds:
        return ds["time"].values, "frame"
    if "seconds" not in ds.coords:
        raise SeuratTracksError(
            "the Dataset does not know when its frames were shown: give fps= to "
            "st.from_arrays or st.read, or draw over frames (seconds=False)"
        )
    return ds["seconds"].values, "time (s)"


def _look(k: int) -> tuple[str, Any]:
    return LINES[k % len(LINES)], DASHES[(k // len(LINES)) % len(DASHES)]


def _run_ends(seen: np.ndarray) -> np.ndarray:
    padded = np.pad(seen, 1)
    return np.flatnonzero(seen & (~padded[:-2] | ~padded[2:]))


def _room(ax: Axes, curves: Sequence[Curve], sigmas: float) -> None:
    """Make room for lines, and for bands where points are seen.

    A band wider than all lines together leaves the picture, which it would fill.
    """
    values = [np.asarray(line.get_ydata(), dtype=float) for line in ax.get_lines()]
    values = [y[np.isfinite(y)] for y in values]
    everything = np.concatenate(values)
    low, high = float(everything.min()), float(everything.max())
    widest = max(high - low, 0.1 * abs(high))
    bottom, top = low, high
    for value, sigma, seen in curves:
        spread = np.exp(sigmas * np.where(np.isfinite(sigma), sigma, 0.0))
        if seen.any():
            bottom = min(bottom, float((value / spread)[seen].min()))
            top = max(top, float((value * spread)[seen].max()))
    if low > 0 and high > WIDE * low:  # near and far things, each to be seen
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        room = (high / low) ** 0.05
        ax.set_ylim(max(bottom, 0.5 * low) / room, min(top, 2 * high) * room)
        return
    low, high = max(bottom, low - widest), min(top, high + widest)
    # what hardly changes must not fill the picture with its noise
    room = max(0.05 * (high - low), 0.02 * abs(high))
    ax.set_ylim(low - room, high + room)


def _legend(ax: Axes, note: str) -> None:
    ax.legend(fontsize="small", title=note, title_fontsize="small", alignment="left")


def _about_bands(curves: Sequence[Curve], sigmas: float) -> str:
    if sigmas > 0 and any(np.isfinite(c.sigma[c.seen]).any() for c in curves):
        return f"bands: ± {sigmas:g} sigma; dotted: hidden"
    return "no error bars; dotted: hidden"
