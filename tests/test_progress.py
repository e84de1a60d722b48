import inspect
import subprocess
import sys

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks import demo, progress
from seurat_tracks.evaluation import benchmark
from seurat_tracks.io.store import save
from seurat_tracks.notebook.animate import animate
from seurat_tracks.training.loop import train


class Terminal:
    def __init__(self, real):
        self.real = real

    def isatty(self):
        return True

    def write(self, text):
        return self.real.write(text)

    def flush(self):
        self.real.flush()


@pytest.mark.parametrize(
    "call",
    [
        st.track,
        st.depth_ratio,
        st.lift3d,
        save,
        animate,
        train,
        benchmark.run,
        demo.run,
    ],
)
def test_every_long_call_has_the_same_keyword(call):
    given = inspect.signature(call).parameters["progress"]
    assert given.default is None
    assert given.annotation == "bool | None"


def test_who_sees_a_bar(monkeypatch):
    assert not progress.shown(None)  # pytest captures stderr
    assert progress.shown(True)
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    assert progress.shown(None)
    assert not progress.shown(False)


def test_no_stderr_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # pythonw, some services
    assert not progress.shown(None)


def test_short_work_shows_nothing_unless_asked(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    assert list(progress.bar(range(3), desc="a", unit="b")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    assert list(progress.bar(range(3), desc="a", unit="b", progress=True)) == [0, 1, 2]
    assert "a:" in capsys.readouterr().err


def test_lifting_shows_a_bar(make_tracks, capsys):
    ds = make_tracks(4, 9)
    st.depth_ratio(ds, progress=True)
    assert "lifting" in capsys.readouterr().err
    st.depth_ratio(ds)
    assert capsys.readouterr().err == ""


def test_drawing_shows_a_bar(make_tracks, tmp_path, capsys):
    out = st.lift3d(make_tracks(6, 9), intrinsics={"fov": 60})
    video = np.zeros((9, 80, 96, 3), np.uint8)
    animate(out, video, tmp_path / "a.gif", times=[1, 2], width=240, progress=True)
    assert "drawing" in capsys.readouterr().err


def test_training_needs_no_tqdm_where_nobody_looks():
    code = (
        "import sys; sys.modules['tqdm'] = None\n"
        "from seurat_tracks.training.loop import _showing\n"
        "with _showing(0, 3, None) as advance: advance()\n"
        "print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.stdout.strip() == b"fine", done.stderr
