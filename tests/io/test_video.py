from __future__ import annotations

import itertools
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.errors import VideoError
from seurat_tracks.io import _decode
from seurat_tracks.io.video import iter_frames, open_video, read_ahead
from tests.fixtures.videos import numbered_frames, read_number, write_video

N = 57
SIZE = (80, 48)


def numbers(frames: Any) -> list[int]:
    return [read_number(frame) for frame in frames]


CODINGS = {
    "h264.mp4": ("clip.mp4", {}),
    "h264 b-frames.mp4": ("clip.mp4", {"bframes": 3, "gop": 13}),
    "h264 open gop.mkv": (
        "clip.mkv",
        {
            "bframes": 3,
            "gop": 9,
            "options": {"x264-params": "open-gop=1:keyint=9:min-keyint=9:scenecut=0"},
        },
    ),
    "h264 one gop.mov": ("clip.mov", {"gop": 500, "bframes": 2}),
    "h265.mp4": (
        "clip.mp4",
        {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=10"}},
    ),
    "vp9.webm": ("clip.webm", {"codec": "libvpx-vp9"}),
    "vp8.webm": ("clip.webm", {"codec": "libvpx"}),
    "mpeg4.avi": ("clip.avi", {"codec": "mpeg4", "bframes": 2}),
    "mjpeg.avi": ("clip.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}),
    "ffv1.mkv": ("clip.mkv", {"codec": "ffv1"}),
    "h264.ts": ("clip.ts", {"bframes": 2}),
}


@pytest.fixture(params=CODINGS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, how = CODINGS[request.param]
    return write_video(tmp_path / name, numbered_frames(N, SIZE), **how)


def test_every_coding_gives_exact_frames_in_any_order(
    clip: Path, rng: np.random.Generator
) -> None:
    video = open_video(clip)
    assert video.dims == ("time", "y", "x", "rgb")
    assert video.shape == (N, SIZE[1], SIZE[0], 3)
    assert video.dtype == np.uint8
    in_order = np.stack(list(iter_frames(video)))
    assert numbers(in_order) == list(range(N))
    for k in [N - 1, 0, *rng.permutation(N)[:12].tolist()]:
        np.testing.assert_array_equal(video[k].to_numpy(), in_order[k])
    np.testing.assert_array_equal(video.to_numpy(), in_order)


def test_opening_decodes_nothing_and_coordinates_are_complete(
    tmp_path: Path, raise_if_dask_computes: Callable[[], Any]
) -> None:
    path = write_video(tmp_path / "clip.mp4", numbered_frames(N, SIZE), fps=20)
    with raise_if_dask_computes():
        video = open_video(path)
        video = video.isel(time=slice(3, 9), x=slice(0, 10))
    assert video.attrs["frame_size"] == [80, 48]
    assert video.attrs["fps"] == 20
    assert video.attrs["source"] == str(path.resolve())
    assert video["time"].values.tolist() == list(range(3, 9))
    np.testing.assert_allclose(video["seconds"], np.arange(3, 9) / 20, atol=1e-9)
    assert video["rgb"].values.tolist() == ["r", "g", "b"]


def test_colours_come_as_rgb(tmp_path: Path) -> None:
    frames = np.zeros((6, 48, 64, 3), np.uint8)
    frames[...] = (220, 120, 30)
    path = write_video(tmp_path / "clip.mp4", frames)
    got = open_video(path)[2].to_numpy().reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(got, (220, 120, 30), atol=6)


def test_slices_and_crops_are_walked_as_they_are(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", numbered_frames(N, SIZE), bframes=2)
    video = open_video(path)
    whole = video.to_numpy()
    some = video.isel(time=slice(10, 40, 3), y=slice(8, 40))
    np.testing.assert_array_equal(np.stack(list(iter_frames(some))), some.to_numpy())
    np.testing.assert_array_equal(some.to_numpy(), whole[10:40:3, 8:40])
    np.testing.assert_array_equal(video[::-1].to_numpy(), whole[::-1])
    assert numbers(iter_frames(video, 7, 12)) == list(range(7, 12))
    assert numbers(iter_frames(video, 50, 500)) == list(range(50, N))
    assert list(iter_frames(video, 12, 12)) == []


def test_walking_decodes_every_frame_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "clip.mp4", numbered_frames(200, (640, 360)), gop=80)
    video = open_video(path)
    assert len(video.chunksizes["time"]) > 5
    decoded = []
    step = _decode.VideoFile._decoded

    def counting(self: Any, *args: Any) -> Any:
        for frame in step(self, *args):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(_decode.VideoFile, "_decoded", counting)
    assert sum(1 for _ in iter_frames(video)) == 200
    assert len(decoded) == 200


def test_variable_frame_rate_shows_in_seconds(tmp_path: Path) -> None:
    gaps = np.random.default_rng(5).integers(15, 120, N - 1)
    pts = np.concatenate([[0], np.cumsum(gaps)])
    path = write_video(tmp_path / "clip.mkv", numbered_frames(N, SIZE), pts=pts)
    video = open_video(path)
    np.testing.assert_allclose(video["seconds"], pts / 1000, atol=1e-6)
    assert video.attrs["fps"] == pytest.approx((N - 1) / (pts[-1] / 1000))
    assert numbers(video.isel(time=[30, 3, 56]).to_numpy()) == [30, 3, 56]


def test_a_first_timestamp_other_than_zero_is_no_offset(tmp_path: Path) -> None:
    pts = 5_000 + 40 * np.arange(N)
    path = write_video(
        tmp_path / "clip.mkv", numbered_frames(N, SIZE), pts=pts, bframes=2
    )
    video = open_video(path)
    assert video["seconds"].values[0] == 0
    np.testing.assert_allclose(np.diff(video["seconds"]), 0.04, atol=1e-9)
    assert read_number(video[0].to_numpy()) == 0
    assert read_number(video[20].to_numpy()) == 20


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (-90, -1), (180, 2)])
def test_rotation_flag_is_honoured(tmp_path: Path, angle: int, turns: int) -> None:
    frames = numbered_frames(9, SIZE)
    plain = open_video(write_video(tmp_path / "a.mp4", frames)).to_numpy()
    path = write_video(tmp_path / "b.mp4", frames, rotation=angle)
    video = open_video(path)
    expected = np.rot90(plain, turns, axes=(1, 2))
    assert video.attrs["frame_size"] == [expected.shape[2], expected.shape[1]]
    np.testing.assert_array_equal(video.to_numpy(), expected)


def test_a_phone_held_upright_is_turned_clockwise(tmp_path: Path) -> None:
    # The matrix phones write in the tkhd box for "turn 90 degrees clockwise".
    path = write_video(tmp_path / "clip.mp4", numbered_frames(9, SIZE))
    plain = open_video(path).to_numpy()
    data = path.read_bytes()
    one = 1 << 16
    identity = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, SIZE[1] * one, 0, 1 << 30)
    at = data.index(identity, data.index(b"tkhd"))
    phone = tmp_path / "phone.mp4"
    phone.write_bytes(data[:at] + turned + data[at + 36 :])
    video = open_video(phone)
    assert video.attrs["frame_size"] == [SIZE[1], SIZE[0]]
    np.testing.assert_array_equal(video.to_numpy(), np.rot90(plain, -1, axes=(1, 2)))


def test_a_video_that_ends_early_gives_what_is_there(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "clip.mp4",
        np.random.default_rng(0).integers(0, 255, (N, 48, 80, 3), np.uint8),
        container_options={"movflags": "faststart"},
    )
    whole = open_video(path).to_numpy()
    short = tmp_path / "short.mp4"
    short.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with pytest.warns(UserWarning, match=rf"short\.mp4 ends early.*{N} frames and \d+"):
        video = open_video(short)
    n = video.sizes["time"]
    assert 20 < n < N
    assert video.attrs["frames_promised"] == N
    got = video.to_numpy()
    np.testing.assert_array_equal(got, whole[:n])
    assert len(video["seconds"]) == n


def test_a_cut_off_file_that_states_only_its_length_is_noticed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", numbered_frames(N, SIZE), codec="ffv1")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.5)])
    with pytest.warns(UserWarning, match=r"clip\.mkv ends early"):
        video = open_video(path)
    assert numbers(iter_frames(video)) == list(range(video.sizes["time"]))
    assert 10 < video.sizes["time"] < N - 10


def damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    return path


def test_a_damaged_frame_is_refused_and_never_a_copy(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", numbered_frames(N, SIZE), gop=10)
    video = open_video(damaged(clip))
    assert video.sizes["time"] == N
    read, refused = [], []
    for k in range(N):
        try:
            read.append((k, read_number(video[k].to_numpy())))
        except VideoError as error:
            refused.append(str(error))
    assert all(k == number for k, number in read)
    assert 0 < len(refused) <= 20
    assert len(read) + len(refused) == N
    assert all("clip.mp4: frame" in text for text in refused)
    with pytest.raises(VideoError, match=r"clip\.mp4: frame \d+ of 57 does not decode"):
        list(iter_frames(video))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("missing.mp4", None, "does not exist"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"this is no video at all" * 50, "cannot be read as a video"),
        ("noise.avi", bytes(range(256)) * 40, "cannot be read|not one frame"),
        ("one.png", b"x", "one image"),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, name: str, content: bytes | None, text: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=text) as caught:
        open_video(path)
    assert name in str(caught.value)


def test_a_header_without_frames_is_refused(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "clip.mp4",
        numbered_frames(N, SIZE),
        container_options={"movflags": "faststart"},
    )
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(VideoError, match=r"clip\.mp4.*not one frame"):
        open_video(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(4000))
    with pytest.raises(VideoError, match=r"sound\.wav holds no video"):
        open_video(tmp_path / "sound.wav")


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", numbered_frames(N, SIZE))
    video = open_video(path)
    write_video(path, numbered_frames(20, SIZE, seed=1))
    with pytest.raises(VideoError, match="changed"):
        video[3].to_numpy()
    path.unlink()
    with pytest.raises(VideoError, match="removed"):
        video[3].to_numpy()


def test_a_lazy_video_pickles_small_and_reads_elsewhere(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", numbered_frames(N, SIZE))
    packed = pickle.dumps(open_video(path))
    assert len(packed) < 20_000
    (tmp_path / "packed").write_bytes(packed)
    code = (
        "import pickle, sys; v = pickle.load(open(sys.argv[1], 'rb'));"
        "sys.stdout.write(str(int(v[11].sum())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "packed")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == int(open_video(path)[11].sum())


def test_many_files_open_at_once(tmp_path: Path) -> None:
    first = write_video(tmp_path / "0.mp4", numbered_frames(N, SIZE))
    paths = [first] + [shutil.copy(first, tmp_path / f"{k}.mp4") for k in range(1, 8)]
    videos = [open_video(path) for path in paths]
    for k in (5, 50, 20):
        assert [read_number(v[k].to_numpy()) for v in videos] == [k] * 8


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    import cv2

    frames = numbered_frames(12, SIZE)
    frames[..., 0] = 255  # red
    for t, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"frame_{t}.png"), frame[..., ::-1])
    (tmp_path / "notes.txt").write_text("not a frame")
    video = open_video(tmp_path, fps=10)
    np.testing.assert_array_equal(video.to_numpy(), frames)
    assert video.attrs["fps"] == 10
    assert float(video["seconds"][11]) == pytest.approx(1.1)
    assert "seconds" not in open_video(tmp_path).coords
    cv2.imwrite(str(tmp_path / "frame_12.png"), frames[0, :20])
    with pytest.raises(VideoError, match=r"frame_12\.png.*80 x 20"):
        open_video(tmp_path)[12].to_numpy()


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="holds no images"):
        open_video(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"a\.png cannot be read"):
        open_video(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"empty files.*a\.png"):
        open_video(tmp_path)


def test_arrays_in_memory(rng: np.random.Generator) -> None:
    colour = rng.integers(0, 255, (7, 5, 9, 3), np.uint8)
    video = open_video(colour, fps=4)
    np.testing.assert_array_equal(video.to_numpy(), colour)
    assert video.attrs["frame_size"] == [9, 5]
    assert video["seconds"].values.tolist() == (np.arange(7) / 4).tolist()
    grey = open_video(colour[..., 1])
    np.testing.assert_array_equal(
        grey.to_numpy(), np.repeat(colour[..., 1, None], 3, axis=3)
    )
    np.testing.assert_array_equal(np.stack(list(iter_frames(grey))), grey.to_numpy())


def test_frames_left_out_change_the_rate(rng: np.random.Generator) -> None:
    video = open_video(rng.integers(0, 255, (9, 6, 8, 3), np.uint8), fps=20)
    thinned = open_video(video.isel(time=slice(None, None, 2)))
    assert thinned.attrs["fps"] == pytest.approx(10)
    np.testing.assert_allclose(thinned["seconds"], np.arange(5) / 10)


def test_a_dataarray_keeps_its_frame_numbers(rng: np.random.Generator) -> None:
    colour = rng.integers(0, 255, (7, 5, 9, 3), np.uint8)
    given = xr.DataArray(
        colour.transpose(1, 2, 0, 3),
        dims=("y", "x", "time", "rgb"),
        coords={"time": np.arange(10, 24, 2)},
    )
    video = open_video(given)
    np.testing.assert_array_equal(video.to_numpy(), colour)
    assert video["time"].values.tolist() == list(range(10, 24, 2))
    again = open_video(video.isel(time=slice(2, 5)))
    assert again["time"].values.tolist() == [14, 16, 18]
    with pytest.raises(VideoError, match="dims"):
        open_video(xr.DataArray(colour, dims=("t", "h", "w", "c")))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((4, 5, 6, 3), np.float32), "float32.*0..1 floats"),
        (np.zeros((4, 5, 6, 3), bool), "dtype is bool"),
        (np.zeros((4, 3, 5, 6), np.uint8), r"expected \(time, y, x, 3\)"),
        (np.zeros((5, 6, 3), np.uint8), r"array\[None\]"),
        (np.zeros((0, 5, 6, 3), np.uint8), "no frame"),
        (np.zeros((5, 6), np.uint16), "shape is.*dtype is"),
    ],
)
def test_bad_arrays_are_refused_with_a_cure(array: np.ndarray, text: str) -> None:
    with pytest.raises(VideoError, match=text):
        open_video(array)


def test_other_sources_and_rates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"from a list.*np\.stack"):
        open_video([np.zeros((5, 6, 3), np.uint8)])  # type: ignore[arg-type]
    with pytest.raises(VideoError, match="positive"):
        open_video(np.zeros((2, 5, 6), np.uint8), fps=0)
    path = write_video(tmp_path / "clip.mp4", numbered_frames(4, SIZE))
    with pytest.raises(VideoError, match="states its own times"):
        open_video(path, fps=30)


def test_reading_ahead_changes_nothing_and_waits() -> None:
    made = []

    def items() -> Iterator[int]:
        for k in range(20):
            made.append(k)
            yield k

    ahead = read_ahead(items(), depth=3)
    assert next(ahead) == 0
    time.sleep(0.3)
    assert len(made) <= 5  # one used, three waiting, one in hand
    assert [0, *ahead] == list(range(20))


def test_what_goes_wrong_ahead_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise VideoError("frame 1 does not decode")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(VideoError, match="frame 1"):
        next(ahead)


def test_reading_ahead_ends_with_its_iterator() -> None:
    ahead = read_ahead(itertools.count())
    assert next(ahead) == 0
    assert any(t.name == "read-ahead" for t in threading.enumerate())
    ahead.close()
    assert not any(t.name == "read-ahead" for t in threading.enumerate())
