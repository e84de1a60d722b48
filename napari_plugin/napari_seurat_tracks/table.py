"""One row a track: where it is seen, how deep it is, and what to doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

COLUMNS = {
    "track": "id",
    "score": "share of its seen frames that can be trusted",
    "flags": "reasons to doubt it (seurat_tracks.reasons)",
    "seen": "frames in which it is seen",
    "first": "first frame in which it is seen",
    "last": "last frame in which it is seen",
    "depth": "median depth where it is seen, in the units of the Dataset",
    "sigma": "median standard error of the log depth ratio where it is seen",
    "detail": "the same with frame numbers",
}
"""Columns of `track_table`, and what they say."""


def track_table(ds: xr.Dataset) -> pd.DataFrame:
    """Sum every track up, with the flags of `seurat_tracks.doubt_table`.

    Parameters
    ----------
    ds
        Tracks, lifted or not; lazy ones are computed.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, in the Dataset's order; ``first`` and ``last`` are -1 and numbers
        NaN where there is nothing.

    Raises
    ------
    SchemaError
        If the Dataset breaks the contract.
    """
    import pandas as pd

    from seurat_tracks.doubt_table import quality_table
    from seurat_tracks.reasons import quality

    judged = quality(ds).compute(scheduler="synchronous")
    doubts = quality_table(judged)
    visible = judged["visible"].transpose("track", "time").values
    time, ids = judged["time"].values, judged["track"].values
    seen = visible.sum(1)
    last = visible.shape[1] - 1 - visible[:, ::-1].argmax(1)

    def middle(name: str) -> np.ndarray:
        if name not in judged:
            return np.full(len(ids), np.nan)
        values = judged[name].transpose("track", "time").values
        rows = np.where(visible & np.isfinite(values), values, np.nan)
        known = np.isfinite(rows).any(1)
        out = np.full(len(ids), np.nan)
        out[known] = np.nanmedian(rows[known], axis=1)
        return out

    flags = doubts.groupby("track", sort=False)["reason"].unique().map(", ".join)
    flags = flags.reindex(ids, fill_value="").to_numpy(dtype=object)
    never = np.where(seen == 0, "never seen", flags)
    return pd.DataFrame(
        {
            "track": ids,
            "score": judged["score"].values,
            "flags": never,
            "seen": seen,
            "first": np.where(seen > 0, time[visible.argmax(1)], -1),
            "last": np.where(seen > 0, time[last], -1),
            "depth": middle("depth"),
            "sigma": middle("depth_ratio_sigma"),
            "detail": judged["reason"].values.astype(object),
        }
    )
