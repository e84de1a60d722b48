"""Final frames of a stream as Datasets, and Datasets of a stream as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.depth import Constant, Known, resolve_depth
from seurat_tracks.errors import DepthError, SchemaError
from seurat_tracks.scale import RELATIVE_NOTE, RELATIVE_UNITS, add_xyz
from seurat_tracks.schema import annotate
from seurat_tracks.streaming.buffer import NEVER
from seurat_tracks.streaming.shot import Answer


@dataclass(frozen=True)
class Metres:
    """Depth of tracks at their reference frames.

    Attributes
    ----------
    name
        What the attribute ``depth_source`` will say.
    by_track
        Metres by track id.
    others
        Metres for tracks that are not named; NaN if unknown.
    """

    name: str
    by_track: Mapping[Any, float]
    others: float

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Metres, float32 (track,), for these ids."""
        values = [self.by_track.get(i, self.others) for i in ids.tolist()]
        return np.array(values, np.float32)


def read_depth(depth: Any) -> Metres | None:
    """Read a depth that is known before any frame comes.

    Parameters
    ----------
    depth
        None; a number of metres or `Constant`: of all tracks; a dict of metres by
        track id, or `Known` without frames. Each holds at the track's reference frame.

    Raises
    ------
    DepthError
        For any other source.
    """
    source = resolve_depth(depth)
    if source is None:
        return None
    if isinstance(source, Constant):
        return Metres(source.name, {}, source.metres)
    if isinstance(source, Known) and source.span == "track" and not source.ray_length:
        by_track = {track: metres for (track, _), metres in source.depths.items()}
        others = float(np.median([*by_track.values()])) if source.spread else np.nan
        return Metres(source.name, by_track, others)
    raise DepthError(
        f"depth={source.name!r} is not known while frames still come. Give a number of "
        "metres, or a dict of metres by track id: the depth at the frame in which a "
        "track is first seen. For anything else join the pieces of the stream and "
        "call .seurat.anchor(depth)"
    )


def to_dataset(
    answer: Answer, attrs: Mapping[Any, Any], metres: Metres | None, anchored: bool
) -> xr.Dataset:
    """Build the Dataset of final frames.

    Parameters
    ----------
    answer
        Frames with their curves.
    attrs
        Of the stream.
    metres
        Depth at the reference frames, if known.
    anchored
        Whether to add scale, depth and xyz.

    Returns
    -------
    xr.Dataset
        Under the contract, with the coordinate ``first_seen`` (track).
    """
    b = answer.batch
    flat = ("track", "time")
    variables = {
        "xy": ((*flat, "coord"), b.xy),
        "visible": (flat, b.visible),
        "log_depth_ratio": (flat, answer.log_ratio),
        "depth_ratio_sigma": (flat, answer.sigma),
    }
    if b.confidence is not None:
        variables["confidence"] = (flat, b.confidence)
    ds = xr.Dataset(
        variables,
        coords={
            "track": b.ids,
            "time": b.time,
            "coord": ["x", "y"],
            "first_seen": ("track", answer.first_seen, {"long_name": _FIRST_SEEN}),
        },
        attrs=dict(attrs),
    )
    if answer.new_shot:
        ds.attrs["cuts"] = [int(b.time[0])]
    if b.seconds is not None:
        ds = ds.assign_coords(seconds=("time", b.seconds))
    if anchored:
        ds = add_xyz(_with_depth(ds, metres))
    return annotate(ds)


_FIRST_SEEN = (
    "frame number in which the track was first seen, where its ratio is 1, perhaps in "
    f"an earlier piece; {NEVER} if it has not been seen so far"
)


def _with_depth(ds: xr.Dataset, metres: Metres | None) -> xr.Dataset:
    ratio = ds["log_depth_ratio"]
    unit = np.ones(ds.sizes["track"], np.float32)
    if metres is not None:
        unit = metres.of(ds["track"].values)
    scale = np.where(np.isfinite(ratio.values), unit[:, None], np.nan)
    depth = scale * np.exp(ratio.values)
    units = RELATIVE_UNITS if metres is None else "m"
    ds = ds.assign(
        scale=(ratio.dims, scale.astype(np.float32), {"units": units}),
        depth=(ratio.dims, depth.astype(np.float32), {"units": units}),
    ).assign_attrs(
        units=units,
        depth_source="none" if metres is None else metres.name,
        depth_source_licence="",
        frame_of_reference="camera, relative" if metres is None else "camera",
    )
    if metres is None:
        ds.attrs["depth_note"] = RELATIVE_NOTE
    return ds


def join(pieces: Iterable[xr.Dataset]) -> xr.Dataset:
    """Put the pieces of a stream together along time.

    Parameters
    ----------
    pieces
        What `stream` yielded, in order; or a stretch of it.

    Returns
    -------
    xr.Dataset
        Every track that any piece has, in order of arrival; hidden, with NaN, where a
        piece does not have it. ``first_seen`` becomes ``reference_frame`` if all
        tracks were first seen in these pieces.

    Raises
    ------
    SchemaError
        If there are no pieces.
    """
    pieces = list(pieces)
    if not pieces:
        raise SchemaError("there are no pieces to join: the stream yielded none")
    ids = dict.fromkeys(i for piece in pieces for i in piece["track"].values.tolist())
    first_seen = dict.fromkeys(ids, NEVER)
    for piece in pieces:
        known = piece["first_seen"].values.tolist()
        for track, frame in zip(piece["track"].values.tolist(), known, strict=True):
            first_seen[track] = frame
    labels = np.array(list(ids))
    whole = xr.concat(
        [
            piece.drop_vars("first_seen").reindex(
                track=labels, fill_value={**_missing(piece), "visible": False}
            )
            for piece in pieces
        ],
        "time",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    cuts = [c for piece in pieces for c in piece.attrs.get("cuts") or []]
    if cuts:
        whole.attrs["cuts"] = cuts
    frames = np.array(list(first_seen.values()))
    # a track never seen has no reference; any frame will do, as in depth_ratio
    frames = np.where(frames == NEVER, whole["time"].values[0], frames)
    if np.isin(frames, whole["time"].values).all():
        return whole.assign_coords(reference_frame=("track", frames))
    return whole.assign_coords(first_seen=("track", frames, {"long_name": _FIRST_SEEN}))


def _missing(piece: xr.Dataset) -> dict[Any, Any]:
    return {
        n: np.float32(np.nan) for n, v in piece.data_vars.items() if v.dtype != bool
    }
