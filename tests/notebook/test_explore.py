"""The explorer without a browser: traits, answers, selection, picks, saving."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import seurat_tracks as st
from seurat_tracks.errors import SchemaError, SeuratTracksError, VideoError
from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import save_weights
from seurat_tracks.notebook.explore import explore
from seurat_tracks.notebook.frames import Pictures
from seurat_tracks.notebook.picked import join, new_ids
from seurat_tracks.notebook.still import Still

TINY = ModelConfig(
    width=32, heads=2, layers=1, pair_width=8, shared_branches=True, iterations=1
)


@pytest.fixture
def ask(monkeypatch):
    """Ask an explorer what its browser half would ask; gives reply and buffers."""

    def question(explorer, **content):
        sent = []
        monkeypatch.setattr(
            type(explorer.canvas), "send", lambda _, *message: sent.append(message)
        )
        explorer._answer(explorer.canvas, {"id": "q", **content}, [])
        ((reply, buffers),) = sent
        assert reply["id"] == "q"
        return reply, buffers

    return question


@pytest.fixture(scope="module")
def clip():
    """Noise that slides to the right, frames numbered from 7."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 96), np.uint8)
    frames = np.stack([np.roll(noise, k, axis=1) for k in range(10)])
    return xr.DataArray(
        frames,
        dims=("time", "y", "x"),
        coords={"time": np.arange(7, 17)},
        attrs={"fps": 25.0},
    )


@pytest.fixture(scope="module")
def lifted(clip, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, SeuratNetwork(TINY).state_dict(), TINY, record={})
    tracks = st.track(clip, [[30.0, 20], [50, 40], [60, 30]], progress=False)
    return tracks.seurat.lift3d(model=path, intrinsics={"fov": 60})


class TestWidget:
    def test_the_state_is_what_was_asked_for(self, scene):
        ds, video = scene
        e = ds.seurat.explore(video, frame=45, colour="speed", tail=7, height=300)
        assert (e.frame, e.colour, e.canvas.tail, e.canvas.height) == (
            45,
            "speed",
            7,
            300,
        )
        assert e.canvas.meta["times"][0] == 40
        assert e.canvas.meta["hasVideo"]
        assert e.dataset is ds
        e.frame, e.colour = 50, "depth"
        assert (e.canvas.frame, e.canvas.colour) == (50, "depth")

    def test_selection_by_ids_keeps_the_datasets_order(self, make_tracks):
        ds = make_tracks(5, ids=["e", "a", "</script>", "b", "ä"])
        e = ds.seurat.explore()
        assert e.selected.sizes["track"] == 0
        e.select(["b", "a", "</script>"])
        assert e.selected_ids == ["a", "</script>", "b"]
        xr.testing.assert_identical(e.selected, ds.isel(track=[1, 2, 3]))
        with pytest.raises(SeuratTracksError, match="not among those shown"):
            e.select(["z"])

    def test_selection_of_a_thinned_display_names_the_right_tracks(self, make_tracks):
        e = make_tracks(50, 4).seurat.explore(max_tracks=10)
        e.canvas.selection = [1, 3]
        assert e.selected_ids == [5, 15]
        assert "10 of 50 tracks are shown" in e.canvas.meta["note"]

    def test_corrected_tracks_take_the_place_of_the_others(self, scene, make_tracks):
        ds, video = scene
        e = ds.seurat.explore(video, frame=45, colour="speed")
        e.select([3, 7, 8])
        e.picks = [[45, 10, 20], [60, 5, 5]]
        shift = ds.assign(xy=ds["xy"] + 1).drop_sel(track=[0, 7])
        e.dataset = shift.isel(time=slice(2, 15))
        assert e.dataset.sizes["track"] == 148
        assert (e.frame, e.colour) == (45, "speed")
        assert e.selected_ids == [3, 8]
        assert e.picks == [(45, 10.0, 20.0)]
        assert e.canvas.meta["shape"] == [148, 13]
        xy = np.frombuffer(e.canvas.xy, "<f4").reshape(148, 13, 2)
        np.testing.assert_array_equal(xy, e.dataset["xy"].values)
        e.dataset = ds[["xy", "visible"]].isel(time=slice(10, None))
        assert (e.frame, e.colour, e.picks) == (50, "speed", [])
        assert e.canvas.meta["no3d"]
        before = e.dataset
        for bad, error in (
            (ds.drop_vars("visible"), SchemaError),
            (make_tracks(3), SeuratTracksError),
        ):
            with pytest.raises(error):
                e.dataset = bad
        assert e.dataset is before

    def test_picks_from_python_are_checked(self, scene):
        ds, video = scene
        e = ds.seurat.explore(video)
        e.picks = [(45, 159.4, 0)]
        assert e.picks == [(45, 159.4, 0.0)]
        assert not e.lift_button.disabled
        for bad in (
            [[39, 1, 1]],
            [[45, 160, 1]],
            [[45, 1, -1]],
            [[45, np.nan, 1]],
            [[45, 1]],
            [45, 1, 1],
            "abc",
            None,
        ):
            with pytest.raises(SeuratTracksError, match=r"picks are|not in the tracks"):
                e.picks = bad
        assert len(e.picks) == 1
        e.picks = []
        assert e.picks == []

    def test_questions_are_answered(self, scene, ask):
        ds, video = scene
        e = ds.seurat.explore(video)
        reply, (jpeg,) = ask(e, ask="frame", time=41, width=80)
        assert jpeg[:2] == b"\xff\xd8"
        reply, buffers = ask(e, ask="frame", time=999, width=80)
        assert buffers == []
        assert "error" not in reply
        reply, (values,) = ask(e, ask="values", name="speed")
        assert len(values) == 4 * 150 * 22
        assert reply["spec"]["kind"] == "scale"
        reply, buffers = ask(e, ask="values", name="nothing")
        assert "no colour 'nothing'" in reply["error"]
        reply, buffers = ask(e, ask="frame", time="bad")
        assert reply["error"]

    def test_an_interrupt_is_an_answer_too(self, scene, ask, monkeypatch):
        ds, video = scene
        e = ds.seurat.explore(video)

        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(Pictures, "jpeg", interrupted)
        assert ask(e, ask="frame", time=41)[0]["error"] == "Interrupted."
        e.canvas.picks = [[45, 10.0, 10.0]]
        monkeypatch.setattr("seurat_tracks.notebook.widget.lift_picked", interrupted)
        e.lift_button.click()
        assert e.canvas.message == "Interrupted; nothing has changed."
        assert e.dataset is ds
        assert len(e.canvas.picks) == 1
        assert not e.lift_button.disabled

    def test_buttons_say_what_they_can_do(self, scene):
        ds, video = scene
        e = ds.seurat.explore(video)
        assert e.lift_button.disabled
        assert e.save_button.disabled
        e.canvas.picks = [[45, 1.0, 2.0], [46, 1.0, 2.0]]
        e.canvas.selection = [0]
        assert e.lift_button.description == "Track and lift 2 picked points"
        assert not e.save_button.disabled
        e.clear_button.click()
        assert e.canvas.picks == []

    def test_the_selection_is_written_and_nothing_is_replaced(self, scene, tmp_path):
        ds, _ = scene
        e = ds.seurat.explore()
        with pytest.raises(SeuratTracksError, match="nothing is selected"):
            e.save(tmp_path / "a.csv")
        e.canvas.selection = [2, 3]
        e.path_text.value = str(tmp_path / "a.csv")
        e.save_button.click()
        assert e.canvas.message.startswith("2 tracks written to")
        back = st.read(tmp_path / "a.csv")
        assert back.track.values.tolist() == [2, 3]
        before = (tmp_path / "a.csv").read_bytes()
        e.save_button.click()
        assert "overwrite" in e.canvas.message
        assert (tmp_path / "a.csv").read_bytes() == before
        e.save(tmp_path / "a.zarr")
        assert st.open(tmp_path / "a.zarr").track.values.tolist() == [2, 3]
        e.save(tmp_path / "all.csv", selected=False)
        assert st.read(tmp_path / "all.csv").sizes["track"] == 150

    def test_where_no_widget_runs_there_is_a_picture(self, scene):
        ds, video = scene
        data, metadata = ds.seurat.explore(video)._repr_mimebundle_()
        assert metadata == {}
        assert "application/vnd.jupyter.widget-view+json" in data
        assert data["image/png"].startswith("iVBOR")
        assert "TrackExplorer(150 tracks, 22 frames)" in data["text/plain"]


class TestBadInput:
    def test_refused_before_work(self, scene, raise_if_dask_computes, tmp_path):
        ds, _ = scene
        lazy = ds.chunk()
        with raise_if_dask_computes():
            for text, settings in (
                ("has no frame 7", {"frame": 7}),
                ("cannot colour by 'x'", {"colour": "x"}),
                ("tail must be", {"tail": 0}),
                ("max_tracks must be", {"max_tracks": 2.5}),
                ("renderer must be", {"renderer": "svg"}),
                (
                    "96 x 64 pixels, the tracks",
                    {"video": np.zeros((3, 64, 96), np.uint8)},
                ),
            ):
                with pytest.raises(SeuratTracksError, match=text):
                    lazy.seurat.explore(**settings)
            with pytest.raises(VideoError):
                lazy.seurat.explore(tmp_path / "none.mp4")
            with pytest.raises(SchemaError):
                lazy.drop_vars("visible").seurat.explore()
            with pytest.raises(SchemaError):
                xr.Dataset().seurat.explore()

    @pytest.mark.parametrize("lift", [True, False])
    def test_odd_ones_are_shown(self, scene, lift):
        ds, video = scene
        ds = ds if lift else ds[["xy", "visible"]]
        hidden = ds.assign(visible=xr.zeros_like(ds["visible"]))
        nothing = ds.assign(
            {k: v * np.nan for k, v in ds.items() if v.dtype.kind == "f"}
        )
        for odd in (ds.isel(track=[0]), ds.isel(time=[3]), hidden, nothing, ds.chunk()):
            e = odd.seurat.explore(video)
            assert e.still().png()[:4] == b"\x89PNG"
            assert bool(e.canvas.meta["no3d"]) != lift
            page = odd.seurat.to_html(video=video)
            assert "</html>" in page
        assert "nothing to draw" in hidden.seurat.explore().canvas.meta["note"]

    def test_the_datasets_own_video(self, scene, tmp_path):
        ds, video = scene
        e = ds.assign_attrs(video=str(tmp_path / "gone.mp4")).seurat.explore()
        assert "gone.mp4 does not exist" in e.canvas.meta["noVideo"]
        from seurat_tracks.notebook.animate import write_mp4

        path = write_mp4([np.asarray(f) for f in video.values], tmp_path / "a.mp4", 25)
        e = ds.assign_attrs(video=str(path)).seurat.explore()
        assert e.canvas.meta["hasVideo"]

    def test_without_the_extra_there_is_a_picture_and_a_sentence(
        self, scene, monkeypatch
    ):
        import importlib.util

        ds, video = scene
        real = importlib.util.find_spec
        monkeypatch.setattr(
            "seurat_tracks.notebook.explore.find_spec",
            lambda name: None if name == "anywidget" else real(name),
        )
        still = explore(ds, video)
        assert isinstance(still, Still)
        assert "needs anywidget" in repr(still)
        assert "seurat-tracks[notebook]" in still._repr_mimebundle_()["text/html"]

    def test_the_picture_needs_neither(self):
        code = (
            "import sys; sys.modules['anywidget'] = sys.modules['ipywidgets'] = None; "
            "import seurat_tracks.notebook.explore, seurat_tracks.notebook.still, "
            "seurat_tracks.notebook.page"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestPictures:
    def test_a_video_in_memory_is_not_copied(self, clip):
        kept = Pictures(clip, (96, 64))
        assert np.shares_memory(kept.video.values, clip.values)
        assert kept.jpeg(6) is None
        assert kept.jpeg(7, 48) != kept.jpeg(9, 48)

    def test_what_is_kept_is_bounded(self, clip, monkeypatch):
        kept = Pictures(clip, (96, 64))
        one = len(kept.jpeg(7))
        monkeypatch.setattr("seurat_tracks.notebook.frames.MAX_BYTES", 3 * one)
        for time in clip.time.values:
            assert kept.jpeg(int(time))
        assert len(kept._kept) <= 3
        assert kept._size == sum(len(v) for v in kept._kept.values()) <= 3 * one


class TestPicked:
    def test_new_tracks_join(self, lifted, clip):
        e = lifted.seurat.explore(clip)
        e.canvas.picks = [[9, 40.0, 25.0], [12, 70.5, 33.0]]
        e.lift_button.click()
        assert e.canvas.message == "New tracks: 3, 4."
        assert e.canvas.picks == []
        ds = e.dataset
        ds.seurat.validate()
        assert ds.track.values.tolist() == [0, 1, 2, 3, 4]
        assert e.selected_ids == [3, 4]
        assert ds.query_frame.values.tolist()[3:] == [9, 12]
        new = ds.sel(track=[3, 4])
        at = [new.xy.sel(track=3, time=9).values, new.xy.sel(track=4, time=12).values]
        np.testing.assert_allclose(at, [[40, 25], [70.5, 33]], atol=0.05)
        assert np.isfinite(new.xyz.where(new.visible).sel(track=3, time=9)).all()
        xr.testing.assert_identical(ds.isel(track=[0, 1, 2]), lifted)
        assert set(ds.variables) == set(lifted.variables)
        assert len(e.canvas.xyz) == 5 * 10 * 3 * 4
        assert e.canvas.meta["version"] == 1

    def test_lifted_as_if_they_had_been_there_all_along(self, lifted, clip):
        e = lifted.seurat.explore(clip)
        e.canvas.picks = [[7, 30.0, 20.0]]
        new = e.lift_picks()
        for name in ("xy", "log_depth_ratio", "depth_ratio_sigma", "xyz"):
            np.testing.assert_allclose(
                new[name].values[0], lifted[name].values[0], rtol=1e-3, atol=1e-4
            )

    def test_tracks_alone_get_tracks_alone(self, lifted, clip):
        flat = lifted[["xy", "visible", "confidence"]].drop_vars("reference_frame")
        e = flat.seurat.explore(clip)
        e.canvas.picks = [[9, 40.0, 25.0]]
        e.lift_picks()
        assert set(e.dataset.data_vars) == {"xy", "visible", "confidence"}
        assert e.dataset.sizes["track"] == 4

    def test_refusals_change_nothing(self, lifted, clip):
        metres = lifted.assign_attrs(units="m", depth_source="constant 2 m")
        other = lifted.assign_attrs(model_hash="0" * 16)
        for ds, video, text in (
            (lifted, None, "explore\\(video=...\\)"),
            (
                lifted,
                clip[3:],
                "the video lacks 3 of the tracks' frames \\(first: 7\\)",
            ),
            (metres, clip, "constant 2 m.*explore\\(depth=...\\)"),
            (other, clip, "model with hash 0000"),
        ):
            e = ds.seurat.explore(video)
            e.canvas.picks = [[12, 40.0, 25.0]]
            with pytest.raises(SeuratTracksError, match=text):
                e.lift_picks()
            assert e.dataset is ds
            assert len(e.canvas.picks) == 1
        e = lifted.seurat.explore(clip)
        with pytest.raises(SeuratTracksError, match="no points are picked"):
            e.lift_picks()
        e = lifted.seurat.explore(clip, depth=2.0)
        e.canvas.picks = [[12, 40.0, 25.0]]
        with pytest.raises(SeuratTracksError, match="the new ones m"):
            e.lift_picks()

    def test_variables_of_the_callers_own(self, lifted):
        ds = lifted.assign(
            weight=("track", [1.0, 2, 3]),
            count=("track", [1, 2, 3]),
            name=("track", ["a", "b", "c"]),
            flag=(("track", "time"), np.ones((3, 10), bool)),
            clock=("time", np.arange(10)),
        ).seurat.quality()
        new = lifted.isel(track=[0]).assign_coords(track=[9])
        out = join(ds, new)
        assert np.isnan(out.weight.values[3])
        assert np.isnan(out["count"].values[3])
        assert out.name.values.tolist() == ["a", "b", "c", ""]
        assert not out.flag.values[3].any()
        assert out.flag.dtype == bool
        assert "doubt" not in out
        xr.testing.assert_identical(out.clock, ds.clock)
        assert out.xy.dtype == np.float32

    def test_coordinates_that_one_side_lacks(self, lifted):
        new = lifted.isel(track=[0]).assign_coords(track=[9])
        bare = lifted.drop_vars(["query_frame", "reference_frame"])
        assert join(bare, new).track.values.tolist() == [0, 1, 2, 9]
        assert "query_frame" not in join(bare, new).variables
        out = join(lifted, new.drop_vars("query_frame"))
        assert np.isnan(out.query_frame.values[3])
        named = lifted.assign_coords(name=("track", ["a", "b", "c"]))
        assert join(named, new).coords["name"].values.tolist() == ["a", "b", "c", ""]

    def test_what_the_steps_warn_of_is_said(self, lifted, clip, monkeypatch):
        import warnings

        e = lifted.seurat.explore(clip)
        e.picks = [[9, 40.0, 25.0]]
        work = e.lift_picks

        def warn():
            warnings.warn("the picture is blurred", UserWarning, stacklevel=1)
            return work()

        monkeypatch.setattr(e, "lift_picks", warn)
        e.lift_button.click()
        assert e.canvas.message == "New tracks: 3. the picture is blurred"

    def test_ids_of_the_same_kind(self, make_tracks):
        assert new_ids(make_tracks(3, ids=[4, 90, 7]), 2) == [91, 92]
        assert new_ids(make_tracks(2, ids=["picked 1", "b"]), 2) == [
            "picked 2",
            "picked 3",
        ]
        ds = make_tracks(2, ids=["a", "bb"])
        new = ds.assign_coords(track=["picked 1", "picked 2"])
        assert join(ds, new).track.values.tolist() == [
            "a",
            "bb",
            "picked 1",
            "picked 2",
        ]
