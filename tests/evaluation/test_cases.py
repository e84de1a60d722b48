from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.evaluation import virtual
from seurat_tracks.evaluation.cases import cases
from seurat_tracks.evaluation.rows import ROWS

FROM_VIDEOS = {"kitchen-lk", "typing"}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few and short virtual cases."""
    monkeypatch.setattr(virtual, "SCENE_FRAMES", (10,))
    monkeypatch.setattr(virtual, "SCENES_EACH", 2)
    monkeypatch.setattr(virtual, "DRIVES", 2)
    monkeypatch.setattr(virtual, "MOCAP_FRAMES", 20)


def test_every_row_has_cases_that_keep_the_contract(made_up_data: Path) -> None:
    filled = set()
    for case in cases(made_up_data):
        st.validate(case.ds)
        shape = (case.ds.sizes["track"], case.ds.sizes["time"])
        assert case.z.shape == case.visible.shape == shape
        assert case.visible.any()
        for row, tracks in case.rows.items():
            assert tracks is None or tracks.shape == shape[:1]
            filled.add(row)
    assert filled == set(ROWS) - FROM_VIDEOS


def test_the_camera_explains_where_points_appear(made_up_data: Path) -> None:
    """Pixels, depth and intrinsics of a case belong together.

    Rays through the pixels, stretched to the true depth, must give a scene in which
    static points keep their distances.
    """
    for case in cases(made_up_data, only=("drive", "mocap-all")):
        fx, fy, cx, cy = case.intrinsics
        still = np.ones(len(case.z), bool)
        if "mocap" in case.rows:
            still = ~case.rows["mocap"]
        xy = case.ds["xy"].values[still].astype(float)
        z = np.where(case.visible[still], case.z[still], np.nan)
        xyz = np.stack([(xy[..., 0] - cx) / fx * z, (xy[..., 1] - cy) / fy * z, z], -1)
        gap = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
        both = np.isfinite(gap).sum(-1) >= 2
        assert both.sum() > 20
        spread = np.nanmax(gap[both], -1) - np.nanmin(gap[both], -1)
        assert (spread < 1e-3 * np.nanmax(z)).all()


def test_scenes_know_their_focal_length() -> None:
    """The held-out scenes' camera is that of their pixels, at every frame."""
    found = [c for c in cases(None, only=("scenes",)) if c.intrinsics is not None]
    assert found
    for case in found:
        width, height = case.ds.attrs["frame_size"]
        fx, fy, cx, cy = case.intrinsics
        assert fx == fy > 0.2 * width
        assert (cx, cy) == ((width - 1) / 2, (height - 1) / 2)
        assert max(width, height) == 640


def test_exact_and_spoiled_scenes_share_their_truth() -> None:
    made = list(cases(None, only=("scenes", "scenes-spoiled")))
    exact = [c for c in made if "scenes" in c.rows]
    spoiled = [c for c in made if "scenes-spoiled" in c.rows]
    assert [c.name for c in exact] == [c.name for c in spoiled]
    for a, b in zip(exact, spoiled, strict=True):
        np.testing.assert_array_equal(a.z, b.z)
        np.testing.assert_array_equal(a.visible, b.visible)
        assert not np.array_equal(a.ds["xy"].values, b.ds["xy"].values, equal_nan=True)


def test_noisy_drives_are_off_by_half_a_pixel() -> None:
    made = {
        next(iter(c.rows)): c
        for c in cases(None, only=("drive", "drive-noisy"))
        if c.name == "street 1"
    }
    exact, noisy = made["drive"], made["drive-noisy"]
    off = (noisy.ds["xy"] - exact.ds["xy"]).values[exact.visible]
    assert off.std() == pytest.approx(0.5, rel=0.05)
    np.testing.assert_array_equal(exact.z, noisy.z)


def test_cases_are_the_same_every_time(made_up_data: Path) -> None:
    rows = ("mocap", "scenes-spoiled", "drive")
    for a, b in zip(
        cases(made_up_data, only=rows), cases(made_up_data, only=rows), strict=True
    ):
        assert a.ds.identical(b.ds)
        np.testing.assert_array_equal(a.z, b.z)


def test_every_recording_is_filmed_both_ways(made_up_data: Path) -> None:
    names = [case.name for case in cases(made_up_data, only=("mocap",))]
    people = ("bvh_01_01", "someone")
    assert names == [f"{p} {walk}" for p in people for walk in ("past", "round")]


def test_tracks_never_seen_are_left_out_and_gaps_hold_nothing(
    made_up_data: Path,
) -> None:
    (case,) = cases(made_up_data, only=("libmv-03",))
    assert case.ds.sizes["track"] == 11
    assert case.ds.attrs["frame_size"] == [1920, 1012]
    assert np.isnan(case.ds["xy"].values[~case.visible]).all()


def test_without_data_only_what_needs_none() -> None:
    rows = {row for case in cases(None) for row in case.rows}
    assert rows == {"drive", "drive-noisy", "scenes", "scenes-spoiled"}


def test_missing_clips_are_named_before_any_work(made_up_data: Path) -> None:
    shutil.rmtree(made_up_data / "mocap")
    shutil.rmtree(made_up_data / "nrsfm_surfaces")
    with pytest.raises(FileNotFoundError, match=r"mocap.*nrsfm_surfaces"):
        cases(made_up_data)
    assert len(list(cases(made_up_data, only=("kitchen", "joints-2")))) == 2


def test_videos_are_tracked_once(
    made_up_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made_up_data / "sevenscenes_a/seq_a.npz"
    clip = dict(np.load(path))
    clip["visibility"] = np.ones((9, 12), bool)
    clip["query_frame"] = np.repeat([0, 4], 6)
    np.savez(path, **clip)
    asked = []

    def track(video: Path, queries: np.ndarray, **_: object) -> object:
        asked.append((video.name, queries))
        xy = clip["tracks_uv"].transpose(1, 0, 2)
        return st.from_arrays(xy, frame_size=(480, 360))

    monkeypatch.setattr(st, "track", track, raising=False)
    for _ in range(2):
        (case,) = cases(made_up_data, only=("kitchen-lk",), cache=tmp_path / "new")
    ((video, queries),) = asked
    assert video == "seq_a.mp4"
    np.testing.assert_array_equal(queries[:, 0], clip["query_frame"])
    n = np.arange(12)
    np.testing.assert_array_equal(
        queries[:, 1:], clip["tracks_uv"][clip["query_frame"], n]
    )
    assert case.ds.sizes["track"] == 12


def test_the_typing_persons_truth_is_the_depth_map_under_the_track(
    made_up_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, x = np.mgrid[:48, :72]
    depth = np.stack([10.0 + x + 100 * y + 1e4 * t for t in range(3)])
    depth[:, :, :30] = np.nan
    (made_up_data / "depthkit_typing").mkdir()
    k = np.array([[100, 0, 36], [0, 100, 24], [0, 0, 1.0]])
    path = made_up_data / "depthkit_typing/typing.npz"
    np.savez(path, depth=depth, intrinsics=k)

    def track(video: Path, queries: np.ndarray, **_: object) -> object:
        assert np.isfinite(depth[0, queries[:, 1], queries[:, 0]]).all()
        xy = np.repeat(queries[:, None], 3, 1) + 0.3
        xy[0, 2] = [5, 5]  # wanders to where nothing is known
        return st.from_arrays(xy, frame_size=(72, 48))

    monkeypatch.setattr(st, "track", track, raising=False)
    (case,) = cases(made_up_data, only=("typing",), cache=tmp_path)
    assert not case.visible[0, 2]
    assert case.visible[:, :2].all()
    xy = case.ds["xy"].values.round()
    expected = 10 + xy[..., 0] + 100 * xy[..., 1] + 1e4 * np.arange(3)
    np.testing.assert_allclose(case.z[case.visible], expected[case.visible])
