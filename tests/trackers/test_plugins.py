from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers import available_trackers, get_tracker, track
from tests.fixtures.videos import planar_clip

DOCS = Path(__file__).resolve().parents[2] / "docs" / "trackers.md"


def install(folder: Path, dist: str, points: dict[str, str], code: str = "") -> None:
    """A distribution as an installer leaves it: metadata, and a module."""
    info = folder / f"{dist.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n"
    )
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text(
        "\n".join(["[seurat_tracks.trackers]", *lines, ""])
    )
    module = next(iter(points.values())).partition(":")[0]
    if code:
        (folder / f"{module}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path that packages can be put into; forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_example_in_the_docs_works(site: Path) -> None:
    text = DOCS.read_text()
    blocks = dict(
        re.findall(r"<!-- (\w+) -->\n```(?:python|toml)\n(.*?)```", text, re.S)
    )
    assert len(blocks["plugin"].splitlines()) <= 30
    point = re.search(r'^(\w+) = "([\w.]+:\w+)"$', blocks["metadata"], re.M)
    assert point is not None
    assert "seurat_tracks.trackers" in blocks["metadata"]
    install(site, "my-trackers", {point[1]: point[2]}, blocks["plugin"])
    assert point[1] in available_trackers()
    assert point[2].partition(":")[0] not in sys.modules  # not before it is asked for
    frames, _ = planar_clip("translate", 6, (96, 72))
    ds = track(
        frames, [[0, 50.0, 40], [4, 30, 30]], point[1], strides=(1,), progress=False
    )
    assert ds.attrs["tracker"] == point[1]
    # It follows the one motion of the whole picture, here 1.37 px right, 0.61 up.
    steps = np.arange(6) - np.array([0, 4])[:, None]
    wanted = np.array([[50.0, 40], [30, 30]])[:, None] + steps[..., None] * [
        1.37,
        -0.61,
    ]
    assert np.abs(ds["xy"].values - wanted).max() < 1
    assert ds["visible"].all()
    assert ds["support_visible"].mean() > 0.5


def test_a_broken_plugin_names_its_distribution_and_breaks_no_other(site: Path) -> None:
    install(site, "sad-tracker", {"sad": "sad_mod:Sad"}, "raise OSError('no driver')")
    install(site, "gone-tracker", {"gone": "gone_mod:Gone"})
    install(site, "odd-tracker", {"odd": "odd_mod:ODD"}, "ODD = 3")
    install(site, "not-a-tracker", {"fake": "fake_mod:make"}, "make = dict")
    assert {"sad", "gone", "odd", "fake", "lk"} <= set(available_trackers())
    with pytest.raises(
        TrackerError, match=r"distribution sad-tracker 1\.2.*OSError: no driver"
    ):
        get_tracker("sad")
    with pytest.raises(TrackerError, match=r"gone-tracker 1\.2.*ModuleNotFoundError"):
        get_tracker("gone")
    with pytest.raises(
        TrackerError, match=r"odd-tracker 1\.2.*is no class or function"
    ):
        get_tracker("odd")
    with pytest.raises(TrackerError, match="dict has no name and no licence"):
        get_tracker("fake")
    assert get_tracker("lk").name == "lk"


def test_two_packages_with_one_name_are_both_named(site: Path) -> None:
    install(site, "first", {"same": "first_mod:A"}, "A = dict")
    install(site, "second", {"same": "second_mod:B"}, "B = dict")
    with pytest.raises(TrackerError, match=r"first 1\.2 and by .*second 1\.2"):
        get_tracker("same")


def test_a_plugin_cannot_take_a_name_of_ours(site: Path) -> None:
    install(site, "thief", {"lk": "thief_mod:Thief"}, "raise RuntimeError")
    assert get_tracker("lk").licence == "Apache-2.0"


def test_a_plugins_settings_are_checked(site: Path) -> None:
    code = (
        "class T:\n"
        "    name, licence, track = 'needy', 'MIT', print\n"
        "    def __init__(self, weights, speed=1):\n"
        "        self.given = weights, speed\n"
    )
    install(site, "needy-tracker", {"needy": "needy_mod:T"}, code)
    with pytest.raises(TrackerError, match="'needy' needs weights="):
        get_tracker("needy")
    with pytest.raises(TrackerError, match="no setting sped; it has weights, speed"):
        get_tracker("needy", weights=1, sped=2)
    made: Any = get_tracker("needy", weights=1, speed=2)
    assert made.given == (1, 2)
    with pytest.raises(TrackerError, match=r"settings \(speed\) go with a tracker"):
        get_tracker(made, speed=3)
