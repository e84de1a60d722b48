from __future__ import annotations

import torch

from seurat_tracks.scenes.spoil import SpoilConfig, spoil


def tracks() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    xy = torch.rand(40, 30, 1, 2) - 0.5 + 0.01 * torch.arange(8)[:, None]
    return xy, torch.rand(40, 30, 8) > 0.1


def test_clean_tracks_stay_as_they_are() -> None:
    xy, visible = tracks()
    generator = torch.Generator().manual_seed(1)
    out, seen = spoil(xy, visible, SpoilConfig(clean=1.0), generator)
    assert torch.equal(seen, visible)
    assert torch.equal(out[seen], xy[seen])
    assert (out[~seen] == 0).all()


def test_amounts_are_those_asked_for() -> None:
    xy, visible = tracks()
    config = SpoilConfig(
        clean=0.0,
        jitter=(1e-3, 1.001e-3),
        drift=(1e-9, 1.1e-9),
        sliding=0.0,
        lost=0.0,
        flipped=0.0,
    )
    out, seen = spoil(xy, visible, config, torch.Generator().manual_seed(1))
    assert torch.equal(seen, visible)
    error = (out - xy)[seen]
    assert 0.8e-3 < error.std() < 1.6e-3  # points differ by a factor around 1


def test_lost_points_go_elsewhere_and_flags_flip() -> None:
    xy, visible = tracks()
    config = SpoilConfig(clean=0.0, lost=0.5, flipped=0.3)
    out, seen = spoil(xy, visible, config, torch.Generator().manual_seed(1))
    far = ((out - xy).norm(dim=-1) > 0.05) & seen
    assert 0.01 < far.float().mean() < 0.3
    changed = (seen != visible).float().mean()
    assert 0.05 < changed < 0.5


def test_same_seed_same_noise() -> None:
    xy, visible = tracks()
    a = spoil(xy, visible, SpoilConfig(), torch.Generator().manual_seed(5))
    b = spoil(xy, visible, SpoilConfig(), torch.Generator().manual_seed(5))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
