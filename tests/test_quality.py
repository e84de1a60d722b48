import subprocess
import sys

import dask
import numpy as np
import pytest
import xarray as xr

import seurat_tracks as st
from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.neighbours import TWIN_FRAMES, long_runs, look_around, runs
from seurat_tracks.reasons import REASONS, flagged

T = 50
SIZE = (640, 480)


def tracks(n=30, seed=0, **kwargs):
    """Tracks on a grid that move together, each with its own small errors."""
    rng = np.random.default_rng(seed)
    start = np.stack(np.meshgrid(np.arange(6) * 70, np.arange(5) * 60), -1)
    xy = start.reshape(-1, 1, 2)[:n] + 60.0 + np.arange(T)[:, None] * (2.0, 1.0)
    xy = xy + rng.normal(0, 0.1, xy.shape)
    visible = kwargs.pop("visible", np.ones(xy.shape[:2], bool))
    ids = [f"p{i}" for i in range(n)]
    return st.from_arrays(xy, visible, frame_size=SIZE, ids=ids, **kwargs)


def lifted(ds, sigma=0.05):
    """The same with a depth ratio that grows evenly."""
    ratio = np.tile(np.linspace(0, 0.4, T, dtype=np.float32), (ds.sizes["track"], 1))
    dims = ("track", "time")
    return ds.assign(
        log_depth_ratio=(dims, ratio),
        depth_ratio_sigma=(dims, np.full_like(ratio, sigma)),
    ).assign_coords(reference_frame=("track", np.zeros(ds.sizes["track"], int)))


def hopped(lazy=False):
    """Track p7 hops to p8's place at frame 20, p3 is hidden for long."""
    ds = lifted(tracks())
    ds["xy"].values[7, 20:] = ds["xy"].values[8, 20:] + 0.3
    ds["visible"].values[3, 10:25] = False
    ds["xy"].values[3, 10:25] = np.nan
    ds["depth_ratio_sigma"].values[7, 20:] = 0.5
    return ds.chunk(track=7) if lazy else ds


def reasons_of(ds, track):
    doubt = ds["doubt"].sel(track=track).values
    return {name for name, r in REASONS.items() if ((doubt & r.bit) > 0).any()}


def no_compute(dsk, keys, **kwargs):
    raise AssertionError("dask computed something")


class TestQuality:
    def test_good_tracks_are_not_doubted(self):
        out = lifted(tracks()).seurat.quality()
        assert not out["doubtful"].any()
        assert not out["doubtful_frame"].any()
        assert (out["score"] == 1).all()
        assert (out["reason"] == "").all()
        assert not flagged(out).any()
        assert len(out.seurat.quality_table()) == 0

    def test_a_hop_names_its_track_and_frame(self):
        out = hopped().seurat.quality()
        assert reasons_of(out, "p7") == {"jump", "twin", "uncertain"}
        assert out["reason"].sel(track="p7").item() == (
            "jump at 20; coincides with another track from 20 on; "
            "sigma above 0.2 from 20 on"
        )
        assert np.flatnonzero(flagged(out, "jump").sel(track="p7")).tolist() == [20]
        assert out["score"].sel(track="p7").item() == pytest.approx(20 / T)
        assert reasons_of(out, "p8") == {"twin"}
        assert out["reason"].sel(track="p3").item() == "found again at 25"
        assert out["score"].sel(track="p3").item() == pytest.approx(34 / 35)
        doubtful = out["track"].values[out["doubtful"].values].tolist()
        assert doubtful == ["p3", "p7", "p8"]

    def test_input_stays_and_output_keeps_the_contract(self):
        ds = hopped()
        before = ds.copy(deep=True)
        out = ds.seurat.quality()
        xr.testing.assert_identical(ds, before)
        out.seurat.validate()
        assert out["doubt"].dtype == np.uint16
        assert out["doubt"].dims == ("track", "time")
        assert out["doubt"].attrs["flag_meanings"].split() == list(REASONS)
        xr.testing.assert_identical(out.seurat.quality(), out)

    def test_before_lifting(self):
        ds = hopped().drop_vars(
            ["log_depth_ratio", "depth_ratio_sigma", "reference_frame"]
        )
        assert reasons_of(ds.seurat.quality(), "p7") == {"jump", "twin"}

    def test_after_a_cut(self):
        ds = tracks().assign_attrs(cuts=[30])
        ds["xy"].values[:, 30:] = (560, 400) - ds["xy"].values[:, 30:]
        out = lifted(ds).seurat.quality()
        assert flagged(out, "after_cut").isel(time=slice(30, None)).all()
        assert not flagged(out, "after_cut").isel(time=slice(30)).any()
        assert not flagged(out).any()
        assert (out["score"] == np.float32(30 / T)).all()

    def test_a_cut_that_nobody_named(self):
        ds = tracks()
        ds["xy"].values[:, 30:] = (560, 400) - ds["xy"].values[:, 30:]
        out = ds.seurat.quality()
        assert np.flatnonzero(out["doubtful_frame"]).tolist() == [30]
        assert out["frame_reason"].values[30].startswith("most tracks jump")

    def test_low_confidence_only_where_seen(self):
        confidence = np.ones((30, T), np.float32)
        confidence[4, 5:9] = 0.3
        confidence[5, 10:20] = 0.3
        confidence[6] = np.nan
        visible = np.ones((30, T), bool)
        visible[4, 5] = False
        ds = tracks(confidence=confidence, visible=visible)
        out = ds.seurat.quality()
        where = np.argwhere(flagged(out, "low_confidence").values).tolist()
        assert where == [[4, t] for t in (6, 7, 8)] + [[5, t] for t in range(10, 20)]
        # three frames are not a tenth of those it is seen in, ten are
        assert np.flatnonzero(out["doubtful"]).tolist() == [5]
        strict = ds.seurat.quality(confidence_limit=0.2)
        assert not flagged(strict).any()

    def test_hidden_and_outside(self):
        ds = tracks()
        ds["visible"].values[2, 40:] = False
        ds["xy"].values[2, 40:] = (700, 100)
        out = ds.seurat.quality()
        assert reasons_of(out, "p2") == {"hidden", "outside_frame"}
        assert not out["doubtful"].any()

    def test_no_ratio_and_large_sigma(self):
        ds = lifted(tracks())
        ds["log_depth_ratio"].values[1, 5] = np.nan
        ds["depth_ratio_sigma"].values[2, 6] = 0.3
        out = ds.seurat.quality()
        where = np.argwhere(flagged(out, "uncertain").values).tolist()
        assert where == [[1, 5], [2, 6]]
        loose = ds.seurat.quality(sigma_limit=0.4)
        assert np.argwhere(flagged(loose, "uncertain").values).tolist() == [[1, 5]]

    def test_implausible_depth_beyond_its_sigma(self):
        ds = lifted(tracks())
        ds["log_depth_ratio"].values[1:3, 25:] += 0.3
        ds["depth_ratio_sigma"].values[2] = 0.19
        out = ds.seurat.quality()
        where = np.argwhere(flagged(out, "implausible").values).tolist()
        assert where == [[1, 25]]
        assert out["reason"].values[1] == "depth leaps at 25"

    def test_a_track_never_seen(self):
        visible = np.ones((30, T), bool)
        visible[9] = False
        out = lifted(tracks(visible=visible)).seurat.quality()
        assert out["reason"].sel(track="p9").item() == "never seen"
        assert out["doubtful"].sel(track="p9")
        assert out["score"].sel(track="p9") == 0

    def test_one_frame(self):
        out = tracks().isel(time=[0]).seurat.quality()
        assert not out["doubtful"].any()

    def test_frame_numbers_are_those_of_the_dataset(self):
        ds = hopped().drop_vars("reference_frame")
        ds = ds.assign_coords(time=100 + 2 * np.arange(T))
        out = ds.seurat.quality()
        assert out["reason"].sel(track="p7").item().startswith("jump at 140;")

    def test_order_of_tracks_does_not_matter(self):
        ds = hopped()
        order = np.random.default_rng(1).permutation(30)
        a = ds.seurat.quality().isel(track=order)
        xr.testing.assert_identical(a, ds.isel(track=order).seurat.quality())

    def test_support_speaks_for_itself(self):
        alone = tracks().isel(track=[0, 1])
        assert flagged(alone.seurat.quality(), "few_neighbours").all()
        window = {
            "support_xy": np.zeros((1, 4, 8, 2), np.float32) + 50,
            "support_visible": np.ones((1, 4, 8), bool),
        }
        dims = ("window", "support", "step", "coord")
        held = alone.assign(
            {k: (dims[: v.ndim], v) for k, v in window.items()}
        ).assign_coords(window_start=("window", [0]), window_stride=("window", [1]))
        assert not flagged(held.seurat.quality(), "few_neighbours").any()

    def test_bad_input(self):
        with pytest.raises(SchemaError, match="visible"):
            tracks().drop_vars("visible").seurat.quality()
        with pytest.raises(SeuratTracksError) as error:
            tracks().seurat.quality(
                sigma_limit=0, confidence_limit=2, across_tracks="no"
            )
        for name in ("sigma_limit", "confidence_limit", "across_tracks"):
            assert name in str(error.value)
        with pytest.raises(SeuratTracksError, match=r"no reason.*no doubt"):
            flagged(tracks(), "jmup")
        with pytest.raises(SeuratTracksError, match="no reason"):
            tracks().seurat.quality_table(reasons=["jmup"])


class TestLazy:
    def test_nothing_is_computed(self):
        ds = hopped(lazy=True)
        with dask.config.set(scheduler=no_compute):
            out = ds.seurat.quality()
            flagged(out, "jump")
        for name in ("doubt", "doubtful", "reason", "score", "doubtful_frame"):
            assert out[name].chunks is not None
        assert out["doubt"].chunksizes["track"] == ds["xy"].chunksizes["track"]

    @pytest.mark.parametrize("chunks", [{"track": 7}, {"track": 30}, {"time": 11}])
    def test_chunks_do_not_matter(self, chunks):
        ds = hopped()
        lazy = ds.chunk(chunks).seurat.quality().compute()
        xr.testing.assert_identical(lazy, ds.seurat.quality())

    def test_without_other_tracks(self):
        out = hopped(lazy=True).seurat.quality(across_tracks=False)
        assert reasons_of(out.compute(), "p7") == {"jump", "uncertain"}

    def test_saved_and_opened(self, tmp_path):
        out = hopped(lazy=True).seurat.quality()
        out.seurat.save(tmp_path / "tracks.zarr")
        back = st.open(tmp_path / "tracks.zarr").compute()
        want = out.compute()
        for name in ("doubt", "doubtful", "score"):
            np.testing.assert_array_equal(back[name], want[name])
        assert back["reason"].values.tolist() == want["reason"].values.tolist()
        assert flagged(back, "jump").sum() == 1


class TestTable:
    def test_rows_are_runs(self):
        table = hopped().seurat.quality_table()
        rows = table[["track", "first", "last", "frames", "reason"]].values.tolist()
        assert rows == [
            ["p3", 25, 25, 1, "found_again"],
            ["p7", 20, 20, 1, "jump"],
            ["p7", 20, T - 1, 30, "twin"],
            ["p7", 20, T - 1, 30, "uncertain"],
            ["p8", 20, T - 1, 30, "twin"],
        ]
        details = table["detail"].tolist()
        assert details[0].endswith("px away after 15 hidden frames")
        assert details[2:] == ["with track p8", "sigma up to 0.50", "with track p7"]
        ds = hopped()
        step = np.linalg.norm(np.diff(ds["xy"].values[7, 19:21], axis=0))
        assert table["value"][1] == pytest.approx(step)

    def test_chosen_reasons(self):
        table = st.quality_table(hopped(), reasons=["hidden", "jump"])
        assert table["reason"].tolist() == ["hidden", "jump"]
        assert (table["first"][0], table["last"][0]) == (10, 24)

    def test_settings_judge_anew(self):
        out = hopped().seurat.quality()
        table = out.seurat.quality_table(sigma_limit=0.6)
        assert "uncertain" not in table["reason"].tolist()

    def test_lazy_and_eager_agree(self):
        lazy = hopped(lazy=True).seurat.quality_table()
        assert lazy.equals(hopped().seurat.quality_table())


class TestNeighbours:
    def pair(self, gap, begin=20, frames=T):
        """Two tracks, the second comes to lie `gap` px beside the first."""
        xy = np.full((2, T, 2), 100.0)
        xy[1] += (50, 0)
        xy[1, begin : begin + frames, 0] = 100 + gap
        return xy, np.ones((2, T), bool)

    def test_merged(self):
        twin, _ = look_around(*self.pair(1.0), SIZE)
        assert twin[:, 20:].all()
        assert not twin[:, :20].any()

    def test_beside_each_other_is_not_merged(self):
        assert not look_around(*self.pair(3.0), SIZE)[0].any()

    def test_passing_is_not_merging(self):
        short = look_around(*self.pair(1.0, frames=TWIN_FRAMES - 1), SIZE)[0]
        long = look_around(*self.pair(1.0, frames=TWIN_FRAMES), SIZE)[0]
        assert not short.any()
        assert long.sum() == 2 * TWIN_FRAMES

    def test_started_together_is_not_merged(self):
        xy, visible = self.pair(1.0, begin=0)
        assert not look_around(xy, visible, SIZE)[0].any()

    def test_hidden_frames_do_not_end_a_run(self):
        xy, visible = self.pair(1.0, begin=20, frames=TWIN_FRAMES + 1)
        visible[:, 24] = False
        twin = look_around(xy, visible, SIZE)[0]
        assert twin.sum() == 2 * TWIN_FRAMES

    def test_runs(self):
        mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], bool)
        got = [a.tolist() for a in runs(mask)]
        assert got == [[0, 0, 2], [0, 3, 1], [2, 4, 4]]
        seen = np.ones_like(mask)
        assert long_runs(mask, seen, 2).tolist() == [
            [True, True, False, False],
            [False] * 4,
            [False, True, True, True],
        ]


def test_the_public_name_is_a_function_whatever_was_imported_before():
    code = (
        "import seurat_tracks.reasons, seurat_tracks.doubt_table, seurat_tracks as st;"
        "assert callable(st.quality) and callable(st.quality_table)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
