from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "seurat_tracks" / "model" / "weights"

HEAVY = [
    "anywidget",
    "av",
    "cv2",
    "dask",
    "huggingface_hub",
    "ipywidgets",
    "matplotlib",
    "napari",
    "qtpy",
    "scipy",
    "torch",
    "transformers",
    "typer",
    "zarr",
]

PROBE = """
import json, logging, sys, warnings
import numpy, pandas, xarray
def state():
    return {
        "xarray": {k: repr(v) for k, v in xarray.core.options.OPTIONS.items()},
        "numpy": repr(numpy.get_printoptions()) + repr(numpy.geterr()),
        "pandas": repr(pandas.get_option("display.max_rows")),
        "filters": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "handlers": repr(logging.getLogger().handlers),
        "level": logging.getLogger().level,
        "loaded": sorted({m.partition(".")[0] for m in sys.modules}),
    }
before = state()
import %s
after = state()
print(json.dumps([before, after]))
"""


def _import_and_look(module: str) -> tuple[dict, dict]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE % module],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'napari_plugin'}", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["seurat_tracks", "napari_seurat_tracks"])
def test_import_loads_nothing_heavy_and_changes_no_options(module):
    before, after = _import_and_look(module)
    assert sorted(set(HEAVY) & set(after.pop("loaded"))) == []
    before.pop("loaded")
    assert after == before


def test_a_verb_loads_what_it_needs():
    """The names on the package are there without their modules being loaded."""
    code = (
        "import sys, seurat_tracks as st; st.from_arrays; st.open; "
        "assert 'zarr' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_versions_agree():
    import seurat_tracks
    from seurat_tracks._version import __version__

    assert seurat_tracks.__version__ == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_all_holds_every_extra_of_the_user():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(re.search(r"\[(.*)\]", everything)[1].split(","))
    assert named == set(extras) - {"all", "demo", "dev", "docs"}


def test_dependencies_have_lower_bounds_and_no_others():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (r for group in groups for r in group):
        if not requirement.startswith("seurat-tracks["):
            assert re.fullmatch(r"[a-z0-9-]+(\[[a-z0-9]+\])?>=[\d.]+", requirement), (
                requirement
            )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    for tool in ("build", "hatchling"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"building a wheel needs {tool}: pip install -e '.[dev]'")
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)),
            str(ROOT),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_contents(wheel):
    names = set(wheel.namelist())
    top = {name.split("/")[0] for name in names}
    info = next(name for name in top if name.endswith(".dist-info"))
    assert top == {"seurat_tracks", "napari_seurat_tracks", info}
    assert {
        "seurat_tracks/__init__.py",
        "seurat_tracks/py.typed",
        "seurat_tracks/io/store.py",
        "napari_seurat_tracks/__init__.py",
        f"{info}/licenses/LICENSE",
    } <= names
    source = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "seurat_tracks").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert source <= names


def test_wheel_holds_the_explorers_script(wheel, tmp_path):
    """All of it, and what is joined from the wheel is what is joined here."""
    from seurat_tracks.notebook.assets import script, style

    folder = ROOT / "seurat_tracks" / "notebook" / "web"
    files = {f"seurat_tracks/notebook/web/{path.name}" for path in folder.iterdir()}
    assert {path.rpartition(".")[2] for path in files} == {"mjs", "css"}
    assert files <= set(wheel.namelist())
    wheel.extractall(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, seurat_tracks.notebook.assets as a; print(a.__file__); "
            "texts = a.script('widget'), a.script('page'), a.style(); "
            "print(*(len(text) for text in texts))",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    where, lengths = done.stdout.splitlines()
    assert where.startswith(str(tmp_path))
    here = (script("widget"), script("page"), style())
    assert lengths.split() == [str(len(text)) for text in here]


def test_wheel_holds_the_napari_plugin(wheel):
    """Its manifest, and its sample, which lies under an ignored ending."""
    folder = ROOT / "napari_plugin" / "napari_seurat_tracks"
    files = {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "napari_seurat_tracks/napari.yaml" in files
    assert "napari_seurat_tracks/sample_data/tracks.zarr/zarr.json" in files
    assert files <= set(wheel.namelist())
    (entry,) = (n for n in wheel.namelist() if n.endswith("/entry_points.txt"))
    assert "seurat-tracks = napari_seurat_tracks:napari.yaml" in (
        wheel.read(entry).decode()
    )


def test_wheel_holds_the_weights(wheel):
    files = [path for path in WEIGHTS.iterdir() if path.suffix == ".safetensors"]
    if not files:
        pytest.skip("there are no weights in seurat_tracks/model/weights yet")
    for path in files:
        name = f"seurat_tracks/model/weights/{path.name}"
        assert wheel.getinfo(name).file_size == path.stat().st_size


def test_wheel_metadata(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith("/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "seurat-tracks"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"napari", "notebook", "depth", "distributed", "export", "train"} <= set(
        metadata.get_all("Provides-Extra")
    )
    (entry,) = (n for n in wheel.namelist() if n.endswith("/entry_points.txt"))
    assert "seurat-tracks = seurat_tracks.cli:main" in wheel.read(entry).decode()
