import av
import numpy as np
import pytest
from PIL import Image

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.animate import animate, render, write_gif, write_mp4


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def smooth(n, height=60, width=100):
    """Coloured pictures that change slowly."""
    y, x = np.mgrid[:height, :width]
    return [
        np.stack([x + 5 * t, y * 3, np.full_like(x, 9 * t)], axis=-1).astype(np.uint8)
        for t in range(n)
    ]


def test_both_kinds_hold_every_frame(scene, tmp_path):
    ds, video = scene
    paths = animate(
        ds,
        video,
        [tmp_path / "a.mp4", tmp_path / "a.gif"],
        times=[41, 45, 50, 60],
        width=480,
    )
    with av.open(str(paths[0])) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
        assert float(container.streams.video[0].average_rate) == pytest.approx(25)
    assert len(frames) == 4
    assert np.abs(np.diff(np.stack(frames).astype(int), axis=0)).max() > 50
    with Image.open(paths[1]) as gif:
        assert gif.n_frames == 4
        assert gif.info["loop"] == 0


def test_rendering_is_lazy_and_checks_first(scene):
    ds, video = scene
    for bad, text in (([41, 99], "Dataset lacks frames"), ([], "no frames")):
        with pytest.raises(SeuratTracksError, match=text):
            render(ds, video, times=bad)
    with pytest.raises(SeuratTracksError, match="video lacks frames"):
        render(ds, video[3:])
    image = next(iter(render(ds, video, times=[41], width=480)))
    assert image.dtype == np.uint8
    assert image.shape[0] % 2 == image.shape[1] % 2 == 0


def test_mp4_keeps_the_colours(tmp_path):
    images = smooth(5)
    path = write_mp4(images, tmp_path / "a.mp4", 12.5)
    with av.open(str(path)) as container:
        back = np.stack(
            [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        )
    assert back.shape == (5, 60, 100, 3)
    assert np.abs(back.astype(int) - np.stack(images)).mean() < 8


def test_gif_shrinks_until_it_fits(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "seurat_tracks.notebook.animate.GIF_STEPS", ((90, 1, 64), (60, 2, 32))
    )
    noise = list(rng.integers(0, 255, (6, 30, 80, 3)).astype(np.uint8))
    large = write_gif(noise, tmp_path / "large.gif", 10)
    limit = large.stat().st_size - 1
    small = write_gif(noise, tmp_path / "small.gif", 10, max_bytes=limit)
    assert small.stat().st_size <= limit
    with Image.open(small) as a, Image.open(large) as b:
        assert a.width < b.width == 90
        assert b.info["duration"] == 100
        assert (a.n_frames, b.n_frames) == (3, 6)
    with pytest.raises(SeuratTracksError, match="do not fit"):
        write_gif(noise, tmp_path / "tiny.gif", 10, max_bytes=100)


def test_other_files(scene, tmp_path):
    ds, video = scene
    with pytest.raises(SeuratTracksError, match=r"a\.avi"):
        animate(ds, video, tmp_path / "a.avi")
    with pytest.raises(SeuratTracksError, match="no images"):
        write_gif([], tmp_path / "a.gif", 10)
    with pytest.raises(SeuratTracksError, match="no images"):
        write_mp4([], tmp_path / "a.mp4", 10)
