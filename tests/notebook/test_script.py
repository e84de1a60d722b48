"""The explorer's script: its parts, and what is made of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from seurat_tracks.notebook.assets import script, style

HERE = Path(__file__).parent
WEB = Path(__file__).resolve().parents[2] / "seurat_tracks" / "notebook" / "web"


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node")
    version = subprocess.run([found, "--version"], capture_output=True, text=True)
    if int(version.stdout.strip().lstrip("v").partition(".")[0]) < 18:
        pytest.skip(f"node {version.stdout.strip()} is older than 18")
    return found


def test_core_in_node():
    done = subprocess.run(
        [node(), "--test", str(HERE / "js")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"# pass [1-9]", done.stdout)


@pytest.mark.parametrize("entry", ["widget", "page"])
def test_joined_modules_are_one_module(entry, tmp_path):
    text = script(entry)
    assert not re.search(r"^import |^export \{[^}]*\} from|import\(", text, re.M)
    assert text.count("export default") == (entry == "widget")
    file = tmp_path / "joined.mjs"
    file.write_text(text, "utf-8")
    # a name that two parts define is a syntax error
    done = subprocess.run(
        [node(), "--check", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_part_is_joined_and_imports_only_what_stands_before_it():
    order = re.findall(r"^// (.*)", "\n".join(p.read_text() for p in WEB.glob("*.mjs")))
    assert order
    for entry in ("widget", "page"):
        text = script(entry)
        for part in WEB.glob("*.mjs"):
            if part.stem not in {"widget", "page"}:
                assert part.read_text("utf-8").splitlines()[0] in text


def test_nothing_is_loaded_from_anywhere():
    for text in (script("widget"), script("page"), style()):
        links = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert links <= {"http://www.w3.org/2000/svg"}  # a name, not an address
        assert "innerHTML" not in text
        assert "eval(" not in text
    assert "url(" not in style()
    assert "@import" not in style()
