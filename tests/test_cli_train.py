from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from seurat_tracks.cli import app
from seurat_tracks.training import loop
from seurat_tracks.training.config import make_config
from seurat_tracks.training.data import scene_batch

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    *("--set=width=32", "--set=heads=2", "--set=layers=1", "--set=pair_width=8"),
    "--set=motions=1",
    *("--set=tracks=200", "--set=steps=4", "--set=log_every=2"),
    *("--set=validate_every=40", "--set=bfloat16=false"),
]


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(settings=["tracks=150"])

    def few(*_: object) -> dict[str, object]:
        return {"drive": scene_batch(config, 0, loop.torch.device("cpu"))}

    monkeypatch.setattr(loop, "validation_scenes", few)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_a_run_and_its_resumption(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("-o", out, "--device", "cpu", "--minutes", 0, *TINY)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(out / "weights.safetensors")
    assert not (out / "loss.csv").exists()
    result = run("-o", out, "--device", "cpu", *TINY)
    assert result.exit_code == 0, result.stderr
    rows = (out / "loss.csv").read_text().split()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4"]
    assert (out / "validation.csv").read_text().startswith("step,mean,drive")
    assert [p.name for p in (out / "pictures").iterdir()] == ["step-0000004.png"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--recipe", "theirs"], "no 'theirs': choose from ours, paper"),
        (["--preset", "huge"], "no 'huge': choose from base, small"),
        (["--set", "step=5"], "no setting 'step'"),
        (["--set", "steps=x"], "steps='x': the value must be of type int"),
        (["--recipe", "paper"], "give the folder that holds it (--data)"),
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--device", "abacus"], "device 'abacus' is not available"),
        (["--start", "nothing.pt"], "nothing.pt is not a readable checkpoint"),
        (["--start", "nothing.safetensors"], "no model 'nothing.safetensors'"),
    ],
)
def test_wrong_options_are_refused_before_any_work(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    result = run("-o", tmp_path / "run", *arguments)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert result.stderr.startswith("error: ")
    assert not (tmp_path / "run").exists()


def test_another_run_is_not_overwritten(tmp_path: Path) -> None:
    settings = ["-o", tmp_path, "--device", "cpu", "--minutes", 0, *TINY]
    assert run(*settings).exit_code == 0
    result = run(*settings, "--set", "seed=1")
    assert result.exit_code == 1
    assert "seed was 0, now 1" in result.stderr
    assert run(*settings, "--set", "seed=1", "--change").exit_code == 0


BARE = """
import sys
sys.modules.update(dict.fromkeys(%r))  # not there, as far as an import can tell
from seurat_tracks.training import __main__ as bare, loop
from seurat_tracks.training.config import make_config
config, cpu = make_config(settings=["tracks=150"]), loop.torch.device("cpu")
few = {"drive": loop.scene_batch(config, 0, cpu)}
loop.validation_scenes = lambda *a: few
sys.exit(bare.main(sys.argv[1:]))
"""


def bare(absent: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BARE % absent, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_a_bare_machine_trains(tmp_path: Path) -> None:
    """With torch, NumPy, safetensors, and what ``import seurat_tracks`` loads."""
    absent = "xarray pandas typer click rich tensorboard matplotlib cv2 av dask zarr"
    absent += " scipy tqdm PIL"
    done = bare(absent.split(), "--out", tmp_path, "--device", "cpu", *TINY)
    assert done.returncode == 0, done.stderr
    assert "tensorboard is not installed" in done.stderr
    assert "matplotlib is not installed" in done.stderr
    assert len((tmp_path / "loss.csv").read_text().split()) == 3


def test_the_plain_entry_says_what_is_wrong(tmp_path: Path) -> None:
    done = bare([], "--out", tmp_path / "x", "--set", "steps=0")
    assert done.returncode == 1
    assert done.stderr == "error: steps=0 must be positive\n"
