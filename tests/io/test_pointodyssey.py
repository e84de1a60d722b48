from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.pointodyssey import FRAME_SIZE, read_pointodyssey
from seurat_tracks.io.truth import true_tracks
from seurat_tracks.schema import validate

T, N = 12, 40
FOCAL = 900.0


@pytest.fixture
def anno(rng: np.random.Generator) -> dict[str, Any]:
    """Annotations of a camera that turns about y and moves forward, float16."""
    world = np.stack(
        [rng.uniform(-2, 2, N), rng.uniform(-1, 1, N), rng.uniform(5, 9, N)], -1
    )
    world = world + 0.02 * np.arange(T)[:, None, None]
    angle = np.linspace(0, 0.1, T)
    pose = np.tile(np.eye(4), (T, 1, 1))
    pose[:, 0, 0] = pose[:, 2, 2] = np.cos(angle)
    pose[:, 0, 2], pose[:, 2, 0] = np.sin(angle), -np.sin(angle)
    pose[:, 2, 3] = -0.1 * np.arange(T)
    k = np.array([[FOCAL, 0, 480], [0, FOCAL, 270], [0, 0, 1]])
    xyz = np.einsum("tij,tnj->tni", pose[:, :3, :3], world) + pose[:, None, :3, 3]
    uv = xyz[..., :2] / xyz[..., 2:] * FOCAL + [480, 270]
    visible = rng.random((T, N)) < 0.7
    visible[:, 7] = False
    return {
        "trajs_2d": uv.astype(np.float16),
        "trajs_3d": world.astype(np.float16),
        "intrinsics": np.tile(k, (T, 1, 1)).astype(np.float16),
        "extrinsics": pose.astype(np.float16),
        "visibs": visible,
        "valids": np.ones((T, N), bool),
    }


def _save(folder: Path, anno: dict[str, Any], name: str = "anno.npz") -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, **anno)
    return folder


def test_tracks_in_the_camera_of_each_frame(
    tmp_path: Path, anno: dict[str, Any]
) -> None:
    ds = read_pointodyssey(_save(tmp_path / "run", anno))
    validate(ds, require=["xy", "visible", "depth", "xyz"])
    assert ds.attrs["frame_size"] == list(FRAME_SIZE)
    assert ds.attrs["tracker"] == "PointOdyssey, run"
    assert ds.attrs["intrinsics"] == pytest.approx([FOCAL, FOCAL, 479.5, 269.5])
    assert 7 not in ds.track  # never visible
    kept = ds.track.values
    # a column by hand, from the numbers in the file
    t, column = 5, kept[3]
    point = np.append(anno["trajs_3d"][t, column].astype(float), 1)
    expected = (anno["extrinsics"][t].astype(float) @ point)[:3]
    np.testing.assert_allclose(ds.xyz.values[3, t], expected, rtol=1e-6)
    assert ds.depth.values[3, t] == pytest.approx(expected[2])
    inside = ds.visible.values
    assert (inside <= anno["visibs"].T[kept]).all()
    np.testing.assert_array_equal(ds.query_frame.values, inside.argmax(1))
    # what the file says of 2D and of 3D agrees, as far as float16 goes
    shown = ds.xyz.values[..., :2] / ds.xyz.values[..., 2:] * FOCAL + [479.5, 269.5]
    assert np.abs(shown - ds.xy.values)[inside].max() < 3
    assert np.isnan(true_tracks(ds).xy.values[~inside]).all()


def test_the_corner_of_the_first_pixel_is_0(
    tmp_path: Path, anno: dict[str, Any]
) -> None:
    """A point on the optical axis lies in the middle of the frame."""
    anno["extrinsics"][:] = np.eye(4)
    anno["trajs_3d"] = anno["trajs_3d"].astype(np.float64)
    anno["trajs_3d"][:, 2] = [0, 0, 6]
    anno["trajs_2d"] = anno["trajs_3d"][..., :2] / anno["trajs_3d"][..., 2:] * FOCAL
    anno["trajs_2d"] += [480, 270]
    anno["visibs"][:, 2] = True
    ds = read_pointodyssey(_save(tmp_path / "run", anno)).sel(track=2)
    middle = (np.array(FRAME_SIZE) - 1) / 2
    np.testing.assert_array_equal(ds.xy.values, np.tile(middle, (T, 1)))
    np.testing.assert_array_equal(ds.attrs["intrinsics"][2:], middle)


def test_invalid_points_are_unknown(tmp_path: Path, anno: dict[str, Any]) -> None:
    anno["trajs_2d"][3, 2] = np.inf
    anno["valids"][4, 2] = False
    anno["trajs_3d"][5, 2] = np.nan
    anno["trajs_2d"][6, 2] = [970, 100]
    anno["visibs"][3:7, 2] = True
    anno["visibs"][0, 2] = True
    ds = read_pointodyssey(_save(tmp_path / "run", anno)).sel(track=2)
    assert not ds.visible.sel(time=slice(3, 6)).any()
    assert np.isnan(ds.xyz.sel(time=slice(3, 5))).all()
    assert np.isnan(ds.xy.sel(time=slice(3, 5))).all()
    assert np.isfinite(ds.xyz.sel(time=6)).all()  # outside the frame, but known


def test_states_instead_of_flags(tmp_path: Path, anno: dict[str, Any]) -> None:
    expected = read_pointodyssey(_save(tmp_path / "run", anno))
    state = anno.pop("visibs").astype(np.float16)
    del anno["valids"]
    state[state == 0] = np.where(np.arange((state == 0).sum()) % 2, 0, 2)
    found = read_pointodyssey(
        _save(tmp_path / "old", dict(anno, visibilities=state), "annotations.npz")
    )
    np.testing.assert_array_equal(found.visible.values, expected.visible.values)
    unknown = (state == 2).T[found.track.values]
    assert np.isnan(found.xyz.values[unknown]).all()


def test_some_frames(tmp_path: Path, anno: dict[str, Any]) -> None:
    folder = _save(tmp_path / "run", anno)
    whole = read_pointodyssey(folder)
    part = read_pointodyssey(folder / "anno.npz", frames=slice(4, 12, 2))
    assert part.time.values.tolist() == [4, 6, 8, 10]
    assert part.visible.values.any(1).all()
    np.testing.assert_array_equal(
        part.xyz.values, whole.xyz.sel(track=part.track, time=part.time).values
    )
    first = part.visible.values.argmax(1)
    np.testing.assert_array_equal(part.query_frame.values, part.time.values[first])


def test_a_zooming_camera_has_no_intrinsics(
    tmp_path: Path, anno: dict[str, Any]
) -> None:
    anno["intrinsics"][:, [0, 1], [0, 1]] *= np.linspace(1, 1.05, T)[:, None]
    ds = read_pointodyssey(_save(tmp_path / "run", anno))
    assert "intrinsics" not in ds.attrs


def test_the_first_version_is_refused(tmp_path: Path, anno: dict[str, Any]) -> None:
    anno["extrinsics"][:, 1:3] *= -1  # y up, looking along -z
    with pytest.raises(SeuratTracksError, match=r"use 1\.1 or later"):
        read_pointodyssey(_save(tmp_path / "run", anno))


def test_bad_files_are_named(tmp_path: Path, anno: dict[str, Any]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of anno\.npz"):
        read_pointodyssey(tmp_path / "empty")
    with pytest.raises(SeuratTracksError, match="without 3D positions"):
        read_pointodyssey(_save(tmp_path / "a", dict(anno, trajs_3d=np.zeros(0))))
    short = dict(anno, extrinsics=anno["extrinsics"][:-1])
    with pytest.raises(SeuratTracksError, match=r"extrinsics has shape \(11, 4, 4\)"):
        read_pointodyssey(_save(tmp_path / "b", short))
    hidden = dict(anno, visibs=np.zeros((T, N), bool))
    with pytest.raises(SeuratTracksError, match="no track is visible"):
        read_pointodyssey(_save(tmp_path / "c", hidden))
    del anno["intrinsics"], anno["visibs"]
    with pytest.raises(SeuratTracksError, match="no intrinsics, visibs or visib"):
        read_pointodyssey(_save(tmp_path / "d", anno))
