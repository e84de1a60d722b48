import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import FillBetweenPolyCollection

import seurat_tracks as st
from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.notebook.plots import new_figure, plot_depth
from seurat_tracks.scale import add_xyz, anchor

mpl.use("agg")


@pytest.fixture
def ax():
    return new_figure(480).add_subplot()


@pytest.fixture
def ax3d():
    return new_figure(480).add_subplot(projection="3d")


@pytest.fixture(scope="module")
def lifted(scene):
    """The scene with error bars; track 3 passes behind the pole."""
    ds, _ = scene
    sigma = np.linspace(0, 0.05, ds.sizes["time"], dtype=np.float32)
    return ds.assign(depth_ratio_sigma=xr.zeros_like(ds["depth"]) + sigma)


def hidden_track(ds):
    """A track with seen frames on both sides of a gap."""
    seen = ds["visible"].transpose("track", "time").values
    starts = (seen & ~np.pad(seen, ((0, 0), (1, 0)))[:, :-1]).sum(1)
    return int(ds["track"].values[starts.argmax()])


def names():
    return ["depth", "overlay", "scene", "filmstrip", "scale", "reliability", "at"]


class TestNamespace:
    def test_lists_its_plots(self, scene):
        text = repr(scene[0].seurat.plot)
        assert all(f".{name}()" in text for name in names())

    def test_every_plot_returns_the_axes_it_was_given(self, lifted, scene, ax, ax3d):
        video, plot = scene[1], lifted.seurat.plot
        assert plot.depth(ax=ax) is ax
        assert plot.scale(ax=ax) is ax
        assert plot.overlay(video, ax=ax) is ax
        assert plot.filmstrip(video, ax=ax) is ax
        assert plot.reliability(lifted, ax=ax) is ax
        assert plot.scene(ax=ax3d) is ax3d
        assert plot.at(45, ax=ax3d) is ax3d

    def test_new_axes_are_labelled(self, lifted, scene):
        import matplotlib.pyplot as plt

        video, plot = scene[1], lifted.seurat.plot
        for axes in (
            plot.depth(),
            plot.scale(),
            plot.overlay(video[3].values),
            plot.filmstrip(video),
            plot.reliability(lifted),
            plot.scene(),
            plot.at(50),
        ):
            assert axes.get_xlabel()
            assert axes.get_ylabel()
            axes.figure.canvas.draw()
        plt.close("all")

    def test_without_depth_the_missing_call_is_named(self, scene, ax):
        bare = scene[0][["xy", "visible"]]
        for name in set(names()) - {"reliability", "at"}:
            with pytest.raises(SchemaError, match=r"lift3d\(\) first"):
                getattr(bare.seurat.plot, name)()
        with pytest.raises(SchemaError, match=r"lift3d\(\) first"):
            bare.seurat.plot.at(45)
        with pytest.raises(SchemaError, match=r"lift3d\(\) first"):
            bare.seurat.plot.reliability(scene[0])
        with pytest.raises(SchemaError, match="no tracks"):
            xr.Dataset().seurat.plot.overlay()

    def test_matplotlib_loads_with_the_first_plot(self):
        code = (
            "import sys, seurat_tracks.accessor, xarray as xr;"
            "xr.Dataset().seurat; print('matplotlib' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True)
        assert done.stdout.split() == [b"False"], done.stderr


class TestDepth:
    def test_no_solid_line_crosses_a_gap(self, lifted, ax):
        track = hidden_track(lifted)
        lifted.seurat.plot.depth(track, ax=ax)
        seen = lifted["visible"].sel(track=track).values
        frames = lifted["time"].values
        solid = [line for line in ax.lines if line.get_linestyle() == "-"]
        dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
        dotted += [line for line in ax.lines if line.get_linestyle() == "--"]
        drawn = np.isfinite(np.asarray(solid[0].get_ydata(), float))
        np.testing.assert_array_equal(drawn, seen)
        across = [
            line for line in dotted if not seen[np.isin(frames, line.get_xdata())].all()
        ]
        assert across
        for line in dotted:  # from the last seen frame to the next one
            inside = np.isin(frames, line.get_xdata())
            at = np.flatnonzero(inside)
            assert seen[at[0]]
            assert seen[at[-1]]
            assert not seen[at[1:-1]].any()

    def test_bands_are_the_standard_error(self, lifted, ax):
        ds = lifted.assign(scale_sigma=xr.full_like(lifted["depth"], 0.03))
        ds.seurat.plot.depth(70, sigmas=2, ax=ax)
        band = next(
            c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)
        )
        corners = band.get_paths()[0].vertices
        row = ds.sel(track=70, time=50)
        sigma = np.hypot(row["depth_ratio_sigma"], 0.03).item()
        at = corners[np.isclose(corners[:, 0], 50)][:, 1]
        expected = row["depth"].item() * np.exp([-2 * sigma, 2 * sigma])
        np.testing.assert_allclose([at.min(), at.max()], expected, rtol=1e-5)

    def test_relative_says_so_and_so_does_its_truth(self, lifted, scene, ax):
        relative = add_xyz(anchor(lifted), {"fov": 60})
        relative.seurat.plot.depth([70], truth=scene[0], ax=ax)
        assert "relative" in ax.get_ylabel()
        assert "(m)" not in ax.get_ylabel()
        truth = next(line for line in ax.lines if line.get_color() == "black")
        answer = ax.lines[0].get_ydata()
        np.testing.assert_allclose(truth.get_ydata(), answer, rtol=1e-4)

    def test_truth_of_a_part_of_the_frames_still_meets_the_answer(self, lifted, ax):
        relative = add_xyz(anchor(lifted), {"fov": 60}).assign_coords(
            reference_frame=("track", np.full(lifted.sizes["track"], 40))
        )
        part = relative.isel(time=slice(5, None))
        part.seurat.plot.depth(70, truth=lifted, ax=ax)
        truth = next(line for line in ax.lines if line.get_color() == "black")
        answer = ax.lines[0].get_ydata()
        np.testing.assert_allclose(truth.get_ydata(), answer, rtol=1e-4)

    def test_each_truth_ends_in_a_dot_of_its_tracks_colour(self, lifted, ax):
        ids = lifted.track.values[:2].tolist()
        lifted.seurat.plot.depth(ids, truth=lifted, ax=ax)
        answers = [ln for ln in ax.lines if str(ln.get_label()).startswith("track")]
        dots = [ln for ln in ax.lines if ln.get_markeredgecolor() == "black"]
        dots = [ln for ln in dots if ln.get_marker() == "o"]
        colours = [line.get_color() for line in answers]
        assert [dot.get_markerfacecolor() for dot in dots] == colours
        last = lifted.depth.sel(track=ids).ffill("time").isel(time=-1)
        ends = [float(dot.get_ydata()[0]) for dot in dots]
        np.testing.assert_allclose(ends, last.values, rtol=1e-6)

    def test_ratio_needs_no_scale(self, lifted, ax):
        plot_depth(lifted.drop_vars(["depth", "xyz", "scale"]), [70], ratio=True, ax=ax)
        expected = np.exp(lifted["log_depth_ratio"].sel(track=70).values)
        drawn = np.asarray(ax.lines[0].get_ydata(), float)
        seen = np.isfinite(drawn)
        np.testing.assert_allclose(drawn[seen], expected[seen], rtol=1e-6)

    def test_only_the_tracks_drawn_are_computed(self, lifted, ax):
        import dask.array as da

        calls = []

        def count(block):
            calls.append(len(block))
            return block

        lazy = lifted.chunk(track=10)
        lazy["depth"] = lazy["depth"].copy(
            data=da.map_blocks(count, lazy["depth"].data, dtype=np.float32)
        )
        calls.clear()
        plot_depth(lazy, [70], ax=ax)
        assert sum(calls) <= 10

    def test_seconds(self, lifted, ax):
        timed = lifted.assign_coords(seconds=("time", lifted["time"].values / 25))
        timed.seurat.plot.depth(70, seconds=True, ax=ax)
        assert ax.get_xlabel() == "time (s)"
        assert ax.lines[0].get_xdata()[0] == pytest.approx(40 / 25)

    def test_far_and_near_share_a_logarithmic_axis(self, lifted, ax):
        depth = lifted["depth"].copy()
        depth[70] *= 30
        lifted.assign(depth=depth).seurat.plot.depth([70, 71], ax=ax)
        assert ax.get_yscale() == "log"

    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"tracks": "nose"}, "no track 'nose'; the Dataset has 150 tracks: 0, 1"),
            ({"tracks": []}, "tracks= is empty"),
            ({"seconds": True}, "does not know when its frames were shown"),
        ],
    )
    def test_bad_input(self, lifted, ax, settings, text):
        with pytest.raises(SeuratTracksError, match=text):
            lifted.seurat.plot.depth(ax=ax, **settings)
        with pytest.raises(SeuratTracksError, match=text):
            lifted.seurat.plot.scale(ax=ax, **settings)

    def test_truth_that_lacks_the_track(self, lifted, ax):
        with pytest.raises(SeuratTracksError, match="the truth has no track 70"):
            lifted.seurat.plot.depth(70, truth=lifted.isel(track=[0]), ax=ax)
        with pytest.raises(SchemaError, match="neither depth nor xyz"):
            lifted.seurat.plot.depth(70, truth=lifted[["xy"]], ax=ax)

    def test_unknown_depth_is_an_error(self, lifted, ax):
        unknown = lifted.assign(depth=xr.full_like(lifted["depth"], np.nan))
        with pytest.raises(SchemaError, match="none of these tracks is seen"):
            unknown.seurat.plot.depth(ax=ax)


class TestScale:
    def test_constant_on_runs(self, lifted, ax):
        track = hidden_track(lifted)
        lifted.seurat.plot.scale(track, ax=ax)
        drawn = np.asarray(ax.lines[0].get_ydata(), float)
        scale = lifted["scale"].sel(track=track).values
        seen = lifted["visible"].sel(track=track).values
        np.testing.assert_allclose(drawn[seen], scale[seen])
        assert "(m)" in ax.get_ylabel()

    def test_default_shows_tracks_with_gaps(self, lifted, ax):
        lifted.seurat.plot.scale(ax=ax)
        labels = [t.get_text() for t in ax.get_legend().get_texts()]
        assert f"track {hidden_track(lifted)}" in labels

    def test_relative_says_so(self, lifted, ax):
        add_xyz(anchor(lifted), {"fov": 60}).seurat.plot.scale(ax=ax)
        assert "relative" in ax.get_ylabel()


class TestFilmstrip:
    def test_frames_and_their_numbers(self, lifted, scene, ax):
        lifted.seurat.plot.filmstrip(scene[1], times=[61, 45], ax=ax)
        assert [t.get_text() for t in ax.get_xticklabels()] == ["61", "45"]
        images = [image.get_array() for image in ax.get_images()]
        np.testing.assert_array_equal(images[0], scene[1].sel(time=61))
        np.testing.assert_array_equal(images[1], scene[1].sel(time=45))

    def test_without_a_video(self, lifted, ax):
        lifted.seurat.plot.filmstrip(n=3, ax=ax)
        assert [t.get_text() for t in ax.get_xticklabels()] == ["40", "50", "61"]

    def test_bad_input(self, lifted, scene):
        plot = lifted.seurat.plot
        with pytest.raises(SeuratTracksError, match="frames 40 to 61"):
            plot.filmstrip(times=[7])
        with pytest.raises(SeuratTracksError, match="at least one frame"):
            plot.filmstrip(times=[])
        with pytest.raises(SeuratTracksError, match="n from 1"):
            plot.filmstrip(n=0)
        with pytest.raises(SeuratTracksError, match="no frame 61"):
            plot.filmstrip(scene[1][:-1])


class TestOverlay:
    def test_a_video_gives_its_frame(self, lifted, scene, ax):
        lifted.seurat.plot.overlay(scene[1], time=50, ax=ax)
        shown = ax.get_images()[0].get_array()
        np.testing.assert_array_equal(shown, scene[1].sel(time=50))

    def test_a_smaller_picture_lies_where_its_pixels_are(self, lifted, ax):
        lifted.seurat.plot.overlay(np.zeros((60, 80, 3), np.uint8), ax=ax)
        assert ax.get_images()[0].get_extent() == [-0.5, 159.5, 119.5, -0.5]

    def test_bad_input(self, lifted, ax):
        with pytest.raises(SeuratTracksError, match="is it another video"):
            lifted.seurat.plot.overlay(np.zeros((60, 60, 3), np.uint8), ax=ax)
        with pytest.raises(SeuratTracksError, match="from 0, got -1"):
            lifted.seurat.plot.overlay(tail=-1, ax=ax)
        with pytest.raises(SeuratTracksError, match="needs 3D axes"):
            lifted.seurat.plot.scene(ax=ax)

    def test_the_world_is_not_called_up(self, lifted, ax3d):
        world = lifted.assign_attrs(frame_of_reference="world")
        world.seurat.plot.scene(ax=ax3d)
        assert ax3d.get_xlabel() == "world x (m)"


class TestReliability:
    def test_normal_errors_lie_on_the_diagonal(self, rng, ax):
        n, t = 400, 12
        z = np.exp(rng.normal(1, 0.2, (n, t)))
        sigma = np.full((n, t), 0.1)
        sigma[:, 0] = 0
        log = np.log(z) - np.log(z[:, :1]) + sigma * rng.normal(size=(n, t))
        coords = {"track": np.arange(n), "time": np.arange(t)}
        seen = np.ones((n, t), bool)
        dims = ("track", "time")
        truth = xr.Dataset({"depth": (dims, z), "visible": (dims, seen)}, coords)
        ds = xr.Dataset(
            {
                "log_depth_ratio": (dims, log),
                "depth_ratio_sigma": (dims, sigma),
                "visible": (dims, seen),
            },
            coords,
        )
        ds.seurat.plot.reliability(truth, ax=ax)
        line = ax.lines[1]
        np.testing.assert_allclose(line.get_ydata(), line.get_xdata(), atol=0.03)
        narrow = ds.assign(depth_ratio_sigma=ds["depth_ratio_sigma"] / 2)
        narrow.seurat.plot.reliability(truth, ax=ax, label="half")
        below = ax.lines[-2]
        assert (np.diff([below.get_ydata(), below.get_xdata()], axis=0) > -0.01).all()
        assert len([ln for ln in ax.lines if "promised" in str(ln.get_label())]) == 1

    def test_bad_input(self, lifted, scene, ax):
        plot = lifted.seurat.plot
        with pytest.raises(SchemaError, match="neither depth nor xyz"):
            plot.reliability(lifted[["visible"]], ax=ax)
        with pytest.raises(SchemaError, match="share no track"):
            plot.reliability(lifted.assign_coords(track=lifted.track + 900), ax=ax)
        none = lifted.assign(depth_ratio_sigma=xr.full_like(lifted["depth"], np.nan))
        with pytest.raises(SchemaError, match='fuse="windows"'):
            none.seurat.plot.reliability(lifted, ax=ax)
        with pytest.raises(SchemaError, match="cannot draw without depth_ratio_sigma"):
            scene[0].seurat.plot.reliability(lifted, ax=ax)


def test_depth_of_a_real_lift(tmp_path, ax):
    from seurat_tracks.evaluation.drawn import drawn_scene

    tracks, truth = drawn_scene(1, frames=10, background=24, queries=8)
    out = st.lift3d(tracks, intrinsics={"fov": 60})
    out.seurat.plot.depth(truth=truth, ax=ax)
    assert len(ax.get_legend().get_texts()) == 7
    assert "bands" in ax.get_legend().get_title().get_text()
