import json

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.colours import colour_names, colour_values, map_table, speed
from seurat_tracks.notebook.shown import choose, is_lazy, load
from seurat_tracks.scale import anchor


class TestChoice:
    def test_all_where_they_fit(self, make_tracks):
        rows, frames, note = choose(make_tracks(5, 11))
        assert len(rows) == 5
        assert len(frames) == 11
        assert note == ""

    def test_every_nth_in_memory(self, make_tracks):
        rows, _, note = choose(make_tracks(50, 4), max_tracks=20)
        np.testing.assert_array_equal(rows, np.arange(0, 50, 3))
        assert note == "17 of 50 tracks are shown; max_tracks= shows more."

    def test_whole_chunks_of_lazy_ones(self, make_tracks):
        ds = make_tracks(50, 4).chunk(track=10)
        rows, _, note = choose(ds, max_tracks=25)
        np.testing.assert_array_equal(rows, [*range(10), *range(40, 50)])
        assert "from 2 of 5 lazy chunks" in note

    def test_few_tracks_of_a_long_video_then_fewer_frames(self, make_tracks):
        rows, frames, note = choose(make_tracks(90, 100), max_points=6000)
        assert len(rows) <= 60
        assert len(frames) == 100
        rows, frames, note = choose(make_tracks(90, 100), max_points=1000)
        assert len(rows) * len(frames) <= 1000
        assert len(rows) >= 45
        assert "Every 5th frame" in note

    def test_only_the_chosen_chunks_are_computed(self, make_tracks):
        computed = []

        def slow(block):
            computed.append(block.shape)
            return block

        ds = make_tracks(60, 5).chunk(track=10)
        ds["xy"].data = ds["xy"].data.map_blocks(
            slow, dtype=np.float32, meta=np.array(())
        )
        assert is_lazy(ds)
        part = load(ds, max_tracks=20)
        assert computed == [(10, 5, 2)] * 2
        assert part.seen.shape == (20, 5)


def test_buffers_are_little_endian_and_rows_first(scene):
    ds, _ = scene
    part = load(ds)
    buffers = part.buffers()
    n, length = part.seen.shape
    xyz = np.frombuffer(buffers["xyz"], "<f4").reshape(n, length, 3)
    np.testing.assert_array_equal(xyz, ds["xyz"].values)
    depth = np.frombuffer(buffers["depth"], "<f4").reshape(n, length)
    np.testing.assert_array_equal(depth, ds["depth"].values)
    assert len(buffers["seen"]) == n * length
    json.dumps(part.meta(), allow_nan=False)


def test_a_visible_point_without_a_place_is_not_seen(make_tracks):
    ds = make_tracks(4, 6)
    ds["visible"][:] = True
    ds["xy"][0, 2] = np.nan
    assert not load(ds).seen[0, 2]


def test_ratio_stands_in_for_depth_and_scale_sigma_counts(scene):
    ds, _ = scene
    ds = ds.assign(depth_ratio_sigma=xr.full_like(ds["depth"], 0.03))
    ratio = load(ds.drop_vars(["depth", "xyz", "scale"]))
    depth = np.frombuffer(ratio.buffers()["depth"], "<f4")
    np.testing.assert_allclose(depth, np.exp(ds["log_depth_ratio"].values).ravel())
    assert "anchor" in ratio.meta()["no3d"]
    both = load(ds.assign(scale_sigma=xr.full_like(ds["depth"], 0.04)))
    sigma = np.frombuffer(both.buffers()["sigma"], "<f4")
    np.testing.assert_allclose(sigma, 0.05, rtol=1e-5)
    tracks = load(ds[["xy", "visible"]])
    assert tracks.buffers()["depth"] == b""
    assert "lift3d" in tracks.meta()["no3d"]


class TestColours:
    def test_names_are_known_without_computing(self, scene, raise_if_dask_computes):
        ds, _ = scene
        ds = ds.assign(
            mine=("track", np.arange(len(ds.track)) * 1.5),
            per_point=xr.zeros_like(ds["visible"]),
            kind=("track", ["a", "b"] * (len(ds.track) // 2)),
            when=("time", np.zeros(len(ds.time))),
            born=("track", np.zeros(len(ds.track), "M8[s]")),
        ).assign_coords(query_frame=("track", np.full(len(ds.track), 40)))
        with raise_if_dask_computes():
            names = colour_names(ds.chunk())
        assert names[:2] == ["depth", "ratio"]
        assert {"mine", "per_point", "kind", "query_frame"} <= set(names)
        assert not {"when", "born", "xy", "seconds"} & set(names)
        for name in names:
            spec, values = colour_values(ds, name, load(ds).seen)
            assert values.dtype == np.float32
            assert values.shape in {(150,), (150, 22)}
            assert spec.limits[0] < spec.limits[1]
            json.dumps(spec.as_json(), allow_nan=False)

    def test_speed_per_second_and_only_between_seen_frames(self):
        ds = xr.Dataset(
            {
                "xy": (
                    ("track", "time", "coord"),
                    [[[0.0, 0], [3, 4], [6, 8], [7, 8]]],
                ),
                "visible": (("track", "time"), [[True, True, True, False]]),
            },
            coords={"time": [4, 5, 7, 8], "seconds": ("time", [0.0, 0.1, 0.3, 0.4])},
        )
        values, unit = speed(ds, flat=True)
        np.testing.assert_allclose(values[0], [50, 37.5, 25, np.nan])
        assert unit == "px per second"
        values, unit = speed(ds.drop_vars("seconds"), flat=True)
        np.testing.assert_allclose(values[0, :3], [5, 3.75, 2.5])
        assert unit == "px per frame"

    def test_strings_are_categories(self, make_tracks):
        ds = make_tracks(4, 3).assign(kind=("track", ["b", "a", "b", "</script>"]))
        spec, values = colour_values(ds, "kind", load(ds).seen)
        assert spec.categories == ["</script>", "a", "b"]
        np.testing.assert_array_equal(values, [2, 1, 2, 0])

    def test_a_scene_that_stands_still_shows_no_noise(self, scene):
        ds, _ = scene
        still = anchor(ds.assign(log_depth_ratio=ds["log_depth_ratio"] * 0 + 0.001))
        spec, _ = colour_values(still, "depth", load(still).seen)
        assert spec.limits[0] <= 0.95
        assert spec.limits[1] >= 1.05

    def test_nothing_known(self, make_tracks):
        ds = make_tracks(3, 4)
        ds["confidence"][:] = np.nan
        _, values = colour_values(ds, "confidence", load(ds).seen)
        assert np.isnan(values).all()
        with pytest.raises(
            SeuratTracksError, match="no colour 'depth'; there are speed"
        ):
            colour_values(ds, "depth", load(ds).seen)

    def test_tables(self):
        import base64

        assert len(base64.b64decode(map_table("viridis"))) == 768
