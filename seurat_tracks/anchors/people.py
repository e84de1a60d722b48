"""What a person knows about a scene, as constraints on one common factor of depth."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import positive_metres
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Distance:
    """Known distance of two tracks, in one frame or in all (`frame` None)."""

    tracks: tuple[Hashable, ...]
    metres: float
    frame: int | None = None


@dataclass(frozen=True)
class Size:
    """Known largest extent of a thing that several tracks are on."""

    tracks: tuple[Hashable, ...]
    metres: float


@dataclass(frozen=True)
class Depth:
    """Known depth of a track, in one frame or as its median (`frame` None)."""

    tracks: tuple[Hashable, ...]
    metres: float
    frame: int | None = None


Statement = Distance | Size | Depth


def read_statements(distance: Any, size: Any, known: Any) -> list[Statement]:
    """Read what `seurat_tracks.anchors.anchor_by` takes.

    Raises
    ------
    DepthError
        If any is malformed; lists every fault.
    """
    faults: list[str] = []
    found: list[Statement] = []
    for name, given in (("distance", distance), ("size", size), ("known", known)):
        if given is None:
            continue
        if not isinstance(given, Mapping) or not given:
            faults.append(f"{name} must be a non-empty dict, {_FORMS[name]}")
            continue
        for key, value in given.items():
            try:
                metres = positive_metres(value, f"{name} of {key!r}")
                found.append(_statement(name, key, metres))
            except DepthError as error:
                faults.append(str(error))
    if faults:
        raise DepthError("; ".join(faults))
    return found


_FORMS = {
    "distance": "such as {(3, 7): 0.42} or {(3, 7, frame): 0.42}",
    "size": "such as {(3, 7, 9, 12): 0.42}, ids of tracks on one rigid thing",
    "known": "such as {3: 2.4} or {(3, frame): 2.4}",
}


def _statement(name: str, key: Any, metres: float) -> Statement:
    parts = key if isinstance(key, tuple) else (key,)
    if name == "known" and len(parts) in (1, 2):
        return Depth(parts[:1], metres, *parts[1:])
    if name == "distance" and len(parts) in (2, 3) and parts[0] != parts[1]:
        return Distance(parts[:2], metres, *parts[2:])
    if name == "size" and len(parts) >= 2 and len(set(parts)) == len(parts):
        return Size(parts, metres)
    raise DepthError(f"{name}: key {key!r} is not understood, {_FORMS[name]}")


def check_statements(
    ds: xr.Dataset, statements: list[Statement], more: list[Hashable]
) -> list[Hashable]:
    """Ids that are needed, in order; refuses what is not in the Dataset.

    Raises
    ------
    DepthError
        If an id or a frame is not there, or points are hidden where they are needed
        (the latter where looking is no work); lists every fault.
    """
    ids = [t for s in statements for t in s.tracks] + list(more)
    ids = list(dict.fromkeys(ids))
    row = {v: i for i, v in enumerate(ds["track"].values.tolist())}
    column = {v: i for i, v in enumerate(ds["time"].values.tolist())}
    faults = [f"no track {t!r}" for t in ids if t not in row]
    frames = [s.frame for s in statements if not isinstance(s, Size)]
    faults += [f"no frame {f!r}" for f in frames if f is not None and f not in column]
    if faults:
        raise DepthError(
            f"{'; '.join(faults)}; track ids here are like {list(row)[:3]}, frames "
            f"{min(column)} to {max(column)}"
        )
    if ds["visible"].chunks is None:
        visible = ds["visible"].transpose("track", "time").values
        for s in statements:
            seen = visible[[row[t] for t in s.tracks]]
            together = seen.sum(0) >= (2 if isinstance(s, Size) else len(s.tracks))
            frame = None if isinstance(s, Size) else s.frame
            if not (together.any() if frame is None else together[column[frame]]):
                where = "any frame" if frame is None else f"frame {frame}"
                faults.append(
                    f"tracks {', '.join(map(repr, s.tracks))} are not seen in {where}"
                    + (" together" if len(s.tracks) > 1 else "")
                )
    if faults:
        raise DepthError("; ".join(faults))
    return ids


def log_factors(
    statements: list[Statement],
    ids: list[Hashable],
    time: np.ndarray,
    xyz: np.ndarray,
    visible: np.ndarray,
) -> np.ndarray:
    """Log of the factor that each statement asks for.

    Parameters
    ----------
    ids
        Tracks of the rows of the arrays.
    time : int array (time,)
    xyz : float array (track, time, 3)
        Positions before the factor.
    visible : bool array (track, time)

    Returns
    -------
    float64 array (statement,)
        Median over the frames in which the points are seen.

    Raises
    ------
    DepthError
        If a statement's points have no position in any frame that it is about.
    """
    row = {t: i for i, t in enumerate(ids)}
    at = np.where(visible[..., None], xyz, np.nan).astype(np.float64)
    out = np.empty(len(statements))
    for n, s in enumerate(statements):
        rows = [row[t] for t in s.tracks]
        found = _found(s, at[rows])
        if not isinstance(s, Size) and s.frame is not None:
            found = found[time == s.frame]
        found = found[np.isfinite(found) & (found > 0)]
        if not len(found):
            raise DepthError(
                f"{s}: its tracks have no position together in the frames it is about"
            )
        out[n] = np.log(s.metres) - np.log(np.median(found))
    return out


def _found(s: Statement, at: np.ndarray) -> np.ndarray:
    """Measure what a statement is about, before the factor, by frame (time,)."""
    if isinstance(s, Depth):
        return at[0, :, 2]
    pairs = list(combinations(range(len(at)), 2))
    first, second = (list(v) for v in zip(*pairs, strict=True))
    length = np.linalg.norm(at[first] - at[second], axis=-1)
    if isinstance(s, Distance):
        return length[0]
    # a pair's distance is its median over time; the extent is the largest of them
    some = np.isfinite(length).any(1)
    typical = np.nanmedian(length[some], axis=1)
    return np.array([typical.max()]) if len(typical) else np.array([np.nan])
