"""Small files in the layouts of the data sets, of a camera and points we know."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from seurat_tracks.model.config import ModelConfig
from seurat_tracks.training import loop
from seurat_tracks.training.config import RECIPES, TrainConfig, TrainingError
from seurat_tracks.training.data import BatchSize
from seurat_tracks.training.files import (
    Kubric,
    PointOdyssey,
    TrackFiles,
    Tracks,
    choose_points,
    read_array,
)
from seurat_tracks.training.loop import train

WIDTH, HEIGHT, FOCAL, FRAMES = 960, 540, 800.0, 24
CPU = torch.device("cpu")
RUN = TrainConfig(
    model=ModelConfig(
        width=32, heads=2, layers=1, pair_width=8, motions=1, iterations=1
    ),
    steps=4,
    tracks=200,
    warmup=2,
    bfloat16=False,
    log_every=2,
    validate_every=40,
)


class Video(NamedTuple):
    """Points (N, 3) of a standing world, seen by a camera that walks and turns."""

    world: np.ndarray
    extrinsics: np.ndarray  # T 4 4, world to camera
    camera: np.ndarray  # T N 3, the points in the camera's frame
    pixels: np.ndarray  # T N 2, the first pixel's corner at 0
    inside: np.ndarray  # T N


def make_video(seed: int, points: int = 90) -> Video:
    rng = np.random.default_rng(seed)
    world = rng.uniform((-4, -2, 4), (4, 2, 12), (points, 3))
    extrinsics = np.tile(np.eye(4), (FRAMES, 1, 1))
    for t in range(FRAMES):
        a = 0.01 * t
        extrinsics[t, :3, :3] = [
            [np.cos(a), 0, np.sin(a)],
            [0, 1, 0],
            [-np.sin(a), 0, np.cos(a)],
        ]
        extrinsics[t, :3, 3] = [0.03 * t, 0.01 * t, -0.08 * t]
    camera = np.einsum("tij,nj->tni", extrinsics[:, :3, :3], world)
    camera = camera + extrinsics[:, None, :3, 3]
    pixels = FOCAL * camera[..., :2] / camera[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    inside = ((pixels >= 0) & (pixels <= [WIDTH, HEIGHT])).all(-1)
    return Video(world, extrinsics, camera, pixels, inside)


def write_odyssey(path: Path, video: Video, **other: np.ndarray) -> None:
    path.mkdir(parents=True)
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    seen = video.inside.copy()
    seen[:, ::7] = False  # hidden by something
    arrays = {
        "trajs_2d": video.pixels.astype(np.float32),
        "trajs_3d": np.tile(video.world.astype(np.float32), (FRAMES, 1, 1)),
        "visibs": seen,
        "valids": np.ones_like(seen),
        "intrinsics": np.tile(K, (FRAMES, 1, 1)),
        "extrinsics": video.extrinsics,
    }
    np.savez(path / "anno.npz", **{**arrays, **other})


def write_kubric(path: Path, video: Video, **other: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    distance = np.linalg.norm(video.camera, axis=-1).T
    arrays = {
        "target_points": video.pixels.swapaxes(0, 1).astype(np.float32),
        "occluded": ~video.inside.T,
        "relative_depth": (distance / distance[:, :1]).astype(np.float32),
        "frame_size": np.array([WIDTH, HEIGHT]),
        "focal_length": np.float32(35.0),
        "sensor_width": np.float32(35.0 * WIDTH / FOCAL),
    }
    np.savez(path, **{**arrays, **other})


@pytest.fixture(scope="module")
def odyssey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odyssey")
    for split, seed in (("train", 0), ("train", 1), ("val", 2)):
        write_odyssey(folder / split / f"scene{seed}", make_video(seed))
    return folder


@pytest.fixture(scope="module")
def kubric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kubric")
    for seed in range(3):
        write_kubric(folder / f"{seed:05d}.npz", make_video(seed))
    return folder


def in_camera(tracks: Tracks) -> np.ndarray:
    """Points (P, T, 3) in the camera's frame, from normalised position and depth."""
    one = np.ones_like(tracks.z)[..., None]
    ray = np.concatenate([tracks.xy / tracks.focal, one], -1)
    return ray * tracks.z[..., None]


def test_pointodyssey_is_read_exactly(odyssey: Path) -> None:
    frames = np.array([3, 5, 7])
    tracks = PointOdyssey.read(odyssey / "train" / "scene1" / "anno.npz", frames)
    video = make_video(1)
    truth = video.camera[frames].swapaxes(0, 1)
    known = tracks.z > 0
    assert known.mean() > 0.9
    np.testing.assert_allclose(in_camera(tracks)[known], truth[known], atol=2e-5)
    seen = video.inside[frames].T.copy()
    seen[::7] = False
    assert np.array_equal(tracks.visible, seen)
    assert tracks.focal == pytest.approx(FOCAL / 480)


def test_kubrics_distance_becomes_depth(kubric: Path) -> None:
    """Up to the factor per point by which Kubric's depth is relative."""
    frames = np.array([0, 4, 8])
    tracks = Kubric.read(kubric / "00001.npz", frames)
    video = make_video(1)
    z = video.camera[frames, :, 2].T
    known = (tracks.z > 0).all(1)
    assert known.mean() > 0.8
    ratio, truth = (a[known, 1:] / a[known, :1] for a in (tracks.z, z))
    np.testing.assert_allclose(ratio, truth, rtol=1e-5)
    # which the distance's own ratio is not
    distance = np.linalg.norm(video.camera[frames], axis=-1).T
    assert np.abs(distance[known, 1:] / distance[known, :1] - truth).max() > 1e-3
    assert np.array_equal(tracks.visible, video.inside[frames].T)
    assert tracks.focal == pytest.approx(FOCAL / 480)


def test_pixels_whose_corner_is_zero(kubric: Path) -> None:
    """A point at (480, 270) of 960 x 540 is the centre."""
    video = make_video(0)
    corner = np.zeros_like(video.pixels)
    corner[:, 0], corner[:, 1] = (WIDTH / 2, HEIGHT / 2), (WIDTH, 0)
    write_kubric(
        kubric.parent / "centre.npz",
        video,
        target_points=corner.swapaxes(0, 1),
        occluded=np.zeros((90, FRAMES), bool),
    )
    tracks = Kubric.read(kubric.parent / "centre.npz", np.arange(2))
    assert tracks.xy[0, 0].tolist() == [0, 0]
    assert tracks.xy[1, 0] == pytest.approx([1, -HEIGHT / WIDTH])


def test_what_is_not_known_is_not_taught(tmp_path: Path) -> None:
    video = make_video(0)
    pixels, valid = video.pixels.astype(np.float32), np.ones_like(video.inside)
    pixels[2, 0], pixels[2, 1], valid[2, 2] = np.nan, np.inf, False
    pixels[2, 3] = -5000  # the projection of a point behind the camera, say
    everywhere = np.ones_like(valid)
    write_odyssey(
        tmp_path / "a", video, trajs_2d=pixels, valids=valid, visibs=everywhere
    )
    tracks = PointOdyssey.read(tmp_path / "a" / "anno.npz", np.array([1, 2]))
    assert np.isfinite(tracks.xy).all()
    assert (tracks.z[:4, 1] == 0).all()
    assert not tracks.visible[:4, 1].any()
    assert (tracks.z[:4, 0] > 0).all()
    # the first release had one array for both flags
    one = np.where(valid, 1.0, 2.0)
    one[2, 5] = 0
    write_odyssey(tmp_path / "b", video, trajs_2d=pixels, visibilities=one)
    older = PointOdyssey.read(tmp_path / "b" / "anno.npz", np.array([1, 2]))
    assert np.array_equal(older.z, tracks.z)
    assert not older.visible[5, 1]


def test_files_stay_on_the_disk(odyssey: Path, tmp_path: Path) -> None:
    path = odyssey / "train" / "scene0" / "anno.npz"
    array = read_array(path, "trajs_3d")
    assert isinstance(array, np.memmap)
    with np.load(path) as whole:
        for name in whole:
            assert np.array_equal(read_array(path, name), whole[name])
        np.savez_compressed(tmp_path / "anno.npz", **whole)
    assert np.array_equal(read_array(tmp_path / "anno.npz", "trajs_3d"), array)


@pytest.mark.parametrize("layout", ["odyssey", "kubric"])
def test_batches(layout: str, request: pytest.FixtureRequest) -> None:
    files = TrackFiles(request.getfixturevalue(layout), 8)
    exact = replace(RUN, spoil=False, support=30, queries=12, batch=3, known_focal=1.0)
    batch = files.batch(exact, 4, CPU)
    assert batch.xy.shape == (3, 42, 8, 2)
    assert batch.z.shape == batch.visible.shape == (3, 42, 8)
    assert batch.focal is not None
    assert batch.focal.tolist() == pytest.approx([FOCAL / 480] * 3)
    assert batch.visible[:, :30, 0].all()
    assert batch.visible[:, 30:].any(-1).all()
    # no point is support and query at once
    for xy in batch.xy[:, :, 0]:
        assert len(torch.unique(xy, dim=0)) == 42
    again = files.batch(exact, 4, CPU)
    assert torch.equal(batch.xy, again.xy)
    assert not torch.equal(batch.xy, files.batch(exact, 5, CPU).xy)
    spoiled = files.batch(replace(exact, spoil=True), 4, CPU)
    assert not torch.equal(batch.xy, spoiled.xy)
    assert torch.equal(batch.z, spoiled.z)


def test_strides(kubric: Path) -> None:
    """Windows of every third frame show three times the motion."""
    files = TrackFiles(kubric, 8)
    exact = replace(RUN, spoil=False, support=30, queries=12, batch=40)

    def motion(max_stride: int) -> float:
        batch = files.batch(replace(exact, max_stride=max_stride), 0, CPU)
        both = batch.visible[..., 0] & batch.visible[..., -1]
        return float((batch.xy[:, :, -1] - batch.xy[:, :, 0])[both].norm(dim=-1).mean())

    assert 1.5 < motion(3) / motion(1) < 2.6


def test_held_out_sequences_are_not_trained_on(odyssey: Path, kubric: Path) -> None:
    files = TrackFiles(odyssey, 8)
    assert [p.parent.name for p in files.train] == ["scene0", "scene1"]
    assert [p.parent.name for p in files.held_out] == ["scene2"]
    files = TrackFiles(kubric, 8)
    assert [p.stem for p in files.train] == ["00000", "00001"]
    assert [p.stem for p in files.held_out] == ["00002"]
    a, b = files.validation(4, CPU), files.validation(4, CPU)
    assert torch.equal(a.xy, b.xy)


def test_support_is_spread() -> None:
    """From points crowded in one corner and few elsewhere, most of the few."""
    rng = np.random.default_rng(0)
    crowd, few = rng.uniform(-1, -0.9, (2000, 1, 2)), rng.uniform(-1, 1, (60, 1, 2))
    xy = np.concatenate([crowd, few]).astype(np.float32)
    everywhere = np.ones(xy.shape[:2], bool)
    tracks = Tracks(xy, everywhere, everywhere.astype(np.float32), 1.0)
    chosen = choose_points(tracks, BatchSize(1, 64, 8), random.Random(0))
    assert (chosen.xy[:64, 0] > -0.9).any(-1).sum() > 40


def test_few_points_are_filled_up_with_hidden_ones() -> None:
    xy = np.random.default_rng(0).uniform(-1, 1, (20, 8, 2)).astype(np.float32)
    visible = np.ones((20, 8), bool)
    tracks = Tracks(xy, visible, np.ones((20, 8), np.float32), 1.0)
    chosen = choose_points(tracks, BatchSize(1, 576, 192), random.Random(0))
    assert chosen.xy.shape == (768, 8, 2)
    assert chosen.visible[:576].any(1).sum() == 15
    assert chosen.visible[576:].any(1).sum() == 5
    assert (chosen.z[~chosen.visible] == 0).all()


@pytest.mark.parametrize("layout", ["odyssey", "kubric"])
def test_training_on_files_resumes(
    layout: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = request.getfixturevalue(layout)
    monkeypatch.setattr(loop, "validation_scenes", lambda *a: {})
    train(RUN, tmp_path / "whole", folder=folder, device="cpu")
    for minutes in (0, 0.001, 10):
        path = train(
            RUN, tmp_path / "broken", folder=folder, device="cpu", minutes=minutes
        )
    one, two = (
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)
        for run in ("whole", "broken")
    )
    for name, value in one["network"].items():
        assert torch.equal(two["network"][name], value)
    kind = {"odyssey": "pointodyssey"}.get(layout, layout)
    assert one["config"]["data"] == kind
    assert (path.parent / "validation.csv").read_text().split()[0].endswith(kind)


# the network keeps a layer without inputs where it fits no rigid motions
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_the_papers_recipe_runs(
    kubric: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own size is for a GPU: a thinner network, fewer points, two steps."""
    monkeypatch.setattr(loop, "validation_scenes", lambda *a: {})
    small = replace(RECIPES["paper"].model, width=32, heads=2, iterations=2)
    config = replace(
        RECIPES["paper"], model=small, steps=2, support=40, queries=20, log_every=1
    )
    with pytest.raises(TrainingError, match="trains on kubric: give the folder"):
        train(config, tmp_path / "no", device="cpu")
    assert not (tmp_path / "no").exists()
    train(config, tmp_path / "run", folder=kubric, device="cpu")
    rows = (tmp_path / "run" / "loss.csv").read_text().split()
    assert len(rows) == 3


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda p: None, "is not a folder"),
        (lambda p: p.mkdir(), "found 0 and 0"),
        (lambda p: write_kubric(p / "one.npz", make_video(0)), "found 0 and 1"),
        (
            lambda p: [
                write_odyssey(p / n, make_video(0), trajs_3d=np.array(0.0))
                for n in "ab"
            ],
            "found 0 and 0",
        ),
        (
            lambda p: [
                p.mkdir(),
                *((p / n).write_bytes(b"no") for n in ("a.npz", "b.npz")),
            ],
            "a.npz: cannot read",
        ),
        (
            lambda p: [p.mkdir(), *(np.savez(p / n, a=1) for n in "ab")],
            "a.npz has no array 'target_points'",
        ),
    ],
)
def test_wrong_folders_are_refused(
    spoil: Spoil, complaint: str, tmp_path: Path
) -> None:
    spoil(tmp_path / "data")
    with pytest.raises(TrainingError, match=complaint):
        TrackFiles(tmp_path / "data", 8)


def test_short_videos_are_refused(kubric: Path) -> None:
    with pytest.raises(TrainingError, match="fewer frames than 30"):
        TrackFiles(kubric, 30).batch(RUN, 0, CPU)
