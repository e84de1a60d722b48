"""Support points for tracks that come without a video: drawn from the tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.windows import WindowPlan

if TYPE_CHECKING:
    from xarray import DataArray

MOST = 576
"""Support points per window, as many as the paper's 24 x 24 grid has."""

CELLS = 24
"""The image is divided into this many cells a side to spread the choice evenly."""


def support_from_tracks(
    xy: np.ndarray, visible: np.ndarray, plan: WindowPlan, frame_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Choose each window's support among the tracks, spread evenly over the image.

    The choice looks at positions and visibility alone, never at the order of the
    tracks.

    Parameters
    ----------
    xy : float array (N, T, 2)
        All tracks, pixels.
    visible : bool array (N, T)
    plan
        The windows.
    frame_size
        Width and height of the frame.

    Returns
    -------
    support_xy : float32 array (W, M, K, 2)
        NaN where hidden or unused.
    support_visible : bool array (W, M, K)
        M is the largest number of points that any window has, at most `MOST`.
    """
    # window by window: the candidates of all together would not fit
    chosen = [
        _chosen(_candidates(xy, visible, steps), frame_size) for steps in plan.frames
    ]
    return _packed(chosen, max(1, max(len(c) for c in chosen)))


def proposals(
    xy: np.ndarray, visible: np.ndarray, plan: WindowPlan
) -> list[np.ndarray]:
    """Give each window the tracks seen at least twice in it.

    Parameters
    ----------
    xy, visible, plan
        As in `support_from_tracks`.

    Returns
    -------
    list of float32 array (candidate, K, 2)
        One array a window; NaN where hidden.
    """
    return [_candidates(xy, visible, steps) for steps in plan.frames]


def _candidates(xy: np.ndarray, visible: np.ndarray, steps: np.ndarray) -> np.ndarray:
    there = steps >= 0
    seen = np.zeros((len(visible), len(steps)), bool)
    seen[:, there] = visible[:, steps[there]]
    index = np.flatnonzero(seen.sum(1) >= min(2, there.sum()))
    places = xy[np.ix_(index, np.maximum(steps, 0))].astype(np.float32)
    places[~seen[index]] = np.nan
    return places


def merged(
    parts: Sequence[list[np.ndarray]], frame_size: tuple[int, int]
) -> list[np.ndarray]:
    """Join the proposals of several groups of tracks, less those that have no chance.

    However groups are joined, `pack` chooses the same in the end.

    Parameters
    ----------
    parts
        What `proposals` or this gave for other tracks each.
    frame_size
        Width and height of the frame.
    """
    joined = []
    for arrays in zip(*parts, strict=True):
        places = np.concatenate(arrays)
        order, turn = _ranked(places, frame_size)
        if len(order) > MOST:
            # places beyond the last turn can only fall further behind
            order = order[turn <= turn[MOST - 1]]
        joined.append(places[order])
    return joined


def pack(found: list[np.ndarray], frame_size: tuple[int, int], size: int) -> np.ndarray:
    """Choose from proposals: support_xy (W, size, K, 2), NaN where hidden or unused."""
    return _packed([_chosen(places, frame_size) for places in found], size)[0]


def _chosen(places: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    best = places[_ranked(places, frame_size)[0][:MOST]]
    # in order of position, so that even rounding does not depend on the tracks' order
    _, first = _first_places(best)
    return best[np.lexsort((first[:, 1], first[:, 0]))]


def _packed(chosen: list[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    support_xy = np.full((len(chosen), size, *chosen[0].shape[1:]), np.nan, np.float32)
    for w, places in enumerate(chosen):
        support_xy[w, : len(places)] = places
    return support_xy, np.asarray(np.isfinite(support_xy).all(-1))


def _first_places(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In how many steps each candidate is seen, and where it is first seen."""
    seen = np.isfinite(places).all(-1)
    first = seen.argmax(1)
    return seen.sum(1), places[np.arange(len(places)), first].astype(np.float64)


def _ranked(
    places: np.ndarray, frame_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates, best first, and the turn of each in its cell of the image.

    The longest seen of each cell first, then the second of each cell, and so on.
    """
    count, place = _first_places(places)
    cell = np.floor(place / np.asarray(frame_size, float) * CELLS).clip(0, CELLS - 1)
    cell = np.nan_to_num(cell)  # only where what is seen has no place: refused later
    key = (cell[:, 1] * CELLS + cell[:, 0]).astype(np.int64)
    order = np.lexsort((place[:, 1], place[:, 0], -count, key))
    sorted_key = key[order]
    turn = np.arange(len(order)) - np.searchsorted(sorted_key, sorted_key)
    best = np.lexsort((place[order, 1], place[order, 0], turn))
    return order[best], turn[best]


def lazy_support(
    xy: DataArray,
    visible: DataArray,
    plan: WindowPlan,
    frame_size: tuple[int, int],
    size: int,
) -> DataArray:
    """Draw support from tracks in many chunks, none of which is held for the others.

    Parameters
    ----------
    xy, visible
        Dask-backed, (track, time, coord) and (track, time).
    plan
        Windows whose frames count along their time.
    frame_size
        Width and height of the frame.
    size
        Support points of each window; places that are not used are hidden points.

    Returns
    -------
    float32 DataArray (window, support, step, coord)
        In one chunk; NaN where hidden or unused.
    """
    import dask.array as da
    import xarray as xr
    from dask.delayed import delayed

    propose = delayed(partial(proposals, plan=plan), pure=True)
    join = delayed(partial(merged, frame_size=frame_size), pure=True)
    last = delayed(partial(pack, frame_size=frame_size, size=size), pure=True)
    level = [
        propose(*(a.data.to_delayed().item() for a in block))
        for block in _track_blocks(xy, visible)
    ]
    while len(level) > 1:  # a tree, so that few of its nodes are held at once
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [join(pair) if len(pair) > 1 else pair[0] for pair in pairs]
    chosen = last(level[0])
    shape = (len(plan), size, plan.frames.shape[1], 2)
    values = da.from_delayed(chosen, shape, dtype=np.float32)
    return xr.DataArray(values, dims=("window", "support", "step", "coord"))


def _track_blocks(
    xy: DataArray, visible: DataArray
) -> Iterator[tuple[DataArray, DataArray]]:
    """Chunks of tracks, whole in time and coord."""
    begin = 0
    for n in xy.chunksizes["track"]:
        rows = slice(begin, begin + n)
        yield xy.isel(track=rows).chunk(-1), visible.isel(track=rows).chunk(-1)
        begin += n
