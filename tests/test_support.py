from __future__ import annotations

import numpy as np
import pytest

from seurat_tracks.support import MOST, lazy_support, support_from_tracks
from seurat_tracks.windows import plan_windows

SIZE = (200, 100)


def test_few_tracks_are_all_used_where_seen(rng: np.random.Generator) -> None:
    xy = rng.uniform(0, 90, (6, 12, 2))
    visible = np.ones((6, 12), bool)
    visible[2] = False
    visible[4, :10] = False
    plan = plan_windows(12, strides=(1,))
    places, seen = support_from_tracks(xy, visible, plan, SIZE)
    assert places.shape == (2, 5, 8, 2)
    assert seen[0].any(1).sum() == 4  # track 4 is not in the first window
    assert seen[1].any(1).sum() == 5
    assert np.isnan(places[~seen]).all()


def test_many_tracks_are_spread_evenly_whatever_their_order(
    rng: np.random.Generator,
) -> None:
    crowd = rng.uniform(0, 20, (3000, 1, 2))  # all in one corner
    rest = rng.uniform([0, 0], SIZE, (300, 1, 2))
    xy = np.concatenate([crowd, rest]) + rng.normal(0, 0.1, (3300, 8, 2))
    visible = rng.random((3300, 8)) > 0.1
    plan = plan_windows(8, strides=(1,))
    places, _ = support_from_tracks(xy, visible, plan, SIZE)
    assert places.shape[1] == MOST
    corner = (np.nan_to_num(places[0, :, :, 0], nan=0).max(1) < 21).mean()
    assert corner < 0.7  # of the tracks, nine in ten are in that corner
    order = rng.permutation(3300)
    again, _ = support_from_tracks(xy[order], visible[order], plan, SIZE)

    def as_set(a: np.ndarray) -> set[bytes]:
        return {row.tobytes() for row in np.nan_to_num(a[0], nan=-1)}

    assert as_set(places) == as_set(again)


@pytest.mark.parametrize("chunk", [1000, 700, 90])
def test_chunks_of_tracks_choose_the_same_support(chunk: int) -> None:
    import xarray as xr

    rng = np.random.default_rng(chunk)
    n, T = 2000, 16
    xy = rng.uniform(0, SIZE, (n, 1, 2)) * rng.uniform(0.2, 1, (n, 1, 1))
    xy = (xy + rng.normal(0, 1, (n, T, 2))).astype(np.float32)
    visible = rng.random((n, T)) > 0.6
    plan = plan_windows(T)
    places, _ = support_from_tracks(xy, visible, plan, SIZE)
    found = lazy_support(
        xr.DataArray(xy, dims=("track", "time", "coord")).chunk({"track": chunk}),
        xr.DataArray(visible, dims=("track", "time")).chunk({"track": chunk}),
        plan,
        SIZE,
        MOST,
    )
    np.testing.assert_array_equal(found.compute().values, places)
