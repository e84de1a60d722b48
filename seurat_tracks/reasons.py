"""Which tracks and frames to doubt, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks import doubt as steps
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.neighbours import look_around, runs
from seurat_tracks.schema import cut_positions, validate

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["REASONS", "Reason", "flagged", "quality"]


@dataclass(frozen=True)
class Reason:
    """One reason to doubt a track in a frame, or a fact that explains its depth.

    Attributes
    ----------
    bit
        Its bit in the variable `doubt`.
    meaning
        In words.
    doubtful
        Whether it is a doubt; the others are facts.
    """

    bit: int
    meaning: str
    doubtful: bool


ADDED = (
    "doubt",
    "doubtful",
    "reason",
    "score",
    "doubtful_frame",
    "frame_reason",
)
"""What `quality` adds to a Dataset."""

REASONS: dict[str, Reason] = {
    "jump": Reason(1, "the step to here departs from the track's own motion", True),
    "found_again": Reason(
        2, "comes back after long, or elsewhere than its own motion says", True
    ),
    "twin": Reason(4, "coincides with a track from which it was apart", True),
    "implausible": Reason(
        8, "depth departs from its own change by more than its sigma", True
    ),
    "uncertain": Reason(16, "sigma above its limit, or no depth ratio", True),
    "low_confidence": Reason(32, "the tracker's own confidence is low", True),
    "after_cut": Reason(64, "another shot than the reference frame's", False),
    "hidden": Reason(128, "not seen by the tracker", False),
    "outside_frame": Reason(256, "lies outside the frame", False),
    "few_neighbours": Reason(512, "hardly any other track near, and no support", False),
}
"""Every reason of `quality`, by name, the gravest first."""

DOUBTS = sum(reason.bit for reason in REASONS.values() if reason.doubtful)
"""The bits of all doubts together."""

LASTING = REASONS["uncertain"].bit | REASONS["low_confidence"].bit
"""Doubts that count against a track only when they last."""

LASTING_SHARE = 0.1
"""They last when they hold in more than this share of the frames it is seen in."""

IMPLAUSIBLE_RATIO = 0.05
"""A departure of the log depth ratio below this, in one frame, is never implausible."""

IMPLAUSIBLE_SIGMAS = 2.0
"""An implausible departure exceeds so many of the frame's own sigma."""

FRAME_SHARE = 0.5
"""A frame is doubtful when more than this share of its tracks are."""

FRAME_TRACKS = 4
"""With fewer tracks, a frame is not judged."""

_LETTERS = 200


def quality(
    ds: xr.Dataset,
    *,
    sigma_limit: float = 0.2,
    confidence_limit: float = 0.5,
    across_tracks: bool = True,
) -> xr.Dataset:
    """Name doubtful tracks and frames, each with its reason.

    Parameters
    ----------
    ds
        Tracks, lifted or not: reasons that need a depth ratio, a confidence or cuts
        are given where these are there.
    sigma_limit
        A ``depth_ratio_sigma`` above this is uncertain (natural-log units: 0.2 is
        about 20 % of the depth).
    confidence_limit
        A ``confidence`` below this is low.
    across_tracks
        Compare tracks with each other, for `twin` and `few_neighbours`. Lazy tracks
        are then read as a whole where their `doubt` is computed; without it, each
        chunk is judged by itself.

    Returns
    -------
    xr.Dataset
        The Dataset with

        - ``doubt`` (track, time) uint16: a bit for each of `REASONS` that holds, named
          by its attributes ``flag_masks`` and ``flag_meanings``; see `flagged`;
        - ``doubtful`` (track) bool: the track jumps, is found again, has a twin or an
          implausible depth in any frame it is seen in, or is uncertain or of low
          confidence in more than a tenth of them, or is never seen;
        - ``reason`` (track): the doubts with their frames, gravest first; empty where
          there are none;
        - ``score`` (track) float32: share of the frames it is seen in that carry no
          doubt, belong to the reference's shot, and are not past a jump; 0 to 1;
        - ``doubtful_frame`` (time) bool and ``frame_reason`` (time): frames in which
          most tracks are doubtful, or none is seen.

        Lazy where the tracks are lazy. `seurat_tracks.doubt_table.quality_table`
        makes a table of it.

    Notes
    -----
    With a lens in the attributes (``distortion``), motion and neighbours are judged
    where a pinhole camera would see the points.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract (values of lazy arrays are not looked at).
    SeuratTracksError
        If a setting makes no sense.
    """
    import xarray as xr

    _check_settings(sigma_limit, confidence_limit, across_tracks)
    validate(ds, values=False)
    names = [name for name in _OWN if name in ds]
    lazy = any(ds[name].chunks is not None for name in names)
    if not lazy:
        validate(ds)
    from seurat_tracks.cameras.camera import straight

    frame_size = tuple(int(v) for v in ds.attrs["frame_size"])
    cuts = cut_positions(ds)
    arrays = [_bare(ds[name]) for name in names]
    if "reference_frame" in ds.coords:
        names.append("reference_frame")
        arrays.append(_bare(ds["reference_frame"]))
    # motion is judged where a pinhole camera would see it
    names += ["straight_xy", "straight_visible"]
    arrays += straight(arrays[0], arrays[1], ds)
    if lazy:
        tracks = _track_chunks(arrays)
        arrays = [a.chunk(-1).chunk({"track": tracks}) for a in arrays]
    core = [list(a.dims[1:]) for a in arrays]
    doubt = xr.apply_ufunc(
        _own_doubts,
        *arrays,
        kwargs={
            "names": tuple(names),
            "time": ds["time"].values,
            "frame_size": frame_size,
            "cuts": cuts,
            "sigma_limit": sigma_limit,
            "confidence_limit": confidence_limit,
        },
        input_core_dims=core,
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[np.uint16],
    )
    xy, visible = arrays[-2:]
    if across_tracks:
        around = xr.apply_ufunc(
            _doubts_across,
            xy.chunk(-1) if lazy else xy,
            visible.chunk(-1) if lazy else visible,
            kwargs={"frame_size": frame_size, "supported": "support_xy" in ds},
            input_core_dims=[["track", "time", "coord"], ["track", "time"]],
            output_core_dims=[["track", "time"]],
            dask="parallelized",
            output_dtypes=[np.uint16],
        )
        doubt = doubt | (around.chunk({"track": tracks}) if lazy else around)
    out = ds.assign(doubt=doubt.transpose("track", "time"))
    out["doubt"].attrs = {
        "long_name": "reasons to doubt, and facts that explain",
        "flag_masks": [reason.bit for reason in REASONS.values()],
        "flag_meanings": " ".join(REASONS),
        "sigma_limit": float(sigma_limit),
        "confidence_limit": float(confidence_limit),
    }
    return _add_verdicts(out, cuts)


def flagged(ds: xr.Dataset, *reasons: str) -> xr.DataArray:
    """Say where any of some reasons holds.

    Parameters
    ----------
    ds
        Dataset with `doubt`, as `quality` gives it.
    reasons
        Names out of `REASONS`; all that are doubts when none is named.

    Returns
    -------
    xr.DataArray
        Bool (track, time); lazy where `doubt` is.

    Raises
    ------
    SeuratTracksError
        If there is no `doubt`, or no such reason.
    """
    unknown = [name for name in reasons if name not in REASONS]
    faults = []
    if unknown:
        faults.append(f"there is no reason {unknown}; choose from {list(REASONS)}")
    if "doubt" not in ds:
        faults.append("the Dataset has no doubt; make it with ds.seurat.quality()")
    if faults:
        raise SeuratTracksError("; ".join(faults))
    bits = sum(REASONS[name].bit for name in set(reasons)) if reasons else DOUBTS
    return (ds["doubt"] & np.uint16(bits)) > 0


_OWN = ("xy", "visible", "confidence", "log_depth_ratio", "depth_ratio_sigma")


def _check_settings(sigma_limit: Any, confidence_limit: Any, across: Any) -> None:
    """Refuse settings that make no sense, all at once."""
    faults = []
    if not _is_number(sigma_limit) or not sigma_limit > 0:
        faults.append(f"sigma_limit must be a positive number, got {sigma_limit!r}")
    if not _is_number(confidence_limit) or not 0 <= confidence_limit <= 1:
        faults.append(f"confidence_limit must be from 0 to 1, got {confidence_limit!r}")
    if not isinstance(across, bool):
        faults.append(f"across_tracks must be True or False, got {across!r}")
    if faults:
        raise SeuratTracksError("; ".join(faults))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _bare(array: xr.DataArray) -> xr.DataArray:
    return array.drop_vars(list(array.coords))


def _track_chunks(arrays: Sequence[xr.DataArray]) -> tuple[int, ...]:
    """Chunks along tracks of the first array that has any."""
    return next(a.chunksizes["track"] for a in arrays if a.chunks is not None)


def _own_doubts(
    *arrays: np.ndarray,
    names: tuple[str, ...],
    time: np.ndarray,
    frame_size: tuple[int, int],
    cuts: tuple[int, ...],
    sigma_limit: float,
    confidence_limit: float,
) -> np.ndarray:
    """Reasons that a track gives by itself; uint16 (N, T)."""
    given = dict(zip(names, arrays, strict=True))
    xy, visible = given["xy"], given["visible"]
    N, T = visible.shape
    out = np.zeros((N, T), np.uint16)

    def mark(name: str, where: Any) -> None:
        out[where] |= np.uint16(REASONS[name].bit)

    if N == 0:
        return out
    doubts = steps.suspicious_steps(
        given["straight_xy"], given["straight_visible"], frame_size, cuts
    )
    mark("jump", doubts.jump)
    mark("found_again", doubts.found_again)
    mark("hidden", ~visible)
    with np.errstate(invalid="ignore"):
        beyond = (xy < -0.5) | (xy > np.asarray(frame_size) - 0.5)
        mark("outside_frame", beyond.any(-1))
        if "confidence" in given:
            mark("low_confidence", visible & (given["confidence"] < confidence_limit))
    start = visible.argmax(1)
    if "reference_frame" in given:
        start = np.searchsorted(time, given["reference_frame"]).clip(0, T - 1)
    shot = np.searchsorted(np.sort(np.asarray(cuts, int)), np.arange(T), side="right")
    other = np.not_equal.outer(shot[start], shot)
    mark("after_cut", other)
    if "log_depth_ratio" in given:
        ratio = given["log_depth_ratio"]
        sigma = given.get("depth_ratio_sigma", np.full_like(ratio, np.nan))
        with np.errstate(invalid="ignore"):
            mark("uncertain", (sigma > sigma_limit) | (np.isnan(ratio) & ~other))
        mark("implausible", _implausible(ratio, sigma))
    return out


def _implausible(ratio: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Where the ratio leaves its own change by more than its own error allows."""
    known = np.isfinite(ratio)
    path = steps.departures(ratio[..., None], known, IMPLAUSIBLE_RATIO)
    found = np.zeros(ratio.shape, bool)
    with np.errstate(invalid="ignore"):
        departed = (path.size > IMPLAUSIBLE_RATIO) & (
            path.size > steps.TURN * path.turn
        )
    row, step = np.nonzero(departed & (path.frames == 1))
    size, frame = path.size[row, step], path.frame[row, step]
    error = np.fmax(sigma[row, frame], sigma[row, frame - 1])
    bar = steps.TIMES * steps.typical(path.spread, row, step)
    bar = np.fmax(bar, IMPLAUSIBLE_SIGMAS * np.nan_to_num(error))
    found[row[size > bar], frame[size > bar]] = True
    return found


def _doubts_across(
    xy: np.ndarray, visible: np.ndarray, *, frame_size: tuple[int, int], supported: bool
) -> np.ndarray:
    """Reasons that take other tracks to see; uint16 (N, T)."""
    twin, few = look_around(xy, visible, frame_size)
    out = np.where(twin, REASONS["twin"].bit, 0)
    if not supported:
        out |= np.where(few, REASONS["few_neighbours"].bit, 0)
    return out.astype(np.uint16)


def _add_verdicts(out: xr.Dataset, cuts: tuple[int, ...]) -> xr.Dataset:
    """Sum `doubt` up: by track and by frame."""
    import xarray as xr

    doubt = _bare(out["doubt"])
    visible = _bare(out["visible"])
    time = out["time"].values
    attrs = out["doubt"].attrs
    if "reference_frame" in out.coords:
        reference = _bare(out["reference_frame"])
    else:
        reference = xr.DataArray(np.full(out.sizes["track"], time[0]), dims="track")
    if doubt.chunks is not None:
        chunks = {"track": doubt.chunksizes["track"]}
        visible = visible.chunk(chunks | {"time": -1})
        reference = reference.chunk(chunks)
    doubtful, score, reason = xr.apply_ufunc(
        _judge_tracks,
        doubt,
        visible,
        reference,
        kwargs={
            "time": time,
            "limits": (attrs["sigma_limit"], attrs["confidence_limit"]),
        },
        input_core_dims=[["time"], ["time"], []],
        output_core_dims=[[], [], []],
        dask="parallelized",
        output_dtypes=[np.dtype(bool), np.dtype(np.float32), np.dtype(f"U{_LETTERS}")],
    )
    doubtful.attrs = {"long_name": "some of the track's depths are not to be trusted"}
    reason.attrs = {"long_name": "doubts, with their frames"}
    score.attrs = {
        "units": "1",
        "long_name": "share of the frames the track is seen in that can be trusted",
    }
    whole = {"track": -1, "time": -1}
    frame_reason = xr.apply_ufunc(
        _judge_frames,
        doubt.chunk(whole) if doubt.chunks is not None else doubt,
        visible.chunk(whole) if doubt.chunks is not None else visible,
        input_core_dims=[["track", "time"], ["track", "time"]],
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[np.dtype(f"U{_LETTERS}")],
    )
    frame_reason.attrs = {"long_name": "why the frame is doubtful"}
    doubtful_frame = frame_reason != ""
    doubtful_frame.attrs = {"long_name": "most tracks are doubtful here"}
    return out.assign(
        doubtful=doubtful,
        reason=reason,
        score=score,
        doubtful_frame=doubtful_frame,
        frame_reason=frame_reason,
    )


def _judge_tracks(
    doubt: np.ndarray,
    visible: np.ndarray,
    reference: np.ndarray,
    *,
    time: np.ndarray,
    limits: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Doubtful, score and reason (N,) of each track."""
    N, T = doubt.shape
    seen = visible.sum(1)
    count = np.maximum(seen, 1)
    heavy = visible & ((doubt & (DOUBTS & ~LASTING)) > 0)
    light = visible & ((doubt & LASTING) > 0)
    doubtful = heavy.any(1) | (light.sum(1) > LASTING_SHARE * count) | (seen == 0)
    jumps = np.cumsum((doubt & REASONS["jump"].bit) > 0, axis=1)
    at = np.searchsorted(time, reference).clip(0, T - 1)
    past = jumps != np.take_along_axis(jumps, at[:, None], 1)
    bad = DOUBTS | REASONS["after_cut"].bit
    trusted = visible & ((doubt & bad) == 0) & ~past
    score = (trusted.sum(1) / count).astype(np.float32)
    reason = np.full(N, "", f"U{_LETTERS}")
    for i in np.flatnonzero((heavy | light).any(1)):
        reason[i] = _in_words(doubt[i, visible[i]], time[visible[i]], limits)
    reason[seen == 0] = "never seen"
    return doubtful, score, reason


def _in_words(doubt: np.ndarray, time: np.ndarray, limits: tuple[float, float]) -> str:
    """Name the doubts of one track on the frames it is seen in."""
    words = {
        "jump": "jump",
        "found_again": "found again",
        "twin": "coincides with another track",
        "implausible": "depth leaps",
        "uncertain": f"sigma above {limits[0]:g}",
        "low_confidence": f"confidence below {limits[1]:g}",
    }
    parts = []
    for name, phrase in words.items():
        held = (doubt & REASONS[name].bit) > 0
        if held.any():
            parts.append(f"{phrase} {_when(held, time)}")
    text = "; ".join(parts)
    return text if len(text) <= _LETTERS else text[: _LETTERS - 2] + " …"


def _when(held: np.ndarray, time: np.ndarray) -> str:
    """Say in which frames something holds: its first three runs."""
    if len(held) > 1 and held.all():
        return "throughout"
    _, begin, end = runs(held[None])
    pieces = [
        f"{time[b]}" if e == b + 1 else f"{time[b]}-{time[e - 1]}"
        for b, e in zip(begin[:3], end[:3], strict=True)
    ]
    if len(begin) == 1 and end[0] == len(held) and end[0] > begin[0] + 1:
        return f"from {time[begin[0]]} on"
    more = f" and {len(begin) - 3} more" if len(begin) > 3 else ""
    return "at " + ", ".join(pieces) + more


def _judge_frames(doubt: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Why each frame is doubtful (T,); empty where it is not."""
    seen = visible.sum(0)
    leap = REASONS["jump"].bit | REASONS["found_again"].bit
    before = np.zeros_like(visible)
    before[:, 1:] = np.logical_or.accumulate(visible, axis=1)[:, :-1]
    able = (visible & before).sum(0)
    leaps = (visible & ((doubt & leap) > 0)).sum(0)
    doubts = (visible & ((doubt & DOUBTS) > 0)).sum(0)
    out = np.full(len(seen), "", f"U{_LETTERS}")
    most = (doubts > FRAME_SHARE * seen) & (seen >= FRAME_TRACKS)
    out[most] = "most tracks are doubtful"
    most = (leaps > FRAME_SHARE * able) & (able >= FRAME_TRACKS)
    out[most] = "most tracks jump: a cut, frames left out, or a jerk of the camera"
    out[seen == 0] = "no track is seen"
    return out
