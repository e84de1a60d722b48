import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.depth import Constant, DepthModel, resolve_depth
from seurat_tracks.depth.base import DepthSource
from seurat_tracks.depth.cache import cache_path
from seurat_tracks.errors import DepthError
from seurat_tracks.io.video import open_video
from seurat_tracks.scale import add_xyz, anchor
from tests.fixtures.depth_models import Counting, clip

N, T, H, W = 5, 12, 16, 20


def tracks(n=N, t=T, frame_size=(W, H), first=0, visible=None):
    rng = np.random.default_rng(5)
    xy = rng.uniform(2, 13, (n, t, 2)).astype(np.float32)
    seen = np.ones((n, t), bool) if visible is None else visible
    return xr.Dataset(
        {
            "xy": (("track", "time", "coord"), xy),
            "visible": (("track", "time"), seen),
            "log_depth_ratio": (("track", "time"), np.zeros((n, t), np.float32)),
        },
        coords={"track": np.arange(n), "time": first + np.arange(t)},
        attrs={"frame_size": list(frame_size)},
    )


@pytest.fixture
def model():
    return Counting()


class TestValues:
    def test_each_frame_answers_for_itself(self, model):
        out = DepthModel(model, video=clip(T)).at_tracks(tracks())
        assert out.dims == ("track", "time")
        assert out.dtype == np.float32
        np.testing.assert_array_equal(out, np.tile(np.arange(1, T + 1), (N, 1)))

    def test_hidden_observations_have_none(self, model):
        visible = np.ones((N, T), bool)
        visible[2, 3] = False
        out = DepthModel(model, video=clip(T)).at_tracks(tracks(visible=visible))
        assert np.isnan(out[2, 3])
        assert int(np.isnan(out).sum()) == 1

    def test_frame_numbers_decide(self, model):
        video = open_video(clip(30)).isel(time=slice(10, 10 + T))
        out = DepthModel(model, video=video).at_tracks(tracks(first=10))
        np.testing.assert_array_equal(out[0], np.arange(11, 11 + T))

    def test_scale_and_batch(self, model):
        source = DepthModel(model, video=clip(T), scale=0.5, batch=5)
        np.testing.assert_array_equal(
            source.at_tracks(tracks())[0], np.arange(1, T + 1) / 2
        )
        assert model.largest == 5

    def test_it_is_a_source(self, model):
        source = DepthModel(model, every=3)
        assert isinstance(source, DepthSource)
        assert source.name == "counting, every 3 frames"
        assert source.licence == "CC0"
        out = anchor(tracks(), source.on(clip(T)))
        assert out.attrs["depth_source"] == source.name
        assert out.attrs["depth_source_licence"] == "CC0"
        assert out.attrs["units"] == "m"


class TestOnce:
    @pytest.mark.parametrize("batch", [1, 4, 50])
    def test_chunks_of_tracks_and_separate_results(self, model, batch):
        ds = tracks().chunk(track=2)
        out = add_xyz(
            anchor(ds, DepthModel(model, video=clip(T), batch=batch)),
            (20.0, 20.0, 10.0, 8.0),
        )
        assert model.seen == []
        out["depth"].compute()
        assert sorted(model.seen) == list(range(1, T + 1))
        out["xyz"].compute()
        out["depth"].isel(track=slice(2)).compute()
        out["scale"].compute(scheduler="synchronous")
        assert sorted(model.seen) == list(range(1, T + 1))

    def test_building_the_graph_is_no_work(self, model, raise_if_dask_computes):
        with raise_if_dask_computes():
            anchor(tracks().chunk(track=2), DepthModel(model, video=clip(T)))
        assert model.seen == []

    def test_only_frames_with_a_visible_track(self, model):
        visible = np.zeros((N, T), bool)
        visible[1, 4:7] = True
        visible[3, 9] = True
        DepthModel(model, video=clip(T)).at_tracks(tracks(visible=visible)).compute()
        assert sorted(model.seen) == [5, 6, 7, 10]

    def test_every_nth(self, model):
        source = DepthModel(model, video=clip(T), every=5)
        out = source.at_tracks(tracks()).values
        assert sorted(model.seen) == [1, 6, 11]
        np.testing.assert_array_equal(np.isfinite(out[0]).nonzero()[0], [0, 5, 10])
        assert np.isfinite(anchor(tracks(), source)["depth"]).all()

    def test_two_datasets_of_one_source(self, model):
        source = DepthModel(model, video=clip(T))
        source.at_tracks(tracks(n=2)).compute()
        source.at_tracks(tracks(n=4)).compute()
        assert len(model.seen) == T

    def test_lift3d_and_its_video(self, model, make_tracks):
        ds = make_tracks(6, 9)
        video = clip(9, 80, 96)
        out = ds.seurat.lift3d(
            depth=DepthModel(model), video=video, intrinsics={"fov": 60}
        )
        out.compute()
        assert sorted(model.seen) == list(range(1, 10))


class TestCache:
    def compute(self, model, folder, video=None, **settings):
        video = clip(T) if video is None else video
        source = DepthModel(model, video=video, cache=folder, **settings)
        return source.at_tracks(tracks()).values

    def test_second_run_costs_nothing(self, model, tmp_path):
        first = self.compute(model, tmp_path / "new" / "cache")
        again = Counting()
        second = self.compute(again, tmp_path / "new" / "cache")
        assert len(model.seen) == T
        assert again.seen == []
        np.testing.assert_array_equal(first, second)
        assert len(list((tmp_path / "new" / "cache").iterdir())) == 1

    def test_video_file_is_known_again(self, model, tmp_path):
        import cv2

        folder = tmp_path / "frames"
        folder.mkdir()
        for i, frame in enumerate(clip(T)):
            cv2.imwrite(str(folder / f"{i}.png"), frame)
        self.compute(model, tmp_path / "cache", folder)
        again = Counting()
        self.compute(again, tmp_path / "cache", folder)
        assert again.seen == []
        cv2.imwrite(str(folder / "5.png"), clip(1)[0] * 99)
        self.compute(again, tmp_path / "cache", folder)
        assert sorted(again.seen) == sorted([1, 2, 3, 4, 5, 99, *range(7, 13)])

    @pytest.mark.parametrize("what", ["model", "weights", "pixels", "frames"])
    def test_another_key(self, model, tmp_path, what):
        self.compute(model, tmp_path)
        other = Counting(
            "other" if what == "model" else "counting",
            "2" if what == "weights" else "1",
        )
        video = clip(T)
        if what == "pixels":
            video = video + 1
        if what == "frames":
            video = clip(T, H * 2, W * 2)
        self.compute(other, tmp_path, video)
        assert len(other.seen) == T
        assert len(list(tmp_path.iterdir())) == 2

    def test_interrupted_run_goes_on(self, model, tmp_path):
        class Interrupted(Counting):
            def __call__(self, frames):
                if len(self.seen) >= 6:
                    raise KeyboardInterrupt
                return super().__call__(frames)

        broken = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            DepthModel(broken, video=clip(T), cache=tmp_path, batch=2).at_tracks(
                tracks()
            ).compute(scheduler="synchronous")
        kept = set(broken.seen)
        assert len(kept) == 6
        out = self.compute(model, tmp_path, batch=2)
        assert kept.isdisjoint(model.seen)
        assert len(model.seen) == T - 6
        np.testing.assert_array_equal(out[0], np.arange(1, T + 1))

    def test_map_without_its_mark_is_done_again(self, model, tmp_path):
        import zarr

        self.compute(model, tmp_path)
        (path,) = tmp_path.iterdir()
        group = zarr.open_group(path, mode="r+")
        group["depth"][3] = 777.0
        group["focal"][3] = np.nan
        again = Counting()
        out = self.compute(again, tmp_path)
        assert again.seen == [4]
        np.testing.assert_array_equal(out[:, 3], 4)

    def test_damage_is_no_depth(self, model, tmp_path):
        self.compute(model, tmp_path)
        (path,) = tmp_path.iterdir()
        chunk = path / "depth" / "c" / "5" / "0" / "0"
        raw = bytearray(chunk.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        chunk.write_bytes(raw)
        with pytest.raises(DepthError, match=r"frame 5 is damaged.*remove the cache"):
            self.compute(Counting(), tmp_path)

    def test_something_else_in_its_place(self, model, tmp_path):
        source = DepthModel(model, video=clip(T), cache=tmp_path)
        path = cache_path(tmp_path, source._identity())
        path.mkdir()
        with pytest.raises(DepthError, match="not a depth cache"):
            source.at_tracks(tracks()).compute()
        assert model.seen == []

    def test_folder_that_cannot_be_written(self, model, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(DepthError, match="cannot be written"):
            self.compute(model, tmp_path / "file" / "cache")

    def test_temporary_folder_goes_with_the_source(self, model, tmp_path, monkeypatch):
        import gc
        import tempfile

        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        source = DepthModel(model, video=clip(T))
        out = source.at_tracks(tracks())
        out.compute()
        assert len(list(tmp_path.iterdir())) == 1
        del source, out
        gc.collect()
        assert list(tmp_path.iterdir()) == []

    def test_pickles_without_pixels_of_maps(self, model, tmp_path):
        source = DepthModel(model, video="clip.mp4", cache=tmp_path, every=2)
        twin = pickle.loads(pickle.dumps(source))
        assert twin.name == source.name
        assert twin.folder == tmp_path


class TestRefusals:
    def test_no_video(self, model):
        with pytest.raises(DepthError, match=r"tracks hold none.*video=\"clip.mp4\""):
            DepthModel(model).at_tracks(tracks())
        with pytest.raises(DepthError, match="once"):
            DepthModel(model, video=clip(T)).on(clip(T))

    @pytest.mark.parametrize("n", [T - 1, T + 1])
    def test_video_of_another_length(self, model, n):
        with pytest.raises(DepthError, match=rf"{n} frames.*is it another video"):
            DepthModel(model, video=clip(n)).at_tracks(tracks())

    def test_part_of_a_video(self, model):
        source = DepthModel(model, video=clip(T + 8), part=True)
        np.testing.assert_array_equal(
            source.at_tracks(tracks(first=3))[0], np.arange(4, T + 4)
        )
        with pytest.raises(DepthError, match="1 frames beside"):
            source.at_tracks(tracks(first=9))

    def test_all_faults_at_once(self, model):
        with pytest.raises(DepthError, match=r"another video.*aspect ratio"):
            DepthModel(model, video=clip(T + 1, W, H)).at_tracks(tracks())

    def test_options(self, model):
        with pytest.raises(DepthError, match=r"batch.*0.*every.*-1.*scale.*nan"):
            DepthModel(model, batch=0, every=-1, scale=float("nan"))
        with pytest.raises(DepthError, match="kind must be"):
            DepthModel(model, kind="metres")
        with pytest.raises(DepthError, match="sampling must be"):
            DepthModel(model, sampling="cubic")
        with pytest.raises(DepthError, match="can be called"):
            DepthModel(3)

    @pytest.mark.parametrize(
        "answer",
        [np.ones((1, H, W)), np.ones((4, H)), (np.ones((4, H, W)), np.zeros(4))],
    )
    def test_model_that_answers_wrongly(self, model, answer, monkeypatch):
        monkeypatch.setattr(Counting, "__call__", lambda self, frames: answer)
        with pytest.raises(DepthError, match="counting answered with"):
            DepthModel(model, video=clip(T)).at_tracks(tracks()).compute()

    def test_maps_of_changing_size(self, model, monkeypatch):
        monkeypatch.setattr(
            Counting,
            "__call__",
            lambda self, f: (np.ones((len(f), f[0, 0, 0, 0] + 4, 9)), None),
        )
        with pytest.raises(DepthError, match="maps of one size"):
            DepthModel(model, video=clip(T)).at_tracks(tracks()).compute()

    def test_millimetres_of_a_model(self, model, monkeypatch):
        monkeypatch.setattr(
            Counting, "__call__", lambda self, f: (np.full(f.shape[:3], 2400.0), None)
        )
        with pytest.raises(DepthError, match=r"millimetres: say scale=0.001"):
            DepthModel(model, video=clip(T)).at_tracks(tracks()).compute()


class Zoom(Counting):
    """Maps per focal length; frame i says a focal length of i pixels."""

    per_focal = True

    def __call__(self, frames):
        super().__call__(frames)
        return np.ones(frames.shape[:3]), frames[:, 0, 0, 0].astype(float)


class TestFocal:
    def test_of_the_model_where_the_camera_is_unknown(self):
        out = DepthModel(Zoom(), video=clip(T)).at_tracks(tracks())
        np.testing.assert_allclose(out[0], np.arange(1, T + 1) / W)

    def test_of_the_camera_where_it_is_stated(self):
        ds = tracks().assign_attrs(intrinsics=[40.0, 40.0, 9.5, 7.5])
        source = DepthModel(Zoom(), video=clip(T))
        np.testing.assert_allclose(source.at_tracks(ds), 40 / W)
        ds.attrs["intrinsics_source"] = "assumed: 60 degrees wide"
        np.testing.assert_allclose(source.at_tracks(ds)[0, 5], 6 / W)

    def test_as_intrinsics(self):
        model = Zoom()
        source = DepthModel(model, video=clip(11))
        assert source.intrinsics(frames=5) == (6.0, 6.0, 9.5, 7.5)
        assert len(model.seen) == 5
        source.at_tracks(tracks(t=11)).compute()
        assert len(model.seen) == 11
        with pytest.raises(DepthError, match="nothing about the camera"):
            DepthModel(Counting(), video=clip(3)).intrinsics()

    def test_refused_early_where_nobody_knows(self):
        class Blind(Zoom):
            has_focal = False

        with pytest.raises(DepthError, match="needs the focal length"):
            DepthModel(Blind(), video=clip(T)).at_tracks(tracks())


def test_sources_without_frames_take_no_video():
    assert resolve_depth(2.0, video="nowhere.mp4") == Constant(2.0)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video():
    script = """
        import resource
        import sys
        import numpy as np
        import xarray as xr
        from seurat_tracks.depth import DepthModel
        from tests.fixtures.depth_models import Counting

        n, size = int(sys.argv[1]), 512

        class Frames:
            shape, dtype, ndim = (n, size, size, 3), np.dtype(np.uint8), 4
            def __getitem__(self, key):
                when = np.arange(n)[key[0]]
                return np.ones((*np.shape(when), size, size, 3), np.uint8)[
                    (slice(None), *key[1:])]

        import dask.array as da
        video = xr.DataArray(
            da.from_array(Frames(), chunks=(4, size, size, 3), name=False),
            dims=("time", "y", "x", "rgb"))
        ds = xr.Dataset(
            {"xy": (("track", "time", "coord"), np.full((3, n, 2), 9, np.float32)),
             "visible": (("track", "time"), np.ones((3, n), bool))},
            coords={"time": np.arange(n)}, attrs={"frame_size": [size, size]})
        out = DepthModel(Counting(), video=video).at_tracks(ds).values
        assert (out == 1).all()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """

    def peak(n_frames):
        run = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                textwrap.dedent(script),
                str(n_frames),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(run.stdout)

    # 96 more frames: 72 MiB of pixels and 96 MiB of maps, if they were kept
    assert peak(104) - peak(8) < 50
