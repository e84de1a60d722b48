import numpy as np
import xarray as xr


def test_the_next_step_at_every_stage(scene):
    ds, _ = scene
    for dropped, text in (
        (
            ["log_depth_ratio", "depth", "xyz", "scale"],
            "next         ds.seurat.lift3d()",
        ),
        (["depth", "xyz", "scale"], "next         ds.seurat.anchor(depth=...)"),
        ([], "next         ds.seurat.explore()"),
    ):
        part = ds.drop_vars(dropped)
        assert text in repr(part.seurat)
    assert "150 tracks, 22 frames (40 to 61), 160 x 120 px, 25 fps" in repr(ds.seurat)
    assert "metres" in repr(ds.assign_attrs(units="m").seurat)
    assert "! depth        relative" in repr(ds.assign_attrs(units="relative").seurat)
    assert "! quality" in repr(ds.seurat)
    assert "judged" in repr(ds.seurat.quality().seurat)


def test_nothing_is_computed(scene, raise_if_dask_computes):
    ds, _ = scene
    lazy = ds.chunk(track=10)
    with raise_if_dask_computes():
        assert ", lazy" in repr(lazy.seurat)
        assert ", lazy" in lazy.seurat._repr_html_()
    assert "% seen" in repr(ds.seurat)


def test_what_breaks_the_contract_is_named():
    text = repr(xr.Dataset().seurat)
    assert "! contract" in text
    assert "next      ds.seurat.validate()" in text
    swapped = xr.Dataset(
        {"xy": (("time", "track", "coord"), np.zeros((3, 4, 2), np.float32))},
        attrs={"frame_size": "wide", "fps": "fast", "intrinsics": [1]},
    )
    assert "! contract" in repr(swapped.seurat)
    for odd in ({"time": []}, {"track": []}):
        repr(xr.Dataset(coords=odd).seurat)


def test_values_are_escaped(scene):
    ds, _ = scene
    bad = "<img src=x onerror=alert(1)>"
    text = ds.assign_attrs(
        model=bad, tracker=bad, depth_source=bad, units=bad, intrinsics_source=bad
    ).seurat._repr_html_()
    assert "<img" not in text
    assert "&lt;img" in text
