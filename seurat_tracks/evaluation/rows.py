"""Rows of the scorecard, and the cases that fill them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Case:
    """One clip with its truth.

    Attributes
    ----------
    rows
        Rows of the scorecard that it counts in, each with the tracks (N,) that count
        there; None: all.
    name
        The clip.
    ds
        Tracks as the method gets them.
    z : float array (N, T)
        True depth along the optical axis, any one unit.
    visible : bool array (N, T)
        Observations that count.
    intrinsics
        True fx, fy, cx, cy in pixels; None where they are unknown or change.
    distortion
        Of its lens, in OpenCV's order; empty: none.
    """

    rows: Mapping[str, np.ndarray | None]
    name: str
    ds: xr.Dataset
    z: np.ndarray
    visible: np.ndarray
    intrinsics: tuple[float, ...] | None = None
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of the scorecard.

    Attributes
    ----------
    title
        What is scored, in words.
    bar
        What is aimed at, or None.
    measure
        What the bar speaks of: "relative" is error over that of constant depth,
        "absolute" is the error itself, for clips whose depth hardly changes.
    pooled
        Whether the row's ratio is mean error over mean constant error; if not, it is
        the mean of the cases' ratios, in which a case whose depth hardly changes can
        outweigh all others.
    """

    title: str
    bar: float | None = None
    measure: Literal["relative", "absolute"] = "relative"
    pooled: bool = False


ROWS: dict[str, Row] = {
    "kitchen": Row("7-Scenes kitchen, true 2D tracks", bar=0.22),
    "kitchen-lk": Row("7-Scenes kitchen, video alone, Lucas-Kanade", bar=0.35),
    "libmv-01": Row("libmv film shot 01, no parallax", 0.024, "absolute"),
    "libmv-02": Row("libmv film shot 02", bar=0.12),
    "libmv-03": Row("libmv film shot 03", bar=0.18),
    "mocap": Row("motion capture in a room, walking camera: the body", bar=0.5),
    "mocap-past": Row("those where the camera walks past the body"),
    "mocap-round": Row("those where it walks round the body"),
    "mocap-all": Row("all of them: body and room"),
    "joints-2": Row("Pose2Sim balancing, camera 2, 21 joints alone", bar=0.6),
    "joints-4": Row("Pose2Sim balancing, camera 4, 21 joints alone", bar=0.6),
    "drive": Row("driving down a street, depth shrinks to a third", bar=0.08),
    "drive-noisy": Row("the same, half a pixel of noise", bar=0.08),
    "scenes": Row("held-out scenes, 16 to 48 frames, exact tracks", pooled=True),
    "scenes-spoiled": Row("the same, spoiled as trackers do", pooled=True),
    "surfaces": Row("deforming surfaces, wide-apart stills"),
    "typing": Row("person typing, Lucas-Kanade, still depth", measure="absolute"),
}
"""Rows of the scorecard in their order, by name."""
