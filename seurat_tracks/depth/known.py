"""Depths or distances that the user measured for some tracks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.depth.base import Span, distance_to_depth, positive_metres
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr


class Known:
    """Known depths of some tracks.

    Parameters
    ----------
    depths
        Metres by track id, ``{7: 2.4}``: the track's median depth over its visible
        frames, or its depth in ``frame`` if that is given. Or metres by track id and
        frame number, ``{(7, 0): 2.4, (7, 90): 1.1}``: scales between the runs so
        fixed are interpolated.
    frame
        Frame number in which all ``depths`` (by track id alone) hold.
    spread
        None: tracks without a known depth have none, and their result is NaN.
        "median": they are assumed to lie at the median of the known depths.
    ray_length
        True if the numbers are distances from the camera centre rather than depths
        along its optical axis; needs intrinsics.

    Raises
    ------
    DepthError
        If there are no depths, or any is not positive; lists every fault.
    """

    licence = ""
    metric = True

    def __init__(
        self,
        depths: Any,
        *,
        frame: int | None = None,
        spread: Literal["median"] | None = None,
        ray_length: bool = False,
    ) -> None:
        if not isinstance(depths, Mapping) or not depths:
            raise DepthError(
                "Known needs a non-empty dict of metres by track id, such as {7: 2.4}"
            )
        if spread not in (None, "median"):
            raise DepthError(f"Known: spread must be None or 'median', got {spread!r}")
        faults = []
        values: dict[tuple[Hashable, int | None], float] = {}
        for key, value in depths.items():
            pair = key if isinstance(key, tuple) else (key, frame)
            if len(pair) != 2:
                faults.append(f"key {key!r} is neither a track id nor (id, frame)")
                continue
            try:
                values[pair] = positive_metres(value, f"track {pair[0]!r}")
            except DepthError as error:
                faults.append(str(error))
        with_frame = {pair[1] is not None for pair in values}
        if len(with_frame) > 1:
            faults.append("give a frame for every depth or for none")
        if faults:
            raise DepthError("Known: " + "; ".join(faults))
        self.depths = values
        self.spread = spread
        self.ray_length = ray_length
        self.span: Span = "run" if with_frame == {True} else "track"

    @property
    def name(self) -> str:
        """Such as "known depth of 3 tracks"."""
        kind = "distance" if self.ray_length else "depth"
        n = len({track for track, _ in self.depths})
        rest = ", spread to the others" if self.spread else ""
        return f"known {kind} of {n} track{'s' * (n != 1)}{rest}"

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Give known depths where they are, float32 metres (track, time), else NaN.

        Raises
        ------
        DepthError
            If an id or a frame is not in the Dataset, or the track is not visible in
            the frame named; lists every fault.
        """
        import xarray as xr

        row = {v: i for i, v in enumerate(ds["track"].values.tolist())}
        column = {v: i for i, v in enumerate(ds["time"].values.tolist())}
        faults = [
            *(f"no track {t!r}" for t in _missing((t for t, _ in self.depths), row)),
            *(
                f"no frame {f!r}"
                for f in _missing((f for _, f in self.depths if f is not None), column)
            ),
        ]
        if faults:
            raise DepthError(
                f"known depths do not fit the tracks: {'; '.join(faults)}; track ids "
                f"here are like {list(row)[:3]}, frames {min(column)} to {max(column)}"
            )
        rest = np.median(list(self.depths.values())) if self.spread else np.nan
        known: dict[int, np.ndarray] = {}
        for (track, frame), metres in self.depths.items():
            line = known.setdefault(
                row[track], np.full(len(column), np.nan, np.float32)
            )
            line[slice(None) if frame is None else column[frame]] = metres

        def lines(begin: int, end: int) -> np.ndarray:
            out = np.full((end - begin, len(column)), rest, dtype=np.float32)
            for i in range(begin, end):
                if i in known:
                    out[i - begin] = known[i]
            return out

        out: Any
        if ds["xy"].chunks is None:
            out = lines(0, len(row))
        else:
            import dask.array as da
            from dask.delayed import delayed

            ends = np.cumsum(ds["xy"].chunksizes["track"]).tolist()
            out = da.concatenate(
                [
                    da.from_delayed(
                        delayed(lines, pure=False)(begin, end),
                        (end - begin, len(column)),
                        dtype=np.float32,
                    )
                    for begin, end in pairwise([0, *ends])
                ]
            )
        self._refuse_hidden(ds, row, column)
        result = xr.DataArray(out, dims=("track", "time"))
        return distance_to_depth(result, ds, self.name) if self.ray_length else result

    def _refuse_hidden(
        self, ds: xr.Dataset, row: Mapping[Any, int], column: Mapping[Any, int]
    ) -> None:
        """Refuse depths in hidden frames, which anchor nothing, where it is no work."""
        if ds["visible"].chunks is not None:
            return
        visible = ds["visible"].transpose("track", "time").values
        hidden = [
            f"track {track!r} in frame {frame}"
            for track, frame in self.depths
            if frame is not None and not visible[row[track], column[frame]]
        ]
        if hidden:
            raise DepthError(
                f"known depths must be at visible observations, but hidden: "
                f"{', '.join(hidden)}; name a frame in which the track is seen"
            )


def _missing(wanted: Any, present: Mapping[Any, int]) -> list[Any]:
    return sorted({w for w in wanted if w not in present}, key=str)
