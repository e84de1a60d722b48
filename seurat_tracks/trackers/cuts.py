"""Find hard cuts: frames where one shot ends and another begins."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.io.video import iter_frames, read_ahead
from seurat_tracks.trackers.base import Progress

logger = logging.getLogger(__name__)

_WIDTH = 96  # of the small picture, pixels
_SPREAD = 5.0  # of what counts as local contrast, pixels of the small picture
_SAME = 0.4  # likeness: 0.92 and more inside the shots measured, at most 0.33 across


def find_cuts(video: xr.DataArray, *, progress: Progress | None = None) -> list[int]:
    """Positions of the first frames of new shots.

    Parameters
    ----------
    video
        DataArray (time, y, x, rgb) uint8.
    progress
        Shows progress over frames.

    Returns
    -------
    list of int
        Positions on the time axis, increasing, never 0. Empty where nothing is cut.

    Notes
    -----
    Two neighbouring frames of one shot look alike once the motion between them is
    undone: a small picture (96 pixels, local contrast only, so that exposure does not
    count) is warped by dense optical flow, and correlated; or its middle is looked
    for anywhere, which a fast pan needs. A cut is where that likeness falls below 0.4
    and the frame after it does not look like the frame before it again, as it does
    after a flash or a dropped frame. Dissolves and wipes are not found, and a shot of
    one frame counts as a flash.
    """
    frames: Iterable[np.ndarray] = read_ahead(iter_frames(video))
    if progress is not None:
        frames = progress(frames, total=video.sizes["time"], desc="finding cuts")
    cuts = [t for t, new in enumerate(shot_starts(frames)) if new]
    if cuts:
        logger.info(
            "hard cuts at frames %s; no track crosses them",
            ", ".join(str(int(video["time"][c])) for c in cuts),
        )
    return cuts


def shot_starts(frames: Iterable[np.ndarray]) -> Iterator[bool]:
    """Say of each frame whether it begins a new shot, when the next one has come.

    Parameters
    ----------
    frames
        uint8 arrays (y, x, rgb), in order.

    Yields
    ------
    bool
        One for each frame, by the rule of `find_cuts`; False for the first.
    """
    small: list[np.ndarray] = []
    pending = False  # the last frame does not look like the one before it
    for t, frame in enumerate(frames):
        small.append(_small(frame))
        small = small[-3:]
        if t == 0:
            continue
        # The frame after a break: back to what was before it (a flash), or not.
        flash = pending and _likeness(small[-3], small[-1]) >= _SAME
        yield pending and not flash
        pending = not flash and _likeness(small[-2], small[-1]) < _SAME
    if small:
        yield pending


def _small(frame: np.ndarray) -> np.ndarray:
    """Local contrast of a small grey picture, float32 (y, x), deviations of 1."""
    import cv2

    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = _WIDTH / max(height, width)
    size = (max(round(width * scale), 16), max(round(height * scale), 16))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    centred = small - cv2.GaussianBlur(small, (0, 0), _SPREAD)
    power = cv2.GaussianBlur(centred**2, (0, 0), _SPREAD)
    return centred / (np.sqrt(power) + 3)


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """How much b looks like a once the motion between them is undone, 0..1."""
    import cv2

    if max(a.std(), b.std()) < 0.1:
        return 1.0  # two blank pictures
    if min(a.std(), b.std()) < 0.1:
        return 0.0  # a blank picture and one that is not
    height, width = a.shape
    # A pan moves much of the picture out: look for the middle of it anywhere.
    middle = a[height // 4 : height - height // 4, width // 4 : width - width // 4]
    panned = float(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED).max())
    if panned > 2 * _SAME:
        return panned
    bytes_a, bytes_b = (
        np.clip(128 + 40 * picture, 0, 255).astype(np.uint8) for picture in (a, b)
    )
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    nothing: Any = None  # OpenCV makes the array; its stubs do not say so
    moved = engine.calc(bytes_a, bytes_b, nothing)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    x = (u + moved[..., 0]).astype(np.float32)
    y = (v + moved[..., 1]).astype(np.float32)
    warped = cv2.remap(b, x, y, cv2.INTER_LINEAR)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    if inside.mean() < 0.25:
        return panned
    p, q = a[inside], warped[inside]
    power = np.sqrt((p * p).mean() * (q * q).mean()) + 1e-6
    return max(float((p * q).mean() / power), panned)
