from __future__ import annotations

import numpy as np
import pytest

from napari_seurat_tracks.colours import (
    QUANTITIES,
    UNKNOWN,
    Palette,
    choices,
    depth_speed,
    length_unit,
    limits_of,
    relative_sigma,
)
from tests.fixtures.lifted import make_lifted


def test_choices_are_what_the_dataset_has():
    ds = make_lifted()
    assert choices(ds) == list(QUANTITIES)
    assert choices(ds.drop_vars(["depth", "depth_ratio_sigma", "confidence"])) == [
        "ratio",
        "visibility",
        "track",
    ]


def test_depth_speed_is_metres_a_second_and_never_spans_a_gap():
    ds = make_lifted(4, 9)
    speed = depth_speed(ds)
    depth = ds["depth"].values
    assert np.isnan(speed[:, 0]).all()
    assert speed[0, 4] == pytest.approx((depth[0, 4] - depth[0, 3]) * 25, rel=1e-4)
    # track 1 is hidden in frames 3, 4, 5: no speed there, and none in frame 6 either
    assert np.isnan(speed[1, 3:7]).all()
    assert np.isfinite(speed[1, 7:]).all()


def test_depth_speed_without_a_rate_is_per_frame():
    ds = make_lifted().drop_vars("seconds")
    del ds.attrs["fps"]
    depth = ds["depth"].values
    assert depth_speed(ds)[0, 1] == pytest.approx(depth[0, 1] - depth[0, 0], rel=1e-4)
    assert QUANTITIES["depth speed"].unit(ds) == "m a frame"


def test_uncertainty_joins_ratio_and_scale():
    ds = make_lifted()
    both = ds.assign(scale_sigma=ds["depth_ratio_sigma"] * 0 + 0.12)
    assert relative_sigma(ds)[0, 0] == pytest.approx(0.05)
    assert relative_sigma(both)[0, 0] == pytest.approx(0.13)


def test_relative_depth_says_so():
    assert length_unit(make_lifted()) == "m"
    assert length_unit(make_lifted(units="relative")) == "relative"


def test_nan_is_grey_and_never_a_colour_of_the_scale():
    palette = Palette("viridis", 0.0, 1.0)
    colours = palette(np.array([0.0, 1.0, np.nan, -5.0, 7.0, np.inf]))
    assert np.allclose(colours[2], UNKNOWN)
    assert np.allclose(colours[5], UNKNOWN)
    assert np.allclose(colours[3], colours[0])
    assert np.allclose(colours[4], colours[1])
    assert not (np.abs(palette.table - UNKNOWN).max(1) < 1e-3).any()


def test_two_sided_quantities_are_centred():
    values = np.array([[-0.1, 0.0, 0.4]])
    seen = np.ones_like(values, bool)
    low, high = limits_of(QUANTITIES["ratio"], values, seen)
    assert low == -high
    assert high == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("values", [[[np.nan, np.nan]], [[3.0, 3.0]]])
def test_limits_never_coincide(values):
    array = np.array(values)
    low, high = limits_of(QUANTITIES["depth"], array, np.ones_like(array, bool))
    assert high > low
