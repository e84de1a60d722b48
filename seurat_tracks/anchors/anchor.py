"""One verb that turns ratios into depth by everything that a person can say."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks import scale
from seurat_tracks.anchors.ground import Ground
from seurat_tracks.anchors.people import (
    Depth,
    Size,
    Statement,
    check_statements,
    log_factors,
    read_statements,
)
from seurat_tracks.anchors.rigid import read_pairs, rigid_scales
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.scale import Anchor
    from seurat_tracks.shift import Affine

Assume = Literal["equal_depth"]

_NO_RELATION = (
    "tracks have unknown scales of their own, so a distance of two says nothing "
    "yet: say how far they are from one another by depth= (also relative maps), by "
    "rigid= (ids of one rigid thing, or pairs whose distance stays the same), or by "
    'assume="equal_depth" (all tracks equally far away at their reference frames)'
)


def anchor_by(
    ds: xr.Dataset,
    depth: Any = None,
    intrinsics: Any = None,
    *,
    video: Any = None,
    distance: Any = None,
    size: Any = None,
    known: Any = None,
    ground: Any = None,
    rigid: Any = None,
    assume: Assume | None = None,
    poses: Any = None,
    anchor: Anchor = "robust",
    affine: Affine | None = None,
) -> xr.Dataset:
    """Turn ratios into depth and positions, by depth sources and what a person knows.

    Parameters
    ----------
    ds
        Tracks with ``log_depth_ratio``.
    depth, video, anchor, affine
        As for `seurat_tracks.scale.anchor`. A relative source says how far tracks are
        from one another; a metric one is corrected by one factor where `distance`,
        `size`, `known` or `ground` contradict it.
    intrinsics
        As for `seurat_tracks.scale.set_intrinsics`.
    distance
        Metres by pair of tracks, ``{(3, 7): 0.42}``: the median over all frames in
        which both are seen; or by pair and frame, ``{(3, 7, 10): 0.42}``.
    size
        Metres by the ids on one rigid thing, ``{(3, 7, 9, 12): 0.42}``: the largest of
        their distances. Without another relation these tracks are taken for rigid.
    known
        Metres of depth by track, ``{3: 2.4}`` (median) or ``{(3, 10): 2.4}`` (in a
        frame).
    ground
        A `Ground`, or a dict of its parameters: points on the ground, and the camera's
        height above it. Without another relation these points alone get depth.
    rigid
        Pairs of tracks whose distance stays the same, or ids of one rigid thing: see
        `seurat_tracks.anchors.rigid`. Other tracks get no depth, unless `assume` says
        that they lie at the median of these.
    assume
        "equal_depth": all tracks are equally far away at their reference frames.
    poses
        Poses of the camera; see `seurat_tracks.cameras.to_world`.

    Returns
    -------
    xr.Dataset
        As `seurat_tracks.scale.add_xyz`; the attribute ``depth_source`` names what
        fixed the relation of tracks and what fixed metres. Lazy if `ds` is.

    Raises
    ------
    DepthError
        If what is given contradicts itself, does not fit the tracks, or does not
        suffice (the reasons that lie in values of lazy arrays, when computed).
    SchemaError, CameraError
        As the steps do.
    """
    from seurat_tracks.cameras.poses import check_poses, to_world

    statements = read_statements(distance, size, known)
    plane = None if ground is None else Ground.read(ground)
    pairs = [] if rigid is None else read_pairs(rigid)
    if assume not in (None, "equal_depth"):
        raise DepthError(f'assume must be "equal_depth" or None, got {assume!r}')
    if poses is not None:
        check_poses(ds, poses)
    if not statements and plane is None and not pairs and assume is None:
        plain = scale.anchor(ds, depth, anchor, video=video, affine=affine)
        out = scale.add_xyz(plain, intrinsics)
        return out if poses is None else to_world(out, poses)
    if depth is not None and (pairs or assume):
        raise DepthError(
            "depth= says how far tracks are from one another; so do rigid=, assume=. "
            "Give one of them"
        )
    related = depth is not None or bool(pairs) or assume is not None
    things = [s.tracks for s in statements if isinstance(s, Size)]
    if not related and things:
        pairs, related = read_pairs(things), True
    if not related and all(isinstance(s, Depth) for s in statements):
        return _alone(ds, statements, plane, intrinsics, poses)
    if not related:
        raise DepthError(_NO_RELATION)

    ds = scale.set_intrinsics(ds, intrinsics)
    more: list[Hashable] = [] if plane is None else list(plane.tracks)
    ids = check_statements(ds, statements, [*more, *(t for p in pairs for t in p)])
    if pairs:
        outside = [
            t
            for t in dict.fromkeys([*more, *(t for s in statements for t in s.tracks)])
            if t not in {t for p in pairs for t in p}
        ]
        if outside and assume is None:
            raise DepthError(
                f"tracks {', '.join(map(repr, outside))} are in no pair of rigid=, so "
                'their depth is unknown; add them, or assume="equal_depth"'
            )
        _refuse_islands(pairs)
    out = scale.anchor(ds, depth, anchor, video=video, affine=affine)
    relation = out.attrs["depth_source"]
    if pairs:
        out = _related(out, pairs, ids, rest=assume is not None)
        relation = f"{len(pairs)} constant distances"
        if assume:
            relation += ", others at their median depth"
    elif assume:
        relation = "equal depth at the reference frames (assumed)"
    out = _scaled(out, statements, plane, ids)
    said = [s.__class__.__name__.lower() for s in statements]
    said = [f"{said.count(k)} known {k}" for k in dict.fromkeys(said)]
    said += [] if plane is None else [plane.name]
    out.attrs["depth_source"] = "; ".join([relation, *said])
    out = scale.add_xyz(out)
    return out if poses is None else to_world(out, poses)


def _alone(
    ds: xr.Dataset,
    statements: list[Statement],
    plane: Ground | None,
    intrinsics: Any,
    poses: Any,
) -> xr.Dataset:
    """Known depths, or the ground, of their own tracks alone."""
    from seurat_tracks.cameras.poses import to_world
    from seurat_tracks.depth import Known

    if statements and plane is not None:
        raise DepthError(
            "known= and ground= together fix one factor twice, and nothing relates "
            "their tracks: " + _NO_RELATION
        )
    ds = scale.set_intrinsics(ds, intrinsics)
    source: Any = plane
    if plane is None:
        source = Known(
            {
                s.tracks[0] if s.frame is None else (s.tracks[0], s.frame): s.metres
                for s in statements
                if isinstance(s, Depth)
            }
        )
    out = scale.add_xyz(scale.anchor(ds, source))
    return out if poses is None else to_world(out, poses)


def _refuse_islands(pairs: list[tuple[Hashable, Hashable]]) -> None:
    """Refuse pairs that fall apart into groups, each with a factor of its own."""
    group = {t: n for n, t in enumerate({t: 0 for p in pairs for t in p})}
    for a, b in pairs:
        old, new = group[b], group[a]
        group = {t: new if g == old else g for t, g in group.items()}
    if len(set(group.values())) > 1:
        islands = [
            [t for t, g in group.items() if g == n]
            for n in dict.fromkeys(group.values())
        ]
        raise DepthError(
            f"rigid: the pairs fall apart into {len(islands)} groups that nothing "
            f"relates, such as {islands[0][:4]} and {islands[1][:4]}; join them by "
            "another pair, or anchor each on its own"
        )


def _rows(ds: xr.Dataset, ids: list[Hashable]) -> np.ndarray:
    row = {v: i for i, v in enumerate(ds["track"].values.tolist())}
    return np.array([row[t] for t in ids], int)


def _part(ds: xr.Dataset, name: str, rows: np.ndarray) -> xr.DataArray:
    """Pick some tracks of a variable, in one chunk."""
    array = ds[name].isel(track=rows)
    dims = [d for d in ("track", "time", "coord") if d in array.dims]
    array = array.transpose(*dims).drop_vars(list(array.coords))
    return array if array.chunks is None else array.chunk(-1)


def _rays(xy: np.ndarray, intrinsics: Any) -> np.ndarray:
    from seurat_tracks.geometry import unproject

    return unproject(xy, np.ones(xy.shape[:-1], xy.dtype), intrinsics)


def _related(
    ds: xr.Dataset,
    pairs: list[tuple[Hashable, Hashable]],
    ids: list[Hashable],
    *,
    rest: bool,
) -> xr.Dataset:
    """Scale tracks so that distances stay constant, up to one factor."""
    import xarray as xr

    from seurat_tracks.cameras.camera import undistorted

    rows = _rows(ds, ids)
    at = {t: i for i, t in enumerate(ids)}
    index = [(at[a], at[b]) for a, b in pairs]
    intrinsics = tuple(ds.attrs["intrinsics"])
    tracks = ds.sizes["track"]

    def solve(
        xy: np.ndarray, ratio: np.ndarray, seen: np.ndarray, sigma: np.ndarray
    ) -> np.ndarray:
        x, sd = rigid_scales(
            _rays(xy, intrinsics),
            ratio,
            seen,
            index,
            sigma=sigma,
            pixel=1.0 / intrinsics[0],
        )
        out = np.full((tracks, 2), (0.0, np.nan) if rest else np.nan)
        known = np.isfinite(x)
        out[rows[known]] = np.stack([x[known] - np.median(x[known]), sd[known]], -1)
        return out

    ratio = _part(ds, "log_depth_ratio", rows)
    sigma = xr.full_like(ratio, np.nan)
    if "depth_ratio_sigma" in ds:
        sigma = _part(ds, "depth_ratio_sigma", rows)
    found = xr.apply_ufunc(
        solve,
        undistorted(_part(ds, "xy", rows), ds),
        ratio,
        _part(ds, "visible", rows),
        sigma,
        input_core_dims=[["track", "time", "coord"], *[["track", "time"]] * 3],
        output_core_dims=[["track", "answer"]],
        exclude_dims={"track"},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"track": tracks, "answer": 2}},
    )
    if found.chunks is not None:
        found = found.chunk({"track": ds["scale"].chunksizes["track"]})
    before = {k: ds[k].attrs for k in ("scale", "depth")}
    factor = np.exp(found.isel(answer=0))
    spread = xr.ones_like(ds["scale"]) * found.isel(answer=1)
    ds = ds.assign(
        scale=(ds["scale"] * factor).astype(np.float32),
        depth=(ds["depth"] * factor).astype(np.float32),
        scale_sigma=spread.astype(np.float32),
    )
    for name, attrs in before.items():
        ds[name].attrs = attrs
    ds["scale_sigma"].attrs = {
        "units": "1",
        "long_name": "standard error of log scale, but for the one factor of all",
    }
    return ds


def _scaled(
    ds: xr.Dataset,
    statements: list[Statement],
    plane: Ground | None,
    ids: list[Hashable],
) -> xr.Dataset:
    """Multiply depth by the one factor that the statements ask for."""
    import xarray as xr

    from seurat_tracks.cameras.camera import undistorted
    from seurat_tracks.geometry import unproject

    if not statements and plane is None:
        out = ds.copy(deep=False)
        out.attrs = {**ds.attrs, "units": scale.SHARED_UNITS}
        out.attrs.pop("depth_note", None)
        for name in ("scale", "depth"):
            out[name].attrs["units"] = scale.SHARED_UNITS
        return out
    rows = _rows(ds, ids)
    intrinsics = tuple(ds.attrs["intrinsics"])
    time = ds["time"].values

    def solve(
        xy: np.ndarray, depth: np.ndarray, seen: np.ndarray, floor: np.ndarray
    ) -> np.ndarray:
        found = log_factors(
            statements, ids, time, unproject(xy, depth, intrinsics), seen
        )
        if plane is not None:
            with np.errstate(all="ignore"):
                gap = np.log(floor / depth)
            gap = gap[seen & np.isfinite(gap)]
            if not len(gap):
                raise DepthError(
                    "ground: none of its points is seen below the horizon with a depth"
                )
            found = np.append(found, np.median(gap))
        return np.asarray(np.exp(np.median(found)))

    floor = xr.full_like(ds["depth"], np.nan) if plane is None else plane.at_tracks(ds)
    part = floor.isel(track=rows).transpose("track", "time")
    part = part.drop_vars(list(part.coords))
    factor = xr.apply_ufunc(
        solve,
        undistorted(_part(ds, "xy", rows), ds),
        _part(ds, "depth", rows),
        _part(ds, "visible", rows),
        part if part.chunks is None else part.chunk(-1),
        input_core_dims=[["track", "time", "coord"], *[["track", "time"]] * 3],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    out = ds.assign(
        scale=(ds["scale"] * factor).astype(np.float32),
        depth=(ds["depth"] * factor).astype(np.float32),
    )
    out.attrs = {**ds.attrs, "units": "m", "frame_of_reference": "camera"}
    out.attrs.pop("depth_note", None)
    for name in ("scale", "depth"):
        out[name].attrs = {**ds[name].attrs, "units": "m"}
    return out
