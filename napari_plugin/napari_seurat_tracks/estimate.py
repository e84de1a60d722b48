"""How long a lift will take, and what that number rests on."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seurat_tracks.lifting import Job, with_frame_size

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.depth.base import DepthSource
    from seurat_tracks.windows import WindowPlan

SAMPLE = 12
"""Frames that are measured."""

DOCUMENTED = 0.14
"""Seconds of one core a frame, by docs/trackers.md: `lk`, 1280 x 720, 576 points."""

_GUIDES = 3  # grids at a time that lead weak points on the way back


@dataclass(frozen=True)
class Estimate:
    """Seconds that each part of a lift will take.

    Attributes
    ----------
    parts
        Seconds by what is done.
    rests_on
        What the numbers come from, in words.
    """

    parts: dict[str, float]
    rests_on: str

    @property
    def seconds(self) -> float:
        """All parts together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """Say how long, what of, and what that rests on."""
        parts = ", ".join(f"{what} {duration(s)}" for what, s in self.parts.items())
        return f"about {duration(self.seconds)} ({parts}): {self.rests_on}"


def duration(seconds: float) -> str:
    """Put seconds as people say them.

    Examples
    --------
    >>> duration(0.3), duration(42), duration(200), duration(7500)
    ('1 s', '42 s', '3 min 20 s', '2 h 5 min')
    """
    whole = max(1, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def documented(tracker: str, frames: int) -> Estimate | None:
    """Guess the tracking time at once, for the tracker with a documented rate.

    Parameters
    ----------
    tracker
        Its name.
    frames
        Length of the video.

    Returns
    -------
    Estimate or None
        None for other trackers than `lk`.
    """
    if tracker != "lk":
        return None
    return Estimate(
        {"tracking": DOCUMENTED * frames},
        "processor time at the rate in docs/trackers.md (1280 x 720); lifting comes "
        "on top",
    )


def measured(job: Job, source: DepthSource | None) -> Estimate:
    """Do the job on a few frames, and say how long all of them will take.

    Parameters
    ----------
    job
        What is to be done; `seurat_tracks` refuses what does not fit.
    source
        Its depth source, from `lifting.prepare`. Frames that a depth model sees here
        it need not see again.

    Returns
    -------
    Estimate
    """
    from seurat_tracks.depth.frames import FrameDepth
    from seurat_tracks.lift import depth_ratio
    from seurat_tracks.schema import cut_positions
    from seurat_tracks.windows import plan_windows

    parts: dict[str, float] = {}
    if job.tracks is None:
        some, parts["tracking"] = _track_some(job)
        frames = job.video.sizes["time"]  # type: ignore[union-attr]
        n = some.sizes["track"]
        windows = len(plan_windows(frames))
    else:
        ds = with_frame_size(job)
        some = first_frames(ds, SAMPLE)
        frames, n = ds.sizes["time"], ds.sizes["track"]
        windows = ds.sizes.get("window") or len(
            plan_windows(frames, cuts=cut_positions(ds))
        )
    used = some.sizes["time"]
    # the first pass also loads the network and warms it up
    depth_ratio(some, tracks=some["track"].values[:1], device=job.device)
    begin = perf_counter()
    depth_ratio(some, model=job.model, device=job.device)
    each = (perf_counter() - begin) / (
        some.sizes.get("window") or len(plan_windows(used))
    )
    parts["lifting"] = each * windows * n / some.sizes["track"]
    rests = f"measured here on {used} of {frames} frames"
    if isinstance(source, FrameDepth):
        begin = perf_counter()
        looked = min(2, frames)
        source.evaluate(range(looked))
        share = frames / source.every
        parts["depth model"] = (perf_counter() - begin) / looked * share
        rests += f", the depth model on {looked}"
    return Estimate(parts, rests)


def _track_some(job: Job) -> tuple[xr.Dataset, float]:
    """Track the first frames; the tracks, and seconds that the whole video takes."""
    from seurat_tracks.trackers import grid, parse_queries, track
    from seurat_tracks.trackers.cuts import find_cuts
    from seurat_tracks.windows import plan_windows

    video = job.video
    assert video is not None
    size = tuple(int(v) for v in video.attrs["frame_size"])
    if job.queries is None:
        xy = grid(job.grid, size)
        at = np.zeros(len(xy), int)
    else:
        points = parse_queries(job.queries, video)
        xy, at = points.xy, points.frame
    frames = video.sizes["time"]
    clip = video.isel(time=slice(0, SAMPLE))
    used = clip.sizes["time"]
    begin = perf_counter()
    find_cuts(clip)
    looking = perf_counter() - begin
    begin = perf_counter()
    some = track(
        clip, xy, job.tracker, cuts=None, progress=False, **job.tracker_settings
    )
    following = perf_counter() - begin
    all_work = work(plan_windows(frames), frames, at)
    some_work = work(plan_windows(used), used, np.zeros(len(xy), int))
    return some, looking * frames / used + following * all_work / some_work


def work(plan: WindowPlan, frames: int, at: Any) -> float:
    """Points that a tracker moves on, over all frames, when none is lost.

    Parameters
    ----------
    plan
        Windows in which support is followed, 24 x 24 points from each start.
    frames
        Length of the video.
    at : int array (query,)
        Positions of the queries' frames.

    Returns
    -------
    float
        Points times frames, forwards and backwards.

    Examples
    --------
    >>> from seurat_tracks.windows import plan_windows
    >>> work(plan_windows(8), 8, [0, 0])
    4624.0
    """
    from seurat_tracks.trackers.base import SUPPORT_GRID

    at = np.asarray(at)
    points = SUPPORT_GRID**2
    spans = [int(plan.frames[plan.start == s].max()) - s + 1 for s in set(plan.start)]
    forwards = (frames - at).sum() + points * sum(spans)
    back = int(at.max(initial=0))
    return float(forwards + at.sum() + _GUIDES * points * back)


def first_frames(ds: xr.Dataset, n: int) -> xr.Dataset:
    """Take a few neighbouring frames, where most tracks are seen, with support."""
    n = min(n, ds.sizes["time"])
    seen = ds["visible"].transpose("track", "time").values.sum(0)
    held = np.convolve(seen, np.ones(n), "valid")
    begin = int(held.argmax())
    part = ds.isel(time=slice(begin, begin + n))
    if "support_xy" in ds:
        time = ds["time"].values
        start = np.searchsorted(time, ds["window_start"].values)
        end = start + ds["window_stride"].values * (ds.sizes["step"] - 1)
        inside = np.flatnonzero((start >= begin) & (end < begin + n))
        part = part.isel(window=inside) if len(inside) else part.drop_dims("window")
    seen = part["visible"].transpose("track", "time").values.any(1)
    part = part.isel(track=np.flatnonzero(seen))
    cuts = [c for c in ds.attrs.get("cuts") or [] if c in part["time"].values]
    keep = [v for v in part.coords if v not in ("query_frame", "reference_frame")]
    part = part.drop_vars([c for c in part.coords if c not in keep])
    return part.assign_attrs(cuts=cuts).compute(scheduler="synchronous")
