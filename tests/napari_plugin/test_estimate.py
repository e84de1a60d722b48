from __future__ import annotations

import numpy as np
import pytest

from napari_seurat_tracks import estimate, lifting
from napari_seurat_tracks.lifting import Depth, Job
from seurat_tracks.errors import CameraError, DepthError, SeuratTracksError
from seurat_tracks.io.video import open_video
from tests.fixtures.videos import planar_clip


@pytest.fixture(scope="module")
def video():
    return open_video(planar_clip("mixed", n_frames=40, size=(96, 72))[0], fps=25)


def test_it_scales_what_it_measured_with_the_work(video, monkeypatch):
    """With a clock that counts the work, the estimate is the whole job's time."""
    import seurat_tracks.lift
    import seurat_tracks.trackers
    from seurat_tracks.windows import plan_windows

    now = [0.0]
    monkeypatch.setattr(estimate, "perf_counter", lambda: now[0])
    track, depth_ratio = seurat_tracks.trackers.track, seurat_tracks.lift.depth_ratio
    counted = {"tracked": 0, "lifted": 0}

    def timed_track(clip, queries, *args, **settings):
        n = clip.sizes["time"]
        frames = np.zeros(len(queries), int)
        now[0] += 1e-3 * estimate.work(plan_windows(n), n, frames)
        counted["tracked"] += n
        return track(clip, queries, *args, **settings)

    def timed_ratio(ds, **settings):
        if "tracks" not in settings:
            now[0] += 0.1 * ds.sizes["window"]
            counted["lifted"] += ds.sizes["window"]
        return depth_ratio(ds, **settings)

    monkeypatch.setattr(seurat_tracks.trackers, "track", timed_track)
    monkeypatch.setattr(seurat_tracks.lift, "depth_ratio", timed_ratio)
    job = Job(video=video, grid=4, device="cpu")
    found = estimate.measured(job, None)
    assert counted["tracked"] == estimate.SAMPLE
    plan = plan_windows(40)
    assert found.parts["lifting"] == pytest.approx(0.1 * len(plan))
    expected = 1e-3 * estimate.work(plan, 40, np.zeros(16, int))
    assert found.parts["tracking"] == pytest.approx(expected)
    assert found.rests_on == "measured here on 12 of 40 frames"


def test_tracks_that_are_there(video, make_tracks):
    ds = make_tracks(6, 30)
    found = estimate.measured(Job(tracks=ds, device="cpu"), None)
    assert list(found.parts) == ["lifting"]
    assert found.seconds > 0
    part = estimate.first_frames(ds, 12)
    assert part.sizes["time"] == 12


def test_a_depth_model_is_measured_on_two_frames(video):
    from seurat_tracks.depth import DepthModel

    class Flat:
        name, licence, kind = "flat", "", "metric"
        digest, per_focal = "1", False
        seen = 0

        def __call__(self, frames):
            Flat.seen += len(frames)
            return np.full(frames.shape[:3], 2.0), None

    source = DepthModel(Flat(), video=video)
    found = estimate.measured(Job(video=video, grid=3, device="cpu"), source)
    assert Flat.seen == 2
    assert "depth model" in found.parts
    assert found.rests_on.endswith("the depth model on 2")


def test_the_documented_rate_is_of_lk_alone():
    assert estimate.documented("lk", 40).seconds == pytest.approx(40 * 0.14)
    assert "docs/trackers.md" in str(estimate.documented("lk", 40))
    assert estimate.documented("tapir", 40) is None


@pytest.mark.parametrize(
    ("job", "error", "text"),
    [
        (Job(), SeuratTracksError, "there is no video and there are no tracks"),
        (Job(device="cudo"), SeuratTracksError, "cudo"),
        (Job(model="huge"), SeuratTracksError, "huge"),
        (Job(depth=Depth("constant", float("nan"))), DepthError, "positive, finite"),
        (Job(depth=Depth("model", " ")), SeuratTracksError, "name the depth model"),
        (Job(depth=Depth("file", "/no.npy")), DepthError, "there is no such file"),
        (Job(intrinsics=(1.0, 2.0)), CameraError, "intrinsics"),
        (Job(queries=[[500.0, 3.0]]), SeuratTracksError, "outside the image"),
    ],
)
def test_everything_is_refused_before_any_work(video, job, error, text):
    from dataclasses import replace

    job = job if "there is no video" in text else replace(job, video=video)
    with pytest.raises(error, match=text):
        lifting.prepare(job)


def test_a_model_needs_the_video(make_tracks):
    job = Job(tracks=make_tracks(), depth=Depth("model", "depth-pro"))
    with pytest.raises(SeuratTracksError, match="looks at the video's frames"):
        lifting.prepare(job)
