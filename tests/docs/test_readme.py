"""The code of README and of the start page runs as it is written."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>python|sh)\n"
    r"(?P<code>.*?)```",
    re.DOTALL,
)
SIZE = (160, 120)
FRAMES = 14


def frames_of_a_walk() -> np.ndarray:
    """Frames of a textured wall and a nearer board, while the camera moves."""
    import cv2

    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(0, 255, (60, 80, 3), np.uint8), (320, 240))
    board = cv2.resize(rng.integers(0, 255, (20, 20, 3), np.uint8), (70, 60))
    frames = []
    for i in range(FRAMES):
        x, y = 30 + 2 * i, 20 + i
        frame = wall[y : y + SIZE[1], x : x + SIZE[0]].copy()
        near = 70 - 4 * i
        frame[30:90, max(near, 0) : near + 70] = board[:, max(-near, 0) :]
        frames.append(cv2.GaussianBlur(frame, (3, 3), 0))
    return np.stack(frames)


def write_deeplabcut(path: Path) -> None:
    parts, rows = ["nose", "left ear", "right ear", "tail"], []
    rng = np.random.default_rng(1)
    places = rng.uniform(300, 500, (4, 2))
    for i in range(FRAMES):
        spots = places * (1 + 0.01 * i)
        rows.append([str(i), *(f"{v:.2f}" for x, y in spots for v in (x, y, 0.99))])
    head = [
        ["scorer", *["net"] * 12],
        ["bodyparts", *[p for p in parts for _ in range(3)]],
        ["coords", *["x", "y", "likelihood"] * 4],
    ]
    path.write_text("\n".join(",".join(r) for r in [*head, *rows]) + "\n", "utf-8")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the examples name; their values by name."""
    from seurat_tracks import demo, open_video
    from seurat_tracks.notebook.animate import write_mp4

    frames = frames_of_a_walk()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    write_mp4(frames, tmp_path / "clip.mp4", fps=12)
    write_deeplabcut(tmp_path / "mouseDLC.csv")
    np.save("maps.npy", np.full((FRAMES, SIZE[1], SIZE[0]), 3.0, np.float32))
    (tmp_path / "points.csv").write_text("x,y\n40,40\n80,60\n100,90\n", "utf-8")
    monkeypatch.setattr(demo, "load_clip", lambda clip: open_video(frames))
    xy = np.random.default_rng(2).uniform(50, 600, (5, 1, 2))
    xy = xy * np.linspace(1, 1.1, FRAMES)[:, None]
    return {
        "xy": xy.astype(np.float32),
        "visible": np.ones((5, FRAMES), bool),
        "camera_frames": list(frames),
    }


def blocks(page: str) -> list[re.Match[str]]:
    return list(BLOCK.finditer((ROOT / page).read_text("utf-8")))


def run_blocks(page: str, names: dict) -> int:
    import matplotlib.pyplot as plt

    ran = 0
    for block in blocks(page):
        if block["language"] != "python" or block["reason"]:
            continue
        with warnings.catch_warnings():
            # some examples state no camera, as many people do
            warnings.filterwarnings("ignore", "no camera intrinsics", UserWarning)
            exec(compile(block["code"], page, "exec"), names)
        ran += 1
    plt.close("all")
    return ran


def run_commands(page: str) -> list[str]:
    from typer.testing import CliRunner

    from seurat_tracks.cli import app

    ran = []
    for block in blocks(page):
        lines = block["code"].splitlines() if block["language"] == "sh" else []
        for line in lines:
            words = shlex.split(line, comments=True)
            if words[:1] != ["seurat-tracks"] or words[1] == "demo":
                continue
            done = CliRunner().invoke(app, words[1:])
            assert done.exit_code == 0, (line, done.output)
            ran.append(words[1])
    return ran


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:no camera intrinsics:UserWarning")
@pytest.mark.filterwarnings("ignore:.*has no place for:UserWarning")
@pytest.mark.parametrize(("page", "least"), [("README.md", 5), ("docs/start.md", 3)])
def test_code_runs(page, least, workplace):
    assert run_blocks(page, workplace) >= least
    assert {"lift", "track", "convert"} <= set(run_commands(page))
    assert workplace["out"].sizes["track"] > 0


def test_only_what_needs_others_is_not_run():
    reasons = [b["reason"] for b in blocks("README.md") if b["reason"]]
    assert reasons == ["needs a clone and weights of another project"]


def test_first_screen():
    """A picture, two commands and ten lines come before anything else."""
    first = blocks("README.md")[:2]
    head = (ROOT / "README.md").read_text("utf-8")[: first[1].end()]
    assert "](docs/images/demo.gif)" in head
    assert "\n## " not in head
    assert len(first[0]["code"].splitlines()) == 2
    assert len(first[1]["code"].splitlines()) <= 10


def test_from_install_to_3d_in_five_lines():
    text = (ROOT / "docs" / "start.md").read_text("utf-8")
    code = re.search(r"<!-- five lines -->\n```python\n(.*?)```", text, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) == 5


def test_citation_is_that_of_the_paper():
    entry = re.search(
        r"```bibtex\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )[1]
    assert "Seurat: From Moving Points to Depth" in entry
    for author in (
        "Cho, Seokju",
        "Huang, Jiahui",
        "Kim, Seungryong",
        "Lee, Joon-Young",
    ):
        assert author in entry
    assert entry.count("{") == entry.count("}")
