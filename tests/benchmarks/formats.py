"""Sizes and times of every format, as a Markdown table for docs/formats.md.

    python -m tests.benchmarks.formats [TRACKS FRAMES]

Writes and reads 1,000 tracks over 500 frames with gaps, guesses while hidden,
confidence and 3D; each time is processor time, the best of three, files in a fresh
folder.
Formats that are read alone are written by the programs' own libraries, once; those that
are written alone are only written. Needs the extras for them, and `tables`, `pynwb`,
`ndx-pose`.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.io.formats import FORMATS, KEEPS, export, read
from tests.benchmarks.pose_files import KINDS, names_of, write_poses
from tests.io.test_formats import READ, keeps, make

SKIPPED = ("names", "support")


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def measure(ds: xr.Dataset, name: str, rounds: int = 3) -> tuple[Any, ...]:
    """Return bytes, seconds to write, seconds to read, and what came back."""
    form = FORMATS[name]
    writing, reading = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{form.endings[0]}"
        for _ in range(rounds):
            begin = time.process_time()
            export(ds, path, name, overwrite=True)
            writing.append(time.process_time() - begin)
            begin = time.process_time()
            back = read(path, **READ.get(name, {})).compute()
            reading.append(time.process_time() - begin)
        size = size_of(Path(folder))
    place = 1e-4
    kept = {w for w in KEEPS if w not in SKIPPED and keeps(ds, back, w, place)}
    lost = form.keeps - kept - set(SKIPPED)
    return size, min(writing), min(reading), lost, back.identical(ds)


def measure_reading(ds: xr.Dataset, kind: str, rounds: int = 3) -> tuple[Any, ...]:
    """Return bytes, seconds to read, and whether seen positions came back."""
    reading = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{KINDS[kind][1]}"
        write_poses(ds, kind, path)
        for _ in range(rounds):
            begin = time.process_time()
            back = read(path, frame_size=ds.attrs["frame_size"])
            reading.append(time.process_time() - begin)
        size = size_of(Path(folder))
    back = back.sel(track=names_of(ds))  # NWB orders animals and keypoints by name
    seen = ds["visible"].transpose("track", "time").values
    xy = ds["xy"].transpose("track", "time", "coord").values
    same = back["visible"].values.tolist() == seen.tolist() and np.allclose(
        back["xy"].values[seen], xy[seen], rtol=0, atol=1e-3
    )
    return size, min(reading), same


def measure_writing(ds: xr.Dataset, name: str, rounds: int = 3) -> tuple[Any, ...]:
    """Return bytes and seconds to write."""
    form = FORMATS[name]
    writing = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(rounds):
            path = Path(folder) / f"{k}{form.endings[0]}"
            begin = time.process_time()
            export(ds, path, name)
            writing.append(time.process_time() - begin)
        size = size_of(Path(folder)) // rounds
    return size, min(writing)


def main(tracks: int = 1000, frames: int = 500) -> None:
    """Print the table."""
    ds = make(tracks, frames)
    cells = int(np.isfinite(ds["xy"].values).all(-1).sum())
    print(f"{tracks} tracks, {frames} frames, {cells} positions\n")  # noqa: T201
    print("| format | MB | write, s | read, s | comes back |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    for name, form in FORMATS.items():
        if not (form.read and form.write):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            size, wrote, took, lost, same = measure(ds, name)
        said = "exactly" if same else "what it keeps"
        if lost:
            said = f"WITHOUT {', '.join(sorted(lost))}"
        row = f"| `{name}` | {size / 1e6:.1f} | {wrote:.2f} | {took:.2f} | {said} |"
        print(row)  # noqa: T201
    for kind, (what, _) in KINDS.items():
        size, took, same = measure_reading(ds, kind)
        said = "what it keeps" if same else "WRONG"
        row = f"| `{kind.strip()}`, {what} | {size / 1e6:.1f} | | {took:.2f} | {said} |"
        print(row)  # noqa: T201
    poses = np.tile(np.eye(4), (frames, 1, 1))
    scene = ds.assign(camera_to_world=(("time", "row", "column"), poses))
    for name, form in FORMATS.items():
        if form.read:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            size, wrote = measure_writing(scene, name)
        print(f"| `{name}` | {size / 1e6:.1f} | {wrote:.2f} | | |")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
