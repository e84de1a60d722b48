from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seurat_tracks.model.config import PRESETS, ModelConfig
from seurat_tracks.model.features import fill_hidden, neighbours
from seurat_tracks.model.network import SeuratNetwork

TINY = ModelConfig(width=32, heads=2, layers=2, iterations=2, pair_width=8)


def perturbed(config: ModelConfig) -> SeuratNetwork:
    """Build a network with random weights everywhere, the heads included."""
    torch.manual_seed(1)
    network = SeuratNetwork(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture(params=["own", "shared"])
def network(request: pytest.FixtureRequest) -> SeuratNetwork:
    shared = request.param == "shared"
    return perturbed(ModelConfig(**{**TINY.to_dict(), "shared_branches": shared}))


@pytest.fixture
def window() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    support = torch.rand(3, 30, 1, 2) * 2 - 1 + 0.02 * torch.randn(3, 30, 8, 2)
    query = torch.rand(3, 11, 1, 2) * 2 - 1 + 0.02 * torch.randn(3, 11, 8, 2)
    return support, torch.rand(3, 30, 8) > 0.1, query, torch.rand(3, 11, 8) > 0.2


def test_ratio_is_zero_at_the_first_frame(
    network: SeuratNetwork, window: tuple[Tensor, ...]
) -> None:
    query, support = network(*window)
    assert len(query) == len(support) == 2
    assert query[-1].log_ratio.shape == (3, 11, 8)
    assert (query[-1].log_ratio[..., 0] == 0).all()
    assert query[-1].log_ratio[..., 1:].abs().min() > 0


def test_queries_do_not_see_each_other(
    network: SeuratNetwork, window: tuple[Tensor, ...]
) -> None:
    support, seen, query, visible = window
    together = network(*window)[0][-1]
    alone = network(support, seen, query[:, 4:5], visible[:, 4:5])[0][-1]
    torch.testing.assert_close(
        together.log_ratio[:, 4:5], alone.log_ratio, atol=1e-6, rtol=0
    )


def test_order_of_support_does_not_matter(
    network: SeuratNetwork, window: tuple[Tensor, ...]
) -> None:
    support, seen, query, visible = window
    order = torch.randperm(30)
    a = network(*window)[0][-1].log_ratio
    b = network(support[:, order], seen[:, order], query, visible)[0][-1].log_ratio
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_unseen_support_and_hidden_positions_do_not_matter(
    network: SeuratNetwork, window: tuple[Tensor, ...]
) -> None:
    support, seen, query, visible = window
    a = network(*window)[0][-1].log_ratio
    nothing = torch.full((3, 5, 8, 2), torch.nan)
    more = torch.cat([support, nothing], 1)
    more = torch.where(
        torch.cat([seen, torch.zeros(3, 5, 8, dtype=torch.bool)], 1)[..., None],
        more,
        torch.nan,
    )
    still = torch.cat([seen, torch.zeros(3, 5, 8, dtype=torch.bool)], 1)
    spoilt = torch.where(visible[..., None], query, torch.nan)
    b = network(more, still, spoilt, visible)[0][-1].log_ratio
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_nothing_visible_gives_finite_answers(network: SeuratNetwork) -> None:
    nothing = torch.full((1, 4, 8, 2), torch.nan)
    hidden = torch.zeros(1, 4, 8, dtype=torch.bool)
    for predictions in network(nothing, hidden, nothing, hidden):
        assert torch.isfinite(predictions[-1].log_ratio).all()
        assert torch.isfinite(predictions[-1].log_scale).all()


def test_iterations_are_a_setting(
    network: SeuratNetwork, window: tuple[Tensor, ...]
) -> None:
    one = network(*window, iterations=1)[0]
    three = network(*window, iterations=3)[0]
    assert (len(one), len(three)) == (1, 3)
    torch.testing.assert_close(one[0].log_ratio, three[0].log_ratio)
    assert (three[2].log_ratio - three[0].log_ratio).abs().max() > 1e-6


def test_fill_hidden_holds_the_last_seen_position() -> None:
    xy = torch.arange(12.0).reshape(6, 2)
    seen = torch.tensor([False, True, False, True, False, False])
    filled = fill_hidden(torch.where(seen[:, None], xy, torch.nan), seen)
    assert filled[:, 0].tolist() == [2, 2, 2, 6, 6, 6]


def test_a_point_is_not_its_own_neighbour() -> None:
    torch.manual_seed(0)
    xy = torch.rand(2, 9, 2)
    index, valid = neighbours(xy, xy, torch.ones(2, 9, dtype=torch.bool), 6, 4)
    own = torch.arange(9)[None, :, None]
    assert not (valid & (index == own)).any()
    assert valid[..., :6].all()
    nearest = torch.cdist(xy, xy).masked_fill(torch.eye(9, dtype=torch.bool), 9.0)
    assert (index[..., 0] == nearest.argmin(-1)).all()


def test_presets_have_the_promised_sizes() -> None:
    def size(name: str) -> int:
        network = SeuratNetwork(PRESETS[name])
        return sum(p.numel() for p in network.parameters())

    assert 2 * size("small") < 3e6  # bytes in half precision
    assert 2 * size("base") < 30e6


def test_unknown_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="newer"):
        ModelConfig.from_dict({"width": 32, "colour": "red"})
