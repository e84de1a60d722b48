from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.scenes.bodies import ABSENT
from seurat_tracks.scenes.mocap import convert_deep_mimic, load_motions, replay
from seurat_tracks.scenes.motion import Draw

REST = np.array(
    [[0, 1, 0], [0, 1.5, 0], [-0.1, 1, 0], [-0.1, 0.1, 0], [0.1, 1, 0], [0.1, 0.1, 0]]
)


def arrays() -> dict[str, object]:
    """Two clips: one stands, one walks along z at 1.2 m/s; 60 frames a second."""
    walk = REST[None] + np.arange(60)[:, None, None] * np.array([0, 0, 0.02])
    return {
        "positions": np.concatenate([np.repeat(REST[None], 10, 0), walk]),
        "start": np.array([0, 10, 70]),
        "rate": np.array([60.0, 60.0]),
        "parent": np.array([-1, 0, 0, 2, 0, 4]),
        "hips": np.array([2, 4]),
        "spine": np.array([0, 1]),
    }


def save(path: Path, **changes: object) -> Path:
    np.savez(
        path, **{k: v for k, v in {**arrays(), **changes}.items() if v is not None}
    )
    return path


def test_replayed_bones_are_those_of_the_file(tmp_path: Path) -> None:
    motions = load_motions(save(tmp_path / "clips.npz"))
    B, T = 40, 9
    seconds = torch.arange(T).expand(B, T) / 60
    place = torch.tensor([2.0, 0.0, 5.0]).expand(B, 3)
    figure = replay(
        Draw(torch.Generator().manual_seed(0)),
        motions,
        9,
        place,
        torch.full((B,), 1.2),
        torch.full((B,), 1.7),
        seconds,
    )
    bodies = figure.bodies
    assert (bodies.shape[:, 5:] == ABSENT).all()
    assert (bodies.shape[:, :5] != ABSENT).all()
    # ends of the bones, from the joints in their bodies' coordinates
    ends = torch.stack(
        [
            (bodies.frame[:, i] @ figure.joint[:, i, None, :, None])[..., 0]
            + bodies.centre[:, i]
            for i in range(5)
        ],
        1,
    )
    # the file's shape: distances between joints, whatever heading and mirror
    expected = torch.cdist(torch.tensor(REST[1:]), torch.tensor(REST[1:])).float()
    got = torch.cdist(ends.permute(0, 2, 1, 3), ends.permute(0, 2, 1, 3))
    torch.testing.assert_close(got, expected.expand_as(got), atol=3e-3, rtol=0)
    # upright, feet at the ground, and the neck above
    assert (ends[:, [2, 4], :, 1].amax() - 1.2).abs() < 0.1
    assert (ends[:, 0, :, 1] < 1.2 - 1.3).all()
    # some stand, others go at 1.2 m/s times the drawn pace
    speed = ends[:, 0].diff(dim=1).norm(dim=-1).mean(1) * 60
    assert (speed < 1e-3).any()
    moves = speed[speed > 1e-3]
    assert moves.min() > 0.5 * 1.2 * 0.6
    assert moves.max() < 1.2 * 1.61
    # bodies turn rigidly: columns of the maps keep right angles
    square = bodies.frame.transpose(-1, -2) @ bodies.frame
    off = square - torch.diag_embed(square.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hips": None}, "hips"),
        ({"positions": np.zeros((70, 6))}, "shape"),
        ({"positions": np.full((70, 6, 3), np.nan)}, "finite"),
        ({"start": np.array([0, 10])}, "start"),
        ({"parent": np.array([-1, 0, 0, 5, 0, 4])}, "parent"),
        ({"rate": np.array([60.0])}, "rate"),
    ],
)
def test_broken_files_are_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = save(tmp_path / "clips.npz", **changes)
    with pytest.raises(SeuratTracksError, match=words):
        load_motions(path)


def test_deep_mimic_files_are_converted(tmp_path: Path) -> None:
    frame = [1 / 30, 0.0, 0.9, 0.0, *[0.0] * 40]
    for at in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        frame[at] = 1.0  # no rotation anywhere
    bent = list(frame)
    bent[20] = -np.pi / 2  # the right knee
    bent[1] = 0.5  # and the root, half a metre forward
    source = tmp_path / "motion.txt"
    source.write_text(json.dumps({"Loop": "none", "Frames": [frame, bent]}))
    convert_deep_mimic([source], tmp_path / "motion.npz")
    with np.load(tmp_path / "motion.npz") as data:
        names = data["names"].tolist()
        x = data["positions"]
        assert data["rate"].tolist() == pytest.approx([30.0])
        assert data["start"].tolist() == [0, 2]
    at = {name: x[:, names.index(name)] for name in names}
    assert at["right_ankle"][0, 1] == pytest.approx(0.9 - 0.4215 - 0.4099, abs=1e-5)
    # a knee bends backwards: the shin then points to -x, for it faces x
    shin = at["right_ankle"][1] - at["right_knee"][1]
    np.testing.assert_allclose(shin, [-0.4099, 0, 0], atol=1e-5)
    np.testing.assert_allclose(at["left_ankle"][1] - at["left_ankle"][0], [0.5, 0, 0])
    load_motions(tmp_path / "motion.npz")
    source.write_text(json.dumps({"Frames": [[1.0, 2.0]]}))
    with pytest.raises(SeuratTracksError, match="44"):
        convert_deep_mimic([source], tmp_path / "motion.npz")
