"""Loading official code and weights: what is missing is named, nothing is run."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seurat_tracks.errors import TrackerError, WeightsError
from seurat_tracks.trackers import available_trackers, get_tracker
from seurat_tracks.trackers.official import LicenceNotice
from tests.fixtures.stand_ins import write_checkout, write_weights

LICENCES = {
    "alltracker": "MIT",
    "bootstapir": "Apache-2.0",
    "cotracker2": "CC-BY-NC-4.0",
    "cotracker3": "CC-BY-NC-4.0",
    "cotracker3_online": "CC-BY-NC-4.0",
    "locotrack": "Apache-2.0",
    "tapir": "Apache-2.0",
    "tapnext": "Apache-2.0",
}
FILES = {
    "alltracker": "alltracker.pth",
    "bootstapir": "bootstapir_checkpoint_v2.pt",
    "cotracker2": "cotracker2.pth",
    "cotracker3": "scaled_offline.pth",
    "cotracker3_online": "scaled_online.pth",
    "locotrack": "locotrack_base.ckpt",
    "tapir": "tapir_checkpoint_panning.pt",
    "tapnext": "bootstapnext_ckpt.npz",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_checkout(tmp_path / "checkout")


def test_all_are_known_by_name() -> None:
    assert set(available_trackers()) >= {"lk", *LICENCES}


@pytest.mark.parametrize("name", LICENCES)
def test_without_weights_the_text_says_which_file_to_get(name: str) -> None:
    with pytest.raises(WeightsError) as caught:
        get_tracker(name)
    assert f"/{FILES[name]} ({LICENCES[name]})" in str(caught.value)
    assert 'weights="official"' in str(caught.value)
    with pytest.raises(WeightsError, match=r"gone\.pth is no file"):
        get_tracker(name, weights="gone.pth")


@pytest.mark.parametrize("name", LICENCES)
def test_without_the_code_the_text_says_what_to_clone(
    name: str, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path / "weights.pt")
    with pytest.raises(TrackerError, match=r"git clone https://github\.com/\w"):
        get_tracker(name, weights=weights, device="cpu")
    with pytest.raises(TrackerError, match=r"is no checkout of .* no folder"):
        get_tracker(name, weights=weights, repo=tmp_path, device="cpu")


@pytest.mark.parametrize("name", LICENCES)
def test_the_licence_is_shown_before_official_weights_are_fetched(
    name: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def download(url: str, path: str) -> None:
        assert shown
        fetched.append(url)
        if name == "tapnext":
            np.savez(path, **{"backbone/mask_token": np.ones(3)})
        else:
            shutil.move(write_weights(tmp_path / f"x{Path(path).suffix}"), path)

    shown: list[str] = []

    def show(message: Any, *args: Any, **kwargs: Any) -> None:
        shown.append(str(message))

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("warnings.warn", show)
    for _ in range(2):  # the second time from the file
        tracker = get_tracker(name, weights="official", repo=repo, device="cpu")
    assert tracker.licence == LICENCES[name]
    assert len(fetched) == 1
    assert fetched[0].endswith(f"/{FILES[name]}")
    assert len(shown) == 2
    assert LICENCES[name] in shown[0]
    assert "LICENSE" in shown[0]
    if LICENCES[name] == "CC-BY-NC-4.0":
        assert "commercial" in shown[0]


def test_a_download_that_fails_leaves_no_file_and_says_so(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, path: str) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with (
        pytest.warns(LicenceNotice, match="CC-BY-NC"),
        pytest.raises(WeightsError, match=r"could not be downloaded \(no route\)"),
    ):
        get_tracker("cotracker3", weights="official", repo=repo)
    assert not list((tmp_path / "hub").rglob("*.pth"))


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("evil"),))


def bad_weights(kind: str, path: Path) -> None:
    if kind == "other model":
        torch.save({"encoder.weight": torch.ones(3)}, path)
    elif kind == "other shape":
        torch.save({"weight": torch.ones(4)}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"weight": Evil()}))
    elif kind == "object":
        torch.save({"weight": Evil()}, path)
    elif kind == "text":
        path.write_text("not found")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "list":
        torch.save([1, 2], path)
    else:
        assert kind == "optimiser"
        torch.save({"step": 3, "lr": 0.1}, path)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "other model",
            r"another model than .*missing \(weight\).*\(encoder\.weight\)",
        ),
        ("other shape", r"weight has shape \(4,\), expected \(3,\)"),
        ("pickle", "no file of plain tensors"),
        ("object", "no file of plain tensors"),
        ("text", "no file of plain tensors"),
        ("empty", "no file of plain tensors"),
        ("list", "no weights but a list"),
        ("optimiser", "no weights but a dict of lr, step"),
    ],
)
@pytest.mark.parametrize("name", ["cotracker3", "tapir", "tapnext", "locotrack"])
def test_files_that_are_no_weights_of_the_tracker(
    name: str,
    kind: str,
    text: str,
    repo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    bad_weights(kind, path)
    with pytest.raises(WeightsError, match=text):
        get_tracker(name, weights=path, repo=repo, device="cpu")
    assert not Path("evil").exists()


def test_npz_of_another_model(repo: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", other=np.ones(3))
    with pytest.raises(WeightsError, match="no weights of TAPNext"):
        get_tracker(
            "tapnext", weights=tmp_path / "weights.npz", repo=repo, device="cpu"
        )


def test_safetensors_and_wrapped_weights_are_read(repo: Path, tmp_path: Path) -> None:
    save_file({"weight": torch.full((3,), 2.0)}, tmp_path / "a.safetensors")
    torch.save({"model": {"weight": torch.full((3,), 4.0)}}, tmp_path / "b.pth")
    for file, value in (("a.safetensors", 2.0), ("b.pth", 4.0)):
        made: Any = get_tracker(
            "tapir", weights=tmp_path / file, repo=repo, device="cpu"
        )
        assert made.network.weight.tolist() == [value] * 3
        assert not made.network.training
    (tmp_path / "c.safetensors").write_bytes(b"\x08")
    with pytest.raises(WeightsError, match="damaged"):
        get_tracker("tapir", weights=tmp_path / "c.safetensors", repo=repo)


@pytest.mark.parametrize("name", LICENCES)
def test_a_device_that_is_not_there_is_refused(
    name: str, repo: Path, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path / "weights.ckpt")
    with pytest.raises(WeightsError, match="device 'cuda:7' is not available"):
        get_tracker(name, weights=weights, repo=repo, device="cuda:7")


def test_a_package_that_the_code_needs_is_named(repo: Path, tmp_path: Path) -> None:
    path = repo / "tapnet" / "torch" / "tapir_model.py"
    path.write_text("import tree_that_is_not_there\n")
    weights = write_weights(tmp_path / "weights.pt")
    with pytest.raises(TrackerError, match="pip install tree_that_is_not_there"):
        get_tracker("tapir", weights=weights, repo=repo, device="cpu")
    path.write_text("raise RuntimeError('wrong CUDA')\n")
    with pytest.raises(TrackerError, match="does not import: RuntimeError: wrong CUDA"):
        get_tracker("tapir", weights=weights, repo=repo, device="cpu")


def test_modules_as_general_as_utils_stay_the_callers(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    (mine / "utils").mkdir(parents=True)
    (mine / "utils" / "__init__.py").write_text("MINE = True\n")
    monkeypatch.syspath_prepend(mine)
    import utils  # type: ignore[import-not-found]

    path = list(sys.path)
    weights = write_weights(tmp_path / "weights.pt")
    made: Any = get_tracker("alltracker", weights=weights, repo=repo, device="cpu")
    assert sys.modules["utils"] is utils
    assert utils.MINE
    assert sys.path == path
    assert "nets" not in sys.modules
    assert type(made.network).__module__ == "nets.alltracker"
    del sys.modules["utils"]
