from __future__ import annotations

import threading

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.errors import SchemaError
from seurat_tracks.interrupt import pause_point, watched
from tests.fixtures.videos import planar_clip

pytestmark = pytest.mark.filterwarnings("ignore:no camera intrinsics:UserWarning")


class Stopped(Exception):
    pass


def test_tracking_and_lifting_tell_how_far_they_have_come():
    told: dict[str, list[tuple[int, int]]] = {}

    def watch(what, done, total):
        told.setdefault(what, []).append((done, total))

    clip = planar_clip("mixed", n_frames=9, size=(64, 48))[0]
    with watched(watch):
        ds = st.track(clip, grid=3, progress=False)
        ds.seurat.lift3d(device="cpu")
    assert told["tracking"] == [(i, 9) for i in range(9)]
    assert told["finding cuts"] == [(i, 9) for i in range(9)]
    steps = [done / total for done, total in told["lifting"]]
    assert steps == sorted(steps)
    assert 0 <= steps[0] <= steps[-1] < 1


@pytest.mark.parametrize("where", ["finding cuts", "tracking", "lifting"])
def test_it_ends_where_the_watch_says_so_and_works_again(where):
    clip = planar_clip("mixed", n_frames=9, size=(64, 48))[0]

    def watch(what, done, total):
        if what == where:
            raise Stopped

    def work():
        st.track(clip, grid=3, progress=False).seurat.lift3d(device="cpu")

    before = threading.active_count()
    with watched(watch), pytest.raises(Stopped):
        work()
    assert threading.active_count() <= before + 1  # torch keeps one of its own
    work()


def test_a_watch_is_of_its_own_thread():
    def refuse(what, done, total):
        raise Stopped

    errors = []

    def other():
        try:
            pause_point("elsewhere")
        except Stopped as error:
            errors.append(error)

    with watched(refuse):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(Stopped):
            pause_point()
    pause_point()
    assert errors == []


def test_lifting_some_tracks_gives_what_lifting_all_gives(make_tracks):
    ds = make_tracks(9, 14)
    whole = ds.seurat.depth_ratio(device="cpu")
    some = ds.seurat.depth_ratio(device="cpu", tracks=[7, 2])
    assert some["track"].values.tolist() == [2, 7]
    for name in ("log_depth_ratio", "depth_ratio_sigma"):
        np.testing.assert_allclose(
            some[name], whole[name].sel(track=[2, 7]), rtol=1e-4, atol=1e-6
        )
    lazy = ds.chunk({"track": 4}).seurat.depth_ratio(device="cpu", tracks=[7, 2])
    np.testing.assert_allclose(
        lazy["log_depth_ratio"], some["log_depth_ratio"], atol=1e-6
    )
    for tracks, text in (([99], "no track 99"), ([], "names no track")):
        with pytest.raises(SchemaError, match=text):
            ds.seurat.depth_ratio(device="cpu", tracks=tracks)


def test_trackers_state_licence_and_settings():
    from seurat_tracks.errors import TrackerError
    from seurat_tracks.trackers import available_trackers, licence_of, settings_of

    assert licence_of("cotracker3") == "CC-BY-NC-4.0"
    assert licence_of("lk") == "Apache-2.0"
    assert {"repo", "weights", "device"} <= set(settings_of("tapir"))
    for name in available_trackers():
        assert licence_of(name)
    with pytest.raises(TrackerError, match="there is no tracker"):
        licence_of("nope")
