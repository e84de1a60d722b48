"""Datasets of tracks, one after another along time, checked as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from seurat_tracks.errors import SchemaError
from seurat_tracks.fusion import linked_frames
from seurat_tracks.schema import VARIABLES, find_faults, validate_for_lift
from seurat_tracks.streaming.batch import Batch
from seurat_tracks.streaming.support import FromDataset, FromTracks, Support
from seurat_tracks.windows import plan_from_starts

_KEPT = ("xy", "visible", "confidence")
# what lies in an earlier piece is no fault of a later one
_OF_THE_WHOLE = ("query_frame", "reference_frame")
# nor is a camera that looks away for a while
_ALLOWED = "visible: no track is visible in any frame."


def batches_of_one(
    ds: xr.Dataset, strides: Sequence[int], most: int
) -> Iterator[Batch]:
    """Read one Dataset along time; its own support is used, if it has any.

    Parameters
    ----------
    ds
        Tracks, lazy or not.
    strides
        Frame strides of the windows, where support is drawn from the tracks.
    most
        Frames that are loaded at a time.

    Raises
    ------
    SchemaError
        As `seurat_tracks.schema.validate_for_lift`; and where support leaves frames
        that no windows link to the others of their shot.
    """
    validate_for_lift(ds, values=False)
    if "support_xy" not in ds:
        yield from batches_of_many(iter([ds]), strides, most)
        return
    time = ds["time"].values
    edges = [0, *_positions(ds, time[0]), len(time)]
    plan = plan_from_starts(
        np.searchsorted(time, ds["window_start"].values),
        ds["window_stride"].values,
        len(time),
        length=ds.sizes["step"],
        cuts=edges[1:-1],
    )
    shot = np.searchsorted(edges, np.arange(len(time)), side="right")
    group = linked_frames(plan, len(time))
    if len(np.unique(group)) > len(edges) - 1:
        lonely = int(np.flatnonzero(np.diff(group) & (np.diff(shot) == 0))[0]) + 1
        raise SchemaError(
            f"support_xy: no windows link frame {time[lonely]} to the one before it. "
            "Cure: track support in windows over the whole video (st.track), or drop "
            "it: it is then drawn from the tracks"
        )
    own = [FromDataset(ds, plan, a, b) for a, b in pairwise(edges)]
    yield from _Pieces(iter([ds]), strides, most, own).batches()


def batches_of_many(
    pieces: Iterator[Any], strides: Sequence[int], most: int
) -> Iterator[Batch]:
    """Read Datasets that follow one another; as `batches_of_one`.

    Raises
    ------
    SchemaError
        For a piece that breaks the contract, is empty, comes out of order or overlaps
        the one before; has support of its own; or differs from the first in frame
        size, camera, kind of ids, or in having confidence or seconds.
    """
    yield from _Pieces(pieces, strides, most).batches()


class _Pieces:
    def __init__(
        self,
        pieces: Iterator[Any],
        strides: Sequence[int],
        most: int,
        own: Sequence[Support] = (),
    ) -> None:
        self._pieces = pieces
        self._strides = strides
        self._most = most
        self._own = list(own)
        self._number = 0
        self._like: xr.Dataset | None = None
        self._last: int | None = None
        self._last_second = -np.inf

    def batches(self) -> Iterator[Batch]:
        for given in self._pieces:
            piece = self._checked(given)
            T = piece.sizes["time"]
            new = _positions(piece, self._last)
            if self._last is None:
                new = [0, *new]
            edges = sorted({*range(0, T, self._most), *new, T})
            for begin, end in pairwise(edges):
                some = piece.isel(time=slice(begin, end)).load()
                self._refuse(find_faults(some.assign_attrs(cuts=[])))
                yield self._batch(some, begin in new)
            self._last = int(piece["time"].values[-1])
            if "seconds" in piece.coords:
                self._last_second = float(piece["seconds"].values[-1])
            self._number += 1

    def _checked(self, given: Any) -> xr.Dataset:
        """Check all but values; return what a stream carries, in canonical order."""
        faults = []
        if isinstance(given, xr.Dataset):
            given = given.drop_vars([n for n in _OF_THE_WHOLE if n in given.variables])
            if "support_xy" in given and not self._own:
                faults.append(
                    "support_xy: support of a piece does not reach beyond its ends. "
                    "Cure: give one Dataset with all frames, which is read bit by bit "
                    'if lazy; or ds.drop_vars(["support_xy", "support_visible"]), '
                    "and support is drawn from the tracks"
                )
        self._refuse([*faults, *find_faults(given, values=False)])
        kept = [n for n in _KEPT if n in given]
        coords = [n for n in ("track", "time", "coord", "seconds") if n in given.coords]
        piece = xr.Dataset(
            {n: given[n].transpose(*VARIABLES[n].dims).variable for n in kept},
            coords={n: given[n].variable for n in coords},
            attrs=given.attrs,
        )
        self._refuse(self._misfits(piece))
        if self._like is None:
            self._like = piece.isel(time=slice(0), track=slice(0))
        return piece

    def _misfits(self, piece: xr.Dataset) -> list[str]:
        """Say where a piece does not continue those before it."""
        like = self._like
        faults: list[str] = []
        if like is None or self._last is None:
            return faults
        time = piece["time"].values
        if time[0] <= self._last:
            faults.append(
                f"time: it begins with frame {time[0]}, but frame {self._last} has "
                "come. Cure: give pieces in order, each frame once"
            )
        for name in ("frame_size", "intrinsics", "distortion", "lens"):
            was, is_ = (list(d.attrs.get(name) or []) for d in (like, piece))
            if was != is_:
                faults.append(
                    f"attrs[{name!r}]: it is {is_ or 'missing'}, and was "
                    f"{was or 'missing'} in the first piece. Cure: give the frames of "
                    "one camera; start another stream for another one"
                )
        kinds = [d["track"].dtype.kind in "iu" for d in (like, piece)]
        if kinds[0] != kinds[1]:
            faults.append(
                "track: ids are integers in one piece and strings in another. Cure: "
                "give each track one id"
            )
        for name in ("confidence", "seconds"):
            if (name in like.variables) != (name in piece.variables):
                faults.append(
                    f"{name}: pieces before this one had "
                    f"{'it' if name in like.variables else 'none'}. Cure: give it "
                    "with every piece or with none"
                )
        if "seconds" in piece.coords and piece["seconds"][0] <= self._last_second:
            faults.append(
                f"seconds: they begin at {float(piece['seconds'][0]):g}, but "
                f"{self._last_second:g} has been. Cure: count from the stream's begin"
            )
        return faults

    def _refuse(self, faults: Sequence[str]) -> None:
        faults = [f for f in faults if not f.startswith(_ALLOWED)]
        if faults:
            lines = "\n".join(f"- {fault}" for fault in faults)
            raise SchemaError(
                f"Piece {self._number} of the stream, counted from 0, cannot be taken "
                f"up:\n{lines}"
            )

    def _batch(self, ds: xr.Dataset, new_shot: bool) -> Batch:
        support: Support | None = None
        if new_shot:
            width, height = ds.attrs["frame_size"]
            support = FromTracks(self._strides, (width, height))
            if self._own:
                support = self._own.pop(0)
        ids = ds["track"].values
        return Batch(
            ds["time"].values,
            ids.astype(str) if ids.dtype == object else ids,
            ds["xy"].values,
            ds["visible"].values,
            ds["seconds"].values if "seconds" in ds.coords else None,
            ds["confidence"].values if "confidence" in ds else None,
            support,
            ds.attrs,
        )


def _positions(ds: xr.Dataset, after: int | None) -> list[int]:
    """Positions at which new shots begin, leaving out cuts up to frame ``after``."""
    time = ds["time"].values
    first = time[0] if after is None else after
    cuts = [c for c in ds.attrs.get("cuts") or [] if first < c <= time[-1]]
    return sorted({int(p) for p in np.searchsorted(time, cuts)})
