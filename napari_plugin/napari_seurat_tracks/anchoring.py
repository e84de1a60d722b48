"""What a person says of the scene, brought to tracks that have a depth already."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_seurat_tracks.relift import in_world_of
from seurat_tracks.depth.base import positive_metres
from seurat_tracks.errors import DepthError
from seurat_tracks.scale import RELATIVE_UNITS, add_xyz

if TYPE_CHECKING:
    import xarray as xr

Relation = Literal["as_is", "equal_depth", "rigid", "alone"]

RELATIONS: dict[Relation, str] = {
    "as_is": "as their depths say now",
    "equal_depth": "all equally far away at their reference frames (assumed)",
    "rigid": "the selected tracks are one rigid thing, others at its depth",
    "alone": "not: only the tracks named get a depth",
}
"""How tracks are taken to lie to one another, and what that means."""


@dataclass(frozen=True)
class Statement:
    """One thing that is known.

    Attributes
    ----------
    kind
        "distance" of two tracks, "depth" of one, or "size": the largest distance
        among several.
    tracks
        Their ids.
    metres
        How far.
    frame
        Frame number in which it holds; None: in all (their median). A size has none.
    """

    kind: Literal["distance", "depth", "size"]
    tracks: tuple[Hashable, ...]
    metres: float
    frame: int | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing."""
        need = {"distance": 2, "depth": 1}.get(self.kind)
        n = len(self.tracks)
        if need is not None and n != need:
            raise DepthError(
                f"a {self.kind} is of {need} point{'s' * (need > 1)}, got {n}"
            )
        if self.kind == "size" and n < 2:
            raise DepthError("a size is of two tracks or more: select them first")
        if len(set(self.tracks)) < n:
            raise DepthError(
                f"both points are track {self.tracks[0]}, and from a point to itself "
                "there is no distance: pick two different ones"
            )
        positive_metres(self.metres, self.kind)

    def __str__(self) -> str:
        """Say it in words."""
        names = " – ".join(str(t) for t in self.tracks)
        where = "" if self.frame is None else f" in frame {self.frame}"
        return f"{self.kind} of {names}: {self.metres:g} m{where}"


def relations_of(ds: xr.Dataset) -> list[Relation]:
    """Relations that can be chosen for these tracks, the best first."""
    if has_shared_depth(ds):
        return ["as_is", "equal_depth", "rigid", "alone"]
    return ["equal_depth", "rigid", "alone"]


def has_shared_depth(ds: xr.Dataset) -> bool:
    """Whether depths of different tracks are in one unit, metres or another."""
    return "depth" in ds and str(ds.attrs.get("units", "")) not in ("", RELATIVE_UNITS)


def anchored(
    ds: xr.Dataset,
    statements: Sequence[Statement],
    relation: Relation,
    *,
    rigid: Sequence[Hashable] = (),
    intrinsics: Any = None,
) -> xr.Dataset:
    """Anchor tracks by what is known.

    Parameters
    ----------
    ds
        Lifted tracks.
    statements
        What is known; several fix the one factor by their median.
    relation
        One of `relations_of`.
    rigid
        Ids of the rigid thing.
    intrinsics
        As for `seurat_tracks.anchors.anchor_by`.

    Returns
    -------
    xr.Dataset
        With scale, depth and xyz in metres. ``depth_source`` says what fixed them.

    Raises
    ------
    DepthError
        Nothing is known, it contradicts itself, or the tracks are not lifted.
    SeuratTracksError
        As `seurat_tracks.anchors.anchor_by`.
    """
    from seurat_tracks.anchors import anchor_by
    from seurat_tracks.depth import AtTracks

    if "log_depth_ratio" not in ds:
        raise DepthError(
            "these tracks have no depth ratios yet, so there is nothing to scale: "
            "lift them first (Lift widget)"
        )
    if not statements:
        raise DepthError("nothing is known yet: pick points and give metres")
    if relation not in relations_of(ds):
        raise DepthError(
            "these depths are relative, each track's to its own reference frame, so "
            "they do not say how tracks lie to one another: choose another relation"
        )
    said: dict[str, dict[Any, float]] = {}
    names = {"distance": "distance", "depth": "known", "size": "size"}
    for s in statements:
        key: tuple[Any, ...] = s.tracks
        if s.frame is not None and s.kind != "size":
            key = (*key, s.frame)
        said.setdefault(names[s.kind], {})[key if len(key) > 1 else key[0]] = s.metres
    how: dict[str, Any] = {}
    before = str(ds.attrs.get("depth_source", "none"))
    if relation == "as_is":
        # what the depths are now is exact: medians leave the runs' scales as they are
        values = ds["depth"].transpose("track", "time").drop_vars(["track", "time"])
        how = {
            "depth": AtTracks(values, name=before, metric=True, check=False),
            "anchor": "median",
        }
    elif relation == "equal_depth":
        how = {"assume": "equal_depth"}
    elif relation == "rigid":
        if len(rigid) < 3:
            raise DepthError(
                f"a rigid thing needs three tracks or more, {len(rigid)} are selected"
            )
        how = {"rigid": list(rigid), "assume": "equal_depth"}
    elif "distance" in said:
        raise DepthError(
            "a distance of two tracks needs to know how they lie to one another: "
            "choose another relation"
        )
    out = anchor_by(ds, intrinsics=intrinsics, **how, **said)
    return _factored(ds, out) if relation == "as_is" else out


def _factored(ds: xr.Dataset, out: xr.Dataset) -> xr.Dataset:
    """Bring one factor to all that was there, error bars and poses with it."""
    seen = ds["visible"] & np.isfinite(ds["depth"]) & np.isfinite(out["depth"])
    both = (out["depth"] / ds["depth"]).where(seen)
    factor = np.float32(np.nanmedian(both.compute(scheduler="synchronous").values))
    for name in ("scale", "depth"):
        out[name] = (ds[name] * factor).assign_attrs(out[name].attrs)
    if "scale_sigma" in ds:
        out["scale_sigma"] = ds["scale_sigma"]
    return in_world_of(ds, add_xyz(out))


def change(before: xr.Dataset, after: xr.Dataset) -> str:
    """Say how depth changed: by what factor, from where to where."""
    old = _median_depth(before)
    new = _median_depth(after)
    units = after.attrs.get("units", "")
    if not np.isfinite(new):
        return "no track has a depth now"
    if not np.isfinite(old):
        return f"median depth {new:.3g} {units}"
    return f"scale × {new / old:.3g}: median depth {old:.3g} → {new:.3g} {units}"


def _median_depth(ds: xr.Dataset) -> float:
    if "depth" not in ds:
        return float("nan")
    depth = ds["depth"].transpose("track", "time").values
    seen = ds["visible"].transpose("track", "time").values & np.isfinite(depth)
    return float(np.median(depth[seen])) if seen.any() else float("nan")
