"""Measure the errors of a tracker against exactly known motion.

    python -m tests.benchmarks.tracking_errors --pictures a.mp4 b.mp4 --out errors.npz

Draws clips (`known_motion`), tracks them as a user would, and keeps every window of 8
frames with its error in units of half of the frame's longer side. `summary` turns such
windows into the figures of `docs/tracking-errors.md`; it is the same for measured
windows and for windows that `spoil` drew.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import seurat_tracks as st
from seurat_tracks.trackers.affine import cut_patches, smooth
from tests.benchmarks.known_motion import Clip, load_pictures, make_clip

PIXEL = 2 / 640
"""One pixel of a frame 640 pixels wide, normalised."""


@dataclass
class Windows:
    """Windows of points with known motion, one row each; NaN where there is none.

    Attributes
    ----------
    clip, kind, start : int array (row,)
        Clip; 1, 2, 4 for support at that stride, 0 for persistent queries; first frame.
    truth, xy : float32 array (row, step, 2)
        Normalised exact and tracked positions; tracked is NaN where not seen.
    visible, seen : bool array (row, step)
        In truth, and as the tracker says.
    half : float32 array (row, 2)
        Half width and height of the frame; the larger is 1.
    cover : bool array (row, step)
        Whether another surface lies at the tracked position.
    carried : bool array (row, step)
        Whether the tracked position is off by 3 pixels of a frame 640 wide or more, and
        less than half as far from where another surface would have carried the point.
    grip : float32 array (row,)
        Strength of the patch's structure along its weakest direction, 1 / pixels².
    weak : float32 array (row, 2)
        That direction.
    """

    clip: np.ndarray
    kind: np.ndarray
    start: np.ndarray
    truth: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    seen: np.ndarray
    half: np.ndarray
    cover: np.ndarray
    carried: np.ndarray
    grip: np.ndarray
    weak: np.ndarray

    def take(self, rows: np.ndarray) -> Windows:
        """Return some rows."""
        return Windows(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def joined(parts: list[Windows]) -> Windows:
        """Return all rows of several."""
        return Windows(
            *(
                np.concatenate([getattr(p, f.name) for p in parts])
                for f in fields(Windows)
            )
        )

    def save(self, path: str | Path) -> None:
        """Write a compressed npz file."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        np.savez_compressed(path, **columns)

    @staticmethod
    def load(path: str | Path) -> Windows:
        """Read what `save` wrote."""
        with np.load(path) as data:
            return Windows(**{f.name: data[f.name] for f in fields(Windows)})


def measure(clip: Clip, number: int, tracker: str = "lk", side: int = 18) -> Windows:
    """Track a clip: a grid of queries from frame 0, and support windows.

    Parameters
    ----------
    clip
        Video with exact motion.
    number
        Written into `Windows.clip`.
    tracker
        Name of a tracker.
    side
        Queries along each side of the image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "no point could be followed" is a result
        ds = st.track(
            clip.frames, tracker=tracker, grid=side, cuts=None, progress=False
        )
    T = clip.frames.shape[0]
    first = ds.xy.isel(time=0).values
    parts = []
    frames = sliding_window_view(np.arange(T), 8)[::4]
    truth, visible, layer = clip.follow(first, 0)
    xy, seen = ds.xy.values, ds.visible.values
    for f in frames:
        parts.append(
            _rows(clip, number, 0, f, truth, visible, layer, xy[:, f], seen[:, f])
        )
    stride, start = ds.window_stride.values, ds.window_start.values
    for begin in np.unique(start):
        grid_xy = ds.support_xy.isel(window=int((start == begin).argmax())).values[:, 0]
        truth, visible, layer = clip.follow(grid_xy, int(begin))
        for w in np.flatnonzero(start == begin):
            f = ds.window_frame.values[w]
            xy = ds.support_xy.values[w]
            seen = ds.support_visible.values[w]
            parts.append(
                _rows(clip, number, int(stride[w]), f, truth, visible, layer, xy, seen)
            )
    return Windows.joined(parts)


def _rows(
    clip: Clip,
    number: int,
    kind: int,
    frames: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    layer: np.ndarray,
    xy: np.ndarray,
    seen: np.ndarray,
) -> Windows:
    import cv2

    height, width = clip.frames.shape[1:3]
    half = max(width, height) / 2
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    n = len(truth)
    off = np.linalg.norm(xy - truth[:, frames], axis=-1)
    elsewhere = clip.other_surfaces(truth[:, frames[0]], layer, int(frames[0]), frames)
    nearest = np.linalg.norm(xy - elsewhere, axis=-1).min(0, initial=np.inf)
    cover = np.zeros((n, len(frames)), bool)
    for k, f in enumerate(frames):
        ok = seen[:, k]
        cover[ok, k] = clip.layer_at(xy[ok, k].astype(float), int(f)) != layer[ok]
    first = truth[:, frames[0]].astype(np.float32)
    grey = cv2.cvtColor(clip.frames[frames[0]], cv2.COLOR_RGB2GRAY)
    inside = visible[:, frames[0]]
    structure = np.zeros((n, 2, 2))
    if inside.any():
        structure[inside] = cut_patches(smooth(grey), first[inside]).structure
    value, vector = np.linalg.eigh(structure)
    return Windows(
        np.full(n, number),
        np.full(n, kind),
        np.full(n, frames[0]),
        ((truth[:, frames] - centre) / half).astype(np.float32),
        ((xy - centre) / half).astype(np.float32),
        visible[:, frames],
        seen.astype(bool),
        np.tile(np.array([width, height], np.float32) / (2 * half), (n, 1)),
        cover,
        (off > 3 * half * PIXEL) & (nearest < 0.5 * off),
        value[:, 0].astype(np.float32),
        vector[:, :, 0].astype(np.float32),
    )


def main() -> None:
    """Draw, track, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", nargs="+", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--tracker", default="lk")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pictures = load_pictures(args.pictures)
    parts = []
    for k in range(args.clips):
        clip = make_clip(k, pictures, args.frames, still=k % 5 == 4)
        parts.append(measure(clip, k, args.tracker))
        Windows.joined(parts).save(args.out)
        print(f"clip {k}: {clip.frames.shape}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
