from __future__ import annotations

import pytest
import torch

from seurat_tracks.scenes.generate import SceneConfig, make_scenes
from seurat_tracks.scenes.spoil import PIXEL, STYLES, SpoilConfig, spoil


def only(style: str, **amounts: object) -> SpoilConfig:
    weights = tuple(float(s == style) for s in STYLES)
    return SpoilConfig(clean=0.0, styles=weights, **amounts)


def tracks() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    xy = torch.rand(40, 30, 1, 2) - 0.5 + 0.01 * torch.arange(8)[:, None]
    return xy, torch.rand(40, 30, 8) > 0.1


def scenes(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = make_scenes(24, SceneConfig(support=120, queries=40), generator)
    return made.xy, made.visible


def test_clean_tracks_stay_as_they_are() -> None:
    xy, visible = tracks()
    generator = torch.Generator().manual_seed(1)
    out, seen = spoil(xy, visible, SpoilConfig(clean=1.0), generator)
    assert torch.equal(seen, visible)
    assert torch.equal(out[seen], xy[seen])
    assert (out[~seen] == 0).all()


def test_plain_amounts_are_those_asked_for() -> None:
    xy, visible = tracks()
    config = only(
        "plain",
        jitter=(1e-3, 1.001e-3),
        drift=(1e-9, 1.1e-9),
        sliding=0.0,
        drawn=0.0,
        flipped=0.0,
    )
    out, seen = spoil(xy, visible, config, torch.Generator().manual_seed(1))
    error = (out - xy)[seen & visible]
    assert 0.8e-3 < error.std() < 1.6e-3  # points differ by a factor around 1


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_finite_and_hides_what_it_hides(style: str) -> None:
    xy, visible = scenes()
    xy = torch.where(visible[..., None], xy, 1e6 * xy)  # behind the camera: anywhere
    out, seen = spoil(xy, visible, only(style), torch.Generator().manual_seed(2))
    assert out.isfinite().all()
    assert (out[~seen] == 0).all()
    assert out.abs().max() < 6
    assert 0.5 < seen[visible].float().mean() < 1.0
    assert ((out - xy)[seen & visible]).abs().max() > PIXEL


@pytest.mark.parametrize("points", [1, 2, 8])
def test_few_points_and_few_frames(points: int) -> None:
    xy, visible = tracks()
    for T in (2, 8):
        for style in STYLES:
            out, _ = spoil(
                xy[:, :points, :T],
                visible[:, :points, :T],
                only(style),
                torch.Generator().manual_seed(3),
            )
            assert out.isfinite().all()


def test_same_seed_same_noise() -> None:
    xy, visible = tracks()
    a = spoil(xy, visible, SpoilConfig(), torch.Generator().manual_seed(5))
    b = spoil(xy, visible, SpoilConfig(), torch.Generator().manual_seed(5))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


def test_styles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="flow, learned, pose, plain"):
        SpoilConfig(styles=(1.0, 0.0))
    with pytest.raises(ValueError, match="not all 0"):
        SpoilConfig(styles=(0.0, 0.0, 0.0, 0.0))


# Of docs/tracking-errors.md: pixels of a frame 640 wide, and shares.
MEASURED = {
    1: {0.25: 0.09, 0.50: 0.19, 0.75: 0.45, 0.90: 1.17, 0.97: 3.97},
    7: {0.25: 0.13, 0.50: 0.31, 0.75: 0.79, 0.90: 2.24, 0.97: 8.81},
}
MEASURED_SEEN = {1: 0.87, 4: 0.83, 7: 0.81}
MEASURED_ALIKE = {(0.06, 0.1): 0.24, (0.1, 0.15): 0.16, (0.4, 0.6): 0.02}


def layers(batch: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    """Two planes that move apart, as in the clips that were measured."""
    generator = torch.Generator().manual_seed(0)
    side = torch.linspace(-0.9, 0.9, 18)
    first = torch.stack(torch.meshgrid(side, 0.75 * side, indexing="xy"), -1)
    first = first.reshape(1, -1, 2).expand(batch, -1, 2)
    heart = torch.rand(batch, 1, 2, generator=generator) - 0.5
    near = ((first - heart).norm(dim=-1) < 0.4)[..., None]
    step = 0.008 * torch.randn(2, batch, 1, 2, generator=generator)
    speed = torch.where(near, step[0], step[1])
    xy = first[:, :, None] + speed[:, :, None] * torch.arange(8.0)[:, None]
    return xy, torch.ones(xy.shape[:3], dtype=torch.bool)


def test_flow_is_drawn_as_it_was_measured() -> None:
    xy, visible = layers()
    out, seen = spoil(xy, visible, only("flow"), torch.Generator().manual_seed(0))
    error = (out - xy) / PIXEL
    size = error.norm(dim=-1)
    for step, quantiles in MEASURED.items():
        drawn = size[..., step][seen[..., step]]
        for q, measured in quantiles.items():
            assert measured / 1.6 < drawn.quantile(q) < 1.6 * measured, (step, q)
    for step, share in MEASURED_SEEN.items():
        assert abs(seen[..., step].float().mean() - share) < 0.06

    # errors of neighbours are alike; large ones shortened, as in the measurement
    total = {bounds: [0.0, 0.0] for bounds in MEASURED_ALIKE}
    for k in range(len(xy)):
        mine = seen[k, :, 7]
        e, place = error[k, mine, 7], xy[k, mine, 0]
        length = e.norm(dim=-1, keepdim=True)
        e = e * (length.quantile(0.8) / length.clamp_min(1e-6)).clamp(max=1)
        like = e @ e.T / (e**2).sum(-1).mean()
        far = (place[:, None] - place).norm(dim=-1)
        for (low, high), sums in total.items():
            pairs = (far > low) & (far <= high)
            sums[0] += like[pairs].sum().item()
            sums[1] += pairs.sum().item()
    for bounds, measured in MEASURED_ALIKE.items():
        assert abs(total[bounds][0] / total[bounds][1] - measured) < 0.08, bounds


def test_covered_points_may_be_carried_off() -> None:
    xy, visible = layers()
    hidden = torch.zeros_like(visible)
    hidden[:, ::3, 4:] = True
    visible = visible & ~hidden
    out, seen = spoil(xy, visible, only("flow"), torch.Generator().manual_seed(1))
    still = seen & hidden
    assert 0.25 < still[:, ::3, 4].float().mean() < 0.75  # measured: a half
    assert still[:, ::3, 7].float().mean() < still[:, ::3, 4].float().mean()
    error = (out - xy).norm(dim=-1)
    own = (seen & visible)[:, ::3, 3]
    assert error[:, ::3, 7][still[:, ::3, 7]].mean() > error[:, ::3, 3][own].mean()


def test_pose_detectors_err_anew_and_learned_trackers_smoothly() -> None:
    xy, visible = layers()

    def flicker(style: str) -> float:
        out, seen = spoil(xy, visible, only(style), torch.Generator().manual_seed(2))
        error = (out - xy)[seen.all(-1)]
        change = (error[:, 1:] - error[:, :-1]).norm(dim=-1).median()
        return float(change / error.norm(dim=-1).median())

    assert flicker("pose") > 1.5 * flicker("learned")
