"""What the network is told."""

from __future__ import annotations

import torch

from seurat_tracks.model.features import asinh


def test_asinh_is_that_of_torch_within_what_features_keep() -> None:
    size = torch.logspace(-9, 4, 2000)
    x = torch.cat([-size, torch.zeros(1), size])
    torch.testing.assert_close(asinh(x), x.asinh(), rtol=3e-6, atol=0.0)
    assert asinh(torch.tensor(-1e30)).item() < -8.0
    assert asinh(torch.tensor(torch.nan)).isnan()
