"""Whether error bars hold what they promise, against the truth."""

from __future__ import annotations

from math import erf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.errors import SchemaError
from seurat_tracks.notebook.curves import LINES, true_depth
from seurat_tracks.notebook.drawing import new_axes, require

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

SIGMAS = np.linspace(0, 3, 61)
"""Half widths of the error bars that are looked at."""


def plot_reliability(
    ds: xr.Dataset,
    truth: xr.Dataset,
    *,
    ax: Axes | None = None,
    label: str = "",
    colour: str = LINES[1],
) -> Axes:
    """Draw how many true depth ratios lie inside the error bars, against the promise.

    An error bar of ± k standard errors promises to hold a share of erf(k / √2) of the
    truth: 68 % at one, 95 % at two. On the diagonal the promise is kept; below it the
    bars are too short.

    Parameters
    ----------
    ds
        Tracks with ``log_depth_ratio`` and ``depth_ratio_sigma``.
    truth
        True tracks with ``visible`` and ``depth`` or ``xyz``, by the same ids and frame
        numbers.
    ax
        Axes to draw on; new ones if left out. A second call adds a curve.
    label, colour
        Name and colour of the curve.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SchemaError
        If either lacks what is compared, or there are no error bars.
    """
    from seurat_tracks.evaluation.ratio import coverage

    require(ds, "visible", "log_depth_ratio", "depth_ratio_sigma")
    z = true_depth(truth)
    if "visible" not in truth:
        raise SchemaError("the truth has no visible (track, time)")
    tracks = truth.indexes["track"].intersection(ds.indexes["track"], sort=False)
    frames = truth.indexes["time"].intersection(ds.indexes["time"], sort=False)
    place = {"track": tracks, "time": frames}
    names = ["log_depth_ratio", "depth_ratio_sigma", "visible"]
    part = ds[names].sel(place).transpose("track", "time").compute()
    true = z.sel(place).transpose("track", "time").values.astype(float)
    seen = truth["visible"].sel(place).transpose("track", "time").values
    seen = seen & part["visible"].values
    guess = part["log_depth_ratio"].values.astype(float)
    sigma = part["depth_ratio_sigma"].values.astype(float)
    usable = seen & np.isfinite(guess) & np.isfinite(sigma) & (true > 0)
    if not usable.any():
        why = (
            'there are no error bars; lift with fuse="windows"'
            if sigma.size and not np.isfinite(sigma).any()
            else "truth and tracks share no track and frame"
        )
        raise SchemaError(f"cannot draw reliability: {why}")
    found = [coverage(guess, sigma, true, seen, within=float(k)) for k in SIGMAS]
    if not np.isfinite(found).all():
        raise SchemaError("cannot draw reliability: no track is seen in two frames")
    promised = [erf(k / sqrt(2)) for k in SIGMAS]
    if ax is None:
        ax = new_axes(5, 5.8)
    if not ax.lines:
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls=(0, (4, 3)), label="as promised")
        for x, y, text in ((0.68, 0.3, "too sure"), (0.3, 0.68, "too careful")):
            ax.text(x, y, text, ha="center", va="center", color="0.45")
    share = [coverage(guess, sigma, true, seen, within=k) for k in (1.0, 2.0)]
    name = f"{label}: " if label else ""
    name += f"{100 * share[0]:.0f} % in ± 1 sigma, {100 * share[1]:.0f} % in ± 2"
    name += f"\n({int(usable.sum()):,} observations)"
    ax.plot(promised, found, color=colour, label=name)
    ax.plot([erf(k / sqrt(2)) for k in (1, 2)], share, "o", color=colour, ms=5)
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel("share of the truth that the error bar promises to hold")
    ax.set_ylabel("share that it holds")
    # above the axes: every corner inside may hold a curve
    ax.legend(fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return ax
