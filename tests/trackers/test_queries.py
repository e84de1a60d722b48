from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from seurat_tracks.errors import TrackerError
from seurat_tracks.io.video import open_video
from seurat_tracks.trackers import good_features, grid, parse_queries
from tests.fixtures.videos import planar_clip


@pytest.fixture
def video() -> xr.DataArray:
    clip = xr.DataArray(
        planar_clip("still", 4, (90, 60))[0],
        dims=("time", "y", "x", "rgb"),
        coords={"time": [10, 12, 14, 16]},
    )
    return open_video(clip)


def test_grid_is_cell_centres_in_rows() -> None:
    points = grid(3, (90, 60))
    assert points.shape == (9, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[:3, 0], [14.5, 44.5, 74.5])
    np.testing.assert_allclose(points[::3, 1], [9.5, 29.5, 49.5])
    # As far from the left edge of the image (-0.5) as from the right.
    np.testing.assert_allclose(points.mean(axis=0), [44.5, 29.5])
    with pytest.raises(TrackerError, match="at least 1"):
        grid(0, (90, 60))


def test_all_forms_say_the_same(video: xr.DataArray) -> None:
    rows = np.array([[14, 70.5, 20.25], [10, 3, 4], [12, 88, 59]])
    table = {"y": rows[:, 2], "frame": rows[:, 0], "x": rows[:, 1]}
    forms: list[Any] = [
        rows,
        rows.tolist(),
        table,
        pd.DataFrame(table),
        xr.Dataset({k: ("point", v) for k, v in table.items()}),
    ]
    for form in forms:
        got = parse_queries(form, video)
        assert got.frame.tolist() == [2, 0, 1]  # positions, not frame numbers
        np.testing.assert_array_equal(got.xy, rows[:, 1:].astype(np.float32))
    assert parse_queries(rows[:, 1:], video).frame.tolist() == [0, 0, 0]


def test_ids_come_with_named_columns(video: xr.DataArray) -> None:
    got = parse_queries({"x": [1, 2], "y": [3, 4], "track": ["b", "a"]}, video)
    assert got.ids is not None
    assert got.ids.tolist() == ["b", "a"]
    with pytest.raises(TrackerError, match="not unique"):
        parse_queries({"x": [1, 2], "y": [3, 4], "track": [5, 5]}, video)


def test_every_fault_is_told_at_once(video: xr.DataArray) -> None:
    rows = [[10, 1, 1], [11, 1, 1], [10, np.nan, 1], [10, 90, 1], [10, 1, -3]]
    with pytest.raises(TrackerError) as caught:
        parse_queries(rows, video)
    text = str(caught.value)
    assert "NaN or infinite in 1 of 5 queries (rows 2)" in text
    assert "outside the image of 90 x 60 pixels in 2 of 5 queries (rows 3, 4)" in text
    assert "10..16 in 1 of 5 queries (rows 1)" in text
    assert "queries[:, [0, 2, 1]]" in text


@pytest.mark.parametrize(
    ("queries", "text"),
    [
        (np.zeros((0, 2)), "no queries"),
        ([], "no queries"),
        (np.zeros((3, 4)), r"shape \(3, 4\)"),
        (np.zeros(2), r"shape \(2,\)"),
        ({"u": [1], "v": [2]}, "lack x and y; they have u, v"),
        ({"x": [1, 2], "y": [2]}, r"equally long, got x \(2,\), y \(1,\)"),
        ({"x": [1], "y": [2], "t": [10], "frame": [10]}, "frame twice"),
        ([["a", "b"]], "not numbers"),
        ([[1.0, np.inf]], "infinite"),
        ([[np.inf, 1, 1]], "frame is not one"),
    ],
)
def test_bad_queries(video: xr.DataArray, queries: Any, text: str) -> None:
    with pytest.raises(TrackerError, match=text):
        parse_queries(queries, video)


def test_good_features_are_corners_spread_over_the_picture(video: xr.DataArray) -> None:
    found = good_features(video, 40, frame=12)
    assert 15 < len(found) <= 40
    assert set(found[:, 0]) == {12}
    assert len(parse_queries(found, video)) == len(found)
    gaps = np.linalg.norm(found[:, None, 1:] - found[None, :, 1:], axis=-1)
    assert gaps[~np.eye(len(found), dtype=bool)].min() > 5
    with pytest.raises(TrackerError, match="frame 11 is not"):
        good_features(video, frame=11)
    with pytest.raises(TrackerError, match="no corner"):
        good_features(open_video(np.full((2, 20, 30), 9, np.uint8)))
