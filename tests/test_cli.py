import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import seurat_tracks as st
from seurat_tracks.cli import app
from seurat_tracks.notebook.animate import write_mp4
from tests.fixtures.cube import make_cube
from tests.fixtures.depth_models import save_tiny
from tests.fixtures.poses import NAMES, write_deeplabcut

W, H, T = 96, 64, 12


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A textured wall that comes nearer: an mp4 of 12 frames."""
    import cv2

    rng = np.random.default_rng(4)
    wall = cv2.GaussianBlur(
        rng.integers(0, 255, (300, 400, 3)).astype(np.float32), (0, 0), 2
    )
    wall = np.clip((wall - 127) * 6 + 127, 0, 255).astype(np.uint8)
    frames = []
    for t in range(T):
        s = 1 + 0.02 * t
        matrix = np.array(
            [[s, 0, (W - 1) / 2 - s * 200], [0, s, (H - 1) / 2 - s * 150]]
        )
        frames.append(cv2.warpAffine(wall, matrix, (W, H), flags=cv2.INTER_AREA))
    path = tmp_path_factory.mktemp("clip") / "wall.mp4"
    write_mp4(frames, path, 25)
    return path


@pytest.fixture(scope="session")
def tracked(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("tracked") / "tracks.zarr"
    result = run("track", clip, "-o", path, "--grid", 6, "--quiet")
    assert result.exit_code == 0, result.stderr
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


class TestHelp:
    def test_first_screen_teaches(self):
        text = run("--help").stdout
        for word in ("lift", "track", "info", "demo", "Exit codes", "-o clip.zarr"):
            assert word in text

    @pytest.mark.parametrize("command", ["track", "lift", "convert", "info", "demo"])
    def test_each_command(self, command):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "seurat-tracks" in result.stdout

    def test_defaults_in_brackets_are_shown(self):
        text = " ".join(run("lift", "--help").stdout.split())
        assert "[default: 24]" in text
        assert "[default: 60, assumed]" in text

    def test_help_loads_nothing_heavy(self):
        code = (
            "import sys\n"
            "from typer.testing import CliRunner\n"
            "from seurat_tracks.cli import app\n"
            "assert CliRunner().invoke(app, ['lift', '--help']).exit_code == 0\n"
            "print({'torch', 'cv2', 'av', 'matplotlib', 'dask'} & set(sys.modules))\n"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert out.stdout.strip() == "set()"

    def test_version(self):
        assert run("--version").stdout == f"seurat-tracks {st.__version__}\n"


class TestTrack:
    def test_grid(self, tracked):
        ds = st.open(tracked)
        assert dict(ds.sizes)["track"] == 36
        assert ds.sizes["time"] == T
        assert "support_xy" in ds

    def test_csv_keeps_ids_and_order(self, clip, tmp_path):
        (tmp_path / "points.csv").write_text("id, x, y, frame\nb,30,20,0\na,50,40,3\n")
        out = tmp_path / "out.zarr"
        result = run("track", clip, "-o", out, "--queries", tmp_path / "points.csv")
        assert result.exit_code == 0, result.stderr
        assert "2 tracks, 12 frames" in result.stdout
        ds = st.open(out)
        assert ds["track"].values.tolist() == ["b", "a"]
        assert ds["query_frame"].values.tolist() == [0, 3]
        np.testing.assert_allclose(ds["xy"].values[1, 3], [50, 40], atol=1e-3)

    def test_settings_of_the_tracker(self, clip, tracked, tmp_path):
        out = tmp_path / "out.zarr"
        wanted = ["--grid", 6, "--tracker-set", "threads=1"]
        result = run("track", clip, "-o", out, *wanted)
        assert result.exit_code == 0, result.stderr
        xr.testing.assert_equal(st.open(out).xy, st.open(tracked).xy)
        for setting, said in (
            ("speed=3", "speed"),
            ("grid=3", "no setting of a tracker"),
            ("threads", "NAME=VALUE"),
        ):
            result = run("track", clip, "-o", tmp_path / "b", "--tracker-set", setting)
            assert result.exit_code != 0
            assert said in result.stderr


class TestLift:
    def test_relative_from_a_video(self, clip, tmp_path):
        out = tmp_path / "out.zarr"
        result = run("lift", clip, "-o", out, "--queries", "grid:5")
        assert result.exit_code == 0, result.stderr
        assert "60 degrees" in result.stderr
        assert "relative" in result.stdout
        assert "metres" not in result.stdout.lower()
        ds = st.open(out)
        assert ds.sizes["track"] == 25
        assert ds.attrs["units"].startswith("relative")
        assert np.isfinite(ds["xyz"].where(ds["visible"], 0)).all()

    def test_metric_from_a_store(self, tracked, tmp_path):
        out = tmp_path / "out.zarr"
        result = run("lift", tracked, "-o", out, "--depth", "2.5", "--fov", "70")
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        ds = st.open(out).compute()
        assert ds.attrs["units"] == "m"
        assert ds.attrs["intrinsics"][0] == pytest.approx(
            W / 2 / np.tan(np.radians(35))
        )
        median = ds["depth"].where(ds["visible"]).median("time")
        np.testing.assert_allclose(median, 2.5, rtol=0.1)

    def test_depth_maps_and_chain(self, tracked, tmp_path):
        maps = np.full((T, H // 2, W // 2), 3.0, dtype=np.float32)
        np.save(tmp_path / "maps.npy", maps)
        out = tmp_path / "out.zarr"
        result = run(
            *("lift", tracked, "-o", out, "--depth", tmp_path / "maps.npy"),
            *("--intrinsics", "80,80,47.5,31.5", "--fuse", "chain"),
        )
        assert result.exit_code == 0, result.stderr
        ds = st.open(out)
        assert ds.attrs["depth_source"] == "depth maps maps.npy"
        assert ds.attrs["intrinsics"] == [80, 80, 47.5, 31.5]

    def test_maps_in_millimetres(self, tracked, tmp_path):
        np.save(tmp_path / "maps.npy", np.full((T, H, W), 3000, np.uint16))
        arguments = ("lift", tracked, "-o", tmp_path / "out.zarr", "--fov", "70")
        arguments = (*arguments, "--depth", tmp_path / "maps.npy")
        result = run(*arguments)
        assert result.exit_code == 1
        assert "scale=" in result.stderr
        result = run(*arguments, "--depth-scale", "0.001")
        assert result.exit_code == 0, result.stderr
        assert st.open(tmp_path / "out.zarr").attrs["units"] == "m"

    def test_depth_model_on_the_video(self, clip, tracked, tmp_path):
        pytest.importorskip("transformers")
        save_tiny("glpn", tmp_path / "tiny")
        model = ("--depth", tmp_path / "tiny", "--depth-cache", tmp_path / "cache")
        model = (*model, "--device", "cpu", "--fov", "70")
        out = tmp_path / "out.zarr"
        result = run("lift", tracked, "-o", out, *model)
        assert result.exit_code == 1
        assert "tracks hold none" in result.stderr
        result = run("lift", tracked, "-o", out, *model, "--video", clip)
        assert result.exit_code == 0, result.stderr
        ds = st.open(out)
        assert ds.attrs["depth_source"] == "tiny"
        assert "unknown" in ds.attrs["depth_source_licence"]
        assert np.isfinite(ds["depth"].where(ds["visible"], 1)).all()
        (cache,) = (tmp_path / "cache").iterdir()
        assert cache.name.startswith("tiny-")
        assert result.stderr == ""
        other = tmp_path / "other.zarr"
        result = run("lift", clip, "-o", other, *model, "--video", clip)
        assert result.exit_code == 2
        result = run("lift", tracked, "-o", other, "--depth", "2", "--download")
        assert result.exit_code == 2

    def test_refuses_before_working(self, clip, tmp_path):
        out = tmp_path / "out.zarr"
        for arguments, text in (
            (["--depth", "maps.txt"], "number of metres"),
            (["--depth", "none.npy"], "no such file"),
            (["--depth", "-2"], "positive"),
            (["--model", "none.safetensors"], "no model"),
            (["--device", "abacus"], "not available"),
        ):
            result = run("lift", clip, "-o", out, *arguments)
            assert result.exit_code == 1, arguments
            assert text in result.stderr
            assert "Tracking" not in result.stderr
        assert not out.exists()


class TestErrors:
    @pytest.mark.parametrize(
        "wrong",
        [
            ("--fov", 200),
            ("--intrinsics", "1,2,3"),
            ("--depth", -3),
            ("--depth", "short.npy"),
            ("--model", "short.npy"),
        ],
    )
    def test_refuses_before_tracking(self, clip, tmp_path, monkeypatch, wrong):
        def never(*args, **kwargs):
            raise AssertionError("work was done")

        monkeypatch.setattr("seurat_tracks.cli._track", never)
        monkeypatch.chdir(tmp_path)
        np.save("short.npy", np.ones((T - 1, H, W), np.float32))
        result = run("lift", clip, "-o", "out.zarr", *wrong)
        assert result.exit_code == 1, result.exception
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1

    def test_refuses_to_replace_what_is_no_store(self, clip, tmp_path, monkeypatch):
        monkeypatch.setattr("seurat_tracks.cli._track", None)
        result = run("lift", clip, "-o", clip, "--overwrite")
        assert result.exit_code == 1
        assert "is not a store of seurat-tracks" in result.stderr

    def test_a_store_with_nothing_visible(self, tracked, tmp_path):
        ds = st.open(tracked).load()
        ds["visible"][:] = False
        ds.seurat.save(tmp_path / "hidden.zarr")
        result = run("lift", tmp_path / "hidden.zarr", "-o", tmp_path / "out.zarr")
        assert result.exit_code == 1
        assert "no track is visible" in result.stderr
        assert not (tmp_path / "out.zarr").exists()

    def test_a_damaged_chunk_names_the_store(self, tracked, tmp_path):
        st.open(tracked).seurat.save(tmp_path / "damaged.zarr")
        chunk = tmp_path / "damaged.zarr" / "xy" / "c" / "0" / "0" / "0"
        chunk.write_bytes(b"xx" + chunk.read_bytes()[2:])
        result = run("lift", tmp_path / "damaged.zarr", "-o", tmp_path / "out.zarr")
        assert result.exit_code == 1
        assert "damaged.zarr: reading it fails" in result.stderr

    def test_maps_full_of_holes_are_told(self, tracked, tmp_path):
        maps = np.zeros((T, H, W), np.float32)
        path = tmp_path / "holes.npy"
        np.save(path, maps)
        result = run("lift", tracked, "-o", tmp_path / "o.zarr", "--depth", path)
        assert result.exit_code == 1
        assert "are all holes" in result.stderr
        maps[:, :, W // 2 :] = 3
        np.save(path, maps)
        result = run("lift", tracked, "-o", tmp_path / "o.zarr", "--depth", path)
        assert result.exit_code == 0, result.stderr
        assert " of 36 tracks have no depth" in result.stderr

    def test_a_pipe_gets_no_progress_bars(self, clip, tmp_path):
        result = run("lift", clip, "-o", tmp_path / "out.zarr", "--grid", 3)
        assert result.exit_code == 0, result.stderr
        (note,) = result.stderr.splitlines()
        assert note.startswith("note: neither --fov nor --intrinsics was given")

    def test_one_sentence_no_traceback(self, tmp_path):
        result = run("lift", tmp_path / "none.mp4", "-o", tmp_path / "out.zarr")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert "none.mp4 does not exist" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_debug_shows_where(self, tmp_path):
        result = run(
            "lift", tmp_path / "none.mp4", "-o", tmp_path / "out.zarr", "--debug"
        )
        assert result.exit_code == 1
        assert "Traceback" in result.stderr

    def test_existing_output_is_kept(self, clip, tracked):
        before = xr.load_dataset(tracked, engine="zarr", consolidated=False)
        result = run("track", clip, "-o", tracked)
        assert result.exit_code == 1
        assert "--overwrite" in result.stderr
        after = xr.load_dataset(tracked, engine="zarr", consolidated=False)
        xr.testing.assert_identical(before, after)

    def test_overwrite_replaces(self, clip, tmp_path):
        out = tmp_path / "out.zarr"
        for grid in (3, 4):
            result = run("track", clip, "-o", out, "--grid", grid, "--overwrite")
            assert result.exit_code == 0, result.stderr
        assert st.open(out).sizes["track"] == 16

    def test_missing_folder(self, clip, tmp_path):
        result = run("track", clip, "-o", tmp_path / "no" / "out.zarr")
        assert result.exit_code == 1
        assert "does not exist" in result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["lift"],
            ["lift", "clip.mp4"],
            ["lift", "clip.mp4", "-o", "o.zarr", "--fov", "60", "--intrinsics", "1,2"],
            ["lift", "clip.mp4", "-o", "o.zarr", "--intrinsics", "wide"],
            ["lift", "clip.mp4", "-o", "o.zarr", "--fuse", "magic"],
            ["track", "clip.mp4", "-o", "o.zarr", "--queries", "grid:many"],
            ["track", "clip.mp4", "-o", "o.zarr", "--queries", "a.csv", "--grid", "3"],
            ["lift", "tracks.zarr", "-o", "o.zarr", "--grid", "3"],
            ["fly"],
        ],
    )
    def test_mistyped_is_2(self, arguments, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert run(*arguments).exit_code == 2

    def test_interrupted_is_130(self, clip, tmp_path, monkeypatch):
        def interrupt(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("seurat_tracks.cli._track", interrupt)
        result = run("track", clip, "-o", tmp_path / "out.zarr")
        assert result.exit_code == 130
        assert "interrupted" in result.stderr

    def test_an_interrupted_track_leaves_nothing(self, clip, tmp_path, monkeypatch):
        from seurat_tracks.trackers.live import LivePoints

        advance = LivePoints.advance
        calls = []

        def interrupt(*args):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            advance(*args)

        monkeypatch.setattr(LivePoints, "advance", interrupt)
        result = run("track", clip, "-o", tmp_path / "out.zarr")
        assert (result.exit_code, len(calls)) == (130, 3)
        assert not [p for p in tmp_path.iterdir() if "out" in p.name]

    def test_bad_csv(self, clip, tmp_path):
        (tmp_path / "points.csv").write_text("u,v\n1,2\n")
        result = run(
            *("track", clip, "-o", tmp_path / "out.zarr"),
            *("--queries", tmp_path / "points.csv"),
        )
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1


def test_a_reader_that_has_enough_is_no_fault(tracked):
    command = f"{sys.executable} -m seurat_tracks.cli info {tracked} | head -n 1"
    out = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True
    )
    assert out.stdout.count("\n") == 1
    assert out.stderr == ""


class TestInfo:
    def test_installation(self):
        result = run("info")
        assert result.exit_code == 0, result.stderr
        for word in ("seurat-tracks", "torch", "devices: cpu", "models", "lk"):
            assert word in result.stdout

    def test_store(self, tracked):
        result = run("info", tracked)
        assert result.exit_code == 0, result.stderr
        assert "36 tracks, 12 frames" in result.stdout
        assert "xy (track, time, coord) float32" in result.stdout
        assert "frame_size: [96, 64]" in result.stdout

    def test_not_a_store(self, tmp_path):
        result = run("info", tmp_path)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")


class TestConvert:
    def test_poses_in_and_3d_out(self, tmp_path):
        poses = write_deeplabcut(tmp_path / "mouse.csv")
        store = tmp_path / "mouse.parquet"
        result = run("convert", poses, store, "--frame-size", "96x80")
        assert result.exit_code == 0, result.stderr
        assert st.read(store).track.values.tolist() == NAMES
        cube = tmp_path / "cube.zarr"
        make_cube().seurat.save(cube)
        result = run("convert", cube, tmp_path / "cube.ply")
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / "cube.ply").read_bytes().startswith(b"ply")

    @pytest.fixture
    def table(self, tmp_path):
        path = tmp_path / "tracks.csv"
        path.write_text("id,frame,x,y\n4,0,10.5,20\n4,1,11,20\n9,1,3,4\n")
        return path

    def test_there_and_back(self, table, tmp_path):
        out = tmp_path / "out.zarr"
        result = run("convert", table, out, "--frame-size", "96x64", "--fps", 25)
        assert result.exit_code == 0, result.stderr
        assert "2 tracks, 2 frames" in result.stdout
        ds = st.open(out)
        assert ds.track.values.tolist() == [4, 9]
        assert ds.attrs["frame_size"] == [96, 64]
        assert ds.attrs["fps"] == 25
        back = tmp_path / "back.parquet"
        assert run("convert", out, back, "-q").stdout == ""
        xr.testing.assert_identical(st.read(back), ds.compute())

    def test_what_is_missing_is_said(self, table, tmp_path):
        result = run("convert", table, tmp_path / "out.zarr")
        assert result.exit_code == 1
        assert "give frame_size=(width, height)" in result.stderr
        result = run("convert", table, tmp_path / "x.npz", "--frame-size", "96x64")
        assert "several formats end so" in result.stderr
        assert result.exit_code == 1
        result = run("convert", table, tmp_path / "out.zarr", "--frame-size", "96")
        assert result.exit_code == 2
        assert not (tmp_path / "out.zarr").exists()

    def test_formats_and_options(self, table, tmp_path):
        out = tmp_path / "out.npz"
        arguments = ("convert", table, out, "--frame-size", "96x64", "--from", "csv")
        options = ("--read", "first_pixel=0.5", "--write", "coordinates=pixels")
        result = run(*arguments, "--format", "tapvid", *options)
        assert result.exit_code == 0, result.stderr
        assert np.load(out)["target_points"][0, 0].tolist() == [10.5, 20]
        assert run(*arguments, "--format", "tapvid").exit_code == 1  # it is there
        result = run(*arguments, "--format", "tapvid", "--overwrite")
        assert result.exit_code == 0
        assert run(*arguments, "--format", "tapvid", "--read", "x").exit_code == 2

    def test_what_is_lost_is_a_note(self, table, tmp_path):
        table.write_text("id,frame,x,y,score\n4,0,10.5,20,0.5\n")
        result = run("convert", table, tmp_path / "x.xml", "--frame-size", "96x64")
        assert result.exit_code == 0
        assert "note: " in result.stderr
        assert "no place for confidence" in result.stderr
