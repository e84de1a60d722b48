from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.io.tapvid3d import read_tapvid3d, read_tapvid3d_video
from seurat_tracks.io.truth import true_tracks
from seurat_tracks.schema import validate, validate_for_lift

SIZE = (96, 64)
K = np.array([80.0, 82.0, 47.0, 33.0])
T, N = 9, 30


def _jpeg(size: tuple[int, int], grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def clip(rng: np.random.Generator) -> dict[str, Any]:
    """A clip in the layout of the released files: time first, float64."""
    z = rng.uniform(2, 4, (1, N)) * np.linspace(1, 1.5, T)[:, None]
    u, v = rng.uniform(25, 70, (1, N)), rng.uniform(15, 50, (1, N))
    x, y = (u - K[2]) / K[0] * z[:1], (v - K[3]) / K[1] * z[:1]
    tracks = np.stack([x + 0 * z, y + 0 * z, z], -1)
    visibility = rng.random((T, N)) < 0.8
    visibility[:, 3] = False
    frame = rng.integers(0, T, N)
    at = tracks[frame, np.arange(N)]
    queries = np.column_stack([K[:2] * at[:, :2] / at[:, 2:] + K[2:], frame])
    return {
        "images_jpeg_bytes": [_jpeg(SIZE, 20 * t) for t in range(T)],
        "queries_xyt": queries,
        "tracks_XYZ": tracks,
        "visibility": visibility,
        "fx_fy_cx_cy": K,
        "extrinsics_w2c": np.tile(np.eye(4), (T, 1, 1)),
    }


def _save(path: Path, clip: dict[str, Any]) -> Path:
    np.savez(path, **clip)
    return path


def test_tracks(tmp_path: Path, clip: dict[str, Any]) -> None:
    ds = read_tapvid3d(_save(tmp_path / "clip.npz", clip))
    validate(ds, require=["xy", "visible", "depth", "xyz"])
    assert ds.attrs["frame_size"] == list(SIZE)
    assert ds.attrs["intrinsics"] == K.tolist()
    assert ds.sizes["track"] == N  # the one that is never visible among them
    np.testing.assert_allclose(
        ds.xyz.values, clip["tracks_XYZ"].swapaxes(0, 1), rtol=1e-6
    )
    np.testing.assert_array_equal(ds.visible.values, clip["visibility"].T)
    np.testing.assert_array_equal(ds.query_frame.values, clip["queries_xyt"][:, 2])
    at_query = ds.xy.sel(time=ds.query_frame).values
    np.testing.assert_allclose(at_query, ds.query_xy.values, atol=1e-4)


def test_both_spellings(tmp_path: Path, clip: dict[str, Any]) -> None:
    expected = read_tapvid3d(_save(tmp_path / "clip.npz", clip))
    clip["tracks_xyz"] = clip.pop("tracks_XYZ")
    clip["intrinsics"] = clip.pop("fx_fy_cx_cy")
    (tmp_path / "other").mkdir()
    found = read_tapvid3d(_save(tmp_path / "other" / "clip.npz", clip))
    assert found.identical(expected)


def test_tracks_without_video(tmp_path: Path, clip: dict[str, Any]) -> None:
    del clip["images_jpeg_bytes"]
    path = _save(tmp_path / "clip.npz", clip)
    with pytest.raises(SeuratTracksError, match=r"frame_size=\(width, height\)"):
        read_tapvid3d(path)
    with pytest.raises(SeuratTracksError, match="holds no images_jpeg_bytes"):
        read_tapvid3d_video(path)
    assert read_tapvid3d(path, frame_size=SIZE).attrs["frame_size"] == list(SIZE)


def test_true_tracks_tell_only_what_is_seen(
    tmp_path: Path, clip: dict[str, Any]
) -> None:
    truth = read_tapvid3d(_save(tmp_path / "clip.npz", clip))
    tracks = true_tracks(truth)
    validate_for_lift(tracks)
    assert set(tracks.data_vars) == {"xy", "visible"}
    assert "axis" not in tracks.coords
    np.testing.assert_array_equal(
        np.isfinite(tracks.xy.values).all(-1), truth.visible.values
    )
    assert "xyz" in truth


@pytest.mark.parametrize("as_objects", [False, True])
def test_video(tmp_path: Path, clip: dict[str, Any], as_objects: bool) -> None:
    if as_objects:
        clip["images_jpeg_bytes"] = np.array(clip["images_jpeg_bytes"], object)
    path = _save(tmp_path / "clip.npz", clip)
    video = read_tapvid3d_video(path)
    assert video.shape == (T, SIZE[1], SIZE[0], 3)
    assert video.dtype == np.uint8
    assert np.abs(video[:, 0, 0, 0] - 20.0 * np.arange(T)).max() <= 2
    assert read_tapvid3d(path).attrs["frame_size"] == list(SIZE)


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("this must never be printed",)


def test_nothing_in_a_file_is_run(
    tmp_path: Path, clip: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    clip["images_jpeg_bytes"] = np.array([_Evil()], object)
    path = _save(tmp_path / "clip.npz", clip)
    with pytest.raises(SeuratTracksError, match="not what it claims to be"):
        read_tapvid3d_video(path)
    clip["tracks_XYZ"] = np.array([_Evil()], object)
    path = _save(tmp_path / "clip.npz", clip)
    with pytest.raises(SeuratTracksError, match="cannot be read"):
        read_tapvid3d(path, frame_size=SIZE)
    assert "never" not in capsys.readouterr().out


def test_visible_points_behind_the_camera(tmp_path: Path, clip: dict[str, Any]) -> None:
    clip["visibility"][2, 5] = True
    clip["tracks_XYZ"][2, 5, 2] = -1.0
    path = _save(tmp_path / "clip.npz", clip)
    with pytest.warns(UserWarning, match="1 of .* visible points lie behind"):
        ds = read_tapvid3d(path)
    assert not ds.visible.values[5, 2]
    assert np.isnan(ds.xy.values[5, 2]).all()
    assert ds.xyz.values[5, 2, 2] == -1  # the truth itself stays


def test_a_wrong_frame_size_is_refused(tmp_path: Path, clip: dict[str, Any]) -> None:
    path = _save(tmp_path / "clip.npz", clip)
    with pytest.raises(SchemaError, match="far outside the frame"):
        read_tapvid3d(path, frame_size=(48, 32))


def test_one_stray_point_does_not_spoil_a_clip(
    tmp_path: Path, clip: dict[str, Any]
) -> None:
    clip["visibility"][2, 5] = True
    clip["tracks_XYZ"][2, 5, 0] = 50.0
    path = _save(tmp_path / "clip.npz", clip)
    with pytest.warns(UserWarning, match="far outside"):
        ds = read_tapvid3d(path)
    assert not ds.visible.values[5, 2]


def test_bad_files_are_named(tmp_path: Path, clip: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        read_tapvid3d(tmp_path / "nowhere.npz")
    text = tmp_path / "text.npz"
    text.write_text("tracks")
    with pytest.raises(SeuratTracksError, match="not an npz file"):
        read_tapvid3d(text)
    whole = _save(tmp_path / "clip.npz", clip)
    short = tmp_path / "short.npz"
    short.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(SeuratTracksError, match="cut short"):
        read_tapvid3d(short)
    late = dict(clip, queries_xyt=clip["queries_xyt"] + [0, 0, T])
    with pytest.raises(SeuratTracksError, match="columns are x, y, t"):
        read_tapvid3d(_save(tmp_path / "late.npz", late))
    points_first = dict(clip, visibility=clip["visibility"].T)
    with pytest.raises(SeuratTracksError, match=r"visibility has shape \(30, 9\)"):
        read_tapvid3d(_save(tmp_path / "swapped.npz", points_first))
    del clip["tracks_XYZ"], clip["queries_xyt"]
    with pytest.raises(
        SeuratTracksError, match="no tracks_XYZ or tracks_xyz, no queries_xyt"
    ):
        read_tapvid3d(_save(tmp_path / "less.npz", clip))
