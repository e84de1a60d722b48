"""From what the Lift widget holds to lifted tracks, without Qt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.depth.base import DepthSource


@dataclass(frozen=True)
class Depth:
    """A depth source as it is chosen.

    Attributes
    ----------
    kind
        "none", "constant", "file" or "model".
    value
        Metres, a path, or the name or folder of a model.
    download
        Whether a model's weights may be fetched.
    """

    kind: str = "none"
    value: Any = None
    download: bool = False


@dataclass(frozen=True)
class Job:
    """Everything that a lift depends on.

    Attributes
    ----------
    video
        DataArray (time, y, x, rgb), or None where there are tracks.
    tracks
        Tracks to lift, or None to track the video.
    queries
        Points to follow, as `seurat_tracks.track` takes them; None for a grid.
    grid
        Points along each side of the grid.
    tracker, tracker_settings
        As for `seurat_tracks.trackers.get_tracker`.
    depth
        Where metres come from.
    intrinsics
        As for `seurat_tracks.lift.lift3d`.
    anchor
        "robust" or "median".
    model, device
        As for `seurat_tracks.lift.depth_ratio`.
    """

    video: xr.DataArray | None = None
    tracks: xr.Dataset | None = None
    queries: Any = None
    grid: int = 24
    tracker: str = "lk"
    tracker_settings: dict[str, Any] = field(default_factory=dict)
    depth: Depth = Depth()
    intrinsics: Any = None
    anchor: Any = "robust"
    model: str = "auto"
    device: str = "auto"


def settings_from(text: str) -> dict[str, Any]:
    """Read settings of a tracker: NAME=VALUE, separated by semicolons.

    Examples
    --------
    >>> settings_from("repo=~/co-tracker; piece=40")
    {'repo': '~/co-tracker', 'piece': 40}
    """
    out: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name:
            raise SeuratTracksError(
                f"settings are name=value, separated by semicolons, got {item!r}"
            )
        try:
            out[name] = json.loads(value)
        except ValueError:
            out[name] = value
    return out


def intrinsics_from(text: str) -> Any:
    """Read what is said of the camera.

    Parameters
    ----------
    text
        Nothing; a horizontal field of view in degrees; fx, fy, cx, cy in pixels; or
        the path of a calibration file.

    Examples
    --------
    >>> (
    ...     intrinsics_from("60"),
    ...     intrinsics_from("500, 500, 319.5, 239.5"),
    ...     intrinsics_from(" "),
    ... )
    ({'fov': 60.0}, (500.0, 500.0, 319.5, 239.5), None)
    """
    text = text.strip()
    if not text:
        return None
    try:
        numbers = [float(v) for v in text.rstrip("°").split(",")]
    except ValueError:
        return text
    if len(numbers) == 1:
        return {"fov": numbers[0]}
    if len(numbers) == 4:
        return tuple(numbers)
    raise SeuratTracksError(
        f"the camera is one number (field of view in degrees), four (fx, fy, cx, cy) "
        f"or a file, got {len(numbers)} numbers"
    )


def prepare(job: Job) -> DepthSource | None:
    """Refuse what cannot work before any work; give the depth source.

    Raises
    ------
    SeuratTracksError
        The text says what, and what to do.
    """
    import xarray as xr

    from seurat_tracks.cameras import resolve_camera
    from seurat_tracks.depth import DepthModel, resolve_depth
    from seurat_tracks.model.pretrained import load_model, resolve_device
    from seurat_tracks.schema import validate_for_lift
    from seurat_tracks.trackers import get_tracker, parse_queries

    load_model(job.model)
    device = resolve_device(job.device)
    if job.tracks is not None:
        validate_for_lift(with_frame_size(job), values=False)
        size = with_frame_size(job).attrs["frame_size"]
    elif job.video is None:
        raise SeuratTracksError(
            "there is no video and there are no tracks: open one, or choose its layer"
        )
    else:
        get_tracker(job.tracker, **job.tracker_settings)
        if job.queries is not None:
            parse_queries(job.queries, job.video)
        size = job.video.attrs["frame_size"]
    if job.intrinsics is not None:
        resolve_camera(job.intrinsics, xr.Dataset(attrs={"frame_size": size}))
    depth = job.depth
    if depth.kind == "none":
        return None
    if depth.kind == "constant":
        return resolve_depth(float(depth.value))
    if not str(depth.value or "").strip():
        what = "file or folder of maps" if depth.kind == "file" else "depth model"
        raise SeuratTracksError(f"name the {what}, or choose another depth source")
    if depth.kind == "file":
        return resolve_depth(str(depth.value), affine=True)
    if job.video is None:
        raise SeuratTracksError(
            "a depth model looks at the video's frames: choose the video's layer"
        )
    model = DepthModel(str(depth.value), device=device, download=depth.download)
    return resolve_depth(model, video=job.video, affine=True)


def with_frame_size(job: Job) -> xr.Dataset:
    """Give the tracks; the size of their frames is the video's where they lack one."""
    assert job.tracks is not None
    ds = job.tracks
    if "frame_size" not in ds.attrs and job.video is not None:
        ds = ds.assign_attrs(frame_size=[int(v) for v in job.video.attrs["frame_size"]])
    return ds


def tracked(job: Job) -> xr.Dataset:
    """Give the job's tracks in memory: those that are there, or the video's."""
    if job.tracks is not None:
        return with_frame_size(job).compute(scheduler="synchronous")
    from seurat_tracks.trackers import track

    return track(
        job.video,
        job.queries,
        job.tracker,
        grid=job.grid,
        progress=False,
        **job.tracker_settings,
    )


def lifted(job: Job, tracks: xr.Dataset, source: DepthSource | None) -> xr.Dataset:
    """Lift tracks in memory; everything is computed in this thread."""
    from seurat_tracks.lift import lift3d

    out = lift3d(
        tracks,
        depth=source,
        intrinsics=job.intrinsics,
        anchor=job.anchor,
        model=job.model,
        device=job.device,
    )
    # a thread of dask's would know nothing of who watches this one
    return out.compute(scheduler="synchronous")


def said(job: Job, out: xr.Dataset) -> str:
    """Say what was done, for the history."""
    how = "lifted to 3D"
    if job.tracks is None:
        how = f"tracked with {out.attrs.get('tracker', job.tracker)} and {how}"
    n = int(np.isfinite(out["depth"]).any("time").sum())
    return (
        f"{how} by model {out.attrs.get('model')}: {n} of {out.sizes['track']} tracks "
        f"with depth, source {out.attrs.get('depth_source')}"
    )
