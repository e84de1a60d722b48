"""The Dataset contract as data: every variable, coordinate and attribute it names.

`seurat_tracks.schema` is the public door; it re-exports these names and checks
Datasets against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

CONTRACT_VERSION = "1"
"""Version of the contract, written to every Dataset and store as an attribute."""

DIMS: Mapping[str, str] = MappingProxyType(
    {
        "track": "one tracked point, under the caller's own id, in the caller's order",
        "time": "frames of the video",
        "coord": "image axes: x, y",
        "axis": "camera axes: x right, y down, z forward",
        "window": "windows of a few frames cut from the video",
        "support": "points of the grid that is tracked afresh in each window",
        "step": "frames inside a window",
        "row": "rows of a pose, a 4 x 4 matrix",
        "column": "columns of a pose",
    }
)
"""Dimensions in canonical order, and what runs along them."""

DIM_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "frame": "time",
        "frames": "time",
        "point": "track",
        "points": "track",
        "particle": "track",
        "particles": "track",
        "individual": "track",
        "individuals": "track",
        "keypoint": "track",
        "keypoints": "track",
        "tracks": "track",
        "space": "coord",
    }
)
"""Names that other software gives to our dimensions."""

VARIABLE_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "position": "xy",
        "tracks": "xy",
        "tracks_xy": "xy",
        "visibility": "visible",
        "visibles": "visible",
    }
)
"""Names that other software gives to our variables."""


@dataclass(frozen=True)
class VariableSpec:
    """One data variable of the contract.

    Attributes
    ----------
    name, dims
        Its name, and its dimensions in canonical order.
    dtype
        Its NumPy dtype, exactly.
    units
        ``px`` (pixels), ``1`` (a pure number), ``m`` (metres), or empty for flags.
    meaning
        What a value says, and what NaN says.
    optional
        False for what every Dataset of tracks must hold.
    derived
        True for what this package computes from tracks; the values of a derived
        variable are checked only when it is asked for by name.
    positive
        True where finite values must be above zero.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    meaning: str
    optional: bool = True
    derived: bool = False
    positive: bool = False


@dataclass(frozen=True)
class CoordinateSpec:
    """One coordinate of the contract.

    Attributes
    ----------
    name, dims
        Its name and dimensions; a coordinate named as its dimension is its index.
    kind
        ``int``, ``float64``, ``id`` (integers or strings) or ``label``.
    units
        Units of its values, empty where they have none.
    meaning
        What a value says.
    labels
        The exact values of a ``label`` coordinate.
    optional
        False where a Dataset must hold it whenever it has its dimension.
    """

    name: str
    dims: tuple[str, ...]
    kind: str
    units: str
    meaning: str
    labels: tuple[str, ...] = ()
    optional: bool = True


@dataclass(frozen=True)
class AttributeSpec:
    """One attribute of the contract; values are JSON scalars, strings or lists.

    Attributes
    ----------
    name
        Its name in ``ds.attrs``.
    kind
        What a value is, in words.
    meaning
        What a value says.
    optional
        False for what every Dataset of tracks must hold.
    """

    name: str
    kind: str
    meaning: str
    optional: bool = True


_Spec = TypeVar("_Spec", VariableSpec, CoordinateSpec, AttributeSpec)


def _by_name(*specs: _Spec) -> Mapping[str, _Spec]:
    return MappingProxyType({spec.name: spec for spec in specs})


VARIABLES: Mapping[str, VariableSpec] = _by_name(
    VariableSpec(
        "xy",
        ("track", "time", "coord"),
        "float32",
        "px",
        "image position, pixel centres at integers; NaN where there is no observation",
        optional=False,
    ),
    VariableSpec(
        "visible",
        ("track", "time"),
        "bool",
        "",
        "seen by the tracker in that frame; only where xy is finite",
        optional=False,
    ),
    VariableSpec(
        "confidence",
        ("track", "time"),
        "float32",
        "1",
        "the tracker's trust in the position, 0 to 1; NaN where it gives none",
    ),
    VariableSpec(
        "support_xy",
        ("window", "support", "step", "coord"),
        "float32",
        "px",
        "grid tracks started afresh on each window's first frame; NaN where lost or "
        "where the step is padding",
    ),
    VariableSpec(
        "support_visible",
        ("window", "support", "step"),
        "bool",
        "",
        "support point seen in that step; only where support_xy is finite",
    ),
    VariableSpec(
        "log_depth_ratio",
        ("track", "time"),
        "float32",
        "1",
        "log(z_t / z_ref), 0 at the track's own reference frame; NaN where unknown",
        derived=True,
    ),
    VariableSpec(
        "depth_ratio_sigma",
        ("track", "time"),
        "float32",
        "1",
        "standard error of log_depth_ratio, in natural-log units; NaN where unknown",
        derived=True,
    ),
    VariableSpec(
        "scale",
        ("track", "time"),
        "float32",
        "m",
        "depth at ratio 1, constant on each visible run; NaN where unknown. Without a "
        "metric depth source it is relative, and its own units attribute says so",
        derived=True,
        positive=True,
    ),
    VariableSpec(
        "scale_sigma",
        ("track", "time"),
        "float32",
        "1",
        "standard error of log scale, in natural-log units; NaN where unknown",
        derived=True,
    ),
    VariableSpec(
        "depth",
        ("track", "time"),
        "float32",
        "m",
        "z along the optical axis, never ray length; NaN where unknown. Relative "
        "where scale is",
        derived=True,
        positive=True,
    ),
    VariableSpec(
        "xyz",
        ("track", "time", "axis"),
        "float32",
        "m",
        "position in the camera's frame: x right, y down, z forward; NaN where xy or "
        "depth is. Relative where scale is. With poses in the world's frame",
        derived=True,
    ),
    VariableSpec(
        "camera_to_world",
        ("time", "row", "column"),
        "float64",
        "",
        "pose of the camera in each frame: a rigid 4 x 4 matrix that takes positions "
        "in the camera's frame to the world's, metres; NaN where unknown",
        derived=True,
    ),
)
"""Every data variable of the contract; a Dataset may hold others of the caller's."""

COORDINATES: Mapping[str, CoordinateSpec] = _by_name(
    CoordinateSpec(
        "track",
        ("track",),
        "id",
        "",
        "the caller's own ids: unique integers or strings, in the caller's order",
        optional=False,
    ),
    CoordinateSpec(
        "time",
        ("time",),
        "int",
        "",
        "frame number, strictly increasing",
        optional=False,
    ),
    CoordinateSpec(
        "coord",
        ("coord",),
        "label",
        "",
        "image axes",
        labels=("x", "y"),
        optional=False,
    ),
    CoordinateSpec(
        "axis",
        ("axis",),
        "label",
        "",
        "camera axes",
        labels=("x", "y", "z"),
        optional=False,
    ),
    CoordinateSpec(
        "seconds",
        ("time",),
        "float64",
        "s",
        "when each frame was shown, strictly increasing; present when known",
    ),
    CoordinateSpec(
        "query_frame",
        ("track",),
        "int",
        "",
        "frame number, among the values of time, on which the point was chosen",
    ),
    CoordinateSpec(
        "reference_frame",
        ("track",),
        "int",
        "",
        "frame number at which log_depth_ratio is 0",
    ),
    CoordinateSpec(
        "window_start",
        ("window",),
        "int",
        "",
        "frame number of each window's first frame",
        optional=False,
    ),
    CoordinateSpec(
        "window_stride",
        ("window",),
        "int",
        "",
        "positions along the time axis between two steps of the window, at least 1",
        optional=False,
    ),
    CoordinateSpec(
        "window_frame",
        ("window", "step"),
        "int",
        "",
        "frame number of each step of a window, -1 where the step is padding; shows "
        "when frames were left out after the support was tracked",
    ),
)
"""Every coordinate of the contract; a Dataset may hold others of the caller's."""

ATTRIBUTES: Mapping[str, AttributeSpec] = _by_name(
    AttributeSpec(
        "frame_size",
        "two positive integers",
        "[width, height] of the video in pixels",
        optional=False,
    ),
    AttributeSpec("fps", "positive number", "mean frames per second"),
    AttributeSpec("cuts", "list of integers", "frame numbers that begin a new shot"),
    AttributeSpec("tracker", "string", "what made the tracks"),
    AttributeSpec("tracker_licence", "string", "licence of the tracker"),
    AttributeSpec("model", "string", "what made the depth ratios"),
    AttributeSpec("model_hash", "string", "hash of the model's weights"),
    AttributeSpec("model_licence", "string", "licence of the model's weights"),
    AttributeSpec("depth_source", "string", "what fixed the scale"),
    AttributeSpec("units", "string", "units of depth and xyz; says so when relative"),
    AttributeSpec(
        "frame_of_reference", "string", "what xyz is expressed in; world with poses"
    ),
    AttributeSpec(
        "intrinsics",
        "four numbers",
        "[fx, fy, cx, cy] of the pinhole camera in pixels, pixel centres at integers",
    ),
    AttributeSpec("intrinsics_source", "string", "where the intrinsics are from"),
    AttributeSpec(
        "distortion",
        "list of numbers",
        "coefficients of a lens that distorts, in OpenCV's order",
    ),
    AttributeSpec("lens", "string", "opencv or fisheye: whose coefficients they are"),
    AttributeSpec("contract_version", "string", "version of this contract"),
)
"""Every attribute of the contract; a Dataset may hold others of the caller's."""
