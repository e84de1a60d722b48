"""Clips that a benchmark runs on: tracks to lift, and the truth to score against."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.evaluation.rows import Case

SPLITS = ("minival", "full_eval", "all")
"""Splits of TAPVid-3D; ``full_eval`` is what is not in ``minival``."""

FRAME_SIZES: dict[str, tuple[int, int]] = {"adt": (512, 512)}
"""Size of frames by source, for files without a video: Aria Digital Twin's are
rectified to 512 x 512 by the authors' generator."""

RECORDED = (
    *("kitchen", "kitchen-lk", "typing", "libmv-01", "libmv-02", "libmv-03"),
    *("mocap", "joints-2", "joints-4", "surfaces"),
)
"""Rows of development clips that rest on recordings."""

EXACT = {"kitchen-lk": "kitchen", "drive-noisy": "drive", "scenes-spoiled": "scenes"}
"""Rows whose tracks err, and the row that has the same points where they truly are."""

TRACKERS = {
    "kitchen-lk": "lk",
    "typing": "lk",
    "drive-noisy": "noisy",
    "scenes-spoiled": "spoiled",
}
"""Where a row's tracks are from, if they are not the true ones."""


@dataclass(frozen=True)
class Clip:
    """One clip of a benchmark.

    Attributes
    ----------
    source
        Scores are averaged over a source's clips, then over the sources.
    name
        Unique within its source.
    tracker
        Where the 2D tracks are from: "oracle", the true ones, or a tracker.
    load
        Reads or makes tracks and truth, which may take long. Tracks hold every track
        and frame of the truth.
    path
        The file it is read from, if there is one.
    """

    source: str
    name: str
    tracker: str
    load: Callable[[], tuple[xr.Dataset, xr.Dataset]]
    path: Path | None = None


def tapvid3d_clips(
    folder: Path,
    *,
    split: str = "minival",
    tracker: str = "oracle",
    frame_sizes: Mapping[str, tuple[int, int]] | None = None,
    cache: Path | None = None,
) -> tuple[list[Clip], str]:
    """Find the clips of TAPVid-3D in a folder.

    Parameters
    ----------
    folder
        Holds ``adt/``, ``drivetrack/`` and ``pstudio/``, or is one of them: npz files.
    split
        One of `SPLITS`.
    tracker
        "oracle" lifts the true 2D tracks, for which the files need no video; any name
        of a tracker follows the query points through the file's video.
    frame_sizes
        Width and height by source for files without a video, beside `FRAME_SIZES`.
    cache
        Folder that keeps what a tracker found.

    Returns
    -------
    list of Clip, str
        In the order of their names, and a sentence that says what was found.

    Raises
    ------
    SeuratTracksError
        If there are no such clips, or an argument makes no sense.
    """
    if split not in SPLITS:
        raise SeuratTracksError(f"split is {split!r}; give one of {list(SPLITS)}")
    if not folder.is_dir():
        raise SeuratTracksError(f"{folder} is not a folder")
    minival = minival_names()
    by_source = {
        sub.name: sorted(sub.glob("*.npz"))
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and any(sub.glob("*.npz"))
    }
    if any(folder.glob("*.npz")):
        by_source[folder.name] = sorted(folder.glob("*.npz"))
    if not by_source:
        raise SeuratTracksError(
            f"{folder} holds no npz files, nor do the folders in it: give the folder "
            "that holds adt/, drivetrack/ and pstudio/ of TAPVid-3D"
        )
    everything = {name for names in minival.values() for name in names}
    sizes = {**FRAME_SIZES, **(frame_sizes or {})}
    clips = []
    for source, paths in by_source.items():
        for path in paths:
            if split != "all" and (path.stem in everything) != (split == "minival"):
                continue
            size = sizes.get(source)
            load = partial(_load_tapvid3d, path, size, tracker, cache)
            clips.append(Clip(source, path.stem, tracker, load, path))
    found = ", ".join(
        f"{source} {sum(c.source == source for c in clips)}"
        + (f" of {len(minival[source])}" if split == "minival" else "")
        for source in by_source
        if source in minival or split != "minival"
    )
    if not clips:
        raise SeuratTracksError(
            f"none of the {sum(map(len, by_source.values()))} npz files in {folder} is "
            f'of the split {split!r}; split="all" takes every file'
        )
    return clips, f"TAPVid-3D {split}: {found or f'{len(clips)} clips'}"


def minival_names() -> dict[str, list[str]]:
    """Give the names of the minival split by source, as tapnet lists them."""
    lines = Path(__file__).with_name("minival.txt").read_text("utf-8").split()
    names: dict[str, list[str]] = {}
    for line in lines:
        source, _, name = line.partition("/")
        names.setdefault(source, []).append(name)
    return names


def development_clips(
    data: Path | None, *, only: Collection[str] = RECORDED, cache: Path | None = None
) -> tuple[list[Clip], str]:
    """Make the development clips of ``docs/scores.md``.

    Parameters
    ----------
    data
        Folder of the real clips.
    only
        Names of rows. ``mocap`` scores the body alone, as the row does.
    cache
        Folder that keeps tracks made from videos; None leaves out their clips.

    Returns
    -------
    list of Clip, str
        And a sentence that says what was left out.

    Raises
    ------
    FileNotFoundError
        If a clip's folder is not there.
    """
    from seurat_tracks.evaluation.cases import cases

    wanted = set(only) | {EXACT[row] for row in only if row in EXACT}
    exact: dict[tuple[str, str], xr.Dataset] = {}
    clips, left = [], []
    for case in cases(data, only=wanted, cache=cache):
        rows = [row for row in case.rows if row in wanted]
        if case.intrinsics is None:
            left.append(f"{rows[0]} {case.name} (its camera changes)")
            continue
        truth = truth_of_case(case)
        for row in rows:
            answer = truth
            if row in EXACT:
                answer = _with_true_places(case.ds, exact[EXACT[row], case.name])
            exact[row, case.name] = truth
            mask = case.rows[row]
            if mask is not None:
                answer = answer.isel(track=np.flatnonzero(mask))
            if row in only:
                source = re.sub(r"-\d+$", "", row)
                tracker = TRACKERS.get(row, "oracle")
                load = partial(_both, case.ds, answer)
                clips.append(Clip(source, case.name, tracker, load))
    return clips, "development clips" + (f"; left out: {', '.join(left)}" * bool(left))


def truth_of_case(case: Case) -> xr.Dataset:
    """Make a Dataset of true tracks of a case, at the places where it was tracked."""
    from seurat_tracks.geometry import unproject
    from seurat_tracks.io.truth import build_truth

    assert case.intrinsics is not None
    ds = case.ds
    xy = ds["xy"].transpose("track", "time", "coord").values.astype(np.float64)
    z = np.where(np.isfinite(case.z) & (case.z > 0), case.z, np.nan)
    xyz = unproject(xy, z.astype(np.float64), case.intrinsics)
    visible = case.visible & np.isfinite(xyz).all(-1)
    first = ds["time"].values[visible.argmax(1)]
    return build_truth(
        xyz,
        visible,
        frame_size=[int(v) for v in ds.attrs["frame_size"]],
        intrinsics=case.intrinsics,
        query_frame=first,
        source=case.name,
        xy=np.where(visible[..., None], xy, np.nan),
        ids=ds["track"].values,
        time=ds["time"].values,
    )


def _with_true_places(ds: xr.Dataset, exact: xr.Dataset) -> xr.Dataset:
    """Take the exact truth of the same points, given where the tracker got them."""
    truth = exact.sel(track=exact["track"].isin(ds["track"]))
    if "query_frame" not in ds.coords:
        return truth
    given = ds["query_frame"].sel(track=truth["track"]).values
    known = truth["visible"].values[
        np.arange(len(given)), truth.indexes["time"].get_indexer(given)
    ]
    frames = np.where(known, given, truth["query_frame"].values)
    attrs = truth["query_frame"].attrs
    return truth.assign_coords(query_frame=("track", frames, attrs))


def _both(ds: xr.Dataset, truth: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    return ds.assign_attrs(intrinsics=truth.attrs["intrinsics"]), truth


def _load_tapvid3d(
    path: Path, size: Sequence[int] | None, tracker: str, cache: Path | None
) -> tuple[xr.Dataset, xr.Dataset]:
    from seurat_tracks.io.tapvid3d import IMAGES, read_tapvid3d
    from seurat_tracks.io.truth import true_tracks

    with np.load(path, allow_pickle=False) as file:
        has_video = IMAGES in file.files
    truth = read_tapvid3d(path, frame_size=None if has_video else size)
    if tracker == "oracle":
        return true_tracks(truth), truth
    return _follow(path, truth, tracker, cache), truth


def _follow(
    path: Path, truth: xr.Dataset, tracker: str, cache: Path | None
) -> xr.Dataset:
    """Track the query points through the clip's video, or read what was tracked."""
    import seurat_tracks as st
    from seurat_tracks.io.tapvid3d import read_tapvid3d_video

    store = None if cache is None else cache / f"{path.stem}-{tracker}.zarr"
    if store is not None and store.exists():
        ds = st.open(store).load()
    else:
        queries = np.column_stack([truth["query_frame"], truth["query_xy"]])
        ds = st.track(
            read_tapvid3d_video(path), queries, tracker=tracker, progress=False
        )
        if store is not None:
            store.parent.mkdir(parents=True, exist_ok=True)
            ds.seurat.save(store)
    ds = ds.assign_coords(track=truth["track"].values, time=truth["time"].values)
    return ds.assign_attrs(intrinsics=truth.attrs["intrinsics"])


def first_of_each(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Keep the first clips of each source."""
    taken: dict[str, int] = {}
    kept = []
    for clip in clips:
        taken[clip.source] = taken.get(clip.source, 0) + 1
        if taken[clip.source] <= most:
            kept.append(clip)
    return kept
