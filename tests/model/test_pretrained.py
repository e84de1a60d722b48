from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from seurat_tracks.errors import WeightsError
from seurat_tracks.model import pretrained
from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import (
    find_weights,
    load_model,
    resolve_device,
    save_weights,
    shipped_models,
)

TINY = ModelConfig(width=32, heads=2, layers=1, pair_width=8, shared_branches=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    state = SeuratNetwork(TINY).state_dict()
    save_weights(path, state, TINY, record={"steps": 7})
    return path


def test_round_trip(file: Path) -> None:
    model = load_model(file)
    torch.manual_seed(0)
    fresh = SeuratNetwork(TINY)
    for name, value in fresh.state_dict().items():
        stored = model.network.state_dict()[name]
        torch.testing.assert_close(stored, value.half().float())
    assert model.config == TINY
    assert model.record == {"steps": 7}
    assert model.licence == "Apache-2.0"
    assert len(model.hash) == 16
    assert not model.network.training


def test_shared_branches_are_stored_once(file: Path) -> None:
    own = file.with_name("own.safetensors")
    config = ModelConfig(**{**TINY.to_dict(), "shared_branches": False})
    save_weights(own, SeuratNetwork(config).state_dict(), config, record={})
    assert file.stat().st_size < 0.6 * own.stat().st_size
    load_model(own)


def test_shipped_weights_are_trained_and_small_enough() -> None:
    assert "small" in shipped_models()
    assert find_weights("auto") == find_weights(shipped_models()[0])
    model = load_model("small")
    assert find_weights("small").stat().st_size < 3e6
    assert model.record["steps"] > 1000
    assert model.licence == "Apache-2.0"


def test_unknown_names_are_not_asked_of_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Path:
        raise AssertionError(f"asked a hub for {name}")

    monkeypatch.setattr(pretrained, "_download", fail)
    with pytest.raises(WeightsError, match=r"no model 'huge'.*small"):
        load_model("huge")


def test_hub_names_need_owner_and_name() -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(WeightsError, match="OWNER/NAME"):
        find_weights("hub:someone")


def test_without_weights_nothing_random_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path)
    with pytest.raises(WeightsError, match="no trained weights"):
        load_model("auto")


def test_damaged_files_are_refused(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_model(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(WeightsError, match="no seurat-tracks weights"):
        load_model(foreign)
    state = SeuratNetwork(TINY).state_dict()
    state.pop("support_branch.head.weight")
    lacking = tmp_path / "lacking.safetensors"
    save_weights(lacking, state, TINY, record={})
    with pytest.raises(WeightsError, match=r"missing .*head\.weight"):
        load_model(lacking)


def test_a_missing_device_is_refused() -> None:
    assert resolve_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(WeightsError, match="not available"):
            resolve_device("cuda")
