from __future__ import annotations

import pytest
import torch

from seurat_tracks.evaluation import kinds
from seurat_tracks.model.network import Prediction
from seurat_tracks.scenes.generate import CAMERAS, MOTIONS
from seurat_tracks.training.data import Batch
from seurat_tracks.training.loss import targets


def test_every_kind_is_drawn_with_exact_and_spoiled_tracks() -> None:
    found = list(kinds.held_out(2, torch.device("cpu")))
    names = {name for name, _, _ in found}
    assert names == {f"camera: {c}" for c in CAMERAS} | {
        f"moves: {m}" for m in MOTIONS if m != "mocap"
    }
    assert len(found) == 2 * len(names)
    first, second = found[0][2], found[1][2]
    assert torch.equal(first.z, second.z)
    assert not torch.equal(first.xy, second.xy)


@pytest.mark.parametrize(("share", "relative"), [(0.0, 1.0), (0.75, 0.25), (1.0, 0.0)])
def test_score_is_the_error_over_that_of_constant_depth(
    share: float, relative: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, batch = next(kinds.held_out(3, torch.device("cpu")))
    batch = Batch(
        batch.xy,
        batch.visible,
        batch.z * torch.linspace(1, 1.5, 8),
        torch.ones_like(batch.visible),
        batch.support,
    )
    truth, _ = targets(batch.z[:, batch.support :], batch.visible[:, batch.support :])
    answer = Prediction(share * truth, torch.zeros_like(truth))
    monkeypatch.setattr(kinds, "predict", lambda *_: ([answer], []))
    error, constant = kinds.score(torch.nn.Identity(), batch)  # type: ignore[arg-type]
    assert constant > 0.1
    assert error / constant == pytest.approx(relative, abs=1e-6)
