import time as clock

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from seurat_tracks.errors import SchemaError, SeuratTracksError, VideoError
from seurat_tracks.notebook.plots import (
    new_figure,
    picture,
    plot_3d,
    plot_tracks,
    prepare,
    side_by_side,
)
from seurat_tracks.notebook.segments import heads, visible_segments
from seurat_tracks.scale import add_xyz, anchor

mpl.use("agg")


@pytest.fixture
def axes():
    figure = new_figure(480)
    return figure.add_subplot(121), figure.add_subplot(122, projection="3d")


class TestSegments:
    points = np.array([[[0.0, 0], [1, 0], [np.nan, np.nan], [3, 0], [4, 0]]])
    visible = np.array([[True, True, False, True, True]])
    value = np.array([[1.0, 2, 3, 4, 5]])

    def test_a_gap_is_a_bridge(self):
        lines = visible_segments(self.points, self.value, self.visible, 0, 5)
        np.testing.assert_array_equal(lines.ends[..., 0], [[0.0, 1], [1, 3], [3, 4]])
        np.testing.assert_array_equal(lines.bridge, [False, True, False])
        np.testing.assert_array_equal(lines.value, [2, 4, 5])
        np.testing.assert_array_equal(lines.age, [0.75, 0.25, 0])

    def test_guessed_positions_while_hidden_are_not_drawn(self):
        guessed = np.nan_to_num(self.points, nan=99.0)
        lines = visible_segments(guessed, self.value, self.visible, 0, 5)
        assert lines.ends.max() == 4

    def test_only_the_frames_asked_for(self):
        lines = visible_segments(self.points, self.value, self.visible, 2, 5)
        np.testing.assert_array_equal(lines.ends[..., 0], [[3.0, 4]])
        assert not lines.bridge.any()

    def test_unknown_depth_is_not_drawn(self):
        value = self.value.copy()
        value[0, 3] = np.nan
        lines = visible_segments(self.points, value, self.visible, 0, 5)
        np.testing.assert_array_equal(lines.ends[..., 0], [[0.0, 1], [1, 4]])

    def test_hollow_where_last_seen_only_if_seen_again(self):
        points = np.concatenate([self.points, self.points + 10])
        value = np.concatenate([self.value, self.value + 10])
        visible = np.array([[1, 1, 0, 1, 1], [1, 1, 0, 0, 0]], dtype=bool)
        now = heads(points, value, visible, 2)
        np.testing.assert_array_equal(now.points, [[1, 0]])
        np.testing.assert_array_equal(now.hidden, [True])
        np.testing.assert_array_equal(now.value, [2])
        now = heads(points, value, visible, 1)
        np.testing.assert_array_equal(now.hidden, [False, False])
        assert len(heads(points, value, visible, 4).points) == 1
        assert len(heads(points, value, visible, 0).points) == 2


class TestPlots:
    def test_every_line_is_drawn_solid_or_dotted(self, scene, axes):
        ds, video = scene
        flat, space = axes
        returned = plot_tracks(ds, video[-1].values, tail=None, ax=flat)
        assert returned is flat
        assert plot_3d(ds, ax=space) is space
        d = prepare(ds)
        lines = visible_segments(d.xy, d.depth, d.visible, 0, len(d.time))
        assert lines.bridge.any()
        for ax, kind in ((flat, LineCollection), (space, Line3DCollection)):
            drawn = [c for c in ax.collections if type(c) is kind]
            styles = [c.get_linestyle()[0][1] is None for c in drawn]
            assert sorted(styles) == [False, True]  # dotted, solid
        drawn = {
            c.get_linestyle()[0][1] is None: len(c.get_segments())
            for c in flat.collections
            if type(c) is LineCollection
        }
        assert drawn == {True: (~lines.bridge).sum(), False: lines.bridge.sum()}

    def test_axes_say_their_units(self, scene, axes):
        ds, _ = scene
        plot_3d(ds, ax=axes[1])
        assert axes[1].get_ylabel() == "depth (m)"
        relative = add_xyz(anchor(ds), {"fov": 60})
        figure = new_figure(480)
        side_by_side(figure, prepare(relative), np.zeros((120, 160, 3)), time=45)
        text = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes]
        assert any("relative" in t for t in text)
        assert not any("(m)" in t for t in text)

    def test_depth_points_into_the_scene_and_up_is_up(self, scene):
        ds, _ = scene
        d = prepare(ds)
        seen = d.visible
        xyz = ds["xyz"].values
        np.testing.assert_array_equal(d.space[seen][:, 1], xyz[seen][:, 2])
        np.testing.assert_array_equal(d.space[seen][:, 2], -xyz[seen][:, 1])

    def test_new_axes_without_a_frame(self, scene):
        import matplotlib.pyplot as plt

        ds, _ = scene
        ax = plot_tracks(ds, time=50)
        lower, upper = ax.get_ylim()
        assert lower > upper  # y points down
        plot_3d(ds, time=50)
        plt.close("all")

    def test_picture_shows_colours(self, scene, tmp_path):
        from PIL import Image

        ds, video = scene
        path = picture(ds.chunk(track=50), video, tmp_path / "p.png", width=800)
        image = np.asarray(Image.open(path).convert("RGB")).astype(int)
        assert abs(image.shape[1] - 800) <= 24
        spread = np.ptp(image, axis=2)
        for half in np.array_split(spread, 2, axis=1):
            assert (half > 80).sum() > 100

    def test_thousands_of_tracks_take_seconds(self, rng):
        n, t = 6000, 60
        start = rng.uniform(0, 300, (n, 1, 2))
        xy = start + rng.normal(0, 1, (n, t, 2)).cumsum(1)
        ds = xr.Dataset(
            {
                "xy": (("track", "time", "coord"), xy.astype(np.float32)),
                "visible": (("track", "time"), rng.random((n, t)) < 0.9),
                "log_depth_ratio": (
                    ("track", "time"),
                    rng.normal(0, 0.02, (n, t)).cumsum(1),
                ),
            },
            coords={"track": np.arange(n), "time": np.arange(t)},
            attrs={"frame_size": [300, 300]},
        )
        d = prepare(add_xyz(anchor(ds, 2.0), {"fov": 60}))
        assert len(d.xy) == 2000
        begin = clock.perf_counter()
        figure = new_figure(800)
        side_by_side(figure, d, np.zeros((300, 300, 3), np.uint8), time=59)
        figure.canvas.draw()
        assert clock.perf_counter() - begin < 30

    def test_a_scene_that_stands_still_is_one_colour(self, scene):
        ds, _ = scene
        noise = xr.full_like(ds["log_depth_ratio"], 0.003)
        still = add_xyz(anchor(ds.assign(log_depth_ratio=noise)), {"fov": 60})
        low, high = prepare(still).limits
        assert low <= 0.95
        assert high >= 1.05
        low, high = prepare(add_xyz(anchor(still, 4.0))).limits
        assert low < 3.9
        assert high > 4.1

    def test_errors(self, scene, tmp_path):
        ds, video = scene
        with pytest.raises(SchemaError, match="lift3d"):
            plot_tracks(ds.drop_vars("depth"))
        with pytest.raises(SeuratTracksError, match="frames 40 to 61"):
            plot_3d(ds, time=7)
        with pytest.raises(SeuratTracksError, match="no frame 61"):
            picture(ds, video[:-1], tmp_path / "p.png")
        with pytest.raises(VideoError):
            picture(ds, tmp_path / "none.mp4", tmp_path / "p.png")
        hidden = ds.assign(visible=xr.zeros_like(ds["visible"]))
        with pytest.raises(SchemaError, match="nothing to draw"):
            plot_3d(hidden)
