from __future__ import annotations

import numpy as np
import pytest

from napari_seurat_tracks import edits
from napari_seurat_tracks.edits import EditError
from napari_seurat_tracks.relift import relift
from seurat_tracks.errors import SchemaError
from seurat_tracks.reasons import ADDED
from seurat_tracks.schema import VARIABLES, validate


@pytest.fixture(scope="module")
def lifted_by():
    """Lifted tracks of a small scene, by depth source; tracked and lifted once."""
    from seurat_tracks.io.arrays import from_arrays

    rng = np.random.default_rng(5)
    n, t = 12, 14
    xyz = np.concatenate([rng.uniform(-1, 1, (n, 2)), rng.uniform(3, 6, (n, 1))], 1)
    z = xyz[:, 2:] * (1 - 0.03 * np.arange(t))
    xy = 60 * xyz[:, None, :2] / z[..., None] + [47.5, 39.5]
    visible = np.ones((n, t), bool)
    visible[3, 6:8] = False
    ds = from_arrays(
        xy.astype(np.float32), visible, frame_size=(96, 80), fps=25, query_frame=0
    )
    ds = ds.assign(mine=("track", np.arange(n)), colour=(("track", "time"), visible))

    def make(depth=None, **settings):
        with pytest.warns(UserWarning, match="no camera intrinsics"):
            return ds.seurat.lift3d(depth=depth, device="cpu", **settings)

    return {"relative": make(), "metres": make(4.0)}


@pytest.fixture(params=["relative", "metres"])
def lifted(request, lifted_by):
    return lifted_by[request.param]


def same_bytes(a, b):
    return a.values.tobytes() == b.values.tobytes() and a.dtype == b.dtype


def check(out, ds, kept):
    """It keeps the contract, and tracks that were not touched are what they were."""
    validate(out, require=[n for n in VARIABLES if n in out])
    assert list(out.data_vars) == [v for v in ds.data_vars if v not in ADDED]
    assert set(out.coords) == set(ds.coords)
    for name in out.variables:
        if "track" in out[name].dims:
            assert same_bytes(out[name].sel(track=kept), ds[name].sel(track=kept)), name
            assert out[name].dims == ds[name].dims
            assert out[name].attrs == ds[name].attrs
        else:
            assert same_bytes(out[name], ds[name])
    assert out.attrs == ds.attrs


def test_drop(lifted):
    before = lifted.copy(deep=True)
    out = edits.drop(lifted, [3, 0])
    assert out["track"].values.tolist() == [1, 2, *range(4, 12)]
    check(out, lifted, out["track"].values)
    assert lifted.identical(before)
    assert edits.drop(lifted, 3).sizes["track"] == 11


def test_hide_says_not_visible_and_keeps_positions(lifted):
    out = edits.hide(lifted, [2, 3], 4, 7)
    seen = out["visible"].sel(track=2).values
    assert not seen[4:8].any()
    assert seen[:4].all()
    assert seen[8:].all()
    assert same_bytes(out["xy"], lifted["xy"])
    check(out, lifted, [0, 1, *range(4, 12)])


def test_split_gives_two_tracks_with_nothing_of_one_another(lifted):
    out = edits.split(lifted, 3, 9)
    assert out["track"].values.tolist() == [*range(12), 12]
    check(out, lifted, [i for i in range(12) if i != 3])
    head, tail = out.sel(track=3), out.sel(track=12)
    assert not head["visible"].values[9:].any()
    assert np.isnan(head["xy"].values[9:]).all()
    assert np.isnan(tail["depth"].values[:9]).all()
    assert tail["query_frame"] == tail["reference_frame"] == 9
    assert head["reference_frame"] == 0
    assert tail["log_depth_ratio"].sel(time=9) == 0
    assert tail["depth_ratio_sigma"].sel(time=9) == 0
    assert tail["mine"] == 3
    old = lifted.sel(track=3)
    ratio = (old["log_depth_ratio"] - old["log_depth_ratio"].sel(time=9)).values
    np.testing.assert_allclose(tail["log_depth_ratio"].values[9:], ratio[9:], atol=1e-6)
    assert np.all(
        tail["depth_ratio_sigma"].values[10:] >= old["depth_ratio_sigma"].values[10:]
    )
    if lifted.attrs["units"] == "m":
        np.testing.assert_array_equal(tail["depth"][9:], old["depth"][9:])
        np.testing.assert_allclose(
            tail["depth"][9:],
            (tail["scale"] * np.exp(tail["log_depth_ratio"]))[9:],
            rtol=1e-5,
        )
    else:
        # relative to the track's own reference frame, as the units say
        assert tail["depth"].sel(time=9) == pytest.approx(1, rel=1e-6)
        np.testing.assert_allclose(tail["xyz"].sel(axis="z")[9:], tail["depth"][9:])


def test_split_and_merge_come_back(lifted):
    out = edits.merge(edits.split(lifted, 3, 9), 12, 3)
    assert out["track"].values.tolist() == lifted["track"].values.tolist()
    check(out, lifted, [i for i in range(12) if i != 3])
    one, old = out.sel(track=3), lifted.sel(track=3)
    np.testing.assert_array_equal(one["xy"], old["xy"])
    np.testing.assert_array_equal(one["visible"], old["visible"])
    assert one["query_frame"] == one["reference_frame"] == 0
    if lifted.attrs["units"] == "m":
        np.testing.assert_allclose(one["depth"], old["depth"], rtol=1e-6)
        np.testing.assert_allclose(
            one["depth"], one["scale"] * np.exp(one["log_depth_ratio"]), rtol=1e-5
        )
    else:  # how far the later part is cannot be known before it is lifted again
        assert np.isfinite(one["depth"].values[:9]).all()
        for name in ("log_depth_ratio", "depth_ratio_sigma", "scale", "depth", "xyz"):
            assert np.isnan(one[name].values[9:]).all()


def test_merge_of_tracks_that_take_turns(lifted):
    apart = edits.hide(edits.hide(lifted, 5, 4, 8), 6, 0, 4)
    apart = edits.hide(apart, 6, 8, 13)
    out = edits.merge(apart, 5, 6)
    one = out.sel(track=5)
    expected = lifted["xy"].sel(track=5).values.copy()
    expected[5:8] = lifted["xy"].sel(track=6).values[5:8]
    expected[8] = lifted["xy"].sel(track=6).values[8]  # hidden: of the one seen last
    np.testing.assert_array_equal(one["xy"], expected)
    assert (
        one["visible"].values.tolist()
        == [True] * 4 + [False] + [True] * 3 + [False] + [True] * 5
    )


def test_string_ids(lifted):
    ds = lifted.assign_coords(track=[f"p{i}" for i in range(12)])
    out = edits.split(edits.split(ds, "p3", 9), "p3", 4)
    assert out["track"].values.tolist()[-2:] == ["p3-2", "p3-3"]
    out = edits.split(ds, "p3", 9, "a much longer name than the others")
    assert out["track"].values[-1] == "a much longer name than the others"
    assert edits.drop(out, "p0").sizes["track"] == 12


def test_lazy_tracks_stay_lazy(lifted, raise_if_dask_computes):
    lazy = lifted.chunk({"track": 5})
    for edit in (
        lambda ds: edits.drop(ds, 3),
        lambda ds: edits.split(ds, 3, 9),
        lambda ds: edits.hide(ds, 3, 2, 3),
        lambda ds: edits.merge(edits.split(ds, 3, 9), 3, 12),
    ):
        out = edit(lazy)
        assert out["xy"].chunks is not None
        assert out["depth"].chunks is not None
        assert out.compute().equals(edit(lifted))


def test_doubts_of_before_an_edit_go(lifted):
    out = edits.drop(lifted.seurat.quality(), 0)
    assert not set(ADDED) & set(out.variables)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda ds: edits.drop(ds, []), "no track is selected"),
        (lambda ds: edits.drop(ds, 77), "there is no track 77"),
        (lambda ds: edits.drop(ds, ds.track.values), "all the tracks there are"),
        (lambda ds: edits.split(ds, 3, 99), "no frame 99: the frames are 0 to 13"),
        (lambda ds: edits.split(ds, 3, 0), "not seen before frame 0"),
        (lambda ds: edits.split(edits.hide(ds, 3, 8, 13), 3, 8), "not seen from"),
        (lambda ds: edits.split(ds, 3, 5, 4), "there is a track 4 already"),
        (lambda ds: edits.split(ds, 3, 5, "four"), "whole numbers"),
        (lambda ds: edits.split(ds, 3, 5, True), "whole numbers"),
        (lambda ds: edits.hide(ds, 3, 40, 50), "no frame from 40 to 50"),
        (lambda ds: edits.hide(ds, 3, 7, 6), "no frame from 7 to 6"),
        (lambda ds: edits.hide(ds, 3, 6, 7), "not seen in frames 6 to 7 anyway"),
        (lambda ds: edits.hide(ds, 3, 0, 13), "drop it instead"),
        (lambda ds: edits.hide(ds, [], 0, 3), "no track is selected"),
        (lambda ds: edits.merge(ds, 3, 3), "with itself"),
        (lambda ds: edits.merge(ds, 3, 4), "both seen in 12 frames, 0 to 13"),
        (lambda ds: edits.merge(ds, 3, 77), "there is no track 77"),
        (lambda ds: relift(ds, []), "no track is selected"),
        (lambda ds: relift(ds, 77), "there is no track 77"),
        (lambda ds: relift(ds[["xy", "visible"]], 3), "never lifted"),
    ],
)
def test_what_makes_no_sense_is_refused(lifted, edit, text):
    before = lifted.copy(deep=True)
    with pytest.raises(EditError, match=text):
        edit(lifted)
    assert lifted.identical(before)


def test_a_dataset_that_breaks_the_contract_is_refused(lifted):
    with pytest.raises(SchemaError, match="frame_size"):
        edits.drop(lifted.drop_attrs(deep=False), 3)


def test_relift_gives_what_lifting_all_gives_and_leaves_the_others(lifted):
    spoiled = lifted.copy(deep=True)
    for name in ("log_depth_ratio", "depth_ratio_sigma"):
        spoiled[name][[2, 7]] = 0.3
    out = relift(spoiled, [7, 2], device="cpu")
    check(out, spoiled, [i for i in range(12) if i not in (2, 7)])
    chosen = {"track": [2, 7]}
    for name in ("log_depth_ratio", "depth_ratio_sigma", "depth", "xyz"):
        np.testing.assert_allclose(
            out[name].sel(chosen), lifted[name].sel(chosen), rtol=2e-5, atol=1e-6
        )


def test_relift_after_edits(lifted):
    out = edits.split(lifted, 3, 9)
    again = relift(out, [3, 12], device="cpu")
    check(again, out, [i for i in range(12) if i != 3])
    tail = again.sel(track=12)
    assert tail["reference_frame"] == 9
    assert tail["log_depth_ratio"].sel(time=9) == 0
    if lifted.attrs["units"] == "m":
        # in each run the depths keep their median
        assert tail["depth"].median() == pytest.approx(
            float(out["depth"].sel(track=12).median()), rel=1e-3
        )
    back = relift(edits.merge(again, 3, 12), 3, device="cpu")
    np.testing.assert_allclose(
        back["log_depth_ratio"].sel(track=3),
        lifted["log_depth_ratio"].sel(track=3),
        atol=1e-5,
    )


def test_relift_with_a_source_of_the_same_unit_alone(lifted_by):
    out = relift(lifted_by["metres"], 4, depth=5.0, device="cpu")
    assert out["depth"].sel(track=4).median() == pytest.approx(5, rel=0.05)
    check(out, lifted_by["metres"], [i for i in range(12) if i != 4])
    with pytest.raises(EditError, match="another unit"):
        relift(lifted_by["relative"], 4, depth=5.0, device="cpu")


def test_relift_uses_the_support_that_is_there(lifted_by):
    from napari_seurat_tracks.curves import window_starts
    from seurat_tracks.support import support_from_tracks
    from seurat_tracks.windows import plan_windows

    ds = lifted_by["relative"]
    plan = plan_windows(14)
    xy, seen = support_from_tracks(ds.xy.values, ds.visible.values, plan, (96, 80))
    dims = ("window", "support", "step")
    ds = ds.assign(support_xy=((*dims, "coord"), xy), support_visible=(dims, seen))
    ds = ds.assign_coords(
        window_start=("window", plan.start), window_stride=("window", plan.stride)
    )
    out = relift(edits.drop(ds, [0, 1, 5, 8]), 3, device="cpu")
    assert same_bytes(out["support_xy"], ds["support_xy"])
    # though tracks went, the support did not, so the answer is the same
    np.testing.assert_allclose(
        out["log_depth_ratio"].sel(track=3),
        ds["log_depth_ratio"].sel(track=3),
        atol=1e-6,
    )
    assert window_starts(ds).tolist() == window_starts(lifted_by["relative"]).tolist()
