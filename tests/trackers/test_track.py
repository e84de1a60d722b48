from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seurat_tracks import schema
from seurat_tracks.errors import SchemaError, TrackerError, VideoError
from seurat_tracks.io.video import open_video
from seurat_tracks.trackers import track
from seurat_tracks.trackers.base import TrackResult
from tests.fixtures.videos import planar_clip, write_video

SIZE = (160, 120)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return planar_clip("mixed", 17, SIZE)[0]


def test_a_file_becomes_a_dataset_that_keeps_the_contract(
    tmp_path: Path, frames: np.ndarray
) -> None:
    path = write_video(tmp_path / "clip.mp4", frames, fps=20)
    ds = track(path, grid=6, progress=False)
    schema.validate(ds)
    assert dict(ds.sizes) == {
        "track": 36,
        "time": 17,
        "coord": 2,
        "window": 6,
        "support": 576,
        "step": 8,
    }
    assert ds["xy"].attrs["units"] == "px"
    assert ds.attrs["frame_size"] == [160, 120]
    assert ds.attrs["fps"] == 20
    assert ds.attrs["tracker"] == "lk"
    assert ds.attrs["tracker_licence"] == "Apache-2.0"
    assert ds.attrs["cuts"] == []
    assert ds.attrs["contract_version"] == schema.CONTRACT_VERSION
    assert ds["window_start"].values.tolist() == [0, 4, 8, 9, 0, 2]
    assert ds["window_stride"].values.tolist() == [1, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(ds["seconds"], np.arange(17) / 20)
    assert (ds["query_frame"] == 0).all()
    assert ds["visible"].mean() > 0.8


def test_ids_order_and_frame_numbers_are_the_callers(frames: np.ndarray) -> None:
    video = open_video(frames).assign_coords(time=100 + 2 * np.arange(17))
    queries = np.array([[120, 80.0, 60], [100, 40, 30], [132, 100, 90]])
    ds = track(
        video, queries, ids=["c", "a", "b"], cuts=None, support=False, progress=False
    )
    assert ds["track"].values.tolist() == ["c", "a", "b"]
    assert ds["query_frame"].values.tolist() == [120, 100, 132]
    assert ds["time"].values.tolist() == video["time"].values.tolist()
    for k, (frame, x, y) in enumerate(queries):
        np.testing.assert_allclose(
            ds["xy"].isel(track=k).sel(time=frame), (x, y), atol=1e-4
        )
    assert "support_xy" not in ds
    assert "fps" not in ds.attrs
    table = {"x": [50.0, 60], "y": [50.0, 60], "track": [7, 3]}
    ds = track(video, table, cuts=None, support=False, progress=False)
    assert ds["track"].values.tolist() == [7, 3]


def test_cuts_are_found_reported_and_not_crossed(
    frames: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    other = planar_clip("mixed", 11, SIZE, seed=50)[0]
    clip = np.concatenate([frames, other])
    with caplog.at_level("INFO", logger="seurat_tracks"):
        ds = track(clip, [[0, 80, 60], [20, 70, 50]], progress=False)
    assert ds.attrs["cuts"] == [17]
    assert "hard cuts at frames 17" in caplog.text
    assert not ds["visible"][0, 17:].any()
    assert not ds["visible"][1, :17].any()
    assert ds["visible"][0, :17].all()
    last = ds["window_start"] + 7 * ds["window_stride"]
    assert ((ds["window_start"] >= 17) | (last < 17)).all()
    given = track(clip, [[0, 80, 60]], cuts=[9], support=False, progress=False)
    assert given.attrs["cuts"] == [9]
    assert not given["visible"][0, 9:].any()


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"queries": []}, "no queries"),
        ({"queries": [[500.0, 2.0]]}, "outside the image"),
        ({"tracker": "cotraker"}, "no tracker 'cotraker'"),
        ({"grid": 0}, "at least 1"),
        ({"ids": ["a"]}, r"shape is \(1,\), expected \(576,\)"),
        ({"ids": [1, 1], "queries": [[1, 2], [3, 4]]}, "not unique"),
        ({"ids": [1.5], "queries": [[1, 2]]}, "integers or strings"),
        ({"cuts": "none"}, '"auto" or frame numbers'),
        ({"cuts": [99]}, r"cuts \[99\] are no frames"),
        ({"strides": ()}, "strides"),
        ({"strides": (0, 2)}, "strides"),
        ({"strides": 2}, "strides must be whole numbers"),
        ({"strides": (1.5,)}, "strides must be whole numbers"),
        ({"grid": "many"}, "points a side"),
        ({"queries": {"x": [1], "y": [2], "id": [1.5]}}, "integers or strings"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    frames: np.ndarray, how: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("work was done")

    monkeypatch.setattr("seurat_tracks.trackers.cuts.iter_frames", never)
    monkeypatch.setattr("seurat_tracks.trackers.lucas_kanade.iter_frames", never)
    with pytest.raises(TrackerError, match=text):
        track(frames, progress=False, **how)


def test_videos_that_cannot_be_tracked(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(TrackerError, match="1 frame"):
        track(frames[:1])
    with pytest.raises(VideoError, match=r"gone\.mp4 does not exist"):
        track(tmp_path / "gone.mp4")


def test_another_tracker_is_asked_by_object(frames: np.ndarray) -> None:
    class Still:
        name = "still"
        licence = "MIT"

        def track(self, video: Any, queries: Any, plan: Any, **kwargs: Any) -> Any:
            n, t = len(queries), video.sizes["time"]
            xy = np.repeat(queries.xy[:, None], t, axis=1)
            return TrackResult(xy, np.ones((n, t), bool), np.ones((n, t), np.float32))

    ds = track(frames, tracker=Still(), grid=3, progress=False)  # type: ignore[arg-type]
    assert (ds.attrs["tracker"], ds.attrs["tracker_licence"]) == ("still", "MIT")
    assert "support_xy" not in ds


def test_progress_shows_when_asked_for(
    frames: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    track(frames, [[50, 50]], support=False, progress=False)
    assert capsys.readouterr().err == ""
    track(frames, [[50, 50]], support=False)  # nobody looks at a captured stderr
    assert capsys.readouterr().err == ""
    track(frames, [[50, 50]], support=False, progress=True)
    shown = capsys.readouterr().err
    assert "finding cuts" in shown
    assert "tracking" in shown


def test_a_blank_video_is_said_to_be_one() -> None:
    blank = np.zeros((9, 48, 64, 3), np.uint8)
    with pytest.warns(UserWarning, match="no point of array could be followed"):
        ds = track(blank, grid=2, progress=False)
    assert ds["visible"].sum() == 4


def test_ids_as_pandas_gives_them(frames: np.ndarray) -> None:
    ids = np.array(["left", "right"], dtype=object)
    table = {"x": [40.0, 90], "y": [50.0, 60], "id": ids}
    ds = track(frames[:3], table, support=False, cuts=None, progress=False)
    assert ds["track"].dtype.kind == "U"
    assert ds["track"].values.tolist() == ["left", "right"]


def test_windows_name_the_frames_they_saw(frames: np.ndarray) -> None:
    video = open_video(frames[:11])[1::2].assign_coords(time=[3, 5, 7, 9, 11])
    ds = track(video, [[50, 50]], progress=False)
    assert ds["window_frame"].values.tolist() == [[3, 5, 7, 9, 11, -1, -1, -1]]
    schema.validate_for_lift(ds)
    with pytest.raises(SchemaError, match="frames were left out"):
        schema.validate_for_lift(ds.drop_sel(time=7))
