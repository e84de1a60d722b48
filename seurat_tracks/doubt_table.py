"""The doubts of a Dataset as a table that can be filtered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.neighbours import runs
from seurat_tracks.reasons import REASONS, quality

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["quality_table"]

_NEEDED = (
    "xy",
    "visible",
    "confidence",
    "log_depth_ratio",
    "depth_ratio_sigma",
    "doubt",
)


def quality_table(
    ds: xr.Dataset, *, reasons: Sequence[str] | None = None, **settings: Any
) -> pd.DataFrame:
    """List the doubts of a Dataset, one row for each run of frames.

    Parameters
    ----------
    ds
        Tracks. `quality` is called for them where they have no `doubt` yet, or where
        there are settings.
    reasons
        Names out of `seurat_tracks.reasons.REASONS`; the doubts if left out, without
        the facts `hidden`, `after_cut`, `outside_frame` and `few_neighbours`.
    settings
        As for `seurat_tracks.reasons.quality`.

    Returns
    -------
    pandas.DataFrame
        In the order of tracks, then of frames, then of reasons:

        - ``track``: the caller's own id;
        - ``first``, ``last``: frame numbers, both inclusive;
        - ``frames``: how many frames of the Dataset that is;
        - ``reason``: out of `seurat_tracks.reasons.REASONS`;
        - ``value``: of a jump or a track found again the longest step, pixels; of a
          twin its distance in the first frame, pixels; of an implausible depth the
          largest change of the log ratio from one frame to the next; the largest
          sigma; the lowest confidence; NaN for facts;
        - ``detail``: the same in words.

        Lazy Datasets are computed.

    Raises
    ------
    SchemaError, SeuratTracksError
        As `quality`, and if there is no such reason.
    """
    import pandas as pd

    unknown = [name for name in reasons or () if name not in REASONS]
    if unknown:
        raise SeuratTracksError(
            f"there is no reason {unknown}; choose from {list(REASONS)}"
        )
    if "doubt" not in ds or settings:
        ds = quality(ds, **settings)
    ds = ds[[name for name in _NEEDED if name in ds]].compute()
    wanted = [name for name, r in REASONS.items() if r.doubtful]
    wanted = wanted if reasons is None else [n for n in REASONS if n in reasons]
    doubt, time = ds["doubt"].values, ds["time"].values
    tell = _Teller(ds)
    parts = []
    for rank, name in enumerate(wanted):
        row, begin, end = runs((doubt & REASONS[name].bit) > 0)
        value, detail = tell(name, row, begin, end)
        parts.append(
            pd.DataFrame(
                {
                    "row": row,
                    "track": ds["track"].values[row],
                    "first": time[begin],
                    "last": time[end - 1],
                    "frames": end - begin,
                    "rank": rank,
                    "reason": name,
                    "value": value,
                    "detail": detail,
                }
            ).astype({"reason": object, "detail": object})
        )
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["row", "first", "rank"], ignore_index=True)
    return table.drop(columns=["row", "rank"])


_Told = tuple[np.ndarray, list[str]]


class _Teller:
    """Put numbers and words to runs of one reason.

    Every method takes the track, begin and end (M,) of the runs, the end being the
    position after the last frame, and returns their values (M,) and details.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds
        visible = ds["visible"].values
        at = np.where(visible, np.arange(visible.shape[1]), -1)
        self._previous = np.full_like(at, -1)
        self._previous[:, 1:] = np.maximum.accumulate(at, axis=1)[:, :-1]

    def __call__(
        self, name: str, row: np.ndarray, begin: np.ndarray, end: np.ndarray
    ) -> _Told:
        if len(row) == 0:
            return np.zeros(0), []
        tellers: dict[str, Callable[..., _Told]] = {
            "jump": self._jump,
            "found_again": self._found_again,
            "twin": self._twin,
            "implausible": self._implausible,
            "uncertain": self._uncertain,
            "low_confidence": self._low_confidence,
        }
        if name not in tellers:
            return np.full(len(row), np.nan), [REASONS[name].meaning] * len(row)
        return tellers[name](row, begin, end)

    def _steps(self) -> np.ndarray:
        """Length in pixels of the step from the previous visible frame (N, T)."""
        xy = self._ds["xy"].values
        before = np.take_along_axis(xy, self._previous[..., None].clip(0), 1)
        length = np.linalg.norm(xy - before, axis=-1)
        return np.where(self._previous >= 0, length, np.nan)

    def _jump(self, row: np.ndarray, begin: np.ndarray, end: np.ndarray) -> _Told:
        value = _over(np.fmax, self._steps(), row, begin, end)
        return value, [f"step of {v:.1f} px" for v in value]

    def _found_again(
        self, row: np.ndarray, begin: np.ndarray, end: np.ndarray
    ) -> _Told:
        value = _over(np.fmax, self._steps(), row, begin, end)
        gap = begin - self._previous[row, begin] - 1
        return value, [
            f"{v:.1f} px away after {g} hidden frame{'s' if g > 1 else ''}"
            for v, g in zip(value, gap, strict=True)
        ]

    def _implausible(
        self, row: np.ndarray, begin: np.ndarray, end: np.ndarray
    ) -> _Told:
        ratio = self._ds["log_depth_ratio"].values
        change = np.full_like(ratio, np.nan)
        change[:, 1:] = np.abs(np.diff(ratio, axis=1))
        value = _over(np.fmax, change, row, begin, end)
        return value, [f"log ratio changes by {v:.2f} in a frame" for v in value]

    def _uncertain(self, row: np.ndarray, begin: np.ndarray, end: np.ndarray) -> _Told:
        value = np.full(len(row), np.nan)
        if "depth_ratio_sigma" in self._ds:
            sigma = self._ds["depth_ratio_sigma"].values
            value = _over(np.fmax, sigma, row, begin, end)
        known = np.isfinite(value)
        return value, [
            f"sigma up to {v:.2f}" if k else "no depth ratio"
            for v, k in zip(value, known, strict=True)
        ]

    def _low_confidence(
        self, row: np.ndarray, begin: np.ndarray, end: np.ndarray
    ) -> _Told:
        value = _over(np.fmin, self._ds["confidence"].values, row, begin, end)
        return value, [f"down to {v:.2f}" for v in value]

    def _twin(self, row: np.ndarray, begin: np.ndarray, end: np.ndarray) -> _Told:
        xy, visible = self._ds["xy"].values, self._ds["visible"].values
        twins = (self._ds["doubt"].values & REASONS["twin"].bit) > 0
        ids = self._ds["track"].values
        value, detail = np.empty(len(row)), []
        for m, (i, b) in enumerate(zip(row, begin, strict=True)):
            far = np.linalg.norm(xy[:, b] - xy[i, b], axis=1)
            far[~(visible[:, b] & twins[:, b])] = np.inf
            far[i] = np.inf
            value[m] = far.min()
            detail.append(f"with track {ids[far.argmin()]}")
        return value, detail


def _over(
    what: np.ufunc,
    values: np.ndarray,
    row: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
) -> np.ndarray:
    """Reduce values (N, T) over runs; float64 (M,)."""
    T = values.shape[1]
    # one more, since the last run may end with the last value
    flat = np.append(values.ravel(), np.nan).astype(np.float64)
    edges = np.column_stack([row * T + begin, row * T + end]).ravel()
    return np.asarray(what.reduceat(flat, edges)[::2])
