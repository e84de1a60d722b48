"""What every depth source offers."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    cast,
    get_args,
    runtime_checkable,
)

from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr

Span = Literal["run", "track"]

Kind = Literal["metric", "scale", "affine", "affine_disparity"]
"""What the numbers of a source mean.

"metric": metres. "scale": depth in an unknown unit, the same for all tracks and
frames. "affine": depth up to an unknown factor and shift per video.
"affine_disparity": inverse depth up to an unknown factor and shift per video, as
relative depth models give it; larger is nearer.
"""

KINDS: tuple[str, ...] = get_args(Kind)

AFFINE: tuple[str, ...] = ("affine", "affine_disparity")
"""Kinds from which one factor per run makes no depth."""


@runtime_checkable
class DepthSource(Protocol):
    """Anything that knows the metric depth of tracks.

    Attributes
    ----------
    name
        What the Dataset's ``depth_source`` attribute will say.
    licence
        Licence of what made the depth, "" if there is nothing to say.
    metric
        True if `at_tracks` answers in metres; False if its unit is unknown but the
        same for all tracks and frames.
    span
        "run": one scale for each visible run of a track (Eq. 10 of *Seurat*), right
        for depth measured in every frame. "track": one scale for the whole track,
        right for a single statement about it.

    Two more are read where a source has them: ``kind`` (a `Kind`; see `kind_of`) and
    ``check()``, which raises `DepthError` if the values cannot be what they are said
    to be, and which `resolve_depth` calls before any work is done.
    """

    @property
    def name(self) -> str:
        """What the Dataset's ``depth_source`` attribute will say."""

    @property
    def licence(self) -> str:
        """Licence of what made the depth."""

    @property
    def metric(self) -> bool:
        """Whether the depth is in metres."""

    @property
    def span(self) -> Span:
        """Over what one scale is estimated: "run" or "track"."""

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Depth at the tracks of a Dataset.

        Parameters
        ----------
        ds
            Tracks after the contract of `seurat_tracks.schema`.

        Returns
        -------
        float32 DataArray (track, time)
            z along the optical axis in metres; NaN = unknown. Lazy where finding it
            is work.

        Raises
        ------
        DepthError
            If the source does not fit the Dataset.
        """


def kind_of(source: DepthSource) -> Kind:
    """Say what a source's numbers mean: its ``kind``, else what ``metric`` says."""
    kind = getattr(source, "kind", None)
    if kind is None:
        return "metric" if source.metric else "scale"
    return cast("Kind", kind)


def check_kind(kind: object, where: str) -> None:
    """Refuse what is no `Kind`.

    Raises
    ------
    DepthError
        The text begins with ``where`` and lists the kinds.
    """
    if kind not in KINDS:
        raise DepthError(
            f"{where}: kind must be one of {', '.join(KINDS)}, got {kind!r}"
        )


def positive_metres(value: Any, where: str) -> float:
    """Read one depth in metres.

    Raises
    ------
    DepthError
        If it is not a finite positive number; the text begins with ``where``.
    """
    try:
        metres = float(value)
    except (TypeError, ValueError):
        metres = float("nan")
    if isinstance(value, bool) or not 0 < metres < float("inf"):
        raise DepthError(
            f"{where}: a depth must be a positive, finite number of metres, "
            f"got {value!r}"
        )
    return metres


def distance_to_depth(length: xr.DataArray, ds: xr.Dataset, name: str) -> xr.DataArray:
    """Turn ray lengths at the tracks into z, with the Dataset's own camera and lens.

    Raises
    ------
    DepthError
        If the Dataset has no ``intrinsics`` attribute.
    """
    from seurat_tracks.cameras.camera import undistorted
    from seurat_tracks.geometry import ray_length_to_z

    if "intrinsics" not in ds.attrs:
        raise DepthError(
            f"{name} gives distances from the camera centre (ray_length=True), which "
            f"become depth only with the camera's intrinsics: pass intrinsics="
            f'(fx, fy, cx, cy) or {{"fov": degrees}}'
        )
    xy = undistorted(ds["xy"].transpose("track", "time", "coord"), ds)
    values = ray_length_to_z(length.data, xy.data, ds.attrs["intrinsics"])
    return length.copy(data=values.astype("float32"))
