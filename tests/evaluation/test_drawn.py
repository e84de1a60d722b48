import numpy as np
import pytest

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.evaluation.drawn import drawn_scene
from seurat_tracks.geometry import project
from seurat_tracks.schema import validate


def test_truth_projects_onto_the_tracks():
    tracks, truth = drawn_scene(2, frames=9, camera="walk", motion="rigid")
    validate(tracks)
    validate(truth)
    seen = tracks["visible"].values
    xy = project(truth["xyz"].values.astype(float), truth.attrs["intrinsics"])
    np.testing.assert_allclose(xy[seen], tracks["xy"].values[seen], atol=1e-3)
    np.testing.assert_array_equal(tracks["track"], truth["track"])
    np.testing.assert_array_equal(tracks["body"], truth["body"])
    assert (seen.sum(1) > 1).all()
    assert (truth["depth"].values[seen] > 0).all()


def test_the_seed_decides():
    first, _ = drawn_scene(5, frames=6)
    again, _ = drawn_scene(5, frames=6)
    other, _ = drawn_scene(6, frames=6)
    assert first.identical(again)
    assert not first.equals(other)


def test_spoiled_tracks_err_and_the_truth_does_not():
    exact, truth = drawn_scene(4, frames=9, camera="orbit", motion="none")
    spoiled, same = drawn_scene(
        4, frames=9, camera="orbit", motion="none", spoiled=True
    )
    both = spoiled["track"].isin(exact["track"]).values
    ids = spoiled["track"].values[both]
    assert same["depth"].sel(track=ids).equals(truth["depth"].sel(track=ids))
    gap = abs(spoiled["xy"].sel(track=ids) - exact["xy"].sel(track=ids))
    assert 0.01 < float(gap.median()) < 20


def test_a_lens_that_zooms_has_no_one_camera():
    tracks, truth = drawn_scene(0, frames=9, camera="zoom", motion="none")
    assert "intrinsics" not in truth.attrs
    assert tracks.sizes["track"] > 10


def test_unknown_kinds_are_refused():
    with pytest.raises(SeuratTracksError, match=r"SceneConfig\.camera is 'drone'"):
        drawn_scene(0, camera="drone")
