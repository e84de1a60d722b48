from __future__ import annotations

import builtins
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.evaluation import benchmark, virtual
from seurat_tracks.evaluation.methods import parse_method, with_hidden_positions
from seurat_tracks.evaluation.sources import (
    Clip,
    _with_true_places,
    development_clips,
    first_of_each,
    minival_names,
    tapvid3d_clips,
)
from seurat_tracks.io.tapvid3d import read_tapvid3d
from seurat_tracks.io.truth import true_tracks
from tests.fixtures.tapvid3d_folder import SIZE, make_folder

pytest.importorskip("pyarrow", reason="benchmarks write Parquet: pip install pyarrow")
import pandas as pd

MINI = minival_names()
METHODS = ("constant", "affine", "oracle_depth")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(
        tmp_path / "data",
        {"adt": [*MINI["adt"][:2], "another"], "drivetrack": MINI["drivetrack"][:1]},
    )


@pytest.fixture
def clips(folder: Path) -> list[Clip]:
    return tapvid3d_clips(folder, frame_sizes={"drivetrack": SIZE})[0]


def _methods(*names: str) -> list[Any]:
    return [parse_method(name) for name in names or METHODS]


class TestClips:
    def test_the_list_of_minival(self) -> None:
        assert {source: len(names) for source, names in MINI.items()} == {
            "adt": 50,
            "drivetrack": 50,
            "pstudio": 50,
        }
        assert all(len(set(names)) == 50 for names in MINI.values())

    def test_splits(self, folder: Path) -> None:
        found, about = tapvid3d_clips(folder)
        assert [c.source for c in found] == ["adt", "adt", "drivetrack"]
        assert about == "TAPVid-3D minival: adt 2 of 50, drivetrack 1 of 50"
        (rest,), _ = tapvid3d_clips(folder, split="full_eval")
        assert rest.name == "another"
        assert len(tapvid3d_clips(folder, split="all")[0]) == 4
        one, about = tapvid3d_clips(folder / "drivetrack")
        assert (one[0].source, len(one)) == ("drivetrack", 1)
        assert len(first_of_each(found, 1)) == 2

    @pytest.mark.parametrize("split", ["minival", "other"])
    def test_nothing_there(self, tmp_path: Path, split: str) -> None:
        with pytest.raises(SeuratTracksError, match=r"npz files|split is"):
            tapvid3d_clips(tmp_path, split=split)
        make_folder(tmp_path, {"adt": ["unlisted"]})
        with pytest.raises(SeuratTracksError, match=r"split is|none of the 1"):
            tapvid3d_clips(tmp_path, split=split)

    def test_the_size_of_frames_without_video(self, folder: Path) -> None:
        clips, _ = tapvid3d_clips(folder)
        ds, truth = clips[0].load()
        assert truth.attrs["frame_size"] == [512, 512]
        assert "xyz" not in ds
        with pytest.raises(SeuratTracksError, match="frame_size"):
            clips[-1].load()

    def test_development_clips(self, made_up_data: Path) -> None:
        clips, _ = development_clips(
            made_up_data, only=["kitchen", "mocap", "joints-2"]
        )
        assert {c.source for c in clips} == {"kitchen", "mocap", "joints"}
        for clip in clips:
            ds, truth = clip.load()
            assert set(truth.track.values) <= set(ds.track.values)
            at = truth.xyz.sel(time=truth.query_frame)
            assert np.isfinite(at).all()
        mocap = next(c for c in clips if c.source == "mocap")
        ds, truth = mocap.load()
        assert truth.sizes["track"] < ds.sizes["track"]  # the body alone

    def test_noisy_tracks_are_scored_against_the_true_places(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(virtual, "DRIVES", 1)
        ((noisy,), _) = development_clips(None, only=["drive-noisy"])
        ((exact,), _) = development_clips(None, only=["drive"])
        assert (noisy.source, noisy.tracker) == ("drive-noisy", "noisy")
        (found, truth), (true, same) = noisy.load(), exact.load()
        xr.testing.assert_identical(truth, same)
        off = (found.xy - true.xy).values[true.visible.values]
        assert np.std(off) == pytest.approx(virtual.NOISE, rel=0.1)

    def test_scores_start_where_the_tracker_was_given_the_point(self) -> None:
        clips, _ = development_clips(None, only=["drive"])
        _, truth = clips[0].load()
        given = np.full(truth.sizes["track"], 5)
        ds = truth[["xy", "visible"]].assign_coords(query_frame=("track", given))
        moved = _with_true_places(ds, truth)
        seen = truth.visible.values[:, 5]
        assert seen.any()
        assert not seen.all()
        np.testing.assert_array_equal(moved.query_frame[seen], 5)
        np.testing.assert_array_equal(
            moved.query_frame[~seen], truth.query_frame[~seen]
        )


class TestMethods:
    @pytest.mark.parametrize(
        ("text", "kind", "options"),
        [
            ("constant", "constant", {}),
            ("density:k=16,bandwidth=2.5", "density", {"k": 16, "bandwidth": 2.5}),
            ("seurat:fuse=chain", "seurat", {"model": "small", "fuse": "chain"}),
            ("affine:smooth=3", "affine", {"smooth": 3}),
        ],
    )
    def test_read(self, text: str, kind: str, options: dict) -> None:
        method = parse_method(text, model="small")
        assert (method.name, method.kind) == (text, kind)
        assert dict(method.options) == options

    def test_files(self, tmp_path: Path) -> None:
        method = parse_method(f"maps:zoe={tmp_path}")
        assert (method.name, method.kind, method.folder) == ("zoe", "maps", tmp_path)
        method = parse_method(f"predictions/delta:theirs={tmp_path}")
        assert (method.name, method.layout) == ("theirs", "delta")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("magic", "unknown"),
            ("constant:k=3", "takes smooth, sigma"),
            ("density:k=many", "not a number"),
            ("density:k", "not NAME=VALUE"),
            ("maps", "needs one NAME=FOLDER"),
            ("maps:zoe=/not/there", "not a folder"),
            ("predictions/unheard:x=/", "layout"),
        ],
    )
    def test_refuses(self, text: str, message: str) -> None:
        with pytest.raises(SeuratTracksError, match=message):
            parse_method(text)

    def test_hidden_positions_are_guessed(self, folder: Path) -> None:
        truth = read_tapvid3d(folder / f"adt/{MINI['adt'][0]}.npz", frame_size=SIZE)
        ds = with_hidden_positions(true_tracks(truth))
        seen = truth.visible.values
        assert np.isfinite(ds.xy).all()
        np.testing.assert_array_equal(ds.xy.values[seen], truth.xy.values[seen])
        np.testing.assert_array_equal(ds.visible, truth.visible)


class TestRun:
    def test_scores_of_every_kind(self, clips: list[Clip], tmp_path: Path) -> None:
        scalings = ("per_trajectory", "median")
        out = tmp_path / "out"
        found = benchmark.run(clips, _methods(), out, scalings=scalings)
        assert found.failures == []
        assert len(found.videos) == 3 * 3 * 2
        assert len(found.tracks) == 3 * 3 * 2 * 20
        for name in benchmark.TABLES:
            stored = pd.read_parquet(out / f"{name}.parquet")
            pd.testing.assert_frame_equal(stored, getattr(found, name))
        best = found.videos[found.videos.method == "oracle_depth"]
        np.testing.assert_allclose(best.average_jaccard, 1.0)
        flat = found.videos[found.videos.method == "constant"]
        assert (flat.average_jaccard < 0.9).all()
        np.testing.assert_allclose(
            flat.log_ratio_error, flat.log_ratio_error_constant, rtol=1e-5
        )

    def test_equal_to_evaluate(self, clips: list[Clip], tmp_path: Path) -> None:
        found = benchmark.run(clips[:1], _methods("constant"), tmp_path / "out")
        ds, truth = clips[0].load()
        lifted = parse_method("constant").lift(clips[0], ds, truth)
        scores = lifted.seurat.evaluate(truth, scaling="per_trajectory")
        np.testing.assert_array_equal(
            found.tracks.average_pts_within, scores.average_pts_within
        )
        assert found.videos.average_jaccard[0] == float(scores.video_average_jaccard)
        assert found.videos.jaccard_4[0] == float(scores.video_jaccard.sel(threshold=4))

    def test_frames(self, clips: list[Clip], tmp_path: Path) -> None:
        found = benchmark.run(clips[:1], _methods("constant"), tmp_path / "out")
        frames = found.frames.set_index("frames_since_query")
        _, truth = clips[0].load()
        assert frames.visible.sum() == int(truth.visible.sum())
        assert frames.loc[0, "sum_log_depth_error"] == pytest.approx(0, abs=1e-5)
        assert frames.loc[0, "visible"] == 20
        z = truth.depth.values
        start = truth.query_frame.values
        now = start + 2
        inside = now < truth.sizes["time"]
        row = np.flatnonzero(inside)
        seen = truth.visible.values[row, now[inside]]
        error = np.abs(np.log(z[row, now[inside]] / z[row, start[inside]]))[seen]
        assert frames.loc[2, "sum_log_depth_error"] == pytest.approx(
            error.sum(), rel=1e-4
        )

    def test_resumes(
        self, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        first = benchmark.run(
            clips, _methods("constant"), tmp_path / "out", say=said.append
        )
        assert len(said) == 3
        said.clear()
        methods = _methods("constant", "affine")
        again = benchmark.run(clips, methods, tmp_path / "out", say=said.append)
        assert [s.rsplit(", ")[-1] for s in said] == ["affine"] * 3
        old = again.videos[again.videos.method == "constant"]
        pd.testing.assert_frame_equal(
            old.reset_index(drop=True), first.videos.reset_index(drop=True)
        )
        said.clear()
        benchmark.run(
            clips, methods, tmp_path / "out", scalings=["median"], say=said.append
        )
        assert len(said) == 6  # another protocol: nothing can be kept

    def test_a_half_written_part_is_made_again(
        self, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def break_off(*args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

        out = tmp_path / "out"
        with monkeypatch.context() as patch:
            patch.setattr(np, "savez_compressed", break_off)
            with pytest.raises(KeyboardInterrupt):
                benchmark.run(clips, _methods("constant"), out)
        said: list[str] = []
        found = benchmark.run(clips, _methods("constant"), out, say=said.append)
        assert len(said) == 3
        assert not list(out.rglob("*.new"))
        assert len(found.videos) == 3

    def test_a_changed_clip_is_scored_again(
        self, clips: list[Clip], tmp_path: Path
    ) -> None:
        benchmark.run(clips, _methods("constant"), tmp_path / "out")
        path = clips[0].path
        assert path is not None
        with np.load(path) as file:
            arrays = {k: file[k] for k in file.files}
        arrays["tracks_XYZ"] = arrays["tracks_XYZ"] * 2
        np.savez(path, **arrays)
        said: list[str] = []
        benchmark.run(clips, _methods("constant"), tmp_path / "out", say=said.append)
        assert len(said) == 1

    def test_a_clip_that_fails_is_told_and_tried_again(
        self, folder: Path, tmp_path: Path
    ) -> None:
        clips, _ = tapvid3d_clips(folder)  # drivetrack: no size of frames
        found = benchmark.run(clips, _methods("constant"), tmp_path / "out")
        assert len(found.videos) == 2
        (failure,) = found.failures
        assert "drivetrack" in failure
        assert "frame_size" in failure

    def test_worst_tracks(self, clips: list[Clip], tmp_path: Path) -> None:
        found = benchmark.run(clips, _methods(), tmp_path / "out")
        worst = benchmark.worst_tracks(found, "constant", "per_trajectory")
        scores = [w["score"] for w in worst]
        assert len(worst) == 10
        assert scores == sorted(scores)
        mine = found.tracks[
            (found.tracks.method == "constant")
            & (found.tracks.visible >= benchmark.LEAST_SEEN)
        ]
        assert scores[0] == mine.average_pts_within.min()
        track = worst[0]
        assert track["true"].shape == track["guess"].shape == (10,)
        start = int(np.argmax(track["visible"]))
        assert track["guess"][start] == pytest.approx(track["true"][start], rel=1e-5)

    def test_depth_maps_from_files(self, clips: list[Clip], tmp_path: Path) -> None:
        home = tmp_path / "maps" / "adt"
        home.mkdir(parents=True)
        np.save(home / f"{clips[0].name}.npy", np.full((10, 64, 64), 2.0, np.float32))
        method = parse_method(f"maps:flat={tmp_path / 'maps'}")
        found = benchmark.run(clips[:2], [method], tmp_path / "out")
        assert len(found.videos) == 1
        assert "no file" in found.failures[0]
        constant = benchmark.run(clips[:1], _methods("constant"), tmp_path / "two")
        assert found.videos.average_jaccard[0] == constant.videos.average_jaccard[0]

    def test_refuses(self, clips: list[Clip], tmp_path: Path) -> None:
        with pytest.raises(SeuratTracksError, match=r"no methods.*not one of"):
            benchmark.run(clips, [], tmp_path / "out", scalings=["none at all"])
        with pytest.raises(SeuratTracksError, match="given twice"):
            benchmark.run(clips, _methods("constant", "constant"), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_without_pyarrow(
        self, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = builtins.__import__

        def without(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.startswith("pyarrow"):
                raise ImportError(name)
            return original(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match="pip install 'seurat-tracks"):
            benchmark.run(clips, _methods(), tmp_path / "out")

    def test_what_was_run_is_recorded(self, clips: list[Clip], tmp_path: Path) -> None:
        benchmark.run(clips, _methods("density:k=5"), tmp_path / "out", about="some")
        told = json.loads((tmp_path / "out/run.json").read_text())
        assert told["about"] == "some"
        assert told["methods"]["density:k=5"]["options"] == {"k": 5}
        assert "TAPVid-3D metrics" in told["protocol"]


def test_queries_are_followed_through_the_video(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """A textured wall slides by one pixel a frame to the left."""
    frames, size, focal = 9, 96, 100.0
    wall = np.kron(rng.integers(0, 255, (30, 40)), np.ones((4, 4))).astype(np.uint8)
    pictures = []
    for t in range(frames):
        stream = io.BytesIO()
        part = wall[:size, t : t + size]
        Image.fromarray(np.stack([part] * 3, -1)).save(stream, "JPEG", quality=95)
        pictures.append(stream.getvalue())
    start = rng.integers(0, 4, 12)
    u = rng.uniform(30, 70, 12)[None] - np.arange(frames)[:, None]
    v = np.broadcast_to(rng.uniform(20, 70, 12), u.shape)
    z = np.full(u.shape, 2.0)
    xyz = np.stack([(u - 48) / focal * z, (v - 48) / focal * z, z], -1)
    at = np.arange(12)
    np.savez(
        tmp_path / "clip.npz",
        images_jpeg_bytes=np.array(pictures, object),
        tracks_XYZ=xyz,
        visibility=np.ones(u.shape, bool),
        queries_xyt=np.column_stack([u[start, at], v[start, at], start]),
        fx_fy_cx_cy=np.array([focal, focal, 48.0, 48.0]),
    )
    (clip,), _ = tapvid3d_clips(
        tmp_path, split="all", tracker="lk", cache=tmp_path / "cache"
    )
    ds, truth = clip.load()
    assert clip.tracker == "lk"
    after = truth.time.values >= start[:, None]
    assert ds.visible.values[after].mean() > 0.7
    seen = ds.visible.values & after
    error = np.abs(ds.xy.values - truth.xy.values)[seen]
    assert np.median(error) < 0.5
    again, _ = clip.load()
    np.testing.assert_array_equal(again.xy, ds.xy)
    assert again.attrs["intrinsics"] == truth.attrs["intrinsics"]
