from __future__ import annotations

import numpy as np
import pytest

from napari_seurat_tracks.spans import span_numbers, span_rows, spread


def test_a_gap_begins_a_new_span():
    seen = np.array([[1, 1, 0, 1, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], bool)
    numbers = span_numbers(seen, np.arange(5))
    assert numbers.tolist() == [
        [0, 0, -1, 1, 1],
        [-1, -1, 2, -1, 3],
        [-1, -1, -1, -1, -1],
    ]


def test_missing_frames_end_a_span_and_a_constant_stride_does_not():
    seen = np.ones((1, 4), bool)
    assert span_numbers(seen, np.array([0, 5, 10, 15])).tolist() == [[0, 0, 0, 0]]
    assert span_numbers(seen, np.array([0, 1, 5, 6])).tolist() == [[0, 0, 1, 1]]


def test_no_line_joins_observations_across_a_gap():
    rng = np.random.default_rng(0)
    seen = rng.uniform(size=(40, 30)) < 0.7
    time = np.arange(30)
    spans = span_numbers(seen, time)
    rows = span_rows(spans, 4, 20, np.arange(40))
    same = rows.span[1:] == rows.span[:-1]
    assert same.any()
    assert (rows.track[1:] == rows.track[:-1])[same].all()
    assert (np.diff(rows.at)[same] == 1).all()
    assert (np.diff(rows.span) >= 0).all()
    assert len(rows.at) == seen[:, 4:20].sum()


def test_one_frame_and_no_track():
    assert span_numbers(np.ones((2, 1), bool), np.array([7])).tolist() == [[0], [1]]
    assert span_numbers(np.ones((0, 3), bool), np.arange(3)).shape == (0, 3)


@pytest.mark.parametrize(("n", "most"), [(5, 10), (100, 7), (100, 1), (0, 3)])
def test_spread_is_even_and_bounded(n, most):
    picked = spread(n, most)
    assert len(picked) == min(n, most)
    assert (np.diff(picked) > 0).all()
    if n > most > 1:
        assert picked[0] == 0
        assert picked[-1] == n - 1
