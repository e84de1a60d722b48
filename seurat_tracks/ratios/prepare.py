"""What all tracks share: windows with their support, and the model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SchemaError
from seurat_tracks.ratios.settings import Settings, known_camera
from seurat_tracks.schema import cut_positions
from seurat_tracks.windows import (
    WindowPlan,
    plan_from_starts,
    plan_windows,
    split_windows,
    window_piece,
)

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.model.pretrained import Pretrained
    from seurat_tracks.model.speed import Precision

PIECE_FRAMES = 1024
"""Frames in which the windows of one lazy task begin, about."""

_LARGE = 2**28
"""Bytes of lazy tracks from which it is better to read them twice than to hold them."""


@dataclass(frozen=True)
class Prepared:
    """All that lifting needs beside the tracks: windows with their support, settings.

    ``pieces`` and ``support`` belong together: windows by number, and
    (window, support, step, coord) of these.
    """

    settings: Settings
    info: Pretrained
    plan: WindowPlan
    pieces: list[np.ndarray]
    support: list[tuple[xr.DataArray, xr.DataArray]]


def prepare(
    ds: xr.Dataset,
    model: str | os.PathLike[str],
    device: str,
    *,
    fuse: Any = "windows",
    strides: Sequence[int] | None = None,
    iterations: int | None = None,
    precision: Precision = "auto",
    compile: bool = False,
    progress: bool | None = None,
    support: list[xr.DataArray] | None = None,
) -> Prepared:
    """Plan the windows of tracks that were validated, lazily if they are lazy.

    Parameters
    ----------
    ds
        All tracks.
    device
        A torch device of those that will do the work.
    model, fuse, strides, iterations, precision, compile, progress
        As for `seurat_tracks.lift.depth_ratio`.
    support
        The places of `Prepared.support` as they were drawn earlier from the same lazy
        tracks; None draws them.
    """
    from seurat_tracks.model.pretrained import find_weights, load_model, name_anywhere
    from seurat_tracks.model.speed import resolve_precision

    path = find_weights(model)
    info = load_model(path)
    cuts = cut_positions(ds)
    frame_size = tuple(int(v) for v in ds.attrs["frame_size"])
    settings = Settings(
        weights=name_anywhere(path, info),
        digest=info.hash,
        device=device,
        fuse=fuse,
        iterations=iterations,
        frame_size=(frame_size[0], frame_size[1]),
        cuts=cuts,
        intrinsics=known_camera(ds),
        progress=progress if ds["xy"].chunks is None else False,
        precision=resolve_precision(precision, device),
        compiled=compile,
    )
    plan, pieces, pairs = _support(
        ds, info, cuts, strides, fuse, settings.frame_size, support
    )
    return Prepared(settings, info, plan, pieces, pairs)


def _support(
    ds: xr.Dataset,
    model: Pretrained,
    cuts: tuple[int, ...],
    strides: Sequence[int] | None,
    fuse: str,
    frame_size: tuple[int, int],
    drawn: list[xr.DataArray] | None,
) -> tuple[WindowPlan, list[np.ndarray], list[tuple[xr.DataArray, xr.DataArray]]]:
    """Windows with their support: the Dataset's own, or drawn from its tracks.

    In pieces of time for lazy tracks, else in one.
    """
    import xarray as xr

    from seurat_tracks.cameras.camera import straight
    from seurat_tracks.support import MOST, lazy_support, support_from_tracks

    T, length = ds.sizes["time"], model.config.window
    lazy = ds["xy"].chunks is not None

    def cut(plan: WindowPlan) -> list[np.ndarray]:
        return split_windows(plan, T, PIECE_FRAMES if lazy else T)

    dims = ("window", "support", "step", "coord")
    if "support_xy" in ds:
        if ds.sizes["step"] != length:
            raise SchemaError(
                f"model {model.name!r} sees windows of {length} frames, but the "
                f"support was tracked through windows of {ds.sizes['step']}; take "
                "another model, or let support be drawn from the tracks: "
                'ds.drop_dims("window")'
            )
        start = np.searchsorted(ds["time"].values, ds["window_start"].values)
        stride = ds["window_stride"].values
        keep = np.arange(len(start))
        if fuse == "chain":
            keep = np.flatnonzero(stride == 1)
        support_xy = _bare(ds["support_xy"].transpose(*dims))
        support_visible = _bare(ds["support_visible"].transpose(*dims[:-1]))
        support_xy, support_visible = straight(support_xy, support_visible, ds)
        plan = plan_from_starts(start[keep], stride[keep], T, length=length, cuts=cuts)
        pieces = cut(plan)
        support = [
            (support_xy.isel(window=keep[i]), support_visible.isel(window=keep[i]))
            for i in pieces
        ]
        if support_xy.chunks is not None:
            support = [(a.chunk(-1), b.chunk(-1)) for a, b in support]
        return plan, pieces, support

    strides = (1,) if fuse == "chain" else strides
    plan = plan_windows(T, length=length, strides=strides, cuts=cuts)
    pieces = cut(plan)
    if drawn is not None:
        return plan, pieces, [(a, a.notnull().all("coord")) for a in drawn]
    xy, visible = straight_tracks(ds)
    if not lazy:
        pair = support_from_tracks(xy.values, visible.values, plan, frame_size)
        return (
            plan,
            pieces,
            [(xr.DataArray(pair[0], dims=dims), xr.DataArray(pair[1], dims=dims[:-1]))],
        )
    both = xr.Dataset({"xy": xy, "visible": visible})
    xy, visible = (v for v in read_again(both).data_vars.values())
    support = []
    for index in pieces:
        part, frames = window_piece(plan, index)
        places = lazy_support(
            xy.isel(time=frames),
            visible.isel(time=frames),
            part,
            frame_size,
            min(MOST, xy.sizes["track"]),
        )
        support.append((places, places.notnull().all("coord")))
    return plan, pieces, support


def straight_tracks(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Positions and visibility with the lens undone; lazy ones in chunks of tracks."""
    from seurat_tracks.cameras.camera import straight

    xy = _bare(ds["xy"].transpose("track", "time", "coord"))
    visible = _bare(ds["visible"].transpose("track", "time"))
    xy, visible = straight(xy, visible, ds)
    if xy.chunks is not None:
        xy = xy.chunk({"coord": -1})
        visible = visible.chunk({"track": xy.chunksizes["track"]})
    return xy, visible


def _bare(array: xr.DataArray) -> xr.DataArray:
    return array.drop_vars(list(array.coords))


def read_again(arrays: Any) -> Any:
    """Detach large lazy arrays from others that read the same chunks.

    Dask would otherwise hold every chunk from its first use to its last.
    """
    from dask.graph_manipulation import clone

    return clone(arrays) if arrays.nbytes > _LARGE else arrays
