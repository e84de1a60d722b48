"""Load and play the explorer in a real JupyterLab, drawn by a real Chromium.

    python -m tests.benchmarks.explorer [--tracks 2000] [--frames 300] [--seconds 8]

WebGL runs in software, on the machine's own cores, beside the kernel: a graphics card
does better. Tracks and a video (640 x 360) are made in the kernel's memory. ``load`` is
the time from running the cell with ``ds.seurat.explore(video)`` to the first drawing of
tracks over their frame, in a kernel that has shown another explorer before and (``load,
first``) in one that has not. ``rate`` is the number of frames drawn a second while
playing, asked for 60, from one second on: without a video, with one for the first time,
and with its frames at hand. Points sway by up to 50 pixels and jitter by 0.1. ``cpu``
is the processor time that the browser's processes took for each frame drawn, which
hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.notebook.browser import (
    LabPage,
    chromium,
    jupyter_lab,
    missing,
    write_notebook,
)

SETUP = """
import numpy as np, xarray as xr, seurat_tracks as st
rng = np.random.default_rng(0)
n, length = {tracks}, {frames}
t = np.arange(length)[:, None] / 60
def sway(low, high, size, last):
    start, turn = rng.uniform((low, 0), (high, 6), (last, n, 1, 2)).T
    speed = rng.uniform(0.3, 3, (n, 1, last))
    start, turn = (v.T.reshape(n, 1, last) for v in (start, turn))
    return start + size * np.sin(speed * t + turn)
z = np.exp(sway(0.7, 2.3, 0.2, 1))
xyz = np.concatenate([sway(-0.5, 0.5, 0.1, 2) * z, z], axis=-1)
xy = 500 * xyz[..., :2] / z + (319.5, 179.5)
xy += rng.normal(0, 0.1, xy.shape)
visible = rng.random((n, 1)) + rng.random((n, length)) > 0.15
visible &= ((xy >= 0) & (xy <= (639, 359))).all(-1)
dims = ("track", "time")
ds = xr.Dataset(
    dict(
        xy=((*dims, "coord"), xy.astype("f4")), visible=(dims, visible),
        log_depth_ratio=(dims, np.log(z / z[:, :1])[..., 0].astype("f4")),
        depth_ratio_sigma=(dims, rng.gamma(2, 0.02, (n, length)).astype("f4")),
        scale=(dims, np.repeat(z[:, :1, 0], length, 1).astype("f4")),
        depth=(dims, z[..., 0].astype("f4")), xyz=((*dims, "axis"), xyz.astype("f4")),
    ),
    coords=dict(
        track=np.arange(n), time=np.arange(length),
        seconds=("time", np.arange(length) / 60),
        coord=["x", "y"], axis=["x", "y", "z"],
    ),
    attrs=dict(frame_size=[640, 360], fps=60.0, units="m", frame_of_reference="camera"),
)
tile = rng.integers(0, 255, (45, 80, 3)).astype("u1").repeat(8, 0).repeat(8, 1)
video = np.stack([np.roll(tile, 2 * t, 1) for t in range(length)])
video = xr.DataArray(video, dims=("time", "y", "x", "rgb"), attrs=dict(fps=60.0))
""".strip()

DRAWN = """k => document.querySelectorAll('.jp-Notebook .jp-Cell')[k]
    .querySelector('.seurat-explorer[data-drawn][data-colour][data-picture="%s"]')"""


def load(lab: LabPage, cell: int, picture: str) -> float:
    """Run a cell that shows an explorer; seconds until it is drawn."""
    begin = time.perf_counter()
    lab.run_cell(cell)
    lab.page.wait_for_function(DRAWN % picture, arg=cell)
    return time.perf_counter() - begin


def processor_seconds(ancestor: int) -> float:
    """Processor time of the browser started below a process; NaN without /proc."""
    times: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks = int(words[11]) + int(words[12])
            times[int(folder.name)] = int(words[1]), ticks / os.sysconf("SC_CLK_TCK")
    if not times:
        return math.nan
    below = {ancestor}
    while more := {p for p, (up, _) in times.items() if up in below} - below:
        below |= more
    # the browser's own processes alone: its driver and the kernels lie elsewhere
    return sum(s for p, (_, s) in times.items() if p in below and "chrom" in name_of(p))


def name_of(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text()
    return ""


def rate(lab: LabPage, cell: int, seconds: float) -> str:
    """Play from the first frame; frames drawn a second, and processor time of each."""
    root = (
        lab.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".seurat-explorer")
    )
    root.scroll_into_view_if_needed()
    root.focus()
    lab.page.keyboard.press("Home")
    lab.page.wait_for_timeout(500)
    look = "root => [Number(root.dataset.frame), performance.now() / 1000]"
    lab.page.keyboard.press("Space")
    lab.page.wait_for_timeout(1000)
    spent = processor_seconds(os.getpid())
    first, begin = root.evaluate(look)
    lab.page.wait_for_timeout(1000 * seconds)
    last, end = root.evaluate(look)
    spent = processor_seconds(os.getpid()) - spent
    playing = root.locator(".se-play").get_attribute("aria-label") == "pause"
    if playing:
        lab.page.keyboard.press("Space")
    else:
        raise SystemExit("the end was reached: give more --frames or fewer --seconds")
    lab.page.wait_for_timeout(500)
    frames = max(1, last - first)
    return (
        f"{frames / (end - begin):5.1f} /s, cpu {1000 * spent / frames:.0f} ms a frame"
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3.5)
    args = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_notebook(
            folder / "a.ipynb",
            SETUP.format(tracks=args.tracks, frames=args.frames),
            "ds.seurat.explore()",
            "ds.seurat.explore(video)",
        )
        with jupyter_lab(folder) as address, chromium() as browser:
            lab = LabPage(browser, address, "a.ipynb")
            lab.run_cell(0)
            lab.output(0)
            say(f"{args.tracks} tracks, {args.frames} frames")
            blank = "no video; give explore(video=...)"
            say(f"load, first   {load(lab, 1, blank):5.1f} s")
            say(f"rate, blank   {rate(lab, 1, args.seconds)}")
            say(f"load          {load(lab, 2, 'shown'):5.1f} s")
            say(f"rate, video   {rate(lab, 2, args.seconds)}; first time")
            say(f"rate, video   {rate(lab, 2, args.seconds)}; frames at hand")
            say(f"load average  {os.getloadavg()[0]:5.1f} on {os.cpu_count()} cores")
            if lab.errors:
                raise SystemExit("\n".join(lab.errors))


if __name__ == "__main__":
    main()
