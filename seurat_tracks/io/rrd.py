"""Recordings for the rerun viewer: tracks in 3D and over the video, frame by frame."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SeuratTracksError, VideoError
from seurat_tracks.io._export import (
    Block,
    about,
    axes_of,
    block_sizes,
    blocks,
    camera_to_world,
    check_lifted,
    colours,
    in_world,
    left_out,
    steps,
)
from seurat_tracks.io._files import note_lost, writing

AXES = "camera: x right, y down, z forward (RDF)"
APPLICATION = "seurat_tracks"

CAMERA = "world/camera"
"""Entity of the camera; what lies beneath is in its frame."""

IMAGE = f"{CAMERA}/image"
"""Entity of the picture: pinhole, video frames, 2D positions in pixels."""

_POINT = 0.008
_DIM = 0.45


def write_rrd(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    video: Any = None,
    tail: int = 15,
    radius: float | None = None,
    jpeg_quality: int = 80,
    overwrite: bool = False,
) -> Path:
    """Write a recording for the rerun viewer.

    Parameters
    ----------
    ds
        Lifted tracks. Lazy variables are computed chunk by chunk; every chunk of
        tracks becomes entities of its own.
    path
        A ``.rrd`` file, which is replaced.
    video
        Anything `seurat_tracks.open_video` takes: its frames, by number, are shown
        beneath the 2D positions, as JPEG.
    tail
        How many frames of its past a track shows.
    radius
        Of points in 3D, in the units of ``xyz``. None: 0.8 per cent of the median
        distance of the first chunk of tracks.
    jpeg_quality
        1 to 95.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract or has no ``xyz``.
    VideoError
        If the video lacks frames of the Dataset, or has another size.
    SeuratTracksError
        If an option is wrong, `path` cannot be written, or rerun is not installed.

    Warns
    -----
    UserWarning
        Names the variables that are not written.

    Notes
    -----
    Timelines: ``frame`` (number) and, where known, ``seconds``. ``world`` has the view
    coordinates RDF (x right, y down, z forward), and so has the camera. It stands at
    the world's origin, with all points in its frame; if the Dataset is in the world of
    camera poses, points are the world's and the camera moves.

    ``points`` are those that are seen, ``hidden`` the model's answer where they are
    not; ``tails`` are lines from the frame before, where both are seen, so that none
    crosses a gap; the viewer shows the last `tail` frames of them. Each point says its
    ``track``. ``about`` is a text that states units, axes and where depth comes from.
    With ``intrinsics`` there is a pinhole camera. Rerun puts pixel centres at halves,
    so 0.5 is added to 2D positions and to the principal point.
    """
    check_lifted(ds, "rerun")
    if tail != int(tail) or tail < 0:
        raise SeuratTracksError(f"tail is {tail!r}; give a number of frames, 0 or more")
    if radius is not None and not (math.isfinite(radius) and radius > 0):
        raise SeuratTracksError(f"radius is {radius!r}; give a positive number")
    frames = None if video is None else _frames(ds, video)
    try:
        import rerun as rr
    except ImportError:
        raise SeuratTracksError(
            "writing .rrd needs rerun-sdk: pip install 'seurat-tracks[export]'"
        ) from None
    with writing(path, overwrite=overwrite) as partial:
        recording = rr.RecordingStream(APPLICATION)
        try:
            recording.save(partial, default_blueprint=_blueprint(ds, tail))
            _write_still(rr, recording, ds)
            for block in blocks(ds):
                if radius is None:
                    radius = _radius(ds, block)
                _write_block(rr, recording, ds, block, radius, tail)
            if frames is not None:
                _write_video(rr, recording, ds, frames, jpeg_quality)
        finally:
            recording.flush()
            recording.disconnect()
    note_lost(Path(path), "rerun", left_out(ds, "xy", "camera_to_world"))
    return Path(path)


def _blueprint(ds: xr.Dataset, tail: int) -> Any:
    """Lay out 3D beside the picture, with the tails of the last frames."""
    import rerun.blueprint as rrb

    past = rrb.VisibleTimeRanges(
        [
            rrb.VisibleTimeRange(
                "frame",
                start=rrb.TimeRangeBoundary.cursor_relative(seq=1 - tail),
                end=rrb.TimeRangeBoundary.cursor_relative(seq=0),
            )
        ]
    )
    starts = np.cumsum([0, *block_sizes(ds)])[:-1]
    # Any: rerun's mapping is invariant in its keys
    tails: dict[Any, Any] = {
        f"/{_place(ds)}/tails/{_part(int(start))}": past for start in starts if tail
    }
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Spatial3DView(
                origin="/world",
                name="3D",
                overrides=tails,
            ),
            rrb.Vertical(
                rrb.Spatial2DView(origin=f"/{IMAGE}", name="image"),
                rrb.TextDocumentView(origin="/about", name="about"),
                row_shares=[3, 1],
            ),
            column_shares=[3, 2],
        ),
        rrb.TimePanel(timeline="frame"),
        collapse_panels=True,
    )


def _write_still(rr: Any, recording: Any, ds: xr.Dataset) -> None:
    """Write what is the same in all frames."""
    told = about(ds, axes_of(ds, AXES))
    lines = "\n".join(f"- **{key}**: {value}" for key, value in told.items())
    text = rr.TextDocument(lines, media_type="text/markdown")
    recording.log("about", text, static=True)
    recording.log("world", rr.ViewCoordinates.RDF, static=True)
    recording.log(CAMERA, rr.ViewCoordinates.RDF, static=True)
    poses = camera_to_world(ds)
    if poses is not None and in_world(ds):
        known = np.flatnonzero(np.isfinite(poses).all((1, 2)))
        moves = rr.Transform3D.columns(
            translation=poses[known, :3, 3], mat3x3=poses[known, :3, :3]
        )
        recording.send_columns(CAMERA, indexes=_times(rr, ds, known), columns=moves)
    if "intrinsics" in ds.attrs:
        fx, fy, cx, cy = (float(v) for v in ds.attrs["intrinsics"])
        matrix = [[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]]
        camera = rr.Pinhole(
            image_from_camera=matrix,
            resolution=[int(v) for v in ds.attrs["frame_size"]],
            camera_xyz=rr.ViewCoordinates.RDF,
        )
        recording.log(IMAGE, camera, static=True)


def _write_block(
    rr: Any, recording: Any, ds: xr.Dataset, block: Block, radius: float, tail: int
) -> None:
    """Write a chunk of tracks as columns, one row a frame."""
    name = _part(block.start)
    paint = colours(block.start + np.arange(len(block.xyz)))
    dim = np.rint(paint * _DIM).astype(np.uint8)
    ids = np.array([str(v) for v in ds["track"].values[block.start :][: len(paint)]])

    def send(
        entity: str, kind: Any, at: np.ndarray, paint: np.ndarray, **values: Any
    ) -> None:
        """Send what is there at (time, track), ordered by time."""
        time, track = np.nonzero(at.T)
        lengths = np.bincount(time, minlength=at.shape[1])
        columns = kind.columns(
            colors=paint[track], **{k: v[track, time] for k, v in values.items()}
        ).partition(lengths)
        whose = rr.AnyValues.columns(track=ids[track]).partition(lengths)
        recording.send_columns(
            f"{entity}/{name}", indexes=_times(rr, ds), columns=[*columns, *whose]
        )

    for entity, at, colour in (
        ("points", block.seen, paint),
        ("hidden", block.known & ~block.seen, dim),
    ):
        send(f"{_place(ds)}/{entity}", rr.Points3D, at, colour, positions=block.xyz)
        size = rr.Points3D.from_fields(radii=radius * (1 if at is block.seen else 0.6))
        recording.log(f"{_place(ds)}/{entity}/{name}", size, static=True)
    placed = np.isfinite(block.xy).all(-1) & block.seen
    send(f"{IMAGE}/points", rr.Points2D, placed, paint, positions=block.xy + 0.5)
    size2 = rr.Points2D.from_fields(radii=rr.Radius.ui_points(3.0))
    recording.log(f"{IMAGE}/points/{name}", size2, static=True)

    if not tail:
        return
    joined = np.zeros_like(block.seen)
    joined[:, 1:] = steps(block.seen, ds["time"].values)
    ends = np.stack([np.roll(block.xyz, 1, axis=1), block.xyz], axis=2)
    send(f"{_place(ds)}/tails", rr.LineStrips3D, joined, paint, strips=ends)
    width = rr.LineStrips3D.from_fields(radii=rr.Radius.ui_points(1.5))
    recording.log(f"{_place(ds)}/tails/{name}", width, static=True)


def _part(start: int) -> str:
    """Name the entity of the block that begins at a track's position."""
    return f"from_{start}"


def _place(ds: xr.Dataset) -> str:
    """Name the entity in whose frame positions are."""
    return "world" if in_world(ds) else CAMERA


def _times(rr: Any, ds: xr.Dataset, rows: Any = slice(None)) -> list[Any]:
    times = [rr.TimeColumn("frame", sequence=ds["time"].values[rows])]
    if "seconds" in ds.coords:
        times.append(rr.TimeColumn("seconds", duration=ds["seconds"].values[rows]))
    return times


def _radius(ds: xr.Dataset, block: Block) -> float:
    """Return a radius in proportion to the distance from the camera."""
    eyes: Any = 0.0
    poses = camera_to_world(ds)
    if poses is not None and in_world(ds):
        eyes = poses[:, :3, 3]
    away = np.linalg.norm(block.xyz - eyes, axis=-1)
    if not np.isfinite(away).any():
        return _POINT
    return _POINT * float(np.nanmedian(away))


def _frames(ds: xr.Dataset, video: Any) -> xr.DataArray:
    """Find the frames of the Dataset in the video."""
    from seurat_tracks.io.video import open_video

    opened = open_video(video)
    faults = []
    if list(opened.attrs["frame_size"]) != [int(v) for v in ds.attrs["frame_size"]]:
        faults.append(
            f"its frames are {tuple(opened.attrs['frame_size'])}, those of the tracks "
            f"{tuple(ds.attrs['frame_size'])}: scale the video to the tracks"
        )
    lacking = np.setdiff1d(ds["time"].values, opened["time"].values)
    if len(lacking):
        faults.append(
            f"it lacks {len(lacking)} frames of the tracks, {lacking[:5].tolist()} "
            "among them"
        )
    if faults:
        raise VideoError(f"the video does not fit: {'; '.join(faults)}")
    return opened.sel(time=ds["time"].values)


def _write_video(
    rr: Any, recording: Any, ds: xr.Dataset, frames: xr.DataArray, quality: int
) -> None:
    from seurat_tracks.io.video import iter_frames

    seconds = ds["seconds"].values if "seconds" in ds.coords else None
    for i, picture in enumerate(iter_frames(frames)):
        recording.set_time("frame", sequence=int(ds["time"].values[i]))
        if seconds is not None:
            recording.set_time("seconds", duration=float(seconds[i]))
        recording.log(IMAGE, rr.Image(picture).compress(jpeg_quality=quality))
